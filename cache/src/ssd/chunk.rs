//! The write buffer: neighbouring entries that are written at once, in the order they were begun.

use super::format::{PAGE_BYTES, Round};
use super::index::Spot;
use std::collections::VecDeque;

/// One write.
pub(super) struct Chunk {
    pub(super) region: u32,
    pub(super) round: Round,
    /// Where it begins in the file; a multiple of 4096.
    pub(super) offset: u64,
    pub(super) capacity: usize,
    pub(super) data: Vec<u8>,
}

impl Chunk {
    /// Bytes to write: whole pages.
    pub(super) fn write_bytes(&self) -> usize {
        self.data.len().next_multiple_of(PAGE_BYTES)
    }

    /// Copies the chunk into `buffer`, zeros after it.
    pub(super) fn copy_to(&self, buffer: &mut [u8]) {
        let (data, padding) = buffer.split_at_mut(self.data.len().min(buffer.len()));
        data.copy_from_slice(self.data.get(..data.len()).unwrap_or_default());
        padding.fill(0);
    }

    pub(super) fn bytes_at(&self, spot: Spot) -> Option<&[u8]> {
        let begin = usize::try_from(spot.begin().checked_sub(self.offset)?).ok()?;
        // Behind the last entry there is nothing yet.
        let end = self.data.len().min(begin + spot.bytes());
        self.data.get(begin..end).filter(|bytes| !bytes.is_empty())
    }
}

/// Chunks on their way to the disk.
#[derive(Default)]
pub(super) struct WriteBuffer {
    pub(super) filling: Option<Chunk>,
    sealed: VecDeque<Chunk>,
    sealed_bytes: u64,
    /// Memory of the last chunk written, for the next one: fresh pages are dear.
    spare: Vec<u8>,
}

impl WriteBuffer {
    /// Newest first.
    pub(super) fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        self.filling.iter().chain(self.sealed.iter().rev())
    }

    pub(super) fn push(&mut self, chunk: Chunk) {
        self.sealed_bytes += chunk.capacity as u64;
        self.sealed.push_back(chunk);
    }

    /// Ends the chunk being filled; the bytes that it will write.
    pub(super) fn seal(&mut self) -> usize {
        let Some(chunk) = self.filling.take() else { return 0 };
        let bytes = chunk.write_bytes();
        self.push(chunk);
        bytes
    }

    /// Room for a chunk of this size.
    pub(super) fn memory(&mut self, capacity: usize) -> Vec<u8> {
        let mut data = std::mem::take(&mut self.spare);
        data.reserve_exact(capacity);
        data
    }

    /// The chunk to write next, or being written.
    pub(super) fn oldest(&self) -> Option<&Chunk> {
        self.sealed.front()
    }

    /// The oldest chunk is on disk. Its memory is kept if it is no larger than `spare_bytes_max`.
    pub(super) fn written(&mut self, spare_bytes_max: u64) {
        let Some(mut chunk) = self.sealed.pop_front() else { return };
        self.sealed_bytes -= chunk.capacity as u64;
        if chunk.capacity as u64 <= spare_bytes_max && chunk.data.capacity() > self.spare.capacity() {
            chunk.data.clear();
            self.spare = chunk.data;
        }
    }

    pub(super) fn holds(&self, region: u32) -> bool {
        self.chunks().any(|chunk| chunk.region == region)
    }

    pub(super) fn pending_bytes(&self) -> u64 {
        self.sealed_bytes + self.filling.as_ref().map_or(0, |chunk| chunk.capacity as u64)
    }

    pub(super) fn sealed_bytes(&self) -> u64 {
        self.sealed_bytes
    }
}
