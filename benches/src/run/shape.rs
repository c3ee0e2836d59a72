//! State of the shapes that stream processors keep: counters, lists, maps, windows. Each in a key space of its own beside the keys that are
//! loaded.
//!
//! ```text
//! counter   number (8 bytes) ── 'c' ..            add by merge                     a counter that this lane has added to is at least one
//! list      number (8 bytes) ── 'l' ..            records appended by merge        every record whole; those of this lane are there
//! map       2^63 + map (8 bytes) ── field (0..16) ..     put, then read the whole map     every entry whole, ascending; this lane's last one is there
//! window    2^63 + 2^62 + window (8 bytes) ── 128 + place ..    64 events, then read and delete  all 64 are there in order; afterwards, now and then looked
//!                                                                                  at, none
//! ```
//! Keys of a map and of a window are written beside their first 8 bytes, so that a scan by these finds them.

use super::stream::{LaneBuffers, Operation, Stream};
use super::target::{Merge, Target, TargetError};
use crate::load::mix::Kind;
use crate::load::record::{VALUE_BYTES_MIN, number_of, version_of, write_key, write_value};

/// Entries of a map.
const MAP_FIELDS: u64 = 16;
/// Events of a window.
const WINDOW_EVENTS: u64 = 64;
/// Of so many windows that were deleted one is looked at.
const WINDOWS_BETWEEN_LOOKS: u64 = 16;
/// Bytes that the keys of one map or one window begin with.
const ANCHOR_BYTES: usize = 8;
/// First byte behind them, in a window.
const WINDOW_FIELD_MIN: u8 = 128;
/// High bits of the first 8 bytes, so that maps, windows and the keys that are loaded never begin alike.
const MAPS: u64 = 1 << 63;
const WINDOWS: u64 = 3 << 62;
const COUNTER: u8 = b'c';
const LIST: u8 = b'l';
const ENTRY: u8 = b'e';

impl Stream {
    /// The next operation on such state and its number, with its key written. `draw` gives the number of a key, none at the end.
    pub(super) fn shaped_key<T: Target>(
        &self,
        target: &T,
        kind: Kind,
        place: &mut LaneBuffers,
        draw: &mut dyn FnMut() -> Option<u64>,
    ) -> Option<(Kind, u64)> {
        let key_bytes = self.plan.key_bytes;
        if matches!(kind, Kind::WindowInsert | Kind::WindowFire) {
            return self.window_key(target, place);
        }
        loop {
            let again = matches!(kind, Kind::ListRead | Kind::MapScan);
            let number = match place.shaped.last.filter(|_| again) {
                Some(last) => last,
                None => draw()?,
            };
            match kind {
                Kind::MapPut | Kind::MapScan => {
                    write_entry(&mut place.key, MAPS | (number / MAP_FIELDS), field(number), key_bytes);
                    if target.owns(anchor(&place.key)) {
                        return Some((kind, number));
                    }
                }
                _ => {
                    let filling = if kind == Kind::Merge { COUNTER } else { LIST };
                    write_key(&mut place.key, number, key_bytes, filling);
                    if target.owns(&place.key) {
                        return Some((kind, number));
                    }
                }
            }
        }
    }

    fn window_key<T: Target>(&self, target: &T, place: &mut LaneBuffers) -> Option<(Kind, u64)> {
        let key_bytes = self.plan.key_bytes;
        let (window, events) = match place.shaped.window {
            Some(window) => window,
            None => loop {
                let window = self.plan.live.next_window();
                write_entry(&mut place.key, WINDOWS | window, WINDOW_FIELD_MIN, key_bytes);
                if target.owns(anchor(&place.key)) {
                    break (window, 0);
                }
            },
        };
        place.shaped.window = Some((window, events));
        let at = u8::try_from(events % WINDOW_EVENTS).unwrap_or(0);
        write_entry(&mut place.key, WINDOWS | window, WINDOW_FIELD_MIN + at, key_bytes);
        let kind = if events == WINDOW_EVENTS { Kind::WindowFire } else { Kind::WindowInsert };
        Some((kind, window.saturating_mul(WINDOW_EVENTS) + u64::from(at)))
    }

