//! `ListObjectsV2`: one page of keys, ascending. It begins where the page before ended and costs what it holds, not what lies in the
//! folder: names are remembered sorted (`names.rs`), and folders without a key of the page are not entered.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::Arc;

use super::folder::{Folder, Meta};
use super::keys;
use super::names::Name;
use crate::beneath::Foreign;

/// Most entries in one page, S3's rule.
pub(super) const ENTRIES_MAX: usize = 1_000;

/// What is asked for.
#[derive(Debug, Default)]
pub(super) struct Query {
    pub(super) prefix: String,
    pub(super) delimiter: Option<String>,
    pub(super) start_after: Option<String>,
    /// The last entry of the page before.
    pub(super) continue_after: Option<String>,
    pub(super) entries_max: usize,
}

/// One line of a page.
#[derive(Debug)]
pub(super) enum Entry {
    Object(String, Meta),
    /// Keys that share this prefix up to the delimiter.
    Common(String),
}

/// One page, and the entry to continue after when there is more.
pub(super) fn page(folder: &Folder, query: &Query) -> io::Result<(Vec<Entry>, Option<String>)> {
    let mut walk = Walk::start(folder, query)?;
    let mut found: Vec<(String, bool)> = Vec::new();
    let mut more = false;
    while let Some(key) = walk.next()? {
        if found.len() >= query.entries_max {
            more = true;
            break;
        }
        let (entry, common) = grouped(key, query);
        if common {
            walk.skip_below(entry.as_bytes());
        }
        found.push((entry, common));
    }
    let next = found.last().filter(|_| more).map(|(entry, _)| entry.clone());
    let mut entries = Vec::with_capacity(found.len());
    for (entry, common) in found {
        if common {
            entries.push(Entry::Common(entry));
            continue;
        }
        match folder.meta(&entry) {
            Ok(meta) => entries.push(Entry::Object(entry, meta)),
            // Deleted meanwhile, or replaced by something that is no object.
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory)
                    || Foreign::of(&error).is_some() => {}
            Err(error) => return Err(error),
        }
    }
    Ok((entries, next))
}

/// Walks over keys in their order.
///
/// ```text
/// a/    ──┬─ a/1          one cursor for each folder that has been entered; the smallest key of all cursors is next.
///         └─ a/2 <        A folder stands for the prefix of its keys, which is not greater than any of them, so it is
/// a-b   <                 entered before any of them is due.
/// ```
struct Walk<'w> {
    folder: &'w Folder,
    prefix: &'w [u8],
    /// No key below this is of interest.
    from: Vec<u8>,
    cursors: BinaryHeap<Reverse<Cursor>>,
}

/// A place in a folder. Ordered by its next key, of which there is one.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Cursor {
    next: Vec<u8>,
    base: Vec<u8>,
    path: PathBuf,
    at: usize,
    names: Arc<Vec<Name>>,
}

impl<'w> Walk<'w> {
    fn start(folder: &'w Folder, query: &'w Query) -> io::Result<Self> {
        let prefix = query.prefix.as_bytes();
        let mut from = prefix.to_vec();
        if let Some(after) = &query.start_after {
            from = from.max(successor(after));
        }
        if let Some(last) = &query.continue_after {
            let (entry, common) = grouped(last.clone(), query);
            from = from.max(if common { past(entry.as_bytes()) } else { successor(last) });
        }
        let mut walk = Self { folder, prefix, from, cursors: BinaryHeap::new() };
        let (start, known) = keys::folder_of(&query.prefix);
        walk.enter(start, known.as_bytes().to_vec())?;
        Ok(walk)
    }

