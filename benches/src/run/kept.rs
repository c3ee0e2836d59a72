//! Loaded stores that are kept: `--keep DIR` leaves one, `--reuse DIR` takes it.
//!
//! ```text
//! DIR/aquifer-bench-kept.json   what was loaded; written last, so that a folder with it is whole
//!    /dfs                       the objects, as the embedded DFS keeps them
//! ```
//! A run works on hard links of the objects, which never change: what it writes and deletes does not touch the kept ones.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use aquifer::Compression;
use serde::{Deserialize, Serialize};

use crate::cli::RunArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::scratch::private_folder;

const FILE: &str = "aquifer-bench-kept.json";
const SCHEMA: &str = "aquifer-bench-kept/1";
/// Longest descriptor that is read.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// Held by a server that uses the folder.
const LOCK: &str = "LOCK";

/// What was loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) schema: String,
    /// Of the program that made it.
    pub(crate) version: String,
    pub(crate) keys: u64,
    pub(crate) key_bytes: u16,
    pub(crate) value_bytes: String,
    pub(crate) seed: u64,
    pub(crate) compression: String,
    /// The state shape that was loaded.
    pub(crate) layout: String,
}

/// Where the objects are.
pub(crate) fn dfs_folder(folder: &Path) -> PathBuf {
    folder.join("dfs")
}

impl Kept {
    pub(crate) fn new(
        (keys, key_bytes, value_bytes): (u64, u16, String),
        seed: u64,
        compression: Compression,
    ) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            keys,
            key_bytes,
            value_bytes,
            seed,
            compression: compression.to_string(),
            layout: "keys".to_owned(),
        }
    }

    /// Reads what a folder holds.
    pub(crate) fn read(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join(FILE);
        let length = std::fs::metadata(&path).map(|found| found.len());
        let wrong =
            |why: String| Failure::Usage(format!("--reuse {}: {why}; make it with --keep", folder.display()));
        match length {
            Ok(length) if length <= FILE_BYTES_MAX => {}
            Ok(_) => return Err(wrong(format!("{FILE} is too long"))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(wrong(format!("there is no {FILE}, so no loaded store")));
            }
            Err(error) => return Err(Failure::local("cannot read", &path, error)),
        }
        let text = std::fs::read(&path).map_err(|error| Failure::local("cannot read", &path, error))?;
        let kept: Self =
            serde_json::from_slice(&text).map_err(|error| wrong(format!("{FILE} is damaged ({error})")))?;
        if kept.schema != SCHEMA {
            return Err(wrong(format!("{FILE} is of the schema {:?}, not {SCHEMA:?}", kept.schema)));
        }
        Ok(kept)
    }

    /// Refuses flags that say otherwise.
    pub(crate) fn check(&self, folder: &Path, args: &RunArgs) -> Result<(), Failure> {
        let differs = |flag: &str, asked: Option<String>, found: String| match asked {
            Some(asked) if asked != found => Err(Failure::Usage(format!(
                "--reuse {}: it was loaded with {flag} {found}, not {asked}; leave {flag} out, or load another with --keep",
                folder.display()
            ))),
            _ => Ok(()),
        };
        differs("--keys", args.keys.map(|keys| keys.to_string()), self.keys.to_string())?;
        differs("--key-bytes", args.key_bytes.map(|bytes| bytes.to_string()), self.key_bytes.to_string())?;
        differs("--value-bytes", args.value_bytes.map(|bytes| bytes.to_string()), self.value_bytes.clone())?;
        differs("--seed", args.seed.map(|seed| seed.to_string()), self.seed.to_string())
    }

    /// Writes it, as the last thing.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), Failure> {
        let mut text = serde_json::to_vec_pretty(self)
            .map_err(|error| Failure::Other(format!("cannot encode what was loaded: {error}")))?;
        text.push(b'\n');
        Output::new(&folder.join(FILE))?.write(&text)
    }
}

/// A folder for `--keep`: new or empty. It goes again when it is empty in the end and was made by us.
#[derive(Debug)]
pub(crate) struct MadeFolder(Option<PathBuf>);

impl MadeFolder {
    pub(crate) fn new(folder: &Path) -> Result<Self, Failure> {
        match std::fs::DirBuilder::new().mode(0o700).create(folder) {
            Ok(()) => Ok(Self(Some(folder.to_owned()))),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                let mut entries = std::fs::read_dir(folder)
                    .map_err(|error| Failure::local("cannot keep a store in", folder, error))?;
                match entries.next() {
                    None => Ok(Self(None)),
                    Some(_) => Err(Failure::Usage(format!(
                        "--keep {}: the folder is not empty; name a new one, or take what is in it with --reuse",
                        folder.display()
                    ))),
                }
            }
            Err(error) => Err(Failure::local("cannot make the folder", folder, error)),
        }
    }
}

impl Drop for MadeFolder {
    fn drop(&mut self) {
        if let Some(folder) = &self.0 {
            // Removes an empty folder only.
            let _ = std::fs::remove_dir(folder);
        }
    }
}

/// Links every file of a folder into a new one, copies where links do not work.
pub(crate) fn link_all(from: &Path, to: &Path) -> Result<(), Failure> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| Failure::local("cannot keep a store: copying", &path, error)
    };
    private_folder(to).map_err(failed(to))?;
    for entry in std::fs::read_dir(from).map_err(failed(from))? {
        let entry = entry.map_err(failed(from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().map_err(failed(&source))?.is_dir() {
            link_all(&source, &target)?;
        } else if entry.file_name() != LOCK && std::fs::hard_link(&source, &target).is_err() {
            std::fs::copy(&source, &target).map_err(failed(&source))?;
        }
    }
    Ok(())
}
