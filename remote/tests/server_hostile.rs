//! The embedded server among clients that keep connections and send or read nothing, and in a folder where somebody else has put
//! links, FIFOs and the like.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aquifer_io::block_on;
use aquifer_remote::server::{Server, ServerError, ServerOptions};
use aquifer_remote::{ObjectName, RemoteOptions, open_url};

use crate::raw::{Answer, RawClient, Request};

/// So long a test waits for what comes at once, or is a failure.
const TEST_TIME_MAX: Duration = Duration::from_secs(60);
/// A time of the server's that tests wait for.
const SHORT: Duration = Duration::from_millis(200);
/// And one that they do not.
const LONG: Duration = Duration::from_secs(3_600);

struct Fixture {
    outer: tempfile::TempDir,
    _server: Server,
    client: RawClient,
}

impl Fixture {
    fn start(change: impl FnOnce(&mut ServerOptions)) -> Self {
        let outer = tempfile::tempdir().unwrap();
        let mut options = ServerOptions::new(outer.path().join("dir"));
        options.secret_key = "s3cr3t".to_owned();
        (options.head_time_max, options.idle_time_max, options.stall_time_max) = (LONG, LONG, LONG);
        change(&mut options);
        let server = Server::start(options).unwrap();
        let (access_key, secret_key) = ("aquifer".to_owned(), "s3cr3t".to_owned());
        let client = RawClient { address: server.address(), access_key, secret_key };
        Self { outer, _server: server, client }
    }

    fn connect(&self) -> TcpStream {
        connect(self.client.address)
    }

    fn send(&self, method: &str, path: &str, query: &str, body: &[u8]) -> Answer {
        self.client.send(&Request { method, path, query, body, ..Request::default() })
    }

    fn head_of_put(&self, path: &str, body: &[u8]) -> String {
        self.client.signed_head(&Request { method: "PUT", path, body, ..Request::default() }, body.len())
    }

    fn path(&self, below: &str) -> PathBuf {
        self.outer.path().join(below)
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(TEST_TIME_MAX)).unwrap();
    stream
}

/// What comes until the server closes; it must.
fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut seen = Vec::new();
    match stream.read_to_end(&mut seen) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "not closed: {error}"),
    }
    seen
}

/// 1,024 connections that sent nothing, or half a head, kept everybody else out for as long as they liked: the server took no further
/// connection, and no time applied to those it had.
#[test]
fn connections_without_a_request_make_room_for_one_with() {
    let fixture = Fixture::start(|options| options.connections_max = 4);
    for sent in ["", "GET /aquifer/x HTTP/1.1\r\nhost: x\r\nx-half"] {
        let mut waiting: Vec<TcpStream> = (0..8)
            .map(|_| {
                let mut stream = fixture.connect();
                stream.write_all(sent.as_bytes()).unwrap();
                stream
            })
            .collect();
        for _ in 0..3 {
            assert_eq!(fixture.send("GET", "/aquifer/x", "", b"").status, 404, "{sent:?}");
        }
        // The oldest went first.
        assert!(until_closed(&mut waiting[0]).is_empty(), "{sent:?}");
    }
}

/// A connection in use is none that makes room: the newcomer waits until it is done.
#[test]
fn a_request_under_way_is_not_pushed_out() {
    let fixture = Fixture::start(|options| options.connections_max = 1);
    let body = vec![5; 100_000];
    let put = Request {
        method: "PUT",
        path: "/aquifer/slow",
        headers: &[("expect", "100-continue")],
        body: &body,
        ..Request::default()
    };
    let mut slow = fixture.connect();
    slow.write_all(fixture.client.signed_head(&put, body.len()).as_bytes()).unwrap();
    // So the server says that it has read the head and waits for the body.
    let mut go_on = [0; 25];
    slow.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    slow.write_all(&body[..50_000]).unwrap();
    std::thread::scope(|scope| {
        let newcomer = scope.spawn(|| fixture.send("GET", "/aquifer/slow", "", b""));
        slow.write_all(&body[50_000..]).unwrap();
        assert!(until_closed(&mut slow).starts_with(b"HTTP/1.1 200"));
        let newcomer = newcomer.join().unwrap();
        assert_eq!((newcomer.status, newcomer.body.len()), (200, body.len()));
    });
}

