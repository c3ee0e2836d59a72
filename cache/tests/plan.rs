//! The read plan: what becomes of wants, counted in reads.

use crate::common::{Block, on_each_backend, reader, ssd_only, written};
use aquifer_cache::{
    Ask, Cache, CacheKey, CacheOptions, Class, Load, LoadError, LoadSet, ObjectReader, ReadClass,
};
use aquifer_io::{spawn_local, yield_now};
use bytes::Bytes;
use futures_util::future::join_all;
use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;

const BLOCK_BYTES: u32 = 4096;

/// An object of blocks without gaps, whose reads are noted, and wait while `gate` is shut.
struct Object {
    reads: RefCell<Vec<Range<u64>>>,
    ended: Cell<u64>,
    is_shut: Cell<bool>,
    reader: RefCell<Option<Rc<dyn ObjectReader<String>>>>,
}

fn byte(at: u64) -> u8 {
    (at / 4096 * 131 + at * 7).to_le_bytes()[0]
}

fn bytes(range: Range<u64>) -> Bytes {
    range.map(byte).collect::<Vec<u8>>().into()
}

impl Object {
    fn new() -> Rc<Self> {
        let object = Rc::new(Self {
            reads: RefCell::default(),
            ended: Cell::new(0),
            is_shut: Cell::new(false),
            reader: RefCell::default(),
        });
        let noting = Rc::clone(&object);
        let read = move |range: Range<u64>| {
            let noting = Rc::clone(&noting);
            noting.reads.borrow_mut().push(range.clone());
            async move {
                yield_now().await;
                while noting.is_shut.get() {
                    yield_now().await;
                }
                noting.ended.set(noting.ended.get() + 1);
                if range.contains(&(BAD * u64::from(BLOCK_BYTES))) {
                    return Err("a range that is not there".to_owned());
                }
                Ok(bytes(range))
            }
        };
        *object.reader.borrow_mut() = Some(reader(read));
        object
    }

    fn reads(&self) -> usize {
        self.reads.borrow().len()
    }

    fn ask(&self, cache: &Cache<Block>, ask: Ask) -> Load<Block> {
        let reader = self.reader.borrow().clone().unwrap();
        let expected = bytes(ask.block());
        cache.get_or_load(ask, &reader, move |raw| {
            assert_eq!(*raw, expected, "other bytes than were asked for");
            Ok(Block(raw.to_vec().into()))
        })
    }

    fn load(&self, cache: &Cache<Block>, block: u64) -> Load<Block> {
        self.ask(cache, ask(block))
    }
}

/// The block that no read may touch.
const BAD: u64 = 5_000_000;

fn ask(block: u64) -> Ask {
    let key = CacheKey { object: 7, offset: block * u64::from(BLOCK_BYTES), bytes: BLOCK_BYTES };
    Ask::new(Class::Data, key)
}

async fn cache_of(memory_bytes: usize) -> Cache<Block> {
    Cache::open(CacheOptions { memory_bytes, ..CacheOptions::default() }).await.unwrap()
}

async fn until(what: impl Fn() -> bool) {
    while !what() {
        yield_now().await;
    }
}

/// 256 callers, each a task of its own, ask for neighbours in one turn: as few reads as the largest extent allows.
#[test]
fn neighbours_of_one_turn_share_reads_whoever_asks() {
    on_each_backend(|_| async {
        let cache = Rc::new(cache_of(8 << 20).await);
        let object = Object::new();
        let callers: Vec<_> = (0..256)
            .map(|caller: u64| {
                let (cache, object) = (Rc::clone(&cache), Rc::clone(&object));
                // In no order: 151 and 256 have no divisor in common.
                spawn_local(async move { object.load(&cache, caller * 151 % 256).await.unwrap() })
            })
            .collect();
        for caller in join_all(callers).await {
            caller.unwrap();
        }
        assert!(object.reads() <= 2, "{:?}", object.reads.borrow());
        let read = cache.stats().plan.remote_all();
        assert_eq!((read.blocks, read.in_flight), (256, 0));
        assert_eq!((read.read_bytes, read.wanted_bytes), (1 << 20, 1 << 20));
        assert!(read.merge_factor().unwrap() >= 128.0 && read.read_amplification() == Some(1.0));
    });
}

#[test]
fn what_is_far_apart_is_read_apart_and_small_gaps_are_read_along() {
    on_each_backend(|_| async {
        let cache = cache_of(8 << 20).await;
        let object = Object::new();
        let blocks = [0, 2, 5, 100_000, 200_000];
        let loads: Vec<_> = blocks.iter().map(|block| object.load(&cache, *block)).collect();
        for load in join_all(loads).await {
            load.unwrap();
        }
        let first = 0..6 * 4096;
        assert_eq!(object.reads(), 3);
        assert!(object.reads.borrow().contains(&first), "{:?}", object.reads.borrow());
    });
}

