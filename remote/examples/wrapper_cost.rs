//! What the wrappers themselves cost: a read that a store answers at once, alone, metered, and through the whole stack.
//!
//! `cargo run --release -p aquifer-remote --example wrapper_cost`

use std::ops::Range;
use std::sync::Arc;

use aquifer_remote::{
    Content, ListPage, ObjectMeta, ObjectName, PutOutcome, Remote, RemoteError, RemoteErrorKind,
    RemoteFuture, RemoteOptions, Upload, metered, wrap,
};
use bytes::Bytes;

const READS: u32 = 1_000_000;
const ROUNDS: usize = 5;

/// Answers reads from one piece of memory, at once.
#[derive(Debug)]
struct AtOnce(Bytes);

fn refused<T: Send + 'static>(operation: &'static str) -> RemoteFuture<T> {
    Box::pin(async move { Err(RemoteError::new(RemoteErrorKind::Invalid, operation)) })
}

impl Remote for AtOnce {
    fn describe(&self) -> String {
        "at once".to_owned()
    }
    fn put(&self, _: &ObjectName, _: Content) -> RemoteFuture<()> {
        refused("put")
    }
    fn put_if_absent(&self, _: &ObjectName, _: Content) -> RemoteFuture<PutOutcome> {
        refused("put_if_absent")
    }
    fn get(&self, _: &ObjectName, _: u64) -> RemoteFuture<Bytes> {
        refused("get")
    }
    fn get_range(&self, _: &ObjectName, range: Range<u64>) -> RemoteFuture<Bytes> {
        let bytes = usize::try_from(range.end - range.start).map(|bytes| self.0.slice(..bytes));
        Box::pin(async move { bytes.map_err(|_| RemoteError::new(RemoteErrorKind::BadRange, "get_range")) })
    }
    fn head(&self, _: &ObjectName) -> RemoteFuture<ObjectMeta> {
        refused("head")
    }
    fn delete(&self, _: &ObjectName) -> RemoteFuture<()> {
        refused("delete")
    }
    fn list(&self, _: &str, _: Option<&ObjectName>, _: usize) -> RemoteFuture<ListPage> {
        refused("list")
    }
    fn upload(&self, _: &ObjectName) -> RemoteFuture<Box<dyn Upload>> {
        refused("upload")
    }
}

fn main() -> Result<(), RemoteError> {
    let bare: Arc<dyn Remote> = Arc::new(AtOnce(Bytes::from(vec![7; 4_096])));
    let (meter, _metrics) = metered(Arc::clone(&bare));
    let unhedged = RemoteOptions { hedge: None, ..RemoteOptions::default() };
    let without_hedge = wrap(Arc::clone(&bare), &unhedged)?.foreground;
    let whole = wrap(Arc::clone(&bare), &RemoteOptions::default())?.foreground;
    for round in 1..=ROUNDS {
        let [bare, meter, without, whole] = [&bare, &meter, &without_hedge, &whole].map(nanos_per_read);
        let (bare, meter, without, whole) = (bare?, meter?, without?, whole?);
        println!(
            "round {round}: {bare:.0} ns bare, +{:.0} metered, +{:.0} all but hedge, +{:.0} all",
            meter - bare,
            without - bare,
            whole - bare
        );
    }
    Ok(())
}

fn nanos_per_read(remote: &Arc<dyn Remote>) -> Result<f64, RemoteError> {
    let name = ObjectName::new("object")?;
    let begun = aquifer_io::now();
    aquifer_io::block_on(async {
        for _ in 0..READS {
            remote.get_range(&name, 0..4_096).await?;
        }
        Ok::<_, RemoteError>(())
    })?;
    Ok(begun.elapsed().as_secs_f64() * 1e9 / f64::from(READS))
}
