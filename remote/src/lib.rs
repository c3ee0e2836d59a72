//! Immutable objects by name on any distributed file system that is reached over HTTP.
//!
//! ```text
//! engine ──> Remote ──> wrappers ─┬─> adapter ──> object_store ──> HTTP client ──> S3, Google, Azure … embedded server
//!                                 │           └> s3_read: ranged reads over http:// ──> S3 and compatible, embedded server
//!                                 └─> webhdfs, webdav ──> exchange (HTTP client) ──> HDFS, JuiceFS …
//! ```
//!
//! One narrow trait, [`Remote`]: put, put-if-absent, get, ranged get, head, delete, list in pages, multipart upload. Its
//! promises are on the methods; the conformance suite (feature `conformance`) checks them for every store and wrapper.
//!
//! * [`wrap`](fn@wrap) puts the wrappers around any store, as [`open_url`] does with those it opens: repeats, second requests for slow reads,
//!   limits for foreground and background, doubts settled, latencies, errors and costs counted. The order and why: `wrap/mod.rs`.
//! * [`SimulatedDfs`] is the store of a simulated world; [`shape`] has latencies and faults as numbers.
//! * [`metered`] and [`priced`] count alone; [`probe_put_if_absent`] finds out whether a store keeps its promise.
//! * [`open_url`] opens `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`, `webhdfs://host:port/path`,
//!   `https://host/path` (WebDAV), `file:///dir` and `memory://`; `gs`, `az`, `webhdfs` and WebDAV by the features
//!   `gcp`, `azure`, `webhdfs` and `webdav`. [`from_object_store`] takes an embedder's own.
//! * [`metered`] counts requests and bytes; [`probe_put_if_absent`] finds out whether a store keeps its promise; [`read_only`] lets a
//!   store that does not keep it be read.
//! * Feature `server`: the embedded server, an S3 subset over HTTP on a local folder, in process.
//!
//! HTTP, TLS and file calls run on a small runtime of the store, so futures may be awaited on any executor or none, never
//! hold the caller's core, and abort their request when dropped. Requests at once, repeats, waits and error answers are bounded
//! ([`RemoteOptions`]); a dead server is an error of kind `Unavailable` within ten seconds. No secret enters an error or
//! `Debug` output.

mod content;
mod resolver;
mod secrets;
pub mod shape;
mod sharing;
mod beneath;
mod durable;
mod local;
mod failure;
mod error;
mod name;
mod store;
mod timer;
mod prices;
mod hedge_options;
mod on_wait;
#[cfg(any(feature = "webdav", feature = "webhdfs"))]
mod walk;
mod location;
mod endpoint;
mod options;
mod bounds;
mod refusal;
mod runtime;
mod settings;
mod wrap;
#[cfg(any(feature = "webdav", feature = "webhdfs"))]
mod front;
mod repeats;
mod bounded_body;
mod http_client;
#[cfg(any(feature = "webdav", feature = "webhdfs"))]
mod exchange;
#[cfg(feature = "webhdfs")]
mod webhdfs;
mod s3_read;
#[cfg(feature = "webdav")]
mod webdav;
mod adapter;
#[cfg(any(feature = "gcp", feature = "azure"))]
mod cloud;
mod open;
mod probe;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "server")]
pub mod server;
mod simulated;

pub use content::Content;
pub use error::{RemoteError, RemoteErrorKind};
pub use hedge_options::HedgeOptions;
pub use name::{NAME_BYTES_MAX, ObjectName};
pub use on_wait::OnWait;
pub use open::{from_object_store, open_stack, open_url};
pub use options::RemoteOptions;
pub use prices::{Prices, UnknownPrices};
pub use probe::probe_put_if_absent;
pub use secrets::masked;
pub use shape::options::ShapeOptions;
pub use simulated::SimulatedDfs;
pub use store::{
    ListPage, ObjectMeta, PutOutcome, Remote, RemoteFuture, UPLOAD_PART_BYTES_MIN, UPLOAD_PARTS_MAX, Upload,
};
pub use timer::Timers;
pub use wrap::cost::{Bill, Cost, priced};
pub use wrap::hedge::HedgeCounters;
pub use wrap::limit::{ClassLimit, InFlight, Limits};
pub use wrap::meter::{LatencySummary, RemoteMetrics, metered};
pub use wrap::operation::{Operation, SizeClass};
pub use wrap::read_only::read_only;
pub use wrap::{Stack, wrap};