#[test]
fn a_block_within_a_read_in_flight_joins_it() {
    on_each_backend(|_| async {
        let cache = cache_of(0).await;
        let object = Object::new();
        object.is_shut.set(true);
        let span = 0..16 * 4096;
        let mut whole = object.ask(&cache, Ask { span: Some(span.clone()), ..ask(0) });
        until(|| object.reads() == 1).await;
        let late = object.load(&cache, 7);
        let beyond = object.load(&cache, 16);
        until(|| object.reads() == 2).await;
        object.is_shut.set(false);
        late.await.unwrap();
        beyond.await.unwrap();
        (&mut whole).await.unwrap();
        assert_eq!(whole.take_along(), bytes(span), "what came beside it");
        assert_eq!(object.reads(), 2);
        assert_eq!(cache.stats().plan.remote_all().joined, 1);
    });
}

/// An error is everybody's whose block was in the read, unless it may be about some of the bytes only: then each block is
/// tried alone, once.
#[test]
fn what_is_wrong_with_one_block_is_not_reported_of_its_neighbours() {
    on_each_backend(|_| async {
        let cache = cache_of(8 << 20).await;
        let object = Object::new();
        let loads: Vec<_> = (BAD - 2..BAD + 2).map(|block| object.load(&cache, block)).collect();
        let results: Vec<_> = join_all(loads).await.into_iter().map(|result| result.is_ok()).collect();
        assert_eq!(results, [true, true, false, true]);
        assert_eq!(object.reads(), 1 + 4);
        let again = object.load(&cache, BAD).await;
        assert_eq!(again, Err(LoadError::Source("a range that is not there".to_owned())));
        assert_eq!(
            object.reads(),
            1 + 4 + 1,
            "an error is not cached, and one block alone is not tried twice"
        );
    });
}

/// The background has thousands of wants before a foreground read comes: it waits for none of them.
#[test]
fn the_background_delays_no_foreground_read() {
    on_each_backend(|_| async {
        let cache = cache_of(0).await;
        let object = Object::new();
        object.is_shut.set(true);
        let far = |n: u64| 1_000_000 + n * 1_000;
        let mut background = Vec::new();
        for reads in [ReadClass::ReadAhead, ReadClass::WarmUp, ReadClass::Compaction] {
            background.extend(
                (0..2_000)
                    .map(|n| object.ask(&cache, Ask { reads, ..ask(far(n) + reads as u64 * 10_000_000) })),
            );
        }
        let in_flight = |reads: ReadClass| cache.stats().plan.remote[reads as usize].in_flight;
        until(|| in_flight(ReadClass::Compaction) > 0).await;
        for _ in 0..10 {
            yield_now().await;
        }
        let before: u64 = ReadClass::ALL.into_iter().map(in_flight).sum();
        assert!(before <= 16 + 4 + 4, "{before} of the background are in flight");
        let foreground = object.load(&cache, 1);
        until(|| object.reads() as u64 > before).await;
        assert_eq!(object.reads() as u64, before + 1, "it left before all that waits");
        assert_eq!(in_flight(ReadClass::Foreground), 1);
        object.is_shut.set(false);
        foreground.await.unwrap();
        for load in join_all(background).await {
            load.unwrap();
        }
    });
}

/// A read of the background brings thousands of blocks at once: a block that somebody waits for is decoded before them.
#[test]
fn what_somebody_waits_for_is_decoded_first() {
    on_each_backend(|_| async {
        let cache = cache_of(0).await;
        let object = Object::new();
        object.is_shut.set(true);
        // What a request costs is not known yet: a megabyte is assumed, and so much is one read.
        let ahead = |n| object.ask(&cache, Ask { reads: ReadClass::ReadAhead, ..ask(n) });
        let background: Vec<_> = (0..2_000).map(ahead).collect();
        until(|| object.reads() == 1).await;
        let mut foreground = object.load(&cache, 1_000_000);
        until(|| object.reads() == 2).await;
        object.is_shut.set(false);
        (&mut foreground).await.unwrap();
        let ready = background.iter().filter(|load| load.is_ready()).count();
        assert!(ready <= 2 * 64, "{ready} of the background were decoded before");
        for load in join_all(background).await {
            load.unwrap();
        }
    });
}

