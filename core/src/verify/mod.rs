//! Reads and checks every byte that a checkpoint reaches.
//!
//! ```text
//! descriptor ─> manifest ─> each segment once: tail (footer, dictionary, head) ─> partitions in windows ─> meta, data blocks, entries
//! ```
//! Each structure is checked by the decoder that reads go through, and then held against what its parents say of it: checksums, borders, order,
//! counts, and every key against its filter. A fault is noted and the rest goes on; what lies behind a structure that cannot be read is counted
//! as unread. Memory is bounded by [`VerifyOptions::reads_in_flight`] windows, twice: one that is checked, one on its way.

mod tally;
mod segment;

pub use tally::{VerifyProgress, VerifyReport};

use crate::error::{Corruption, Error, Result};
use crate::manifest::format::{HEADER_BYTES, Manifest};
use crate::manifest::invariants;
use crate::manifest::store::ManifestStore;
use crate::segment::SegmentEntry;
use crate::{descriptor, embedder_panics, name};
use aquifer_remote::Remote;
use futures_util::stream::{self, StreamExt};
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use tally::{Tally, locked};

/// Options of [`verify_store`].
#[derive(Clone, Debug)]
pub struct VerifyOptions {
    /// The checkpoint to verify, by its number. `None`: the newest.
    pub checkpoint: Option<u64>,
    /// Segments that are read at once, 1 to 64.
    pub reads_in_flight: usize,
    /// Bytes of one read, 64 KiB to 64 MiB. A partition with a larger entry is read whole.
    pub window_bytes: usize,
}

impl Default for VerifyOptions {
    /// The newest checkpoint, four segments at once, 4 MiB a read.
    fn default() -> Self {
        Self { checkpoint: None, reads_in_flight: 4, window_bytes: 4 * 1024 * 1024 }
    }
}

/// Most segments that may be read at once.
const READS_IN_FLIGHT_MAX: usize = 64;
/// Bounds of a window, in bytes.
const WINDOW_BYTES: (usize, usize) = (64 * 1024, 64 * 1024 * 1024);

impl VerifyOptions {
    fn validate(&self) -> Result<()> {
        if self.reads_in_flight == 0 || self.reads_in_flight > READS_IN_FLIGHT_MAX {
            return Err(Error::invalid(format!(
                "reads_in_flight is {}; 1 to {READS_IN_FLIGHT_MAX} are possible",
                self.reads_in_flight
            )));
        }
        if self.window_bytes < WINDOW_BYTES.0 || self.window_bytes > WINDOW_BYTES.1 {
            return Err(Error::invalid(format!(
                "window_bytes is {}; {} to {} are possible",
                self.window_bytes, WINDOW_BYTES.0, WINDOW_BYTES.1
            )));
        }
        Ok(())
    }
}

