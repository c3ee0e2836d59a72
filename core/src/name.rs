//! Names of everything a store keeps on the DFS and in the local folder, made and parsed here and nowhere else.
//!
//! ```text
//! store                                             descriptor: format version, key groups, identity
//! partition/00000-00128/manifest/00000000000000000007   numbered manifests of one partition; the newest wins
//! pack/0000000003-00000000000000000042-9f86d081884c7d65  epoch, first segment's sequence, random: never reused
//! compaction/0000000003-9f86d081884c7d65/job        a merge that another process may do: see `compact/offer.rs`
//! ```
//! Numbers are zero-padded, so that listing is ordering. A pack's name holds its writer's epoch and 64 random bits, so that no name
//! ever stands for two contents, not even on a store that ignores conditions.

use crate::error::{Error, ErrorKind, Result};
use aquifer_remote::ObjectName;
use std::ops::Range;

/// The store's descriptor.
pub(crate) fn store() -> Result<ObjectName> {
    name("store")
}

/// The folder of a partition's manifests, with its closing slash.
pub(crate) fn manifest_folder(groups: &Range<u16>) -> String {
    format!("partition/{:05}-{:05}/manifest/", groups.start, groups.end)
}

/// Manifest number `number` of the partition of `groups`.
pub(crate) fn manifest(groups: &Range<u16>, number: u64) -> Result<ObjectName> {
    name(&format!("{}{number:020}", manifest_folder(groups)))
}

/// The number of a listed manifest; `None` for a name that this module does not make.
pub(crate) fn manifest_number(groups: &Range<u16>, listed: &ObjectName) -> Option<u64> {
    let digits = listed.as_str().strip_prefix(&manifest_folder(groups))?;
    let well_formed = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| well_formed)
}

/// What a listed object is, by its name.
#[cfg(feature = "cli")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ObjectKind {
    /// The descriptor.
    Store,
    /// A manifest of the partition of these groups, and its number.
    Manifest(Range<u16>, u64),
    /// A pack.
    Pack,
    /// Something in the folder of this compaction job.
    Compaction(String),
    /// Nothing that this module names.
    Other,
}

/// Sorts a listed object.
#[cfg(feature = "cli")]
pub(crate) fn kind_of(listed: &ObjectName) -> ObjectKind {
    let text = listed.as_str();
    if let Some(rest) = text.strip_prefix(COMPACTION_FOLDER) {
        return rest
            .split_once('/')
            .map_or(ObjectKind::Other, |(folder, _)| ObjectKind::Compaction(folder.to_owned()));
    }
    let manifest = || {
        let groups = text.strip_prefix("partition/")?.split_once('/')?.0;
        let (start, end) = groups.split_once('-')?;
        let groups = start.parse().ok()?..end.parse().ok()?;
        // Also tells whether the groups were written as this module writes them.
        manifest_number(&groups, listed).map(|number| ObjectKind::Manifest(groups, number))
    };
    match text {
        "store" => ObjectKind::Store,
        _ if text.starts_with("pack/") => ObjectKind::Pack,
        _ => manifest().unwrap_or(ObjectKind::Other),
    }
}

/// A new pack.
pub(crate) fn pack(epoch: u64, sequence: u64, random: u64) -> Result<ObjectName> {
    name(&format!("pack/{epoch:010}-{sequence:020}-{random:016x}"))
}

/// The folder of all compaction jobs, with its closing slash.
pub(crate) const COMPACTION_FOLDER: &str = "compaction/";

/// `rest` in a folder that was made or listed.
pub(crate) fn in_folder(folder: &str, rest: &str) -> Result<ObjectName> {
    name(&format!("{folder}{rest}"))
}

/// Stands in errors for bytes that have no object yet.
pub(crate) fn unwritten() -> Result<ObjectName> {
    name("unwritten")
}

/// The cache file of one shard in the local folder.
pub(crate) fn cache_file(shard: usize) -> String {
    format!("shard-{shard:04}.cache")
}

fn name(text: &str) -> Result<ObjectName> {
    ObjectName::new(text)
        .map_err(|error| Error::new(ErrorKind::Store, format!("object name {text} is not possible: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_list_in_the_order_of_their_numbers() {
        let groups = 0..128;
        let mut names: Vec<_> = [7, 10, 1, u64::MAX, 99].map(|n| manifest(&groups, n).unwrap()).into();
        names.sort();
        let numbers: Vec<_> = names.iter().filter_map(|name| manifest_number(&groups, name)).collect();
        assert_eq!(numbers, [1, 7, 10, 99, u64::MAX]);
    }

    #[cfg(feature = "cli")]
    #[test]
    fn every_name_is_sorted_where_it_belongs() {
        let sorted = |name: &str| kind_of(&ObjectName::new(name).unwrap());
        assert_eq!(kind_of(&store().unwrap()), ObjectKind::Store);
        assert_eq!(kind_of(&manifest(&(3..128), 7).unwrap()), ObjectKind::Manifest(3..128, 7));
        assert_eq!(kind_of(&pack(1, 2, 3).unwrap()), ObjectKind::Pack);
        assert_eq!(sorted("compaction/0000000003-9f86d081884c7d65/job"), {
            ObjectKind::Compaction("0000000003-9f86d081884c7d65".to_owned())
        });
        for other in [
            "partition/3-128/manifest/00000000000000000007",
            "partition/x/manifest/7",
            "store2",
            "compaction/x",
        ] {
            assert_eq!(sorted(other), ObjectKind::Other, "{other}");
        }
    }

    #[test]
    fn foreign_names_have_no_number() {
        let groups = 0..128;
        for foreign in [
            "partition/00000-00128/manifest/7",
            "partition/00000-00128/manifest/0000000000000000000x",
            "store",
        ] {
            assert_eq!(manifest_number(&groups, &ObjectName::new(foreign).unwrap()), None);
        }
    }
}
