//! Ranges of one key group and of all of them, through everything that takes a range.

use crate::common;
use aquifer::{
    Client, Engine, ErrorKind, Key, KeyRange, Reader, ReaderOptions, Scan, ScanOptions, WriteBatch,
};

/// 300 users and 300 others, each key its own anchor, over 16 key groups and 3 shards.
async fn filled(client: &Client) -> Vec<Vec<u8>> {
    let mut users = Vec::new();
    for n in 0..300u32 {
        let user = format!("user:{n:03}").into_bytes();
        client.put(&user, &n.to_le_bytes()).await.unwrap();
        client.put(format!("order:{n:03}").as_bytes(), b"x").await.unwrap();
        users.push(user);
    }
    users
}

async fn keys(mut scan: Scan) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    let mut last: Option<(u16, Vec<u8>)> = None;
    while let Some((key, _)) = scan.next().await.unwrap() {
        let place = (scan.group().unwrap(), key.to_vec());
        assert!(last.is_none_or(|last| last < place), "group by group, in order in each");
        last = Some(place);
        keys.push(key.to_vec());
    }
    keys.sort();
    keys
}

/// `scan` and `delete_range` of the prefix "user:" looked into the one key group that the prefix is hashed to: the scan found next to nothing, the
/// deletion answered Ok and deleted next to nothing.
#[test]
fn a_prefix_of_keys_that_are_their_own_anchor_finds_and_deletes_all_of_them() {
    let remote = common::memory();
    aquifer::block_on(async {
        let engine = Engine::open(remote.clone(), common::small(3)).await.unwrap();
        let client = engine.client();
        let users = filled(&client).await;
        let all = KeyRange::prefix(b"user:");
        for page_entries in [1, 7, 256] {
            let options = ScanOptions { page_entries, ..ScanOptions::default() };
            assert_eq!(keys(client.scan(&all, &options)).await, users);
        }
        client.checkpoint(Vec::new()).await.unwrap();
        assert_eq!(keys(client.scan(&all, &ScanOptions::default())).await, users);
        let between = KeyRange::in_all_groups(b"user:100".as_slice()..b"user:200".as_slice());
        assert_eq!(keys(client.scan(&between, &ScanOptions::default())).await, users.get(100..200).unwrap());
        assert_eq!(keys(client.scan(&KeyRange::in_all_groups(..), &ScanOptions::default())).await.len(), 600);

        let reader = Reader::open(remote.clone(), ReaderOptions { shards: 2, ..ReaderOptions::default() })
            .await
            .unwrap();
        assert_eq!(keys(reader.scan(&all, &ScanOptions::default())).await, users);
        reader.close().await.unwrap();

        let snapshot = client.snapshot().await.unwrap();
        client.delete_range(&between).await.unwrap();
        assert_eq!(keys(client.scan(&all, &ScanOptions::default())).await.len(), 200);
        let mut batch = WriteBatch::new();
        batch.delete_range(all.clone()).put(b"user:new", b"after");
        client.write(&batch).await.unwrap();
        assert_eq!(keys(client.scan(&all, &ScanOptions::default())).await, [b"user:new".to_vec()]);
        assert_eq!(client.get(b"user:007").await.unwrap(), None);
        assert_eq!(keys(client.scan(&KeyRange::prefix(b"order:"), &ScanOptions::default())).await.len(), 300);
        let options = ScanOptions { snapshot: Some(&snapshot), ..ScanOptions::default() };
        assert_eq!(keys(client.scan(&all, &options)).await, users, "a snapshot sees what was there");
        engine.close().await.unwrap();
    });
}

/// On a shard's own thread a range of all groups is that of the shard's groups, page by page by what each page leaves.
#[test]
fn a_shard_visits_its_own_groups() {
    aquifer::block_on(async {
        let engine = Engine::open(common::memory(), common::small(3)).await.unwrap();
        let client = engine.client();
        let users = filled(&client).await;
        let mut found = Vec::new();
        for shard in 0..3 {
            let pages = client.run_on_shard(shard, |shard| async move {
                for reverse in [true, false] {
                    let options = ScanOptions { reverse, page_entries: 3, ..ScanOptions::default() };
                    let mut rest = Some(KeyRange::prefix(b"user:"));
                    let mut places: Vec<(u16, Vec<u8>)> = Vec::new();
                    while let Some(range) = rest {
                        let page = shard.scan_page(&range, &options).await.unwrap();
                        assert!(page.entries.len() <= 3 && shard.key_groups().contains(&page.group));
                        places.extend(page.entries.iter().map(|(key, _)| (page.group, key.to_vec())));
                        rest = page.rest;
                    }
                    if reverse {
                        places.reverse();
                        assert!(places.is_sorted());
                    } else {
                        assert!(places.is_sorted());
                        shard.delete_range(&KeyRange::prefix(b"user:")).await.unwrap();
                        return places;
                    }
                }
                panic!("both directions are walked");
            });
            found.extend(pages.await.unwrap().into_iter().map(|(_, key)| key));
            let left = keys(client.scan(&KeyRange::prefix(b"user:"), &ScanOptions::default())).await;
            assert_eq!(left.len() + found.len(), users.len(), "each deletes its own");
        }
        found.sort();
        assert_eq!(found, users);
        engine.close().await.unwrap();
    });
}

/// What is beside an anchor stays a range of one group, and a deletion that would leave more markers than a batch takes is refused.
#[test]
fn ranges_of_one_group_stay_so_and_batches_stay_bounded() {
    aquifer::block_on(async {
        let engine = Engine::open(common::memory(), common::small(2)).await.unwrap();
        let client = engine.client();
        for n in 0..50u32 {
            let key = format!("user:{n:03}");
            client.put(Key::beside(b"map", key.as_bytes()), b"beside").await.unwrap();
            client.put(&key, b"alone").await.unwrap();
        }
        let beside = KeyRange::prefix(Key::beside(b"map", b"user:"));
        let group = client.key_group(b"map");
        let alone = (0..50u32).filter(|n| client.key_group(&format!("user:{n:03}")) == group).count();
        assert!(alone < 50);
        let found = keys(client.scan(&beside, &ScanOptions::default())).await;
        assert!(found.len() >= 50 && found.len() <= 50 + alone);
        client.delete_range(&beside).await.unwrap();
        assert_eq!(
            keys(client.scan(&KeyRange::prefix(b"user:"), &ScanOptions::default())).await.len(),
            50 - alone
        );
        let mut batch = WriteBatch::new();
        for _ in 0..5000 {
            batch.delete_range(KeyRange::prefix(b"user:"));
        }
        let error = client.write(&batch).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "80,000 markers: {error}");
        engine.close().await.unwrap();
    });
}