    /// Does one operation on such state.
    pub(super) async fn apply_shaped<T: Target>(
        &self,
        target: &T,
        operation: Operation,
        place: &mut LaneBuffers,
    ) -> Result<(), TargetError> {
        let Operation { kind, number, version, .. } = operation;
        match kind {
            Kind::Merge => {
                self.wrote(place.key.len() + 8);
                target.merge(&place.key, Merge::Add, &1_i64.to_le_bytes()).await?;
                place.shaped.last = Some(number);
            }
            Kind::Append => {
                write_value(&mut place.value, number, version, self.record_bytes());
                self.wrote(place.key.len() + place.value.len());
                target.merge(&place.key, Merge::Append, &place.value).await?;
                place.shaped.last = Some(number);
            }
            Kind::ListRead => {
                let found = target.get(&place.key).await?;
                let found: &[u8] = found.as_ref().map(AsRef::as_ref).unwrap_or_default();
                let records = found.chunks(self.record_bytes());
                let whole = records.map(|record| version_of(record, number)).all(|version| version.is_some());
                let there = !found.is_empty() || place.shaped.last != Some(number);
                self.checked(whole && there, !found.is_empty(), place.key.len() + found.len());
            }
            Kind::MapPut | Kind::WindowInsert => {
                write_value(&mut place.value, number, version, self.record_bytes());
                self.wrote(place.key.len() + place.value.len());
                target.put_beside(anchor(&place.key), &place.key, &place.value).await?;
                place.shaped.last = Some(number);
                if kind == Kind::WindowInsert
                    && let Some((_, events)) = &mut place.shaped.window
                {
                    *events += 1;
                }
            }
            Kind::MapScan => {
                let entries = self.entries(target, place).await?;
                let wanted = (place.shaped.last == Some(number)).then_some(&place.key);
                let there = wanted.is_none_or(|key| entries.iter().any(|entry| entry == key));
                self.checked(there, !entries.is_empty(), 0);
            }
            _ => self.fire(target, place).await?,
        }
        Ok(())
    }

    async fn fire<T: Target>(&self, target: &T, place: &mut LaneBuffers) -> Result<(), TargetError> {
        let events = self.entries(target, place).await?;
        self.checked(events.len() as u64 == WINDOW_EVENTS, true, 0);
        self.wrote(ANCHOR_BYTES);
        target.delete_prefix(anchor(&place.key)).await?;
        let window = place.shaped.window.take().map_or(0, |(window, _)| window);
        if window.is_multiple_of(WINDOWS_BETWEEN_LOOKS) {
            let left = target.scan(anchor(&place.key), anchor(&place.key), 1).await?;
            self.checked(left.is_empty(), false, 0);
        }
        Ok(())
    }

    /// Keys of all entries beside the key's anchor; each entry is compared, and their order.
    async fn entries<T: Target>(&self, target: &T, place: &LaneBuffers) -> Result<Vec<Vec<u8>>, TargetError> {
        let anchor = anchor(&place.key);
        let limit = usize::try_from(WINDOW_EVENTS.max(MAP_FIELDS) + 1).unwrap_or(usize::MAX);
        let found = target.scan(anchor, anchor, limit).await?;
        let (mut right, mut bytes) = (true, 0);
        let mut keys: Vec<Vec<u8>> = Vec::with_capacity(found.len());
        for (key, value) in &found {
            let (key, value) = (key.as_ref(), value.as_ref());
            right &= key.starts_with(anchor) && keys.last().is_none_or(|last| last.as_slice() < key);
            right &= entry_number(key).is_some_and(|number| version_of(value, number).is_some());
            bytes += key.len() + value.len();
            keys.push(key.to_vec());
        }
        self.checked(right, !found.is_empty(), bytes);
        Ok(keys)
    }

    fn wrote(&self, bytes: usize) {
        self.recorder.borrow_mut().meter.written_bytes += bytes as u64;
    }

    /// All records of such state have one length, so that a list of them can be taken apart.
    fn record_bytes(&self) -> usize {
        usize::try_from(self.plan.value_bytes.mean_bytes()).unwrap_or(usize::MAX).max(VALUE_BYTES_MIN)
    }
}

/// The beginning that all keys of one map or window share.
fn anchor(key: &[u8]) -> &[u8] {
    key.get(..ANCHOR_BYTES).unwrap_or(key)
}

fn field(number: u64) -> u8 {
    u8::try_from(number % MAP_FIELDS).unwrap_or(0)
}

/// The key of an entry of a map or of a window.
fn write_entry(key: &mut Vec<u8>, of: u64, field: u8, key_bytes: usize) {
    write_key(key, of, key_bytes, ENTRY);
    if let Some(place) = key.get_mut(ANCHOR_BYTES) {
        *place = field;
    }
}

/// The number in the value of an entry.
fn entry_number(key: &[u8]) -> Option<u64> {
    let (of, field) = (number_of(key)? & !WINDOWS, *key.get(ANCHOR_BYTES)?);
    match field.checked_sub(WINDOW_FIELD_MIN) {
        Some(at) => Some(of.saturating_mul(WINDOW_EVENTS) + u64::from(at)),
        None => Some(of.saturating_mul(MAP_FIELDS) + u64::from(field)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_their_numbers_and_lie_beside_their_anchor() {
        let mut key = Vec::new();
        for (of, at, number) in [(3, 5, 3 * 16 + 5), (0, 0, 0), (9, 128 + 63, 9 * 64 + 63)] {
            write_entry(&mut key, of, at, 16);
            assert_eq!(entry_number(&key), Some(number));
            assert_eq!(number_of(anchor(&key)), Some(of));
            assert_eq!(key.len(), 16);
        }
        assert_eq!(entry_number(b"short"), None);
    }
}
