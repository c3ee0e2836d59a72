//! The I/O of the tier where a real file cannot be made to fail from outside.

use super::admission::Admission;
use super::budget::WriteBudget;
use super::index::Index;
use super::layout::Layout;
use super::offer::Offer;
use super::shared::{Running, Shared};
use super::tier::{Lookup, Tier};
use super::{Origin, Source, Ssd};
use crate::key::{CacheKey, Class, ReadClass};
use crate::options::CacheOptions;
use aquifer_io::{ExecutorOptions, File, OpenOptions, spawn_executor, yield_now};
use std::rc::Rc;

fn key(n: u64) -> CacheKey {
    CacheKey { object: n, offset: 0, bytes: 5_000 }
}

fn tier() -> Tier {
    let layout = Layout::new(1 << 20, 256 << 10, 128 << 10).unwrap();
    Tier::new(layout, 1, false, (Vec::new(), Index::new(), 0))
}

#[test]
fn a_write_that_fails_switches_the_tier_off() {
    let thread = spawn_executor(ExecutorOptions::default(), || async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache");
        std::fs::write(&path, vec![0; 1 << 20]).unwrap();
        // Open for reading only: every write is refused.
        let open = OpenOptions { read: true, ..OpenOptions::default() };
        let file = Rc::new(File::open(&path, open).await.unwrap());
        let tier = tier();
        let shared = Rc::new(Shared::default());
        *shared.running.borrow_mut() = Some(Running {
            tier,
            admission: Admission::new(1 << 20, WriteBudget::new(0, 0, aquifer_io::now()), false),
            file,
            writing: false,
            flush_waits: false,
            emptying: false,
            snapshotting: false,
            snapshot_begun: 0,
            paused: false,
        });
        let ssd = Ssd { shared };
        for n in 0..20 {
            ssd.offer(Class::Data, &key(n), &[7; 5_000], Source::READ);
        }
        assert!(ssd.get_buffered(Class::Data, &key(0), ReadClass::Foreground).is_some());
        while ssd.stats().off_reason.is_none() {
            yield_now().await;
        }
        let stats = ssd.stats();
        assert!(stats.off_reason.unwrap().starts_with("write failed: "));
        assert_eq!((stats.tier.data.entries, stats.pending_bytes, stats.index_bytes), (0, 0, 0));
        assert!(stats.tier.data.inserts > 0);
        assert_eq!(ssd.get(Class::Data, &key(0)).await, None);
        ssd.offer(Class::Data, &key(0), &[7; 5_000], Source::READ);
        assert_eq!(ssd.get_buffered(Class::Data, &key(0), ReadClass::Foreground), None);
        ssd.close().await;
    });
    thread.unwrap().join().unwrap();
}

#[test]
fn a_chunk_that_does_not_fill_is_written_all_the_same() {
    // A store whose hot blocks fit one chunk left its cache file empty for ever, and kept the chunk in memory.
    let thread = spawn_executor(ExecutorOptions::default(), || async {
        let dir = tempfile::tempdir().unwrap();
        let options = CacheOptions {
            disk_bytes: 4 << 20,
            disk_path: Some(dir.path().join("cache")),
            ..CacheOptions::default()
        };
        let ssd = Ssd::open(&options).await;
        ssd.offer(Class::Data, &key(1), &[7; 5_000], Source::READ);
        assert!(ssd.get_buffered(Class::Data, &key(1), ReadClass::Foreground).is_some());
        while ssd.stats().pending_bytes > 0 {
            aquifer_io::sleep(std::time::Duration::from_millis(5)).await;
        }
        assert!(ssd.stats().written_bytes > 5_000);
        assert_eq!(ssd.get_buffered(Class::Data, &key(1), ReadClass::Foreground), None);
        assert_eq!(ssd.get(Class::Data, &key(1)).await.as_deref(), Some([7u8; 5_000].as_slice()));
        assert_eq!(ssd.stats().reads, 1);
        ssd.offer(Class::Data, &key(2), &[8; 5_000], Source::READ);
        assert!(ssd.get_buffered(Class::Data, &key(2), ReadClass::Foreground).is_some(), "and it goes on");
        ssd.close().await;
    });
    thread.unwrap().join().unwrap();
}

#[test]
fn reads_are_widened_to_the_alignment_of_the_file() {
    let mut tier = tier();
    for n in 0..20 {
        let block = vec![7; 700 + 300 * usize::try_from(n).unwrap()];
        assert_eq!(tier.offer(Class::Data, &key(n), &block, Origin::Read), Offer::Taken);
        tier.seal();
        while tier.buffer.oldest().is_some() {
            tier.buffer.written(0);
        }
    }
    let mut seen = 0;
    for (n, align) in (0..20).flat_map(|n| [1, 512, 4096].map(|align| (n, align))) {
        let Lookup::OnDisk(place) = tier.lookup(Class::Data, &key(n), align) else { continue };
        let (from, bytes) = (place.spot.begin(), place.spot.bytes());
        let align = align.max(512);
        assert!(place.offset().is_multiple_of(align as u64) && place.bytes().is_multiple_of(align));
        assert_eq!(place.offset() + place.skip() as u64, from);
        assert!(place.skip() + bytes <= place.bytes() && place.bytes() < bytes + 2 * align);
        seen += 1;
    }
    assert!(seen > 15);
}
