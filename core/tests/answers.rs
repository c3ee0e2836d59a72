//! Answers have a bound in bytes: a multi-get comes in pages, and a shard does not read on and on for callers who take nothing.
//!
//! How it was: four multi-gets of 4,096 values of 1 MiB took 5.4 GiB under a budget of 32 MiB. (What they take now is in `memory_budget.rs`.)

use crate::common;
use crate::common::world::in_world;
use aquifer::{Answer, Client, Engine, ErrorKind, MultiGetOptions};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const VALUE_BYTES: usize = 100 * 1024;
/// A shard of 4 MiB gives about this much at once.
const SHARE_BYTES: usize = 128 * 1024;

fn key(n: u32) -> Vec<u8> {
    format!("key-{n:03}").into_bytes()
}

fn value(n: u32) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(u64::from(n));
    std::iter::repeat_with(|| random.u8(..)).take(VALUE_BYTES).collect()
}

async fn loaded(client: &Client, keys: u32) {
    for n in 0..keys {
        client.put(&key(n), &value(n)).await.unwrap();
        client.put(&[key(n).as_slice(), b"-small"].concat(), &n.to_le_bytes()).await.unwrap();
    }
}

/// Reads all keys, page by page; gives the number of pages.
async fn pages(
    mut ask: impl AsyncFnMut(&[Vec<u8>]) -> Vec<aquifer::Result<Answer>>,
    keys: Vec<Vec<u8>>,
    page_bytes_max: usize,
) -> (usize, BTreeMap<Vec<u8>, Option<Bytes>>) {
    let (mut found, mut left, mut pages) = (BTreeMap::new(), keys, 0);
    while !left.is_empty() {
        let answers = ask(&left).await;
        assert_eq!(answers.len(), left.len());
        let (mut rest, mut bytes) = (Vec::new(), 0);
        for (key, answer) in left.iter().zip(answers) {
            match answer {
                Ok(answer) => {
                    bytes += answer.value.as_ref().map_or(0, Bytes::len);
                    found.insert(key.clone(), answer.value);
                }
                Err(error) if error.kind() == ErrorKind::Remaining => rest.push(key.clone()),
                Err(error) => panic!("{error}"),
            }
        }
        assert!(rest.len() < left.len(), "a page gives something");
        assert!(bytes < page_bytes_max + VALUE_BYTES, "{bytes} bytes in a page of {page_bytes_max}");
        (left, pages) = (rest, pages + 1);
    }
    (pages, found)
}

#[test]
fn a_multi_get_comes_in_pages_of_bytes_and_says_what_remains() {
    in_world(|remote| async move {
        for shards in [1, 2] {
            let engine = Engine::open(Arc::clone(&remote) as _, common::small(shards)).await.unwrap();
            let client = engine.client();
            loaded(&client, 30).await;
            let keys: Vec<_> =
                (0..32).flat_map(|n| [key(n), [key(n).as_slice(), b"-small"].concat()]).collect();
            for is_cold in [false, true] {
                for bytes_max in [1, 200 * 1024, aquifer::MULTI_GET_BYTES_DEFAULT] {
                    if is_cold {
                        client.checkpoint(Vec::new()).await.unwrap();
                        client.forget_memory().await.unwrap();
                    }
                    let options = MultiGetOptions { bytes_max, ..MultiGetOptions::default() };
                    let ask = async |keys: &[Vec<u8>]| client.multi_get(keys, &options).await.unwrap();
                    // Each shard gives one value at least.
                    let page_bytes_max = bytes_max.min(shards * SHARE_BYTES) + (shards - 1) * VALUE_BYTES;
                    let (pages, found) = pages(ask, keys.clone(), page_bytes_max).await;
                    assert!(pages > 5, "{pages} pages");
                    for n in 0..32 {
                        let expected = (n < 30).then(|| value(n));
                        assert!(found[&key(n)].as_deref() == expected.as_deref(), "key {n}");
                    }
                }
            }
            if shards == 1 {
                let on_shard = client.run_on_shard(0, |shard| async move {
                    let ask = async |keys: &[Vec<u8>]| {
                        shard.multi_get(keys, &MultiGetOptions::default()).await.unwrap()
                    };
                    pages(ask, (0..30).map(key).collect(), SHARE_BYTES).await.1.len()
                });
                assert_eq!(on_shard.await.unwrap(), 30);
            }
            engine.close().await.unwrap();
        }
    });
}

