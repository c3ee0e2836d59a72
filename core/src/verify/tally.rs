//! What a verification has seen so far.

use crate::embedder_panics;
use crate::error::{Corruption, Error, ErrorKind, Result};
use crate::manifest::format::Manifest;
use crate::segment::SegmentEntry;
use aquifer_remote::RemoteError;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Faults that a report lists; more are counted only.
const FAULTS_MAX: usize = 1000;

/// How far a verification is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyProgress {
    /// Bytes of segments that were read and checked, or given up.
    pub bytes_done: u64,
    /// All bytes of segments.
    pub bytes_total: u64,
    /// Faults so far.
    pub faults: u64,
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Number of the manifest that was verified; 0 if there is none.
    pub manifest: u64,
    /// Number of the checkpoint whose state it has; 0 if there is none.
    pub checkpoint: u64,
    /// Segments that it names, each counted once.
    pub segments: u64,
    /// Partitions whose metas are sound.
    pub partitions: u64,
    /// Data blocks that are sound.
    pub blocks: u64,
    /// Entries in them.
    pub entries: u64,
    /// Bytes of segments that were read.
    pub bytes_read: u64,
    /// Bytes of segments that could not be checked, for what leads there is damaged or missing.
    pub bytes_unread: u64,
    /// Faults in the order in which they were met, at most 1,000.
    pub faults: Vec<Corruption>,
    /// Faults that are not listed.
    pub faults_unlisted: u64,
}

impl VerifyReport {
    /// Whether everything is as it was written.
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }
}

pub(super) struct Tally<'p> {
    report: VerifyReport,
    bytes_total: u64,
    progress: &'p mut (dyn FnMut(VerifyProgress) + Send),
    /// The progress callback panicked; it is not called again.
    panicked: Option<Error>,
}

impl<'p> Tally<'p> {
    pub(super) fn new(progress: &'p mut (dyn FnMut(VerifyProgress) + Send)) -> Self {
        Self { report: VerifyReport::default(), bytes_total: 0, progress, panicked: None }
    }

    pub(super) fn begin(&mut self, manifest: &Manifest, segments: &[&SegmentEntry]) {
        self.report.manifest = manifest.number;
        self.report.checkpoint = manifest.checkpoint;
        self.report.segments = segments.len() as u64;
        self.bytes_total = segments.iter().map(|segment| u64::from(segment.bytes)).sum();
        self.tell();
    }

    pub(super) fn fault(&mut self, fault: Corruption) {
        if self.report.faults.len() < FAULTS_MAX {
            self.report.faults.push(fault);
        } else {
            self.report.faults_unlisted += 1;
        }
    }

    /// Notes what a decoder, or the store, says is damaged or missing; gives any other error back.
    pub(super) fn fault_of(&mut self, error: Error) -> Result<()> {
        if error.kind() != ErrorKind::Corrupt {
            return Err(error);
        }
        let missing =
            std::error::Error::source(&error).and_then(|source| source.downcast_ref::<RemoteError>());
        self.fault(match (error.corruption(), missing) {
            (Some(corruption), _) => corruption.clone(),
            (None, missing) => Corruption {
                object: missing.and_then(RemoteError::object).unwrap_or_default().to_owned(),
                offset: missing.and_then(RemoteError::range).map_or(0, |range| range.start),
                expected: "bytes as they were written".to_owned(),
                found: error.to_string(),
            },
        });
        Ok(())
    }

    pub(super) fn read(&mut self, bytes: u64) {
        self.report.bytes_read += bytes;
        self.tell();
    }

    pub(super) fn unread(&mut self, bytes: u64) {
        self.report.bytes_unread += bytes;
        self.tell();
    }

    pub(super) fn partition(&mut self) {
        self.report.partitions += 1;
    }

    pub(super) fn block(&mut self, entries: u64) {
        self.report.blocks += 1;
        self.report.entries += entries;
    }

    pub(super) fn report(&self) -> VerifyReport {
        self.report.clone()
    }

    /// Whether to go on.
    ///
    /// # Errors
    /// `Panicked`: whoever listens did.
    pub(super) fn goes_on(&self) -> Result<()> {
        self.panicked.clone().map_or(Ok(()), Err)
    }

    fn tell(&mut self) {
        let report = &self.report;
        let faults = report.faults.len() as u64 + report.faults_unlisted;
        let bytes_done = report.bytes_read + report.bytes_unread;
        let seen = VerifyProgress { bytes_done, bytes_total: self.bytes_total, faults };
        if self.panicked.is_none() {
            let told = embedder_panics::call(
                || "the progress callback of verify_store".to_owned(),
                || (self.progress)(seen),
            );
            self.panicked = told.err();
        }
    }
}

/// The tally: nothing that runs under its lock waits, or can leave it half changed.
pub(super) fn locked<'a, 'p>(tally: &'a Mutex<Tally<'p>>) -> MutexGuard<'a, Tally<'p>> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}
