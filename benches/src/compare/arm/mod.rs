//! The engines, each behind the same few verbs.

mod contract;
mod dfs;
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

use super::spec::{Engine, Prepare};
use crate::failure::Failure;
pub(super) use contract::Arm;

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
