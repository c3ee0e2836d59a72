//! The tier's decisions against a model, on a disk that is a vector, with every order of reads and writes.

use super::directory::Trailer;
use super::entry::SsdEntry;
use super::format::{BadEntry, Entry, entry_data};
use super::index::Index;
use super::layout::Layout;
use super::offer::Offer;
use super::origin::Origin;
use super::tier::{Lookup, Tier};
use crate::key::{CacheKey, Class};
use crate::rejection::Rejection;
use std::collections::HashSet;

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// Keys of different lengths; the bytes under a key never change.
fn key(n: u64) -> CacheKey {
    CacheKey { object: n % 7, offset: n * 100_000, bytes: (n * 977 % 20_000) as u32 }
}

fn class(n: u64) -> Class {
    if n.is_multiple_of(5) { Class::Meta } else { Class::Data }
}

fn data(n: u64) -> Vec<u8> {
    let key = key(n);
    (0..u64::from(key.bytes)).map(|at| (n * 31 + at * 7 + at / 256) as u8).collect()
}

/// A file, one write in flight, and any number of reads.
struct Disk {
    bytes: Vec<u8>,
    writing: Option<(usize, Vec<u8>)>,
    reading: Vec<(u64, SsdEntry, Vec<u8>)>,
}

impl Disk {
    fn new(bytes: u64) -> Self {
        Self { bytes: vec![0; bytes as usize], writing: None, reading: Vec::new() }
    }

    fn begin_write(&mut self, tier: &mut Tier) {
        if self.writing.is_none()
            && let Some(chunk) = tier.buffer.oldest()
        {
            let mut bytes = vec![0xee; chunk.write_bytes()];
            chunk.copy_to(&mut bytes);
            assert_eq!(chunk.offset % 4096, 0);
            self.writing = Some((chunk.offset as usize, bytes));
        }
    }

    fn end_write(&mut self, tier: &mut Tier) {
        if let Some((at, bytes)) = self.writing.take() {
            self.bytes[at..at + bytes.len()].copy_from_slice(&bytes);
            tier.buffer.written(tier.layout.chunk_bytes);
        }
    }

    /// Writes all that waits.
    fn write_all(&mut self, tier: &mut Tier) {
        tier.seal();
        self.write_all_full(tier);
    }

    /// Writes the chunks that are full.
    fn write_all_full(&mut self, tier: &mut Tier) {
        while tier.buffer.oldest().is_some() {
            self.begin_write(tier);
            self.end_write(tier);
        }
    }

    /// Empties a region as the emptier does, with up to `kept_max` of its entries kept.
    fn empty(&mut self, tier: &mut Tier, kept_max: usize) {
        let Some(victim) = tier.wants_clean().then(|| tier.victim()).flatten() else { return };
        let layout = tier.layout;
        let end = (layout.region_offset(victim.region) + layout.region_bytes) as usize;
        let begin = layout.region_offset(victim.region) as usize;
        let region = &self.bytes[begin..end];
        let trailer = Trailer::parse(region).expect("it was sealed");
        assert_eq!((trailer.round, trailer.region), (victim.round, victim.region));
        let mut kept = 0;
        for record in trailer.records(region).expect("and written") {
            let Some(spot) = tier.live(victim.region, &record) else { continue };
            let entry = Entry::parse(&self.bytes[spot.begin() as usize..]).expect("as written");
            assert_eq!((entry.key.hash64(), entry.class), (record.hash, spot.class));
            let is_kept = kept < kept_max && spot.heat > 0;
            if is_kept && tier.keep(&entry.key, entry.data().expect("as written"), spot).is_ok() {
                kept += 1;
            } else {
                assert!(tier.evict(record.hash, spot.sector).is_some());
            }
        }
        tier.emptied(victim.region);
    }

    /// The first half of a read may be older than its second half, and a write may be half done.
    fn begin_read(&mut self, n: u64, read: SsdEntry, random: &mut Random) {
        if let Some((at, bytes)) = &self.writing {
            let half = random.below(bytes.len() as u64) as usize;
            self.bytes[*at..*at + half].copy_from_slice(&bytes[..half]);
        }
        let (from, to) = Self::span(&read);
        self.reading.push((n, read, self.bytes[from..from + (to - from) / 2].to_vec()));
    }

