//! Each byte of two small segments is read wrong in turn, with everything that a segment can hold: several partitions of several blocks,
//! deletions, range deletions, merges that need what is older, times to live. Every get, multi-get and scan, forward and in reverse, answers
//! right or fails with an error that names object and offset; and no flip stays unseen.

use crate::common;
use crate::common::flips::{Flip, Flipping};
use aquifer::{
    Client, Engine, Error, ErrorKind, Expiry, Key, KeyRange, MultiGetOptions, ScanOptions, VerifyOptions,
    verify_store,
};
use aquifer_remote::{ObjectName, Remote};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// Keys of one group, so that one scan meets all of them.
const GROUP: u16 = 3;
const KEYS: u32 = 130;
/// Raw bytes of two partitions; they compress well, so that there are few bytes to flip.
const VALUE_BYTES: usize = 1_100;

fn key(n: u32) -> Vec<u8> {
    format!("key-{n:03}").into_bytes()
}

/// Short entries, so that one block has several restarts.
fn tiny(n: u32) -> Vec<u8> {
    format!("tiny-{n:02}").into_bytes()
}

fn chained(n: u64) -> Vec<u8> {
    format!("chain-{n}").into_bytes()
}

fn named(key: &[u8]) -> Key<'_> {
    Key::in_group(GROUP, key)
}

fn value(n: u32) -> Vec<u8> {
    format!("{n}.").into_bytes().repeat(VALUE_BYTES).into_iter().take(VALUE_BYTES).collect()
}

/// Two segments of two checkpoints, of which the newer one stands on the older one.
async fn fill(remote: Arc<dyn Remote>) {
    let engine = Engine::open(remote, common::small(1)).await.unwrap();
    let client = engine.client();
    for n in 0..KEYS {
        client.put(named(&key(n)), &value(n)).await.unwrap();
    }
    for n in 0..40 {
        client.put(named(&tiny(n)), &n.to_le_bytes()).await.unwrap();
    }
    client.checkpoint(Vec::new()).await.unwrap();
    for n in 0..KEYS {
        let key = key(n);
        match n % 10 {
            0 => client.delete(named(&key)).await.unwrap(),
            1 => client.merge(named(&key), "append", &value(n)).await.unwrap(),
            2 => client
                .put_with(named(&key), b"short", Expiry::After(Duration::from_secs(86_400)))
                .await
                .unwrap(),
            4..8 => client.put(named(&key), &value(n + 7)).await.unwrap(),
            _ => {}
        }
    }
    // Two operators on one key whose past the memtable does not know: a chain.
    for n in 0..5_u64 {
        let key = chained(n);
        client.merge(named(&key), "append", &n.to_le_bytes()).await.unwrap();
        client.merge(named(&key), "max", &3_u64.to_le_bytes()).await.unwrap();
    }
    let range = |from: &'static [u8], to: &'static [u8]| KeyRange::in_group(GROUP, from..to);
    client.delete_range(&range(b"key-020", b"key-025")).await.unwrap();
    client.delete_range(&range(b"key-128x", b"key-3")).await.unwrap();
    client.checkpoint(Vec::new()).await.unwrap();
    engine.close().await.unwrap();
}

type Pairs = Vec<(Bytes, Bytes)>;

/// The ways to read.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Gets,
    MultiGet,
    Forward,
    Reverse,
}

const WAYS: [Way; 4] = [Way::Gets, Way::MultiGet, Way::Forward, Way::Reverse];

/// What one of them says: of keys one by one, or of all at once.
#[derive(Clone, Debug, PartialEq)]
enum Said {
    Keys(Vec<Result<Option<Bytes>, Told>>),
    Pairs(Result<Pairs, Told>),
}

/// An error that can be compared: where it is.
#[derive(Clone, Debug, PartialEq)]
struct Told(ErrorKind, Option<(String, u64)>, String);

fn told(error: &Error) -> Told {
    let place = error.corruption().map(|found| (found.object.clone(), found.offset));
    Told(error.kind(), place, error.to_string())
}

