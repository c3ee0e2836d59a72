//! Taking a partition over: one put-if-absent of the manifest after the newest, with the next epoch and the same state.
//!
//! ```text
//! newest N ─> put N+1 if absent ─┬─ created: the epoch is ours, and whoever wrote before is fenced
//!               ^                ├─ taken by another manifest: read that one, and go on from it
//!               │                └─ taken, says the put; not there, says the get: the store is behind itself
//!               └── look for newer ones <── pause, longer each time <── the last two
//! ```

use super::agreed::Agreed;
use super::format::Manifest;
use super::store::{Attempt, ManifestStore, Swap};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{EPOCH_CLAIM_BACKOFF, EPOCH_CLAIMS_MAX};

impl ManifestStore {
    /// Takes the partition over: writes a manifest with the next epoch and the state of the newest one. `agree` says what this opening agrees on
    /// with the newest one.
    ///
    /// # Errors
    /// `Busy` when others put their manifests first, time after time; `Unavailable` when the store says of one number that it is taken and
    /// that it is not. `Corrupt` when the newest manifest counts other key groups, or can have no successor; what `agree` refuses.
    pub(crate) async fn claim(
        &self,
        key_groups: u16,
        agree: impl Fn(Option<&Manifest>) -> Result<Agreed>,
    ) -> Result<Manifest> {
        let mut current = self.newest().await?;
        let mut race = Race::default();
        loop {
            let agreed = agree(current.as_ref())?;
            let next = self.successor(current.as_ref(), key_groups, agreed)?;
            match self.attempt(&next, current.as_ref()).await? {
                Attempt::Swapped(Swap::Done) => return Ok(next),
                Attempt::Swapped(Swap::Lost(found)) => {
                    race.lost_to(&found, &next);
                    current = Some(*found);
                }
                Attempt::Hidden => race.hidden = Some(next.number),
            }
            race.tries += 1;
            if race.tries == EPOCH_CLAIMS_MAX {
                return Err(self.given_up(&race)?);
            }
            aquifer_io::wait(EPOCH_CLAIM_BACKOFF.pause(race.tries - 1)).await;
            let known = current.as_ref().map_or(0, |current| current.number);
            let newest = self.newest_from(known).await?;
            if newest > known {
                current = Some(self.read(newest).await?);
            }
        }
    }

    /// What is to be put after `current`.
    fn successor(&self, current: Option<&Manifest>, key_groups: u16, agreed: Agreed) -> Result<Manifest> {
        let empty = Manifest { groups: self.groups().clone(), ..Manifest::empty(key_groups) };
        let current = current.unwrap_or(&empty);
        if current.key_groups != key_groups {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "the newest manifest of groups {:?} counts {} key groups, the store's descriptor {key_groups}",
                    self.groups(),
                    current.key_groups
                ),
            ));
        }
        Ok(Manifest {
            number: current.number_after()?,
            epoch: current.epoch_after()?,
            attempt: aquifer_io::random_u64(),
            agreed,
            ..current.clone()
        })
    }

    fn given_up(&self, race: &Race) -> Result<Error> {
        let others = format!(
            "{} times in {} another manifest came first: {} times of another process that opened the store, {} times a checkpoint of its \
             owner (the last: manifest {} of epoch {}); let only one process open the store, and try again",
            race.openings + race.checkpoints,
            race.tries,
            race.openings,
            race.checkpoints,
            race.last.0,
            race.last.1
        );
        Ok(match race.hidden {
            None => Error::new(ErrorKind::Busy, others),
            Some(number) if race.openings + race.checkpoints == 0 => {
                Error::new(ErrorKind::Unavailable, self.hidden(number)?)
            }
            Some(number) => {
                Error::new(ErrorKind::Unavailable, format!("{}; and {others}", self.hidden(number)?))
            }
        })
    }
}

/// What an opening met so far.
#[derive(Default)]
struct Race {
    tries: usize,
    /// Lost to manifests that began an epoch.
    openings: u32,
    /// Lost to manifests of the epoch before.
    checkpoints: u32,
    /// Number and epoch of the last one.
    last: (u64, u64),
    /// A number that the store has and has not.
    hidden: Option<u64>,
}

impl Race {
    fn lost_to(&mut self, found: &Manifest, wanted: &Manifest) {
        if found.epoch >= wanted.epoch {
            self.openings += 1;
        } else {
            self.checkpoints += 1;
        }
        self.last = (found.number, found.epoch);
    }
}
