//! The engines, each behind the same few verbs.

mod aquifer;
#[cfg(feature = "fjall")]
mod fjall;
mod nothing;
#[cfg(feature = "rocksdb")]
mod rocksdb_options;
#[cfg(feature = "slatedb")]
mod slatedb;
#[cfg(feature = "rocksdb")]
mod rocksdb;

use super::drive::bulk::Bulk;
use super::drive::tally::Tally;
use super::spec::{Engine, Prepare, Stats, Work};
use crate::failure::Failure;
use crate::result::Settings;

/// What a reader must know of an arm.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct About {
    pub(super) version: String,
    pub(super) settings: Settings,
    pub(super) notes: Vec<String>,
}

/// An open engine.
pub(super) trait Arm: Bulk {
    /// Version and settings, as they are.
    fn about(&self) -> About;
    /// One measurement.
    fn round(&self, work: &Work) -> Result<Tally, Failure>;
    /// Deletes a key.
    fn delete(&self, key: &[u8]) -> Result<(), Failure>;
    /// Waits until nothing is merged or written any more.
    fn settle(&self) -> Result<(), Failure>;
    /// Reads everything once, in order.
    fn fill(&self) -> Result<(), Failure>;
    /// Makes all that was written durable on the DFS; how many bytes were sent for it.
    fn checkpoint(&self) -> Result<u64, Failure>;
    /// Sizes and counters that the process does not know by itself.
    fn stats(&self) -> Result<Stats, Failure>;
    /// Ends it.
    fn close(self: Box<Self>) -> Result<(), Failure>;
}

/// Opens an engine on what its folder and prefix hold.
pub(super) fn open(prepare: &Prepare) -> Result<Box<dyn Arm>, Failure> {
    std::fs::create_dir_all(&prepare.dir)
        .map_err(|error| Failure::local("cannot make the folder", &prepare.dir, error))?;
    match prepare.engine {
        Engine::Aquifer => Ok(Box::new(aquifer::Aquifer::open(prepare)?)),
        Engine::Nothing => Ok(Box::new(nothing::Nothing::new(prepare))),
        #[cfg(feature = "rocksdb")]
        Engine::Rocksdb => Ok(Box::new(rocksdb::RocksDb::open(prepare)?)),
        #[cfg(feature = "slatedb")]
        Engine::Slatedb => Ok(Box::new(slatedb::SlateDb::open(prepare)?)),
        #[cfg(feature = "fjall")]
        Engine::Fjall => Ok(Box::new(fjall::Fjall::open(prepare)?)),
        #[cfg(not(all(feature = "rocksdb", feature = "slatedb", feature = "fjall")))]
        other => Err(super::feature::missing(other)),
    }
}

/// Brings back what the last checkpoint on the DFS holds, onto an empty folder, and opens it.
pub(super) fn restore(prepare: &Prepare) -> Result<Box<dyn Arm>, Failure> {
    #[cfg(feature = "rocksdb")]
    if prepare.engine == Engine::Rocksdb {
        rocksdb::RocksDb::download(prepare)?;
    }
    open(prepare)
}

/// The store that a DFS holds for an arm.
fn dfs_of(prepare: &Prepare) -> Result<&super::spec::DfsAccess, Failure> {
    let missing = || Failure::Usage(format!("{} needs a DFS, and was given none", prepare.engine.name()));
    prepare.dfs.as_ref().ok_or_else(missing)
}

/// Opens the arm's part of a DFS.
fn remote_of(dfs: &super::spec::DfsAccess) -> Result<std::sync::Arc<dyn aquifer_remote::Remote>, Failure> {
    let settings = [
        ("AWS_ENDPOINT", dfs.endpoint.as_str()),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", &dfs.access_key),
        ("AWS_SECRET_ACCESS_KEY", &dfs.secret_key),
        ("AWS_ALLOW_HTTP", "true"),
        // As for the embedded DFS of one's own process.
        ("AWS_UNSIGNED_PAYLOAD", "true"),
    ];
    let options = aquifer_remote::RemoteOptions {
        settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        environment: false,
        ..aquifer_remote::RemoteOptions::default()
    };
    Ok(aquifer_remote::open_url(&format!("s3://{}/{}", dfs.bucket, dfs.prefix), options)?)
}

/// A setting as JSON.
fn setting(settings: &mut Settings, name: &str, value: impl Into<serde_json::Value>) {
    settings.insert(name.to_owned(), value.into());
}
