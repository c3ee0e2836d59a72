//! Reads the newest manifest of a partition and swaps in the next one.
//!
//! The crash argument. A swap is one put-if-absent of manifest N+1, whose segments' PUTs have all returned:
//! * a crash before it leaves manifest N, and objects that nothing names;
//! * a crash after it leaves manifest N+1 whole, or the put was never applied;
//! * a put whose answer was lost may or may not have been applied, even later: the writer reads N+1 back and knows itself by the
//!   random `attempt` inside. Until N+1 exists it tries the same number again, so whichever of its attempts comes first takes the place.

use super::format::Manifest;
use super::{invariants, search};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::MANIFEST_BYTES_MAX;
use crate::name;
use aquifer_remote::{Content, ObjectName, PutOutcome, Remote, RemoteErrorKind};
use std::ops::Range;
use std::sync::Arc;

/// One page tells where a store begins whose oldest manifests are gone.
const LIST_PAGE_ENTRIES: usize = 1000;

/// The numbered manifests of one partition on the DFS.
#[derive(Clone, Debug)]
pub(crate) struct ManifestStore {
    remote: Arc<dyn Remote>,
    groups: Range<u16>,
}

/// What became of a swap.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Swap {
    /// The manifest is the newest now.
    Done,
    /// Somebody else's manifest has this number.
    Lost(Box<Manifest>),
}

/// How one put-if-absent of a manifest ended.
pub(super) enum Attempt {
    Swapped(Swap),
    /// The name is taken, and the store says that there is no such object.
    Hidden,
}

impl ManifestStore {
    pub(crate) fn new(remote: Arc<dyn Remote>, groups: Range<u16>) -> Self {
        Self { remote, groups }
    }

    /// The newest manifest, if there is one. See [`search`] for what it takes.
    pub(crate) async fn newest(&self) -> Result<Option<Manifest>> {
        match self.newest_from(0).await? {
            0 => Ok(None),
            number => self.read(number).await.map(Some),
        }
    }

    /// The number of the newest manifest, from `known` on, which exists. From 0: of all; 0 if there is none.
    pub(super) async fn newest_from(&self, known: u64) -> Result<u64> {
        match search::highest(known, |number| self.exists(number)).await? {
            0 => match self.oldest_listed().await? {
                0 => Ok(0),
                oldest => search::highest(oldest, |number| self.exists(number)).await,
            },
            newest => Ok(newest),
        }
    }

    /// The lowest number that one page of a listing shows; 0 if it shows none. Where somebody deletes old objects (a rule of the bucket), the
    /// search from 0 may meet none: to take such a store for a new one would hide all it holds.
    async fn oldest_listed(&self) -> Result<u64> {
        let page = self.remote.list(&name::manifest_folder(&self.groups), None, LIST_PAGE_ENTRIES).await?;
        // Names that are not ours are data of somebody else: skipped.
        let numbers =
            page.entries.iter().filter_map(|entry| name::manifest_number(&self.groups, &entry.name));
        Ok(numbers.min().unwrap_or(0))
    }

    async fn exists(&self, number: u64) -> Result<bool> {
        match self.remote.head(&name::manifest(&self.groups, number)?).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == RemoteErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::from(error)),
        }
    }

    /// Manifest `number`; `None` if there is none of this number.
    pub(crate) async fn find(&self, number: u64) -> Result<Option<Manifest>> {
        let name = name::manifest(&self.groups, number)?;
        match self.remote.get(&name, MANIFEST_BYTES_MAX).await {
            Ok(bytes) => self.decoded(&bytes, number, &name).map(Some),
            Err(error) if error.kind() == RemoteErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::from(error)),
        }
    }

    /// The manifest that committed checkpoint `checkpoint`; of `None` the newest manifest, which has the state of the newest checkpoint.
    /// `None` if there is no such one.
    pub(crate) async fn of_checkpoint(&self, checkpoint: Option<u64>) -> Result<Option<Manifest>> {
        match checkpoint {
            None => self.newest().await,
            // A manifest between checkpoints, as openings write it, committed none.
            Some(number) => Ok(self.find(number).await?.filter(|found| found.checkpoint == number)),
        }
    }

    /// Reads and verifies manifest `number`.
    pub(crate) async fn read(&self, number: u64) -> Result<Manifest> {
        let name = name::manifest(&self.groups, number)?;
        let bytes = self.remote.get(&name, MANIFEST_BYTES_MAX).await?;
        self.decoded(&bytes, number, &name)
    }

    fn decoded(&self, bytes: &[u8], number: u64, name: &ObjectName) -> Result<Manifest> {
        let manifest = Manifest::decode(bytes, name)?;
        if manifest.number != number || manifest.groups != self.groups {
            return Err(Error::corrupt(
                name.as_str(),
                16,
                format!("manifest {number} of groups {:?}", self.groups),
                format!("manifest {} of groups {:?}", manifest.number, manifest.groups),
            ));
        }
        Ok(manifest)
    }

    /// Puts `next` in place after `current`.
    ///
    /// # Errors
    /// `Unavailable` when it stays unknown whether it was applied: repeat with the same number.
    pub(crate) async fn swap(&self, next: &Manifest, current: Option<&Manifest>) -> Result<Swap> {
        match self.attempt(next, current).await? {
            Attempt::Swapped(swap) => Ok(swap),
            Attempt::Hidden => Err(Error::new(ErrorKind::Unavailable, self.hidden(next.number)?)),
        }
    }

    /// As [`Self::swap`], and says when the store contradicts itself.
    pub(super) async fn attempt(&self, next: &Manifest, current: Option<&Manifest>) -> Result<Attempt> {
        invariants::check(next, current)?;
        let name = name::manifest(&self.groups, next.number)?;
        let content = Content::from(next.encode()?);
        match self.remote.put_if_absent(&name, content).await {
            Ok(PutOutcome::Created) => return Ok(Attempt::Swapped(Swap::Done)),
            Ok(PutOutcome::Exists) => {}
            Err(error) if matches!(error.kind(), RemoteErrorKind::InDoubt | RemoteErrorKind::Unavailable) => {
                return match self.find(next.number).await {
                    Ok(Some(found)) => Ok(Attempt::Swapped(judge(next, found))),
                    Ok(None) | Err(_) => Err(Error::from(error)),
                };
            }
            Err(error) => return Err(Error::from(error)),
        }
        // A retry below us may have met its own first success: the attempt number tells.
        Ok(match self.find(next.number).await? {
            Some(found) => Attempt::Swapped(judge(next, found)),
            None => Attempt::Hidden,
        })
    }

    /// What to say of a store that has and has not manifest `number`.
    pub(super) fn hidden(&self, number: u64) -> Result<String> {
        Ok(format!(
            "the store at {} says that {} does not exist, but refuses to create it: its reads lag behind its writes (a cache before it, a \
             replica that is behind), or something else keeps that name; nobody else is to blame, try again once it agrees with itself",
            self.remote.describe(),
            name::manifest(&self.groups, number)?
        ))
    }

    pub(super) fn groups(&self) -> &Range<u16> {
        &self.groups
    }
}

fn judge(next: &Manifest, found: Manifest) -> Swap {
    if found.attempt == next.attempt && found.epoch == next.epoch {
        Swap::Done
    } else {
        Swap::Lost(Box::new(found))
    }
}
