//! What the tests of the engine share.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::allow_attributes,
    reason = "each test binary uses a part of it, and a test may fail anywhere"
)]

pub mod faults;
pub mod flips;
pub mod world;

use aquifer::{Client, Options};
use aquifer_remote::server::{Server, ServerOptions};
use aquifer_remote::{Remote, RemoteOptions};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A store in memory, as durable as the handle.
pub fn memory() -> Arc<dyn Remote> {
    aquifer_remote::open_url("memory://", RemoteOptions::default()).unwrap()
}

/// A store in a folder.
pub fn folder(path: &std::path::Path) -> Arc<dyn Remote> {
    aquifer_remote::open_url(&format!("file://{}", path.display()), RemoteOptions::default()).unwrap()
}

/// The embedded DFS on a folder of its own.
pub struct Dfs {
    server: Server,
    _folder: tempfile::TempDir,
}

impl Dfs {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(ServerOptions::new(folder.path())).unwrap();
        Self { server, _folder: folder }
    }

    pub fn remote(&self) -> Arc<dyn Remote> {
        self.server.remote("store").unwrap()
    }
}

/// Small engines, so that flushes and evictions happen.
pub fn small(shards: usize) -> Options {
    Options {
        key_groups: Some(16),
        shards,
        memory_bytes: shards as u64 * 4 * 1024 * 1024,
        seed: Some(1),
        ..Options::default()
    }
}

/// Writes until a write waits for room, as it does while the DFS does not answer; that write.
pub async fn fill_memory(client: &Client) -> aquifer::Reply<()> {
    for n in 0_u32.. {
        let mut put = client.put(&n.to_le_bytes(), &[1; 1000]);
        if let Ok(taken) = aquifer_io::timeout(std::time::Duration::from_secs(1), &mut put).await {
            taken.unwrap();
        } else {
            return put;
        }
    }
    unreachable!("memory has no end");
}

/// Everything a store holds, by pages of `entries_max`.
pub async fn scan_all(client: &Client, key_groups: u16, entries_max: usize) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut all = BTreeMap::new();
    for group in 0..key_groups {
        let mut after: Option<bytes::Bytes> = None;
        let mut last: Option<Vec<u8>> = None;
        loop {
            let page = client.scan_group(group, after.as_deref(), entries_max).await.unwrap();
            assert!(page.entries.len() <= entries_max);
            for (key, value) in page.entries {
                assert_eq!(aquifer::key_group(&key, key_groups), group);
                assert!(last.as_deref().is_none_or(|last| last < &key[..]), "pages ascend");
                last = Some(key.to_vec());
                all.insert(key.to_vec(), value.to_vec());
            }
            match page.next {
                Some(next) => {
                    assert!(after.as_ref().is_none_or(|after| after < &next), "a scan goes on");
                    after = Some(next);
                }
                None => break,
            }
        }
    }
    all
}
