//! The SSD tier through a real file.

use crate::common::{
    Block, Counter, RawBlock, check, data, key, load, object, on_each_backend, ssd_only, written,
};
use aquifer_cache::{Ask, Cache, CacheOptions, Class, Tier};
use aquifer_io::yield_now;
use futures_util::future::join_all;
use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Puts `range` in and waits for the tier whenever it is behind.
async fn fill(cache: &Cache<Block>, range: std::ops::Range<u64>) {
    for n in range {
        for _ in 0..1_000 {
            let before = cache.stats().ssd.rejections.behind;
            cache.insert(Class::Data, key(n), &data(n), None);
            if cache.stats().ssd.rejections.behind == before {
                break;
            }
            yield_now().await;
        }
    }
    written(cache).await;
}

/// Changes bytes of the file, which the cache has open.
fn overwrite(path: &Path, offset: u64, change: impl Fn(&mut [u8]), bytes: usize) {
    let mut file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut buffer = vec![0; bytes];
    file.seek(SeekFrom::Start(offset)).unwrap();
    file.read_exact(&mut buffer).unwrap();
    change(&mut buffer);
    file.seek(SeekFrom::Start(offset)).unwrap();
    file.write_all(&buffer).unwrap();
    file.sync_all().unwrap();
}

#[test]
fn one_read_a_hit_and_nothing_from_remote() {
    on_each_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(ssd_only(&dir.path().join("cache"), 8 << 20)).await.unwrap();
        let fetches = Counter::default();
        fill(&cache, 0..1000).await;
        let before = cache.stats().ssd;
        assert_eq!((before.tier.data.entries, before.reads), (1000, 0));
        let loads: Vec<_> = (0..1000).map(|n| load(&cache, n, &fetches)).collect();
        for (n, block) in (0..).zip(join_all(loads).await) {
            assert_eq!(block.unwrap().0[..], data(n)[..]);
        }
        let after = cache.stats().ssd;
        assert_eq!(fetches.get(), 0);
        assert_eq!((after.tier.data.hits, after.tier.data.misses), (1000, 0));
        // Neighbours in the file share a read, and no block is read twice.
        let read = cache.stats().plan.ssd_all();
        assert_eq!((read.blocks + after.buffer_hits, read.requests), (1000, after.reads));
        assert!(read.blocks > 700 && read.requests * 4 < read.blocks, "{read:?}");
        assert!(read.read_amplification().unwrap() < 1.5, "{read:?}");
        // One at a time, far apart: one read each.
        for n in (0..600).step_by(60) {
            check(&cache, n, &fetches).await;
        }
        assert_eq!(cache.stats().ssd.reads, after.reads + 10);
        // 512 B packing: less than a sector and its header lost an entry, if the device's sectors are that small.
        let bytes: u64 = (0..1000).map(|n| u64::from(key(n).bytes)).sum();
        assert!(after.tier.data.bytes < bytes + 1000 * 568, "{} for {bytes}", after.tier.data.bytes);
        assert!(after.written_bytes >= after.tier.data.bytes - (1 << 20));
        cache.close().await;
    });
}

#[test]
fn what_was_fetched_is_read_from_the_ssd_next_time() {
    on_each_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(ssd_only(&dir.path().join("cache"), 8 << 20)).await.unwrap();
        let fetches = Counter::default();
        for round in 0..3 {
            for n in 0..300 {
                check(&cache, n, &fetches).await;
            }
            assert_eq!(fetches.get(), 300, "round {round}");
        }
    });
}

#[test]
fn entries_in_the_write_buffer_answer_at_once() {
    on_each_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(ssd_only(&dir.path().join("cache"), 8 << 20)).await.unwrap();
        let fetches = Counter::default();
        for n in 0..400 {
            cache.insert(Class::Data, key(n), &data(n), None);
            let block = load(&cache, n, &fetches);
            assert!(block.is_ready(), "nothing was written yet, as nobody has waited");
            assert_eq!(block.await.unwrap().0[..], data(n)[..]);
        }
        let stats = cache.stats().ssd;
        assert_eq!((stats.buffer_hits, stats.reads, fetches.get()), (400, 0, 0));
        assert!(stats.pending_bytes <= 4 << 20);
    });
}

#[test]
fn a_writer_that_is_behind_rejects() {
    on_each_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::<Block>::open(ssd_only(&dir.path().join("cache"), 64 << 20)).await.unwrap();
        for n in 0..3000 {
            cache.insert(Class::Data, key(n), &data(n), None);
            assert!(cache.stats().ssd.pending_bytes <= 4 << 20);
        }
        let stats = cache.stats().ssd.tier.data;
        assert!(stats.rejections > 1000 && stats.inserts > 800, "{stats:?}");
        assert_eq!(stats.rejections + stats.inserts, 3000);
        written(&cache).await;
        cache.insert(Class::Data, key(4000), &data(4000), None);
        assert_eq!(cache.stats().ssd.tier.data.inserts, stats.inserts + 1);
        // An entry that fits no buffer is rejected, too.
        cache.insert(Class::Data, key(4001), &vec![0; 3 << 20], None);
        assert_eq!(cache.stats().ssd.tier.data.rejections, stats.rejections + 1);
    });
}