/// Under any load of the foreground the background goes on: its budget is its own.
#[test]
fn the_foreground_does_not_starve_the_background() {
    on_each_backend(|_| async {
        let cache = cache_of(0).await;
        let object = Object::new();
        object.is_shut.set(true);
        let foreground: Vec<_> = (0..1_000).map(|n| object.load(&cache, n * 1_000)).collect();
        let warm_up = object.ask(&cache, Ask { reads: ReadClass::WarmUp, ..ask(20_000_500) });
        until(|| cache.stats().plan.remote[ReadClass::WarmUp as usize].in_flight == 1).await;
        object.is_shut.set(false);
        warm_up.await.unwrap();
        drop(foreground);
    });
}

/// A batch of thousands, then one block of somebody else: a turn of the batch may leave before it, not the batch.
#[test]
fn a_large_batch_lets_others_pass() {
    on_each_backend(|_| async {
        let cache = cache_of(0).await;
        let object = Object::new();
        object.is_shut.set(true);
        let batch: Vec<_> = (0..4_000u32)
            .map(|n| object.ask(&cache, Ask { in_batch: n, ..ask(u64::from(n) * 1_000) }))
            .collect();
        until(|| object.reads() >= 64).await;
        let in_flight = object.reads();
        let single = object.load(&cache, 10_000_000);
        object.is_shut.set(false);
        single.await.unwrap();
        // What was in flight had to end before, and may have let as many others go.
        let (ended, in_flight) = (object.ended.get(), in_flight as u64);
        assert!(ended <= 2 * in_flight + 16, "{ended} reads ended before it, {in_flight} were in flight");
        for load in join_all(batch).await {
            load.unwrap();
        }
    });
}

/// Somebody waits for what was only to be warmed up: it leaves with the foreground, once.
#[test]
fn a_block_that_becomes_urgent_leaves_its_line() {
    on_each_backend(|_| async {
        let cache = cache_of(0).await;
        let object = Object::new();
        object.is_shut.set(true);
        let warm_up: Vec<_> = (0..500u64)
            .map(|n| object.ask(&cache, Ask { reads: ReadClass::WarmUp, ..ask(n * 1_000) }))
            .collect();
        until(|| object.reads() >= 4).await;
        let before = object.reads();
        let urgent = object.load(&cache, 400_000);
        until(|| object.reads() == before + 1).await;
        assert_eq!(cache.stats().loads.shared, 1);
        object.is_shut.set(false);
        urgent.await.unwrap();
        for load in join_all(warm_up).await {
            load.unwrap();
        }
        assert_eq!(object.reads(), 500, "each block once");
    });
}

/// Callers come, give up at any moment, and the cache is evicted and emptied meanwhile: who stays gets the right bytes.
#[test]
fn dropped_anywhere_with_evictions_between() {
    on_each_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let options = CacheOptions { memory_bytes: 40_000, ..ssd_only(&dir.path().join("cache"), 2_000_000) };
        let cache = Cache::open(options).await.unwrap();
        let object = Object::new();
        let below = |n: u64| aquifer_io::random_u64() % n;
        for _ in 0..400 {
            let mut gather = LoadSet::default();
            let mut singles = Vec::new();
            for n in 0..below(40) {
                let reads = ReadClass::ALL[usize::try_from(below(4)).unwrap()];
                let asked = Ask { reads, in_batch: u32::try_from(n).unwrap(), ..ask(below(200)) };
                let load = object.ask(&cache, asked);
                if below(3) == 0 {
                    gather.add(load);
                } else {
                    singles.push(load);
                }
            }
            for _ in 0..below(6) {
                yield_now().await;
            }
            if below(4) == 0 {
                cache.remove(&ask(below(200)).key);
            }
            singles.truncate(usize::try_from(below(30)).unwrap());
            if below(2) == 0 {
                while let Some(done) = gather.next().await {
                    done.result.unwrap();
                }
            }
            for load in singles {
                load.await.unwrap();
            }
        }
        until(|| cache.stats().loads.in_flight == 0).await;
        let plan = cache.stats().plan;
        assert_eq!((plan.ssd_all().in_flight, plan.remote_all().in_flight), (0, 0));
        assert!(plan.ssd_all().requests > 0, "{plan:?}");
        assert_eq!(cache.stats().ssd.bad_entries, 0);
    });
}

/// A decoder that panics ends its own flight; its neighbours in the same read have their blocks.
#[test]
fn a_decoder_that_panics_harms_no_other() {
    let options = aquifer_io::ExecutorOptions::default();
    let thread = aquifer_io::spawn_executor(options, || async {
        let cache = cache_of(8 << 20).await;
        let object = Object::new();
        let reader = object.reader.borrow().clone().unwrap();
        let bad = cache.get_or_load(ask(1), &reader, |_| panic!("a bug in the caller's decoder"));
        let good = object.load(&cache, 2);
        assert_eq!(bad.await, Err(LoadError::Stopped));
        good.await.unwrap();
        assert_eq!(object.reads(), 1);
        object.load(&cache, 3).await.unwrap();
    });
    // The executor tells of the panic too.
    assert!(thread.unwrap().join().is_err());
}

