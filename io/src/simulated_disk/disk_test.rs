//! The disk against a plain byte array and the written crash rule, by random operations.
#![expect(clippy::cast_possible_truncation, reason = "test files are small")]

use std::collections::BTreeSet;
use std::path::Path;

use super::content::SECTOR;
use super::disk::Disk;
use super::image::DiskImage;
use crate::open_options::OpenOptions;

const CREATE: OpenOptions =
    OpenOptions { read: true, write: true, create: true, create_new: false, truncate: false, direct: false };

const SECTORS: usize = 24;

type Sector = [u8; SECTOR as usize];

/// A file as a byte array, and for each sector all that the crash rule lets it be.
struct Model {
    live: Vec<u8>,
    live_bytes_max: usize,
    possible: Vec<BTreeSet<Sector>>,
}

impl Model {
    fn new(live: Vec<u8>) -> Self {
        let mut model = Self { live_bytes_max: live.len(), live, possible: Vec::new() };
        model.sync();
        model
    }

    fn sector(bytes: &[u8], index: usize) -> Sector {
        let mut sector = [0; SECTOR as usize];
        let start = (index * sector.len()).min(bytes.len());
        let end = (start + sector.len()).min(bytes.len());
        sector[..end - start].copy_from_slice(&bytes[start..end]);
        sector
    }

    fn set(&mut self, live: Vec<u8>) {
        self.live_bytes_max = self.live_bytes_max.max(live.len());
        self.live = live;
    }

    fn write(&mut self, first: usize, bytes: &[u8]) {
        let start = first * SECTOR as usize;
        let mut live = self.live.clone();
        live.resize(live.len().max(start + bytes.len()), 0);
        live[start..start + bytes.len()].copy_from_slice(bytes);
        self.set(live);
        self.may_land(first, bytes);
    }

    fn may_land(&mut self, first: usize, bytes: &[u8]) {
        for (index, sector) in bytes.chunks(SECTOR as usize).enumerate() {
            self.possible[first + index].insert(sector.try_into().unwrap());
        }
    }

    fn zero(&mut self, start: usize, end: usize) {
        for (index, possible) in self.possible.iter_mut().enumerate() {
            let base = index * SECTOR as usize;
            let zeroed = |sector: &Sector| {
                let mut sector = *sector;
                for (place, byte) in sector.iter_mut().enumerate() {
                    if (start..end).contains(&(base + place)) {
                        *byte = 0;
                    }
                }
                sector
            };
            let more: Vec<Sector> = possible.iter().map(zeroed).collect();
            possible.extend(more);
        }
    }

    fn set_bytes(&mut self, bytes: usize) {
        let mut live = self.live.clone();
        live.resize(bytes, 0);
        self.set(live);
        self.zero(bytes, usize::MAX);
    }

    fn punch(&mut self, start: usize, end: usize) {
        let end = end.min(self.live.len());
        if start < end {
            self.live[start..end].fill(0);
        }
        self.zero(start, end.next_multiple_of(SECTOR as usize));
        // A part of a sector is overwritten with what else is live in it.
        for index in 0..SECTORS {
            let live = Self::sector(&self.live, index);
            self.possible[index].insert(live);
        }
    }

    fn sync(&mut self) {
        self.live_bytes_max = self.live.len();
        self.possible = (0..SECTORS).map(|index| BTreeSet::from([Self::sector(&self.live, index)])).collect();
    }

    fn check_crash(&self, found: &[u8]) {
        assert!(found.len() <= self.live_bytes_max, "longer than it ever was");
        for (index, possible) in self.possible.iter().enumerate() {
            assert!(possible.contains(&Self::sector(found, index)), "sector {index} was never that");
        }
    }
}

fn read_live(disk: &Disk, node: u64) -> Vec<u8> {
    let mut bytes = vec![0xEE; disk.bytes(node).unwrap() as usize];
    assert_eq!(disk.read(node, 0, &mut bytes).unwrap(), bytes.len());
    bytes
}

