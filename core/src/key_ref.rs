//! How callers name keys and ranges of keys.

use crate::error::{Error, Result};
use crate::key::{GROUP_BYTES, Route, engine_key, group_prefix, key_group, put_engine_key};
use crate::write::OwnedKey;
use std::ops::{Bound, RangeBounds};

/// A key as a caller names it: its bytes, and what decides its key group.
///
/// By default that is the hash of the bytes ([`crate::key_group`]); anything that is `AsRef<[u8]>` becomes such a key. Keys that belong
/// together, such as the entries of one map, share a group when they are made with [`Key::beside`] or [`Key::in_group`]: then a
/// scan finds them side by side. A key must be named with the same group every time: `beside(a, k)` and `beside(b, k)` are two keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key<'a> {
    group: Group<'a>,
    bytes: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group<'a> {
    Hashed(&'a [u8]),
    Given(u16),
}

impl<'a> Key<'a> {
    /// The key `bytes` in the group of the hash of `anchor`: all keys beside one anchor share its group and its shard.
    pub const fn beside(anchor: &'a [u8], bytes: &'a [u8]) -> Self {
        Self { group: Group::Hashed(anchor), bytes }
    }

    /// The key `bytes` in key group `group`, for embedders with an assignment of their own.
    pub const fn in_group(group: u16, bytes: &'a [u8]) -> Self {
        Self { group: Group::Given(group), bytes }
    }

    /// Its bytes, without the group.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn to_owned_key(self) -> OwnedKey {
        let (anchor, group) = match self.group {
            // Most keys are their own anchor.
            Group::Hashed(anchor) => ((anchor != self.bytes).then(|| Box::from(anchor)), None),
            Group::Given(group) => (None, Some(group)),
        };
        OwnedKey { anchor, group, bytes: Box::from(self.bytes) }
    }

    /// Its key group in a store of `key_groups` groups, whether or not such a group exists.
    pub(crate) fn group(&self, key_groups: u16) -> u16 {
        match self.group {
            Group::Hashed(anchor) => key_group(anchor, key_groups),
            Group::Given(group) => group,
        }
    }

    fn checked_group(&self, route: Route) -> Result<u16> {
        let group = self.group(route.key_groups());
        check_group(group, route).map(|()| group)
    }

    /// The key as the engine orders it, and its group.
    pub(crate) fn engine_key(&self, route: Route) -> Result<(u16, Box<[u8]>)> {
        let group = self.checked_group(route)?;
        Ok((group, engine_key(group, self.bytes)?))
    }

    /// The same into a buffer that is used again and again; what it held is dropped.
    pub(crate) fn put_engine_key(&self, route: Route, out: &mut Vec<u8>) -> Result<u16> {
        let group = self.checked_group(route)?;
        put_engine_key(group, self.bytes, out)?;
        Ok(group)
    }
}

impl OwnedKey {
    pub(crate) fn as_key(&self) -> Key<'_> {
        let group = match self.group {
            Some(group) => Group::Given(group),
            None => Group::Hashed(self.anchor.as_deref().unwrap_or(&self.bytes)),
        };
        Key { group, bytes: &self.bytes }
    }
}

impl<'a, T: AsRef<[u8]> + ?Sized> From<&'a T> for Key<'a> {
    fn from(bytes: &'a T) -> Self {
        let bytes = bytes.as_ref();
        Self { group: Group::Hashed(bytes), bytes }
    }
}

fn check_group(group: u16, route: Route) -> Result<()> {
    if group < route.key_groups() {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "key group {group} does not exist: this store has groups 0 to {}",
        route.key_groups() - 1
    )))
}

/// A range of keys of one key group, in the order of their bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    group: RangeGroup,
    from: Bound<Vec<u8>>,
    to: Bound<Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum RangeGroup {
    Hashed(Vec<u8>),
    Given(u16),
}

impl KeyRange {
    /// All keys of a key group.
    pub const fn group(group: u16) -> Self {
        Self { group: RangeGroup::Given(group), from: Bound::Unbounded, to: Bound::Unbounded }
    }

