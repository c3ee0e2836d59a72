//! Jobs for other processes: their names and bytes.
//!
//! ```text
//! compaction/EEEEEEEEEE-RRRRRRRRRRRRRRRR/job          what to do; put by the owner, deleted when it has the result or wants none
//!                                       /claim-NNNN   somebody is at work; put-if-absent, so one at a time
//!                                       /beat-NNNN-MMMMMM   claim N is still at work
//!                                       /void-NNNN    claim N does not count any more; put by the owner alone
//!                                       /done         the result; put-if-absent, so there is one
//! ```
//! E is the owner's epoch, R random. Claim N may be put once N claims are void. Job and result are manifests in form (their segments are
//! inputs and outputs), so that they are checked as manifests are; what else they say is their metadata:
//!
//! ```text
//! job:   offset  bytes  field                      result:  offset  bytes  field
//!             0      1  version: 2                               0      1  version: 2
//!             1      1  level of the outputs                     1      8  keys met
//!             2      1  flags, below                             9      8  keys written
//!             3      1  compression: 0 none, 1 zstd
//!             4      4  its level, signed
//!             8      2  first key group
//!            10      2  end of the key groups
//!            12      8  sequence of the outputs
//!            20      8  moment by which entries expire, in ms
//!            28      4  largest dictionary, in bytes
//! ```
//! Flags: 1 nothing older lies below, 2 partitions of tiers may be copied as they are stored.

use super::job::{Job, JobKind, Outcome};
use crate::codec::{Reader, stored_u32};
use crate::compression_options::{BlockFormat, Compression};
use crate::error::{Error, Result};
use crate::limits::{DICTIONARY_BYTES_MAX, LEVEL_MAX};
use crate::manifest::agreed::Agreed;
use crate::manifest::format::Manifest;
use crate::name;
use crate::version::invariants::Merged;
use crate::version::{Segment, Version};
use aquifer_remote::ObjectName;
use std::ops::Range;
use std::rc::Rc;

const VERSION: u8 = 2;

/// A job as another process sees it.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    pub(crate) epoch: u64,
    pub(crate) key_groups: u16,
    pub(crate) job: Job,
    pub(crate) format: BlockFormat,
    pub(crate) copies_down: bool,
    pub(crate) now_ms: u64,
}

impl Offer {
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        let (tag, level) = match self.format.compression {
            Compression::None => (0, 0),
            Compression::Zstd { level } => (1, level),
        };
        let flags = u8::from(self.job.reaches_bottom) | u8::from(self.copies_down) << 1;
        let mut metadata = vec![VERSION, self.job.level, flags, tag];
        metadata.extend_from_slice(&level.to_le_bytes());
        metadata.extend_from_slice(&self.job.groups.start.to_le_bytes());
        metadata.extend_from_slice(&self.job.groups.end.to_le_bytes());
        metadata.extend_from_slice(&self.job.sequence.to_le_bytes());
        metadata.extend_from_slice(&self.now_ms.to_le_bytes());
        metadata.extend_from_slice(&stored_u32(self.format.dictionary_bytes_max).to_le_bytes());
        frame(self.epoch, self.key_groups, self.job.segments(), metadata).encode()
    }

    /// Verifies and decodes the object `name`.
    pub(crate) fn decode(bytes: &[u8], name: &ObjectName) -> Result<Self> {
        let Manifest { epoch, key_groups, segments, metadata, .. } = Manifest::decode(bytes, name)?;
        let version = Version::restored(segments);
        (|| {
            let mut fields = Reader::new(&metadata);
            let [version_found, level, flags, tag] = fields.array()?;
            let zstd = i32::from_le_bytes(fields.array()?);
            let groups = fields.u16()?..fields.u16()?;
            let (sequence, now_ms, dictionary) = (fields.u64()?, fields.u64()?, fields.u32()? as usize);
            let compression = match tag {
                0 => Compression::None,
                1 => Compression::Zstd { level: zstd },
                _ => return None,
            };
            let runs = 0..version.runs.len();
            let mut job = Job::merge(JobKind::Tiers, &version, runs, groups, level)?;
            (job.sequence, job.reaches_bottom) = (sequence, flags & 1 == 1);
            let sound = version_found == VERSION
                && fields.remaining() == 0
                && level <= LEVEL_MAX
                && flags < 4
                && dictionary <= DICTIONARY_BYTES_MAX;
            let format = BlockFormat { compression, dictionary_bytes_max: dictionary };
            sound.then_some(Self { epoch, key_groups, job, format, copies_down: flags & 2 == 2, now_ms })
        })()
        .ok_or_else(|| {
            Error::corrupt(
                name.as_str(),
                0,
                format!("a compaction job of version {VERSION}"),
                format!("{metadata:02x?}"),
            )
        })
    }
}

