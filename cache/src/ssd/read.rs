//! Entries as the read plan reads them: located, read alone or as a part of an extent, and verified.

use super::tier::{Lookup, OnDisk};
use super::{Extent, Ssd, format};
use crate::key::{CacheKey, Class};
use aquifer_io::Buffer;
use bytes::Bytes;
use std::rc::Rc;

/// Where in the file an entry lies.
pub(crate) struct Place {
    class: Class,
    key: CacheKey,
    entry: OnDisk,
    extent: Extent,
}

impl Place {
    /// Where in the file to begin to read: a multiple of the file's alignment.
    pub(crate) fn offset(&self) -> u64 {
        self.extent.offset
    }

    /// How much to read from there: a multiple of the file's alignment, at least that.
    pub(crate) fn bytes(&self) -> usize {
        self.extent.bytes
    }
}

impl Ssd {
    /// Where in the file the entry lies, if it is there: to be read, alone or with others, and handed to [`Ssd::complete`]. `None`
    /// counts a miss. Ask for what is buffered before.
    pub(crate) fn locate(&self, class: Class, key: &CacheKey) -> Option<Place> {
        let mut running = self.shared.running.borrow_mut();
        let running = running.as_mut()?;
        match running.tier.lookup(key) {
            Lookup::OnDisk(entry) => {
                let extent = Extent::new(&entry, running.file.align_bytes());
                Some(Place { class, key: *key, entry, extent })
            }
            Lookup::Buffered(_) | Lookup::Miss => {
                running.tier.stats.class_mut(class).misses += 1;
                None
            }
        }
    }

    /// Reads an extent of the file, offset and length in multiples of the file's alignment. An I/O error switches the tier off.
    ///
    /// Extents whose reads are begun in one turn of the loop leave in one submission.
    pub(crate) async fn read_extent(&self, offset: u64, bytes: usize) -> Option<Buffer> {
        let file = Rc::clone(&self.shared.running.borrow().as_ref()?.file);
        let read = async {
            let buffer = aquifer_io::acquire_buffer(bytes).await?;
            let (outcome, buffer) = file.read_at(offset, buffer).await;
            outcome.map(|()| buffer)
        };
        match read.await {
            Ok(buffer) => {
                self.shared.count(|io| {
                    io.reads += 1;
                    io.read_bytes += bytes as u64;
                });
                Some(buffer)
            }
            Err(error) => {
                self.shared.switch_off(&format!("read failed: {error}"));
                None
            }
        }
    }

    /// The data of an entry, given what was read of the file from `place.offset()` on. Verified: anything that is not the entry asked
    /// for is a miss, and leaves the index.
    pub(crate) fn complete(&self, place: Place, found: &[u8]) -> Option<Bytes> {
        let Place { class, key, entry, extent } = place;
        let mut running = self.shared.running.borrow_mut();
        let tier = &mut running.as_mut()?.tier;
        let mut data = None;
        if tier.is_current(&entry) && !found.is_empty() {
            match format::entry_data(found.get(extent.skip..).unwrap_or_default(), entry.round, &key) {
                Ok(found) => data = Some(Bytes::copy_from_slice(found)),
                Err(_) => {
                    self.shared.count(|io| io.bad_entries += 1);
                    tier.remove(key.hash64(), entry.place.sector);
                }
            }
        }
        let stats = tier.stats.class_mut(class);
        if data.is_some() {
            stats.hits += 1;
        } else {
            stats.misses += 1;
        }
        data
    }

    /// The entry, buffered or by a read of its own.
    #[cfg(test)]
    pub(crate) async fn get(&self, class: Class, key: &CacheKey) -> Option<Bytes> {
        if let Some(data) = self.get_buffered(class, key) {
            return Some(data);
        }
        let place = self.locate(class, key)?;
        let read = self.read_extent(place.offset(), place.bytes()).await;
        self.complete(place, read.as_deref().unwrap_or_default())
    }
}