async fn scan(client: &Client, reverse: bool) -> Result<Pairs, Told> {
    let options = ScanOptions { reverse, page_entries: 1000, ..ScanOptions::default() };
    let mut scan = client.scan(&KeyRange::group(GROUP), &options);
    let mut pairs = Vec::new();
    while let Some(page) = scan.next_page().await.map_err(|error| told(&error))? {
        pairs.extend(page);
    }
    Ok(pairs)
}

fn all_keys() -> Vec<Vec<u8>> {
    (0..KEYS + 3).map(key).chain((0..40).map(tiny)).chain((0..5).map(chained)).collect()
}

/// Which keys are read one by one: every `stride`th, from `first` on.
#[derive(Clone, Copy, Debug)]
struct Sample {
    first: usize,
    stride: usize,
}

/// Reads past what is in memory.
async fn read(client: &Client, way: Way, sample: Sample) -> Said {
    let keys = all_keys();
    let keys = keys.iter().skip(sample.first).step_by(sample.stride);
    client.forget_memory().await.unwrap();
    match way {
        Way::Gets => {
            let mut answers = Vec::new();
            for key in keys {
                answers.push(client.get(named(key)).await.map_err(|error| told(&error)));
            }
            Said::Keys(answers)
        }
        Way::MultiGet => {
            let keys = keys.map(|key| named(key));
            let answers = client.multi_get(keys, &MultiGetOptions::default()).await.unwrap();
            let value = |answer: aquifer::Result<aquifer::Answer>| answer.map(|answer| answer.value);
            Said::Keys(answers.into_iter().map(|one| value(one).map_err(|error| told(&error))).collect())
        }
        Way::Forward => Said::Pairs(scan(client, false).await),
        Way::Reverse => Said::Pairs(scan(client, true).await),
    }
}

/// What is read without a flip.
struct Good {
    /// Of all keys.
    keys: Vec<Result<Option<Bytes>, Told>>,
    forward: Said,
    reverse: Said,
}

impl Good {
    async fn read(client: &Client) -> Self {
        let all = Sample { first: 0, stride: 1 };
        let Said::Keys(keys) = read(client, Way::MultiGet, all).await else { unreachable!("keys") };
        assert!(keys.iter().all(Result::is_ok), "{keys:?}");
        assert_eq!(read(client, Way::Gets, all).await, Said::Keys(keys.clone()));
        let (forward, reverse) =
            (read(client, Way::Forward, all).await, read(client, Way::Reverse, all).await);
        Self { keys, forward, reverse }
    }

    /// What the same read says without a flip.
    fn said(&self, way: Way, sample: Sample) -> Said {
        match way {
            Way::Gets | Way::MultiGet => {
                Said::Keys(self.keys.iter().skip(sample.first).step_by(sample.stride).cloned().collect())
            }
            Way::Forward => self.forward.clone(),
            Way::Reverse => self.reverse.clone(),
        }
    }
}

/// Checks what is read with a flip against what is read without one; gives the number of errors.
fn check(bad: &Said, good: &Said, flip: &Flip) -> usize {
    let mut errors = 0;
    let mut right = |is_right: bool, error: Option<&Told>| match error {
        None => assert!(is_right, "a wrong answer with {flip:?}"),
        Some(Told(kind, place, text)) => {
            errors += 1;
            assert_eq!(*kind, ErrorKind::Corrupt, "{flip:?}: {text}");
            let (object, offset) = place.as_ref().unwrap();
            assert_eq!(*object, flip.object.as_str(), "{flip:?}: {text}");
            assert!(*offset <= flip.offset, "what is named begins at or before {flip:?}: {text}");
            assert!(text.contains(&format!("{object} at offset {offset}")), "{text}");
        }
    };
    match (bad, good) {
        (Said::Keys(bad), Said::Keys(good)) => {
            assert_eq!(bad.len(), good.len());
            bad.iter().zip(good).for_each(|(bad, good)| right(bad == good, bad.as_ref().err()));
        }
        (Said::Pairs(bad), Said::Pairs(good)) => right(bad == good, bad.as_ref().err()),
        _ => unreachable!("one way says one thing"),
    }
    errors
}

