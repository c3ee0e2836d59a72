//! The engine against an ordered map: random operations with checkpoints, reopening on other numbers of shards, and crashes in between.
//!
//! After a crash the map goes back to its state at the last checkpoint: all of it, and nothing newer.

use crate::common;
use aquifer::{BackendChoice, Client, DiskOptions, Engine, Options};
use aquifer_remote::Remote;
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Clone, Debug)]
enum Step {
    Put(u16, u8, u16),
    Delete(u16),
    Get(u16),
    ScanAll(usize),
    Checkpoint,
    Crash {
        shards: usize,
        disk: bool,
    },
    /// Enough bytes through one key group to fill memtables and flush them.
    Burst(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0u16..300;
    let step = prop_oneof![
        20 => (key.clone(), any::<u8>(), 0u16..400).prop_map(|(key, fill, bytes)| Step::Put(key, fill, bytes)),
        4 => key.clone().prop_map(Step::Delete),
        8 => key.prop_map(Step::Get),
        2 => (1usize..40).prop_map(Step::ScanAll),
        6 => Just(Step::Checkpoint),
        1 => (1usize..5, any::<bool>()).prop_map(|(shards, disk)| Step::Crash { shards, disk }),
        3 => any::<u8>().prop_map(Step::Burst),
    ];
    prop::collection::vec(step, 1..200)
}

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn key(n: u16) -> Vec<u8> {
    format!("key-{:0width$}", n, width = usize::from(n % 7)).into_bytes()
}

struct Run {
    remote: Arc<dyn Remote>,
    folder: tempfile::TempDir,
    backend: BackendChoice,
    engine: Option<Engine>,
    client: Client,
    model: Model,
    committed: Model,
    checkpoints: u64,
}

impl Run {
    async fn open(remote: Arc<dyn Remote>, backend: BackendChoice) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Self::options(&folder, backend, 2, true);
        let engine = Engine::open(Arc::clone(&remote), options).await.unwrap();
        let client = engine.client();
        Self {
            remote,
            folder,
            backend,
            engine: Some(engine),
            client,
            model: Model::new(),
            committed: Model::new(),
            checkpoints: 0,
        }
    }

    fn options(folder: &tempfile::TempDir, io: BackendChoice, shards: usize, disk: bool) -> Options {
        Options {
            key_groups: Some(8),
            shards,
            memory_bytes: shards as u64 * 4 * 1024 * 1024,
            disk: DiskOptions {
                bytes: if disk { 16 * 1024 * 1024 } else { 0 },
                dir: Some(folder.path().to_owned()),
                ..DiskOptions::default()
            },
            io,
            seed: Some(7),
            ..Options::default()
        }
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Put(n, fill, bytes) => self.put(key(n), vec![fill; usize::from(bytes)]).await,
            Step::Delete(n) => {
                self.model.remove(&key(n));
                self.client.delete(&key(n)).await.unwrap();
            }
            Step::Get(n) => {
                let found = self.client.get(&key(n)).await.unwrap();
                assert_eq!(found.as_deref(), self.model.get(&key(n)).map(Vec::as_slice));
            }
            Step::ScanAll(page) => assert_eq!(common::scan_all(&self.client, 8, page).await, self.model),
            Step::Checkpoint => {
                self.checkpoints += 1;
                let metadata = self.checkpoints.to_le_bytes().to_vec();
                let info = self.client.checkpoint(metadata.clone()).await.unwrap();
                assert_eq!(info.metadata, metadata);
                self.committed = self.model.clone();
            }
            Step::Crash { shards, disk } => self.crash(shards, disk).await,
            Step::Burst(fill) => {
                for n in 0..40u16 {
                    self.put(
                        format!("burst-{n}").into_bytes(),
                        vec![fill.wrapping_add(n.to_le_bytes()[0]); 12_000],
                    )
                    .await;
                }
            }
        }
    }

    async fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.client.put(&key, &value).await.unwrap();
        self.model.insert(key, value);
    }

    async fn crash(&mut self, shards: usize, disk: bool) {
        drop(self.engine.take());
        assert_eq!(self.client.get(b"x").await.unwrap_err().kind(), aquifer::ErrorKind::Closed);
        let options = Self::options(&self.folder, self.backend, shards, disk);
        let engine = Engine::open(Arc::clone(&self.remote), options).await.unwrap();
        let restored = engine.restored().map(|checkpoint| checkpoint.metadata.clone());
        let expected = (self.checkpoints > 0).then(|| self.checkpoints.to_le_bytes().to_vec());
        assert_eq!(restored, expected);
        self.client = engine.client();
        self.engine = Some(engine);
        self.model = self.committed.clone();
    }
}

fn check(remote: Arc<dyn Remote>, backend: BackendChoice, steps: Vec<Step>) {
    aquifer::block_on(async {
        let mut run = Run::open(remote, backend).await;
        for step in steps {
            run.step(step).await;
        }
        run.step(Step::ScanAll(7)).await;
        run.step(Step::Crash { shards: 3, disk: false }).await;
        for (key, value) in run.model.clone() {
            assert_eq!(run.client.get(&key).await.unwrap(), Some(Bytes::from(value)));
        }
        run.step(Step::ScanAll(1000)).await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn in_memory_store(steps in steps()) {
        check(common::memory(), BackendChoice::Auto, steps);
    }

    #[test]
    fn on_the_threads_backend(steps in steps()) {
        check(common::memory(), BackendChoice::Threads, steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, max_shrink_iters: 50, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn over_http(steps in steps()) {
        let dfs = common::Dfs::start();
        check(dfs.remote(), BackendChoice::Auto, steps);
    }
}
