//! How callers name keys and ranges of keys.

use crate::error::{Error, Result};
use crate::key::{GROUP_BYTES, Route, engine_key, group_prefix, key_group, put_engine_key};
use crate::limits::KEY_BYTES_MAX;
use std::ops::{Bound, Range, RangeBounds};

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
    /// Of the hash of its own bytes.
    Own,
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

    pub(crate) fn to_owned_key(self) -> OwnedKey {
        let (anchor, group) = match self.group {
            // Most keys are their own anchor.
            Group::Own => (None, None),
            Group::Hashed(anchor) => (Some(Box::from(anchor)), None),
            Group::Given(group) => (None, Some(group)),
        };
        OwnedKey { anchor, group, bytes: Box::from(self.bytes) }
    }

    /// Its key group in a store of `key_groups` groups, whether or not such a group exists.
    pub(crate) fn group(&self, key_groups: u16) -> u16 {
        match self.group {
            Group::Own => key_group(self.bytes, key_groups),
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

/// A [`Key`] that owns its bytes.
#[derive(Clone, Debug)]
pub(crate) struct OwnedKey {
    pub(crate) anchor: Option<Box<[u8]>>,
    pub(crate) group: Option<u16>,
    pub(crate) bytes: Box<[u8]>,
}

impl OwnedKey {
    pub(crate) fn as_key(&self) -> Key<'_> {
        let group = match self.group {
            Some(group) => Group::Given(group),
            None => self.anchor.as_deref().map_or(Group::Own, Group::Hashed),
        };
        Key { group, bytes: &self.bytes }
    }
}

impl<'a, T: AsRef<[u8]> + ?Sized> From<&'a T> for Key<'a> {
    fn from(bytes: &'a T) -> Self {
        Self { group: Group::Own, bytes: bytes.as_ref() }
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

/// A range of keys: of one key group, or of every key group.
///
/// Keys that are their own anchor are spread over all key groups by their hash: a range of them, or a prefix, is visited in every one
/// ([`KeyRange::in_all_groups`], [`KeyRange::prefix`] of plain bytes). Keys beside an anchor, or in a group that the caller gives, lie side by side:
/// a range of them is in one.
///
/// ```text
/// prefix(b"user:")                          in every key group        in_all_groups(b"a".as_slice()..)
/// prefix(Key::beside(b"map", b"user:"))     in the group of "map"     beside(b"map", b"a".as_slice()..)
/// prefix(Key::in_group(7, b"user:"))        in group 7                in_group(7, b"a".as_slice()..), group(7)
/// ```
/// In one group keys stand in the order of their bytes. Over all groups they stand group by group, in the order of the groups' numbers, and
/// in the order of their bytes within each.
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
    All,
    /// What a page left of all groups: those, the next of them beyond a key if there is one.
    Rest {
        groups: Range<u16>,
        reverse: bool,
        behind: Option<Vec<u8>>,
    },
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

    /// The keys of every key group whose bytes lie in `range`. A deletion leaves a marker in each group; a scan asks one group after the other.
    pub fn in_all_groups<'a>(range: impl RangeBounds<&'a [u8]>) -> Self {
        Self { group: RangeGroup::All, from: Bound::Unbounded, to: Bound::Unbounded }.within(range)
    }

    /// The keys in the group of the hash of `anchor` ([`Key::beside`]) whose bytes lie in `range`.
    pub fn beside<'a>(anchor: &[u8], range: impl RangeBounds<&'a [u8]>) -> Self {
        let group = RangeGroup::Hashed(anchor.to_vec());
        Self { group, from: Bound::Unbounded, to: Bound::Unbounded }.within(range)
    }

    /// The keys that begin with the bytes of `prefix`: of plain bytes those of every key group, as keys are spread over all of them; of a
    /// [`Key::beside`] or [`Key::in_group`] those of its group.
    pub fn prefix<'a>(prefix: impl Into<Key<'a>>) -> Self {
        let Key { group, bytes } = prefix.into();
        let group = match group {
            Group::Own => RangeGroup::All,
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

    /// What it names, one stretch a key group.
    ///
    /// # Errors
    /// `Invalid` for a key group that does not exist, and for a too long key.
    pub(crate) fn stretches(&self, route: Route) -> Result<Stretches> {
        let (groups, behind) = match &self.group {
            RangeGroup::All => (0..route.key_groups(), None),
            RangeGroup::Rest { groups, reverse, behind } => (
                groups.start..groups.end.min(route.key_groups()),
                behind.as_deref().map(|key| (key, *reverse)),
            ),
            RangeGroup::Hashed(anchor) => {
                let group = key_group(anchor, route.key_groups());
                (group..group + 1, None)
            }
            RangeGroup::Given(group) => {
                check_group(*group, route)?;
                (*group..*group + 1, None)
            }
        };
        for bound in [&self.from, &self.to] {
            if let Bound::Included(bytes) | Bound::Excluded(bytes) = bound {
                engine_key(0, bytes)?;
            }
        }
        let bounds = (self.from.clone(), self.to.clone());
        let mut stretches = Stretches { bounds, groups, rest: None };
        if let Some((key, reverse)) = behind {
            stretches.go_behind(key, reverse)?;
        }
        Ok(stretches)
    }

    /// Whether it is of all key groups.
    pub(crate) const fn is_of_all(&self) -> bool {
        matches!(self.group, RangeGroup::All | RangeGroup::Rest { .. })
    }

    /// The range as the engine orders keys, of one key group.
    pub(crate) fn engine_range(&self, route: Route) -> Result<EngineRange> {
        let stretches = self.stretches(route)?;
        match stretches.next(false)? {
            Some(range) if !self.is_of_all() => Ok(range),
            _ => Err(Error::invalid(
                "a range of all key groups where one of a single group is needed: name the group",
            )),
        }
    }
}

/// The smallest engine key above the key `bytes` of `group`.
fn engine_key_after(group: u16, bytes: &[u8]) -> Result<Box<[u8]>> {
    let mut key = engine_key(group, bytes)?.into_vec();
    if bytes.len() < KEY_BYTES_MAX {
        // The smallest key above `bytes` is `bytes` and a zero byte.
        key.push(0);
        return Ok(key.into_boxed_slice());
    }
    // That would be longer than any key: the next one there may be does not begin with `bytes`.
    match successor(bytes) {
        Some(next) => engine_key(group, &next),
        None => Ok(Box::from(group_prefix(group + 1))),
    }
}

/// The same range of keys in each of several key groups: a scan goes through them one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stretches {
    bounds: (Bound<Vec<u8>>, Bound<Vec<u8>>),
    groups: Range<u16>,
    /// Of the next group, if not all of it is left.
    rest: Option<EngineRange>,
}

