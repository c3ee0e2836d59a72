//! Carries merges out, one at a time a shard, in slices between which reads run.
//!
//! Inputs are read in windows straight from the DFS, past the cache, so that a merge does not push out what is hot. Outputs are cut so
//! that what is in memory at once stays within the shard's budget, uploaded one by one, and take their inputs' place together. The
//! next checkpoint makes that durable; until then the last manifest still names the inputs, which are never deleted here.

use super::pick::pick;
use crate::error::{Error, ErrorKind, Result};
use crate::key::group_prefix;
use crate::limits::{COMPACTION_PAUSE_MS, COMPACTION_WINDOW_BYTES, UPLOAD_PAUSE_MS};
use crate::name;
use crate::resolve::fold;
use crate::segment::encoded::EncodedSegment;
use crate::segment::ranges::RangeDeletes;
use crate::segment::writer::{SegmentWriter, WriterOptions};
use crate::shard::merge::{Merge, Run};
use crate::shard::run_cursor::RunCursor;
use crate::shard::source::BlockSource;
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
        inputs.push(Run::Segments(Box::new(RunCursor::seek(core, run, source, &[], &KEY_END, false).await?)));
    }
    let mut merge = Merge::new(inputs, false);
    // What they delete of older runs has to go on doing so, piece by piece.
    let ranges =
        if plan.reaches_bottom { RangeDeletes::default() } else { range_deletes(core, plan).await? };
    let mut ranges_from: Vec<u8> = Vec::new();
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
            let border = [writer.last_key(), &[0]].concat();
            ranges.clipped(&ranges_from, &border).for_each(|(from, to)| writer.push_range_delete(from, to));
            ranges_from = border;
            outputs.push(output(core, std::mem::replace(&mut writer, new_writer(core)?), sequence).await?);
        }
        if slice >= SLICE_BYTES {
            slice = 0;
            aquifer_io::yield_now().await;
        }
    }
    ranges.clipped(&ranges_from, &KEY_END).for_each(|(from, to)| writer.push_range_delete(from, to));
    if !writer.is_empty() {
        outputs.push(output(core, writer, sequence).await?);
    }
    install(core, plan, outputs);
    Ok(())
}

/// Range deletions of all inputs, inside the key groups that count.
async fn range_deletes(core: &ShardCore, plan: &Plan) -> Result<RangeDeletes> {
    let mut ranges = Vec::new();
    for segment in plan.runs.iter().flat_map(|run| run.segments.iter()) {
        if segment.entry.range_deletes > 0 {
            let groups = &segment.entry.groups;
            let (from, to) = (group_prefix(groups.start), group_prefix(groups.end));
            let (head, _) = core.head(segment).await?;
            let clipped = head.range_deletes().clipped(&from, &to);
            ranges.extend(clipped.map(|(from, to)| Box::from(from)..Box::from(to)));
        }
    }
    Ok(RangeDeletes::new(ranges))
}

fn new_writer(core: &ShardCore) -> Result<SegmentWriter> {
    let options = WriterOptions { compression: core.shared.compression, ..WriterOptions::default() };
    SegmentWriter::new(aquifer_io::random_u64(), options)
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
