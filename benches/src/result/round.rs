//! One measurement: the numbers of one phase or one arm in one round. What was not measured is `None`.

use serde::{Deserialize, Serialize};

use crate::histogram::LatencySummary;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Round {
    /// Counts from one. A round is missing when it was thrown away; rounds of several arms with one number belong together.
    pub(crate) round: u32,
    /// When its measured part began, in milliseconds since 1970.
    pub(crate) began_unix_ms: u64,
    /// How long it was measured.
    pub(crate) seconds: f64,
    /// Operations that ended in that time.
    pub(crate) operations: u64,
    /// These a second: the achieved rate.
    pub(crate) ops_per_s: f64,
    /// The same by the cores that did the work.
    pub(crate) ops_per_s_per_core: Option<f64>,
    /// The rate that was asked for; `None` in a closed loop.
    pub(crate) offered_ops_per_s: Option<f64>,
    /// Response times: from when the operation was due (open loop) or called (closed loop) to its result.
    pub(crate) latency: LatencySummary,
    /// Service times, in an open loop: from when the operation was really called.
    pub(crate) service: Option<LatencySummary>,
    /// Response times of each kind of operation.
    pub(crate) by_kind: Vec<KindLatency>,
    /// Processor time of the measured process for one operation: all threads, and the kernel for them.
    pub(crate) cpu_us_per_operation: Option<f64>,
    /// Memory of the measured process.
    pub(crate) memory: Option<Memory>,
    /// What went to and came from the SSD.
    pub(crate) ssd: Option<Ssd>,
    /// What went to and came from the DFS.
    pub(crate) dfs: Option<Dfs>,
    /// Bytes moved and kept by bytes asked for.
    pub(crate) amplification: Amplification,
    /// Where reads were answered from.
    pub(crate) hits: Option<Hits>,
    /// What this would cost at the configured prices.
    pub(crate) dollars_per_hour: Option<f64>,
    /// Cores that other processes kept busy meanwhile.
    pub(crate) others_cores: f64,
    /// That by the cores of the machine.
    pub(crate) others_share: f64,
    /// Whether that is too much: see [`crate::result::Noise`].
    pub(crate) noisy: bool,
    /// Answers compared with what was written.
    pub(crate) answers_checked: u64,
    /// Of these, wrong: another key's, damaged, missing, or there though never written.
    pub(crate) answers_wrong: u64,
    /// Further numbers of this phase alone, the unit last in the name, as in `restore_first_answer_ms`.
    pub(crate) values: std::collections::BTreeMap<String, f64>,
    /// Second by second.
    pub(crate) series: Vec<Second>,
}

/// Response times of one kind of operation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct KindLatency {
    /// `get`, `put`, `update`, ..
    pub(crate) kind: String,
    /// Its response times.
    pub(crate) latency: LatencySummary,
}

/// Memory of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Memory {
    /// Resident at the end of the round.
    pub(crate) resident_bytes: u64,
    /// The most that was resident so far.
    pub(crate) peak_bytes: u64,
}

/// Operations on local files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Ssd {
    /// Reads.
    pub(crate) reads: u64,
    /// Bytes of these.
    pub(crate) read_bytes: u64,
    /// Writes.
    pub(crate) writes: u64,
    /// Bytes of these.
    pub(crate) written_bytes: u64,
}

/// Requests to the DFS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Dfs {
    /// Reads of objects and ranges.
    pub(crate) gets: u64,
    /// Writes of objects and parts.
    pub(crate) puts: u64,
    /// Listings, by page.
    pub(crate) lists: u64,
    /// Lengths asked for.
    pub(crate) heads: u64,
    /// Deletions.
    pub(crate) deletes: u64,
    /// Bytes that came in.
    pub(crate) in_bytes: u64,
    /// Bytes that went out.
    pub(crate) out_bytes: u64,
}

/// Bytes moved and kept by bytes asked for: one is the least there can be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Amplification {
    /// Bytes written to SSD and DFS by bytes of keys and values written.
    pub(crate) write: Option<f64>,
    /// Bytes read from SSD and DFS by bytes of keys and values answered.
    pub(crate) read: Option<f64>,
    /// Bytes kept on the DFS (of a local engine: on the SSD) by bytes of live keys and values.
    pub(crate) space: Option<f64>,
}

/// Where reads were answered from: shares that add up to one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Hits {
    /// From memory.
    pub(crate) memory: f64,
    /// From the SSD.
    pub(crate) ssd: f64,
    /// From the DFS.
    pub(crate) remote: f64,
    /// By a filter or an index that knows that the key is not there.
    pub(crate) absent: f64,
}

/// One second of a round. The last one may be shorter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Second {
    /// Its end, from the beginning of the measured part.
    pub(crate) at_s: f64,
    /// Operations that ended in it.
    pub(crate) operations: u64,
    /// Median response time of these.
    pub(crate) p50_us: Option<f64>,
    /// 99th percentile.
    pub(crate) p99_us: Option<f64>,
    /// Longest.
    pub(crate) max_us: Option<f64>,
    /// Where its reads were answered from.
    pub(crate) hits: Option<Hits>,
}

impl Dfs {
    /// Requests of all kinds.
    pub(crate) fn requests(&self) -> u64 {
        [self.gets, self.puts, self.lists, self.heads, self.deletes].iter().sum()
    }
}