#[test]
fn each_byte_of_a_segment_that_is_read_wrong_is_found_by_every_kind_of_read() {
    /// At every so many bytes all kinds of reads, in between scans in turn: blocks and metas are longer, so that every kind meets each of them.
    const ALL_WAYS: u64 = 23;
    /// Keys that are read one by one are so far apart, and others each time.
    const STRIDE: usize = 31;
    let remote = Flipping::new(common::memory());
    aquifer::block_on(async {
        fill(remote.clone()).await;
        let engine = Engine::open(remote.clone(), common::small(1)).await.unwrap();
        let client = engine.client();
        let good = Good::read(&client).await;
        let Said::Pairs(Ok(pairs)) = &good.forward else { unreachable!("pairs") };
        assert!(
            pairs.len() > 100 && pairs.iter().any(|(_, value)| value.len() == 2 * VALUE_BYTES),
            "merges count"
        );
        let packs = remote.list("pack/", None, 10).await.unwrap().entries;
        assert_eq!(packs.len(), 2);
        for pack in packs {
            for offset in 0..pack.bytes {
                let flip = Flip { object: pack.name.clone(), offset, mask: 1 << (offset * 5 % 8) };
                remote.set(Some(flip.clone()));
                let sample =
                    Sample { first: usize::try_from(offset / ALL_WAYS).unwrap() % STRIDE, stride: STRIDE };
                let scan = if offset % 2 == 0 { Way::Forward } else { Way::Reverse };
                let is_full = offset % ALL_WAYS == 0;
                for way in WAYS.into_iter().filter(|&way| is_full || way == scan) {
                    let good = good.said(way, sample);
                    let mut errors = check(&read(&client, way, sample).await, &good, &flip);
                    // A block that the scan before asked for ahead, still without this flip, may have come after memory was emptied:
                    // what is read once more has asked with the flip.
                    if errors == 0 && way == scan {
                        errors = check(&read(&client, way, sample).await, &good, &flip);
                    }
                    // Single keys may be found without the block that is flipped.
                    assert!(errors > 0 || matches!(way, Way::Gets | Way::MultiGet), "unseen: {flip:?}");
                }
            }
        }
        remote.set(None);
        assert_eq!(Good::read(&client).await.forward, good.forward, "nothing bad was kept");
        engine.close().await.unwrap();
    });
}

#[test]
fn each_byte_of_a_store_that_is_read_wrong_is_found_by_verify() {
    let remote = Flipping::new(common::memory());
    aquifer::block_on(async {
        fill(remote.clone()).await;
        let objects: Vec<ObjectName> =
            remote.list("", None, 100).await.unwrap().entries.into_iter().map(|entry| entry.name).collect();
        let newest = objects.iter().rfind(|name| name.as_str().contains("/manifest/")).unwrap().clone();
        let reached = |name: &ObjectName| *name == newest || !name.as_str().contains("/manifest/");
        for object in objects.iter().filter(|name| reached(name)) {
            let bytes = remote.head(object).await.unwrap().bytes;
            // Every byte of what is short, a prime stride over what is long.
            for offset in (0..bytes).step_by(if bytes < 600 { 1 } else { 7 }) {
                let flip = Flip { object: object.clone(), offset, mask: 1 << (offset % 8) };
                remote.set(Some(flip.clone()));
                let report = verify_store(remote.clone(), VerifyOptions::default(), |_| {}).await.unwrap();
                let fault = report.faults.first().unwrap_or_else(|| panic!("unseen: {flip:?}"));
                assert_eq!(
                    (fault.object.as_str(), report.faults.len()),
                    (object.as_str(), 1),
                    "{flip:?}: {report:?}"
                );
                assert!(
                    fault.offset <= flip.offset || object.as_str() == newest.as_str(),
                    "{flip:?}: {fault:?}"
                );
            }
        }
        remote.set(None);
        assert!(verify_store(remote, VerifyOptions::default(), |_| {}).await.unwrap().is_sound());
    });
}