    fn span(read: &SsdEntry) -> (usize, usize) {
        let from = read.spot.begin() as usize;
        (from, from + read.spot.bytes())
    }

    /// Whether the entry read back; it must, for its region was held.
    fn end_read(&mut self, tier: &mut Tier, at: usize) {
        let (n, read, mut bytes) = self.reading.swap_remove(at);
        let (from, to) = Self::span(&read);
        bytes.extend_from_slice(&self.bytes[from + bytes.len()..to]);
        assert!(tier.is_current(&read), "a region was begun anew while somebody read from it");
        let found =
            entry_data(&bytes, read.round, &key(n)).expect("an entry of the current generation reads back");
        assert!(found == data(n), "key {n}: other bytes than were put there");
        tier.index.touch(key(n).hash64(), read.spot.sector);
    }
}

fn tier(layout: Layout, life: u64) -> Tier {
    Tier::new(layout, life, false, (Vec::new(), Index::new(), 0))
}

fn offer(tier: &mut Tier, n: u64) -> Offer {
    tier.offer(class(n), &key(n), &data(n), Origin::Read)
}

fn run(seed: u64, disk_bytes: u64, region_bytes: u64, write_buffer_bytes: u64) {
    let mut random = Random(seed);
    let layout = Layout::new(disk_bytes, region_bytes, write_buffer_bytes).unwrap();
    let mut tier = tier(layout, 99);
    let mut disk = Disk::new(layout.file_bytes());
    let mut offered = HashSet::new();
    let (mut taken, mut hits) = (0, 0);
    for _ in 0..6_000 {
        let n = random.below(400);
        match random.below(12) {
            0..4 => {
                offered.insert(n);
                if offer(&mut tier, n) == Offer::Taken {
                    taken += 1;
                }
            }
            4..7 => match tier.lookup(Class::Data, &key(n), 512) {
                Lookup::Miss => {}
                Lookup::Buffered(found, _) => {
                    assert!(offered.contains(&n) && found == data(n), "key {n}");
                    hits += 1;
                }
                Lookup::OnDisk(read) => {
                    assert!(offered.contains(&n));
                    disk.begin_read(n, read, &mut random);
                }
            },
            7 | 8 if !disk.reading.is_empty() => {
                let at = random.below(disk.reading.len() as u64) as usize;
                disk.end_read(&mut tier, at);
                hits += 1;
            }
            9 => disk.begin_write(&mut tier),
            10 => {
                disk.end_write(&mut tier);
                disk.empty(&mut tier, 3);
            }
            11 if random.below(10) == 0 => {
                tier.remove_key(&key(n));
                assert!(matches!(tier.lookup(Class::Data, &key(n), 512), Lookup::Miss));
            }
            _ => {}
        }
        assert!(tier.buffer.pending_bytes() <= layout.pending_bytes_max);
    }
    let there =
        (0..400).filter(|&n| !matches!(tier.lookup(Class::Data, &key(n), 512), Lookup::Miss)).count() as u64;
    let stats = tier.stats;
    assert_eq!(there, stats.data.entries + stats.meta.entries);
    assert!(stats.bytes() <= disk_bytes);
    assert_eq!(taken, stats.data.inserts + stats.meta.inserts);
    assert!(hits > 30, "{hits} hits: the test does not test");
}

#[test]
fn model_whatever_the_order_of_reads_and_writes_no_read_lies() {
    for seed in 0..6 {
        // Four regions that are begun anew all the time; and a file that holds most.
        run(seed, 13_000 + (4 << 16), 64 << 10, 64 << 10);
        run(seed, 13_000 + (4 << 16), 64 << 10, 1 << 20);
        run(seed, 2 << 20, 128 << 10, 256 << 10);
        run(seed, 8 << 20, 1 << 20, 4 << 20);
    }
}

