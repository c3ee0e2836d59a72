//! Trust, but try: several real servers answer 200 to a conditional put and overwrite.

use std::sync::Arc;

use crate::content::Content;
use crate::error::{RemoteError, RemoteErrorKind};
use crate::name::ObjectName;
use crate::store::{PutOutcome, Remote, RemoteFuture};

/// Finds out whether a store keeps put-if-absent: writes `probe/<unique>` twice, where the second must be refused, and
/// deletes it again. `unique` must never have been used on this store: take a random number.
///
/// # Errors
/// Kind `Unsafe`, with the missing server behaviour and what to use instead; else what the requests report.
pub fn probe_put_if_absent(remote: &Arc<dyn Remote>, unique: u64) -> RemoteFuture<()> {
    let remote = Arc::clone(remote);
    Box::pin(async move {
        let name = ObjectName::new(format!("probe/{unique:016x}"))?;
        let content = |attempt: u64| Content::from(format!("{unique:016x} {attempt}").into_bytes());
        let first = remote.put_if_absent(&name, content(1)).await?;
        let second = remote.put_if_absent(&name, content(2)).await;
        let kept = remote.get(&name, 64).await;
        remote.delete(&name).await?;
        let unsafe_store = |cause: &str| {
            Err(RemoteError::new(RemoteErrorKind::Unsafe, "probe").with_object(&name).with_cause(cause))
        };
        if first == PutOutcome::Exists {
            return unsafe_store(
                "a fresh name was reported as taken: the number for the probe was used before",
            );
        }
        if second? == PutOutcome::Created {
            return unsafe_store(
                "the server ignores \"If-None-Match: *\" on PUT and overwrites, so two writers would destroy each \
                 other's state: use a server that honours it (AWS S3, Ceph RADOS gateway, MinIO, the embedded \
                 server) or file:///dir",
            );
        }
        if kept?.as_ref() != format!("{unique:016x} 1").as_bytes() {
            return unsafe_store(
                "the server refused the second \"If-None-Match: *\" PUT but changed the object all the same: use another server",
            );
        }
        Ok(())
    })
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
