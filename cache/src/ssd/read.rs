//! Reads: where an entry is, extents of the file, and what was found there.

use super::entry::SsdEntry;
use super::format::entry_data;
use super::shared::{Shared, Ssd};
use super::tier::Lookup;
use crate::key::{CacheKey, Class, ReadClass};
use aquifer_io::{Buffer, EXTENTS_MAX, File, IoError, IoErrorKind};
use bytes::Bytes;
use std::rc::Rc;

/// So many errors of reads in a row switch the tier off: not a bad sector but a bad device.
const READ_ERRORS_MAX: u32 = 8;

impl Ssd {
    /// The entry if it is still in the write buffer. Counts a hit, but no miss, and neither for a merge. Ask this before [`Ssd::locate`].
    pub(crate) fn get_buffered(&self, class: Class, key: &CacheKey, reads: ReadClass) -> Option<Bytes> {
        let mut running = self.shared.running.borrow_mut();
        let running = running.as_mut()?;
        let tier = &mut running.tier;
        let Lookup::Buffered(data, sector) = tier.lookup(class, key, running.file.align_bytes()) else {
            return None;
        };
        if reads.is_kept() {
            tier.buffer_hits += 1;
            tier.index.touch(key.hash64(), sector);
            tier.stats.class_mut(class).hits += 1;
        }
        Some(data)
    }

    /// Where in the file the entry lies, if it is there: to be read, alone or with others, and handed to [`Ssd::complete`]. `None`
    /// counts a miss, unless a merge asks. Nothing to await; the entry stays where it is until the place is dropped, which must be soon.
    pub(crate) fn locate(&self, class: Class, key: &CacheKey, reads: ReadClass) -> Option<SsdEntry> {
        let mut running = self.shared.running.borrow_mut();
        let running = running.as_mut()?;
        match running.tier.lookup(class, key, running.file.align_bytes()) {
            Lookup::OnDisk(place) => Some(place),
            // Still in the write buffer: that was asked before, so it is another key with the same hash.
            Lookup::Buffered(..) | Lookup::Miss => {
                if reads.is_kept() {
                    running.tier.stats.class_mut(class).misses += 1;
                    running.admission.missed(key.hash64());
                }
                None
            }
        }
    }

    /// Reads an extent of the file, offset and length in multiples of the file's alignment; `None` if that failed. Extents whose reads are
    /// begun in one turn of the loop leave in one submission.
    pub(crate) async fn read_extent(&self, offset: u64, bytes: usize) -> Option<Buffer> {
        self.read_extents(&[(offset, bytes)]).await.pop().flatten()
    }

    /// Reads extents of the file, each an offset and a length in multiples of the file's alignment, all of them in as few submissions as
    /// the thread's buffers allow; `None` for each that could not be read.
    pub(crate) async fn read_extents(&self, extents: &[(u64, usize)]) -> Vec<Option<Buffer>> {
        self.shared.read_extents(extents).await
    }

    /// The data of an entry, given what was read of the file at `place.offset()`, `place.bytes()` long (nothing if that failed). Verified:
    /// anything that is not the entry asked for is a miss, and leaves the index.
    #[expect(clippy::needless_pass_by_value, reason = "a place is used up: its region is let go")]
    pub(crate) fn complete(&self, place: SsdEntry, found: &[u8], reads: ReadClass) -> Option<Bytes> {
        let (class, hash) = (place.class, place.key.hash64());
        let outcome = {
            let mut running = self.shared.running.borrow_mut();
            let tier = &mut running.as_mut()?.tier;
            let data = found.get(place.skip()..).unwrap_or_default();
            let current = tier.is_current(&place);
            let data = entry_data(data, place.round, &place.key).ok().filter(|_| current);
            match data {
                Some(data) => {
                    if reads.is_kept() {
                        tier.stats.class_mut(class).hits += 1;
                        tier.index.touch(hash, place.spot.sector);
                    }
                    Some(Bytes::copy_from_slice(data))
                }
                None => {
                    tier.stats.class_mut(class).misses += 1;
                    let was_there = tier.remove(hash, place.spot.sector).is_some();
                    if !was_there || !current {
                        return None;
                    }
                    None
                }
            }
        };
        match &outcome {
            Some(data) => self.shared.count(|io| io.wanted_bytes += data.len() as u64),
            None => self.shared.bad_entry(hash),
        }
        outcome
    }

    /// The entry, by at most one read. Everything that goes wrong is a miss.
    #[cfg(test)]
    pub(crate) async fn get(&self, class: Class, key: &CacheKey) -> Option<Bytes> {
        if let Some(data) = self.get_buffered(class, key, ReadClass::Foreground) {
            return Some(data);
        }
        let place = self.locate(class, key, ReadClass::Foreground)?;
        let read = self.read_extents(&[(place.offset(), place.bytes())]).await.pop().flatten();
        match read {
            Some(buffer) => self.complete(place, &buffer, ReadClass::Foreground),
            None => self.complete(place, &[], ReadClass::Foreground),
        }
    }
}

impl Shared {
    pub(super) async fn read_extents(&self, extents: &[(u64, usize)]) -> Vec<Option<Buffer>> {
        let mut read = Vec::with_capacity(extents.len());
        let mut rest = extents;
        while let Some(((offset, bytes), more)) = rest.split_first() {
            // Waits for a buffer only while it holds none, so that two of these cannot wait for each other.
            let Some((file, first)) = self.file_and_buffer(*bytes).await else { break };
            let mut batch = vec![(*offset, first)];
            rest = more;
            while let Some(((offset, bytes), more)) = rest.split_first()
                && batch.len() < EXTENTS_MAX
                && let Ok(buffer) = aquifer_io::try_acquire_buffer(*bytes)
            {
                batch.push((*offset, buffer));
                rest = more;
            }
            read.extend(self.read_batch(&file, batch).await);
        }
        read.resize_with(extents.len(), || None);
        read
    }

    async fn read_batch(&self, file: &File, batch: Vec<(u64, Buffer)>) -> Vec<Option<Buffer>> {
        let is_alone = batch.len() == 1;
        let (outcome, batch) = file.read_vectored_at(batch).await;
        match outcome {
            Ok(()) => {
                self.count(|io| {
                    io.reads += batch.len() as u64;
                    io.read_bytes += batch.iter().map(|(_, buffer)| buffer.len() as u64).sum::<u64>();
                    io.read_errors_in_row = 0;
                });
                batch.into_iter().map(|(_, buffer)| Some(buffer)).collect()
            }
            Err(error) if is_alone => {
                self.read_failed(&error);
                vec![None]
            }
            // One of them failed: each by itself, so that the others are read.
            Err(_) => {
                let mut read = Vec::with_capacity(batch.len());
                for (offset, buffer) in batch {
                    let (outcome, buffer) = file.read_at(offset, buffer).await;
                    match outcome {
                        Ok(()) => {
                            self.count(|io| {
                                io.reads += 1;
                                io.read_bytes += buffer.len() as u64;
                                io.read_errors_in_row = 0;
                            });
                            read.push(Some(buffer));
                        }
                        Err(error) => {
                            self.read_failed(&error);
                            read.push(None);
                        }
                    }
                }
                read
            }
        }
    }

    fn read_failed(&self, error: &IoError) {
        self.count(|io| {
            io.read_errors += 1;
            io.read_errors_in_row += 1;
        });
        // A file that ends early was cut by somebody: nothing in it can be relied on.
        if error.kind() == IoErrorKind::UnexpectedEof || self.io.get().read_errors_in_row >= READ_ERRORS_MAX {
            self.switch_off(&format!("read failed: {error}"));
        }
    }

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
}