#[test]
fn the_file_takes_what_it_may_and_no_more() {
    on_each_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache");
        // An older, larger file of something else is overwritten.
        fs::write(&path, vec![7; 3 << 20]).unwrap();
        for disk_bytes in [2_000_000, 1_000_000, 300_000, 77_843] {
            let cache = Cache::<Block>::open(ssd_only(&path, disk_bytes)).await.unwrap();
            fill(&cache, 0..600).await;
            let stats = cache.stats().ssd;
            assert_eq!(stats.off_reason, None);
            let meta = fs::metadata(&path).unwrap();
            assert!(meta.len() <= disk_bytes && meta.blocks() * 512 <= disk_bytes, "{disk_bytes}: {meta:?}");
            assert_eq!(meta.len(), stats.file_bytes);
            assert!(stats.tier.bytes() <= disk_bytes);
            assert!(stats.tier.data.entries > 0 && stats.tier.data.evictions > 0, "{stats:?}");
            cache.close().await;
        }
    });
}

#[test]
fn no_budget_no_file() {
    on_each_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache");
        let cache = Cache::open(ssd_only(&path, 0)).await.unwrap();
        check(&cache, 1, &Counter::default()).await;
        assert_eq!(cache.stats().ssd, aquifer_cache::SsdStats::default());
        drop(cache);
        let cache = Cache::open(ssd_only(&path, 77_842)).await.unwrap();
        check(&cache, 1, &Counter::default()).await;
        let reason = cache.stats().ssd.off_reason.unwrap();
        assert!(reason.contains("77843"), "{reason}");
        assert!(!path.exists());
    });
}

#[test]
fn flipped_bytes_are_misses_and_heal() {
    on_each_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache");
        let cache = Cache::open(ssd_only(&path, 8 << 20)).await.unwrap();
        let fetches = Counter::default();
        fill(&cache, 0..700).await;
        let size = cache.stats().ssd.file_bytes;
        // A bit of every third sector of the whole file, superblock included.
        overwrite(
            &path,
            0,
            |bytes| {
                for sector in bytes.chunks_mut(512).step_by(3) {
                    sector[17] ^= 4;
                }
            },
            usize::try_from(size).unwrap(),
        );
        for n in 0..700 {
            check(&cache, n, &fetches).await;
        }
        let bad = cache.stats().ssd.bad_entries;
        assert!(bad > 300, "{bad}");
        assert_eq!(fetches.get(), bad, "each bad entry was fetched, once");
        written(&cache).await;
        for n in 0..700 {
            check(&cache, n, &fetches).await;
        }
        assert_eq!((fetches.get(), cache.stats().ssd.bad_entries), (bad, bad), "healed");
        assert_eq!(cache.stats().ssd.off_reason, None);
    });
}

#[test]
fn regions_exchanged_underneath_are_misses() {
    // A misdirected write: intact entries at the wrong place, of another region.
    on_each_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache");
        let cache = Cache::open(ssd_only(&path, 13_000 + (4 << 20))).await.unwrap();
        let fetches = Counter::default();
        fill(&cache, 0..800).await;
        let size = usize::try_from(cache.stats().ssd.file_bytes).unwrap();
        overwrite(&path, 0, |bytes| bytes[4096..].rotate_left(2 << 20), size);
        for n in 0..800 {
            check(&cache, n, &fetches).await;
        }
        let stats = cache.stats().ssd;
        assert!(stats.bad_entries > 300 && fetches.get() >= stats.bad_entries, "{stats:?}");
    });
}

#[test]
fn bytes_with_good_checksums_that_do_not_decode_come_from_remote() {
    on_each_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(ssd_only(&dir.path().join("cache"), 8 << 20)).await.unwrap();
        for buffered in [true, false] {
            cache.insert(Class::Data, key(1), b"written by somebody with another idea of blocks", None);
            if !buffered {
                fill(&cache, 100..800).await;
            }
            let block =
                cache.get_or_load(Ask::new(Class::Data, key(1)), &object(1, &Counter::default()), |raw| {
                    if *raw == data(1) {
                        Ok(Block(raw.to_vec().into()))
                    } else {
                        Err("not a block".to_owned())
                    }
                });
            assert_eq!(block.await.unwrap().0[..], data(1)[..]);
            assert_eq!(cache.stats().ssd.bad_entries, if buffered { 1 } else { 2 });
            check(&cache, 1, &Counter::default()).await;
            cache.remove(&key(1));
        }
    });
}

#[test]
fn a_file_cut_short_underneath_switches_the_tier_off_and_work_goes_on() {
    on_each_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache");
        let cache = Cache::open(ssd_only(&path, 8 << 20)).await.unwrap();
        let fetches = Counter::default();
        fill(&cache, 0..700).await;
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(100_000).unwrap();
        let loads: Vec<_> = (0..1000).map(|n| load(&cache, n, &fetches)).collect();
        for (n, block) in (0..).zip(join_all(loads).await) {
            assert_eq!(block.unwrap().0[..], data(n)[..]);
        }
        let stats = cache.stats().ssd;
        let reason = stats.off_reason.unwrap();
        assert!(reason.starts_with("read failed: "), "{reason}");
        assert_eq!((stats.tier.bytes(), stats.file_bytes, stats.index_bytes), (0, 0, 0));
        assert!(stats.tier.data.inserts >= 700, "what was counted stays");
        check(&cache, 2000, &fetches).await;
        cache.close().await;
    });
}

