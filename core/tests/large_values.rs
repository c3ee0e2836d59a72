//! Values that grow by merges up to the limit and beyond: what is acknowledged is read or kept, and one key's length harms no other key.

use crate::common;
use aquifer::{
    Client, CompressionOptions, Engine, ErrorKind, KeyRange, MergeOperator, Options, ScanOptions,
    VALUE_BYTES_MAX, VerifyOptions, WriteBatch, verify_store,
};
use aquifer_remote::Remote;
use std::sync::Arc;

const MIB: usize = 1 << 20;

fn options(memory_mib: u64) -> Options {
    Options {
        key_groups: Some(1),
        shards: 1,
        memory_bytes: memory_mib * MIB as u64,
        // So that tests end soon; nothing here asks how small a block gets.
        compression: CompressionOptions {
            blocks: aquifer::Compression::None,
            ..CompressionOptions::default()
        },
        seed: Some(1),
        ..Options::default()
    }
}

/// Has all runs merged into one: half of what is there is deletions.
async fn compacted(client: &Client) {
    for put in [true, false] {
        for n in 0..20 {
            let key = format!("n{n}");
            if put { client.put(&key, b"x").await.unwrap() } else { client.delete(&key).await.unwrap() }
        }
        client.checkpoint(Vec::new()).await.unwrap();
    }
    for _ in 0..1_000_000 {
        let stats = client.stats().await.unwrap();
        assert_eq!(stats.shards[0].compaction_errors, 0);
        if stats.shards[0].runs <= 1 {
            client.checkpoint(Vec::new()).await.unwrap();
            return;
        }
        std::thread::yield_now();
    }
    assert!(client.stats().await.unwrap().shards[0].runs <= 1, "compaction does not end");
}

async fn check_sound(remote: &Arc<dyn Remote>) {
    let report = verify_store(Arc::clone(remote), VerifyOptions::default(), |_| ()).await.unwrap();
    assert!(report.faults.is_empty(), "{:?}", report.faults);
}

/// 24 appends of 4 MiB with a checkpoint after each were all taken; a compaction made one entry of 96 MiB of them, which no reader took.
#[test]
fn an_append_that_would_make_a_value_too_long_is_refused_and_names_the_key() {
    let remote = common::memory();
    aquifer::block_on(async {
        let engine = Engine::open(remote.clone(), options(256)).await.unwrap();
        let client = engine.client();
        let mut expected = Vec::new();
        for n in 0..24u8 {
            let piece = vec![n; 4 * MIB];
            match client.merge(b"list", "append", &piece).await {
                Ok(()) => expected.extend_from_slice(&piece),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
                    assert_eq!(error.key(), Some(b"list".as_slice()));
                    assert!(
                        error.to_string().contains("\"list\"") && error.to_string().contains("71303168"),
                        "{error}"
                    );
                }
            }
            client.checkpoint(Vec::new()).await.unwrap();
        }
        assert_eq!(expected.len(), VALUE_BYTES_MAX, "sixteen fit, to the byte");
        assert!(client.get(b"list").await.unwrap().unwrap() == expected);
        compacted(&client).await;
        assert!(client.get(b"list").await.unwrap().unwrap() == expected);
        engine.close().await.unwrap();
        check_sound(&remote).await;
        // Opened anew nothing is known of the key: the first large append looks.
        let engine = Engine::open(remote.clone(), options(256)).await.unwrap();
        let client = engine.client();
        let error = client.merge(b"list", "append", &vec![1; MIB]).await.unwrap_err();
        assert_eq!((error.kind(), error.key()), (ErrorKind::TooLarge, Some(b"list".as_slice())));
        assert!(client.get(b"list").await.unwrap().unwrap() == expected);
        client.put(b"list", b"short").await.unwrap();
        client.merge(b"list", "append", &vec![1; 2 * MIB]).await.unwrap();
        assert_eq!(client.get(b"list").await.unwrap().unwrap().len(), 5 + 2 * MIB);
        engine.close().await.unwrap();
    });
}