/// Live bytes are a byte array's; a crash leaves what the rule allows; what was synced and not touched is there.
#[test]
fn live_bytes_and_crash_images_match_a_byte_array() {
    let path = Path::new("/folder/file");
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..60 {
        let mut image = DiskImage::default();
        image.write(path, &[]);
        let mut disk = Disk::new(&image, 1 << 30);
        let mut node = disk.open(path, CREATE).unwrap();
        let mut model = Model::new(Vec::new());
        let mut in_flight: Vec<(u64, usize, Vec<u8>)> = Vec::new();
        for _ in 0..80 {
            let first = random.usize(..SECTORS);
            let bytes = (random.usize(..SECTORS - first) + 1) * SECTOR as usize;
            let place = random.usize(..SECTORS * SECTOR as usize);
            match random.u8(..12) {
                0..=4 => {
                    let bytes = vec![random.u8(1..); bytes];
                    let number = disk.begin_write(node, (first as u64) * SECTOR, &bytes).unwrap();
                    model.may_land(first, &bytes);
                    in_flight.push((number, first, bytes));
                }
                5 | 6 if !in_flight.is_empty() => {
                    let (number, first, bytes) = in_flight.swap_remove(random.usize(..in_flight.len()));
                    let moved = random.usize(1..=bytes.len() / SECTOR as usize) * SECTOR as usize;
                    disk.end_write(node, number, moved as u64);
                    model.write(first, &bytes[..moved]);
                }
                7 => {
                    disk.set_bytes(node, place as u64).unwrap();
                    model.set_bytes(place);
                }
                8 => {
                    disk.allocate(node, place as u64).unwrap();
                    let mut live = model.live.clone();
                    live.resize(live.len().max(place), 0);
                    model.set(live);
                }
                9 => {
                    let end = place + random.usize(..3000);
                    disk.punch(node, place as u64..end as u64).unwrap();
                    model.punch(place, end);
                }
                10 => {
                    let point = disk.sync_point(node).unwrap();
                    disk.sync(node, point).unwrap();
                    model.sync();
                    for (_, first, bytes) in &in_flight {
                        model.may_land(*first, bytes);
                    }
                }
                _ => {}
            }
            assert_eq!(read_live(&disk, node), model.live);
            let in_flight_end = in_flight.iter().map(|(_, first, bytes)| first * 512 + bytes.len()).max();
            model.live_bytes_max = model.live_bytes_max.max(in_flight_end.unwrap_or(0));
            for seed in 0..4 {
                let crashed = disk.image_after_crash(&mut fastrand::Rng::with_seed(seed));
                model.check_crash(&crashed.read(path).unwrap());
            }
            if random.u8(..20) == 0 {
                let crashed = disk.image_after_crash(&mut random);
                disk = Disk::new(&crashed, 1 << 30);
                node = disk.open(path, CREATE).unwrap();
                model = Model::new(crashed.read(path).unwrap());
                in_flight.clear();
                assert_eq!(read_live(&disk, node), model.live);
            }
        }
    }
}

/// Over many crashes of one torn write, everything that the rule allows does happen.
#[test]
fn a_crash_tears_writes_in_every_way() {
    let path = Path::new("/file");
    let mut image = DiskImage::default();
    image.write(path, &[1; 3 * SECTOR as usize]);
    let mut disk = Disk::new(&image, 1 << 30);
    let node = disk.open(path, CREATE).unwrap();
    let number = disk.begin_write(node, 0, &[2; 3 * SECTOR as usize]).unwrap();
    let outcomes = |disk: &Disk| {
        let outcome = |seed| {
            let bytes = disk.image_after_crash(&mut fastrand::Rng::with_seed(seed)).read(path).unwrap();
            [bytes[0], bytes[512], bytes[1024]]
        };
        (0..400).map(outcome).collect::<BTreeSet<_>>()
    };
    assert_eq!(outcomes(&disk).len(), 8, "in flight: every subset of its sectors");
    disk.end_write(node, number, 3 * SECTOR);
    assert_eq!(outcomes(&disk).len(), 8, "finished and not synced: the same");
    disk.sync(node, disk.sync_point(node).unwrap()).unwrap();
    assert_eq!(outcomes(&disk), BTreeSet::from([[2, 2, 2]]));
}