#[test]
fn a_file_removed_underneath_does_no_harm() {
    on_each_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache");
        let cache = Cache::open(ssd_only(&path, 8 << 20)).await.unwrap();
        fill(&cache, 0..300).await;
        fs::remove_file(&path).unwrap();
        let fetches = Counter::default();
        for n in 0..300 {
            check(&cache, n, &fetches).await;
        }
        assert_eq!(fetches.get(), 0);
    });
}

#[test]
fn a_path_that_is_no_file_switches_the_tier_off() {
    on_each_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let paths = [
            (dir.path().to_owned(), "open failed: "),
            (dir.path().join("no such folder/cache"), "open failed: "),
            (Path::new("/dev/full").to_owned(), "could not reserve "),
        ];
        for (path, expected) in paths {
            let cache = Cache::open(ssd_only(&path, 8 << 20)).await.unwrap();
            let reason = cache.stats().ssd.off_reason.unwrap();
            assert!(reason.starts_with(expected), "{reason}");
            let fetches = Counter::default();
            check(&cache, 1, &fetches).await;
            check(&cache, 1, &fetches).await;
            assert_eq!(fetches.get(), 2);
            cache.close().await;
        }
        assert!(dir.path().is_dir() && Path::new("/dev/full").exists());
    });
}

#[test]
fn a_full_disk_switches_the_tier_off() {
    // tmpfs refuses at once what is larger than itself; elsewhere the disk would really fill.
    let shm = Path::new("/dev/shm");
    let is_tmpfs = fs::read_to_string("/proc/mounts").is_ok_and(|mounts| mounts.contains(" /dev/shm tmpfs "));
    if !is_tmpfs || tempfile::tempdir_in(shm).is_err() {
        eprintln!("not tested: /dev/shm is no writable tmpfs");
        return;
    }
    on_each_backend(|_| async {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let path = dir.path().join("cache");
        let cache = Cache::open(ssd_only(&path, 2 << 40)).await.unwrap();
        let reason = cache.stats().ssd.off_reason.unwrap();
        assert!(reason.starts_with("could not reserve "), "{reason}");
        assert_eq!(fs::metadata(&path).map_or(0, |meta| meta.blocks()), 0, "nothing is left allocated");
        check(&cache, 1, &Counter::default()).await;
    });
}

#[test]
fn what_leaves_memory_is_offered_once_more() {
    on_each_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let options = CacheOptions {
            memory_bytes: 1 << 20,
            write_buffer_bytes: 64 << 10,
            ..ssd_only(&dir.path().join("cache"), 8 << 20)
        };
        let cache = Cache::open(options).await.unwrap();
        for n in 0..100 {
            cache.insert(Class::Data, key(n), &data(n), Some(RawBlock(data(n))));
        }
        let first = cache.stats().ssd.tier.data;
        assert!(first.inserts > 5 && first.rejections > 50, "{first:?}");
        for memory_bytes in (0..100).rev().map(|step| step * 5_000) {
            written(&cache).await;
            cache.set_memory_bytes(memory_bytes);
        }
        let stats = cache.stats();
        assert_eq!((stats.memory.data.entries, stats.memory.data.evictions), (0, 100));
        assert_eq!(stats.ssd.tier.data.entries, 100, "now all are there, and none twice");
        assert_eq!(stats.ssd.tier.data.inserts, 100);
    });
}

#[test]
fn closing_and_dropping_while_busy() {
    on_each_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache");
        for round in 0..10 {
            let cache = Cache::open(ssd_only(&path, 1 << 20)).await.unwrap();
            let fetches = Counter::default();
            for n in 0..200 {
                cache.insert(Class::Data, key(n), &data(n), None);
            }
            for _ in 0..round {
                yield_now().await;
            }
            let loads: Vec<_> = (0..250).map(|n| load(&cache, n, &fetches)).collect();
            for _ in 0..round {
                yield_now().await;
            }
            if round % 2 == 0 {
                cache.close().await;
            } else {
                drop(cache);
            }
            for (n, block) in (0..).zip(join_all(loads).await) {
                assert_eq!(block.unwrap().0[..], data(n)[..]);
            }
        }
    });
}

#[test]
fn a_load_tells_where_its_block_came_from() {
    on_each_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(ssd_only(&dir.path().join("cache"), 8 << 20)).await.unwrap();
        cache.insert(Class::Data, key(1), &data(1), None);
        fill(&cache, 100..800).await;
        for (n, tier) in [(1, Tier::Ssd), (2, Tier::Remote)] {
            let mut load = load(&cache, n, &Counter::default());
            assert_eq!((&mut load).await.unwrap().0[..], data(n)[..]);
            assert_eq!(load.tier(), tier);
        }
    });
}
