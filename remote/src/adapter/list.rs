//! One page of a listing, ascending, in memory bounded by the page.

use std::collections::BTreeMap;

use futures_util::TryStreamExt;
use object_store::path::Path;

use super::{Shared, classify};
use crate::error::RemoteError;
use crate::name::ObjectName;
use crate::store::{ListPage, ObjectMeta};

/// Whether a store lists in ascending order of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListOrder {
    /// Yes (S3 promises it): the listing stops after one page.
    Ascending,
    /// Not known (directories, an embedder's store): the whole folder is walked and the smallest names kept.
    Unknown,
}

/// Lists up to `entries_max` objects below `folder` ("" or "a/b") after `start_after`.
pub(super) async fn page(
    shared: &Shared,
    folder: &str,
    start_after: Option<&ObjectName>,
    entries_max: usize,
) -> Result<ListPage, RemoteError> {
    let prefix = match (shared.root.as_str(), folder) {
        ("", "") => None,
        ("", only) | (only, "") => Some(Path::from(only)),
        (root, folder) => Some(Path::from(format!("{root}/{folder}"))),
    };
    let mut listing = match start_after {
        Some(name) => shared.store.list_with_offset(prefix.as_ref(), &shared.path(name)),
        None => shared.store.list(prefix.as_ref()),
    };
    let mut entries: BTreeMap<ObjectName, u64> = BTreeMap::new();
    let mut more = false;
    while let Some(meta) = listing.try_next().await.map_err(|error| classify::plain("list", &error))? {
        let Some(name) = own_name(shared, &meta.location) else { continue };
        if start_after.is_some_and(|start| name <= *start) {
            continue;
        }
        entries.insert(name, meta.size);
        if entries.len() > entries_max {
            more = true;
            if shared.order == ListOrder::Ascending {
                entries.pop_last();
                break;
            }
            entries.pop_last();
        }
    }
    let entries = entries.into_iter().map(|(name, bytes)| ObjectMeta { name, bytes }).collect();
    Ok(ListPage { entries, more })
}

/// The name below the root, when it is one that this crate could have written.
fn own_name(shared: &Shared, location: &Path) -> Option<ObjectName> {
    let location = location.as_ref();
    let name = match shared.root.as_str() {
        "" => location,
        root => location.strip_prefix(root)?.strip_prefix('/')?,
    };
    ObjectName::new(name).ok()
}
