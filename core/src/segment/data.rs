//! Data blocks: sorted entries with prefix compression and restart points.
//!
//! ```text
//! entry:   varint shared key bytes | varint further key bytes | varint value bytes + 1 (0: deleted) | key bytes | value bytes
//! payload: entry ... entry | restart offset, 4 bytes each ... | number of restarts, 4 bytes
//! ```
//! Every 16th entry starts anew with nothing shared: a restart. A point lookup searches the restarts, then walks at most 16 entries.
//! (After LevelDB's `doc/table_format.md`.)

use super::Place;
use crate::codec::{Reader, put_varint, stored_u32, u32_at};
use crate::error::Result;
use crate::limits::RESTART_INTERVAL;
use bytes::Bytes;
use std::cmp::Ordering;

/// Collects sorted entries into a payload.
#[derive(Default)]
pub(crate) struct Builder {
    payload: Vec<u8>,
    restarts: Vec<u32>,
    last_key: Vec<u8>,
    entries: usize,
}

impl Builder {
    /// Appends an entry; keys must come in strictly ascending order.
    pub(crate) fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        debug_assert!(self.entries == 0 || key > self.last_key.as_slice(), "keys ascend");
        let shared = if self.entries.is_multiple_of(RESTART_INTERVAL) {
            self.restarts.push(stored_u32(self.payload.len()));
            0
        } else {
            common_prefix(&self.last_key, key)
        };
        let suffix = key.get(shared..).unwrap_or_default();
        put_varint(&mut self.payload, stored_u32(shared));
        put_varint(&mut self.payload, stored_u32(suffix.len()));
        put_varint(&mut self.payload, value.map_or(0, |value| stored_u32(value.len() + 1)));
        self.payload.extend_from_slice(suffix);
        self.payload.extend_from_slice(value.unwrap_or_default());
        self.last_key.truncate(shared);
        self.last_key.extend_from_slice(suffix);
        self.entries += 1;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries == 0
    }

    pub(crate) fn payload_bytes(&self) -> usize {
        self.payload.len() + self.restarts.len() * 4 + 4
    }

    pub(crate) fn last_key(&self) -> &[u8] {
        &self.last_key
    }

    /// Completes the payload, hands it to `write`, and begins the next block.
    pub(crate) fn finish<T>(&mut self, write: impl FnOnce(&[u8]) -> T) -> T {
        for restart in &self.restarts {
            self.payload.extend_from_slice(&restart.to_le_bytes());
        }
        self.payload.extend_from_slice(&stored_u32(self.restarts.len()).to_le_bytes());
        let out = write(&self.payload);
        self.payload.clear();
        self.restarts.clear();
        self.last_key.clear();
        self.entries = 0;
        out
    }
}

fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// A verified data block, ready to be searched.
#[derive(Clone, Debug)]
pub(crate) struct DataBlock {
    payload: Bytes,
    entries_end: usize,
    restarts: usize,
}

/// One entry as it is stored: its key is the first `shared` bytes of the entry before it, then `suffix`.
struct Entry<'a> {
    shared: usize,
    suffix: &'a [u8],
    value: Option<&'a [u8]>,
}

impl DataBlock {
    /// Checks the frame of a payload whose checksum was verified.
    pub(crate) fn decode(payload: Bytes, place: &Place) -> Result<Self> {
        let bad = || place.corrupt("a data block with its restarts", format!("{} bytes", payload.len()));
        let count_at = payload.len().checked_sub(4).ok_or_else(bad)?;
        let restarts = u32_at(&payload, count_at).ok_or_else(bad)? as usize;
        let entries_end =
            restarts.checked_mul(4).and_then(|bytes| count_at.checked_sub(bytes)).ok_or_else(bad)?;
        if restarts == 0 {
            return Err(bad());
        }
        Ok(Self { payload, entries_end, restarts })
    }

    /// Bytes it takes in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.payload.len() + size_of::<Self>()
    }

    /// The newest write to `key` in this block: `None` if there is none, `Some(None)` if it is a deletion.
    ///
    /// No key is put together on the way: the walk only tracks how many bytes the target shares with the entry before.
    pub(crate) fn get(&self, key: &[u8], place: &Place) -> Result<Option<Option<&[u8]>>> {
        let mut reader = self.entries_from(self.restart_before(key, place)?, place)?;
        // Every entry passed so far is below `key`; it shares `matched` bytes with the last of them.
        let mut matched = 0;
        while reader.remaining() > 0 {
            let entry = next_entry(&mut reader, place)?;
            match entry.shared.cmp(&matched) {
                // Its key goes on where the last one already was below the target.
                Ordering::Greater => continue,
                // It left the target's prefix, upwards, as keys ascend (or, at a restart, shares nothing by definition).
                Ordering::Less if entry.shared > 0 => return Ok(None),
                _ => {}
            }
            let rest =
                key.get(entry.shared..).ok_or_else(|| place.corrupt("a shared key prefix", entry.shared))?;
            match entry.suffix.cmp(rest) {
                Ordering::Less => matched = entry.shared + common_prefix(entry.suffix, rest),
                Ordering::Equal => return Ok(Some(entry.value)),
                Ordering::Greater => return Ok(None),
            }
        }
        Ok(None)
    }

    /// The last restart whose key is at most `key` (the first restart if none is).
    fn restart_before(&self, key: &[u8], place: &Place) -> Result<usize> {
        let (mut low, mut high) = (0, self.restarts);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            let mut reader = self.entries_from(middle, place)?;
            let entry = next_entry(&mut reader, place)?;
            if entry.suffix <= key {
                low = middle;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// A reader of the entries from restart `restart` on.
    fn entries_from(&self, restart: usize, place: &Place) -> Result<Reader<'_>> {
        u32_at(&self.payload, self.entries_end + restart * 4)
            .and_then(|at| self.payload.get(at as usize..self.entries_end))
            .map(Reader::new)
            .ok_or_else(|| place.corrupt("a restart inside the block", format!("restart {restart}")))
    }

    /// A cursor at the first entry whose key is `from` or above.
    pub(crate) fn seek(&self, from: &[u8], place: &Place) -> Result<Cursor> {
        let restart = self.restart_before(from, place)?;
        let at = u32_at(&self.payload, self.entries_end + restart * 4).unwrap_or(0) as usize;
        let mut cursor = Cursor { block: self.clone(), at, key: Vec::new(), value: None, valid: false };
        while cursor.advance(place)? {
            if cursor.key.as_slice() >= from {
                return Ok(cursor);
            }
        }
        Ok(cursor)
    }
}