/// One put and one append of 44 MiB were taken, one in a segment, one in the memtable, and together they were unreadable.
#[test]
fn what_an_append_stands_on_counts_wherever_it_lies() {
    let remote = common::memory();
    aquifer::block_on(async {
        let engine = Engine::open(remote.clone(), options(1024)).await.unwrap();
        let client = engine.client();
        client.put(b"a", &vec![1; 44 * MIB]).await.unwrap();
        client.checkpoint(Vec::new()).await.unwrap();
        let more = vec![2; 44 * MIB];
        assert_eq!(client.merge(b"a", "append", &more).await.unwrap_err().kind(), ErrorKind::TooLarge);
        let mut batch = WriteBatch::new();
        batch.put(b"other", b"1").merge(b"a", "append", &more);
        assert_eq!(client.write(&batch).await.unwrap_err().kind(), ErrorKind::TooLarge);
        assert_eq!(client.get(b"other").await.unwrap(), None, "nothing of the batch was taken");
        let merged = client
            .run_on_shard(0, move |shard| async move { shard.merge(b"a", "append", &[2; 44 * MIB]).await })
            .await
            .unwrap();
        assert_eq!(merged.unwrap_err().kind(), ErrorKind::TooLarge);
        client.merge(b"a", "append", &more[..20 * MIB]).await.unwrap();
        assert_eq!(client.get(b"a").await.unwrap().unwrap().len(), VALUE_BYTES_MAX);
        client.delete(b"a").await.unwrap();
        client.merge(b"a", "append", &more).await.unwrap();
        assert_eq!(client.get(b"a").await.unwrap().unwrap().len(), 44 * MIB);
        engine.close().await.unwrap();
    });
}

/// Appends as the built-in operator does, without saying so: how long its values get is not known when they are written.
struct Secretive;

impl MergeOperator for Secretive {
    fn name(&self) -> &'static str {
        "secretive"
    }

    fn check(&self, _operand: &[u8]) -> Result<(), String> {
        Ok(())
    }

    fn merge(&self, older: &[u8], newer: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        out.extend_from_slice(older);
        out.extend_from_slice(newer);
        Ok(())
    }
}

/// What shows only later is kept: the key's reader hears of it, before and after compaction and a restart, other keys go on, a scan goes on
/// behind it, and a put heals the key.
#[test]
fn what_is_too_long_is_kept_and_named_and_harms_no_other_key() {
    let remote = common::memory();
    let options = || Options { merge_operators: vec![Arc::new(Secretive)], ..options(256) };
    aquifer::block_on(async {
        let engine = Engine::open(remote.clone(), options()).await.unwrap();
        let client = engine.client();
        for n in 0..15u8 {
            client.merge(b"big", "secretive", &vec![n; 8 * MIB]).await.unwrap();
            client.put(b"after", &[n]).await.unwrap();
            client.checkpoint(Vec::new()).await.unwrap();
        }
        client.put(b"0 before", b"b").await.unwrap();
        is_named(&client).await;
        compacted(&client).await;
        is_named(&client).await;
        engine.close().await.unwrap();
        check_sound(&remote).await;
        let engine = Engine::open(remote.clone(), options()).await.unwrap();
        let client = engine.client();
        is_named(&client).await;
        let stored = stored_bytes(&client).await;
        assert!(stored >= 120 * MIB as u64, "all 120 MiB are there: {stored}");
        // Kept through one more compaction.
        client.merge(b"big", "secretive", b"small").await.unwrap();
        client.checkpoint(Vec::new()).await.unwrap();
        compacted(&client).await;
        is_named(&client).await;
        let error = client.merge(b"big", "secretive", b"small").await.unwrap_err();
        assert_eq!(
            error.kind(),
            ErrorKind::TooLarge,
            "what a compaction found is refused from then on: {error}"
        );
        client.put(b"big", b"healed").await.unwrap();
        assert_eq!(client.get(b"big").await.unwrap().as_deref(), Some(b"healed".as_slice()));
        client.merge(b"big", "secretive", b", and grows").await.unwrap();
        client.checkpoint(Vec::new()).await.unwrap();
        compacted(&client).await;
        assert_eq!(client.get(b"big").await.unwrap().as_deref(), Some(b"healed, and grows".as_slice()));
        assert!(stored_bytes(&client).await < MIB as u64);
        engine.close().await.unwrap();
        check_sound(&remote).await;
    });
}

