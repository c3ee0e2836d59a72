//! What the help of `run` says after its flags.

use super::suite;
use crate::load::mix::Kind;
use crate::load::workload::NAMED;

/// What follows the flags in the help.
pub(crate) fn help() -> String {
    let lines = NAMED.iter().map(|(name, operations, distribution, what)| {
        format!("  {name:<25}{what} ({operations}, {distribution})")
    });
    let kinds: Vec<_> = Kind::all().map(Kind::name).collect();
    format!(
        "\
Workloads (those of YCSB also by their letter alone):
{}

Operations of --ops: {} (update: read, then write; insert: a new key).

Distributions:
  uniform                 every key alike
  zipf:0.99               the r-th most frequent key with weight 1 / r^0.99, scattered over all keys as YCSB does
  latest                  zipf:0.99 by age, the newest key most often
  hotset:0.1:0.9          a tenth of the keys gets nine tenths of the operations
  shifting:0.1:0.9:100000 the same, and every 100,000 operations other keys are the hot ones
  sequential              one after the other

Phases: memory, ssd, mixed, remote measure every workload with the data there; checkpoint takes two while it goes on; restore and
rescale open the state on empty caches, rescale by twice the shards. Each measures its ceiling beside it.

Suites: cache is what the cache is to reach, each row beside its ceiling, in rounds that take turns; the rows:
{}

Examples:
  aquifer-bench run --suite cache --keys 10000000 --rounds 5
  aquifer-bench run fillrandom readrandom --keys 10000000
  aquifer-bench run a b c --distribution zipf:1.1 --memory-percent 10
  aquifer-bench run readrandom --rate 25000             open loop: latency from when each was due
  aquifer-bench run readrandom --rate-sweep --p99-us 500
  aquifer-bench run --phases all --profile hdfs,s3

Exit codes: 0 all answers were right, 1 one was wrong, 2 flags that make no sense, 3 any other failure, 130 ended by Ctrl-C (what
was measured by then is shown and written, marked as partial).",
        lines.collect::<Vec<_>>().join("\n"),
        kinds.join(", "),
        suite::help(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_is_in_the_help() {
        assert!(NAMED.iter().all(|(name, ..)| help().contains(name)));
    }
}