#[test]
fn small_values_come_at_once_however_many_they_are() {
    in_world(|remote| async move {
        let engine = Engine::open(remote, common::small(1)).await.unwrap();
        let client = engine.client();
        for n in 0..2_000_u32 {
            client.put(&n.to_le_bytes(), &[7; 20]).await.unwrap();
        }
        client.checkpoint(Vec::new()).await.unwrap();
        client.forget_memory().await.unwrap();
        let keys: Vec<_> = (0..2_000_u32).map(u32::to_le_bytes).collect();
        let answers = client.multi_get(&keys, &MultiGetOptions::default()).await.unwrap();
        assert!(answers.into_iter().all(|answer| answer.unwrap().value.is_some()));
        engine.close().await.unwrap();
    });
}

#[test]
fn answers_that_are_left_hold_new_reads_back_and_nobody_waits_for_ever() {
    in_world(|remote| async move {
        let engine = Engine::open(remote, common::small(1)).await.unwrap();
        let client = engine.client();
        loaded(&client, 30).await;
        client.checkpoint(Vec::new()).await.unwrap();
        for is_cold in [false, true] {
            if is_cold {
                client.forget_memory().await.unwrap();
            }
            // How long the reads themselves take, one after the other.
            let begun = aquifer_io::now();
            for n in 0..30 {
                assert!(client.get(&key(n)).await.unwrap().as_deref() == Some(&*value(n)), "key {n}");
            }
            let alone = begun.elapsed();
            if is_cold {
                client.forget_memory().await.unwrap();
            }
            // In the order of the calls each comes, without a pause of anybody's patience.
            let begun = aquifer_io::now();
            let gets: Vec<_> = (0..30).map(|n| client.get(&key(n))).collect();
            for (n, get) in (0..).zip(gets) {
                assert!(get.await.unwrap().as_deref() == Some(&*value(n)), "key {n}");
            }
            let paused = begun.elapsed().saturating_sub(alone);
            assert!(
                paused < Duration::from_millis(90),
                "{paused:?} beside the {alone:?} of the reads themselves"
            );
            // The last one first: it comes, or it says that others are to be taken.
            let begun = aquifer_io::now();
            let gets: Vec<_> = (0..30).map(|n| client.get(&key(n))).collect();
            let (mut taken, mut refused) = (0, 0);
            for (n, get) in (0..30).zip(gets).rev() {
                match get.await {
                    Ok(found) => {
                        assert!(found.as_deref() == Some(&*value(n)), "key {n}");
                        taken += 1;
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
                        refused += 1;
                    }
                }
            }
            assert!(taken >= 4 && refused > 0, "{taken} taken, {refused} refused");
            assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
            // A write behind reads that nobody takes is taken in the end, and all is as before.
            let gets: Vec<_> = (0..30).map(|n| client.get(&key(n))).collect();
            client.put(b"behind", b"them").await.unwrap();
            drop(gets);
            assert_eq!(client.get(b"behind").await.unwrap().as_deref(), Some(b"them".as_slice()));
        }
        engine.close().await.unwrap();
    });
}

/// How it was: a new read that came while large ones were under way waited for their end alone. When they ended, and their answers were left
/// for a while, it was not woken by who took these: its caller waited for ever.
#[test]
fn a_read_that_comes_while_large_ones_are_under_way_begins_once_their_answers_are_taken() {
    in_world(|remote| async move {
        let engine = Engine::open(remote, common::small(1)).await.unwrap();
        let client = engine.client();
        let values: Vec<_> = (0..4).map(|n| (n * 4..n * 4 + 4).flat_map(value).collect::<Vec<_>>()).collect();
        for (n, value) in (0..).zip(&values) {
            client.put(&key(n), value).await.unwrap();
        }
        client.checkpoint(Vec::new()).await.unwrap();
        for pause in (0..80).map(|step| Duration::from_micros(step * 250)) {
            client.forget_memory().await.unwrap();
            let mut gets = Vec::new();
            for n in (0..).take(values.len()) {
                gets.push(client.get(&key(n)));
                aquifer_io::sleep(pause).await;
            }
            // What has begun ends meanwhile.
            aquifer_io::sleep(Duration::from_millis(60)).await;
            for ((n, get), value) in gets.into_iter().enumerate().zip(&values) {
                assert!(get.await.unwrap().as_deref() == Some(&**value), "key {n}, {pause:?} apart");
            }
        }
        engine.close().await.unwrap();
    });
}