async fn stored_bytes(client: &Client) -> u64 {
    client.stats().await.unwrap().shards[0].segment_bytes
}

async fn is_named(client: &Client) {
    let error = client.get(b"big").await.unwrap_err();
    assert_eq!((error.kind(), error.key()), (ErrorKind::TooLarge, Some(b"big".as_slice())), "{error}");
    assert!(error.to_string().contains("\"big\""), "{error}");
    let answers =
        client.multi_get([b"after".as_slice(), b"big"], &aquifer::MultiGetOptions::default()).await.unwrap();
    assert!(answers[0].is_ok());
    let mut error = answers[1].clone().unwrap_err();
    if error.kind() == ErrorKind::Remaining {
        // Its parts are more than one call gives beside another value: asked for again, as anybody would.
        let rest = client.multi_get([b"big"], &aquifer::MultiGetOptions::default()).await.unwrap();
        error = rest[0].clone().unwrap_err();
    }
    assert_eq!((error.kind(), error.key()), (ErrorKind::TooLarge, Some(b"big".as_slice())), "{error}");
    assert_eq!(
        client.compare_and_set(b"big", None, Some(b"x")).await.unwrap_err().kind(),
        ErrorKind::TooLarge
    );
    for reverse in [false, true] {
        let options = ScanOptions { reverse, ..ScanOptions::default() };
        let mut scan = client.scan(&KeyRange::group(0), &options);
        let (mut keys, mut errors) = (Vec::new(), Vec::new());
        loop {
            match scan.next().await {
                Ok(Some((key, _))) => keys.push(key),
                Ok(None) => break,
                Err(error) => errors.push(error.key().unwrap().to_vec()),
            }
        }
        let mut expected = vec![b"0 before".as_slice(), b"after"];
        if reverse {
            expected.reverse();
        }
        assert_eq!(keys, expected);
        assert_eq!(errors, [b"big"]);
    }
    // Page by page the error's key is where to go on.
    let page = client.scan_group(0, Some(b"after"), 10).await.unwrap_err();
    let page = client.scan_group(0, page.key(), 10).await.unwrap();
    assert!(page.entries.is_empty() && page.next.is_none());
}

/// A range deletion up to and with the longest key there may be ended one byte beyond it: the checkpoint was written, and no opening took it.
#[test]
fn a_range_may_end_with_the_longest_key() {
    let remote = common::memory();
    aquifer::block_on(async {
        let engine = Engine::open(remote.clone(), options(16)).await.unwrap();
        let client = engine.client();
        let longest = vec![b'k'; aquifer::KEY_BYTES_MAX];
        client.put(&longest, b"1").await.unwrap();
        client.put(b"l", b"2").await.unwrap();
        client.checkpoint(Vec::new()).await.unwrap();
        client.delete_range(&KeyRange::in_group(0, b"a".as_slice()..=longest.as_slice())).await.unwrap();
        client.checkpoint(Vec::new()).await.unwrap();
        engine.close().await.unwrap();
        let engine = Engine::open(remote.clone(), options(16)).await.unwrap();
        let client = engine.client();
        assert_eq!(client.get(&longest).await.unwrap(), None);
        assert_eq!(client.get(b"l").await.unwrap().as_deref(), Some(b"2".as_slice()));
        engine.close().await.unwrap();
        check_sound(&remote).await;
    });
}
