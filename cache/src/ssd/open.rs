//! Opening: takes up what an earlier process left, or begins a file anew, and says which and why.

use super::admission::Admission;
use super::budget::WriteBudget;
use super::format::{BadSuperblock, PAGE_BYTES, SUPERBLOCK_BYTES, Superblock};
use super::index::{Index, TABLES};
use super::layout::Layout;
use super::recover::{Earlier, Recovered};
use super::shared::{Running, Shared, Ssd};
use super::tier::Tier;
use crate::options::{CacheOptions, SsdMode};
use aquifer_io::{File, IoError, IoErrorKind, OpenOptions};
use std::path::Path;
use std::rc::Rc;

/// A tier that was opened.
struct Opened {
    running: Running,
    /// Why it is cold, if there was a file before.
    note: Option<String>,
}

impl Ssd {
    /// Never fails: without a usable file there is a tier that is switched off.
    pub(crate) async fn open(options: &CacheOptions) -> Self {
        let shared = Rc::new(Shared { options: options.clone(), ..Shared::default() });
        shared.open(options.disk_bytes).await;
        Self { shared }
    }
}

impl Shared {
    /// Opens the tier with a budget of so many bytes.
    pub(super) async fn open(self: &Rc<Self>, disk_bytes: u64) {
        let Some(path) = self.options.disk_path.clone().filter(|_| disk_bytes > 0) else { return };
        let begun = aquifer_io::now();
        match open_tier(&path, disk_bytes, &self.options).await {
            Ok(Opened { mut running, note }) => {
                self.recovered.set((running.tier.index.entries() as u64, begun.elapsed()));
                *self.start_note.borrow_mut() = note.map(Into::into);
                *self.off_reason.borrow_mut() = None;
                self.start_writer(&mut running);
                *self.running.borrow_mut() = Some(running);
            }
            Err(reason) => *self.off_reason.borrow_mut() = Some(reason.into()),
        }
    }
}

/// Bytes of the write buffer: a write or a read of the largest entry must fit the thread's buffers, with room for others beside it.
pub(super) fn write_buffer_bytes(options: &CacheOptions) -> u64 {
    (options.write_buffer_bytes as u64).min(aquifer_io::metrics().buffer_bytes_max / 2)
}

/// The error is the reason why there is no tier.
async fn open_tier(path: &Path, disk_bytes: u64, options: &CacheOptions) -> Result<Opened, String> {
    let buffer_bytes = write_buffer_bytes(options);
    let fresh = Layout::new(disk_bytes, options.region_bytes, buffer_bytes).ok_or_else(|| {
        let min = Layout::disk_bytes_min();
        format!("disk_bytes {disk_bytes} is too small for a cache file: give {min} or more")
    })?;
    let open = OpenOptions { read: true, write: true, create: true, direct: true, ..OpenOptions::default() };
    let file = File::open(path, open).await.map_err(|error| format!("open failed: {error}"))?;
    let align = file.align_bytes();
    if align > PAGE_BYTES {
        return Err(format!("the file system wants {align} byte alignment, more than {PAGE_BYTES}"));
    }
    let opened = take_up(path, file, disk_bytes, (fresh, buffer_bytes), options).await;
    opened.map_err(|(file, reason)| {
        drop(file);
        reason
    })
}

type Refused = (Option<Rc<File>>, String);

async fn take_up(
    path: &Path,
    file: File,
    disk_bytes: u64,
    (fresh, buffer_bytes): (Layout, u64),
    options: &CacheOptions,
) -> Result<Opened, Refused> {
    let refused = |reason: String| (None, reason);
    let found = superblock(&file).await.map_err(refused)?;
    let (earlier, note) = match found.map(|found| usable(found, disk_bytes, buffer_bytes, options)) {
        None => (None, None),
        Some(Ok(earlier)) => (Some(earlier), None),
        Some(Err(note)) => (None, Some(note)),
    };
    let (layout, life, recovered) = match earlier {
        None => {
            let nothing =
                Recovered { regions: Vec::new(), index: Index::new(), begun: 0, unsealed: Vec::new() };
            (fresh, aquifer_io::random_u64(), nothing)
        }
        Some((superblock, next)) => {
            let recovered = recover(path, &file, &superblock, next).await.map_err(refused)?;
            (next, superblock.life, recovered)
        }
    };
    let Recovered { mut regions, mut index, begun, mut unsealed } = recovered;
    if regions.len() > layout.regions as usize {
        regions.truncate(layout.regions as usize);
        unsealed.retain(|(region, _)| *region < layout.regions);
        let is_kept = |spot: super::index::Spot| layout.region_of(spot.sector) < layout.regions;
        (0..TABLES).for_each(|table| index.retain(table, is_kept, |_| {}));
    }
    let superblock = Superblock {
        regions: layout.regions,
        region_bytes: layout.region_bytes,
        life,
        store: options.store,
        index_bytes: layout.index_bytes,
        snapshot: 0,
        generation: begun,
    };
    if let Err(reason) = prepare(&file, &layout, &superblock).await {
        // What was allocated of it would only be in the way. Shortened, not removed: the path may be no file at all.
        drop(file.truncate(0).await);
        return Err((Some(Rc::new(file)), reason));
    }
    let is_pinned = options.mode == SsdMode::Pinned;
    let mut tier = Tier::new(layout, life, is_pinned, (regions, index, begun));
    unsealed.iter().for_each(|(region, records)| tier.push_directory(*region, records));
    let budget =
        WriteBudget::new(options.disk_write_bytes_per_day, options.disk_write_bytes_per_s, aquifer_io::now());
    let running = Running {
        tier,
        admission: Admission::new(layout.file_bytes(), budget, is_pinned),
        file: Rc::new(file),
        writing: false,
        flush_waits: false,
        emptying: false,
        snapshotting: false,
        snapshot_begun: begun,
        paused: false,
    };
    Ok(Opened { running, note })
}

