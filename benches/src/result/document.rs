//! The JSON document: what is in it, and how it is read back.

use serde::{Deserialize, Serialize};

use super::comparison::Comparison;
use super::header::Header;
use super::noise::Noise;
use super::phase::Phase;
use super::schema::{Kind, SCHEMA};

/// A document of either command.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Document {
    /// Of `run`.
    Run(RunResult),
    /// Of `compare`.
    Compare(Comparison),
}

/// What `run` found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunResult {
    /// Version of the document.
    pub(crate) schema: String,
    /// Always `run`.
    pub(crate) kind: Kind,
    /// Machine, versions, command, noise.
    pub(crate) header: Header,
    /// The phases that were measured, in order.
    #[serde(default)]
    pub(crate) phases: Vec<Phase>,
    /// Lines that a reader must know.
    #[serde(default)]
    pub(crate) notes: Vec<String>,
}

/// Why a text is no document.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DocumentError {
    /// Not JSON, or not of this shape.
    #[error("it is not a result of this tool ({0}): give a file written with --json by run or compare")]
    Shape(#[from] serde_json::Error),
    /// JSON of something else.
    #[error("it has no schema {SCHEMA:?}: give a file written with --json by run or compare")]
    Foreign,
    /// A version that came later.
    #[error(
        "its schema is {0:?} and this program reads {SCHEMA:?}: use the version of aquifer-bench that wrote it"
    )]
    Later(String),
    /// Neither of the two.
    #[error("its kind is {0}, and there are \"run\" and \"compare\": it is damaged")]
    Kind(String),
}

impl RunResult {
    /// Nothing measured yet.
    pub(crate) fn begin(header: Header) -> Self {
        Self { schema: SCHEMA.to_owned(), kind: Kind::Run, header, phases: Vec::new(), notes: Vec::new() }
    }

    /// Computes what follows from the rounds of all phases, and sets the end. To be called when they are complete, or as
    /// complete as they will be.
    pub(crate) fn finish(&mut self) {
        self.phases.iter_mut().for_each(Phase::finish);
        self.header.noise = Noise::worst(self.phases.iter().map(|phase| phase.noise));
        self.header.ended_unix_ms = aquifer_io::unix_time_ms();
    }

    /// Answers that were wrong, in all phases.
    pub(crate) fn answers_wrong(&self) -> u64 {
        self.phases.iter().map(Phase::answers_wrong).sum()
    }
}

impl Document {
    /// Reads a document of this schema.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        let value: serde_json::Value = serde_json::from_slice(bytes)?;
        match value.get("schema").and_then(serde_json::Value::as_str) {
            Some(SCHEMA) => {}
            Some(other) if other.starts_with("aquifer-bench/") => {
                return Err(DocumentError::Later(other.to_owned()));
            }
            _ => return Err(DocumentError::Foreign),
        }
        let kind = value.get("kind").cloned().unwrap_or_default();
        match kind.as_str() {
            Some("run") => Ok(Self::Run(serde_json::from_value(value)?)),
            Some("compare") => Ok(Self::Compare(serde_json::from_value(value)?)),
            _ => Err(DocumentError::Kind(kind.to_string())),
        }
    }

    /// What both kinds begin with.
    pub(crate) fn header(&self) -> &Header {
        match self {
            Self::Run(run) => &run.header,
            Self::Compare(comparison) => &comparison.header,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_read_back() {
        let mut run = RunResult::begin(Header { seed: 3, ..Header::default() });
        run.phases.push(Phase { name: "readrandom".to_owned(), ..Phase::default() });
        run.finish();
        let run = Document::Run(run);
        assert_eq!(Document::parse(&serde_json::to_vec(&run).unwrap()).unwrap(), run);
        let comparison = Document::Compare(Comparison::begin(Header::default(), Some("state".to_owned())));
        assert_eq!(Document::parse(&serde_json::to_vec(&comparison).unwrap()).unwrap(), comparison);
    }

    #[test]
    fn what_is_no_document_says_what_it_is() {
        for (text, part) in [
            ("", "not a result of this tool"),
            ("PK\u{3}\u{4}", "not a result of this tool"),
            ("[1]", "has no schema"),
            (r#"{"schema": 1}"#, "has no schema"),
            (r#"{"schema": "aquifer-bench/2"}"#, "use the version of aquifer-bench that wrote it"),
            (r#"{"schema": "aquifer-bench/1"}"#, "its kind is null"),
            (r#"{"schema": "aquifer-bench/1", "kind": "run"}"#, "missing field `header`"),
            (r#"{"schema": "aquifer-bench/1", "kind": "run", "header": {"seed": -1}}"#, "invalid value"),
        ] {
            let error = Document::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
