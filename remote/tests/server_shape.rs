//! What a shaped server does to its clients, seen from a bare socket.

use crate::raw::sign;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use aquifer_remote::RemoteErrorKind;
use aquifer_remote::server::{Server, ServerOptions, ServerShape};
use aquifer_remote::shape::{FaultPlan, LatencyProfile};
use sign::{RawClient, Request};

const BODY_BYTES: usize = 100_000;

struct Fixture {
    dir: tempfile::TempDir,
    shape: ServerShape,
}

impl Fixture {
    /// A folder with the object `x`, written without any shape.
    fn new(shape: ServerShape) -> Self {
        let fixture = Self { dir: tempfile::tempdir().unwrap(), shape: ServerShape::default() };
        let (_server, client) = fixture.start();
        let seen = talk(&client, &Request { path: "/aquifer/x", body: &[7; BODY_BYTES], ..PUT }, None);
        assert!(seen.head.starts_with("HTTP/1.1 200"), "{}", seen.head);
        Self { shape, ..fixture }
    }

    fn start(&self) -> (Server, RawClient) {
        let secret_key = "s3cr3t".to_owned();
        let options = ServerOptions {
            secret_key: secret_key.clone(),
            shape: self.shape,
            ..ServerOptions::new(self.dir.path())
        };
        let server = Server::start(options).unwrap();
        let client = RawClient { address: server.address(), access_key: "aquifer".to_owned(), secret_key };
        (server, client)
    }

    fn exists(&self, name: &str) -> bool {
        self.dir.path().join("objects").join(format!("{name}=")).exists()
    }
}

fn faults(rates: &str) -> ServerShape {
    ServerShape { faults: FaultPlan::new(rates.parse().unwrap()), ..ServerShape::default() }
}

/// What a connection gave until it ended, and how it ended.
struct Seen {
    head: String,
    body: Vec<u8>,
    end: Option<ErrorKind>,
}

/// Sends a request over a connection and reads until it ends, or is silent for so long.
fn talk(client: &RawClient, request: &Request<'_>, silence: Option<Duration>) -> Seen {
    let mut stream = TcpStream::connect(client.address).unwrap();
    stream.set_read_timeout(silence).unwrap();
    let head = client.signed_head(request, request.body.len());
    // The server may have reset the connection before all was written.
    let _early = stream.write_all(&[head.as_bytes(), request.body].concat());
    let (mut bytes, mut chunk) = (Vec::new(), vec![0; 64 << 10]);
    let end = loop {
        match stream.read(&mut chunk) {
            Ok(0) => break None,
            Ok(read) => bytes.extend_from_slice(chunk.get(..read).unwrap_or_default()),
            Err(error) => break Some(error.kind()),
        }
    };
    let split = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let (head, body) = bytes.split_at(split.map_or(bytes.len(), |at| at + 4));
    Seen { head: String::from_utf8_lossy(head).into_owned(), body: body.to_vec(), end }
}

const GET: Request<'_> =
    Request { method: "GET", path: "/aquifer/x", query: "", headers: &[], body: b"", hash: "" };
const PUT: Request<'_> = Request { method: "PUT", path: "/aquifer/y", body: b"y", ..GET };

#[test]
fn a_503_has_not_been_tried() {
    let fixture = Fixture::new(faults("503=100%"));
    let (_server, client) = fixture.start();
    for request in [GET, PUT] {
        let seen = talk(&client, &request, None);
        assert!(seen.head.starts_with("HTTP/1.1 503"), "{}", seen.head);
        assert!(String::from_utf8(seen.body).unwrap().contains("<Code>SlowDown</Code>"));
    }
    assert!(!fixture.exists("y"));
}

#[test]
fn resets_come_before_or_after_the_request_was_applied() {
    for (rates, applied) in [("reset-before=100%", false), ("reset-after=100%", true)] {
        let fixture = Fixture::new(faults(rates));
        let (_server, client) = fixture.start();
        for request in [GET, PUT] {
            let seen = talk(&client, &request, None);
            assert_eq!((seen.head.as_str(), seen.end), ("", Some(ErrorKind::ConnectionReset)), "{rates}");
        }
        assert_eq!(fixture.exists("y"), applied, "{rates}");
    }
}

#[test]
fn a_truncated_body_ends_in_the_middle() {
    let fixture = Fixture::new(faults("truncated=100%"));
    let (_server, client) = fixture.start();
    let seen = talk(&client, &GET, None);
    assert!(seen.head.contains(&format!("content-length: {BODY_BYTES}")), "{}", seen.head);
    assert_eq!(seen.body, vec![7; BODY_BYTES / 2]);
    let head = talk(&client, &Request { method: "HEAD", ..GET }, None);
    assert!(head.head.starts_with("HTTP/1.1 200"), "an answer without a body stays whole");
}

#[test]
fn a_stall_keeps_the_connection_and_says_nothing_more() {
    let fixture = Fixture::new(faults("stall=100%"));
    let (_server, client) = fixture.start();
    let silence = Some(Duration::from_millis(200));
    let seen = talk(&client, &GET, silence);
    assert_eq!((seen.body.len(), seen.end), (BODY_BYTES / 2, Some(ErrorKind::WouldBlock)));
    let seen = talk(&client, &PUT, silence);
    assert_eq!((seen.head.as_str(), seen.end), ("", Some(ErrorKind::WouldBlock)));
    assert!(fixture.exists("y"), "it was applied");
}

