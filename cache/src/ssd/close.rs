//! Closing in peace, and the snapshot of the index.

use super::format::{PAGE_BYTES, Superblock};
use super::index::{SLOT_BYTES, TABLES};
use super::open::write_superblock;
use super::region::State;
use super::shared::{Running, Shared, Ssd};
use super::snapshot::{HEADER_BYTES, Head, TableSum, meta_bytes, snapshot_bytes};
use aquifer_io::Buffer;
use std::rc::Rc;

/// Bytes of one write of a snapshot.
const PIECE_BYTES: usize = 128 << 10;
/// A snapshot is written anew when so many of the regions were begun since the last: it is then half worthless.
const REGIONS_DIVISOR: u64 = 2;
/// Fewer regions are read faster than a snapshot pays for.
const REGIONS_MIN: u64 = 16;

impl Ssd {
    /// Waits until everything taken in is on the disk, writes the index down, and closes the file: the next to open it has all of it at once.
    pub(crate) async fn close(&self) {
        let Some(superblock) = self.shared.end().await else { return };
        let Some(running) = self.shared.stop() else { return };
        let written = write_superblock(&running.file, &superblock).await;
        if let (Ok(()), Ok(file)) = (written, Rc::try_unwrap(running.file)) {
            // What is written is durable: a failing close loses nothing.
            drop(file.close().await);
        }
    }
}

impl Shared {
    /// Everything down to the disk but the superblock that says so. `None` if there is no tier, or it stopped meanwhile.
    async fn end(self: &Rc<Self>) -> Option<Superblock> {
        self.pause().await?;
        self.drain().await.then_some(())?;
        self.running.borrow_mut().as_mut()?.tier.seal_region();
        self.drain().await.then_some(())?;
        let snapshot = self.write_snapshot().await.unwrap_or(0);
        let running = self.running.borrow();
        let running = running.as_ref()?;
        Some(running.superblock(self.options.store, snapshot))
    }

    /// Takes nothing in from here on, and waits until no task changes anything any more but the writer.
    pub(super) async fn pause(&self) -> Option<()> {
        self.running.borrow_mut().as_mut()?.paused = true;
        loop {
            let seen = self.progress.now();
            let busy =
                self.running.borrow().as_ref().map(|running| running.emptying || running.snapshotting)?;
            if !busy {
                return Some(());
            }
            self.progress.since(seen).await;
        }
    }

    /// Has a snapshot written when the last one is half worthless: then opening after a crash has half as much to read.
    pub(super) fn start_snapshot(self: &Rc<Self>, running: &mut Running) {
        let regions = u64::from(running.tier.layout.regions);
        let begun = running.tier.begun - running.snapshot_begun;
        let is_due = begun >= (regions / REGIONS_DIVISOR).max(REGIONS_MIN);
        if is_due && !running.snapshotting && !running.paused && running.may_snapshot() {
            running.snapshotting = true;
            running.snapshot_begun = running.tier.begun;
            let shared = Rc::clone(self);
            drop(aquifer_io::spawn_vital(async move {
                shared.write_snapshot().await;
                if let Some(running) = shared.running.borrow_mut().as_mut() {
                    running.snapshotting = false;
                }
                shared.progress.notify();
            }));
        }
    }

    /// Writes the index into its area; the checksum of its header. `None` if there is no room for it, or no tier any more.
    async fn write_snapshot(&self) -> Option<u32> {
        let (mut head, offset, end) = {
            let mut running = self.running.borrow_mut();
            let running = running.as_mut()?;
            running.may_snapshot().then_some(())?;
            let layout = running.tier.layout;
            (running.tier.head(), layout.index_offset(), layout.file_bytes())
        };
        let slots_at = offset + (HEADER_BYTES + meta_bytes(head.generations.len())) as u64;
        let mut out = Pieces { shared: self, at: slots_at, end, buffer: None, filled: 0 };
        for table in 0..TABLES {
            head.tables.push(self.write_table(table, &mut out).await?);
        }
        out.flush().await?;
        let (header, meta) = head.encode();
        for (at, bytes) in [(offset + HEADER_BYTES as u64, &meta), (offset, &header)] {
            let mut out = Pieces { shared: self, at, end, buffer: None, filled: 0 };
            out.push(bytes).await?;
            out.flush().await?;
        }
        super::recover::header_crc(&header)
    }