/// A sync that failed leaves what it likes; a later one that succeeds says nothing about those writes.
#[test]
fn after_a_failed_sync_a_later_one_proves_nothing() {
    let path = Path::new("/file");
    let mut image = DiskImage::default();
    image.write(path, &[1; SECTOR as usize]);
    let mut lost = 0;
    for seed in 0..100 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut disk = Disk::new(&image, 1 << 30);
        let node = disk.open(path, CREATE).unwrap();
        let number = disk.begin_write(node, 0, &[2; SECTOR as usize]).unwrap();
        disk.end_write(node, number, SECTOR);
        disk.sync_failed(node, disk.sync_point(node).unwrap(), &mut random);
        disk.sync(node, disk.sync_point(node).unwrap()).unwrap();
        assert_eq!(read_live(&disk, node)[0], 2, "still to be read");
        lost += u32::from(disk.image_after_crash(&mut random).read(path).unwrap()[0] == 1);
    }
    assert!((10..90).contains(&lost), "{lost} of 100");
}

fn names(image: &DiskImage) -> Vec<String> {
    image.files().map(|path| path.to_str().unwrap().to_owned()).collect()
}

/// Every image that crashes of this disk leave, as names.
fn crash_names(disk: &Disk) -> BTreeSet<Vec<String>> {
    (0..300).map(|seed| names(&disk.image_after_crash(&mut fastrand::Rng::with_seed(seed)))).collect()
}

fn sets(sets: &[&[&str]]) -> BTreeSet<Vec<String>> {
    sets.iter().map(|set| set.iter().map(|name| (*name).to_owned()).collect()).collect()
}

#[test]
fn names_are_durable_after_a_sync_of_the_folder_or_by_chance() {
    let mut disk = Disk::new(&DiskImage::default(), 1 << 30);
    disk.create_folders(Path::new("/a")).unwrap();
    disk.sync_folder(Path::new("/")).unwrap();
    let node = disk.open(Path::new("/a/x"), CREATE).unwrap();
    let number = disk.begin_write(node, 0, &[1; 512]).unwrap();
    disk.end_write(node, number, 512);
    disk.sync(node, disk.sync_point(node).unwrap()).unwrap();
    assert_eq!(crash_names(&disk), sets(&[&[], &["/a/x"]]), "the bytes are synced, the name is not");
    disk.sync_folder(Path::new("/a")).unwrap();
    assert_eq!(crash_names(&disk), sets(&[&["/a/x"]]));
    disk.rename(Path::new("/a/x"), Path::new("/a/y")).unwrap();
    assert_eq!(crash_names(&disk), sets(&[&["/a/x"], &["/a/y"]]), "old or new, never neither or both");
    disk.sync_folder(Path::new("/a")).unwrap();
    disk.remove_file(Path::new("/a/y")).unwrap();
    assert_eq!(crash_names(&disk), sets(&[&[], &["/a/y"]]));
    disk.sync_folder(Path::new("/a")).unwrap();
    assert_eq!(crash_names(&disk), sets(&[&[]]));
}

/// A sync of the new folder brings the whole rename, and what it builds on: the old name cannot come back.
#[test]
fn a_rename_into_another_folder_is_whole() {
    let mut image = DiskImage::default();
    image.create_dir(Path::new("/a"));
    image.create_dir(Path::new("/b"));
    let mut disk = Disk::new(&image, 1 << 30);
    disk.open(Path::new("/a/x"), CREATE).unwrap();
    disk.rename(Path::new("/a/x"), Path::new("/b/y")).unwrap();
    disk.open(Path::new("/a/other"), CREATE).unwrap();
    disk.sync_folder(Path::new("/b")).unwrap();
    assert_eq!(crash_names(&disk), sets(&[&["/b/y"], &["/a/other", "/b/y"]]));
}

