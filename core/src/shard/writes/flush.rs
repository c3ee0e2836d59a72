//! Turns frozen memtables into segments on the DFS, one after the other, oldest first.
//!
//! A memtable that was full goes out in a pack of its own. One that a checkpoint froze is handed to the checkpoint, which puts
//! the segments of all shards into one pack; if that fails, it goes out alone like any other. Either way the memtable stays readable,
//! and its writes are counted against the budget, until its segment's PUT has returned.

use crate::checkpoint_parts::{BarrierPart, FreshSegment};
use crate::compact::budget::Slices;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{HOT_LIST_BYTES_MAX, UPLOAD_BACKOFF};
use crate::manifest::hot::HotSegments;
use crate::name;
use crate::reply::ReplyTo;
use crate::retry::retried;
use crate::segment::SegmentEntry;
use crate::segment::encoded::EncodedSegment;
use crate::segment::writer::{SegmentWriter, WriterOptions};
use crate::shard::parts::counters::add;
use crate::shard::parts::flush_queue::{Freeze, Item};
use crate::shard::shard_core::ShardCore;
use crate::version::{Frozen, Segment, SegmentId};
use aquifer_cache::Written;
use aquifer_remote::Content;
use futures_channel::oneshot;
use std::rc::Rc;
use std::time::Duration;

impl ShardCore {
    /// Freezes a memtable that is full, or its fullest part, and has it flushed.
    pub(crate) fn freeze_for_flush(&self, which: Freeze) {
        if let Some(frozen) = self.freeze(which) {
            self.flushes.push(Item::Full(frozen));
        }
    }

    /// Freezes what belongs to a checkpoint.
    pub(crate) fn freeze_for_barrier(&self, reply: ReplyTo<BarrierPart>) {
        let begun = aquifer_io::now();
        let frozen = self.freeze(Freeze::All);
        self.flushes.push(Item::Barrier { frozen, freeze: begun.elapsed(), reply });
    }
}

/// The flush task: runs as long as its shard.
pub(crate) async fn run(core: Rc<ShardCore>) {
    loop {
        let item = core.flushes.added.wait(|| core.flushes.items.borrow_mut().pop_front()).await;
        let flushed = match item {
            Item::Full(frozen) => flush_alone(&core, &frozen).await,
            Item::Barrier { frozen, freeze, reply } => {
                flush_for_checkpoint(&core, frozen, freeze, reply).await
            }
        };
        if let Err(error) = flushed {
            // Not a passing fault: nothing more can become durable, so writers must know.
            core.shared.poison(error.clone());
            core.progress.notify();
            return refuse(&core, &error).await;
        }
    }
}

/// Answers barriers that were on their way when flushing ended: their checkpoints fail.
async fn refuse(core: &ShardCore, error: &Error) {
    loop {
        let item = core.flushes.added.wait(|| core.flushes.items.borrow_mut().pop_front()).await;
        if let Item::Barrier { reply, .. } = item {
            reply.send(Err(error.clone()));
        }
    }
}

async fn flush_alone(core: &Rc<ShardCore>, frozen: &Frozen) -> Result<()> {
    let encoded = encode(core, frozen, u64::MAX).await?;
    let entry = upload_alone(core, frozen, &encoded).await?;
    core.compaction.full_memtable_flushed(u64::from(entry.bytes) * frozen.memtable.of_whole());
    install(core, frozen, encoded, entry).await
}

async fn flush_for_checkpoint(
    core: &Rc<ShardCore>,
    frozen: Option<Rc<Frozen>>,
    freeze: Duration,
    reply: ReplyTo<BarrierPart>,
) -> Result<()> {
    // All that was frozen before is uploaded by now: the version's segments are the rest of this shard's state.
    let segments = core.version().entries();
    let hot = gather_hot(core);
    let part = |fresh| BarrierPart { segments, freeze, fresh, hot };
    let Some(frozen) = frozen else {
        reply.send(Ok(part(None)));
        return Ok(());
    };
    let encoded = match encode(core, &frozen, u64::MAX).await {
        Ok(encoded) => encoded,
        Err(error) => {
            reply.send(Err(error.clone()));
            return Err(error);
        }
    };
    let (placed, placement) = oneshot::channel();
    let fresh =
        FreshSegment { chunks: encoded.chunks.clone(), entry: encoded.entry(frozen.sequence)?, placed };
    reply.send(Ok(part(Some(fresh))));
    let entry = match placement.await {
        Ok(entry) => entry,
        // The checkpoint failed or was given up: the memtable still has to go out.
        Err(_) => upload_alone(core, &frozen, &encoded).await?,
    };
    install(core, &frozen, encoded, entry).await
}