#[test]
fn each_way_to_keep_the_server_waiting_has_an_end() {
    let fixture = Fixture::start(|options| options.idle_time_max = SHORT);
    assert!(until_closed(&mut fixture.connect()).is_empty(), "idle from the beginning");
    let mut kept = fixture.connect();
    let head = "GET /aquifer/x HTTP/1.1\r\nhost: x\r\n\r\n";
    kept.write_all(head.as_bytes()).unwrap();
    assert!(until_closed(&mut kept).starts_with(b"HTTP/1.1 403"), "idle after an answer");

    let fixture = Fixture::start(|options| options.head_time_max = SHORT);
    let mut half = fixture.connect();
    half.write_all(&head.as_bytes()[..20]).unwrap();
    assert!(until_closed(&mut half).is_empty(), "half a head");

    let fixture = Fixture::start(|options| options.stall_time_max = SHORT);
    let body = vec![7; 3 << 20];
    let mut half = fixture.connect();
    half.write_all(fixture.head_of_put("/aquifer/half", &body).as_bytes()).unwrap();
    half.write_all(&body[..2 << 20]).unwrap();
    assert!(!until_closed(&mut half).starts_with(b"HTTP/1.1 200"), "half a body");
    assert_eq!(fixture.send("GET", "/aquifer/half", "", b"").status, 404);
    assert_eq!(std::fs::read_dir(fixture.path("dir/temporary")).unwrap().count(), 0, "its file is gone");
}

/// Who asks for a large object and does not read it holds its connection, two chunks of memory and an open file.
#[test]
fn an_answer_that_nobody_reads_is_given_up() {
    let fixture = Fixture::start(|options| {
        options.connections_max = 1;
        options.stall_time_max = SHORT;
    });
    // More than the system's buffers on both sides hold.
    let large = vec![3; 48 << 20];
    assert_eq!(fixture.send("PUT", "/aquifer/large", "", &large).status, 200);
    let mut deaf = fixture.connect();
    let request = Request { path: "/aquifer/large", ..Request::default() };
    deaf.write_all(fixture.client.signed_head(&request, 0).as_bytes()).unwrap();
    let mut first = [0];
    deaf.read_exact(&mut first).unwrap();
    // There is one connection, and it is in use until the server gives it up.
    assert_eq!(fixture.send("GET", "/aquifer/none", "", b"").status, 404);
    assert!(until_closed(&mut deaf).len() < large.len());
}

