//! `ListObjectsV2`: one page of keys, ascending, found by walking the folder with memory for one page only.

use std::collections::BTreeMap;
use std::io;

use super::folder::{Folder, Meta};

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
    // Entry and whether it is a common prefix; never more than a page and one.
    let mut smallest: BTreeMap<String, bool> = BTreeMap::new();
    let mut more = false;
    folder.walk(&query.prefix, &mut |key| {
        if query.start_after.as_ref().is_some_and(|start| key <= *start) {
            return;
        }
        let (entry, common) = grouped(key, query);
        if query.continue_after.as_ref().is_some_and(|last| entry <= *last) {
            return;
        }
        smallest.insert(entry, common);
        if smallest.len() > query.entries_max {
            smallest.pop_last();
            more = true;
        }
    })?;
    let next = smallest.last_key_value().filter(|_| more).map(|(entry, _)| entry.clone());
    let mut entries = Vec::with_capacity(smallest.len());
    for (entry, common) in smallest {
        if common {
            entries.push(Entry::Common(entry));
            continue;
        }
        // One that was deleted meanwhile is left out.
        if let Ok(meta) = folder.meta(&entry) {
            entries.push(Entry::Object(entry, meta));
        }
    }
    Ok((entries, next))
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
    use super::*;

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