/// Reads and checks every byte that the newest or a given checkpoint of the store at `remote` reaches. Writes nothing and disturbs nobody.
/// `progress` hears after every read how far it is.
///
/// Can be awaited on any runtime or none; the checking is done by whoever awaits it. Dropping the future ends it; nothing is left of it.
///
/// # Errors
/// `Invalid`: options, no store at `remote`, or no checkpoint of that number. `Unavailable` and `Store`: the DFS does not answer, or refuses.
/// `Panicked`: `progress` did. Damage is no error: the report has it.
pub async fn verify_store(
    remote: Arc<dyn Remote>,
    options: VerifyOptions,
    progress: impl FnMut(VerifyProgress) + Send,
) -> Result<VerifyReport> {
    options.validate()?;
    let remote = embedder_panics::guard(remote);
    let mut progress = progress;
    let mut tally = Tally::new(&mut progress);
    let descriptor = match descriptor::read(&remote, &name::store()?).await {
        Ok(Some(descriptor)) => descriptor,
        Ok(None) => {
            return Err(Error::invalid(format!("there is no store at {}: check the URL", remote.describe())));
        }
        // Without it nobody knows where the manifests are.
        Err(error) => return tally.fault_of(error).map(|()| tally.report()),
    };
    let manifests = ManifestStore::new(Arc::clone(&remote), 0..descriptor.key_groups);
    let manifest = match (manifests.of_checkpoint(options.checkpoint).await, options.checkpoint) {
        (Ok(Some(manifest)), _) => manifest,
        (Ok(None), None) => Manifest::empty(descriptor.key_groups),
        (Ok(None), Some(number)) => {
            return Err(Error::invalid(format!(
                "the store at {} has no checkpoint {number}",
                remote.describe()
            )));
        }
        (Err(error), _) => return tally.fault_of(error).map(|()| tally.report()),
    };
    check_manifest(&manifest, descriptor.key_groups, &mut tally)?;
    let segments = once_each(&manifest, &mut tally)?;
    tally.begin(&manifest, &segments);
    let tally = Mutex::new(tally);
    let walks = segments.into_iter().map(|entry| {
        let remote = Arc::clone(&remote);
        segment::verify(remote, entry.clone(), options.window_bytes, &tally)
    });
    let mut walks = pin!(stream::iter(walks).buffer_unordered(options.reads_in_flight));
    locked(&tally).goes_on()?;
    while let Some(outcome) = walks.next().await {
        outcome?;
        locked(&tally).goes_on()?;
    }
    Ok(locked(&tally).report())
}

/// What must hold within one manifest, and between it and the descriptor.
fn check_manifest(manifest: &Manifest, key_groups: u16, tally: &mut Tally<'_>) -> Result<()> {
    if manifest.number == 0 {
        return Ok(());
    }
    let object = name::manifest(&manifest.groups, manifest.number)?;
    if manifest.key_groups != key_groups {
        tally.fault(Corruption {
            object: object.to_string(),
            offset: 56,
            expected: format!("{key_groups} key groups, as the descriptor counts"),
            found: manifest.key_groups.to_string(),
        });
    }
    if let Err(error) = invariants::check(manifest, None) {
        tally.fault(Corruption {
            object: object.to_string(),
            offset: HEADER_BYTES as u64,
            expected: "segments that keep the invariants of a manifest".to_owned(),
            found: error.to_string(),
        });
    }
    Ok(())
}

/// Every segment once, however many parts of it the manifest names, in the order in which they lie. Notes what contradicts itself.
fn once_each<'a>(manifest: &'a Manifest, tally: &mut Tally<'_>) -> Result<Vec<&'a SegmentEntry>> {
    let mut segments: BTreeMap<(&str, u64), &SegmentEntry> = BTreeMap::new();
    let mut faults = Vec::new();
    let object = name::manifest(&manifest.groups, manifest.number)?;
    let mut contradiction = |expected: String, found: String| {
        faults.push(Corruption { object: object.to_string(), offset: HEADER_BYTES as u64, expected, found });
    };
    for entry in &manifest.segments {
        let first = *segments.entry((entry.object.as_str(), entry.offset)).or_insert(entry);
        let same = (first.bytes, first.tail_bytes, first.footer_crc, first.tag, first.counts)
            == (entry.bytes, entry.tail_bytes, entry.footer_crc, entry.tag, entry.counts);
        if !same {
            contradiction(
                format!("one segment at offset {} of {}", entry.offset, entry.object),
                format!("segments {:016x} and {:016x}", first.tag, entry.tag),
            );
        }
    }
    let segments: Vec<_> = segments.into_values().collect();
    for (before, after) in segments.iter().zip(segments.iter().skip(1)) {
        let end = before.offset.saturating_add(u64::from(before.bytes));
        if before.object == after.object && end > after.offset {
            contradiction(
                format!("segments of {} that do not overlap", after.object),
                format!("one up to {end}, the next from {}", after.offset),
            );
        }
    }
    faults.into_iter().for_each(|fault| tally.fault(fault));
    Ok(segments)
}