/// What an earlier process left, with today's layout of the same regions; or why the file is begun anew.
fn usable(
    found: Result<Superblock, BadSuperblock>,
    disk_bytes: u64,
    buffer_bytes: u64,
    options: &CacheOptions,
) -> Result<(Superblock, Layout), String> {
    let found = found.map_err(begun_anew)?;
    if found.store != options.store {
        return Err(format!("begun anew: the file was of store {:016x}", found.store));
    }
    Layout::with_regions_of(disk_bytes, found.region_bytes, options.region_bytes, buffer_bytes)
        .map(|next| (found, next))
        .ok_or_else(|| "begun anew: regions of its size do not fit disk_bytes".to_owned())
}

/// Takes up the regions and the index of an earlier process.
async fn recover(
    path: &Path,
    file: &File,
    superblock: &Superblock,
    next: Layout,
) -> Result<Recovered, String> {
    let bytes = file.bytes().await.map_err(|error| format!("open failed: {error}"))?;
    // Somebody may have cut the file short: what is beyond its end is not there.
    let there = bytes.saturating_sub(SUPERBLOCK_BYTES as u64) / next.region_bytes;
    let regions = superblock.regions.min(u32::try_from(there).unwrap_or(u32::MAX));
    let is_whole = regions == superblock.regions;
    let superblock = Superblock {
        regions,
        snapshot: if is_whole { superblock.snapshot } else { 0 },
        index_bytes: if is_whole { superblock.index_bytes } else { 0 },
        ..*superblock
    };
    let layout = Layout { regions, index_bytes: superblock.index_bytes, ..next };
    let earlier = Earlier { path, file, layout, superblock, records_max: next.records_max };
    Ok(earlier.recover().await)
}

fn begun_anew(bad: BadSuperblock) -> String {
    match bad {
        BadSuperblock::NotOurs => "begun anew: the file was no cache file".to_owned(),
        BadSuperblock::Version(found) => format!("begun anew: the file was of version {found}"),
        BadSuperblock::Damaged => "begun anew: the first page of the file is damaged".to_owned(),
    }
}

/// The first page of a file that has one.
async fn superblock(file: &File) -> Result<Option<Result<Superblock, BadSuperblock>>, String> {
    let failed = |error: IoError| format!("open failed: {error}");
    if file.bytes().await.map_err(failed)? < SUPERBLOCK_BYTES as u64 {
        return Ok(None);
    }
    let buffer = aquifer_io::acquire_buffer(SUPERBLOCK_BYTES).await.map_err(failed)?;
    match file.read_at(0, buffer).await {
        (Ok(()), page) => {
            let is_new = page.iter().all(|&byte| byte == 0);
            Ok((!is_new).then(|| Superblock::decode(&page)))
        }
        (Err(error), _) => Err(failed(error)),
    }
}

/// Gives the file its whole size and its superblock.
async fn prepare(file: &File, layout: &Layout, superblock: &Superblock) -> Result<(), String> {
    let bytes = layout.file_bytes();
    let reserve = |error: IoError| format!("could not reserve {bytes} bytes: {error}");
    if file.bytes().await.map_err(reserve)? > bytes {
        write_superblock(file, superblock).await.map_err(|error| format!("write failed: {error}"))?;
        return file.truncate(bytes).await.map_err(reserve);
    }
    let sized = match file.allocate(bytes).await {
        Err(error) if error.kind() == IoErrorKind::Unsupported => file.truncate(bytes).await,
        other => other,
    };
    sized.map_err(reserve)?;
    write_superblock(file, superblock).await.map_err(|error| format!("write failed: {error}"))
}

/// Writes the first page, for good: before anything that it does not speak of.
pub(super) async fn write_superblock(file: &File, superblock: &Superblock) -> Result<(), IoError> {
    let page = superblock.encode();
    let mut buffer = aquifer_io::acquire_buffer(page.len()).await?;
    buffer.copy_from_slice(&page);
    file.write_at(0, buffer).await.0?;
    file.sync_data().await
}