#[test]
fn long_heads_are_refused() {
    let fixture = Fixture::start(|_| {});
    let mut stream = fixture.connect();
    let head = format!("GET /aquifer/x HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "x".repeat(64 << 10));
    stream.write_all(head.as_bytes()).unwrap();
    assert!(until_closed(&mut stream).starts_with(b"HTTP/1.1 431"));
}

/// A link in the server's folder was followed to wherever it led, for reading and, as a folder, for writing.
#[test]
fn links_in_the_folder_lead_nowhere() {
    let fixture = Fixture::start(|_| {});
    std::fs::create_dir(fixture.path("secrets")).unwrap();
    std::fs::write(fixture.path("secrets/key="), b"topsecret").unwrap();
    assert_eq!(fixture.send("PUT", "/aquifer/plain", "", b"plain").status, 200);
    let objects = fixture.path("dir/objects");
    symlink("../../secrets/key=", objects.join("file=")).unwrap();
    symlink("../../secrets", objects.join("folder+")).unwrap();
    symlink("plain=", objects.join("inside=")).unwrap();
    for path in ["/aquifer/file", "/aquifer/folder/key", "/aquifer/inside"] {
        let answer = fixture.send("GET", path, "", b"");
        assert_eq!(answer.status, 403, "{path}");
        assert!(answer.text().contains("symbolic link") && !answer.text().contains("topsecret"), "{path}");
        assert_eq!(fixture.send("HEAD", path, "", b"").status, 403, "{path}");
    }
    let put = fixture.send("PUT", "/aquifer/folder/new", "", b"x");
    assert!(put.status == 403 && put.text().contains("symbolic link"), "{}", put.text());
    assert_eq!(fixture.send("DELETE", "/aquifer/folder/key", "", b"").status, 403);
    assert_eq!(fixture.send("GET", "/aquifer", "list-type=2&prefix=folder%2F", b"").status, 403);
    let listed = fixture.send("GET", "/aquifer", "list-type=2", b"").text();
    assert_eq!(listed.matches("<Key>").count(), 1, "{listed}");
    // What has an object's name is replaced and removed as the name that it is.
    assert_eq!(fixture.send("PUT", "/aquifer/file", "", b"mine").status, 200);
    assert_eq!(fixture.send("GET", "/aquifer/file", "", b"").text(), "mine");
    assert_eq!(fixture.send("DELETE", "/aquifer/inside", "", b"").status, 204);
    assert_eq!(fixture.send("GET", "/aquifer/plain", "", b"").text(), "plain");
    let secrets: Vec<_> = std::fs::read_dir(fixture.path("secrets")).unwrap().collect();
    assert_eq!(secrets.len(), 1);
    assert_eq!(std::fs::read(fixture.path("secrets/key=")).unwrap(), b"topsecret");
}

/// A FIFO in the folder hung a thread for each request about it, until none was left.
#[test]
fn what_is_no_file_is_refused_at_once() {
    let fixture = Fixture::start(|options| options.threads = 1);
    let objects = fixture.path("dir/objects");
    let made = std::process::Command::new("mkfifo").arg(objects.join("fifo=")).status().unwrap();
    assert!(made.success());
    let _socket = std::os::unix::net::UnixListener::bind(objects.join("socket=")).unwrap();
    std::fs::create_dir(objects.join("folder=")).unwrap();
    for path in ["/aquifer/fifo", "/aquifer/socket", "/aquifer/folder"] {
        let answer = fixture.send("GET", path, "", b"");
        assert!(
            answer.status == 403 && answer.text().contains("no regular file"),
            "{path}: {}",
            answer.text()
        );
        assert_eq!(fixture.send("HEAD", path, "", b"").status, 403, "{path}");
    }
    assert!(!fixture.send("GET", "/aquifer", "list-type=2", b"").text().contains("<Key>"));
    assert_eq!(fixture.send("PUT", "/aquifer/folder", "", b"x").status, 403);
    let create = Request {
        method: "PUT",
        path: "/aquifer/fifo",
        headers: &[("if-none-match", "*")],
        body: b"x",
        ..Request::default()
    };
    assert_eq!(fixture.client.send(&create).status, 412, "the name is taken");
    assert_eq!(fixture.send("PUT", "/aquifer/fifo", "", b"x").status, 200, "an overwrite replaces it");
    assert_eq!(fixture.send("GET", "/aquifer/fifo", "", b"").text(), "x");
}

#[test]
fn the_servers_own_files_are_none_of_somebody_elses() {
    let outer = tempfile::tempdir().unwrap();
    let target = outer.path().join("target");
    std::fs::write(&target, b"kept").unwrap();
    for name in ["LOCK", "objects"] {
        let dir = outer.path().join(format!("dir-{name}"));
        std::fs::create_dir(&dir).unwrap();
        symlink(if name == "LOCK" { &target } else { outer.path() }, dir.join(name)).unwrap();
        let error = Server::start(ServerOptions::new(&dir)).unwrap_err();
        assert!(matches!(error, ServerError::Folder { .. }), "{error}");
        assert!(error.to_string().contains(name) && error.to_string().contains("symbolic link"), "{error}");
    }
    let dir = outer.path().join("dir-fifo");
    std::fs::create_dir(&dir).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(dir.join("LOCK")).status().unwrap().success());
    let error = Server::start(ServerOptions::new(&dir)).unwrap_err();
    assert!(error.to_string().contains("LOCK"), "{error}");
    // A left-over of a killed server that is a link goes; what it points to stays.
    let dir = outer.path().join("dir-left");
    std::fs::create_dir(&dir).unwrap();
    std::fs::create_dir(outer.path().join("far")).unwrap();
    std::fs::write(outer.path().join("far/file"), b"kept").unwrap();
    symlink("../far", dir.join("temporary")).unwrap();
    Server::start(ServerOptions::new(&dir)).unwrap().stop();
    assert!(outer.path().join("far/file").exists() && target.exists());
}

