//! The passes of a verification.

use std::ops::Range;

use bytes::Bytes;

use super::compare::Comparison;
use super::slot::{Slot, all_slots, groups, slot};
use super::table::{FoldTable, Full};
use super::tally::{Tally, Verified};
use crate::failure::Failure;
use crate::input::{EventReader, InputError, Source};
use crate::interrupt;

/// Rows between two looks for Ctrl-C.
const ROWS_PER_CHECK: u64 = 1 << 14;

/// The state to be verified, in pages: a client of the engine, or in tests a map.
pub(crate) trait StoredState {
    /// The entries of a key group that follow a key.
    fn page(&self, group: u16, after: Option<&[u8]>) -> impl Future<Output = Result<Page, Failure>>;
}

/// Some entries of a key group, ascending.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// Keys and their states.
    pub(crate) entries: Vec<(Bytes, Bytes)>,
    /// After which key the next page begins; `None` at the end of the group. A page may be empty and not the last.
    pub(crate) next: Option<Bytes>,
}

/// Compares all keys. `rows_done` is called now and then with the number of rows read over all passes.
///
/// Memory: `budget_bytes` for the table, one page, one row. Errors: of the input and of the engine; mismatches are no
/// error here. Dropping the future ends the verification.
pub(crate) async fn verify<W: Verified, S: StoredState>(
    workload: &W,
    source: &Source,
    state: &S,
    key_groups: u16,
    budget_bytes: usize,
    mut rows_done: impl FnMut(u64),
) -> Result<Comparison, Failure> {
    let mut comparison = Comparison::default();
    let mut table: FoldTable<W::Tally> = FoldTable::new(budget_bytes);
    let all = all_slots(key_groups);
    let mut slots = all.clone();
    while !slots.is_empty() {
        table.clear();
        let mut pass = Pass { workload, key_groups, table: &mut table, slots: slots.clone() };
        pass.fold(source, &mut rows_done)?;
        let folded = pass.slots;
        compare::<W, S>(&mut table, state, key_groups, &folded, &mut comparison).await?;
        comparison.passes += 1;
        comparison.keys += table.entries_count() as u64;
        slots = next_slots(&folded, all.end, table.fullness());
    }
    Ok(comparison)
}

/// The slots of the next pass: as many as should fill nine tenths of the table.
fn next_slots(folded: &Range<Slot>, end: Slot, fullness: f64) -> Range<Slot> {
    let scale = 0.9 / fullness.max(0.001);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate, clamped right away"
    )]
    let count = ((folded.end - folded.start) as f64 * scale) as u64;
    folded.end..folded.end.saturating_add(count.max(1)).min(end)
}

struct Pass<'p, W: Verified> {
    workload: &'p W,
    key_groups: u16,
    table: &'p mut FoldTable<W::Tally>,
    slots: Range<Slot>,
}

impl<W: Verified> Pass<'_, W> {
    /// Reads the input once and folds the rows of this pass's slots, fewer of them each time the table is full.
    fn fold(&mut self, source: &Source, rows_done: &mut impl FnMut(u64)) -> Result<(), Failure> {
        let mut reader = EventReader::open(source)?;
        let mut key = Vec::new();
        let mut rows = 0_u64;
        while let Some(row) = reader.next_row()? {
            rows += 1;
            if rows.is_multiple_of(ROWS_PER_CHECK) {
                rows_done(ROWS_PER_CHECK);
                interrupt::check()?;
            }
            key.clear();
            key.extend_from_slice(self.workload.key(&row)?);
            let (slot, hash) = slot(&key, self.key_groups);
            if self.slots.contains(&slot) {
                let event = self.workload.event(&row)?;
                let line = row.line();
                self.add(source, line, slot, hash, &key, &event)?;
            }
        }
        Ok(())
    }

    fn add(
        &mut self,
        source: &Source,
        line: u64,
        slot: Slot,
        hash: u64,
        key: &[u8],
        event: &W::Event,
    ) -> Result<(), Failure> {
        if let Some(entry) = self.table.find(hash, key) {
            let overflow = || InputError::at_line(&source.to_string(), line, "a sum leaves its exact range");
            return Ok(entry.tally.add(event).ok_or_else(overflow)?);
        }
        while let Err(Full) = self.table.insert(hash, key, W::Tally::first(event)) {
            self.halve()?;
            if !self.slots.contains(&slot) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn halve(&mut self) -> Result<(), Failure> {
        let count = self.slots.end - self.slots.start;
        if count <= 1 {
            return Err(Failure::Other(
                "the keys of one hash slot do not fit the verification's table".into(),
            ));
        }
        self.slots.end = self.slots.start + count / 2;
        self.table.keep(&self.slots, self.key_groups);
        Ok(())
    }
}

async fn compare<W: Verified, S: StoredState>(
    table: &mut FoldTable<W::Tally>,
    state: &S,
    key_groups: u16,
    slots: &Range<Slot>,
    comparison: &mut Comparison,
) -> Result<(), Failure> {
    for group in groups(slots) {
        let mut after: Option<Bytes> = None;
        loop {
            interrupt::check()?;
            let page = state.page(group, after.as_deref()).await?;
            for (key, value) in &page.entries {
                let (slot, hash) = slot(key, key_groups);
                if slots.contains(&slot) {
                    compare_one::<W>(table, hash, key, value, comparison);
                }
            }
            if page.next.is_none() {
                break;
            }
            after = page.next;
        }
    }
    for (key, entry) in table.iter() {
        if !entry.seen {
            comparison.note_missing(key, &entry.tally.describe());
        }
    }
    Ok(())
}

fn compare_one<W: Verified>(
    table: &mut FoldTable<W::Tally>,
    hash: u64,
    key: &[u8],
    value: &[u8],
    comparison: &mut Comparison,
) {
    let Some(entry) = table.find(hash, key) else { return comparison.note_extra(key) };
    if std::mem::replace(&mut entry.seen, true) {
        return comparison.note_different(key, "this key twice", "it once");
    }
    match W::decode(value) {
        Ok(found) if entry.tally.agrees(&found) => {}
        Ok(found) => comparison.note_different(key, &W::cells(&found).join(","), &entry.tally.describe()),
        Err(error) => comparison.note_different(key, &error.to_string(), &entry.tally.describe()),
    }
}

#[cfg(test)]
#[path = "passes_test.rs"]
mod tests;
