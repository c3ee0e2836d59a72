//! What a read costs in requests when nothing is cached.

use crate::common;
use crate::common::faults::{Fault, Faulty};
use aquifer::{Engine, MultiGetOptions, Reader, ReaderOptions, Source};
use aquifer_remote::{Operation, Remote, metered};
use futures_channel::mpsc;
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use std::sync::Arc;

/// More than comes whole with a segment's head.
const KEYS: u32 = 20_000;

fn key(n: u32) -> Vec<u8> {
    format!("key-{n:05}").into_bytes()
}

/// Of a hundred bytes that do not compress.
fn value(n: u32) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(u64::from(n));
    std::iter::repeat_with(|| random.u8(..)).take(100).collect()
}

/// One segment of many partitions.
async fn fill(remote: Arc<dyn Remote>) {
    let options = aquifer::Options { memory_bytes: 64 << 20, ..common::small(1) };
    let engine = Engine::open(remote, options).await.unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    for n in 0..KEYS {
        engine.client().put(&key(n), &std::array::from_fn::<u8, 100, _>(|_| random.u8(..))).await.unwrap();
    }
    let checkpoint = engine.client().checkpoint(Vec::new()).await.unwrap();
    assert_eq!(checkpoint.segments, 1);
    engine.close().await.unwrap();
}

#[test]
fn the_first_get_of_a_cold_segment_takes_two_reads_and_its_neighbours_none_or_one() {
    let (remote, metrics) = metered(common::memory());
    // Ranged reads alone: opening reads descriptor and manifest as whole objects.
    let reads = || metrics.requests(Operation::GetRange);
    aquifer::block_on(async {
        fill(Arc::clone(&remote)).await;
        let before = reads();
        let engine = Engine::open(Arc::clone(&remote), common::small(1)).await.unwrap();
        let client = engine.client();
        assert_eq!(reads(), before, "nothing of the state is read before it is asked for");
        assert!(client.get(&key(77)).await.unwrap().is_some());
        // Of a store in memory, whose requests take no time, the cache may find that a meta and a block cost less than both at once. That
        // it takes two where a request has its price: `read_plan.rs`.
        let first = reads() - before;
        assert!(
            (2..=3).contains(&first),
            "the tail, then one partition with its meta and its blocks: {first}"
        );
        assert!(client.get(&key(77)).await.unwrap().is_some());
        assert_eq!(reads() - before, first, "cached");
        // Elsewhere in the segment: the tail is known.
        let mut last = reads();
        for n in [1, 2_222, 4_999] {
            assert!(client.get(&key(n)).await.unwrap().is_some());
            assert!(reads() - last <= 2, "one partition, together or its meta and a block");
            last = reads();
        }
        // Outside of the keys of the segment nobody is asked, and a filter says no without a block.
        assert!(client.get(b"key-00077x").await.unwrap().is_none());
        assert!(reads() - last <= 1);
        engine.close().await.unwrap();

        // A reader that takes nothing over pays the same.
        let before = reads();
        let reader = Reader::open(Arc::clone(&remote), ReaderOptions::default()).await.unwrap();
        assert!(reader.get(&key(77)).await.unwrap().is_some());
        assert!((2..=3).contains(&(reads() - before)));
        reader.close().await.unwrap();
    });
}