/// Has what is in use gathered while the checkpoint's segment is made and uploaded.
fn gather_hot(core: &Rc<ShardCore>) -> oneshot::Receiver<HotSegments<SegmentId>> {
    let (gathered, hot) = oneshot::channel();
    if core.lists_hot {
        let shard = Rc::clone(core);
        core.spawn(async move {
            let bytes_max = HOT_LIST_BYTES_MAX / shard.shared.route.shards();
            if gathered.send(shard.gather_hot(bytes_max).await).is_err() {
                shard.hot_list.borrow_mut().is_late = true;
            }
        });
    }
    hot
}

/// Frames what `at` sees of a memtable as a segment, in slices, so that reads run in between.
async fn encode(core: &ShardCore, frozen: &Frozen, at: u64) -> Result<EncodedSegment> {
    let mut writer = SegmentWriter::new(
        aquifer_io::random_u64(),
        WriterOptions { compression: core.shared.formats.fresh.compression, ..WriterOptions::default() },
    )?;
    let mut slices = Slices::new();
    for mut cursor in frozen.memtable.cursors(at) {
        while let Some(visible) = cursor.next() {
            writer.push(visible.key, &visible.entry)?;
            if slices.is_full(visible.key.len() + visible.entry.payload().len()) {
                // A flush never rests: writers wait for it.
                slices.pause(100, || 0).await;
            }
        }
    }
    for deletion in frozen.memtable.range_deletions(at) {
        writer.push_range_delete(deletion.from, deletion.to);
    }
    writer.finish()
}

/// Uploads one segment as a pack; repeats for as long as the DFS is away.
async fn upload_alone(core: &ShardCore, frozen: &Frozen, encoded: &EncodedSegment) -> Result<SegmentEntry> {
    let object = name::pack(core.shared.epoch, frozen.sequence, aquifer_io::random_u64())?;
    retried(UPLOAD_BACKOFF, usize::MAX, async || {
        core.shared.check_writable()?;
        let put = core.shared.remote.put(&object, Content::from(encoded.chunks.clone()));
        let put = put.await.map_err(Error::from);
        match &put {
            Ok(()) => core.pressure.store_answered(),
            Err(error) if error.kind() == ErrorKind::Unavailable => core.pressure.store_silent(),
            Err(_) => {}
        }
        put
    })
    .await?;
    Ok(SegmentEntry { object, ..encoded.entry(frozen.sequence)? })
}

/// Puts the segment in the place of its memtable, for snapshots as well.
async fn install(
    core: &ShardCore,
    frozen: &Frozen,
    encoded: EncodedSegment,
    entry: SegmentEntry,
) -> Result<()> {
    add(&core.counters.flushes, 1);
    add(&core.counters.flushed_bytes, u64::from(entry.bytes));
    core.compaction.demand.note(core.reads_served(), core.counters.writes.get());
    let segment = Rc::new(Segment::new(entry));
    let is_read = core.is_read();
    core.keep_written(&segment, encoded, |_| is_read.then_some(Written::Flushed)).await;
    // From here on no new snapshot can see the memtable at a moment before its end.
    let mut of_moments = Vec::new();
    for at in core.snapshots.moments_within(frozen) {
        of_moments.push((at, flush_moment(core, frozen, at).await?));
    }
    core.snapshots.flushed(frozen, &segment, &of_moments);
    let next = core.version().with_flushed(frozen.sequence, Some(segment));
    core.set_version(next);
    core.balance_memory();
    Ok(())
}

/// Writes what a snapshot of the moment `at` sees of a memtable, for as long as that snapshot is held; `None` if that is nothing.
async fn flush_moment(core: &ShardCore, frozen: &Frozen, at: u64) -> Result<Option<Rc<Segment>>> {
    let nothing = frozen.memtable.cursors(at).all(|mut cursor| cursor.next().is_none())
        && frozen.memtable.range_deletions(at).next().is_none();
    if nothing {
        return Ok(None);
    }
    let encoded = encode(core, frozen, at).await?;
    let entry = upload_alone(core, frozen, &encoded).await?;
    let segment = Rc::new(Segment::new(entry));
    let is_read = core.is_read();
    core.keep_written(&segment, encoded, |_| is_read.then_some(Written::Flushed)).await;
    Ok(Some(segment))
}
