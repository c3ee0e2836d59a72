//! The SSD tier: one file per shard, filled region by region in order, the oldest region reused.
//!
//! [`tier`] decides what is where, [`format`] knows the bytes, [`index`] finds a key in 12 bytes; this file does the I/O:
//! one extent read for a hit, one writer task that writes chunks in order.
//!
//! Invariants:
//! * Offers never wait. What the writer cannot take now is rejected.
//! * A read is believed only if its region was not begun anew meanwhile, and header, identity and checksums hold;
//!   anything else is a miss, and the entry leaves the index.
//! * The first I/O error switches the tier off, for good, with its reason: the cache goes on without it.

mod format;
mod index;
mod layout;
mod place;
mod tier;

#[cfg(test)]
mod ssd_test;
#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "numbers of a test are small")]
mod tier_test;

use crate::key::{CacheKey, Class};
use crate::options::CacheOptions;
use crate::stats::{SsdStats, TierStats};
use aquifer_io::{Buffer, EXTENTS_MAX, File, IoError, IoErrorKind, OpenOptions, Task};
use bytes::Bytes;
use layout::Layout;
pub(crate) use place::Place;
use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tier::{Lookup, Offer, Tier};

/// Longest that an entry waits in a chunk that does not fill. Armed by an offer: an idle shard has no timer.
const FLUSH_DELAY: Duration = Duration::from_millis(100);

/// The tier, or the place where one would be.
pub(crate) struct Ssd {
    shared: Rc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// `None`: no tier, or switched off.
    running: RefCell<Option<Running>>,
    writer: RefCell<Option<Task<()>>>,
    io: Cell<IoCounters>,
    off_reason: RefCell<Option<Arc<str>>>,
    /// What had been counted when the tier was switched off.
    last: Cell<(TierStats, u64)>,
}

struct Running {
    tier: Tier,
    file: Rc<File>,
    writing: bool,
    /// A task waits to write what is offered meanwhile, full chunk or not.
    flush_waits: bool,
}

#[derive(Clone, Copy, Default)]
struct IoCounters {
    reads: u64,
    read_bytes: u64,
    written_bytes: u64,
    bad_entries: u64,
}

impl Ssd {
    /// Never fails: without a usable file there is a tier that is switched off.
    pub(crate) async fn open(options: &CacheOptions) -> Self {
        let shared = Rc::new(Shared::default());
        if let (Some(path), true) = (&options.disk_path, options.disk_bytes > 0) {
            match open_tier(path, options).await {
                Ok(running) => *shared.running.borrow_mut() = Some(running),
                Err(reason) => *shared.off_reason.borrow_mut() = Some(reason.into()),
            }
        }
        Self { shared }
    }

    /// The entry if it is still in the write buffer. Counts a hit, but no miss. Ask this before [`Ssd::locate`].
    pub(crate) fn get_buffered(&self, class: Class, key: &CacheKey) -> Option<Bytes> {
        let mut running = self.shared.running.borrow_mut();
        let running = running.as_mut()?;
        let Lookup::Buffered(data) = running.tier.lookup(class, key, running.file.align_bytes()) else {
            return None;
        };
        running.tier.stats.class_mut(class).hits += 1;
        Some(data)
    }

    /// Where in the file the entry lies, if it is there: to be read, alone or with others, and handed to [`Ssd::complete`]. `None`
    /// counts a miss. Nothing to await; the entry stays where it is until the place is dropped, which must be soon.
    pub(crate) fn locate(&self, class: Class, key: &CacheKey) -> Option<Place> {
        let mut running = self.shared.running.borrow_mut();
        let running = running.as_mut()?;
        match running.tier.lookup(class, key, running.file.align_bytes()) {
            Lookup::OnDisk(place) => Some(place),
            // Still in the write buffer: that was asked before, so it is another key with the same hash.
            Lookup::Buffered(_) | Lookup::Miss => {
                running.tier.stats.class_mut(class).misses += 1;
                None
            }
        }
    }

    /// Reads extents of the file, each an offset and a length in multiples of the file's alignment, all of them in as few submissions as
    /// the thread's buffers allow; `None` for each that could not be read. An I/O error switches the tier off.
    pub(crate) async fn read_extents(&self, extents: &[(u64, usize)]) -> Vec<Option<Buffer>> {
        let mut read = Vec::with_capacity(extents.len());
        let mut rest = extents;
        while let Some(((offset, bytes), more)) = rest.split_first() {
            // Waits for a buffer only while it holds none, so that two of these cannot wait for each other.
            let Some((file, first)) = self.shared.file_and_buffer(*bytes).await else { break };
            let mut batch = vec![(*offset, first)];
            rest = more;
            while let Some(((offset, bytes), more)) = rest.split_first()
                && batch.len() < EXTENTS_MAX
                && let Ok(buffer) = aquifer_io::try_acquire_buffer(*bytes)
            {
                batch.push((*offset, buffer));
                rest = more;
            }
            match file.read_vectored_at(batch).await {
                (Ok(()), batch) => {
                    self.shared.count(|io| {
                        io.reads += batch.len() as u64;
                        io.read_bytes += batch.iter().map(|(_, buffer)| buffer.len() as u64).sum::<u64>();
                    });
                    read.extend(batch.into_iter().map(|(_, buffer)| Some(buffer)));
                }
                (Err(error), _) => {
                    self.shared.switch_off(&format!("read failed: {error}"));
                    break;
                }
            }
        }
        read.resize_with(extents.len(), || None);
        read
    }

