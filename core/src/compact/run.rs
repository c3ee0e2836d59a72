//! Carries merges out, one at a time a shard, in slices between which reads run.
//!
//! Inputs are read in windows straight from the DFS, past the cache, so that a merge does not push out what is hot. Outputs are cut so
//! that what is in memory at once stays within the shard's budget, uploaded one by one, and take their inputs' place together. The
//! next checkpoint makes that durable; until then the last manifest still names the inputs, which are never deleted here.

use super::pick::pick;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{COMPACTION_PAUSE_MS, COMPACTION_WINDOW_BYTES, UPLOAD_PAUSE_MS};
use crate::name;
use crate::resolve::fold;
use crate::segment::writer::{EncodedSegment, SegmentWriter};
use crate::shard::blocks::BlockSource;
use crate::shard::merge::{Merge, Run, RunCursor};
use crate::shard::{ShardCore, add};
use crate::version::{Segment, SortedRun, Version};
use aquifer_remote::Content;
use std::rc::Rc;
use std::time::Duration;

/// Merged bytes between two chances for reads to run.
const SLICE_BYTES: usize = 64 * 1024;
/// Above every engine key: key groups end at 32,768.
const KEY_END: [u8; 2] = [0xff; 2];

/// A merge to do: neighbouring runs, newest first.
struct Plan {
    runs: Vec<SortedRun>,
    /// Nothing older exists: deletions need not be kept.
    reaches_bottom: bool,
}

/// The compaction task: runs as long as its shard.
pub(crate) async fn run(core: Rc<ShardCore>) {
    let mut pause_ms = COMPACTION_PAUSE_MS.0;
    loop {
        let plan = core.runs_changed.wait(|| plan(&core.version(), unit(&core))).await;
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

/// Full memtables make runs of about this size at least.
fn unit(core: &ShardCore) -> u64 {
    core.budget.memtable_bytes_max as u64 / 8
}

fn plan(version: &Version, unit: u64) -> Option<Plan> {
    let sizes: Vec<u64> = version.runs.iter().map(SortedRun::bytes).collect();
    let picked = pick(&sizes, unit)?;
    let reaches_bottom = picked.end == version.runs.len();
    Some(Plan { runs: version.runs.get(picked)?.to_vec(), reaches_bottom })
}

async fn carry_out(core: &Rc<ShardCore>, plan: &Plan) -> Result<()> {
    // Newest first: the outputs stand where the newest input stood.
    let Some(sequence) = plan.runs.first().map(|run| run.sequence) else { return Ok(()) };
    let share = core.budget.memtable_bytes_max / 2 / plan.runs.len().max(1);
    let window_bytes = share.clamp(COMPACTION_WINDOW_BYTES.0, COMPACTION_WINDOW_BYTES.1);
    let mut inputs = Vec::with_capacity(plan.runs.len());
    for run in &plan.runs {
        let source = BlockSource::windows(window_bytes);
        inputs.push(Run::Segments(Box::new(RunCursor::seek(core, run, source, &[], &KEY_END).await?)));
    }
    let mut merge = Merge::new(inputs, false);
    let mut outputs = Vec::new();
    let mut writer = new_writer(core)?;
    let mut slice = 0;
    loop {
        let pushed = merge.next(core, |writes| {
            slice +=
                writes.key.len() + writes.entries.iter().map(|entry| entry.payload().len()).sum::<usize>();
            let is_last = plan.reaches_bottom || writes.is_deleted_below;
            match fold(writes.entries, is_last, core.shared.now_ms(), &core.shared.operators) {
                Some(folded) => writer.push(writes.key, &folded.entry()),
                None => Ok(()),
            }
        });
        match pushed.await? {
            None => break,
            Some(pushed) => pushed?,
        }
        if writer.memory_bytes() >= core.budget.memtable_bytes_max / 2 {
            outputs.push(output(core, std::mem::replace(&mut writer, new_writer(core)?), sequence).await?);
        }
        if slice >= SLICE_BYTES {
            slice = 0;
            aquifer_io::yield_now().await;
        }
    }
    if !writer.is_empty() {
        outputs.push(output(core, writer, sequence).await?);
    }
    install(core, plan, outputs);
    Ok(())
}

fn new_writer(core: &ShardCore) -> Result<SegmentWriter> {
    SegmentWriter::new(aquifer_io::random_u64(), core.shared.compression)
}

/// Uploads one piece of the result, and keeps its filter and index at hand.
async fn output(core: &ShardCore, writer: SegmentWriter, sequence: u64) -> Result<Rc<Segment>> {
    let encoded = writer.finish()?;
    let object = name::pack(core.shared.epoch, sequence, aquifer_io::random_u64())?;
    upload(core, &encoded, &object).await?;
    add(&core.counters.compacted_bytes, u64::from(encoded.bytes));
    let mut entry = encoded.entry(sequence)?;
    entry.object = object;
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

fn install(core: &ShardCore, plan: &Plan, outputs: Vec<Rc<Segment>>) {
    add(&core.counters.compactions, 1);
    let merged: Vec<u64> = plan.runs.iter().map(|run| run.sequence).collect();
    // Flushes may have put newer runs on top in the meantime; the picked ones are still neighbours.
    let next = core.version().with_merged(&merged, outputs);
    core.set_version(next);
}
