//! Checkpoints: a barrier through every shard, one pack with the new segments of all, one manifest swap. Two PUTs whatever the state's size.
//!
//! ```text
//! caller ─ barrier into every mailbox ─> each shard freezes its memtable, encodes it ──┐
//!        └ request into shard 0 ───────> waits for all parts <────────────────────────┘
//!                                        PUT pack ─> tell the shards where their segment lies ─> put-if-absent manifest N+1
//! ```
//! The crash argument: until the swap the newest manifest is the last checkpoint's and names nothing of this one; packs that
//! no manifest names are garbage, never data. The swap is one put-if-absent. Segments flushed between checkpoints enter a
//! manifest with the next checkpoint only, so that a restore finds a checkpoint, whole, and nothing newer.

use crate::checkpoint_parts::{BarrierPart, CheckpointInfo, CheckpointRequest, FreshSegment};
use crate::error::{Error, Result};
use crate::limits::{CHECKPOINT_TRIES, HOT_LIST_BYTES_MAX, HOT_LIST_WAIT_MS, UPLOAD_BACKOFF};
use crate::manifest::agreed::Agreed;
use crate::manifest::format::Manifest;
use crate::manifest::hot::{self, HotPartition, HotSegment, HotSegments};
use crate::manifest::store::Swap;
use crate::name;
use crate::reply::Answered;
use crate::retry::retried;
use crate::segment::SegmentEntry;
use crate::shared::Shared;
use crate::version::{SegmentId, id_of};
use aquifer_io::Instant;
use aquifer_remote::Content;
use bytes::Bytes;
use futures_channel::oneshot;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Runs a checkpoint to its end, on shard 0's thread, whether or not its caller still waits.
pub(crate) async fn commit(shared: Arc<Shared>, request: CheckpointRequest) {
    let CheckpointRequest { metadata, event_time_ms, parts, begun, reply } = request;
    let running = CheckpointRunning(&shared);
    let outcome = attempt(&shared, (metadata, event_time_ms), parts, begun).await;
    drop(running);
    reply.send(outcome);
}

/// A checkpoint is under way until this is dropped, however it ends.
struct CheckpointRunning<'a>(&'a Shared);

impl Drop for CheckpointRunning<'_> {
    fn drop(&mut self) {
        self.0.checkpoint_running.store(false, Ordering::Release);
    }
}

async fn attempt(
    shared: &Arc<Shared>,
    said: (Vec<u8>, u64),
    parts: Vec<Answered<BarrierPart>>,
    begun: Instant,
) -> Result<CheckpointInfo> {
    let mut barrier = Duration::ZERO;
    let mut segments = Vec::new();
    let mut fresh = Vec::new();
    let mut hot = Vec::new();
    for part in parts {
        // A part is lost when its shard cannot flush any more, or ends.
        let part = part.await.map_err(|error| shared.failure().unwrap_or(error))?;
        barrier = barrier.max(part.freeze);
        segments.extend(part.segments);
        fresh.extend(part.fresh);
        hot.push(part.hot);
    }
    let mut uploaded_bytes = upload_pack(shared, fresh, &mut segments).await?;
    let segments = joined(segments);
    let hot = hot_list(hot, &segments).await;
    let manifest = swap(shared, said, (segments, hot), &mut uploaded_bytes).await?;
    Ok(CheckpointInfo {
        hot_extents: hot_extents(&manifest),
        id: manifest.number,
        epoch: manifest.epoch,
        segments: manifest.segments.len(),
        event_time_ms: manifest.agreed.event_time_ms(),
        metadata: manifest.metadata,
        uploaded_bytes,
        duration: begun.elapsed(),
        barrier,
    })
}

/// One PUT for the new segments of all shards. Returns its bytes and adds the segments, placed, to `segments`.
async fn upload_pack(
    shared: &Shared,
    fresh: Vec<FreshSegment>,
    segments: &mut Vec<SegmentEntry>,
) -> Result<u64> {
    let Some(first) = fresh.iter().map(|fresh| fresh.entry.sequence).min() else { return Ok(0) };
    shared.check_writable()?;
    let object = name::pack(shared.epoch, first, aquifer_io::random_u64())?;
    let chunks: Vec<Bytes> = fresh.iter().flat_map(|fresh| fresh.chunks.iter().cloned()).collect();
    retried(UPLOAD_BACKOFF, CHECKPOINT_TRIES, async || {
        shared.remote.put(&object, Content::from(chunks.clone())).await.map_err(Error::from)
    })
    .await?;
    let mut offset = 0;
    for FreshSegment { entry, placed, .. } in fresh {
        let entry = SegmentEntry { object: object.clone(), offset, ..entry };
        offset += u64::from(entry.bytes);
        segments.push(entry.clone());
        drop(placed.send(entry));
    }
    Ok(offset)
}