    /// The data of an entry, given what was read of the file at `place.offset()`, `place.bytes()` long. Verified: anything that is
    /// not the entry asked for is a miss, and leaves the index.
    pub(crate) fn complete(&self, place: Place, found: &[u8]) -> Option<Bytes> {
        let mut running = self.shared.running.borrow_mut();
        let running = running.as_mut()?;
        let tier = &mut running.tier;
        let data = found.get(place.skip()..).unwrap_or_default();
        let data = if tier.is_current(&place) {
            match format::entry_data(data, place.round, &place.key) {
                Ok(data) => Some(Bytes::copy_from_slice(data)),
                Err(_) => {
                    self.shared.count(|io| io.bad_entries += 1);
                    tier.remove(place.key.hash64(), place.spot.sector);
                    None
                }
            }
        } else {
            None
        };
        let stats = tier.stats.class_mut(place.class);
        if data.is_some() {
            stats.hits += 1;
        } else {
            stats.misses += 1;
        }
        data
    }

    /// The entry, by at most one read. Everything that goes wrong is a miss.
    pub(crate) async fn get(&self, class: Class, key: &CacheKey) -> Option<Bytes> {
        if let Some(data) = self.get_buffered(class, key) {
            return Some(data);
        }
        let place = self.locate(class, key)?;
        let read = self.read_extents(&[(place.offset(), place.bytes())]).await.pop().flatten();
        match read {
            Some(buffer) => self.complete(place, &buffer),
            None => self.complete(place, &[]),
        }
    }

    /// Takes a copy of the entry if the writer can take it now. Never waits.
    pub(crate) fn offer(&self, class: Class, key: &CacheKey, data: &[u8]) {
        let mut running = self.shared.running.borrow_mut();
        let Some(running) = running.as_mut() else { return };
        if running.tier.offer(class, key, data) != Offer::Taken {
            return;
        }
        self.shared.start_writer(running);
        if !running.flush_waits {
            running.flush_waits = true;
            drop(aquifer_io::spawn_local(flush_later(Rc::clone(&self.shared))));
        }
    }

    pub(crate) fn remove(&self, key: &CacheKey) {
        if let Some(running) = self.shared.running.borrow_mut().as_mut() {
            running.tier.remove_key(key);
        }
    }

    /// The bytes had the right checksums and still are no block: out with them.
    pub(crate) fn remove_bad(&self, key: &CacheKey) {
        self.remove(key);
        self.shared.count(|io| io.bad_entries += 1);
    }

    pub(crate) fn stats(&self) -> SsdStats {
        let io = self.shared.io.get();
        let (tier, buffer_hits) = self.shared.last.get();
        let mut stats = SsdStats {
            tier,
            buffer_hits,
            reads: io.reads,
            read_bytes: io.read_bytes,
            written_bytes: io.written_bytes,
            bad_entries: io.bad_entries,
            off_reason: self.shared.off_reason.borrow().clone(),
            ..SsdStats::default()
        };
        if let Some(running) = self.shared.running.borrow().as_ref() {
            stats.tier = running.tier.stats;
            stats.buffer_hits = running.tier.buffer_hits;
            stats.file_bytes = running.tier.layout.file_bytes();
            stats.index_bytes = running.tier.index_bytes() as u64;
            stats.pending_bytes = running.tier.pending_bytes();
            stats.queued_bytes = running.tier.queued_bytes();
        }
        stats
    }

    /// Ends the tier without waiting for anything.
    pub(crate) fn stop(&self) {
        drop(self.shared.stop());
    }

    /// Waits for the write in progress, then closes the file.
    pub(crate) async fn close(&self) {
        let running = self.shared.stop();
        let writer = self.shared.writer.borrow_mut().take();
        if let Some(writer) = writer {
            // It has nothing left to write; an executor that ends has nothing to wait for either.
            drop(writer.await);
        }
        if let Some(Ok(file)) = running.map(|running| Rc::try_unwrap(running.file)) {
            // The content is not needed again: a failing close loses nothing.
            drop(file.close().await);
        }
    }
}

impl Shared {
    /// The file, and a buffer to read into; `None` when there is no tier (any more).
    async fn file_and_buffer(&self, bytes: usize) -> Option<(Rc<File>, Buffer)> {
        let buffer = match aquifer_io::acquire_buffer(bytes).await {
            Ok(buffer) => buffer,
            Err(error) => {
                self.switch_off(&format!("read failed: {error}"));
                return None;
            }
        };
        let file = Rc::clone(&self.running.borrow().as_ref()?.file);
        Some((file, buffer))
    }