/// The bytes of a result.
pub(crate) fn encode_result(offer: &Offer, outcome: &Outcome) -> Result<Vec<u8>> {
    let mut metadata = vec![VERSION];
    metadata.extend_from_slice(&outcome.merged.keys.to_le_bytes());
    metadata.extend_from_slice(&outcome.merged.kept.to_le_bytes());
    frame(offer.epoch, offer.key_groups, outcome.outputs.iter(), metadata).encode()
}

/// Verifies and decodes a result of `job`: outputs of other key groups, levels or sequences than it asked for are refused.
pub(crate) fn decode_result(bytes: &[u8], name: &ObjectName, job: &Job) -> Result<Outcome> {
    let Manifest { segments, metadata, .. } = Manifest::decode(bytes, name)?;
    let outputs: Vec<_> = segments.into_iter().map(|entry| Rc::new(Segment::new(entry))).collect();
    let inside = |groups: &Range<u16>| groups.start >= job.groups.start && groups.end <= job.groups.end;
    let asked_for = outputs.iter().all(|segment| {
        let entry = &segment.entry;
        entry.level == job.level && entry.sequence == job.sequence && inside(&entry.groups)
    });
    let merged = (|| {
        let mut fields = Reader::new(&metadata);
        let [format] = fields.array()?;
        let merged = Merged { keys: fields.u64()?, kept: fields.u64()? };
        (format == VERSION && fields.remaining() == 0 && asked_for).then_some(merged)
    })();
    match merged {
        Some(merged) => Ok(Outcome { outputs, merged }),
        None => Err(Error::corrupt(
            name.as_str(),
            0,
            format!("a result of level {}, sequence {} in {:?}", job.level, job.sequence, job.groups),
            format!("{} segments, {metadata:02x?}", outputs.len()),
        )),
    }
}

fn frame<'a>(
    epoch: u64,
    key_groups: u16,
    segments: impl Iterator<Item = &'a Rc<Segment>>,
    metadata: Vec<u8>,
) -> Manifest {
    Manifest {
        number: 0,
        epoch,
        attempt: aquifer_io::random_u64(),
        checkpoint: 0,
        sequence_next: 0,
        key_groups,
        groups: 0..key_groups,
        segments: segments.map(|segment| segment.entry.clone()).collect(),
        metadata,
        hot: Vec::new(),
        agreed: Agreed::default(),
    }
}

/// What stands in the folder of one job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Folder {
    pub(crate) has_job: bool,
    pub(crate) is_done: bool,
    pub(crate) claims: u32,
    pub(crate) voids: u32,
    /// Everything in it: it grows while somebody is at work.
    pub(crate) objects: usize,
}

impl Folder {
    /// Takes in one more name, without the folder's own.
    pub(crate) fn add(&mut self, name: &str) {
        self.objects += 1;
        match name.split_once('-').map_or(name, |(kind, _)| kind) {
            "job" => self.has_job = true,
            "done" => self.is_done = true,
            "claim" => self.claims += 1,
            "void" => self.voids += 1,
            _ => {}
        }
    }

    /// Nobody is at work, and somebody is wanted.
    pub(crate) fn is_free(&self) -> bool {
        self.has_job && !self.is_done && self.claims <= self.voids
    }
}

/// The folder of a job.
pub(crate) fn folder(epoch: u64, random: u64) -> String {
    format!("{}{epoch:010}-{random:016x}/", name::COMPACTION_FOLDER)
}

/// The epoch in a job's folder; `None` for a name that this module does not make.
pub(crate) fn folder_epoch(folder: &str) -> Option<u64> {
    let (epoch, random) = folder.strip_prefix(name::COMPACTION_FOLDER)?.strip_suffix('/')?.split_once('-')?;
    let well_formed = epoch.len() == 10 && random.len() == 16;
    epoch.parse().ok().filter(|_| well_formed)
}

