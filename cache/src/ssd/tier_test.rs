//! The tier's decisions against a model, on a disk that is a vector, with every order of reads and writes.

use super::format::{BadEntry, entry_data};
use super::layout::Layout;
use super::place::Place;
use super::tier::{Lookup, Offer, Tier};
use crate::key::{CacheKey, Class};
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
    reading: Vec<(u64, Place, Vec<u8>)>,
}

impl Disk {
    fn begin_write(&mut self, tier: &mut Tier) {
        if self.writing.is_none()
            && let Some(chunk) = tier.next_chunk()
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
            tier.written();
        }
    }

    /// The first half of a read may be older than its second half, and a write may be half done.
    fn begin_read(&mut self, n: u64, read: Place, random: &mut Random) {
        if let Some((at, bytes)) = &self.writing {
            let half = random.below(bytes.len() as u64) as usize;
            self.bytes[*at..*at + half].copy_from_slice(&bytes[..half]);
        }
        let (from, to) = Self::span(&read);
        self.reading.push((n, read, self.bytes[from..from + (to - from) / 2].to_vec()));
    }

    fn span(read: &Place) -> (usize, usize) {
        let from = read.spot.sector as usize * 512;
        (from, from + usize::from(read.spot.sectors) * 512)
    }

    fn end_read(&mut self, tier: &mut Tier, at: usize, look_at_generation: bool) -> Option<bool> {
        let (n, read, mut bytes) = self.reading.swap_remove(at);
        let (from, to) = Self::span(&read);
        bytes.extend_from_slice(&self.bytes[from + bytes.len()..to]);
        if look_at_generation && !tier.is_current(&read) {
            return None;
        }
        let current = tier.is_current(&read);
        match entry_data(&bytes, read.round, &key(n)) {
            Ok(found) => {
                assert!(found == data(n), "key {n}: other bytes than were put there");
                Some(true)
            }
            Err(_) => {
                tier.remove(key(n).hash64(), read.spot.sector);
                Some(!current)
            }
        }
    }
}

fn run(seed: u64, disk_bytes: u64, region_bytes: u64, write_buffer_bytes: u64) {
    let mut random = Random(seed);
    let layout = Layout::new(disk_bytes, region_bytes, write_buffer_bytes).unwrap();
    let mut tier = Tier::new(layout, 99);
    let mut disk = Disk { bytes: vec![0; disk_bytes as usize], writing: None, reading: Vec::new() };
    let mut offered = HashSet::new();
    let (mut taken, mut hits) = (0, 0);
    for _ in 0..6_000 {
        let n = random.below(400);
        match random.below(12) {
            0..4 => {
                offered.insert(n);
                if tier.offer(class(n), &key(n), &data(n)) == Offer::Taken {
                    taken += 1;
                }
            }
            4..7 => match tier.lookup(Class::Data, &key(n), 512) {
                Lookup::Miss => {}
                Lookup::Buffered(found) => {
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
                let careful = random.below(2) == 0;
                if let Some(good) = disk.end_read(&mut tier, at, careful) {
                    assert!(good, "an entry of the current generation did not read back");
                    hits += 1;
                }
            }
            9 => disk.begin_write(&mut tier),
            10 => disk.end_write(&mut tier),
            11 if random.below(10) == 0 => {
                tier.remove_key(&key(n));
                assert!(matches!(tier.lookup(Class::Data, &key(n), 512), Lookup::Miss));
            }
            _ => {}
        }
        assert!(tier.pending_bytes() <= layout.pending_bytes_max);
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
fn a_region_is_reused_oldest_first_and_its_entries_are_forgotten() {
    let layout = Layout::new(13_000 + 4 * 65_536, 64 << 10, 4 << 20).unwrap();
    let mut tier = Tier::new(layout, 1);
    let mut disk = Disk { bytes: vec![0; layout.file_bytes() as usize], writing: None, reading: Vec::new() };
    let big = vec![7; 60_000];
    let key = |n| CacheKey { object: n, offset: 0, bytes: 60_000 };
    for n in 0..10 {
        assert_eq!(tier.offer(Class::Data, &key(n), &big), Offer::Taken);
        disk.begin_write(&mut tier);
        disk.end_write(&mut tier);
        let left: Vec<u64> =
            (0..=n).filter(|&n| !matches!(tier.lookup(Class::Data, &key(n), 512), Lookup::Miss)).collect();
        assert_eq!(left, (n.saturating_sub(3)..=n).collect::<Vec<_>>());
    }
    assert_eq!(tier.stats.data.evictions, 6);
}

#[test]
fn a_full_buffer_rejects_and_takes_again_after_the_write() {
    let layout = Layout::new(4 << 20, 1 << 20, 64 << 10).unwrap();
    let mut tier = Tier::new(layout, 1);
    let mut disk = Disk { bytes: vec![0; 4 << 20], writing: None, reading: Vec::new() };
    let block = vec![1; 4_000];
    let key = |n| CacheKey { object: n, offset: 0, bytes: 4_000 };
    let taken = (0..100).filter(|&n| tier.offer(Class::Data, &key(n), &block) == Offer::Taken).count();
    assert!((12..=16).contains(&taken), "{taken} entries of 4 KiB in a buffer of 64 KiB");
    assert_eq!(tier.stats.data.rejections, 100 - taken as u64);
    assert_eq!(tier.offer(Class::Data, &key(0), &block), Offer::Present);
    disk.begin_write(&mut tier);
    disk.end_write(&mut tier);
    assert_eq!(tier.offer(Class::Data, &key(99), &block), Offer::Taken);
    assert_eq!(
        tier.offer(Class::Data, &key(100), &vec![0; 40_000]),
        Offer::Rejected,
        "larger than half the buffer"
    );
}

#[test]
fn small_entries_share_sectors_tightly() {
    // 4 KiB rounding would take eight times as much.
    let layout = Layout::new(4 << 20, 1 << 20, 4 << 20).unwrap();
    let mut tier = Tier::new(layout, 1);
    for n in 0..1_000 {
        assert_eq!(
            tier.offer(Class::Data, &CacheKey { object: n, offset: 0, bytes: 400 }, &[3; 400]),
            Offer::Taken
        );
    }
    assert_eq!(tier.stats.data.bytes, 512_000);
}

#[test]
fn an_entry_of_an_older_round_is_no_entry() {
    let layout = Layout::new(4 << 20, 1 << 20, 4 << 20).unwrap();
    let mut tier = Tier::new(layout, 1);
    tier.offer(Class::Data, &key(1), &data(1));
    let mut disk = Disk { bytes: vec![0; 4 << 20], writing: None, reading: Vec::new() };
    for n in 3..200 {
        tier.offer(Class::Data, &key(n), &data(n));
        disk.begin_write(&mut tier);
        disk.end_write(&mut tier);
    }
    let Lookup::OnDisk(mut read) = tier.lookup(Class::Data, &key(1), 512) else { panic!("on disk by now") };
    let (from, to) = Disk::span(&read);
    assert!(entry_data(&disk.bytes[from..to], read.round, &key(1)).is_ok());
    // The same key at the same place in another life of the file.
    read.round.life = 2;
    assert_eq!(entry_data(&disk.bytes[from..to], read.round, &key(1)), Err(BadEntry::Identity));
}