/// In the environment of the child process of the test below: the folder to work in.
const PRIVATE_IN: &str = "AQUIFER_TEST_PRIVATE_IN";

/// Objects, temporary files and the lock could be read by every local user, as the umask of most systems lets them.
#[test]
fn files_are_their_users_alone_whatever_the_umask() {
    if let Some(folder) = std::env::var_os(PRIVATE_IN) {
        return make_files(Path::new(&folder));
    }
    let outer = tempfile::tempdir().unwrap();
    let status = std::process::Command::new("sh")
        .args(["-c", "umask 000 && exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "server_hostile::files_are_their_users_alone_whatever_the_umask"])
        .env(PRIVATE_IN, outer.path())
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let mut seen = Vec::new();
    for part in ["server", "private"] {
        walk(&outer.path().join(part), &mut |path, is_folder, mode| {
            assert_eq!(mode, if is_folder { 0o700 } else { 0o600 }, "{}: {mode:o}", path.display());
            seen.push(path.to_owned());
        });
    }
    // Both have the object, the large one and the folder on the way; the server its lock and an upload under way.
    for name in ["LOCK", "objects/a+/b=", "objects/big=", "a/b", "big"] {
        assert!(seen.iter().any(|path| path.ends_with(name)), "{name} of {seen:?}");
    }
    assert!(seen.iter().any(|path| path.to_string_lossy().contains("uploads/")), "{seen:?}");
    assert!(seen.iter().any(|path| path.to_string_lossy().contains('#')), "one on its way: {seen:?}");
    walk(&outer.path().join("shared"), &mut |path, is_folder, mode| {
        assert_eq!(mode, if is_folder { 0o777 } else { 0o666 }, "{}: {mode:o}", path.display());
    });
    // A folder that was there keeps its mode; what is new in it is private all the same.
    assert_eq!(std::fs::metadata(outer.path().join("wide")).unwrap().mode() & 0o777, 0o777);
    assert_eq!(std::fs::metadata(outer.path().join("wide/a/b")).unwrap().mode() & 0o777, 0o600);
}

/// Everything that makes files, once; what is on its way stays so.
fn make_files(folder: &Path) {
    let server = Server::start(ServerOptions::new(folder.join("server"))).unwrap();
    let open = |name: &str, sharing: &str| {
        let settings = [("AQUIFER_FILE_SHARING".to_owned(), sharing.to_owned())];
        let options =
            RemoteOptions { environment: false, settings: settings.into(), ..RemoteOptions::default() };
        open_url(&format!("file://{}", folder.join(name).display()), options).unwrap()
    };
    std::fs::create_dir(folder.join("wide")).unwrap();
    let stores = [
        server.remote("").unwrap(),
        open("private/deep", ""),
        open("wide", "private"),
        open("shared", "umask"),
    ];
    for remote in &stores {
        block_on(async {
            remote.put_if_absent(&name("a/b"), b"x".to_vec().into()).await.unwrap();
            let mut upload = remote.upload(&name("big")).await.unwrap();
            upload.part(vec![1; 5 << 20].into()).await.unwrap();
            upload.part(vec![1; 10].into()).await.unwrap();
            upload.finish().await.unwrap();
            let mut under_way = remote.upload(&name("half")).await.unwrap();
            under_way.part(vec![1; 10].into()).await.unwrap();
            std::mem::forget(under_way);
        });
    }
    // As a killed process leaves them.
    std::mem::forget((server, stores));
}

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap()
}

fn walk(path: &Path, look: &mut impl FnMut(&Path, bool, u32)) {
    let found = std::fs::symlink_metadata(path).unwrap();
    look(path, found.is_dir(), found.mode() & 0o777);
    if found.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            walk(&entry.unwrap().path(), look);
        }
    }
}

