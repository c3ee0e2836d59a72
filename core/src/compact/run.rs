//! Carries merges out, one at a time a shard, in slices between which reads run.
//!
//! Inputs are read in windows straight from the DFS, past the cache, so that a merge does not push out what is hot. Outputs are cut so
//! that what is in memory at once stays within the shard's budget, uploaded one by one, and take their inputs' place together. The
//! next checkpoint makes that durable; until then the last manifest still names the inputs, which are never deleted here.

use super::job::Job;
use super::pick::{Situation, pick};
use crate::error::{Error, ErrorKind, Result};
use crate::key::group_prefix;
use crate::limits::{COMPACTION_PAUSE_MS, COMPACTION_WINDOW_BYTES, UPLOAD_PAUSE_MS};
use crate::name;
use crate::segment::writer::{EncodedSegment, SegmentWriter};
use crate::shard::blocks::BlockSource;
use crate::shard::merge::{Merge, Run, RunCursor};
use crate::shard::{ShardCore, add};
use crate::version::{Segment, SortedRun, invariants};
use aquifer_remote::Content;
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

/// Merged bytes between two chances for reads to run.
const SLICE_BYTES: usize = 64 * 1024;

/// The compaction task: runs as long as its shard.
pub(crate) async fn run(core: Rc<ShardCore>) {
    let mut pause_ms = COMPACTION_PAUSE_MS.0;
    loop {
        let plan = core.runs_changed.wait(|| pick(&core.version(), &situation(&core))).await;
        if core.shared.is_stopped() {
            return;
        }
        match carry_out(&core, &plan).await {
            Ok(()) => pause_ms = COMPACTION_PAUSE_MS.0,
            // Nothing was changed. Reads go on with the inputs; an input that is corrupt is reported to whoever reads it.
            Err(_) => {
                add(&core.counters.compaction_errors, 1);
                aquifer_io::sleep(Duration::from_millis(pause_ms)).await;
                pause_ms = (pause_ms * 2).min(COMPACTION_PAUSE_MS.1);
            }
        }
    }
}

fn situation(core: &ShardCore) -> Situation {
    Situation {
        groups: core.groups.clone(),
        unit_bytes: core.budget.memtable_bytes_max as u64 * 3 / 4,
        now_ms: aquifer_io::unix_time_ms(),
        busy: HashSet::new(),
        covers: Vec::new(),
    }
}

async fn carry_out(core: &Rc<ShardCore>, job: &Job) -> Result<()> {
    if !job.is_merge() {
        return install(core, job, Vec::new());
    }
    let share = core.budget.memtable_bytes_max / 2 / job.inputs.len().max(1);
    let window_bytes = share.clamp(COMPACTION_WINDOW_BYTES.0, COMPACTION_WINDOW_BYTES.1);
    let mut inputs = Vec::with_capacity(job.inputs.len());
    let (from, to) = (group_prefix(job.groups.start), group_prefix(job.groups.end));
    for segments in &job.inputs {
        let run = SortedRun { level: 0, sequence: 0, segments: Rc::from(segments.as_slice()) };
        let source = BlockSource::windows(window_bytes);
        inputs.push(Run::Segments(Box::new(RunCursor::seek(core, &run, source, &from, &to).await?)));
    }
    let mut merge = Merge::new(inputs);
    let mut outputs = Vec::new();
    let mut writer = new_writer(core)?;
    let mut slice = 0;
    loop {
        let pushed = merge.next(core, |key, slot| {
            slice += key.len() + slot.map_or(0, <[u8]>::len);
            if slot.is_some() || !job.reaches_bottom { writer.push(key, slot) } else { Ok(()) }
        });
        match pushed.await? {
            None => break,
            Some(pushed) => pushed?,
        }
        if writer.memory_bytes() >= core.budget.memtable_bytes_max / 2 {
            outputs.push(output(core, std::mem::replace(&mut writer, new_writer(core)?), job).await?);
        }
        if slice >= SLICE_BYTES {
            slice = 0;
            aquifer_io::yield_now().await;
        }
    }
    if !writer.is_empty() {
        outputs.push(output(core, writer, job).await?);
    }
    install(core, job, outputs)
}

fn new_writer(core: &ShardCore) -> Result<SegmentWriter> {
    SegmentWriter::new(aquifer_io::random_u64(), core.shared.compression)
}

/// Uploads one piece of the result, and keeps its filter and index at hand.
async fn output(core: &ShardCore, writer: SegmentWriter, job: &Job) -> Result<Rc<Segment>> {
    let encoded = writer.finish()?;
    let object = name::pack(core.shared.epoch, job.sequence, aquifer_io::random_u64())?;
    upload(core, &encoded, &object).await?;
    add(&core.counters.compacted_bytes, u64::from(encoded.bytes));
    let mut entry = encoded.entry(job.sequence)?;
    entry.object = object;
    entry.level = job.level;
    let segment = Rc::new(Segment::new(entry));
    core.cache_written(&segment, encoded);
    Ok(segment)
}

async fn upload(
    core: &ShardCore,
    encoded: &EncodedSegment,
    object: &aquifer_remote::ObjectName,
) -> Result<()> {
    let mut pause_ms = UPLOAD_PAUSE_MS.0;
    loop {
        core.shared.check_writable()?;
        match core.shared.remote.put(object, Content::from(encoded.chunks.clone())).await.map_err(Error::from)
        {
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                aquifer_io::sleep(Duration::from_millis(pause_ms)).await;
                pause_ms = (pause_ms * 2).min(UPLOAD_PAUSE_MS.1);
            }
            outcome => return outcome,
        }
    }
}

fn install(core: &ShardCore, job: &Job, outputs: Vec<Rc<Segment>>) -> Result<()> {
    add(&core.counters.compactions, 1);
    let change = job.change(outputs);
    // Flushes may have put newer tiers on top in the meantime.
    let before = core.version();
    let next = before.with_change(&change)?;
    let checked = invariants::of_change(&before, &change, &next, None)
        .and_then(|()| invariants::of_version(&next, &core.groups));
    checked.map_err(|what| Error::new(ErrorKind::Corrupt, format!("version invariant violated: {what}")))?;
    core.set_version(next);
    Ok(())
}