    /// Has full chunks written, if nobody does yet.
    fn start_writer(self: &Rc<Self>, running: &mut Running) {
        if !running.writing && running.tier.next_chunk().is_some() {
            running.writing = true;
            let task = aquifer_io::spawn_local(write_chunks(Rc::clone(self)));
            *self.writer.borrow_mut() = Some(task);
        }
    }

    fn count(&self, change: impl FnOnce(&mut IoCounters)) {
        let mut io = self.io.get();
        change(&mut io);
        self.io.set(io);
    }

    /// The first reason stays.
    fn switch_off(&self, reason: &str) {
        if self.stop().is_some() {
            *self.off_reason.borrow_mut() = Some(reason.into());
        }
    }

    fn stop(&self) -> Option<Running> {
        let running = self.running.borrow_mut().take()?;
        let mut stats = running.tier.stats;
        for class in [Class::Data, Class::Meta] {
            let class = stats.class_mut(class);
            (class.entries, class.bytes) = (0, 0);
        }
        self.last.set((stats, running.tier.buffer_hits));
        Some(running)
    }
}

/// Writes a chunk that did not fill within [`FLUSH_DELAY`]: its memory comes free, and the file holds what the tier says it holds.
async fn flush_later(shared: Rc<Shared>) {
    aquifer_io::sleep(FLUSH_DELAY).await;
    if let Some(running) = shared.running.borrow_mut().as_mut() {
        running.flush_waits = false;
        running.tier.seal();
        shared.start_writer(running);
    }
}

/// Writes sealed chunks, oldest first, one at a time, until there are none.
async fn write_chunks(shared: Rc<Shared>) {
    loop {
        let next = {
            let mut running = shared.running.borrow_mut();
            let Some(running) = running.as_mut() else { return };
            match running.tier.next_chunk() {
                Some(chunk) => (chunk.offset, chunk.write_bytes(), Rc::clone(&running.file)),
                None => {
                    running.writing = false;
                    return;
                }
            }
        };
        let (offset, bytes, file) = next;
        let mut buffer = match aquifer_io::acquire_buffer(bytes).await {
            Ok(buffer) => buffer,
            Err(error) => return shared.switch_off(&format!("write failed: {error}")),
        };
        match shared.running.borrow().as_ref().and_then(|running| running.tier.oldest_chunk()) {
            Some(chunk) => chunk.copy_to(&mut buffer),
            None => return,
        }
        let (result, buffer) = file.write_at(offset, buffer).await;
        drop(buffer);
        match result {
            Ok(()) => {
                shared.count(|io| io.written_bytes += bytes as u64);
                if let Some(running) = shared.running.borrow_mut().as_mut() {
                    running.tier.written();
                }
            }
            Err(error) => shared.switch_off(&format!("write failed: {error}")),
        }
    }
}

/// The error is the reason why there is no tier.
async fn open_tier(path: &Path, options: &CacheOptions) -> Result<Running, String> {
    // A write or a read of the largest entry must fit the thread's buffers, with room for others beside it.
    let write_buffer_bytes =
        (options.write_buffer_bytes as u64).min(aquifer_io::metrics().buffer_bytes_max / 2);
    let layout =
        Layout::new(options.disk_bytes, options.region_bytes, write_buffer_bytes).ok_or_else(|| {
            let min = Layout::disk_bytes_min();
            format!("disk_bytes {} is too small for a cache file: give {min} or more", options.disk_bytes)
        })?;
    let life = aquifer_io::random_u64();
    let open = OpenOptions {
        read: true,
        write: true,
        create: true,
        truncate: true,
        direct: true,
        ..OpenOptions::default()
    };
    let file = File::open(path, open).await.map_err(|error| format!("open failed: {error}"))?;
    match prepare(&file, &layout, life).await {
        Ok(()) => Ok(Running {
            tier: Tier::new(layout, life),
            file: Rc::new(file),
            writing: false,
            flush_waits: false,
        }),
        Err(reason) => {
            // What was allocated of it would only be in the way. Shortened, not removed: the path may be no file at all.
            drop(file.truncate(0).await);
            Err(reason)
        }
    }
}

/// Gives the file its whole size and its superblock.
async fn prepare(file: &File, layout: &Layout, life: u64) -> Result<(), String> {
    let align = file.align_bytes();
    if align > format::PAGE_BYTES {
        return Err(format!(
            "the file system wants {align} byte alignment, more than {}",
            format::PAGE_BYTES
        ));
    }
    let bytes = layout.file_bytes();
    let sized = match file.allocate(bytes).await {
        Err(error) if error.kind() == IoErrorKind::Unsupported => file.truncate(bytes).await,
        other => other,
    };
    sized.map_err(|error| format!("could not reserve {bytes} bytes: {error}"))?;
    write_superblock(file, layout, life).await.map_err(|error| format!("write failed: {error}"))
}

async fn write_superblock(file: &File, layout: &Layout, life: u64) -> Result<(), IoError> {
    let block = format::superblock(layout.regions, layout.region_bytes, life);
    let mut buffer = aquifer_io::acquire_buffer(block.len()).await?;
    buffer.copy_from_slice(&block);
    file.write_at(0, buffer).await.0
}
