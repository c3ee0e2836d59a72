//! Keys as the engine orders them, key groups, and which shard owns which.
//!
//! An engine key is the number of its key group, two bytes big-endian, then the caller's bytes. So keys sort by group first and
//! every group is one contiguous range of every sorted run: rescaling moves ranges, never rewrites keys.

use crate::error::{Error, Result};
use crate::limits::{BORDER_BYTES_MAX, KEY_BYTES_MAX, KEY_GROUPS_MAX};
use std::ops::Range;
use xxhash_rust::xxh3::xxh3_64;

/// Bytes of the key group in front of the caller's key.
pub(crate) const GROUP_BYTES: usize = 2;
const _: () = assert!(BORDER_BYTES_MAX == GROUP_BYTES + KEY_BYTES_MAX + 1);

/// The key group of `key` in a store of `key_groups` groups: `(xxh3_64(key) * key_groups) >> 64`, with seed 0.
///
/// Stable for ever: stored data depends on it. `key_groups` of zero counts as one.
pub fn key_group(key: &[u8], key_groups: u16) -> u16 {
    let scaled = (u128::from(xxh3_64(key)) * u128::from(key_groups.max(1))) >> 64;
    // The product is below key_groups * 2^64.
    u16::try_from(scaled).unwrap_or(u16::MAX)
}

/// An engine key: its group, then the caller's bytes.
pub(crate) fn engine_key(group: u16, key: &[u8]) -> Result<Box<[u8]>> {
    let mut out = Vec::with_capacity(GROUP_BYTES + key.len().min(KEY_BYTES_MAX));
    put_engine_key(group, key, &mut out)?;
    Ok(out.into_boxed_slice())
}

/// The same in place of what `out` held.
pub(crate) fn put_engine_key(group: u16, key: &[u8], out: &mut Vec<u8>) -> Result<()> {
    if key.len() > KEY_BYTES_MAX {
        return Err(Error::invalid(format!(
            "a key has {} bytes; at most {KEY_BYTES_MAX} are possible",
            key.len()
        )));
    }
    out.clear();
    out.extend_from_slice(&group_prefix(group));
    out.extend_from_slice(key);
    Ok(())
}

/// The first bytes of every engine key of `group`.
#[expect(
    clippy::big_endian_bytes,
    reason = "keys are compared as bytes: only big-endian numbers sort as numbers"
)]
pub(crate) fn group_prefix(group: u16) -> [u8; GROUP_BYTES] {
    group.to_be_bytes()
}

/// The key group that an engine key begins with.
#[expect(
    clippy::big_endian_bytes,
    reason = "keys are compared as bytes: only big-endian numbers sort as numbers"
)]
pub(crate) fn group_of(engine_key: &[u8]) -> Option<u16> {
    engine_key.first_chunk::<GROUP_BYTES>().map(|prefix| u16::from_be_bytes(*prefix))
}

/// The caller's part of an engine key.
pub(crate) fn user_key(engine_key: &[u8]) -> &[u8] {
    engine_key.get(GROUP_BYTES..).unwrap_or_default()
}

/// Names the key, an engine key, in an error that is about its value alone.
pub(crate) fn of_key(error: Error, engine_key: &[u8]) -> Error {
    error.of_key(group_of(engine_key).unwrap_or_default(), user_key(engine_key))
}

/// Which shard owns which key groups: shard `i` of `n` owns `i*G/n .. (i+1)*G/n`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    key_groups: u16,
    shards: u16,
}

impl Route {
    pub(crate) fn new(key_groups: u16, shards: usize) -> Result<Self> {
        if key_groups == 0 || key_groups > KEY_GROUPS_MAX {
            return Err(Error::invalid(format!(
                "key_groups is {key_groups}; 1 to {KEY_GROUPS_MAX} are possible"
            )));
        }
        let Some(shards) = u16::try_from(shards).ok().filter(|&shards| shards > 0 && shards <= key_groups)
        else {
            return Err(Error::invalid(format!(
                "{shards} shards cannot share {key_groups} key groups; use 1 to {key_groups} shards"
            )));
        };
        Ok(Self { key_groups, shards })
    }

    pub(crate) fn key_groups(self) -> u16 {
        self.key_groups
    }

    pub(crate) fn shards(self) -> usize {
        usize::from(self.shards)
    }

    /// Key groups of one shard.
    pub(crate) fn groups(self, shard: usize) -> Range<u16> {
        let border = |shard: usize| {
            let scaled = shard as u64 * u64::from(self.key_groups) / u64::from(self.shards);
            u16::try_from(scaled).unwrap_or(u16::MAX)
        };
        border(shard)..border(shard + 1)
    }

    /// The shard that owns `group`.
    pub(crate) fn shard(self, group: u16) -> usize {
        let (group, groups, shards) = (u32::from(group), u32::from(self.key_groups), u32::from(self.shards));
        // The largest i with i*G/n <= group, i.e. i*G < (group+1)*n.
        (((group + 1) * shards - 1) / groups) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_of_a_key_never_changes() {
        // Stored data depends on these: a change here is a change of the format.
        assert_eq!(key_group(b"", 128), 22);
        assert_eq!(key_group(b"N14228", 128), key_group(b"N14228", 128));
        assert_eq!(xxh3_64(b""), 0x2d06_8005_38d3_94c2);
        assert_eq!(key_group(b"anything", 1), 0);
        for groups in [1u16, 2, 3, 128, 1000, KEY_GROUPS_MAX] {
            for n in 0u32..1000 {
                assert!(key_group(&n.to_le_bytes(), groups) < groups);
            }
        }
    }

    #[test]
    fn every_group_has_exactly_one_shard() {
        for groups in [1u16, 2, 5, 7, 128, 129, KEY_GROUPS_MAX] {
            for shards in
                (1..=usize::from(groups)).filter(|shards| *shards < 40 || *shards == usize::from(groups))
            {
                let route = Route::new(groups, shards).unwrap();
                let mut next = 0;
                for shard in 0..shards {
                    let owned = route.groups(shard);
                    assert_eq!(owned.start, next);
                    assert!(!owned.is_empty());
                    for group in [owned.start, owned.end - 1] {
                        assert_eq!(
                            route.shard(group),
                            shard,
                            "{groups} groups, {shards} shards, group {group}"
                        );
                    }
                    next = owned.end;
                }
                assert_eq!(next, groups);
            }
        }
        assert!(Route::new(128, 129).is_err());
        assert!(Route::new(128, 0).is_err());
        assert!(Route::new(0, 1).is_err());
    }

    #[test]
    fn engine_keys_sort_by_group_then_bytes() {
        let a = engine_key(1, b"zz").unwrap();
        let b = engine_key(2, b"aa").unwrap();
        let c = engine_key(256, b"").unwrap();
        assert!(a < b && b < c);
        assert_eq!(group_of(&c), Some(256));
        assert_eq!(user_key(&b), b"aa");
        assert!(engine_key(0, &vec![0; KEY_BYTES_MAX + 1]).is_err());
    }
}
