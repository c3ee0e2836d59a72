//! The final state as CSV, sorted by key over all key groups.
//!
//! ```text
//! key group 0: page of entries ─┐
//! key group 1: page of entries ─┼─> smallest key first ─> CSV ─> temporary file ─> rename
//! …                             ─┘
//! ```
//!
//! Memory: one small page of each key group. The file appears whole or not at all, also beside an older one.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io::BufWriter;

use bytes::Bytes;

use crate::failure::Failure;
use crate::interrupt;
use crate::output::Output;
use crate::verify::StoredState;
use crate::workload::Workload;

/// One key group, read page by page.
struct Cursor {
    group: u16,
    entries: VecDeque<(Bytes, Bytes)>,
    next: Option<Bytes>,
}

impl Cursor {
    async fn open<S: StoredState>(state: &S, group: u16) -> Result<Self, Failure> {
        let page = state.page(group, None).await?;
        let mut cursor = Self { group, entries: page.entries.into(), next: page.next };
        cursor.fill(state).await?;
        Ok(cursor)
    }

    /// Fetches pages until one has entries or there are no more.
    async fn fill<S: StoredState>(&mut self, state: &S) -> Result<(), Failure> {
        while self.entries.is_empty() && self.next.is_some() {
            let page = state.page(self.group, self.next.as_deref()).await?;
            (self.entries, self.next) = (page.entries.into(), page.next);
        }
        Ok(())
    }

    /// Takes the next entry.
    async fn next<S: StoredState>(&mut self, state: &S) -> Result<Option<(Bytes, Bytes)>, Failure> {
        let entry = self.entries.pop_front();
        self.fill(state).await?;
        Ok(entry)
    }

    fn key(&self) -> Option<Bytes> {
        self.entries.front().map(|(key, _)| key.clone())
    }
}

/// Writes all keys to the output; the number of them. Errors leave what was there before.
pub(crate) async fn write_state<W: Workload, S: StoredState>(
    state: &S,
    key_groups: u16,
    output: &Output,
) -> Result<u64, Failure> {
    let mut file = output.create()?;
    let failed = |error: csv::Error| output.failure(std::io::Error::other(error));
    let mut writer = csv::Writer::from_writer(BufWriter::with_capacity(1 << 16, file.writer()));
    writer.write_record(W::columns()).map_err(failed)?;
    let mut cursors = Vec::with_capacity(usize::from(key_groups));
    for group in 0..key_groups {
        cursors.push(Cursor::open(state, group).await?);
    }
    let mut heap: BinaryHeap<Reverse<(Bytes, u16)>> =
        cursors.iter().filter_map(|cursor| Some(Reverse((cursor.key()?, cursor.group)))).collect();
    let mut keys = 0_u64;
    while let Some(Reverse((_, group))) = heap.pop() {
        let Some(cursor) = cursors.get_mut(usize::from(group)) else { continue };
        let Some((key, value)) = cursor.next(state).await? else { continue };
        if let Some(next) = cursor.key() {
            heap.push(Reverse((next, group)));
        }
        let shown = String::from_utf8_lossy(&key);
        let found = W::decode(&value)
            .map_err(|error| Failure::Other(format!("the store holds for key {shown:?} {error}")))?;
        writer.write_field(&key).map_err(failed)?;
        writer.write_record(W::cells(&found)).map_err(failed)?;
        keys += 1;
        if keys.is_multiple_of(4096) {
            interrupt::check()?;
        }
    }
    writer.flush().map_err(|error| output.failure(error))?;
    drop(writer);
    file.finish(output)?;
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::Page;
    use crate::workload::{Decimal, TotalState, Totals};

    /// Keys by group, pages of two.
    struct Groups(Vec<Vec<&'static str>>);

    fn state_of(key: &str) -> Vec<u8> {
        let sum = Decimal::parse(key.len().to_string().as_bytes()).unwrap();
        Totals::encode(&TotalState { count: 1, sum, max: None }).as_ref().to_vec()
    }

    impl StoredState for Groups {
        async fn page(&self, group: u16, after: Option<&[u8]>) -> Result<Page, Failure> {
            let keys = self.0[usize::from(group)]
                .iter()
                .filter(|key| after.is_none_or(|after| key.as_bytes() > after));
            let entries: Vec<_> = keys.map(|key| (Bytes::from(*key), Bytes::from(state_of(key)))).collect();
            let next = entries.get(1).filter(|_| entries.len() > 2).map(|(key, _)| key.clone());
            Ok(Page { entries: entries.into_iter().take(2).collect(), next })
        }
    }

    #[test]
    fn groups_are_merged_in_the_order_of_keys() {
        let groups = Groups(vec![vec!["b", "d", "e", "x,y"], vec![], vec!["", "c", "f"], vec!["a"]]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.csv");
        let output = Output::new(&path).unwrap();
        let keys = aquifer_io::block_on(write_state::<Totals, _>(&groups, 4, &output)).unwrap();
        assert_eq!(keys, 8);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            "key,count,sum,max\n,1,0,\na,1,1,\nb,1,1,\nc,1,1,\nd,1,1,\ne,1,1,\nf,1,1,\n\"x,y\",1,3,\n"
        );
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn a_foreign_state_is_an_error_and_writes_nothing() {
        struct Foreign;
        impl StoredState for Foreign {
            async fn page(&self, _: u16, _: Option<&[u8]>) -> Result<Page, Failure> {
                Ok(Page { entries: vec![(Bytes::from_static(b"k"), Bytes::from_static(b"v"))], next: None })
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.csv");
        std::fs::write(&path, "older").unwrap();
        let output = Output::new(&path).unwrap();
        let error = aquifer_io::block_on(write_state::<Totals, _>(&Foreign, 1, &output)).unwrap_err();
        assert!(error.to_string().contains("a state of 1 bytes"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "older");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
