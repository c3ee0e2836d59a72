//! One page of a listing, ascending, in memory bounded by the page.

use std::collections::BTreeMap;

use futures_util::TryStreamExt;
use object_store::path::Path;
use tokio::time::{Instant, timeout_at};

use super::classify;
use super::shared::{ListOrder, Shared};
use crate::error::{RemoteError, RemoteErrorKind};
use crate::name::ObjectName;
use crate::store::{ListPage, ObjectMeta};

/// Lists up to `entries_max` objects below `folder` ("" or "a/b") after `start_after`. After `soon` a shorter page is better than
/// none, where the order allows it.
///
/// # Errors
/// Kind `Other` when the server does not keep the order that its kind promises: names would be missed.
pub(super) async fn page(
    shared: &Shared,
    folder: &str,
    start_after: Option<&ObjectName>,
    entries_max: usize,
    soon: Instant,
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
    let ascending = shared.order == ListOrder::Ascending;
    let mut entries: BTreeMap<ObjectName, u64> = BTreeMap::new();
    let mut order = Order::default();
    let mut more = false;
    loop {
        let next = listing.try_next();
        let next = match ascending && !entries.is_empty() {
            true => match timeout_at(soon, next).await {
                Ok(next) => next,
                Err(_) => {
                    more = true;
                    break;
                }
            },
            false => next.await,
        };
        let Some(meta) = next.map_err(|error| classify::plain("list", &error))? else { break };
        if ascending && order.is_folder_marker(&meta)? {
            continue;
        }
        let Some(name) = own_name(shared, &meta.location) else { continue };
        if start_after.is_some_and(|start| name <= *start) {
            continue;
        }
        entries.insert(name, meta.size);
        if entries.len() > entries_max {
            more = true;
            entries.pop_last();
            if ascending {
                break;
            }
        }
    }
    let entries = entries.into_iter().map(|(name, bytes)| ObjectMeta { name, bytes }).collect();
    Ok(ListPage { entries, more })
}

/// The order in which a server lists, which it must keep: we stop after one page, and what came later but is smaller would be missed.
#[derive(Default)]
struct Order {
    last: String,
}

impl Order {
    /// Takes the next entry. True for a folder's marker: a key with a slash at its end, which the client below has cut off, so that
    /// it seems to come too late.
    fn is_folder_marker(&mut self, meta: &object_store::ObjectMeta) -> Result<bool, RemoteError> {
        let location = meta.location.as_ref();
        if location > self.last.as_str() || self.last.is_empty() {
            self.last.clear();
            self.last.push_str(location);
            return Ok(false);
        }
        let key = format!("{location}/");
        if meta.size == 0 && key > self.last {
            self.last = key;
            return Ok(true);
        }
        Err(RemoteError::new(RemoteErrorKind::Other, "list").with_cause(
            "the server lists out of order, or names an object twice, so that nobody can tell what is missing: use another server",
        ))
    }
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
