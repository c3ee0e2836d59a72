//! Trust, but try: several real servers answer 200 to a conditional put and overwrite, others let two racing writers win.
//!
//! ```text
//! 1. one after the other     first: created    second: must be refused, and change nothing
//! 2. all at once             8 writers, one new name: exactly one may be told that it created it
//! ```
//!
//! A race that went well proves nothing, one that went wrong does: servers that look first and write after were caught in about half of all
//! races. An answer that was lost is settled by reading back, as everywhere.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;

use crate::content::Content;
use crate::error::{RemoteError, RemoteErrorKind};
use crate::name::ObjectName;
use crate::store::{PutOutcome, Remote, RemoteFuture};

/// Writers that race for one name.
const RACERS: u64 = 8;
/// How often an answer in doubt is asked for again.
const DOUBTS_MAX: usize = 5;
/// Nor any more after so long: each answer in doubt may have taken its whole deadline, and a person waits.
const DOUBT_TIME_MAX: Duration = Duration::from_secs(4);
/// Longest content that is read back.
const CONTENT_BYTES_MAX: u64 = 64;

/// Finds out whether a store keeps put-if-absent: writes `probe/<unique>` twice, where the second must be refused, lets eight
/// writers race for `probe/<unique>-race`, of whom one may win, and deletes both again. Call it once before a store is written by
/// whoever may not be alone. `unique` must never have been used on this store: take a random number.
///
/// # Errors
/// Kind `Unsafe`, with the missing server behaviour and what to use instead; else what the requests report
/// (`PermissionDenied` for a store that may only be read).
pub fn probe_put_if_absent(remote: &Arc<dyn Remote>, unique: u64) -> RemoteFuture<()> {
    let remote = Arc::clone(remote);
    Box::pin(async move {
        let one = ObjectName::new(format!("probe/{unique:016x}"))?;
        let race = ObjectName::new(format!("probe/{unique:016x}-race"))?;
        let probe = Probe { remote: &remote, unique };
        let result = probe.one_after_the_other(&one).await;
        let deleted = remote.delete(&one).await;
        result?;
        deleted?;
        let result = probe.all_at_once(&race).await;
        let deleted = remote.delete(&race).await;
        result?;
        deleted
    })
}

struct Probe<'a> {
    remote: &'a Arc<dyn Remote>,
    unique: u64,
}

impl Probe<'_> {
    fn content(&self, writer: u64) -> Vec<u8> {
        format!("{:016x} {writer}", self.unique).into_bytes()
    }

    /// One put-if-absent, until it is known how it ended. Content that stands there tells whether an answer that was lost, or
    /// repeated below us, was a success. That another's content stands there shows a refusal only when the server said so: the request
    /// may have been lost on its way. Who needs such a proof asks again.
    async fn claim(&self, name: &ObjectName, writer: u64, proof: bool) -> Result<PutOutcome, RemoteError> {
        let (mut doubts_left, began) = (DOUBTS_MAX, aquifer_io::now());
        loop {
            let put = self.remote.put_if_absent(name, Content::from(self.content(writer))).await;
            match put {
                Ok(PutOutcome::Created) => return Ok(PutOutcome::Created),
                Ok(PutOutcome::Exists) => {
                    let is_own = self.kept(name).await?.as_ref() == self.content(writer);
                    return Ok(if is_own { PutOutcome::Created } else { PutOutcome::Exists });
                }
                Err(error)
                    if error.kind() != RemoteErrorKind::InDoubt
                        || doubts_left == 0
                        || began.elapsed() >= DOUBT_TIME_MAX =>
                {
                    return Err(error);
                }
                Err(_) => match self.kept(name).await {
                    Ok(kept) if kept.as_ref() == self.content(writer) => return Ok(PutOutcome::Created),
                    Ok(_) if proof => doubts_left -= 1,
                    Ok(_) => return Ok(PutOutcome::Exists),
                    Err(error) if error.kind() == RemoteErrorKind::NotFound => doubts_left -= 1,
                    Err(error) => return Err(error),
                },
            }
        }
    }

    async fn kept(&self, name: &ObjectName) -> Result<Bytes, RemoteError> {
        self.remote.get(name, CONTENT_BYTES_MAX).await
    }

    fn refuse(&self, name: &ObjectName, what: &str) -> RemoteError {
        let advice = match self.remote.describe().split(':').next() {
            Some("http" | "https") => {
                "use a WebDAV server that renames folders as a whole (JuiceFS, nginx or Apache on a local file system), \
                 an S3 server that honours \"If-None-Match: *\", webhdfs:// or file:///dir"
            }
            _ => {
                "use a server that honours it (AWS S3, Ceph RADOS gateway, MinIO, the embedded server), the same storage through \
                 WebDAV or WebHDFS where it has such a door, or file:///dir"
            }
        };
        RemoteError::new(RemoteErrorKind::Unsafe, "probe")
            .with_object(name)
            .with_cause(format!("{what}, so two writers would destroy each other's state: {advice}; to only read it, open it with --read-only (read_only in the library)"))
    }

    /// What the server should have done, in the words of its protocol.
    fn condition(&self) -> &'static str {
        match self.remote.describe().split(':').next() {
            Some("http" | "https") => "\"Overwrite: F\" on MOVE of a folder",
            Some("webhdfs" | "webhdfss") => "RENAME to a name that is taken",
            _ => "\"If-None-Match: *\" on PUT",
        }
    }

    async fn one_after_the_other(&self, name: &ObjectName) -> Result<(), RemoteError> {
        if self.claim(name, 1, false).await? == PutOutcome::Exists {
            return Err(RemoteError::new(RemoteErrorKind::Unsafe, "probe").with_object(name).with_cause(
                "a fresh name was reported as taken: the number for the probe was used before, or the server makes names up",
            ));
        }
        let second = self.claim(name, 2, true).await?;
        let condition = self.condition();
        if second == PutOutcome::Created {
            return Err(self.refuse(name, &format!("the server ignores {condition} and overwrites")));
        }
        if self.kept(name).await?.as_ref() != self.content(1) {
            let what = format!("the server refused {condition} but changed the object all the same");
            return Err(self.refuse(name, &what));
        }
        Ok(())
    }

    async fn all_at_once(&self, name: &ObjectName) -> Result<(), RemoteError> {
        let claims: Vec<_> = (0..RACERS).map(|writer| self.claim(name, writer, false)).collect();
        let mut winners = Vec::new();
        for (writer, outcome) in (0..RACERS).zip(join_all(claims).await) {
            if outcome? == PutOutcome::Created {
                winners.push(writer);
            }
        }
        let kept = self.kept(name).await?;
        match winners.as_slice() {
            [winner] if kept.as_ref() == self.content(*winner) => Ok(()),
            _ => {
                let condition = self.condition();
                let won = winners.len();
                Err(self.refuse(
                    name,
                    &format!(
                        "of {RACERS} racing writers {won} won: the server does not keep {condition} in a race"
                    ),
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_store_passes_and_is_left_clean() {
        let remote = crate::open_url("memory://", crate::RemoteOptions::default()).unwrap();
        aquifer_io::block_on(async {
            probe_put_if_absent(&remote, 7).await.unwrap();
            probe_put_if_absent(&remote, 7).await.unwrap();
            assert!(remote.list("", None, 10).await.unwrap().entries.is_empty());
        });
    }
}
