//! Results of `run` and `compare`: one document, written as JSON, shown as a table or a page, compared by `diff`.
//!
//! ```text
//! run ─────> RunResult ──┐             ┌─> table          standard output
//!                        ├─> Document ─┼─> JSON, HTML     --json, --html
//! compare ─> Comparison ─┘             └─> diff           against another one
//!            recordings ──────────────────> hlog, hgrm    --hlog
//! ```
//!
//! The JSON is documented in `docs/result-schema.md`, field by field; a test holds the two together. What was not
//! measured is `null`, and a document of an earlier version of this program is read for ever: new fields may come at
//! any time, a field that changes its meaning makes a new [`document::SCHEMA`].

mod document;
mod header;
mod hlog;
mod metric;
mod noise;
mod phase;
mod recording;
mod round;
mod utc;
mod cells;
mod facts;
mod table;
mod outputs;
mod html;
mod comparison;

#[cfg(test)]
mod schema_test;

pub(crate) use comparison::{Arm, Comparison, Goal, Row};
pub(crate) use document::{Document, DocumentError, RunResult};
pub(crate) use header::Header;
pub(crate) use html::page;
pub(crate) use metric::{Better, METRICS, Metric, Summary, summary};
pub(crate) use noise::Noise;
pub(crate) use outputs::{Outputs, read_document};
pub(crate) use phase::{Ceiling, Curve, CurvePoint, Phase, Sweep, SweepStep, Tier, ToolCost, Workload};
pub(crate) use recording::{Interval, Recording};
pub(crate) use round::{Amplification, Dfs, Hits, KindLatency, Memory, Round, Second, Ssd};

pub(crate) use table::{printable, table};
pub(crate) use utc::utc_text;

/// Settings by name, the unit last in the name. Ordered, so that equal settings are equal text.
pub(crate) type Settings = std::collections::BTreeMap<String, serde_json::Value>;

/// One number by another; `None` where that is no number.
pub(crate) fn quotient(dividend: f64, divisor: f64) -> Option<f64> {
    let quotient = dividend / divisor;
    quotient.is_finite().then_some(quotient)
}
