//! Merges of runs that hardly overlap copy partitions as they are stored, and what is read stays the same.

use crate::common;
use aquifer::{Engine, Expiry, Key, Options};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

fn key(number: u32) -> Vec<u8> {
    format!("{number:08}").into_bytes()
}

/// Rounds of keys that ascend within each of two key groups, as of time-ordered state: flushes overlap, but not in a group.
#[test]
fn time_ordered_keys_are_copied_and_deletions_among_them_count() {
    let remote = common::memory();
    aquifer::block_on(async {
        let engine = Engine::open(Arc::clone(&remote), common::small(1)).await.unwrap();
        let client = engine.client();
        let mut model = BTreeMap::new();
        let mut round = 0_u32;
        loop {
            for group in [3, 4] {
                for number in round * 10_000..round * 10_000 + 2_500 {
                    let value = [number.to_le_bytes().as_slice(), &[7; 96]].concat();
                    let expiry =
                        if round == 2 { Expiry::After(Duration::from_secs(100_000)) } else { Expiry::Never };
                    client.put_with(Key::in_group(group, &key(number)), &value, expiry).await.unwrap();
                    model.insert((group, key(number)), value);
                }
                if round == 5 {
                    // Into the middle of an older run: its partitions there are merged entry by entry.
                    for number in 11_200..11_300 {
                        client.delete(Key::in_group(group, &key(number))).await.unwrap();
                        model.remove(&(group, key(number)));
                    }
                }
            }
            client.checkpoint(Vec::new()).await.unwrap();
            let stats = client.stats().await.unwrap();
            assert_eq!(stats.sum(|shard| shard.compaction_errors), 0);
            round += 1;
            let (copied, written) =
                (stats.sum(|shard| shard.copied_bytes), stats.sum(|shard| shard.compacted_bytes));
            if round > 8 && copied > 0 && copied * 2 > written {
                break;
            }
            assert!(round < 40, "{copied} of {written} bytes copied");
        }
        let check = async |engine: &Engine| {
            let client = engine.client();
            for ((group, key), value) in &model {
                let found = client.get(Key::in_group(*group, key)).await.unwrap();
                assert_eq!(found.as_deref(), Some(value.as_slice()), "{group} {key:?}");
            }
            for number in [11_199_u32, 11_200, 11_299, 11_300, 99_999_999] {
                let found = client.get(Key::in_group(3, &key(number))).await.unwrap();
                assert_eq!(found.as_deref(), model.get(&(3, key(number))).map(Vec::as_slice), "{number}");
            }
            for group in [3, 4] {
                let mut expected = model.iter().filter(|((of, _), _)| *of == group);
                let mut after: Option<bytes::Bytes> = None;
                loop {
                    let page = client.scan_group(group, after.as_deref(), 1000).await.unwrap();
                    for (key, value) in page.entries {
                        let ((_, known), held) = expected.next().unwrap();
                        assert!(*key == **known && *value == **held, "{group} {key:?}");
                    }
                    after = page.next;
                    if after.is_none() {
                        break;
                    }
                }
                assert!(expected.next().is_none(), "the scan of group {group} ended early");
            }
        };
        check(&engine).await;
        client.checkpoint(Vec::new()).await.unwrap();
        engine.close().await.unwrap();
        let engine = Engine::open(remote, Options { ..common::small(2) }).await.unwrap();
        check(&engine).await;
        engine.close().await.unwrap();
    });
}
