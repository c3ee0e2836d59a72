//! The conformance suite on every store and wrapper that needs no other server.

use std::collections::HashSet;
use std::sync::Arc;

use aquifer_io::block_on;
use aquifer_remote::server::{Server, ServerOptions};
use aquifer_remote::{ObjectName, Remote, RemoteOptions, conformance, from_object_store, metered, open_url};

const RACE_NAMES: usize = 20;

fn check(remote: &Arc<dyn Remote>) {
    let result = block_on(conformance::run(remote, "suite", RACE_NAMES));
    assert!(result.is_ok(), "{}: {result:?}", remote.describe());
}

fn options() -> RemoteOptions {
    RemoteOptions { environment: false, ..RemoteOptions::default() }
}

#[test]
fn memory() {
    check(&open_url("memory://", options()).unwrap());
}

#[test]
fn memory_under_a_prefix() {
    check(&open_url("memory:///jobs/one", options()).unwrap());
}

#[test]
fn directory() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("file://{}/made/by/open", dir.path().display());
    let remote = open_url(&url, options()).unwrap();
    assert_eq!(remote.describe(), url);
    check(&remote);
}

#[test]
fn embedders_own_store() {
    let store = Arc::new(object_store::memory::InMemory::new());
    let remote = from_object_store(store, "under/here", "mine").unwrap();
    assert_eq!(remote.describe(), "mine");
    check(&remote);
    assert!(from_object_store(Arc::new(object_store::memory::InMemory::new()), "../x", "mine").is_err());
}

#[test]
fn embedded_server() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(ServerOptions::new(dir.path())).unwrap();
    check(&server.remote("jobs/one").unwrap());
    server.stop();
}

/// Folders as data lakes have them, `dt=2024-01-01`, were refused: every character that a prefix may have is encoded on the wire as
/// it must be, in signatures, listings, uploads and the short way of reads.
#[test]
fn prefixes_with_characters_that_are_encoded() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(ServerOptions::new(dir.path())).unwrap();
    for prefix in ["lake/dt=2024-01-01", "a+b,c:d;e@f/g&h!i$j'k(l)m=="] {
        let remote =
            open_url(&format!("s3://{}/{prefix}/", server.bucket()), server.remote_options()).unwrap();
        check(&remote);
        check(&open_url(&format!("memory:///{prefix}"), options()).unwrap());
        let local = tempfile::tempdir().unwrap();
        let url = format!("file://{}/{prefix}", local.path().display());
        check(&open_url(&url, options()).unwrap());
        assert!(local.path().join(prefix).is_dir(), "{prefix}");
    }
    // Written and percent-encoded are the same place; its neighbours are others.
    let open = |prefix: &str| {
        open_url(&format!("s3://{}/{prefix}", server.bucket()), server.remote_options()).unwrap()
    };
    let name = ObjectName::new("x").unwrap();
    block_on(async {
        open("t/dt=1").put(&name, b"1".to_vec().into()).await.unwrap();
        assert_eq!(open("t/dt%3D1").get(&name, 9).await.unwrap(), "1");
        assert_eq!(open("t/dt%3d1").get_range(&name, 0..1).await.unwrap(), "1");
        assert!(open("t/dt").get(&name, 9).await.is_err());
        assert!(open("t/dt").list("", None, 9).await.unwrap().entries.is_empty());
        let names = open("t").list("", None, 9).await.unwrap().entries;
        assert!(names.is_empty(), "what is not a name of ours is left out: {names:?}");
    });
}

#[test]
fn metered_embedded_server() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(ServerOptions::new(dir.path())).unwrap();
    let (remote, metrics) = metered(server.remote("").unwrap());
    check(&remote);
    assert!(
        metrics.gets() > 400 && metrics.puts() > 1_100 && metrics.lists() > 10 && metrics.deletes() > 1_100
    );
    assert!(metrics.get_bytes() > 10 << 20 && metrics.put_bytes() > 10 << 20 && metrics.heads() > 5);
    assert!(metrics.errors() > 5);
}

/// Two stores on one server do not see each other, and a prefix hides nothing of a name.
#[test]
fn prefixes_keep_stores_apart() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(ServerOptions::new(dir.path())).unwrap();
    let (one, two, all) =
        (server.remote("one").unwrap(), server.remote("two").unwrap(), server.remote("").unwrap());
    let name = ObjectName::new("a/b").unwrap();
    block_on(async {
        one.put(&name, b"1".to_vec().into()).await.unwrap();
        two.put(&name, b"22".to_vec().into()).await.unwrap();
        assert_eq!(one.get(&name, 9).await.unwrap(), "1");
        assert_eq!(two.get(&name, 9).await.unwrap(), "22");
        let page = all.list("", None, 9).await.unwrap();
        let names: HashSet<String> = page.entries.iter().map(|entry| entry.name.to_string()).collect();
        assert_eq!(names, HashSet::from(["one/a/b".to_owned(), "two/a/b".to_owned()]));
    });
}
