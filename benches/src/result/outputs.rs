//! Where a result goes: to every place that was asked for, and to the standard output as a table.

use std::path::Path;

use super::document::{Document, DocumentError};
use super::hlog::HlogFolder;
use super::html::page;
use super::recording::Recording;
use super::table;
use crate::cli::OutputArgs;
use crate::failure::Failure;
use crate::output::{Output, show};

/// The places, found to be writable.
#[derive(Debug)]
pub(crate) struct Outputs {
    json: Option<Output>,
    html: Option<Output>,
    hlog: Option<HlogFolder>,
}

impl Outputs {
    /// Checks that all places can be written: to be called before anything is measured.
    pub(crate) fn new(args: &OutputArgs) -> Result<Self, Failure> {
        Ok(Self {
            json: args.json.as_deref().map(Output::new).transpose()?,
            html: args.html.as_deref().map(Output::new).transpose()?,
            hlog: args.hlog.as_deref().map(HlogFolder::new).transpose()?,
        })
    }

    /// Writes a result to all of them, then shows the table. A partial result is written like a whole one: its header says
    /// what it is. Recordings go to `--hlog` only: see [`Self::wants_recordings`].
    ///
    /// # Errors
    /// The first place that could not be written, after all others were tried: a full disk below one of them costs no
    /// other.
    pub(crate) fn publish(&self, document: &Document, recordings: &[Recording]) -> Result<(), Failure> {
        let json = self.json.as_ref().map(|json| json.write_json(document));
        let html = self.html.as_ref().map(|html| html.write(page(document).as_bytes()));
        let hlog = self.hlog.as_ref().map(|hlog| hlog.write(recordings));
        let stdout_taken = [&self.json, &self.html].into_iter().flatten().any(Output::is_stdout);
        let shown = show(&table(document), stdout_taken);
        [json, html, hlog, Some(shown)].into_iter().flatten().find(Result::is_err).unwrap_or(Ok(()))
    }

    /// Whether recordings are wanted.
    pub(crate) const fn wants_recordings(&self) -> bool {
        self.hlog.is_some()
    }
}

/// Reads a document from a file that `--json` has written.
pub(crate) fn read_document(path: &Path) -> Result<Document, Failure> {
    let failed = |error| Failure::local("cannot read", path, error);
    let bytes = std::fs::metadata(path).map_err(failed)?.len();
    if bytes > DOCUMENT_BYTES_MAX {
        let most = crate::byte_size::human_bytes(DOCUMENT_BYTES_MAX);
        return Err(Failure::Other(format!(
            "{}: results have at most {most}, and it is longer",
            path.display()
        )));
    }
    let text = std::fs::read(path).map_err(failed)?;
    Document::parse(&text)
        .map_err(|error: DocumentError| Failure::Other(format!("{}: {error}", path.display())))
}

/// Longest document that is read.
const DOCUMENT_BYTES_MAX: u64 = 256 << 20;

#[cfg(test)]
mod tests {
    use super::super::{Header, RunResult};
    use super::*;

    #[test]
    fn a_partial_result_goes_to_every_place() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| Some(folder.path().join(name));
        let outputs =
            Outputs::new(&OutputArgs { json: place("a.json"), html: place("a.html"), hlog: place("hlog") })
                .unwrap();
        assert!(!folder.path().join("a.json").exists());
        let header =
            Header { partial: true, partial_reason: Some("interrupted".to_owned()), ..Header::default() };
        let document = Document::Run(RunResult::begin(header));
        outputs.publish(&document, &[]).unwrap();
        assert_eq!(read_document(&folder.path().join("a.json")).unwrap(), document);
        assert!(std::fs::read_to_string(folder.path().join("a.html")).unwrap().contains("PARTIAL"));
        drop(outputs);
        assert!(!folder.path().join("hlog").exists(), "nothing was recorded");
    }

    /// A disk that is full below one of the places.
    #[test]
    fn a_place_that_fails_costs_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let html = folder.path().join("a.html");
        let args = OutputArgs { json: Some("/dev/full".into()), html: Some(html.clone()), hlog: None };
        let document = Document::Run(RunResult::begin(Header::default()));
        let error = Outputs::new(&args).unwrap().publish(&document, &[]).unwrap_err().to_string();
        assert!(error.contains("cannot write /dev/full: No space left"), "{error}");
        assert!(std::fs::read_to_string(&html).unwrap().ends_with("</html>"));
    }

    #[test]
    fn places_that_cannot_be_written_are_found_out_before() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let absent = || Some(folder.path().join("absent/file"));
        for args in [
            OutputArgs { json: absent(), ..OutputArgs::default() },
            OutputArgs { html: absent(), ..OutputArgs::default() },
            OutputArgs { hlog: Some(file.join("hlog")), ..OutputArgs::default() },
            OutputArgs { hlog: Some(file.clone()), ..OutputArgs::default() },
        ] {
            assert!(Outputs::new(&args).is_err(), "{args:?}");
        }
    }
}
