//! Loads: one for all who wait, whatever the callers do.

use crate::common::{Block, Counter, check, data, decode, key, load, object_bytes, on_each_backend, reader};
use aquifer_cache::{Ask, Cache, CacheKey, CacheOptions, Class, LoadError};
use aquifer_io::yield_now;
use bytes::Bytes;
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
            let object = reader(|_| async {
                yield_now().await;
                Err("no such object".to_owned())
            });
            let decode = |_: &Bytes| -> Result<Block, String> { panic!("nothing to decode") };
            cache.get_or_load(Ask::new(Class::Data, key(1)), &object, decode)
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
        let object = reader(|_| async { Ok(Bytes::from_static(b"xyz")) });
        let load = cache.get_or_load(Ask::new(Class::Meta, key(1)), &object, |raw| {
            Err(format!("bad block of {} bytes", raw.len()))
        });
        assert_eq!(load.await, Err(LoadError::Source("bad block of 3 bytes".to_owned())));
        let stats = cache.stats();
        assert_eq!(
            (stats.loads.fetch_errors, stats.loads.fetched_bytes, stats.memory.meta.entries),
            (1, 3, 0)
        );
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
fn a_reader_that_panics_ends_its_flight() {
    let options = aquifer_io::ExecutorOptions::default();
    let thread = aquifer_io::spawn_executor(options, || async {
        let cache = memory_only().await;
        let explode = || {
            let object = reader(|_| async { panic!("a bug in the caller's reader") });
            cache.get_or_load(Ask::new(Class::Data, key(1)), &object, decode(1))
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
    // Sixty loads whose reads end in reverse order.
    on_each_backend(|_| async {
        let cache = memory_only().await;
        let ended = Rc::new(RefCell::new(Vec::new()));
        let turn = Rc::new(Cell::new(60u64));
        let loads: Vec<_> = (0..60u64)
            .map(|n| {
                let (ended, turn) = (Rc::clone(&ended), Rc::clone(&turn));
                // Each in an object of its own: none shares a read.
                let object = reader(move |range| {
                    let (ended, turn) = (Rc::clone(&ended), Rc::clone(&turn));
                    async move {
                        while turn.get() != n + 1 {
                            yield_now().await;
                        }
                        turn.set(n);
                        ended.borrow_mut().push(n);
                        Ok(object_bytes(key(n).object, range))
                    }
                });
                let key = CacheKey { object: 1000 + n, ..key(n) };
                cache.get_or_load(Ask::new(Class::Data, key), &object, decode(n))
            })
            .collect();
        for (n, block) in (0u64..).zip(join_all(loads).await) {
            assert_eq!(block.unwrap().0[..], data(n)[..]);
        }
        assert_eq!(*ended.borrow(), (0..60).rev().collect::<Vec<_>>());
    });
}
