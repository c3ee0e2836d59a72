//! Reads the newest manifest of a partition and swaps in the next one.
//!
//! The crash argument. A swap is one put-if-absent of manifest N+1, whose segments' PUTs have all returned:
//! * a crash before it leaves manifest N, and objects that nothing names;
//! * a crash after it leaves manifest N+1 whole, or the put was never applied;
//! * a put whose answer was lost may or may not have been applied, even later: the writer reads N+1 back and knows itself by the
//!   random `attempt` inside. Until N+1 exists it tries the same number again, so whichever of its attempts comes first takes the place.

use super::agreed::Agreed;
use super::format::Manifest;
use super::invariants;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{EPOCH_CLAIMS_MAX, MANIFEST_BYTES_MAX};
use crate::name;
use aquifer_remote::{Content, PutOutcome, Remote, RemoteErrorKind};
use std::ops::Range;
use std::sync::Arc;

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

impl ManifestStore {
    pub(crate) fn new(remote: Arc<dyn Remote>, groups: Range<u16>) -> Self {
        Self { remote, groups }
    }

    /// The newest manifest, if there is one.
    pub(crate) async fn newest(&self) -> Result<Option<Manifest>> {
        let folder = name::manifest_folder(&self.groups);
        let mut last = None;
        loop {
            let page = self.remote.list(&folder, last.as_ref(), LIST_PAGE_ENTRIES).await?;
            let newest = page.entries.into_iter().map(|entry| entry.name).rfind(|name| {
                // Names that are not ours are data of somebody else: skipped.
                name::manifest_number(&self.groups, name).is_some()
            });
            let grew = newest.is_some();
            last = newest.or(last);
            if !page.more || !grew {
                break;
            }
        }
        match last.and_then(|name| name::manifest_number(&self.groups, &name)) {
            Some(number) => self.read(number).await.map(Some),
            None => Ok(None),
        }
    }

    /// Manifest `number`; `None` if there is none of this number.
    pub(crate) async fn find(&self, number: u64) -> Result<Option<Manifest>> {
        // One that exists and cannot be read is an error of `read`.
        match self.remote.head(&name::manifest(&self.groups, number)?).await {
            Err(error) if error.kind() == RemoteErrorKind::NotFound => Ok(None),
            _ => self.read(number).await.map(Some),
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
        let manifest = Manifest::decode(&bytes, &name)?;
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
        invariants::check(next, current)?;
        let name = name::manifest(&self.groups, next.number)?;
        let content = Content::from(next.encode()?);
        match self.remote.put_if_absent(&name, content).await {
            Ok(PutOutcome::Created) => return Ok(Swap::Done),
            Ok(PutOutcome::Exists) => {}
            Err(error) if matches!(error.kind(), RemoteErrorKind::InDoubt | RemoteErrorKind::Unavailable) => {
                return match self.read(next.number).await {
                    Ok(found) => Ok(judge(next, found)),
                    Err(_) => Err(Error::from(error)),
                };
            }
            Err(error) => return Err(Error::from(error)),
        }
        // A retry below us may have met its own first success: the attempt number tells.
        Ok(judge(next, self.read(next.number).await?))
    }

    /// Takes the partition over: writes a manifest with the next epoch and the state of the newest one.
    /// `agree` says what its opening agrees on with the newest one.
    pub(crate) async fn claim(
        &self,
        key_groups: u16,
        agree: impl Fn(Option<&Manifest>) -> Result<Agreed>,
    ) -> Result<Manifest> {
        for _ in 0..EPOCH_CLAIMS_MAX {
            let current = self.newest().await?;
            if let Some(found) =
                current.as_ref().map(|current| current.key_groups).filter(|&found| found != key_groups)
            {
                return Err(Error::new(
                    ErrorKind::Corrupt,
                    format!(
                        "the newest manifest of groups {:?} counts {found} key groups, the store's descriptor {key_groups}",
                        self.groups
                    ),
                ));
            }
            let agreed = agree(current.as_ref())?;
            let next = match &current {
                Some(current) => Manifest {
                    number: current.number + 1,
                    epoch: current.epoch + 1,
                    attempt: aquifer_io::random_u64(),
                    agreed,
                    ..current.clone()
                },
                None => Manifest {
                    number: 1,
                    epoch: 1,
                    attempt: aquifer_io::random_u64(),
                    checkpoint: 0,
                    sequence_next: 1,
                    key_groups,
                    groups: self.groups.clone(),
                    segments: Vec::new(),
                    metadata: Vec::new(),
                    hot: Vec::new(),
                    agreed,
                },
            };
            if self.swap(&next, current.as_ref()).await? == Swap::Done {
                return Ok(next);
            }
        }
        Err(Error::new(
            ErrorKind::Busy,
            format!("{EPOCH_CLAIMS_MAX} times another process opened this store first: let only one open it"),
        ))
    }
}

fn judge(next: &Manifest, found: Manifest) -> Swap {
    if found.attempt == next.attempt && found.epoch == next.epoch {
        Swap::Done
    } else {
        Swap::Lost(Box::new(found))
    }
}