#[test]
fn regions_are_begun_anew_oldest_first_and_what_is_hot_is_kept() {
    let layout = Layout::new(13_000 + 4 * 65_536, 64 << 10, 4 << 20).unwrap();
    let mut tier = tier(layout, 1);
    let mut disk = Disk::new(layout.file_bytes());
    let block = vec![7; 9_000];
    let key = |n| CacheKey { object: n, offset: 0, bytes: 9_000 };
    for n in 0..120 {
        assert_eq!(tier.offer(Class::Data, &key(n), &block, Origin::Read), Offer::Taken, "{n}");
        disk.write_all(&mut tier);
        // The first one is read again and again.
        if let Lookup::OnDisk(place) = tier.lookup(Class::Data, &key(0), 512) {
            tier.index.touch(key(0).hash64(), place.spot.sector);
        }
        disk.empty(&mut tier, 1);
        disk.write_all(&mut tier);
        let is_there = |tier: &mut Tier, n| !matches!(tier.lookup(Class::Data, &key(n), 512), Lookup::Miss);
        let left: Vec<u64> = (1..=n).filter(|&n| is_there(&mut tier, n)).collect();
        assert!(is_there(&mut tier, 0), "it is hot: {n}");
        assert!(
            left.is_sorted() && left.windows(2).all(|two| two[0] + 1 == two[1]),
            "oldest first: {left:?}"
        );
        assert!(n < 24 || left.len() >= 12, "{left:?}");
    }
    assert!(tier.stats.data.evictions > 75);
    assert_eq!(tier.stats.data.entries, tier.index.entries() as u64);
}

#[test]
fn a_region_that_is_read_from_is_not_begun_anew() {
    let layout = Layout::new(13_000 + 4 * 65_536, 64 << 10, 4 << 20).unwrap();
    let mut tier = tier(layout, 1);
    let mut disk = Disk::new(layout.file_bytes());
    assert_eq!(offer(&mut tier, 9), Offer::Taken);
    disk.write_all(&mut tier);
    let Lookup::OnDisk(place) = tier.lookup(Class::Data, &key(9), 512) else { panic!("on disk") };
    let mut rejected = 0;
    for n in 10..200 {
        rejected += u32::from(offer(&mut tier, n) == Offer::Rejected(Rejection::NoRegion));
        disk.write_all(&mut tier);
        disk.empty(&mut tier, 0);
        assert!(tier.is_current(&place));
    }
    assert!(rejected > 50, "{rejected}");
    let (from, to) = Disk::span(&place);
    assert_eq!(entry_data(&disk.bytes[from..to], place.round, &key(9)), Ok(&data(9)[..]));
    drop(place);
    assert_eq!(offer(&mut tier, 300), Offer::Taken, "and then it is");
}

#[test]
fn a_full_buffer_rejects_and_takes_again_after_the_write() {
    let layout = Layout::new(4 << 20, 1 << 20, 64 << 10).unwrap();
    let mut tier = tier(layout, 1);
    let mut disk = Disk::new(layout.file_bytes());
    let block = vec![1; 4_000];
    let key = |n| CacheKey { object: n, offset: 0, bytes: 4_000 };
    let put = |tier: &mut Tier, n| tier.offer(Class::Data, &key(n), &block, Origin::Read);
    let taken = (0..100).filter(|&n| put(&mut tier, n) == Offer::Taken).count();
    assert!((11..=16).contains(&taken), "{taken} entries of 4 KiB in a buffer of 64 KiB");
    assert_eq!(put(&mut tier, 98), Offer::Rejected(Rejection::Behind));
    assert_eq!(put(&mut tier, 0), Offer::Present);
    disk.write_all(&mut tier);
    assert_eq!(put(&mut tier, 99), Offer::Taken);
    let large = tier.offer(Class::Data, &key(100), &vec![0; 40_000], Origin::Read);
    assert_eq!(large, Offer::Rejected(Rejection::TooLarge), "larger than half the buffer");
}

