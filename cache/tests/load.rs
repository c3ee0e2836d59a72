//! Loads: one for all who wait, whatever the callers do.
#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod common;

use aquifer_cache::{Cache, CacheOptions, Class, LoadError};
use aquifer_io::yield_now;
use bytes::Bytes;
use common::{Block, Counter, check, data, key, load, on_each_backend};
use futures_util::future::join_all;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Poll;

async fn memory_only() -> Cache<Block> {
    Cache::open(CacheOptions::default()).await.unwrap()
}

#[test]
fn a_thousand_callers_one_fetch() {
    on_each_backend(|_| async {
        let cache = memory_only().await;
        let fetches = Counter::default();
        let loads: Vec<_> = (0..1000).map(|_| load(&cache, 1, &fetches)).collect();
        assert_eq!(cache.stats().loads.in_flight, 1);
        for block in join_all(loads).await {
            assert_eq!(block.unwrap().0[..], data(1)[..]);
        }
        assert_eq!(fetches.get(), 1);
        let stats = cache.stats();
        assert_eq!((stats.loads.fetches, stats.loads.shared, stats.loads.in_flight), (1, 999, 0));
        assert!(load(&cache, 1, &fetches).is_ready());
        assert_eq!(cache.get(Class::Data, &key(1)).unwrap().0[..], data(1)[..]);
        assert_eq!(cache.get(Class::Meta, &key(1)), None, "classes are apart");
        assert_eq!(fetches.get(), 1);
    });
}

#[test]
fn a_caller_that_gives_up_cancels_nothing() {
    on_each_backend(|_| async {
        let cache = memory_only().await;
        let fetches = Counter::default();
        // The one that began it leaves, and one that joined leaves after it has waited.
        drop(load(&cache, 1, &fetches));
        let mut joined = load(&cache, 1, &fetches);
        assert!(futures_util::poll!(&mut joined).is_pending());
        let stays = load(&cache, 1, &fetches);
        drop(joined);
        assert!(stays.await.is_ok());
        // All leave: the block comes into the cache all the same.
        drop(load(&cache, 2, &fetches));
        while cache.stats().loads.in_flight > 0 {
            yield_now().await;
        }
        assert!(cache.get(Class::Data, &key(2)).is_some());
        assert_eq!(fetches.get(), 2);
    });
}

#[test]
fn the_cache_may_go_while_loads_are_in_flight() {
    on_each_backend(|_| async {
        let cache = memory_only().await;
        let fetches = Counter::default();
        let waits = load(&cache, 1, &fetches);
        drop(cache);
        assert_eq!(waits.await.unwrap().0[..], data(1)[..]);
    });
}

#[test]
fn an_error_reaches_all_and_is_not_cached() {
    on_each_backend(|_| async {
        let cache = memory_only().await;
        let fail = || {
            cache.get_or_load(
                Class::Data,
                key(1),
                |_: &Bytes| -> Result<Block, String> { panic!("nothing to decode") },
                || async {
                    yield_now().await;
                    Err("no such object".to_owned())
                },
            )
        };
        let loads: Vec<_> = (0..10).map(|_| fail()).collect();
        for result in join_all(loads).await {
            assert_eq!(result, Err(LoadError::Source("no such object".to_owned())));
        }
        let stats = cache.stats().loads;
        assert_eq!((stats.fetches, stats.fetch_errors), (1, 1));
        check(&cache, 1, &Counter::default()).await;
    });
}

#[test]
fn fetched_bytes_that_do_not_decode_are_an_error() {
    on_each_backend(|_| async {
        let cache = memory_only().await;
        let load = cache.get_or_load(
            Class::Meta,
            key(1),
            |raw| Err(format!("bad block of {} bytes", raw.len())),
            || async { Ok(Bytes::from_static(b"xyz")) },
        );
        assert_eq!(load.await, Err(LoadError::Source("bad block of 3 bytes".to_owned())));
        let stats = cache.stats();
        assert_eq!(
            (stats.loads.fetch_errors, stats.loads.fetched_bytes, stats.memory.meta.entries),
            (1, 3, 0)
        );
    });
}

#[test]
fn callers_with_different_errors_do_not_share() {
    on_each_backend(|_| async {
        let cache = memory_only().await;
        let fetches = Counter::default();
        let one = load(&cache, 1, &fetches);
        let other = cache.get_or_load(
            Class::Data,
            key(1),
            |raw| Ok::<_, u8>(Block(raw.to_vec().into())),
            || async { Ok(data(1)) },
        );
        assert_eq!(one.await.unwrap(), other.await.unwrap());
        assert_eq!(cache.stats().loads.fetches, 2);
        assert_eq!(cache.stats().loads.in_flight, 0);
    });
}