/// Random names: a synced folder is as it was; a file that only was renamed since keeps exactly one name.
#[test]
fn random_renames_lose_no_file() {
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..100 {
        let mut image = DiskImage::default();
        for name in 0..4u8 {
            image.write(Path::new(&format!("/{}/{name}", name % 2)), &[name; 10]);
        }
        let mut disk = Disk::new(&image, 1 << 30);
        let mut model: Vec<String> = names(&image);
        for round in 0..20 {
            let file = random.usize(..model.len());
            let to = format!("/{}/{round}-{file}", random.u8(..2));
            disk.rename(Path::new(&model[file]), Path::new(&to)).unwrap();
            model[file] = to;
            if random.u8(..4) == 0 {
                disk.sync_folder(Path::new(if random.bool() { "/0" } else { "/1" })).unwrap();
            }
            let crashed = disk.image_after_crash(&mut random);
            let mut contents: Vec<u8> = crashed.files().map(|path| crashed.read(path).unwrap()[0]).collect();
            contents.sort_unstable();
            assert_eq!(contents, [0, 1, 2, 3]);
        }
        disk.sync_folder(Path::new("/0")).unwrap();
        disk.sync_folder(Path::new("/1")).unwrap();
        model.sort_unstable();
        assert_eq!(crash_names(&disk), BTreeSet::from([model]));
        assert_eq!(disk.image(), disk.image_after_crash(&mut random));
    }
}

#[test]
fn the_disk_is_full_when_it_is_full() {
    let mut disk = Disk::new(&DiskImage::default(), 4 * SECTOR);
    let node = disk.open(Path::new("/a"), CREATE).unwrap();
    let write = |disk: &mut Disk, sector: u64| {
        let number = disk.begin_write(node, sector * SECTOR, &[1; 512])?;
        disk.end_write(node, number, 512);
        std::io::Result::Ok(())
    };
    for sector in [0, 9, 2] {
        write(&mut disk, sector).unwrap();
    }
    assert_eq!(disk.allocate(node, 5 * SECTOR).unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    let other = disk.open(Path::new("/b"), CREATE).unwrap();
    disk.allocate(other, SECTOR).unwrap();
    assert_eq!(write(&mut disk, 3).unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    write(&mut disk, 2).unwrap();
    disk.close(other);
    disk.remove_file(Path::new("/b")).unwrap();
    write(&mut disk, 3).unwrap();
    disk.punch(node, 0..SECTOR).unwrap();
    write(&mut disk, 5).unwrap();
}

#[test]
fn paths_that_cannot_be_are_errors() {
    let mut image = DiskImage::default();
    image.write(Path::new("/a/file"), b"x");
    let mut disk = Disk::new(&image, 1 << 30);
    let mut kind = |path: &str| disk.open(Path::new(path), CREATE).unwrap_err().kind();
    use std::io::ErrorKind;
    assert_eq!(kind("/missing/file"), ErrorKind::NotFound);
    assert_eq!(kind("/a/file/below"), ErrorKind::NotADirectory);
    assert_eq!(kind("/a"), ErrorKind::IsADirectory);
    assert_eq!(kind("/"), ErrorKind::IsADirectory);
    assert_eq!(kind("/a\0b"), ErrorKind::InvalidInput);
    assert_eq!(kind(""), ErrorKind::NotFound);
    assert!(disk.rename(Path::new("/a"), Path::new("/a/b")).is_err());
    assert!(disk.remove_folders(Path::new("/")).is_err());
    assert!(disk.open(Path::new("a/../a/./file"), CREATE).is_ok());
    disk.remove_folders(Path::new("/a")).unwrap();
    assert_eq!(names(&disk.image()).len(), 0);
}
