//! Carries a merge out: reads its inputs, writes and uploads its outputs. Changes no version.
//!
//! Inputs are read in windows through the cache's read plan, in a class of their own: from the SSD if they are there, and kept nowhere, so
//! that a merge does not push out what is hot. Outputs are cut so
//! that what is in memory at once stays within the shard's budget, at key-group borders once they are half as large as they may be, and
//! uploaded one by one. A merge that ends early leaves objects that nothing names, and no more.

use crate::blocks::reader::BlockReader;
use crate::compact::budget::Slices;
use crate::compact::host::Host;
use crate::compact::job::{Job, Outcome};
use crate::compression_options::BlockFormat;
use crate::cursors::merge::{Merge, Run, Writes};
use crate::cursors::run_cursor::{RunCursor, WholePartition};
use crate::cursors::source::BlockSource;
use crate::embedder_panics::overheard;
use crate::error::{Error, Result};
use crate::key::{group_of, group_prefix, of_key};
use crate::limits::{COMPACTION_WINDOW_BYTES, PARTITION_RAW_BYTES, UPLOAD_BACKOFF};
use crate::name;
use crate::resolve::fold;
use crate::retry::retried;
use crate::segment::encoded::EncodedSegment;
use crate::segment::ranges::RangeDeletes;
use crate::segment::writer::{SegmentWriter, WriterOptions};
use crate::version::{Segment, SortedRun, intersection};
use aquifer_remote::Content;
use std::collections::VecDeque;
use std::rc::Rc;

/// Bytes of a partition that are copied in the time in which one is merged, about: both sums are made and nothing else.
const COPY_FACTOR: usize = 8;

/// Where the epoch in the names of outputs and the right to go on come from: the shard's own engine, or a job of another process.
pub(crate) struct Mandate<'a> {
    pub(crate) epoch: u64,
    pub(crate) job: &'a Job,
    pub(crate) format: BlockFormat,
    /// Partitions of tiers may be copied into the bottom as they are stored.
    pub(crate) copies_down: bool,
    /// Entries that expire by this moment are dropped, in the store's time domain.
    pub(crate) now_ms: u64,
    /// An error once the work is not wanted any more.
    pub(crate) check: &'a dyn Fn() -> Result<()>,
}

/// A merge under way.
struct Work<'a, H> {
    host: &'a H,
    mandate: &'a Mandate<'a>,
    writer: SegmentWriter,
    /// Outputs that were cut and wait for their upload.
    full: VecDeque<SegmentWriter>,
    /// What the inputs delete by ranges, where they count; nothing if the merge reaches the bottom.
    ranges: RangeDeletes,
    /// Where the open output begins: range deletions from here on belong to it.
    lower: Box<[u8]>,
    /// Group of the last key written.
    group: Option<u16>,
    cuts: Vec<u16>,
    /// No input deletes ranges: then what a partition holds is all that there is to know of its keys.
    copies: bool,
    output_bytes_max: usize,
    outcome: Outcome,
    /// An operator of the embedder panicked; its operands were kept as they are.
    panicked: Option<Error>,
}

/// Carries `mandate` out on the host's thread, in slices between which its reads run.
///
/// # Errors
/// What the inputs or the DFS say, and whatever the mandate's check says.
pub(crate) async fn carry_out(host: &impl Host, mandate: &Mandate<'_>) -> Result<Outcome> {
    let mut work = Work {
        host,
        mandate,
        writer: new_writer(mandate)?,
        full: VecDeque::new(),
        ranges: range_deletes(host.blocks(), mandate.job).await?,
        lower: Box::from(group_prefix(mandate.job.groups.start)),
        group: None,
        cuts: mandate.job.cuts(),
        copies: mandate.job.segments().all(|segment| segment.facts.range_deletions == 0),
        output_bytes_max: host.merge_bytes() / 2,
        outcome: Outcome::default(),
        panicked: None,
    };
    let mut merge = Merge::new(open_inputs(host.blocks(), host.merge_bytes(), mandate.job).await?, false);
    let mut slices = Slices::new();
    loop {
        if let Some(whole) = merge.lone_partition()
            && let Some(cut) = work.copy(whole)?
        {
            // Checked and copied, not decoded: about as much work as a tenth of its bytes.
            let bytes = whole.partition.handle.bytes() as usize / COPY_FACTOR;
            merge.skip_partition(host.blocks()).await?;
            work.after(cut, bytes, &mut slices).await?;
            continue;
        }
        let mut bytes = 32;
        // An output is closed between two keys: what comes first after the cut is carried over.
        let next = merge
            .next(host.blocks(), |writes| {
                bytes += writes.key.len();
                bytes += writes.entries.iter().map(|entry| entry.payload().len()).sum::<usize>();
                work.take(&writes)
            })
            .await?;
        let Some(taken) = next else { break };
        work.after(taken?, bytes, &mut slices).await?;
    }
    work.cut(&group_prefix(mandate.job.groups.end), true)?;
    work.upload_full().await?;
    if let Some(error) = &work.panicked {
        host.panicked(error);
    }
    Ok(work.outcome)
}