#[test]
fn an_unknown_way_of_sharing_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let settings = [("AQUIFER_FILE_SHARING".to_owned(), "everybody".to_owned())];
    let options = RemoteOptions { environment: false, settings: settings.into(), ..RemoteOptions::default() };
    let error = open_url(&format!("file://{}", dir.path().display()), options).unwrap_err();
    assert!(error.to_string().contains("everybody") && error.to_string().contains("umask"), "{error}");
}

/// As in the server's folder, so in a `file://` store.
#[test]
fn a_folder_as_a_store_follows_no_links_either() {
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("store");
    std::fs::create_dir_all(outer.path().join("far")).unwrap();
    std::fs::write(outer.path().join("far/file"), b"far").unwrap();
    std::fs::create_dir(&dir).unwrap();
    // The store's own folder may be a link: its user has named it.
    symlink("store", outer.path().join("link")).unwrap();
    let options = RemoteOptions { environment: false, ..RemoteOptions::default() };
    let remote = open_url(&format!("file://{}", outer.path().join("link").display()), options).unwrap();
    symlink("../far", dir.join("folder")).unwrap();
    symlink("../far/file", dir.join("file")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(dir.join("fifo")).status().unwrap().success());
    block_on(async {
        for object in ["folder/file", "file", "fifo"] {
            let error = remote.get(&name(object), 10).await.unwrap_err();
            let words = if object == "fifo" { "no regular file" } else { "symbolic link" };
            assert!(error.to_string().contains(words), "{object}: {error}");
            assert!(remote.head(&name(object)).await.is_err());
        }
        assert!(remote.put(&name("folder/new"), b"x".to_vec().into()).await.is_err());
        remote.put(&name("plain"), b"x".to_vec().into()).await.unwrap();
        assert_eq!(remote.list("", None, 10).await.unwrap().entries.len(), 1);
        remote.delete(&name("file")).await.unwrap();
    });
    assert_eq!(std::fs::read_dir(outer.path().join("far")).unwrap().count(), 1);
}

/// Pages of a folder ascend whatever lies beside a name: a folder's names stand after the slash, not after its own name.
#[test]
fn pages_of_a_folder_ascend() {
    let dir = tempfile::tempdir().unwrap();
    let options = RemoteOptions { environment: false, ..RemoteOptions::default() };
    let remote = open_url(&format!("file://{}", dir.path().display()), options).unwrap();
    let mut names = Vec::new();
    for folder in ["", "a/", "a-b/", "a.b/", "a/b/", "z/"] {
        names.extend(["a0", "0", "b-", "b.c", "zz"].map(|file| format!("{folder}{file}")));
    }
    names.sort();
    block_on(async {
        for object in &names {
            remote.put(&name(object), b"x".to_vec().into()).await.unwrap();
        }
        std::fs::write(dir.path().join("a/left#17"), b"of a killed writer").unwrap();
        for page_entries in [1, 3, 100] {
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let page = remote.list("", after.as_ref(), page_entries).await.unwrap();
                seen.extend(page.entries.iter().map(|entry| entry.name.to_string()));
                after = page.entries.last().map(|entry| entry.name.clone());
                if !page.more {
                    break;
                }
            }
            assert_eq!(seen, names, "{page_entries} a page");
        }
        let below = remote.list("a/", Some(&name("a/b-")), 100).await.unwrap();
        let expected: Vec<&String> =
            names.iter().filter(|name| name.starts_with("a/") && name.as_str() > "a/b-").collect();
        let seen: Vec<String> = below.entries.iter().map(|entry| entry.name.to_string()).collect();
        assert_eq!(seen.iter().collect::<Vec<_>>(), expected);
    });
}