#[test]
fn a_slow_close_answers_once_and_ends_late() {
    let fixture = Fixture::new(faults("slow-close=100%"));
    let (_server, client) = fixture.start();
    let mut stream = TcpStream::connect(client.address).unwrap();
    let kept_alive = |request: &Request<'_>| {
        client.signed_head(request, request.body.len()).replace("connection: close\r\n", "")
    };
    let range = Request { headers: &[("range", "bytes=0-9")], ..GET };
    let start = aquifer_io::now();
    stream.write_all(kept_alive(&range).as_bytes()).unwrap();
    let mut answer = vec![0; 4_096];
    let mut filled = 0;
    while !answer[..filled].ends_with(b"\r\n\r\n\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07") {
        let read = stream.read(&mut answer[filled..]).unwrap();
        assert!(read > 0, "the answer is whole");
        filled += read;
    }
    stream.write_all(kept_alive(&PUT).as_bytes()).unwrap();
    stream.write_all(PUT.body).unwrap();
    // It closes with bytes unread, which is a reset or an end, by the time they take.
    let end = stream.read(&mut answer);
    assert!(matches!(end, Ok(0)) || end.unwrap_err().kind() == ErrorKind::ConnectionReset);
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert!(!fixture.exists("y"), "what was sent after the answer is not heard");
}

/// The answers of one connection after the other come at the times that the seed says, and never before.
#[test]
fn latencies_are_drawn_from_the_seed_in_the_order_of_requests() {
    let shape = ServerShape { latency: LatencyProfile::Hdfs, seed: 11, ..ServerShape::default() };
    let fixture = Fixture::new(shape);
    let (_server, client) = fixture.start();
    let mut chance = fastrand::Rng::with_seed(11);
    let small = Request { headers: &[("range", "bytes=0-9")], ..GET };
    for _ in 0..50 {
        let drawn = shape.latency.sample(&mut chance);
        assert_eq!(shape.faults.next(&mut chance), None);
        let start = aquifer_io::now();
        let seen = talk(&client, &small, None);
        assert!(start.elapsed() >= drawn);
        assert!(seen.head.starts_with("HTTP/1.1 206"), "{}", seen.head);
    }
}

#[test]
fn the_same_seed_makes_the_same_faults() {
    let run = |seed| {
        let fixture = Fixture::new(ServerShape { seed, ..faults("503=30%,reset-before=20%") });
        let (_server, client) = fixture.start();
        let small = Request { headers: &[("range", "bytes=0-9")], ..GET };
        (0..40).map(|_| talk(&client, &small, None).head.get(9..12).map(str::to_owned)).collect::<Vec<_>>()
    };
    let first = run(5);
    assert_eq!(first, run(5));
    assert_ne!(first, run(6));
}

#[test]
fn bytes_take_their_time_each_way_on_each_connection_and_in_all() {
    const BYTES_PER_S: u64 = 1_000_000;
    // A millisecond may be caught up, and a head has some hundred bytes.
    let least = |bytes: usize| Duration::from_micros(bytes as u64).saturating_sub(Duration::from_millis(2));
    for (own, all) in [(BYTES_PER_S, 0), (0, BYTES_PER_S)] {
        let shape = ServerShape {
            connection_bandwidth_bytes_per_s: own,
            bandwidth_bytes_per_s: all,
            ..ServerShape::default()
        };
        let fixture = Fixture::new(shape);
        let (_server, client) = fixture.start();
        let start = aquifer_io::now();
        assert_eq!(talk(&client, &GET, None).body.len(), BODY_BYTES);
        assert!(start.elapsed() >= least(BODY_BYTES), "down");
        let start = aquifer_io::now();
        let seen = talk(&client, &Request { body: &[1; BODY_BYTES], ..PUT }, None);
        assert!(seen.head.starts_with("HTTP/1.1 200"), "{}", seen.head);
        // The last bytes have not to wait for their own stretch of time.
        assert!(start.elapsed() >= least(BODY_BYTES / 2), "up");
        let start = aquifer_io::now();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| assert_eq!(talk(&client, &GET, None).body.len(), BODY_BYTES));
            }
        });
        let together = if all > 0 { 3 * BODY_BYTES } else { BODY_BYTES };
        assert!(start.elapsed() >= least(together), "three at once");
    }
}

#[test]
fn a_read_only_server_takes_no_writes() {
    let fixture = Fixture::new(ServerShape::default());
    let options = ServerOptions { read_only: true, ..ServerOptions::new(fixture.dir.path()) };
    let server = Server::start(options).unwrap();
    let remote = server.remote("").unwrap();
    let name = |text: &str| aquifer_remote::ObjectName::new(text).unwrap();
    let get = aquifer_io::block_on(remote.get_range(&name("x"), 0..3)).unwrap();
    assert_eq!(get.as_ref(), [7; 3]);
    assert_eq!(aquifer_io::block_on(remote.list("", None, 10)).unwrap().entries.len(), 1);
    let writes = [
        aquifer_io::block_on(remote.put(&name("y"), b"y".to_vec().into())).unwrap_err(),
        aquifer_io::block_on(remote.put_if_absent(&name("y"), b"y".to_vec().into())).unwrap_err(),
        aquifer_io::block_on(remote.delete(&name("x"))).unwrap_err(),
        aquifer_io::block_on(remote.upload(&name("y"))).err().unwrap(),
    ];
    for error in writes {
        assert_eq!(error.kind(), RemoteErrorKind::PermissionDenied, "{error}");
        assert!(error.to_string().contains("this bucket is read-only"), "{error}");
    }
    assert!(fixture.exists("x") && !fixture.exists("y"));
}
