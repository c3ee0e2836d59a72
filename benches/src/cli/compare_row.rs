//! The rows of `compare` by name.

use std::fmt;
use std::str::FromStr;

/// Name of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RowName {
    Load,
    GetSsd,
    OpenLoop,
    RmwZipf,
    Overwrite,
    GetMemory,
    MultiGetMemory,
    RmwMemory,
    RemoteLoad,
    RemoteGet,
    RemoteRmw,
    Checkpoint,
    Restore,
}

/// Their names, in the order in which they are measured.
const NAMES: [(RowName, &str); 13] = [
    (RowName::Load, "load"),
    (RowName::GetSsd, "get-ssd"),
    (RowName::OpenLoop, "open-loop"),
    (RowName::RmwZipf, "rmw-zipf"),
    (RowName::Overwrite, "overwrite"),
    (RowName::GetMemory, "get-memory"),
    (RowName::MultiGetMemory, "multiget-memory"),
    (RowName::RmwMemory, "rmw-memory"),
    (RowName::RemoteLoad, "remote-load"),
    (RowName::RemoteGet, "remote-get"),
    (RowName::RemoteRmw, "remote-rmw"),
    (RowName::Checkpoint, "checkpoint"),
    (RowName::Restore, "restore"),
];

impl RowName {
    /// As the flag takes it.
    pub(crate) fn text(self) -> &'static str {
        NAMES.iter().find(|(row, _)| *row == self).map_or("", |(_, text)| text)
    }
}

impl fmt::Display for RowName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl FromStr for RowName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = NAMES.iter().find(|(_, name)| *name == text).map(|(row, _)| *row);
        found.ok_or_else(|| {
            let names: Vec<_> = NAMES.iter().map(|(_, name)| *name).collect();
            format!("{text:?} is no row: {}", names.join(", "))
        })
    }
}