pub(crate) fn claim(number: u32) -> String {
    format!("claim-{number:04}")
}

pub(crate) fn void(number: u32) -> String {
    format!("void-{number:04}")
}

pub(crate) fn beat(claim: u32, number: u32) -> String {
    format!("beat-{claim:04}-{number:06}")
}

/// Splits a listed name into its job's folder and the rest.
pub(crate) fn split(listed: &ObjectName) -> Option<(&str, &str)> {
    let at = listed.as_str().rfind('/')? + 1;
    let (folder, rest) = listed.as_str().split_at(at);
    folder_epoch(folder).map(|_| (folder, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::tests::entry;

    fn offer() -> Offer {
        let version = Version::restored(vec![
            entry(9, 0..8, (0, b"a"), (7, b"z"), 1000),
            entry(5, 0..8, (0, b"b"), (7, b"y"), 2000),
            entry(4, 4..8, (4, b"b"), (7, b"y"), 2000),
        ]);
        let job = Job::merge(JobKind::Bottom, &version, 0..3, 2..6, 1).unwrap();
        let format = BlockFormat { compression: Compression::Zstd { level: -3 }, dictionary_bytes_max: 4096 };
        Offer { epoch: 3, key_groups: 8, job, format, copies_down: true, now_ms: 77 }
    }

    #[test]
    fn a_job_comes_back_as_it_was_and_every_flipped_byte_shows() {
        let name = ObjectName::new("compaction/x/job").unwrap();
        let good = offer();
        let bytes = good.encode().unwrap();
        let back = Offer::decode(&bytes, &name).unwrap();
        let inputs = |offer: &Offer| {
            let runs = offer.job.inputs.iter();
            runs.map(|run| run.iter().map(|s| s.entry.clone()).collect()).collect::<Vec<Vec<_>>>()
        };
        assert_eq!(inputs(&back), inputs(&good));
        assert_eq!((back.job.groups.clone(), back.job.level, back.job.sequence), (2..6, 1, 9));
        assert_eq!((back.job.reaches_bottom, back.format, back.now_ms), (true, good.format, 77));
        assert!(back.copies_down);
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0x04;
            assert!(Offer::decode(&bad, &name).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_result_that_was_not_asked_for_is_refused() {
        let name = ObjectName::new("compaction/x/done").unwrap();
        let offer = offer();
        let output = |change: fn(&mut crate::segment::SegmentEntry)| {
            let mut output = entry(9, 2..6, (2, b"a"), (5, b"z"), 1000);
            output.level = 1;
            change(&mut output);
            let outcome =
                Outcome { outputs: vec![Rc::new(Segment::new(output))], merged: Merged { keys: 2, kept: 1 } };
            decode_result(&encode_result(&offer, &outcome).unwrap(), &name, &offer.job)
        };
        assert_eq!(output(|_| {}).unwrap().merged, Merged { keys: 2, kept: 1 });
        assert!(output(|entry| entry.level = 0).is_err());
        assert!(output(|entry| entry.sequence = 10).is_err());
        assert!(output(|entry| entry.groups = 1..6).is_err());
    }

    #[test]
    fn claims_and_voids_say_whether_somebody_is_at_work() {
        let mut folder = Folder::default();
        assert!(!folder.is_free(), "no job");
        folder.add("job");
        assert!(folder.is_free());
        folder.add(&claim(0));
        folder.add(&beat(0, 1));
        assert!(!folder.is_free());
        folder.add(&void(0));
        assert!(folder.is_free());
        folder.add("done");
        assert!(!folder.is_free());
        assert_eq!(folder.objects, 5);
    }

    #[test]
    fn foreign_names_are_skipped() {
        let own = ObjectName::new(format!("{}job", folder(3, 7))).unwrap();
        assert_eq!(split(&own).map(|(folder, rest)| (folder_epoch(folder), rest)), Some((Some(3), "job")));
        for foreign in ["compaction/x/job", "compaction/job", "store", "compaction/0000000003-7/job"] {
            assert_eq!(split(&ObjectName::new(foreign).unwrap()), None);
        }
    }
}