/// What a job's inputs delete by ranges, each where it counts. At the bottom there is nothing left to delete.
async fn range_deletes(reader: &BlockReader, job: &Job) -> Result<RangeDeletes> {
    let mut ranges = Vec::new();
    if job.reaches_bottom {
        return Ok(RangeDeletes::default());
    }
    for segment in job.segments().filter(|segment| segment.facts.range_deletions > 0) {
        let groups = intersection(&segment.entry.groups, &job.groups);
        let (from, to) = (group_prefix(groups.start), group_prefix(groups.end));
        let (head, _) = reader.head(segment).await?;
        let clipped = head.range_deletes().clipped(&from, &to);
        ranges.extend(clipped.map(|(from, to)| Box::from(from)..Box::from(to)));
    }
    Ok(RangeDeletes::new(ranges))
}

async fn open_inputs(reader: &BlockReader, merge_bytes: usize, job: &Job) -> Result<Vec<Run>> {
    let share = merge_bytes / 2 / job.inputs.len().max(1);
    let window_bytes = share.clamp(COMPACTION_WINDOW_BYTES.0, COMPACTION_WINDOW_BYTES.1);
    let (from, to) = (group_prefix(job.groups.start), group_prefix(job.groups.end));
    let mut inputs = Vec::with_capacity(job.inputs.len());
    for segments in &job.inputs {
        let Some(run) = SortedRun::new(segments.clone()) else { continue };
        let source = BlockSource::windows(window_bytes);
        inputs.push(Run::Segments(Box::new(RunCursor::seek(reader, &run, source, &from, &to, false).await?)));
    }
    Ok(inputs)
}

fn new_writer(mandate: &Mandate<'_>) -> Result<SegmentWriter> {
    let BlockFormat { compression, dictionary_bytes_max } = mandate.format;
    let options = WriterOptions { compression, dictionary_bytes_max, ..WriterOptions::default() };
    SegmentWriter::new(aquifer_io::random_u64(), options)
}