/// The shards' parts of the hot list as one, for a manifest that names these segments. They were gathered while the pack was made and
/// uploaded; a part that is not there soon after goes unlisted.
async fn hot_list(
    parts: Vec<oneshot::Receiver<HotSegments<SegmentId>>>,
    segments: &[SegmentEntry],
) -> Vec<u8> {
    let wait = Duration::from_millis(HOT_LIST_WAIT_MS);
    let mut used: HashMap<SegmentId, Vec<HotPartition>> = HashMap::new();
    let began = aquifer_io::now();
    for part in parts {
        // What is there already is taken, however late it is.
        let left = wait.saturating_sub(aquifer_io::now().duration_since(began));
        let Ok(Ok(came)) = aquifer_io::timeout(left, part).await else { continue };
        for listed in came {
            used.entry(listed.segment).or_default().extend(listed.partitions);
        }
    }
    if used.is_empty() {
        return Vec::new();
    }
    let mut list = Vec::with_capacity(used.len());
    for (segment, entry) in (0..).zip(segments) {
        if let Some(mut partitions) = used.remove(&id_of(entry)) {
            // A partition at the border of two shards may be in use by both.
            partitions.sort_unstable();
            partitions.dedup_by(|next, kept| {
                let is_same = next.position == kept.position;
                if is_same {
                    (kept.rank, kept.blocks) = (kept.rank.max(next.rank), kept.blocks | next.blocks);
                }
                is_same
            });
            list.push(HotSegment { segment, partitions });
        }
    }
    hot::cut(&mut list, HOT_LIST_BYTES_MAX);
    hot::encode(&list)
}

/// Makes the checkpoint the newest manifest.
async fn swap(
    shared: &Shared,
    (metadata, event_time_ms): (Vec<u8>, u64),
    (segments, hot): (Vec<SegmentEntry>, Vec<u8>),
    uploaded_bytes: &mut u64,
) -> Result<Manifest> {
    retried(UPLOAD_BACKOFF, CHECKPOINT_TRIES, async || {
        loop {
            shared.check_writable()?;
            let current = shared.manifest();
            let number = current.number_after()?;
            let event_time_ms = event_time_ms.max(current.agreed.event_time_ms);
            let next = Manifest {
                number,
                attempt: aquifer_io::random_u64(),
                checkpoint: number,
                sequence_next: shared.sequence_next.load(Ordering::Acquire),
                segments: segments.clone(),
                metadata: metadata.clone(),
                hot: hot.clone(),
                agreed: Agreed { event_time_ms, ..current.agreed.clone() },
                ..current.clone()
            };
            match shared.manifests.swap(&next, Some(&current)).await? {
                Swap::Done => {
                    *uploaded_bytes += next.encode()?.len() as u64;
                    shared.set_manifest(next.clone());
                    return Ok(next);
                }
                // An earlier attempt of ours, thought lost, took the number after all: go on from it.
                Swap::Lost(found) if found.epoch == shared.epoch => shared.set_manifest(*found),
                Swap::Lost(found) => {
                    let error = Error::fenced(format!(
                        "epoch {} of another writer committed manifest {}, this engine has epoch {}",
                        found.epoch, found.number, shared.epoch
                    ));
                    shared.poison(error.clone());
                    return Err(error);
                }
            }
        }
    })
    .await
}

/// Tiers newest first, then the bottom level; a segment that neighbouring shards share is named once, with the groups of both.
fn joined(mut segments: Vec<SegmentEntry>) -> Vec<SegmentEntry> {
    segments.sort_by(|a, b| {
        (a.level, b.sequence, &a.object, a.offset, a.groups.start).cmp(&(
            b.level,
            a.sequence,
            &b.object,
            b.offset,
            b.groups.start,
        ))
    });
    let mut out: Vec<SegmentEntry> = Vec::with_capacity(segments.len());
    for segment in segments {
        match out.last_mut() {
            Some(last)
                if last.object == segment.object
                    && last.offset == segment.offset
                    && last.groups.end == segment.groups.start =>
            {
                last.groups.end = segment.groups.end;
            }
            _ => out.push(segment),
        }
    }
    out
}

/// The checkpoint whose state a manifest has.
pub(crate) fn restored(manifest: &Manifest) -> Option<CheckpointInfo> {
    (manifest.checkpoint > 0).then(|| CheckpointInfo {
        id: manifest.checkpoint,
        epoch: manifest.epoch,
        metadata: manifest.metadata.clone(),
        event_time_ms: manifest.agreed.event_time_ms(),
        segments: manifest.segments.len(),
        hot_extents: hot_extents(manifest),
        uploaded_bytes: 0,
        duration: Duration::ZERO,
        barrier: Duration::ZERO,
    })
}

/// Extents that a manifest lists as in use.
pub(crate) fn hot_extents(manifest: &Manifest) -> u64 {
    manifest.hot_list().map_or(0, |list| hot::extents(&list))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::format::tests::manifest;

    #[test]
    fn a_segment_shared_by_neighbouring_shards_is_named_once() {
        let whole = manifest(1).segments;
        let clipped = |range: std::ops::Range<u16>| {
            whole.iter().map(move |segment| SegmentEntry { groups: range.clone(), ..segment.clone() })
        };
        let apart: Vec<_> = clipped(40..64).chain(clipped(0..20)).chain(clipped(20..40)).collect();
        assert_eq!(joined(apart), whole);
        let gap: Vec<_> = clipped(0..20).chain(clipped(21..64)).collect();
        assert_eq!(joined(gap).len(), 2 * whole.len(), "what nobody owns must not come back");
    }
}