    /// The keys in `group` whose bytes lie in `range`.
    pub fn in_group<'a>(group: u16, range: impl RangeBounds<&'a [u8]>) -> Self {
        Self::group(group).within(range)
    }

    /// The keys in the group of the hash of `anchor` ([`Key::beside`]) whose bytes lie in `range`.
    pub fn beside<'a>(anchor: &[u8], range: impl RangeBounds<&'a [u8]>) -> Self {
        let group = RangeGroup::Hashed(anchor.to_vec());
        Self { group, from: Bound::Unbounded, to: Bound::Unbounded }.within(range)
    }

    /// The keys that begin with the bytes of `prefix`, in the group that `prefix` names.
    pub fn prefix<'a>(prefix: impl Into<Key<'a>>) -> Self {
        let Key { group, bytes } = prefix.into();
        let group = match group {
            Group::Hashed(anchor) => RangeGroup::Hashed(anchor.to_vec()),
            Group::Given(group) => RangeGroup::Given(group),
        };
        let to = successor(bytes).map_or(Bound::Unbounded, Bound::Excluded);
        Self { group, from: Bound::Included(bytes.to_vec()), to }
    }

    fn within<'a>(self, range: impl RangeBounds<&'a [u8]>) -> Self {
        let owned = |bound: Bound<&&'a [u8]>| bound.map(|bytes| bytes.to_vec());
        Self { from: owned(range.start_bound()), to: owned(range.end_bound()), ..self }
    }

    /// The range as the engine orders keys.
    pub(crate) fn engine_range(&self, route: Route) -> Result<EngineRange> {
        let group = match &self.group {
            RangeGroup::Hashed(anchor) => key_group(anchor, route.key_groups()),
            RangeGroup::Given(group) => *group,
        };
        check_group(group, route)?;
        let after = |bytes: &[u8]| {
            let mut key = engine_key(group, bytes)?.into_vec();
            key.push(0);
            Ok::<_, Error>(key.into_boxed_slice())
        };
        let from = match &self.from {
            Bound::Included(bytes) => engine_key(group, bytes)?,
            // The smallest key above `bytes` is `bytes` and a zero byte.
            Bound::Excluded(bytes) => after(bytes)?,
            Bound::Unbounded => Box::from(group_prefix(group)),
        };
        let to = match &self.to {
            Bound::Included(bytes) => after(bytes)?,
            Bound::Excluded(bytes) => engine_key(group, bytes)?,
            Bound::Unbounded => Box::from(group_prefix(group + 1)),
        };
        Ok(EngineRange { group, from, to })
    }
}

/// A range of engine keys in one key group: from the first up to, not including, the second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EngineRange {
    pub(crate) group: u16,
    pub(crate) from: Box<[u8]>,
    pub(crate) to: Box<[u8]>,
}

impl EngineRange {
    pub(crate) fn is_empty(&self) -> bool {
        self.from >= self.to
    }
}

/// The smallest byte string above everything that begins with `prefix`; `None` if there is none.
fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let kept = prefix.iter().rposition(|byte| *byte < 0xff)?;
    let mut next = prefix.get(..=kept)?.to_vec();
    *next.last_mut()? += 1;
    Some(next)
}

const _: () = assert!(GROUP_BYTES == 2);

#[cfg(test)]
mod tests {
    use super::*;

    fn route() -> Route {
        Route::new(128, 2).unwrap()
    }

    #[test]
    fn keys_are_grouped_by_themselves_by_an_anchor_or_by_the_caller() {
        let hashed = Key::from(b"N14228").engine_key(route()).unwrap();
        assert_eq!(hashed.0, key_group(b"N14228", 128));
        assert_eq!(Key::beside(b"N14228", b"map entry").engine_key(route()).unwrap().0, hashed.0);
        assert_eq!(Key::in_group(7, b"x").engine_key(route()).unwrap(), (7, Box::from([0, 7, b'x'])));
        let error = Key::in_group(128, b"x").engine_key(route()).unwrap_err();
        assert!(error.to_string().contains("groups 0 to 127"), "{error}");
        let mut buffer = vec![9; 40];
        assert_eq!(Key::in_group(7, b"x").put_engine_key(route(), &mut buffer).unwrap(), 7);
        assert_eq!(buffer, [0, 7, b'x']);
    }

    #[test]
    fn ranges_hold_what_they_say() {
        let range = |range: KeyRange| range.engine_range(route()).unwrap();
        let holds = |range: &EngineRange, bytes: &[u8]| {
            let key = engine_key(range.group, bytes).unwrap();
            *range.from <= *key && *key < *range.to
        };
        let all = range(KeyRange::group(127));
        assert!(holds(&all, b"") && holds(&all, &[0xff; 9]));
        let prefix = range(KeyRange::prefix(Key::in_group(3, b"ab")));
        assert!(holds(&prefix, b"ab") && holds(&prefix, b"ab\xff\xff"));
        assert!(!holds(&prefix, b"aa\xff") && !holds(&prefix, b"ac"));
        let high = range(KeyRange::prefix(Key::in_group(3, b"\xff\xff")));
        assert!(holds(&high, b"\xff\xff\xff") && !holds(&high, b"\xff\xfe"));
        let closed = range(KeyRange::in_group(3, b"b".as_slice()..=b"d".as_slice()));
        assert!(holds(&closed, b"b") && holds(&closed, b"d") && !holds(&closed, b"d\0"));
        let open = range(KeyRange::beside(
            b"anchor",
            (Bound::Excluded(b"b".as_slice()), Bound::Excluded(b"d".as_slice())),
        ));
        assert_eq!(open.group, key_group(b"anchor", 128));
        assert!(!holds(&open, b"b") && holds(&open, b"b\0") && !holds(&open, b"d"));
        assert!(range(KeyRange::in_group(3, b"d".as_slice()..b"b".as_slice())).is_empty());
    }
}
