//! A listing in the order of names, from a store that lists one folder at a time.
//!
//! ```text
//! frontier, smallest first:   file "a-b"  folder "a/"  file "a0"  rest of "" after "a0"
//!                                                 └── read when it is the smallest: its entries take its place
//! ```
//!
//! A store lists the children of a folder by their own names, where `a` comes before `a-b`; but all names below `a/` come after
//! `a-b`. So entries wait in the frontier until nothing smaller can appear.
//!
//! Invariants:
//! * An entry is handed out when it is the smallest that is known, and whatever is not known yet is larger.
//! * Memory is one page of each folder on the way to the present one, and never more than [`FRONTIER_BYTES_MAX`] of names.
//! * The walk ends: each folder's pages get on, and a page of ours takes at most [`READS_MAX`] of them.
//! * A listed name is outside data: what this crate would not write is left out.

use std::collections::BTreeMap;
use std::future::Future;

use tokio::time::Instant;

use crate::error::{RemoteError, RemoteErrorKind};
use crate::name::ObjectName;
use crate::store::{ListPage, ObjectMeta};

/// Most memory for the names that wait.
const FRONTIER_BYTES_MAX: usize = 256 << 20;
/// What an entry takes besides its name, about.
const NODE_BYTES: usize = 96;
/// Most requests for one page of ours.
const READS_MAX: usize = 10_000;

/// One entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Child {
    /// Its name within the folder.
    pub(crate) name: String,
    /// Its length; none for a folder.
    pub(crate) bytes: Option<u64>,
}

/// Some entries of a folder, ascending by name within the folder.
#[derive(Clone, Debug, Default)]
pub(crate) struct Children {
    pub(crate) entries: Vec<Child>,
    /// The folder has more, all after this name.
    pub(crate) rest_after: Option<String>,
}

/// What waits in the frontier. Its key is the smallest name that it can yield.
enum Node {
    File(u64),
    Folder,
    /// The part of a folder after a name.
    Rest {
        folder: String,
        after: String,
    },
}

/// Lists up to `entries_max` objects below `folder` (`""` or `"a/b"`) after `start_after`. `read(folder, after)` reads the entries
/// of one folder, where those up to `after` may be left out; a folder that does not exist has none. After `soon` a shorter page is
/// better than none.
pub(crate) async fn page<R, F>(
    folder: &str,
    start_after: Option<&ObjectName>,
    entries_max: usize,
    soon: Instant,
    mut read: R,
) -> Result<ListPage, RemoteError>
where
    R: FnMut(String, Option<String>) -> F,
    F: Future<Output = Result<Children, RemoteError>>,
{
    let mut frontier = Frontier::of(folder);
    let mut page = ListPage::default();
    let mut reads = 0_usize;
    while let Some((key, node)) = frontier.pop() {
        let (prefix, after) = match node {
            Node::File(bytes) => {
                let Ok(name) = ObjectName::new(&key) else { continue };
                if page.entries.len() == entries_max {
                    page.more = true;
                    break;
                }
                page.entries.push(ObjectMeta { name, bytes });
                continue;
            }
            Node::Folder if is_before(&key, start_after) => continue,
            Node::Folder => {
                let after =
                    start_after.and_then(|start| start_in_folder(start.as_str().strip_prefix(&*key)?));
                (key, after)
            }
            Node::Rest { folder, after } => (folder, Some(after)),
        };
        if !page.entries.is_empty() && (Instant::now() >= soon || reads >= READS_MAX) {
            page.more = true;
            break;
        }
        reads = reads.saturating_add(1);
        if reads > READS_MAX {
            return Err(endless("folders in folders, and no object in any of them"));
        }
        let children = read(prefix.trim_end_matches('/').to_owned(), after.clone()).await?;
        if let (Some(rest), Some(after)) = (&children.rest_after, &after)
            && rest <= after
        {
            return Err(endless(
                "the server gives the same part of a folder again and says that there is more",
            ));
        }
        frontier.add(prefix, after.as_deref(), start_after, children)?;
    }
    Ok(page)
}

/// What is known and not handed out yet, by the smallest name that it can yield. Of equal keys the part of a folder comes last: it yields
/// only what is larger than its key.
struct Frontier {
    nodes: BTreeMap<(String, bool), Node>,
    bytes: usize,
}

impl Frontier {
    /// Only this folder, none of it read.
    fn of(folder: &str) -> Self {
        let first = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        Self { nodes: BTreeMap::from([((first, false), Node::Folder)]), bytes: 0 }
    }