impl<H: Host> Work<'_, H> {
    /// Uploads outputs if some were cut, and lets reads run once a slice is full.
    async fn after(&mut self, cut: bool, bytes: usize, slices: &mut Slices) -> Result<()> {
        if cut {
            self.upload_full().await?;
            slices.restart();
        }
        if slices.is_full(bytes) {
            (self.mandate.check)()?;
            slices.pause(self.host.cpu_percent(), || self.host.reads()).await;
        }
        Ok(())
    }

    /// Takes a partition that no other input reaches into as it is stored, if every entry of it would be written as it is: `None` if not,
    /// else whether outputs were cut before it.
    fn copy(&mut self, whole: WholePartition<'_>) -> Result<Option<bool>> {
        let WholePartition { segment, head, partition } = whole;
        let (meta, job) = (&partition.meta, self.mandate.job);
        let counts = meta.counts();
        // At the bottom deletions go and operands become values.
        let stays = !job.reaches_bottom || counts.tombstones == 0 && counts.merges == 0;
        let lives = counts.expiring == 0 || counts.expiry_ms_min > self.mandate.now_ms;
        let in_format = SegmentWriter::takes_blocks_of(head)
            && self.mandate.format.dictionary_bytes_max == 0
            && (segment.entry.level == job.level || self.mandate.copies_down);
        // Small partitions are better joined.
        let is_large = counts.raw_bytes >= PARTITION_RAW_BYTES as u64 / 2;
        let (first, last) = (group_of(meta.smallest()), group_of(meta.largest()));
        let is_cut = self.cuts.iter().any(|&cut| first < Some(cut) && Some(cut) <= last);
        if !(self.copies && stays && lives && in_format && is_large) || is_cut {
            return Ok(None);
        }
        let Some(stored) = partition.verified(segment)? else { return Ok(None) };
        let cut = self.must_cut(meta.smallest());
        if cut {
            self.cut(meta.smallest(), false)?;
        }
        self.writer.push_raw_partition(stored, head, partition.position, meta)?;
        self.group = last;
        self.outcome.merged.keys += counts.entries;
        self.outcome.merged.kept += counts.entries;
        self.host.copied(stored.len() as u64);
        Ok(Some(cut))
    }

    /// Takes what the inputs say of one key; `true` if outputs were cut before it: then what was open is to be uploaded.
    fn take(&mut self, writes: &Writes<'_>) -> Result<bool> {
        self.outcome.merged.keys += 1;
        let is_last = self.mandate.job.reaches_bottom || writes.is_deleted_below;
        let operators = self.host.operators();
        let (folded, panicked) = overheard(|| fold(writes.entries, is_last, self.mandate.now_ms, operators));
        if let Some(error) = panicked {
            self.panicked.get_or_insert_with(|| of_key(error, writes.key));
        }
        let Some(folded) = folded.map_err(|error| of_key(error, writes.key))? else { return Ok(false) };
        if folded.is_too_large() {
            self.host.met_too_large(writes.key);
        }
        let cut = self.must_cut(writes.key);
        if cut {
            self.cut(writes.key, false)?;
        }
        self.group = group_of(writes.key);
        self.outcome.merged.kept += 1;
        self.writer.push(writes.key, &folded.entry())?;
        Ok(cut)
    }

    /// Whether the open output ends before `key`: it is full, or half full at a border of key groups, or must not reach over a hole.
    fn must_cut(&self, key: &[u8]) -> bool {
        let Some((last, group)) = self.group.zip(group_of(key)) else { return false };
        let bytes = self.writer.memory_bytes();
        let hole = self.cuts.iter().any(|&cut| last < cut && cut <= group);
        !self.writer.is_empty()
            && (hole
                || bytes >= self.output_bytes_max
                || (last != group && bytes >= self.output_bytes_max / 2))
    }

    /// Ends the open output before `upper`, with the range deletions up to there. A part beyond a hole that has range deletions but
    /// no entry becomes an output of its own; what lies between the last hole and `upper` belongs to the next one.
    fn cut(&mut self, upper: &[u8], at_end: bool) -> Result<()> {
        let next = new_writer(self.mandate)?;
        let mut open = Some(std::mem::replace(&mut self.writer, next));
        let holes = self.cuts.iter().map(|&cut| (cut, Box::from(group_prefix(cut))));
        let mut borders: Vec<(u16, Box<[u8]>)> =
            holes.filter(|(_, border)| *self.lower < **border && **border <= *upper).collect();
        if at_end || borders.is_empty() {
            borders.push((u16::MAX, Box::from(upper)));
        }
        for (group, border) in borders {
            let holds_open = self.group.is_none_or(|last| last < group);
            let mut writer = match open.take_if(|_| holds_open) {
                Some(writer) => writer,
                None => new_writer(self.mandate)?,
            };
            for (from, to) in self.ranges.clipped(&self.lower, &border) {
                writer.push_range_delete(from, to);
            }
            if !writer.is_empty() {
                self.full.push_back(writer);
            }
            self.lower = border;
        }
        // Its entries lie beyond the last hole.
        if let Some(mut writer) = open.filter(|writer| !writer.is_empty()) {
            for (from, to) in self.ranges.clipped(&self.lower, upper) {
                writer.push_range_delete(from, to);
            }
            self.full.push_back(writer);
            self.lower = Box::from(upper);
        }
        Ok(())
    }

    /// Uploads what was cut, and keeps filter and index at hand.
    async fn upload_full(&mut self) -> Result<()> {
        while let Some(writer) = self.full.pop_front() {
            self.upload_one(writer).await?;
        }
        Ok(())
    }

    async fn upload_one(&mut self, writer: SegmentWriter) -> Result<()> {
        let encoded = writer.finish()?;
        let job = self.mandate.job;
        let object = name::pack(self.mandate.epoch, job.sequence, aquifer_io::random_u64())?;
        self.host.uploads().wait(u64::from(encoded.bytes)).await;
        self.upload(&encoded, &object).await?;
        self.host.uploaded(u64::from(encoded.bytes));
        let mut entry = encoded.entry(job.sequence)?;
        (entry.object, entry.level) = (object, job.level);
        let segment = Rc::new(Segment::new(entry));
        self.host.keep(job, &segment, encoded).await;
        self.outcome.outputs.push(segment);
        Ok(())
    }

    async fn upload(&self, encoded: &EncodedSegment, object: &aquifer_remote::ObjectName) -> Result<()> {
        retried(UPLOAD_BACKOFF, usize::MAX, async || {
            (self.mandate.check)()?;
            let put = self.host.blocks().remote.put(object, Content::from(encoded.chunks.clone()));
            put.await.map_err(Error::from)
        })
        .await
    }
}
