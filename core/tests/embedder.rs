//! An embedder adds one line to `Cargo.toml`: this file names no crate of the project but `aquifer`, and none of others.

use aquifer::object_store::{ObjectStore, memory::InMemory};
use aquifer::remote::{ObjectName, Operation, RemoteMetrics, metered};
use aquifer::{
    Bytes, CacheStats, ClassStats, DiskOptions, Engine, EngineStats, IoMetrics, LoadStats, Options,
    PlanStats, ReadClass, ReadStats, Remote, RemoteError, RemoteErrorKind, RemoteOptions, ShardStats,
    SsdRejections, SsdStats, TierStats,
};
use std::sync::Arc;

/// What a program that shows numbers does with them: every type of a public field has a name here.
fn shown(shard: &ShardStats) -> String {
    let cache: &CacheStats = &shard.cache;
    let (tier, class): (TierStats, ClassStats) = (cache.memory, cache.memory.data);
    let (loads, io): (LoadStats, IoMetrics) = (cache.loads, shard.io);
    let ssd: SsdStats = cache.ssd.clone();
    let rejections: SsdRejections = ssd.rejections;
    let plan: PlanStats = cache.plan;
    let reads: Vec<(ReadClass, ReadStats)> = ReadClass::ALL.into_iter().zip(plan.remote).collect();
    format!("{tier:?} {class:?} {loads:?} {io:?} {ssd:?} {rejections:?} {plan:?} {reads:?}")
}

async fn count(remote: Arc<dyn Remote>, options: Options) -> (Bytes, EngineStats) {
    let engine = Engine::open(remote, options).await.unwrap();
    let client = engine.client();
    client.put(b"N14228", b"1 flight").await.unwrap();
    client.checkpoint(b"position 1".to_vec()).await.unwrap();
    let value: Bytes = client.get(b"N14228").await.unwrap().unwrap();
    let stats = client.stats().await.unwrap();
    engine.close().await.unwrap();
    (value, stats)
}

#[test]
fn a_store_by_url_or_of_the_embedder_needs_no_other_crate() {
    let folder = std::env::temp_dir().join(format!("aquifer-embedder-{}", std::process::id()));
    let disk = DiskOptions { dir: Some(folder.clone()), bytes: 16 << 20, ..DiskOptions::default() };
    let options = Options { shards: 1, memory_bytes: 16 << 20, disk, ..Options::default() };
    let own: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let stores = [
        aquifer::open_url("memory://", RemoteOptions::default()).unwrap(),
        aquifer::from_object_store(own, "job-7", "my own store").unwrap(),
    ];
    for remote in stores {
        let (remote, counted): (_, Arc<RemoteMetrics>) = metered(remote);
        let (value, stats) = aquifer::block_on(count(Arc::clone(&remote), options.clone()));
        assert_eq!(value, Bytes::from_static(b"1 flight"));
        assert!(counted.requests(Operation::PutIfAbsent) > 0);
        assert!(shown(&stats.shards[0]).contains("Foreground"));
        let absent = ObjectName::new("no/such/object").unwrap();
        let error: RemoteError = aquifer::block_on(remote.get(&absent, 1)).unwrap_err();
        assert_eq!(error.kind(), RemoteErrorKind::NotFound);
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn this_file_names_no_other_crate() {
    let source = include_str!("embedder.rs");
    for name in ["io", "cache", "remote"] {
        assert!(!source.contains(&format!("aquifer_{name}")), "{name}");
    }
    let paths = source.lines().filter_map(|line| line.trim().strip_prefix("use "));
    for path in paths {
        assert!(path.starts_with("aquifer::") || path.starts_with("std::"), "{path}");
    }
}