    fn pop(&mut self) -> Option<(String, Node)> {
        let ((key, _), node) = self.nodes.pop_first()?;
        self.bytes = self.bytes.saturating_sub(key.len().saturating_add(NODE_BYTES));
        Some((key, node))
    }

    /// Takes up what was read of the folder `prefix` after the name `after`, as far as it comes after `start_after`.
    ///
    /// # Errors
    /// `Other` if all names together take too much memory.
    fn add(
        &mut self,
        prefix: String,
        after: Option<&str>,
        start_after: Option<&ObjectName>,
        children: Children,
    ) -> Result<(), RemoteError> {
        for child in children.entries {
            // Seen already, or not wanted.
            if after.is_some_and(|after| *child.name <= *after) {
                continue;
            }
            self.bytes = self.bytes.saturating_add(prefix.len() + child.name.len() + NODE_BYTES);
            let path = format!("{prefix}{}", child.name);
            if ObjectName::new(&path).is_err() {
                continue;
            }
            match child.bytes {
                Some(_) if start_after.is_some_and(|start| path.as_str() <= start.as_str()) => {}
                Some(bytes) => drop(self.nodes.insert((path, false), Node::File(bytes))),
                None => drop(self.nodes.insert((path + "/", false), Node::Folder)),
            }
        }
        if let Some(after) = children.rest_after {
            let key = (format!("{prefix}{after}"), true);
            self.bytes = self.bytes.saturating_add(key.0.len() + NODE_BYTES);
            self.nodes.insert(key, Node::Rest { folder: prefix, after });
        }
        if self.bytes > FRONTIER_BYTES_MAX {
            return Err(endless("more names than fit into the memory set aside for them, 256 MiB"));
        }
        Ok(())
    }
}

fn endless(what: &str) -> RemoteError {
    RemoteError::new(RemoteErrorKind::Other, "list").with_cause(format!("the listing does not end: {what}"))
}

/// True when everything below a folder comes before `start_after` ends.
fn is_before(folder: &str, start_after: Option<&ObjectName>) -> bool {
    start_after.is_some_and(|start| start.as_str() > folder && !start.as_str().starts_with(folder))
}

