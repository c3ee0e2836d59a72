//! The events of an input, in order, with the position after each.

use super::position::Position;
use crate::failure::Failure;
use crate::input::{EventReader, InputError, Source};
use crate::interrupt;
use crate::workload::Workload;

/// Rows between two looks for Ctrl-C.
const ROWS_PER_CHECK: u64 = 1 << 14;

/// See the module.
pub(super) struct Feed<'f, W: Workload> {
    workload: &'f W,
    source: &'f Source,
    reader: EventReader,
    position: Position,
    key: Vec<u8>,
    event_bytes: Vec<u8>,
    ended: bool,
}

/// One event with the line it stands on.
#[derive(Debug)]
pub(super) struct Numbered<E> {
    pub(super) event: E,
    pub(super) line: u64,
}

impl<'f, W: Workload> Feed<'f, W> {
    /// The input from its beginning.
    pub(super) fn open(workload: &'f W, columns: &str, source: &'f Source) -> Result<Self, Failure> {
        Ok(Self {
            workload,
            source,
            reader: EventReader::open(source)?,
            position: Position::start(W::SHAPE, columns),
            key: Vec::new(),
            event_bytes: Vec::new(),
            ended: false,
        })
    }

    /// The next event, or `None` at the end; its key is in [`Feed::key`].
    pub(super) fn next(&mut self) -> Result<Option<Numbered<W::Event>>, Failure> {
        let Some(row) = self.reader.next_row()? else {
            self.ended = true;
            return Ok(None);
        };
        self.key.clear();
        self.key.extend_from_slice(self.workload.key(&row)?);
        let event = self.workload.event(&row)?;
        self.event_bytes.clear();
        W::event_bytes(&event, &mut self.event_bytes);
        self.position.advance(&self.key, &self.event_bytes);
        if self.position.events.is_multiple_of(ROWS_PER_CHECK) {
            interrupt::check()?;
        }
        Ok(Some(Numbered { event, line: row.line() }))
    }

    /// The key of the event that [`Feed::next`] gave last.
    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }

    /// The position after the event that was given last.
    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// Whether [`Feed::next`] has found the end.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Reads over the events that a checkpoint has consumed. Error: they are not the events of this input.
    pub(super) fn skip_to(&mut self, target: &Position) -> Result<(), Failure> {
        if (self.position.shape, self.position.columns_hash) != (target.shape, target.columns_hash) {
            return Err(self.other_input("its key and value are other columns"));
        }
        while self.position.events < target.events {
            if self.next()?.is_none() {
                let (found, expected) = (self.position.events, target.events);
                let why = format!("{expected} events have been consumed, this input has {found}");
                return Err(self.other_input(&why));
            }
        }
        if self.position == *target {
            Ok(())
        } else {
            Err(self
                .other_input(&format!("its first {} events are not the first of this one", target.events)))
        }
    }

    fn other_input(&self, why: &str) -> Failure {
        let problem = format!("the store has been made from another input: {why}");
        InputError::whole(&self.source.to_string(), problem).into()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::workload::Totals;

    fn input(rows: &str) -> (tempfile::NamedTempFile, Source) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(file, "k,v\n{rows}").unwrap();
        let source = Source::File(file.path().to_owned());
        (file, source)
    }

    /// Position after this many events of an input.
    fn position_in(rows: &str, events: u64) -> Position {
        let (_file, source) = input(rows);
        let workload = Totals::bind(EventReader::open(&source).unwrap().header(), "k", "v").unwrap();
        let mut feed = Feed::open(&workload, "k/v", &source).unwrap();
        while feed.position().events < events {
            feed.next().unwrap().unwrap();
        }
        feed.position()
    }

    fn skip(rows: &str, columns: &str, target: &Position) -> Result<(), String> {
        let (_file, source) = input(rows);
        let workload = Totals::bind(EventReader::open(&source).unwrap().header(), "k", "v").unwrap();
        let mut feed = Feed::open(&workload, columns, &source).unwrap();
        feed.skip_to(target).map_err(|error| error.to_string())
    }

    #[test]
    fn the_same_input_is_known_again_and_may_have_grown() {
        let target = position_in("a,1\nb,2\nc,3\n", 2);
        skip("a,1\nb,2\nc,3\n", "k/v", &target).unwrap();
        skip("a,1.0\r\n\"b\",2\r\nc,3\r\nd,4\r\n", "k/v", &target).unwrap();
    }

    #[test]
    fn another_input_is_refused_with_the_reason() {
        let target = position_in("a,1\nb,2\nc,3\n", 2);
        for (rows, columns, reason) in [
            ("a,1\nb,3\nc,3\n", "k/v", "first 2 events are not the first"),
            ("b,2\na,1\n", "k/v", "first 2 events are not the first"),
            ("a,1\n", "k/v", "2 events have been consumed, this input has 1"),
            ("a,1\nb,2\n", "k/w", "other columns"),
        ] {
            let error = skip(rows, columns, &target).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