/// Random single reads of the file at 64 in flight: one read a block, and no more bytes than its sectors.
#[test]
fn one_read_of_the_file_a_block_at_64_in_flight() {
    on_each_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(ssd_only(&dir.path().join("cache"), 64 << 20)).await.unwrap();
        let object = Object::new();
        for block in 0..4_000 {
            cache.insert(Class::Data, ask(block).key, &bytes(ask(block).block()), None);
            if block % 100 == 99 {
                written(&cache).await;
            }
        }
        let before = cache.stats().ssd;
        let mut asked = 0;
        while asked < 4_000 {
            let loads: Vec<_> = (0..64).map(|n| object.load(&cache, (asked + n) * 1_597 % 4_000)).collect();
            asked += 64;
            for load in join_all(loads).await {
                load.unwrap();
            }
        }
        let after = cache.stats();
        let read = after.plan.ssd_all();
        assert_eq!(object.reads(), 0, "nothing from the object");
        assert!(read.requests <= read.blocks && after.ssd.reads - before.reads == read.requests);
        assert!(read.read_amplification().unwrap() < 2.3, "{read:?}");
    });
}

/// A scan reads ten times what memory holds. At most a tenth of the hot set leaves.
#[test]
fn a_scan_does_not_evict_the_hot_set() {
    on_each_backend(|_| async {
        let cache = cache_of(2 << 20).await;
        let object = Object::new();
        const HOT: u64 = 200;
        for _ in 0..4 {
            for block in 0..HOT {
                object.load(&cache, block).await.unwrap();
            }
        }
        let is_kept = |block: &u64| cache.get(Class::Data, &ask(*block).key).is_some();
        assert_eq!((0..HOT).filter(is_kept).count(), 200);
        for from in (1_000..6_000u64).step_by(50) {
            let ahead = |block| object.ask(&cache, Ask { reads: ReadClass::ReadAhead, ..ask(block) });
            for load in join_all((from..from + 50).map(ahead)).await {
                load.unwrap();
            }
        }
        let kept = (0..HOT).filter(is_kept).count();
        assert!(kept >= 180, "{kept} of 200 hot blocks are left");
        assert_eq!(cache.stats().plan.remote[ReadClass::ReadAhead as usize].blocks, 5_000);
    });
}

/// Memory of a cache that holds about ten blocks, and no more of what is fetched ahead: nothing is pushed out for it. Who asks for a
/// block that is on its way has it kept as any other.
#[test]
fn what_is_fetched_ahead_takes_free_room_only_unless_somebody_asks_for_it() {
    on_each_backend(|_| async {
        let cache = cache_of(10 * 4500).await;
        let object = Object::new();
        let ahead = |block: u64| Ask { reads: ReadClass::WarmUp, ..ask(block) };
        for block in 0..40 {
            object.ask(&cache, ahead(block)).await.unwrap();
        }
        let stats = cache.stats().memory.data;
        assert!((8..=10).contains(&stats.entries) && stats.evictions == 0, "{stats:?}");
        assert!((0..8).all(|block| cache.holds(Class::Data, &ask(block).key)));
        assert!(cache.room_bytes(Class::Data) < 4500);
        // They are among those that have returned.
        let mut seen = 0;
        let mut next = Some(0);
        while let Some(from) = next {
            next = cache.look_over_memory(Class::Data, from, 3, |key, heat, _| {
                assert!(key.offset < 10 * u64::from(BLOCK_BYTES) && heat == 2, "{key:?} {heat}");
                seen += 1;
            });
        }
        assert_eq!(seen, stats.entries);
        object.is_shut.set(true);
        let (warming, wanted) = (object.ask(&cache, ahead(100)), object.ask(&cache, ahead(102)));
        yield_now().await;
        let asked = object.load(&cache, 102);
        object.is_shut.set(false);
        join_all([warming, wanted, asked]).await.into_iter().for_each(|block| drop(block.unwrap()));
        assert!(!cache.holds(Class::Data, &ask(100).key) && cache.holds(Class::Data, &ask(102).key));
        // Without any memory there is room for nothing, and a block comes all the same.
        cache.set_memory_bytes(0);
        assert_eq!((cache.room_bytes(Class::Data), cache.ssd_room_bytes()), (0, 0));
        object.ask(&cache, ahead(7)).await.unwrap();
        let key = CacheKey { object: 7, offset: 0, bytes: 4 };
        let kept = cache.keep_ahead(&Ask::new(Class::Data, key), Block(Rc::from([0; 4])));
        assert!(!kept && !cache.offer_ahead(Class::Data, key, &[0; 4]).await);
    });
}