/// A name in a folder up to which nothing is wanted, when all up to `start` (a path within it) is not: folders whose
/// names are beginnings of `start`'s first segment may hold names after it.
fn start_in_folder(start: &str) -> Option<String> {
    let segment = start.split('/').next().unwrap_or("");
    let sure = segment.split(['-', '.']).next().unwrap_or("");
    let (last, head) = sure.as_bytes().split_last()?;
    let before = last.checked_sub(1)?;
    let mut after = String::from_utf8_lossy(head).into_owned();
    after.push(char::from(before));
    // Larger than all that may follow in a name.
    after.push('~');
    Some(after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn far() -> Instant {
        Instant::now() + std::time::Duration::from_secs(3_600)
    }

    /// A store with these names, read in pages of `step` entries.
    fn walk(
        names: &[&str],
        folder: &str,
        after: Option<&str>,
        entries_max: usize,
        step: usize,
    ) -> (ListPage, usize) {
        let reads = Cell::new(0);
        let after = after.map(|name| ObjectName::new(name).unwrap());
        let listed = page(folder, after.as_ref(), entries_max, far(), |folder, after| {
            reads.set(reads.get() + 1);
            let prefix = if folder.is_empty() { folder } else { folder + "/" };
            let mut children: BTreeMap<String, Option<u64>> = BTreeMap::new();
            for name in names.iter().filter_map(|name| name.strip_prefix(&*prefix)) {
                match name.split_once('/') {
                    Some((folder, _)) => children.insert(folder.to_owned(), None),
                    None => children.insert(name.to_owned(), Some(7)),
                };
            }
            let wanted: Vec<Child> = children
                .into_iter()
                .filter(|(name, _)| after.as_ref().is_none_or(|after| name > after))
                .map(|(name, bytes)| Child { name, bytes })
                .collect();
            let rest_after =
                wanted.get(step..).filter(|rest| !rest.is_empty()).map(|_| wanted[step - 1].name.clone());
            let entries = wanted.into_iter().take(step).collect();
            async move { Ok(Children { entries, rest_after }) }
        });
        (aquifer_io::block_on(listed).unwrap(), reads.get())
    }

    #[test]
    fn every_page_is_what_sorting_all_names_gives() {
        let names = [
            "a",
            "a-b",
            "a.b",
            "b/x",
            "b/y/z",
            "b-",
            "b.c/d",
            "b0/q",
            "b0/q-/r",
            "b00",
            "c/a/b/c/d",
            "c/a-b",
            "d",
            "~tmp/x",
            "d e",
            "e/~hidden",
        ];
        // A folder and a file of one name cannot both be.
        let mut sorted: Vec<&str> = names.into_iter().filter(|name| ObjectName::new(name).is_ok()).collect();
        sorted.sort_unstable();
        for step in [1, 2, 3, 100] {
            for entries_max in 1..=sorted.len() + 1 {
                for (index, start) in std::iter::once(None).chain(sorted.iter().map(Some)).enumerate() {
                    let (page, _) = walk(&names, "", start.copied(), entries_max, step);
                    let found: Vec<&str> = page.entries.iter().map(|entry| entry.name.as_str()).collect();
                    let left = &sorted[index..];
                    assert_eq!(found, &left[..entries_max.min(left.len())], "{step} {entries_max} {start:?}");
                    assert_eq!(page.more, left.len() > entries_max, "{step} {entries_max} {start:?}");
                }
            }
        }
    }

    #[test]
    fn folders_that_are_over_are_not_read() {
        let names = ["a/1", "b/1", "c/00001.x", "c/00002.x", "c/00003.x", "d/1"];
        let (page, reads) = walk(&names, "", Some("c/00002.x"), 10, 1);
        assert_eq!(page.entries.len(), 2);
        // The top (4 entries, and each page says there is more until the last), one step within c for each name from 00002 on, and d.
        assert!(reads <= 4 + 2 + 1, "{reads} reads");
    }

    #[test]
    fn an_absent_folder_is_empty() {
        let (page, reads) = walk(&["a/1"], "none", None, 10, 5);
        assert!(page.entries.is_empty() && !page.more && reads == 1);
    }

    fn walked(
        soon: Instant,
        mut read: impl FnMut(String, Option<String>) -> Children,
    ) -> Result<ListPage, RemoteError> {
        let listed = page("", None, 10, soon, |folder, after| {
            let children = read(folder, after);
            async move { Ok(children) }
        });
        aquifer_io::block_on(listed)
    }

    fn child(name: &str, bytes: Option<u64>) -> Child {
        Child { name: name.to_owned(), bytes }
    }

    /// A namenode that says "more" for ever and never gets on was asked for ever.
    #[test]
    fn a_folder_that_does_not_get_on_is_an_error() {
        for names in [&["a"][..], &[], &["x y"]] {
            let mut reads = 0;
            let listed = walked(far(), |_, after| {
                reads += 1;
                assert!(reads < 100);
                let entries = names.iter().map(|name| child(name, Some(1))).collect();
                Children { entries, rest_after: after.or_else(|| Some("a".to_owned())) }
            });
            assert!(listed.unwrap_err().to_string().contains("does not end"));
        }
        // New names for ever, none of them ours: there is an end to our patience all the same.
        let mut number = 0;
        let listed = walked(far(), |_, _| {
            number += 1;
            Children { entries: vec![child(" ", Some(1))], rest_after: Some(format!("{number:020}")) }
        });
        assert!(listed.unwrap_err().to_string().contains("does not end"));
    }

    /// Folders in folders in folders: the names are bounded, the folders between them would not be.
    #[test]
    fn folders_without_end_are_an_error() {
        let mut reads = 0;
        let listed = walked(far(), |_, _| {
            reads += 1;
            assert!(reads <= READS_MAX);
            Children { entries: ["a", "b", "c"].map(|name| child(name, None)).into(), rest_after: None }
        });
        assert!(listed.unwrap_err().to_string().contains("does not end"));
    }

    #[test]
    fn a_part_that_comes_again_is_not_told_again() {
        let page = walked(far(), |_, after| match after.as_deref() {
            None => Children { entries: vec![child("b", Some(1))], rest_after: Some("b".to_owned()) },
            _ => Children {
                entries: ["a", "b", "c"].map(|name| child(name, Some(1))).into(),
                rest_after: None,
            },
        });
        let names: Vec<String> = page.unwrap().entries.iter().map(|entry| entry.name.to_string()).collect();
        assert_eq!(names, ["b", "c"]);
    }

    #[test]
    fn when_time_is_up_the_page_is_what_there_is() {
        let page = walked(Instant::now(), |folder, _| match folder.as_str() {
            "" => Children { entries: vec![child("a", None), child("b", None)], rest_after: None },
            _ => Children { entries: vec![child("1", Some(1))], rest_after: None },
        });
        let page = page.unwrap();
        assert_eq!((page.entries.len(), page.more), (1, true));
    }
}
