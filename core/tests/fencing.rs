//! Two writers on one store: the older is fenced, learns it, and stops; the newer's state is whole.

use crate::common;
use crate::common::{memory, small};
use aquifer::{Engine, ErrorKind};
use std::sync::Arc;

#[test]
fn the_older_of_two_writers_is_fenced_and_says_so() {
    let dfs = common::Dfs::start();
    for remote in [memory(), dfs.remote()] {
        aquifer::block_on(async {
            let older = Engine::open(Arc::clone(&remote), small(2)).await.unwrap();
            older.client().put(b"key", b"older, committed").await.unwrap();
            older.client().checkpoint(b"1".to_vec()).await.unwrap();
            older.client().put(b"key", b"older, not committed").await.unwrap();

            let newer = Engine::open(Arc::clone(&remote), small(3)).await.unwrap();
            assert!(newer.epoch() > older.epoch());
            assert_eq!(
                newer.client().get(b"key").await.unwrap().as_deref(),
                Some(b"older, committed".as_slice())
            );
            newer.client().put(b"key", b"newer").await.unwrap();

            let fenced = older.client().checkpoint(b"2".to_vec()).await.unwrap_err();
            assert_eq!(fenced.kind(), ErrorKind::Fenced, "{fenced}");
            assert!(fenced.to_string().contains("open the store again"), "{fenced}");
            // It stops writing at once, for good.
            assert_eq!(
                older.client().put(b"key", b"older again").await.unwrap_err().kind(),
                ErrorKind::Fenced
            );
            assert_eq!(older.client().checkpoint(Vec::new()).await.unwrap_err().kind(), ErrorKind::Fenced);

            newer.client().checkpoint(b"3".to_vec()).await.unwrap();
            drop((older, newer));
            let third = Engine::open(remote, small(1)).await.unwrap();
            assert_eq!(third.restored().unwrap().metadata, b"3");
            assert_eq!(third.client().get(b"key").await.unwrap().as_deref(), Some(b"newer".as_slice()));
        });
    }
}

#[test]
fn of_many_that_open_at_once_only_the_newest_can_commit() {
    let dfs = common::Dfs::start();
    let engines: Vec<Engine> = std::thread::scope(|scope| {
        let opening: Vec<_> = (0..6)
            .map(|_| scope.spawn(|| aquifer::block_on(Engine::open(dfs.remote(), small(1))).unwrap()))
            .collect();
        opening.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut epochs: Vec<u64> = engines.iter().map(Engine::epoch).collect();
    epochs.sort_unstable();
    assert_eq!(epochs, [1, 2, 3, 4, 5, 6], "no two share an epoch");
    for engine in &engines {
        let outcome = aquifer::block_on(async {
            engine.client().put(b"epoch", &engine.epoch().to_le_bytes()).await.unwrap();
            engine.client().checkpoint(Vec::new()).await
        });
        assert_eq!(outcome.is_ok(), engine.epoch() == 6, "epoch {}: {outcome:?}", engine.epoch());
    }
    drop(engines);
    let last = aquifer::block_on(Engine::open(dfs.remote(), small(1))).unwrap();
    let value = aquifer::block_on(last.client().get(b"epoch")).unwrap();
    assert_eq!(value.as_deref(), Some(6u64.to_le_bytes().as_slice()));
}
