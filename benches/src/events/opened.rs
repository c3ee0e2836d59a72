//! An engine that has been opened and has answered once.

use std::time::Duration;

use aquifer::{Client, DiskOptions, Engine, Options};

use super::store::Store;
use crate::cli::EventsArgs;
use crate::failure::Failure;
use crate::verify::{Page, StoredState};

/// See the module.
pub(super) struct Opened {
    pub(super) engine: Engine,
    pub(super) client: Client,
    pub(super) shards: usize,
    /// From the call of `Engine::open` to its return.
    pub(super) open: Duration,
    /// From the call of `Engine::open` to the answer of the first read.
    pub(super) first_read: Duration,
}

impl Opened {
    /// Opens the store and reads one key.
    pub(super) async fn open(
        store: &Store,
        args: &EventsArgs,
        shards: usize,
        first_key: &[u8],
    ) -> Result<Self, Failure> {
        let options = Options {
            shards,
            memory_bytes: args.memory_bytes,
            disk: DiskOptions {
                bytes: args.disk_bytes,
                dir: store.local_dir.clone(),
                ..DiskOptions::default()
            },
            io: args.io,
            ..Options::default()
        };
        options.validate().map_err(|error| Failure::Usage(error.to_string()))?;
        store.make_local()?;
        let started = aquifer_io::now();
        let remote = std::sync::Arc::clone(&store.remote);
        let engine = Engine::open(remote, options).await.map_err(Failure::engine("cannot open the store"))?;
        let open = started.elapsed();
        let client = engine.client();
        client.get(first_key).await.map_err(Failure::engine("cannot read the first key"))?;
        let first_read = started.elapsed();
        Ok(Self { shards: engine.shards(), engine, client, open, first_read })
    }
}

/// Pages of an engine's key groups, of at most this many entries.
pub(super) struct Pages<'c> {
    pub(super) client: &'c Client,
    pub(super) entries_max: usize,
}

impl StoredState for Pages<'_> {
    async fn page(&self, group: u16, after: Option<&[u8]>) -> Result<Page, Failure> {
        let page = self.client.scan_group(group, after, self.entries_max).await;
        let page = page.map_err(Failure::engine("cannot read the state back"))?;
        Ok(Page { entries: page.entries, next: page.next })
    }
}