    /// The next key.
    fn next(&mut self) -> io::Result<Option<String>> {
        while let Some(Reverse(cursor)) = self.cursors.pop() {
            if !cursor.next.starts_with(self.prefix) {
                // Past the prefix, and so is all that follows in this folder.
                continue;
            }
            let key = cursor.next.clone();
            let below = cursor.names.get(cursor.at).filter(|name| name.is_folder);
            let below = below.map(|name| cursor.path.join(&name.file_name));
            self.move_to(cursor, |at, _| at + 1);
            match below {
                Some(path) => self.enter(path, key)?,
                None => {
                    if let Ok(key) = String::from_utf8(key) {
                        return Ok(Some(key));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Leaves out all further keys that start so.
    fn skip_below(&mut self, start: &[u8]) {
        self.from = past(start);
        let from = self.from.clone();
        for Reverse(cursor) in std::mem::take(&mut self.cursors) {
            self.move_to(cursor, |_, cursor| {
                cursor.names.partition_point(|name| [&cursor.base[..], &name.piece].concat() < from)
            });
        }
    }

    /// Puts a cursor back at another place of its folder, unless it is at the end there.
    fn move_to(&mut self, mut cursor: Cursor, at: impl FnOnce(usize, &Cursor) -> usize) {
        cursor.at = at(cursor.at, &cursor);
        if let Some(name) = cursor.names.get(cursor.at) {
            cursor.next = [&cursor.base[..], &name.piece].concat();
            self.cursors.push(Reverse(cursor));
        }
    }

    /// Enters a folder at the first name that matters.
    fn enter(&mut self, path: PathBuf, base: Vec<u8>) -> io::Result<()> {
        let names = self.folder.names(&path)?;
        let mut at = 0;
        if self.from > base {
            let Some(rest) = self.from.strip_prefix(&base[..]).map(<[u8]>::to_vec) else {
                // All its keys start with the base, and so come before.
                return Ok(());
            };
            at = names.partition_point(|name| name.piece < rest);
            // Folders that come before the first key of interest and may hold it all the same.
            let slash = rest.iter().position(|byte| *byte == b'/').map(|slash| slash + 1);
            // The first piece of a long segment, unless the segment ends within it.
            let piece = Some(keys::PIECE_BYTES_MAX).filter(|piece| slash.is_none_or(|slash| slash > *piece));
            for bytes in slash.into_iter().chain(piece) {
                let piece = rest.get(..bytes).filter(|piece| piece.len() < rest.len());
                let found = piece.and_then(|piece| {
                    let order = |name: &Name| (&name.piece[..], name.is_folder).cmp(&(piece, true));
                    names.get(names.binary_search_by(order).ok()?)
                });
                if let Some(name) = found {
                    self.enter(path.join(&name.file_name), [&base[..], &name.piece].concat())?;
                }
            }
        }
        self.move_to(Cursor { next: Vec::new(), base, path, at, names }, |at, _| at);
        Ok(())
    }
}

/// The smallest key after this one.
fn successor(key: &str) -> Vec<u8> {
    [key.as_bytes(), &[0]].concat()
}

/// The smallest key after all that start so.
fn past(start: &[u8]) -> Vec<u8> {
    let mut past = start.to_vec();
    // UTF-8 has no byte 255, so the last one can always grow; nothing comes after all keys, which start with nothing.
    if let Some(last) = past.last_mut() {
        *last = last.saturating_add(1);
    }
    past
}

fn grouped(key: String, query: &Query) -> (String, bool) {
    let Some(delimiter) = query.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty()) else {
        return (key, false);
    };
    let rest = key.get(query.prefix.len()..).unwrap_or("");
    match rest.find(delimiter) {
        Some(at) => {
            let end = query.prefix.len() + at + delimiter.len();
            (key.get(..end).unwrap_or(&key).to_owned(), true)
        }
        None => (key, false),
    }
}

/// A continuation token for clients: hexadecimal, so that any key can be one.
pub(super) fn token_of(entry: &str) -> String {
    entry.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// The entry of a token; `None` for text that is none.
pub(super) fn entry_of(token: &str) -> Option<String> {
    let digits = token.as_bytes();
    if !digits.len().is_multiple_of(2) || digits.len() > 4_096 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    String::from_utf8(digits.chunks(2).map(byte).collect::<Option<Vec<u8>>>()?).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::folder::Publish;
    use super::*;

    /// The same by looking at all keys.
    fn expected(keys: &BTreeSet<String>, query: &Query) -> (Vec<String>, Option<String>) {
        let mut entries: Vec<String> = Vec::new();
        for key in keys.iter().filter(|key| key.starts_with(&query.prefix)) {
            let entry = grouped(key.clone(), query).0;
            let is_after = query.start_after.as_ref().is_none_or(|start| key > start)
                && query.continue_after.as_ref().is_none_or(|last| entry > *last);
            if is_after && entries.last() != Some(&entry) {
                entries.push(entry);
            }
        }
        let more = entries.len() > query.entries_max;
        entries.truncate(query.entries_max);
        let next = entries.last().filter(|_| more).cloned();
        (entries, next)
    }

    fn found(folder: &Folder, query: &Query) -> (Vec<String>, Option<String>) {
        let (entries, next) = page(folder, query).unwrap();
        let entry = |entry| match entry {
            Entry::Object(key, _) => key,
            Entry::Common(prefix) => prefix,
        };
        (entries.into_iter().map(entry).collect(), next)
    }

    /// Names that lie beside each other in unexpected ways: slashes against bytes before and after them, segments of 63 to 65 and
    /// more bytes, which are parted into pieces of 64.
    fn keys() -> BTreeSet<String> {
        let mut keys: BTreeSet<String> =
            ["a", "a/", "a//", "a/1", "a/2/x", "a-b", "a0", "b/x/1", "b/y", "b!", "c", "ü/1", "ü"]
                .map(str::to_owned)
                .into();
        for bytes in [63, 64, 65, 128, 130] {
            let long = "x".repeat(bytes);
            keys.extend(["", "/", "/1", "/z", "-", "y", "!/1"].map(|end| format!("{long}{end}")));
        }
        keys
    }

    #[test]
    fn pages_are_those_of_a_look_at_all_keys() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let mut keys = keys();
        for key in &keys {
            folder.publish(&folder.stage().unwrap(), key, Publish::IfAbsent).unwrap();
        }
        for step in 0..2 {
            let long = "x".repeat(70);
            let mut starts: Vec<Option<String>> = vec![None];
            starts.extend(keys.iter().cloned().map(Some));
            for prefix in ["", "a", "a/", "b/", "x", &long, "nothing"] {
                for delimiter in [None, Some("/"), Some("!"), Some("-")] {
                    for start_after in &starts {
                        let mut query = Query {
                            prefix: prefix.to_owned(),
                            delimiter: delimiter.map(str::to_owned),
                            start_after: start_after.clone(),
                            continue_after: None,
                            entries_max: 5,
                        };
                        // All pages, one after the other.
                        loop {
                            let (entries, next) = found(&folder, &query);
                            assert_eq!((entries, next.clone()), expected(&keys, &query), "{query:?}");
                            let Some(next) = next else { break };
                            query.continue_after = Some(next);
                        }
                    }
                }
            }
            if step == 0 {
                // What is remembered must not outlive a change.
                for gone in keys.iter().filter(|key| key.len() % 2 == 0).cloned().collect::<Vec<_>>() {
                    folder.delete(&gone).unwrap();
                    keys.remove(&gone);
                }
                for new in ["a/1/new", "new/folder/1", "d"] {
                    folder.publish(&folder.stage().unwrap(), new, Publish::Overwrite).unwrap();
                    keys.insert(new.to_owned());
                }
            }
        }
    }

    #[test]
    fn tokens_read_back_and_nonsense_is_refused() {
        for key in ["", "a/b", "nul\0", "ünï"] {
            assert_eq!(entry_of(&token_of(key)).unwrap(), key);
        }
        for token in ["a", "zz", "ff", "+1", &"0".repeat(5_000)] {
            assert_eq!(entry_of(token), None, "{token}");
        }
    }
}