#[test]
fn small_entries_share_sectors_tightly() {
    // 4 KiB rounding would take eight times as much.
    let layout = Layout::new(4 << 20, 1 << 20, 4 << 20).unwrap();
    let mut tier = tier(layout, 1);
    for n in 0..1_000 {
        let key = CacheKey { object: n, offset: 0, bytes: 400 };
        assert_eq!(tier.offer(Class::Data, &key, &[3; 400], Origin::Read), Offer::Taken);
    }
    // Header and data take 456 bytes, and as far as the next multiple of 32.
    let bytes = 1_000 * 480;
    assert!((bytes..bytes + 2 * 512).contains(&tier.stats.data.bytes), "{}", tier.stats.data.bytes);
    for n in 0..1_000 {
        let key = CacheKey { object: n, offset: 0, bytes: 400 };
        let is_found =
            matches!(tier.lookup(Class::Data, &key, 512), Lookup::Buffered(data, _) if data == [3; 400][..]);
        assert!(is_found, "{n}");
    }
}

#[test]
fn entries_of_one_sector_keep_their_region() {
    // Eight entries may begin in one sector, of which at most one is counted for it: their region is not clean before all of them are gone.
    let layout = Layout::new(13_000 + 4 * 65_536, 64 << 10, 64 << 10).unwrap();
    let mut tier = tier(layout, 1);
    let mut disk = Disk::new(layout.file_bytes());
    let key = |n| CacheKey { object: n, offset: 0, bytes: 8 };
    let mut next = 0;
    while tier.victim().is_none() {
        assert_eq!(tier.offer(Class::Data, &key(next), &[5; 8], Origin::Read), Offer::Taken);
        disk.write_all_full(&mut tier);
        next += 1;
    }
    // The second one, which begins within a sector that the first one owns, is all that stays.
    for n in 0..next {
        if n != 1 {
            tier.remove_unwritten(&key(n));
        }
    }
    tier.emptied(0);
    assert!(
        tier.regions
            .iter()
            .all(|region| region.generation != 1 || region.state != super::region::State::Clean)
    );
    tier.remove_unwritten(&key(1));
}

#[test]
fn an_entry_of_an_older_round_is_no_entry() {
    let layout = Layout::new(4 << 20, 1 << 20, 4 << 20).unwrap();
    let mut tier = tier(layout, 1);
    offer(&mut tier, 1);
    let mut disk = Disk::new(layout.file_bytes());
    for n in 3..200 {
        offer(&mut tier, n);
        disk.write_all(&mut tier);
    }
    let Lookup::OnDisk(mut read) = tier.lookup(Class::Data, &key(1), 512) else { panic!("on disk by now") };
    let (from, to) = Disk::span(&read);
    assert!(entry_data(&disk.bytes[from..to], read.round, &key(1)).is_ok());
    // The same key at the same place in another life of the file.
    read.round.life = 2;
    assert_eq!(entry_data(&disk.bytes[from..to], read.round, &key(1)), Err(BadEntry::Identity));
}

#[test]
fn more_and_fewer_regions() {
    let layout = Layout::new(4 << 20, 256 << 10, 1 << 20).unwrap();
    let mut tier = tier(layout, 1);
    let mut disk = Disk::new(64 << 20);
    let mut next = 0;
    for disk_bytes in [3 << 20, 16 << 20, 5 << 20, 1_300_000, 9 << 20] {
        for _ in 0..800 {
            next += 1;
            offer(&mut tier, next);
            disk.write_all(&mut tier);
            disk.empty(&mut tier, 2);
        }
        let layout = Layout::with_regions_of(disk_bytes, layout.region_bytes, 256 << 10, 1 << 20).unwrap();
        drop(tier.resize(layout));
        for table in 0..256 {
            tier.sweep(table, |region| region >= layout.regions);
        }
        disk.write_all(&mut tier);
        let mut found = 0;
        for n in 1..=next {
            if let Lookup::OnDisk(place) = tier.lookup(Class::Data, &key(n), 512) {
                let (from, to) = Disk::span(&place);
                assert!(to as u64 <= layout.index_offset());
                assert_eq!(entry_data(&disk.bytes[from..to], place.round, &key(n)), Ok(&data(n)[..]));
                found += 1;
            }
        }
        let entries = tier.stats.data.entries + tier.stats.meta.entries;
        assert_eq!((found, entries), (entries, tier.index.entries() as u64));
        assert!(found > 20, "{found}");
    }
}
