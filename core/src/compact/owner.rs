//! The owner's side of compaction in other processes: offers jobs, watches them, and takes results over.
//!
//! A job's inputs are busy while it is offered; the shard goes on with what does not touch them. Who does a job is settled by one
//! put-if-absent of a claim. A claim holds for as long as new objects appear in the job's folder; once none appeared for a lease, by the
//! owner's own monotonic clock (no two machines' clocks are compared), the owner declares it void, and anybody may claim anew. A job that
//! nobody claims for half a lease, the owner claims itself. Either way a worker that dies blocks nobody; one that was only slow finds
//! its claim void and stops, or, if it is done first, its result is taken.

use super::job::{Job, Outcome};
use super::offer::{self, Folder, Offer};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{COMPACTION_CLAIMS_MAX, COMPACTION_NAMES_MAX, MANIFEST_BYTES_MAX};
use crate::name;
use aquifer_io::Instant;
use aquifer_remote::{Content, ObjectName, PutOutcome, Remote, RemoteErrorKind};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Looks into the folder for each lease, and the longest pause between two.
const LOOKS_PER_LEASE: u32 = 8;
const LOOK_PAUSE_MAX: Duration = Duration::from_secs(1);
const LIST_PAGE_ENTRIES: usize = 1000;

/// A job that is offered.
pub(crate) struct Offered {
    remote: Arc<dyn Remote>,
    folder: String,
    lease: Duration,
}

/// How an offer ended.
#[derive(Debug)]
pub(crate) enum Ending {
    /// A worker did it.
    Done(Outcome),
    /// Nobody does it: it is the owner's.
    Returned { was_claimed: bool },
}

impl Offered {
    /// Offers the job.
    pub(crate) async fn put(remote: &Arc<dyn Remote>, offer: &Offer, lease: Duration) -> Result<Self> {
        let folder = offer::folder(offer.epoch, aquifer_io::random_u64());
        let offered = Self { remote: Arc::clone(remote), folder, lease };
        remote.put(&offered.name("job")?, Content::from(offer.encode()?)).await?;
        Ok(offered)
    }

    fn name(&self, name: &str) -> Result<ObjectName> {
        name::in_folder(&self.folder, name)
    }

    /// Waits until a worker has done the job, or it is clear that none will. `check` says whether to go on waiting.
    pub(crate) async fn ending(&self, job: &Job, check: impl Fn() -> Result<()>) -> Result<Ending> {
        let mut seen = Folder::default();
        let mut changed = aquifer_io::now();
        loop {
            check()?;
            aquifer_io::sleep((self.lease / LOOKS_PER_LEASE).min(LOOK_PAUSE_MAX)).await;
            let folder = match look(&self.remote, &self.folder).await {
                Ok(folder) => folder,
                // Whoever is at work does not see the DFS either: the lease begins anew.
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    changed = aquifer_io::now();
                    continue;
                }
                Err(error) => return Err(error),
            };
            if folder.is_done {
                let name = self.name("done")?;
                let bytes = self.remote.get(&name, MANIFEST_BYTES_MAX).await?;
                let outcome = offer::decode_result(&bytes, &name, job);
                self.clear().await;
                return outcome.map(Ending::Done);
            }
            if folder != seen {
                (seen, changed) = (folder.clone(), aquifer_io::now());
            }
            if self.step(&folder, changed).await? {
                self.clear().await;
                return Ok(Ending::Returned { was_claimed: folder.claims > 0 });
            }
        }
    }

    /// Voids a claim that shows no life, or claims a job that nobody wants: `true` then.
    async fn step(&self, folder: &Folder, changed: Instant) -> Result<bool> {
        let quiet = changed.elapsed();
        if !folder.is_free() {
            if quiet >= self.lease && folder.claims > 0 {
                let void = self.name(&offer::void(folder.claims - 1))?;
                passing(self.remote.put_if_absent(&void, Content::from(Vec::<u8>::new())).await)?;
            }
            return Ok(false);
        }
        if quiet < self.lease / 2 && folder.voids < COMPACTION_CLAIMS_MAX {
            return Ok(false);
        }
        let claim = self.name(&offer::claim(folder.voids))?;
        let put = self.remote.put_if_absent(&claim, Content::from(b"owner".to_vec())).await;
        Ok(passing(put)? == Some(PutOutcome::Created))
    }

    /// Takes the job away: first what says that somebody is wanted. What cannot be deleted now, the next owner deletes.
    async fn clear(&self) {
        if let Ok(job) = self.name("job") {
            drop(self.remote.delete(&job).await);
        }
        drop(delete_folder(&self.remote, &self.folder).await);
    }
}

/// A request whose failure is tried again at the next look.
fn passing<T>(outcome: Result<T, aquifer_remote::RemoteError>) -> Result<Option<T>> {
    match outcome {
        Ok(done) => Ok(Some(done)),
        Err(error) if matches!(error.kind(), RemoteErrorKind::Unavailable | RemoteErrorKind::InDoubt) => {
            Ok(None)
        }
        Err(error) => Err(Error::from(error)),
    }
}

/// The names below `prefix`, in order: all of them, unless there are so many that something went wrong. Then the first, which are the oldest jobs,
/// and the owner deletes those.
async fn names(remote: &Arc<dyn Remote>, prefix: &str) -> Result<Vec<ObjectName>> {
    let mut names: Vec<ObjectName> = Vec::new();
    loop {
        let page = remote.list(prefix, names.last(), LIST_PAGE_ENTRIES).await?;
        let (more, before) = (page.more, names.len());
        names.extend(page.entries.into_iter().map(|entry| entry.name));
        if !more || names.len() == before || names.len() >= COMPACTION_NAMES_MAX {
            return Ok(names);
        }
    }
}

/// What stands in one job's folder.
pub(crate) async fn look(remote: &Arc<dyn Remote>, folder: &str) -> Result<Folder> {
    let mut found = Folder::default();
    for name in names(remote, folder).await? {
        if let Some((_, rest)) = offer::split(&name) {
            found.add(rest);
        }
    }
    Ok(found)
}

/// Every job's folder of the store, by name.
pub(crate) async fn look_at_all(remote: &Arc<dyn Remote>) -> Result<BTreeMap<String, Folder>> {
    let mut folders: BTreeMap<String, Folder> = BTreeMap::new();
    for name in names(remote, name::COMPACTION_FOLDER).await? {
        if let Some((folder, rest)) = offer::split(&name) {
            folders.entry(folder.to_owned()).or_default().add(rest);
        }
    }
    Ok(folders)
}

async fn delete_folder(remote: &Arc<dyn Remote>, folder: &str) -> Result<()> {
    for name in names(remote, folder).await? {
        remote.delete(&name).await?;
    }
    Ok(())
}

/// Deletes the jobs of earlier owners: their results are of no use to anybody.
pub(crate) async fn clear_earlier(remote: &Arc<dyn Remote>, epoch: u64) -> Result<()> {
    for folder in look_at_all(remote).await?.into_keys() {
        if offer::folder_epoch(&folder).is_some_and(|earlier| earlier < epoch) {
            remote.delete(&name::in_folder(&folder, "job")?).await?;
            delete_folder(remote, &folder).await?;
        }
    }
    Ok(())
}
