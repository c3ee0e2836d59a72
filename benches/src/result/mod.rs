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
//! any time, a field that changes its meaning makes a new [`schema::SCHEMA`].

mod schema;
mod settings;
mod division;
mod recording;
mod round;
mod utc;
mod hlog;
mod metric;
mod noise;
mod phase;
mod header;
mod facts;
mod comparison;
mod cells;
mod document;
mod table;
mod html;
mod outputs;

#[cfg(test)]
mod schema_test;

pub(crate) use comparison::{Arm, Comparison, Goal, Row};
pub(crate) use division::quotient;
pub(crate) use document::{Document, RunResult};
pub(crate) use header::Header;
pub(crate) use html::page;
pub(crate) use metric::{Better, METRICS, Metric, summary};
pub(crate) use noise::Noise;
pub(crate) use outputs::{Outputs, read_document};
pub(crate) use phase::{Ceiling, Curve, Phase, Sweep, SweepStep, Tier, ToolCost, Workload};
pub(crate) use recording::{Interval, Recording};
pub(crate) use round::{Amplification, Dfs, Hits, KindLatency, Memory, Round, Second, Ssd};
pub(crate) use settings::Settings;
pub(crate) use table::{printable, table};
pub(crate) use utc::utc_text;