fn next_entry<'a>(reader: &mut Reader<'a>, place: &Place) -> Result<Entry<'a>> {
    parse_entry(reader).ok_or_else(|| {
        place.plus(reader.at() as u64).corrupt("an entry of a data block", "one that ends early")
    })
}

fn parse_entry<'a>(reader: &mut Reader<'a>) -> Option<Entry<'a>> {
    let shared = reader.varint()? as usize;
    let suffix_bytes = reader.varint()? as usize;
    let value_bytes = reader.varint()? as usize;
    let suffix = reader.bytes(suffix_bytes)?;
    let value = match value_bytes.checked_sub(1) {
        None => None,
        Some(bytes) => Some(reader.bytes(bytes)?),
    };
    Some(Entry { shared, suffix, value })
}

/// Walks the entries of one block in order.
#[derive(Debug)]
pub(crate) struct Cursor {
    block: DataBlock,
    at: usize,
    key: Vec<u8>,
    /// Where the current value lies in the payload; `None` before the first entry, after the last, and for deletions.
    value: Option<(usize, usize)>,
    valid: bool,
}

impl Cursor {
    /// Goes to the next entry; `false` at the end, where the key is empty.
    pub(crate) fn advance(&mut self, place: &Place) -> Result<bool> {
        let rest = self.block.payload.get(self.at..self.block.entries_end).unwrap_or_default();
        if rest.is_empty() {
            self.key.clear();
            self.value = None;
            self.valid = false;
            return Ok(false);
        }
        let mut reader = Reader::new(rest);
        let entry = next_entry(&mut reader, place)?;
        if entry.shared > self.key.len() {
            return Err(place.corrupt(
                "a shared key prefix",
                format!("{} bytes of a key of {}", entry.shared, self.key.len()),
            ));
        }
        self.key.truncate(entry.shared);
        self.key.extend_from_slice(entry.suffix);
        self.at += reader.at();
        self.value = entry.value.map(|value| (self.at - value.len(), self.at));
        self.valid = true;
        Ok(true)
    }

    /// Whether it stands on an entry.
    pub(crate) fn is_valid(&self) -> bool {
        self.valid
    }

    /// Key of the current entry.
    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }

    /// Value of the current entry; `None` marks a deletion.
    pub(crate) fn value(&self) -> Option<&[u8]> {
        self.value.and_then(|(start, end)| self.block.payload.get(start..end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aquifer_remote::ObjectName;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn place() -> Place {
        Place { object: ObjectName::new("pack/test").unwrap(), offset: 0 }
    }

    fn block(entries: &BTreeMap<Vec<u8>, Option<Vec<u8>>>) -> DataBlock {
        let mut builder = Builder::default();
        for (key, value) in entries {
            builder.push(key, value.as_deref());
        }
        builder.finish(|payload| DataBlock::decode(Bytes::copy_from_slice(payload), &place()).unwrap())
    }

    fn small_keys() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop::sample::select(vec![0u8, 1, b'a', 255]), 0..7)
    }

    proptest! {
        #[test]
        fn answers_like_a_map(
            entries in prop::collection::btree_map(small_keys(), prop::option::of(prop::collection::vec(any::<u8>(), 0..9)), 1..120),
            asked in prop::collection::vec(small_keys(), 0..60),
        ) {
            let block = block(&entries);
            for key in asked.iter().chain(entries.keys()) {
                let expected = entries.get(key).map(Option::as_deref);
                prop_assert_eq!(block.get(key, &place()).unwrap(), expected);
                let mut cursor = block.seek(key, &place()).unwrap();
                for (want_key, want_value) in entries.range(key.clone()..) {
                    prop_assert_eq!(cursor.key(), want_key.as_slice());
                    prop_assert_eq!(cursor.value(), want_value.as_deref());
                    cursor.advance(&place()).unwrap();
                }
                prop_assert!(!cursor.is_valid());
            }
        }

        #[test]
        fn hostile_payloads_are_errors_never_panics(mut payload in prop::collection::vec(any::<u8>(), 0..300), restarts in 0u32..9) {
            payload.extend_from_slice(&restarts.to_le_bytes());
            if let Ok(block) = DataBlock::decode(Bytes::from(payload), &place()) {
                let _ = block.get(b"key", &place());
                if let Ok(mut cursor) = block.seek(b"", &place()) {
                    while let Ok(true) = cursor.advance(&place()) {}
                }
            }
        }
    }
}
