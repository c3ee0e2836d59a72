//! Workloads by the names that people know from `db_bench` and YCSB, and what each of them is made of.

use super::distribution::Distribution;
use super::mix::{Kind, Mix};

/// What is in the store before the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// Nothing: the measurement itself fills it.
    Nothing,
    /// Every key once, in random order.
    Everything,
}

/// A workload.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Workload {
    pub(crate) name: String,
    /// What it does, in a few words.
    pub(crate) what: String,
    pub(crate) mix: Mix,
    pub(crate) distribution: Distribution,
    pub(crate) load: Load,
    /// Reads ask for keys that are not there.
    pub(crate) missing: bool,
    /// Most entries of one scan.
    pub(crate) scan_entries: usize,
    /// Ends after each key was written once, not after a time.
    pub(crate) fills: bool,
}

/// Where no flag says so.
const SCAN_ENTRIES: usize = 10;

const ZIPF: Distribution = Distribution::Zipf { theta: 0.99 };

/// Name, operations, distribution, and what it is.
pub(crate) const NAMED: [(&str, &str, Distribution, &str); 21] = [
    ("fillseq", "put", Distribution::Sequential, "write every key once, in order"),
    ("fillrandom", "put", Distribution::Uniform, "write every key once, in random order"),
    ("overwrite", "put", Distribution::Uniform, "write random keys that are there"),
    ("readrandom", "get", Distribution::Uniform, "read random keys"),
    ("readmissing", "get", Distribution::Uniform, "read random keys that are not there"),
    ("multireadrandom", "multiget", Distribution::Uniform, "read random keys, --batch in one call"),
    ("readwhilewriting", "get:0.9,put:0.1", Distribution::Uniform, "read, and write one in ten"),
    ("updaterandom", "update", Distribution::Uniform, "read a random key, then write it"),
    ("mergerandom", "merge", Distribution::Uniform, "add one to random counters, by merges"),
    ("seekrandom", "scan", Distribution::Uniform, "read --scan-entries in order from a random key on"),
    ("deleterandom", "delete", Distribution::Uniform, "delete random keys"),
    ("ycsb-a", "get:0.5,put:0.5", ZIPF, "half reads, half writes"),
    ("ycsb-b", "get:0.95,put:0.05", ZIPF, "mostly reads"),
    ("ycsb-c", "get", ZIPF, "reads only"),
    ("ycsb-d", "get:0.95,insert:0.05", Distribution::Latest, "reads of the newest, and new keys"),
    ("ycsb-e", "scan:0.95,insert:0.05", ZIPF, "short ordered scans, and new keys"),
    ("ycsb-f", "get:0.5,update:0.5", ZIPF, "half reads, half read-modify-writes"),
    ("valuestate-rmw", "update", ZIPF, "a value a key: read, change, write"),
    ("mapstate-put-scan", "mapput:0.9,mapscan:0.1", ZIPF, "maps of 16 entries: write one, read all"),
    (
        "liststate-append",
        "append:0.9,listread:0.1",
        Distribution::Uniform,
        "lists: append by merge, read all",
    ),
    (
        "window-insert-fire-clear",
        "windowinsert",
        Distribution::Uniform,
        "windows of 64 events: fill, read all, delete",
    ),
];

impl Workload {
    /// The workload with this name.
    pub(crate) fn named(name: &str) -> Result<Self, String> {
        let known =
            NAMED.iter().find(|(known, ..)| *known == name || known.strip_prefix("ycsb-") == Some(name));
        let Some((name, operations, distribution, what)) = known else {
            let names: Vec<_> = NAMED.iter().map(|(name, ..)| *name).collect();
            return Err(format!("{name:?} is no workload: {}", names.join(", ")));
        };
        let fills = name.starts_with("fill");
        Ok(Self {
            name: (*name).to_owned(),
            what: (*what).to_owned(),
            mix: operations.parse()?,
            distribution: *distribution,
            load: if fills { Load::Nothing } else { Load::Everything },
            missing: *name == "readmissing",
            scan_entries: SCAN_ENTRIES,
            fills,
        })
    }

    /// One put together from parts.
    pub(crate) fn custom(mix: Mix, distribution: Distribution) -> Self {
        let name = format!("{mix} {distribution}");
        let what = "operations put together by --ops".to_owned();
        let (load, missing, fills) = (Load::Everything, false, false);
        Self { name, what, mix, distribution, load, missing, scan_entries: SCAN_ENTRIES, fills }
    }

    /// Whether keys go while it runs.
    pub(crate) fn deletes(&self) -> bool {
        self.mix.has(Kind::Delete)
    }

    /// Whether it asks for many keys in one call.
    pub(crate) fn batches(&self) -> bool {
        self.mix.has(Kind::MultiGet)
    }

    /// Whether it writes keys that are there, so that the store can be settled after it and has the same keys.
    pub(crate) fn settles(&self) -> bool {
        let writes = self.mix.has(Kind::Put) || self.mix.has(Kind::Update);
        writes && !self.deletes() && !self.inserts()
    }

    /// Whether keys come while it runs.
    pub(crate) fn inserts(&self) -> bool {
        self.mix.has(Kind::Insert)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_workload_or_says_why_not() {
        for (name, ..) in NAMED {
            let workload = Workload::named(name).unwrap();
            assert_eq!(workload.fills, workload.load == Load::Nothing);
            assert_eq!(workload.name, name);
        }
        assert_eq!(Workload::named("a").unwrap().name, "ycsb-a");
        assert!(Workload::named("ycsb-d").unwrap().inserts());
        assert!(!Workload::named("window-insert-fire-clear").unwrap().settles());
        assert!(Workload::named("readrandmo").unwrap_err().contains("readrandom"));
    }
}