impl Stretches {
    /// What is next, of one key group; `None` at the end.
    pub(crate) fn next(&self, reverse: bool) -> Result<Option<EngineRange>> {
        match (&self.rest, self.next_group(reverse)) {
            (_, None) => Ok(None),
            (Some(rest), Some(group)) if rest.group == group => Ok(Some(rest.clone())),
            (_, Some(group)) => self.of_group(group).map(Some),
        }
    }

    fn next_group(&self, reverse: bool) -> Option<u16> {
        if self.groups.is_empty() {
            return None;
        }
        Some(if reverse { self.groups.end - 1 } else { self.groups.start })
    }

    /// The whole range in one key group.
    pub(crate) fn of_group(&self, group: u16) -> Result<EngineRange> {
        let from = match &self.bounds.0 {
            Bound::Included(bytes) => engine_key(group, bytes)?,
            Bound::Excluded(bytes) => engine_key_after(group, bytes)?,
            Bound::Unbounded => Box::from(group_prefix(group)),
        };
        let to = match &self.bounds.1 {
            Bound::Included(bytes) => engine_key_after(group, bytes)?,
            Bound::Excluded(bytes) => engine_key(group, bytes)?,
            Bound::Unbounded => Box::from(group_prefix(group + 1)),
        };
        Ok(EngineRange { group, from, to })
    }

    pub(crate) fn groups(&self) -> Range<u16> {
        self.groups.clone()
    }

    /// Those of the groups `owned`.
    pub(crate) fn within(&self, owned: &Range<u16>) -> Self {
        let (start, end) = (self.groups.start.max(owned.start), self.groups.end.min(owned.end));
        Self { groups: start..end.max(start), ..self.clone() }
    }

    /// Leaves everything up to and with `group` behind.
    pub(crate) fn leave(&mut self, group: u16, reverse: bool) {
        self.rest = None;
        if reverse {
            self.groups.end = self.groups.end.min(group).max(self.groups.start);
        } else {
            self.groups.start = self.groups.start.max(group.saturating_add(1)).min(self.groups.end);
        }
    }

    /// Leaves everything before `group` behind.
    pub(crate) fn skip_to(&mut self, group: u16, reverse: bool) {
        if self.next_group(reverse) == Some(group) {
            return;
        }
        self.rest = None;
        if reverse {
            self.groups.end = self.groups.end.min(group.saturating_add(1)).max(self.groups.start);
        } else {
            self.groups.start = self.groups.start.max(group).min(self.groups.end);
        }
    }

