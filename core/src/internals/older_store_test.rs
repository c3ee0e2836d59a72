//! Stores whose manifests do not say whose time decides what has expired: they are older than that record.

use crate::engine::Engine;
use crate::error::ErrorKind;
use crate::manifest::agreed::Agreed;
use crate::manifest::format::Manifest;
use crate::manifest::store::ManifestStore;
use crate::name;
use crate::options::{Options, TtlTime};
use crate::reader::{Reader, ReaderOptions};
use crate::write::Expiry;
use aquifer_io::block_on;
use aquifer_remote::{Content, Remote, RemoteOptions};
use std::sync::Arc;

const KEY_GROUPS: u16 = 4;

fn options(ttl_time: TtlTime) -> Options {
    Options {
        key_groups: Some(KEY_GROUPS),
        shards: 1,
        memory_bytes: 8 << 20,
        ttl_time,
        seed: Some(1),
        ..Options::default()
    }
}

/// A store in event time with an entry that expires at 100,000, or with none that expires, as it was before anything was recorded. Gives the number
/// of its checkpoint.
async fn older(expires: bool) -> (Arc<dyn Remote>, u64) {
    let remote = aquifer_remote::open_url("memory://", RemoteOptions::default()).unwrap();
    let engine = Engine::open(Arc::clone(&remote), options(TtlTime::Event)).await.unwrap();
    let client = engine.client();
    client.advance_event_time(1000).unwrap();
    let expiry = if expires { Expiry::At(100_000) } else { Expiry::Never };
    client.put_with(b"k", b"v", expiry).await.unwrap();
    client.checkpoint(Vec::new()).await.unwrap();
    engine.close().await.unwrap();
    let manifests = ManifestStore::new(Arc::clone(&remote), 0..KEY_GROUPS);
    let newest = manifests.newest().await.unwrap().unwrap();
    let number = newest.number + 1;
    let older = Manifest { number, checkpoint: number, agreed: Agreed::default(), hot: Vec::new(), ..newest };
    let bytes = older.encode().unwrap();
    assert_eq!(bytes[8], 2, "as version 2 wrote it");
    remote
        .put_if_absent(&name::manifest(&(0..KEY_GROUPS), number).unwrap(), Content::from(bytes))
        .await
        .unwrap();
    (remote, number)
}

#[test]
fn opened_without_a_word_it_loses_nothing_and_takes_no_time_to_live() {
    block_on(async {
        let (remote, _) = older(true).await;
        let engine = Engine::open(Arc::clone(&remote), options(TtlTime::AsStored)).await.unwrap();
        let client = engine.client();
        assert_eq!(client.get(b"k").await.unwrap().as_deref(), Some(b"v".as_slice()));
        for error in [
            client.put_with(b"x", b"v", Expiry::At(u64::MAX - 1)).await.unwrap_err(),
            client.advance_event_time(5).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Invalid);
        }
        let error = client.put_with(b"x", b"v", Expiry::At(5)).await.unwrap_err().to_string();
        assert!(error.contains("ttl_time Processing or Event"), "{error}");
        let mut batch = crate::WriteBatch::new();
        batch.put(b"y", b"1").put_with(b"x", b"v", Expiry::At(5));
        assert!(client.write(&batch).await.is_err());
        assert_eq!(client.get(b"y").await.unwrap(), None);
        client.put(b"y", b"for ever").await.unwrap();
        client.checkpoint(Vec::new()).await.unwrap();
        engine.close().await.unwrap();
        // Who knows the domain says so, and from then on it is the store's.
        let engine = Engine::open(Arc::clone(&remote), options(TtlTime::Event)).await.unwrap();
        let client = engine.client();
        assert_eq!(client.event_time_ms(), Some(0));
        assert!(client.get(b"k").await.unwrap().is_some());
        client.advance_event_time(100_000).unwrap();
        assert_eq!(client.get(b"k").await.unwrap(), None);
        engine.close().await.unwrap();
        assert!(Engine::open(Arc::clone(&remote), options(TtlTime::Processing)).await.is_err());
    });
}

#[test]
fn without_entries_that_expire_it_follows_the_machines_clock() {
    block_on(async {
        let (remote, _) = older(false).await;
        let engine = Engine::open(Arc::clone(&remote), options(TtlTime::AsStored)).await.unwrap();
        engine
            .client()
            .put_with(b"x", b"v", Expiry::After(std::time::Duration::from_secs(60)))
            .await
            .unwrap();
        engine.close().await.unwrap();
        assert!(Engine::open(Arc::clone(&remote), options(TtlTime::Event)).await.is_err());
    });
}

/// A checkpoint from before the record is read in the domain that the store has now.
#[test]
fn its_checkpoints_are_read_in_the_domain_that_was_recorded_later() {
    block_on(async {
        let (remote, number) = older(true).await;
        let read = async |checkpoint| {
            let options = ReaderOptions { checkpoint: Some(checkpoint), ..ReaderOptions::default() };
            let reader = Reader::open(Arc::clone(&remote), options).await.unwrap();
            let found = reader.get(b"k").await.unwrap().is_some();
            reader.close().await.unwrap();
            found
        };
        assert!(read(number).await, "nobody knows when it ends");
        let engine = Engine::open(Arc::clone(&remote), options(TtlTime::Processing)).await.unwrap();
        engine.close().await.unwrap();
        assert!(!read(number).await, "by the machine's clock it ended in 1970");
    });
}
