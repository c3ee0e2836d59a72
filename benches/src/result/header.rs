//! What a reader must know before any number: which program, on which machine, asked for what, and how quiet it was.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::noise::Noise;
use super::settings::Settings;
use crate::measure::machine::Machine;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Header {
    /// Always `aquifer-bench`.
    pub(crate) tool: String,
    /// Its version.
    pub(crate) version: String,
    /// The git commit it was built from; `None` outside a checkout.
    pub(crate) commit: Option<String>,
    /// Whether tracked files differed from that commit when it was built.
    pub(crate) dirty: Option<bool>,
    /// How it was built.
    pub(crate) build: Build,
    /// The command in full, the program's name first.
    pub(crate) command_line: Vec<String>,
    /// What it ran on.
    pub(crate) machine: Machine,
    /// Versions of everything else that took part, by name.
    pub(crate) versions: std::collections::BTreeMap<String, String>,
    /// The engine's settings as they were in the end, defaults filled in.
    pub(crate) settings: Settings,
    /// Seed of keys, values and operations.
    pub(crate) seed: u64,
    /// When it began, in milliseconds since 1970.
    pub(crate) began_unix_ms: u64,
    /// When it ended.
    pub(crate) ended_unix_ms: u64,
    /// Whether it ended before all was measured; what is there was measured in full.
    pub(crate) partial: bool,
    /// Why, if so.
    pub(crate) partial_reason: Option<String>,
    /// The worst of all phases or rows.
    pub(crate) noise: Noise,
}

/// How the program was built.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Build {
    /// `release` or `debug`; the numbers of a debug build mean little.
    pub(crate) profile: String,
    /// As the compiler names itself.
    pub(crate) rustc: String,
    /// The target triple.
    pub(crate) target: String,
    /// Flags given to the compiler beyond the profile's, as in `-C target-cpu=native`; empty for none.
    pub(crate) rustflags: String,
}

impl Header {
    /// At the beginning of a command: all that is known then. The folder is the one whose disk is measured.
    pub(crate) fn begin(folder: &Path, settings: Settings, seed: u64) -> Self {
        Self {
            tool: "aquifer-bench".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: option_env!("AQUIFER_COMMIT").map(str::to_owned),
            dirty: option_env!("AQUIFER_DIRTY").map(|dirty| dirty == "true"),
            build: Build::this(),
            command_line: std::env::args_os().map(|part| part.to_string_lossy().into_owned()).collect(),
            machine: Machine::of(folder),
            settings,
            seed,
            began_unix_ms: aquifer_io::unix_time_ms(),
            ..Self::default()
        }
    }

    /// The command as one would type it into a shell.
    pub(crate) fn command_text(&self) -> String {
        let quoted = self.command_line.iter().map(|part| shell_word(part));
        quoted.collect::<Vec<_>>().join(" ")
    }

    /// Version and commit in one word: `0.1.0 (0123456789ab, changed)`.
    pub(crate) fn version_text(&self) -> String {
        let commit: String = self.commit.as_deref().unwrap_or("no commit known").chars().take(15).collect();
        let commit = if self.commit.is_some() { commit.chars().take(12).collect() } else { commit };
        let changed = if self.dirty == Some(true) { ", changed" } else { "" };
        format!("{} ({commit}{changed})", self.version)
    }
}

impl Build {
    /// Of this program.
    pub(crate) fn this() -> Self {
        let of = |found: Option<&'static str>| found.unwrap_or_default().to_owned();
        Self {
            profile: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
            rustc: of(option_env!("AQUIFER_RUSTC")),
            target: of(option_env!("AQUIFER_TARGET")),
            rustflags: of(option_env!("AQUIFER_RUSTFLAGS")),
        }
    }
}

/// A word as a POSIX shell reads it back.
fn shell_word(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=,+@%".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_can_be_typed_again() {
        let command_line = ["aquifer-bench", "run", "--ops", "get:0.9,put:0.1", "it's $HOME", ""];
        let header = Header { command_line: command_line.map(str::to_owned).into(), ..Header::default() };
        assert_eq!(header.command_text(), r"aquifer-bench run --ops get:0.9,put:0.1 'it'\''s $HOME' ''");
    }

    #[test]
    fn versions_name_the_commit_where_there_is_one() {
        let header = |commit: Option<&str>, dirty| Header {
            version: "0.1.0".to_owned(),
            commit: commit.map(str::to_owned),
            dirty,
            ..Header::default()
        };
        assert_eq!(header(None, None).version_text(), "0.1.0 (no commit known)");
        let commit = Some("0123456789abcdef0123456789abcdef01234567");
        assert_eq!(header(commit, Some(false)).version_text(), "0.1.0 (0123456789ab)");
        assert_eq!(header(commit, Some(true)).version_text(), "0.1.0 (0123456789ab, changed)");
    }

    #[test]
    fn a_header_begins_with_all_that_is_known() {
        let header = Header::begin(Path::new("/"), Settings::new(), 7);
        assert!(header.tool == "aquifer-bench" && header.seed == 7 && header.began_unix_ms > 0);
        assert!(header.build.rustc.starts_with("rustc ") && !header.build.target.is_empty());
        assert!(!header.command_line.is_empty() && header.machine.memory_bytes > 0, "{header:?}");
    }
}
