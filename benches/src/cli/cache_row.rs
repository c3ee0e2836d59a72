//! The rows of the suite: their names, and what each measures.

use std::fmt;
use std::str::FromStr;

/// A row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowName {
    GetSsd,
    GetSsdAlone,
    GetMemory,
    Neighbours,
    ZipfRemote,
    SsdWrites,
    Restart,
}

/// Rows in the order in which they are measured, each with its name and what it is.
pub(crate) const ROWS: [(RowName, &str, &str); 7] = [
    (
        RowName::GetSsd,
        "get-ssd",
        "uniform gets, memory a tenth of the data, the SSD tier holds all, --in-flight on each shard",
    ),
    (RowName::GetSsdAlone, "get-ssd-alone", "the same, one get at a time: the latency of an SSD hit"),
    (
        RowName::GetMemory,
        "get-memory",
        "uniform gets that memory answers, on each shard's thread, with an SSD tier and without",
    ),
    (
        RowName::Neighbours,
        "neighbours",
        "256 concurrent gets of keys that lie beside each other, all caches cold, s3 profile",
    ),
    (
        RowName::ZipfRemote,
        "zipf-remote",
        "Zipf 0.99 gets, memory a tenth of the data, no SSD tier, hdfs profile, beside the misses of the policies on the same accesses",
    ),
    (
        RowName::SsdWrites,
        "ssd-writes",
        "Zipf 0.99 read-modify-writes, the SSD tier half as large as the data: bytes written to the SSD by bytes taken in",
    ),
    (
        RowName::Restart,
        "restart",
        "an SSD tier with half as many entries as keys, opened by a new process after a clean end and after a kill -9",
    ),
];

impl RowName {
    /// What it measures.
    pub(crate) fn what(self) -> &'static str {
        ROWS.iter().find(|(row, ..)| *row == self).map_or("", |(.., what)| what)
    }
}

impl fmt::Display for RowName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ROWS.iter().find(|(row, ..)| row == self).map_or("", |(_, name, _)| name))
    }
}

impl FromStr for RowName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = ROWS.iter().find(|(_, name, _)| *name == text);
        found.map(|(row, ..)| *row).ok_or_else(|| {
            let names: Vec<_> = ROWS.iter().map(|(_, name, _)| *name).collect();
            format!("{text:?} is no row of a suite: {}", names.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back() {
        for (row, name, what) in ROWS {
            assert_eq!(name.parse::<RowName>().unwrap(), row);
            assert_eq!((row.to_string(), row.what()), (name.to_owned(), what));
        }
        assert!("getssd".parse::<RowName>().unwrap_err().contains("get-ssd-alone"));
    }
}
