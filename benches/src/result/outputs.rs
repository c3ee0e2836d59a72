//! Where a result goes: to every place that was asked for, and to the standard output as a table.

use std::io::Write;

use super::{Document, Recording};
use crate::cli::OutputArgs;
use crate::failure::Failure;
use crate::output::Output;

/// The places, found to be writable.
#[derive(Debug)]
pub(crate) struct Outputs {
    json: Option<Output>,
}

impl Outputs {
    /// Checks that all places can be written: to be called before anything is measured.
    pub(crate) fn new(args: &OutputArgs) -> Result<Self, Failure> {
        Ok(Self { json: args.json.as_deref().map(Output::new).transpose()? })
    }

    /// Writes a result to all of them, then shows the table. A partial result is written like a whole one: its header says
    /// what it is. Recordings go to `--hlog` only.
    pub(crate) fn publish(&self, document: &Document, recordings: &[Recording]) -> Result<(), Failure> {
        let _ = (recordings, std::io::stdout().flush());
        if let Some(json) = &self.json {
            let text = document.to_json();
            let text = text.map_err(|error| Failure::Other(format!("cannot encode the result: {error}")))?;
            json.write(&text)?;
        }
        Ok(())
    }
}