#[test]
fn hot_keys_stay_in_memory_though_their_blocks_do_not_fit() {
    // Hot keys are scattered: the blocks that hold them take most of the memory there is, and others come by as often; they themselves take
    // a small part of it.
    const HOT: u32 = 150;
    const STEP: u32 = 400;
    let options = || aquifer::Options { memory_bytes: 4 << 20, ..common::small(1) };
    let remote = common::memory();
    aquifer::block_on(async {
        let engine = Engine::open(Arc::clone(&remote), options()).await.unwrap();
        let client = engine.client();
        for n in 0..HOT * STEP {
            client.put(&key(n), &value(n)).await.unwrap();
        }
        client.checkpoint(Vec::new()).await.unwrap();
        let mut random = fastrand::Rng::with_seed(1);
        let mut from_memory = 0;
        const ROUNDS: u32 = 20;
        for round in 0..ROUNDS {
            for hot in 0..HOT {
                let n = hot * STEP;
                let answers = client.multi_get(&[key(n)], &MultiGetOptions::default()).await.unwrap();
                let answer = answers.into_iter().next().unwrap().unwrap();
                assert_eq!(answer.value.as_deref(), Some(&*value(n)));
                if round == ROUNDS - 1 && answer.source == Source::Memory {
                    from_memory += 1;
                }
                // As many reads of others pass by.
                let cold = random.u32(..HOT * STEP);
                assert_eq!(client.get(&key(cold)).await.unwrap().as_deref(), Some(&*value(cold)));
            }
        }
        assert!(from_memory > HOT * 3 / 4, "{from_memory} of {HOT}");
        // A write is seen at once, wherever the value was kept.
        for hot in 0..HOT {
            client.put(&key(hot * STEP), b"new").await.unwrap();
        }
        for hot in 0..HOT {
            assert_eq!(client.get(&key(hot * STEP)).await.unwrap().as_deref(), Some(&b"new"[..]));
        }
        client.checkpoint(Vec::new()).await.unwrap();
        for hot in 0..HOT {
            assert_eq!(client.get(&key(hot * STEP)).await.unwrap().as_deref(), Some(&b"new"[..]));
        }
        engine.close().await.unwrap();
    });
}

/// A read that finds a key's entry after the key was written must not leave that entry where later reads look first, whether the write is
/// still in a memtable by then or in a segment already.
#[test]
fn an_entry_that_was_read_before_a_write_and_came_after_it_is_not_kept() {
    const HOT: u32 = 10;
    const STEP: u32 = 6_000;
    let remote = Faulty::new(common::memory());
    let options = aquifer::Options { memory_bytes: 4 << 20, ..common::small(1) };
    aquifer::block_on(async {
        let engine = Engine::open(Arc::clone(&remote) as Arc<dyn Remote>, options).await.unwrap();
        let client = engine.client();
        for n in 0..HOT * STEP {
            client.put(&key(n), &value(n)).await.unwrap();
        }
        client.checkpoint(Vec::new()).await.unwrap();
        let mut random = fastrand::Rng::with_seed(1);
        let mut held = 0;
        for hot in 0..HOT {
            let key_hot = key(hot * STEP);
            // Read before, and its block has left memory since.
            for _ in 0..2 {
                assert_eq!(client.get(&key_hot).await.unwrap().as_deref(), Some(&*value(hot * STEP)));
                for _ in 0..1_500 {
                    let n = random.u32(..HOT * STEP);
                    client.get(&key(n)).await.unwrap();
                }
            }
            let (arrived, mut arrivals) = mpsc::unbounded();
            remote.set(move |operation, _| {
                if operation != "get_range" {
                    return Fault::None;
                }
                drop(arrived.unbounded_send(()));
                Fault::Held
            });
            let read = match select(client.get(&key_hot), arrivals.next()).await {
                Either::Left(_) => {
                    // Its block was still there.
                    remote.set(|_, _| Fault::None);
                    continue;
                }
                Either::Right((_, read)) => read,
            };
            held += 1;
            client.put(&key_hot, b"new").await.unwrap();
            if hot % 2 == 0 {
                client.checkpoint(Vec::new()).await.unwrap();
            }
            remote.set(|_, _| Fault::None);
            remote.release();
            assert_eq!(read.await.unwrap().as_deref(), Some(&*value(hot * STEP)), "it was asked for before");
            client.checkpoint(Vec::new()).await.unwrap();
            for _ in 0..2 {
                assert_eq!(client.get(&key_hot).await.unwrap().as_deref(), Some(&b"new"[..]), "key {hot}");
            }
        }
        assert!(held > HOT / 2, "{held}");
        engine.close().await.unwrap();
    });
}