    async fn write_table(&self, table: usize, out: &mut Pieces<'_>) -> Option<TableSum> {
        const SLICE: usize = 1024;
        let mut crc = crc32fast::Hasher::new();
        let (mut slots, mut after) = (0, None);
        loop {
            let mut stored = Vec::with_capacity(SLICE * SLOT_BYTES);
            {
                let running = self.running.borrow();
                let index = &running.as_ref()?.tier.index;
                for (tag, slot) in index.slots_after(table, after).take(SLICE) {
                    stored.extend_from_slice(&slot.encode());
                    after = Some(tag);
                }
            }
            if stored.is_empty() {
                return Some(TableSum { slots, crc: crc.finalize() });
            }
            crc.update(&stored);
            slots += u32::try_from(stored.len() / SLOT_BYTES).ok()?;
            out.push(&stored).await?;
        }
    }
}

/// Bytes on their way to the index area, in large writes.
struct Pieces<'a> {
    shared: &'a Shared,
    at: u64,
    end: u64,
    buffer: Option<Buffer>,
    filled: usize,
}

impl Pieces<'_> {
    async fn push(&mut self, mut bytes: &[u8]) -> Option<()> {
        while !bytes.is_empty() {
            if self.buffer.is_none() {
                let left = usize::try_from(self.end.checked_sub(self.at)?).unwrap_or(PIECE_BYTES);
                let piece = left.min(PIECE_BYTES);
                // The index grew since there was room for it.
                (piece >= PAGE_BYTES).then_some(())?;
                self.buffer = Some(aquifer_io::acquire_buffer(piece).await.ok()?);
                self.filled = 0;
            }
            let free = self.buffer.as_mut()?.get_mut(self.filled..)?;
            let (now, later) = bytes.split_at(bytes.len().min(free.len()));
            free.get_mut(..now.len())?.copy_from_slice(now);
            let is_full = now.len() == free.len();
            self.filled += now.len();
            bytes = later;
            if is_full {
                self.flush().await?;
            }
        }
        Some(())
    }

    /// Writes what there is, zeros behind it to the end of the page.
    async fn flush(&mut self) -> Option<()> {
        let Some(mut full) = self.buffer.take() else { return Some(()) };
        let bytes = self.filled.next_multiple_of(PAGE_BYTES);
        full.get_mut(self.filled..bytes)?.fill(0);
        let buffer = if bytes == full.len() {
            full
        } else {
            // Holds no buffer while it waits for another.
            let part = full.get(..bytes)?.to_vec();
            drop(full);
            let mut buffer = aquifer_io::acquire_buffer(bytes).await.ok()?;
            buffer.copy_from_slice(&part);
            buffer
        };
        self.shared.take_turn(bytes).await.then_some(())?;
        self.shared.count(|io| io.snapshot_bytes += bytes as u64);
        let at = self.at;
        self.at += bytes as u64;
        self.shared.write(at, buffer).await.then_some(())
    }
}

impl Running {
    /// Whether the index fits its area, and the day's bytes allow to write it.
    fn may_snapshot(&mut self) -> bool {
        let layout = self.tier.layout;
        let bytes = snapshot_bytes(layout.regions as usize, self.tier.index.entries()) as u64;
        let promised = self.tier.promised_bytes();
        let level = self.admission.budget.level(bytes, promised, aquifer_io::now());
        bytes <= layout.index_bytes && level > super::budget::Level::Empty
    }

    /// The first page, as of now.
    pub(super) fn superblock(&self, store: u64, snapshot: u32) -> Superblock {
        let layout = self.tier.layout;
        Superblock {
            regions: layout.regions,
            region_bytes: layout.region_bytes,
            life: self.tier.life,
            store,
            index_bytes: layout.index_bytes,
            snapshot,
            generation: self.tier.begun,
        }
    }
}

impl super::tier::Tier {
    /// What a snapshot that is begun now says of the regions. The one being filled counts as holding nothing: its directory is newer.
    fn head(&self) -> Head {
        let generation = |region: &super::region::Region| match region.state {
            State::Sealed | State::Emptying => region.generation,
            State::Clean | State::Current => 0,
        };
        let generations = self.regions.iter().map(generation).collect();
        Head { life: self.life, begun: self.begun, generations, tables: Vec::with_capacity(TABLES) }
    }
}
