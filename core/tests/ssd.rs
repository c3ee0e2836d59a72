//! The SSD tier under an engine: it is there again after a restart, for the same store only.

use crate::common::{memory, small};
use aquifer::{DiskOptions, Engine, Options};

const KEYS: u32 = 3_000;

fn value(n: u32, round: u32) -> Vec<u8> {
    // Not compressible, so that blocks are many.
    (0..25u32)
        .flat_map(|at| (n.wrapping_mul(2_654_435_761) ^ round ^ at.wrapping_mul(0x9e37_79b9)).to_le_bytes())
        .collect()
}

#[test]
fn after_a_restart_reads_come_from_the_ssd() {
    let remote = memory();
    let folder = tempfile::tempdir().unwrap();
    let options = || Options {
        disk: DiskOptions { bytes: 32 << 20, dir: Some(folder.path().to_owned()), ..DiskOptions::default() },
        ..small(2)
    };
    aquifer::block_on(async {
        let engine = Engine::open(remote.clone(), options()).await.unwrap();
        let client = engine.client();
        for n in 0..KEYS {
            client.put(&n.to_le_bytes(), &value(n, 0)).await.unwrap();
        }
        client.checkpoint(Vec::new()).await.unwrap();
        client.forget_memory().await.unwrap();
        for n in 0..KEYS {
            assert_eq!(client.get(&n.to_le_bytes()).await.unwrap(), Some(value(n, 0).into()));
        }
        engine.close().await.unwrap();
        let engine = Engine::open(remote.clone(), options()).await.unwrap();
        let client = engine.client();
        for n in 0..KEYS {
            assert_eq!(client.get(&n.to_le_bytes()).await.unwrap(), Some(value(n, 0).into()));
        }
        let stats = client.stats().await.unwrap();
        assert!(stats.sum(|shard| shard.cache.ssd.recovered_entries) > 20);
        assert_eq!(stats.sum(|shard| shard.cache.loads.fetches), 0, "heads, metas and data are all there");
        engine.close().await.unwrap();
        // Another store in the same folder: nothing of the first is served, and the cache says so.
        let engine = Engine::open(memory(), options()).await.unwrap();
        let client = engine.client();
        assert_eq!(client.get(&1u32.to_le_bytes()).await.unwrap(), None);
        let stats = client.stats().await.unwrap();
        let note = stats.shards[0].cache.ssd.start_note.clone().unwrap();
        assert!(note.starts_with("begun anew: the file was of store "), "{note}");
    });
}