#[test]
fn a_load_that_ends_leaves_a_later_one_of_its_key_alone() {
    on_each_backend(|_| async {
        let cache = Cache::open(CacheOptions { memory_bytes: 0, ..CacheOptions::default() }).await.unwrap();
        let fetches = Counter::default();
        let first = load(&cache, 1, &fetches);
        // Another error type: a flight of its own, which takes the key over and is not done when the first is.
        let release = Rc::new(Cell::new(false));
        let begin = || {
            let (release, fetches) = (Rc::clone(&release), Rc::clone(&fetches));
            cache.get_or_load(
                Class::Data,
                key(1),
                |raw| Ok::<_, u8>(Block(raw.to_vec().into())),
                move || async move {
                    fetches.set(fetches.get() + 1);
                    while !release.get() {
                        yield_now().await;
                    }
                    Ok(data(1))
                },
            )
        };
        let second = begin();
        first.await.unwrap();
        let third = begin();
        release.set(true);
        assert_eq!(second.await.unwrap(), third.await.unwrap());
        assert_eq!(fetches.get(), 2, "the third shares with the second");
    });
}

#[test]
fn a_load_that_needs_another_load_of_the_same_cache() {
    // An index block that is fetched through a data block: decode and fetch may use the cache.
    on_each_backend(|_| async {
        let cache = Rc::new(memory_only().await);
        let fetches = Counter::default();
        let inner = Rc::clone(&cache);
        let block = cache.get_or_load(
            Class::Meta,
            key(9),
            |raw| Ok::<_, String>(Block(raw.to_vec().into())),
            move || async move {
                inner.insert(Class::Data, key(3), &data(3), None);
                load(&inner, 2, &fetches).await.map_err(|error| error.to_string())?;
                Ok(data(9))
            },
        );
        assert_eq!(block.await.unwrap().0[..], data(9)[..]);
        assert!(cache.get(Class::Data, &key(2)).is_some());
    });
}

#[test]
fn random_callers_that_come_and_go() {
    on_each_backend(|_| async {
        let options = CacheOptions { memory_bytes: 60_000, meta_bytes_max: 0, ..CacheOptions::default() };
        let cache = Cache::open(options).await.unwrap();
        let fetches = Counter::default();
        let mut waiting = Vec::new();
        for _ in 0..10_000 {
            let chosen = || usize::try_from(aquifer_io::random_u64() >> 1).unwrap() % waiting.len().max(1);
            match aquifer_io::random_u64() % 8 {
                0..4 => {
                    let n = aquifer_io::random_u64() % 50;
                    waiting.push((n, load(&cache, n, &fetches)));
                }
                4 | 5 if !waiting.is_empty() => {
                    let at = chosen();
                    let (n, mut left) = waiting.swap_remove(at);
                    if let Poll::Ready(block) = futures_util::poll!(&mut left) {
                        assert_eq!(block.unwrap().0[..], data(n)[..]);
                    }
                }
                6 if waiting.len() > 40 => {
                    for (n, load) in waiting.drain(..) {
                        assert_eq!(load.await.unwrap().0[..], data(n)[..]);
                    }
                }
                _ => yield_now().await,
            }
            assert!(cache.stats().memory.bytes() <= 60_000);
        }
    });
}

#[test]
fn a_fetch_that_panics_ends_its_flight() {
    let options = aquifer_io::ExecutorOptions::default();
    let thread = aquifer_io::spawn_executor(options, || async {
        let cache = memory_only().await;
        let explode = || {
            cache.get_or_load(
                Class::Data,
                key(1),
                |raw| Ok::<_, String>(Block(raw.to_vec().into())),
                || async { panic!("a bug in the caller's fetch") },
            )
        };
        let (one, other) = (explode(), explode());
        assert_eq!(one.await, Err(LoadError::Stopped));
        assert_eq!(other.await, Err(LoadError::Stopped));
        check(&cache, 1, &Counter::default()).await;
    });
    // The executor tells of the panic too.
    assert!(thread.unwrap().join().is_err());
}

#[test]
fn write_through_is_there_at_once() {
    on_each_backend(|_| async {
        let cache = memory_only().await;
        let value = Block(data(1).to_vec().into());
        cache.insert(Class::Data, key(1), &data(1), Some(value.clone()));
        assert_eq!(cache.get(Class::Data, &key(1)), Some(value));
        cache.insert(Class::Data, key(2), &data(2), None);
        assert_eq!(cache.get(Class::Data, &key(2)), None);
        cache.remove(&key(1));
        assert_eq!(cache.get(Class::Data, &key(1)), None);
    });
}

#[test]
fn results_come_in_the_order_things_are_ready_and_none_is_lost() {
    // A hundred loads whose fetches end in reverse order.
    on_each_backend(|_| async {
        let cache = memory_only().await;
        let ended = Rc::new(RefCell::new(Vec::new()));
        let turn = Rc::new(Cell::new(100u64));
        let loads: Vec<_> = (0..100u64)
            .map(|n| {
                let (ended, turn) = (Rc::clone(&ended), Rc::clone(&turn));
                cache.get_or_load(
                    Class::Data,
                    key(n),
                    |raw| Ok::<_, String>(Block(raw.to_vec().into())),
                    move || async move {
                        while turn.get() != n + 1 {
                            yield_now().await;
                        }
                        turn.set(n);
                        ended.borrow_mut().push(n);
                        Ok(data(n))
                    },
                )
            })
            .collect();
        for (n, block) in (0u64..).zip(join_all(loads).await) {
            assert_eq!(block.unwrap().0[..], data(n)[..]);
        }
        assert_eq!(*ended.borrow(), (0..100).rev().collect::<Vec<_>>());
    });
}