    /// Goes to what lies behind `key` in the next group.
    pub(crate) fn go_behind(&mut self, key: &[u8], reverse: bool) -> Result<()> {
        if let Some(range) = self.next(reverse)? {
            self.rest = Some(if reverse {
                EngineRange { to: engine_key(range.group, key)?, ..range }
            } else {
                EngineRange { from: engine_key_after(range.group, key)?, ..range }
            });
        }
        Ok(())
    }

    /// What a page that ended in `group`, with more of it behind `next`, leaves of them, as its caller may ask for it. `None`: nothing.
    pub(crate) fn after_page(&self, group: u16, next: Option<&[u8]>, reverse: bool) -> Option<KeyRange> {
        let mut left = self.clone();
        left.leave(group, reverse);
        if next.is_some() {
            if reverse {
                left.groups = self.groups.start..group + 1;
            } else {
                left.groups = group..self.groups.end;
            }
        }
        let (from, to) = left.bounds;
        let rest =
            RangeGroup::Rest { groups: left.groups.clone(), reverse, behind: next.map(<[u8]>::to_vec) };
        (!left.groups.is_empty()).then_some(KeyRange { group: rest, from, to })
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

    /// A prefix of keys that are their own anchor was hashed to one key group: scans found nothing, deletions deleted nothing, and both said so to nobody.
    #[test]
    fn a_prefix_says_whether_it_is_of_one_group_or_of_all() {
        let groups = |range: KeyRange| range.stretches(route()).unwrap().groups();
        assert_eq!(groups(KeyRange::prefix(b"user:")), 0..128);
        assert_eq!(groups(KeyRange::in_all_groups(..)), 0..128);
        let anchor = key_group(b"map", 128);
        assert_eq!(groups(KeyRange::prefix(Key::beside(b"map", b"user:"))), anchor..anchor + 1);
        assert_eq!(groups(KeyRange::prefix(Key::beside(b"user:", b"user:"))).len(), 1);
        assert_eq!(groups(KeyRange::prefix(Key::in_group(7, b"user:"))), 7..8);
        assert!(
            KeyRange::prefix(b"user:")
                .engine_range(route())
                .unwrap_err()
                .to_string()
                .contains("name the group")
        );
        assert!(KeyRange::in_all_groups(vec![0; KEY_BYTES_MAX + 1].as_slice()..).stretches(route()).is_err());
    }

    #[test]
    fn stretches_are_left_group_by_group_and_key_by_key_in_both_directions() {
        for reverse in [false, true] {
            let all = KeyRange::prefix(b"u").stretches(route()).unwrap();
            let mut left = all.within(&(3..6));
            let mut seen = Vec::new();
            while let Some(range) = left.next(reverse).unwrap() {
                assert_eq!(range, all.of_group(range.group).unwrap());
                left.go_behind(b"um", reverse).unwrap();
                let rest = left.next(reverse).unwrap().unwrap();
                let after =
                    left.after_page(range.group, Some(b"um"), reverse).unwrap().stretches(route()).unwrap();
                assert_eq!(after.next(reverse).unwrap().unwrap(), rest);
                let key = |bytes: &[u8]| engine_key(range.group, bytes).unwrap();
                let expected = if reverse { (key(b"u"), key(b"um")) } else { (key(b"um\0"), key(b"v")) };
                assert_eq!((rest.from, rest.to), expected);
                seen.push(range.group);
                let after = left.after_page(range.group, None, reverse);
                left.leave(range.group, reverse);
                let after = after.map(|after| after.stretches(route()).unwrap().groups());
                assert_eq!(after, (!left.groups().is_empty()).then(|| left.groups()));
            }
            assert_eq!(seen, if reverse { [5, 4, 3] } else { [3, 4, 5] });
        }
    }

    /// Of a key of maximal length the end behind it was one byte longer than readers of manifests take: a store with such a deletion did not open.
    #[test]
    fn behind_the_longest_key_comes_the_next_there_may_be() {
        let longest = vec![b'k'; KEY_BYTES_MAX];
        let range = KeyRange::in_group(3, ..=longest.as_slice()).engine_range(route()).unwrap();
        assert!(
            *range.to > *engine_key(3, &longest).unwrap() && range.to.len() <= GROUP_BYTES + KEY_BYTES_MAX
        );
        let last = vec![0xff; KEY_BYTES_MAX];
        let range = KeyRange::in_group(3, ..=last.as_slice()).engine_range(route()).unwrap();
        assert_eq!(*range.to, group_prefix(4));
    }
}
