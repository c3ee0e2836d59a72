//! Damaged objects: every read answers right or names object and offset. Never wrong data, never a panic.

use crate::common::{memory, small};
use aquifer::{Engine, Error, ErrorKind, Options};
use aquifer_remote::{Content, ObjectName, Remote};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

fn options() -> Options {
    small(2)
}

/// A store with two checkpoints: values of two ages, deletions, a few blocks.
async fn filled(remote: &Arc<dyn Remote>) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let engine = Engine::open(Arc::clone(remote), options()).await.unwrap();
    let client = engine.client();
    let mut model = BTreeMap::new();
    for round in 0..2u8 {
        for n in 0..400u32 {
            let key = format!("key-{n}").into_bytes();
            if n % 7 == u32::from(round) {
                model.remove(&key);
                client.delete(&key).await.unwrap();
            } else if n % 2 == u32::from(round) || round == 0 {
                let value = vec![round ^ n.to_le_bytes()[0]; 30];
                client.put(&key, &value).await.unwrap();
                model.insert(key, value);
            }
        }
        client.checkpoint(vec![round]).await.unwrap();
    }
    engine.close().await.unwrap();
    model
}

async fn objects(remote: &Arc<dyn Remote>) -> Vec<ObjectName> {
    remote.list("", None, 1000).await.unwrap().entries.into_iter().map(|entry| entry.name).collect()
}

/// Opens the store and reads everything; what is answered must be right.
async fn read_all(remote: &Arc<dyn Remote>, model: &BTreeMap<Vec<u8>, Vec<u8>>) -> Result<(), Error> {
    let engine = Engine::open(Arc::clone(remote), options()).await?;
    let client = engine.client();
    let mut outcome = Ok(());
    for n in 0..400u32 {
        let key = format!("key-{n}").into_bytes();
        match client.get(&key).await {
            Ok(found) => assert_eq!(found.as_deref(), model.get(&key).map(Vec::as_slice), "key {n}"),
            Err(error) => outcome = Err(error),
        }
    }
    for group in 0..16 {
        if let Err(error) = client.scan_group(group, None, 1000).await {
            outcome = Err(error);
        }
    }
    outcome
}

async fn overwrite(remote: &Arc<dyn Remote>, name: &ObjectName, bytes: Bytes) {
    remote.put(name, Content::from(bytes)).await.unwrap();
}

#[test]
fn flipped_bytes_in_packs_are_found_and_named() {
    let remote = memory();
    aquifer::block_on(async {
        let model = filled(&remote).await;
        let packs: Vec<_> =
            objects(&remote).await.into_iter().filter(|name| name.as_str().starts_with("pack/")).collect();
        assert_eq!(packs.len(), 2);
        for pack in packs {
            let good = remote.get(&pack, u64::MAX).await.unwrap();
            let mut found = 0;
            // A prime stride: over the run it meets headers, payloads, filters, indexes and footers.
            let places: Vec<usize> = (0..good.len()).step_by(61).chain(good.len() - 64..good.len()).collect();
            for &at in &places {
                let mut bad = good.to_vec();
                bad[at] ^= 0x20;
                overwrite(&remote, &pack, Bytes::from(bad)).await;
                let Err(error) = read_all(&remote, &model).await else { continue };
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                assert!(error.to_string().contains(&format!("{pack} at offset")), "{error}");
                found += 1;
            }
            // Every byte of a pack is under some checksum, and every block is read.
            assert_eq!(found, places.len());
            overwrite(&remote, &pack, good).await;
        }
        read_all(&remote, &model).await.unwrap();
    });
}

#[test]
fn truncated_and_missing_packs_are_errors_that_name_the_object() {
    let remote = memory();
    aquifer::block_on(async {
        let model = filled(&remote).await;
        let pack =
            objects(&remote).await.into_iter().find(|name| name.as_str().starts_with("pack/")).unwrap();
        let good = remote.get(&pack, u64::MAX).await.unwrap();
        for length in [0, 1, 31, good.len() / 2, good.len() - 65, good.len() - 1] {
            overwrite(&remote, &pack, good.slice(..length)).await;
            let error = read_all(&remote, &model).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            assert!(error.to_string().contains(pack.as_str()), "{error}");
        }
        remote.delete(&pack).await.unwrap();
        let error = read_all(&remote, &model).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains(pack.as_str()), "{error}");
    });
}

#[test]
fn a_damaged_manifest_or_descriptor_refuses_to_open_and_nothing_is_overwritten() {
    let remote = memory();
    aquifer::block_on(async {
        filled(&remote).await;
        let names = objects(&remote).await;
        let manifest = names.iter().rfind(|name| name.as_str().contains("/manifest/")).unwrap();
        let descriptor = names.iter().find(|name| name.as_str() == "store").unwrap();
        for name in [manifest, descriptor] {
            let good = remote.get(name, u64::MAX).await.unwrap();
            for at in (0..good.len()).step_by(5) {
                let mut bad = good.to_vec();
                bad[at] ^= 1;
                overwrite(&remote, name, Bytes::from(bad)).await;
                let error = Engine::open(Arc::clone(&remote), options()).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                assert!(error.to_string().contains(name.as_str()), "{error}");
            }
            overwrite(&remote, name, good).await;
        }
        assert_eq!(objects(&remote).await, names, "a refused open writes nothing");
    });
}
