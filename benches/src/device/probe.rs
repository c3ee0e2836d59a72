//! The bare disk beside another measurement: random reads of any length and depth, again and again on one file of its own.

use std::path::Path;

use aquifer_io::{Backend, BackendChoice, select_backend};

use super::backend;
use super::fio::Fio;
use super::sample::Sample;
use super::shape::{Shape, Work};
use super::test_file::TestFile;
use crate::failure::Failure;
use crate::measure::spread::Times;
use crate::measure::tool::ToolError;

/// Shortest file: room for every length.
const FILE_BYTES_MIN: u64 = 32 << 20;
/// Direct reads are of whole sectors.
const SECTOR_BYTES: u32 = 512;
/// Longest read: a mebibyte.
const SECTORS_MAX: u64 = 2048;
/// Name of the one section of the job file.
const SECTION: &str = "reads";

/// Random reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reads {
    /// Bytes of each: whole sectors.
    pub(crate) bytes: u32,
    /// In flight, of each job.
    pub(crate) depth: u32,
    /// Processes that read at the same time.
    pub(crate) jobs: u32,
}

impl Reads {
    /// The whole sectors nearest to so many bytes, at least one.
    pub(crate) fn whole_sectors(bytes: f64) -> u32 {
        let sectors =
            crate::load::rng::whole_part((bytes / f64::from(SECTOR_BYTES)).round()).clamp(1, SECTORS_MAX);
        u32::try_from(sectors).map_or(SECTOR_BYTES, |sectors| sectors * SECTOR_BYTES)
    }

    /// A job file in the manner of `fio-profiles/random-read-4k.fio`.
    fn job_file(self) -> String {
        let Self { bytes, depth, jobs } = self;
        format!(
            "[global]\nioengine=io_uring\ndirect=1\nrw=randread\nnorandommap=1\ntime_based=1\nallow_file_create=0\n\
             clat_percentiles=0\nlat_percentiles=1\npercentile_list=50:99:99.9\n\n\
             [{SECTION}]\nbs={bytes}\niodepth={depth}\nnumjobs={jobs}\ngroup_reporting=1\n"
        )
    }

    fn shape(self, depth: u32) -> Shape {
        let (profile, section, text) = ("random-read", SECTION, "");
        Shape { profile, section, text, work: Work::RandomRead, block_bytes: self.bytes, depth }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct DiskProbe {
    file: TestFile,
    fio: Option<Fio>,
    backend: Backend,
}

impl DiskProbe {
    /// Makes the file in a folder.
    pub(crate) fn new(folder: &Path, file_bytes: u64) -> Result<Self, Failure> {
        let selected = select_backend(BackendChoice::Auto);
        let backend = selected.map_err(|error| Failure::Other(error.to_string()))?.backend;
        let file = TestFile::create(folder, file_bytes.max(FILE_BYTES_MIN), backend)?;
        Ok(Self { file, fio: Fio::find().ok(), backend })
    }

    /// What reads: fio, or our own backend where there is none.
    pub(crate) fn through(&self) -> String {
        self.fio
            .as_ref()
            .map_or_else(|| format!("aquifer-io {}", self.backend), |fio| fio.version().to_owned())
    }

    /// What reads past the page cache; else the numbers are those of the page cache.
    pub(crate) fn is_direct(&self) -> bool {
        self.file.is_direct()
    }

    /// Reads the file through once, as is due before each measurement: data untouched for long is slow on many virtual disks.
    pub(crate) fn read_through(&self) -> Result<(), Failure> {
        self.file.read_through()
    }

    /// Reads for a time. Without fio one thread has all reads in flight.
    pub(crate) fn measure(&self, reads: Reads, times: Times) -> Result<Sample, Failure> {
        match &self.fio {
            Some(fio) => fio
                .measure_text(&reads.shape(reads.depth), &reads.job_file(), &self.file, times)
                .map_err(|error| match error {
                    ToolError::Interrupted => Failure::Interrupted,
                    ToolError::Failed(why) => Failure::Other(why),
                }),
            None => {
                let shape = reads.shape(reads.depth.saturating_mul(reads.jobs));
                backend::measure(self.backend, shape, &self.file, times)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_disk_is_read_in_the_very_shape_that_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let probe = DiskProbe::new(folder.path(), 1).unwrap();
        let reads = Reads { bytes: Reads::whole_sectors(3_400.0), depth: 2, jobs: 2 };
        assert_eq!(reads.bytes, 3_584);
        assert_eq!([0.0, 3_300.0, 1e12].map(Reads::whole_sectors), [512, 3_072, 1 << 20]);
        let job = reads.job_file();
        for line in ["bs=3584", "iodepth=2", "numjobs=2", "direct=1", "ioengine=io_uring"] {
            assert!(job.lines().any(|found| found == line), "{line}: {job}");
        }
        probe.read_through().unwrap();
        let sample = probe.measure(reads, Times::new(Duration::from_millis(200))).unwrap();
        assert!(sample.iops > 0.0 && sample.p50_us > 0.0 && sample.operations > 0, "{sample:?}");
        assert!(!probe.through().is_empty());
    }
}
