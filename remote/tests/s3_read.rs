//! The short way of ranged reads: prepared requests on connections of our own.

use crate::http;
use std::collections::BTreeMap;
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aquifer_io::block_on;
use aquifer_remote::{ObjectName, Remote, RemoteErrorKind, RemoteOptions, open_url};
use futures_util::future::join_all;

const DATE: &str = "etag: \"1\"\r\nlast-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n";

fn options(address: SocketAddr) -> RemoteOptions {
    let settings = [
        ("AWS_ENDPOINT", format!("http://{address}")),
        ("AWS_ACCESS_KEY_ID", "key".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "s3cr3t".to_owned()),
        ("AWS_SESSION_TOKEN", "t0ken".to_owned()),
    ];
    let settings: BTreeMap<String, String> =
        settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    // What is repeated here is repeated by the reader.
    RemoteOptions { environment: false, settings, retries_max: 0, ..RemoteOptions::default() }
}

fn remote(address: SocketAddr) -> Arc<dyn Remote> {
    open_url("s3://bucket/jobs", options(address)).unwrap()
}

fn name() -> ObjectName {
    ObjectName::new("x").unwrap()
}

fn part() -> http::Answer {
    http::answer("206 Partial Content", &format!("{DATE}content-range: bytes 1-3/10\r\n"), "123")
}

fn denied() -> http::Answer {
    let body = "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>";
    http::answer("403 Forbidden", "", body)
}

/// Which of the two ways a request came.
fn way(request: &http::Request) -> &'static str {
    let in_url = request.target.contains("X-Amz-Signature=") && request.target.contains("X-Amz-Expires=900");
    let in_header = request.header("authorization").starts_with("AWS4-HMAC-SHA256");
    match (in_url, in_header) {
        (true, false) => "prepared",
        (false, true) => "signed",
        _ => "neither",
    }
}

/// Serves connections that answer so many requests each, read one more, and close. Counts the connections.
fn serve_closing(requests_max: usize) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let accepted = Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            accepted.fetch_add(1, Ordering::SeqCst);
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                for _ in 0..requests_max {
                    if http::read(&mut reader).is_none() || stream.write_all(&part()).is_err() {
                        return;
                    }
                }
                http::read(&mut reader);
            });
        }
    });
    (address, count)
}

#[test]
fn an_object_is_signed_once_and_again_when_that_has_expired() {
    let (log, count) = (http::Log::default(), AtomicUsize::new(0));
    let ways = log.clone();
    let address = http::serve(move |request| {
        ways.add(way(request));
        assert_eq!((request.method.as_str(), request.header("range")), ("GET", "bytes=1-3"));
        assert!(request.target.starts_with("/bucket/jobs/x"));
        // The third request comes with a signature that the server takes for too old.
        if count.fetch_add(1, Ordering::SeqCst) == 2 { denied() } else { part() }
    });
    let remote = remote(address);
    for _ in 0..4 {
        assert_eq!(block_on(remote.get_range(&name(), 1..4)).unwrap(), "123");
    }
    assert_eq!(log.lines(), ["prepared", "prepared", "prepared", "signed", "prepared"]);
}

#[test]
fn a_store_that_takes_no_prepared_requests_is_soon_not_asked_so() {
    let log = http::Log::default();
    let ways = log.clone();
    let address = http::serve(move |request| {
        ways.add(way(request));
        if way(request) == "prepared" { denied() } else { part() }
    });
    let remote = remote(address);
    for _ in 0..20 {
        assert_eq!(block_on(remote.get_range(&name(), 1..4)).unwrap(), "123");
    }
    assert_eq!((log.count(&["prepared"]), log.count(&["signed"])), (8, 20));
}

#[test]
fn no_secret_is_in_the_error_of_a_read_that_is_refused() {
    let seen = http::Log::default();
    let targets = seen.clone();
    // As careless servers do, the answer repeats the request.
    let address = http::serve(move |request| {
        targets.add(request.target.clone());
        let body = format!(
            "<Error><Code>AccessDenied</Code><Message>no</Message><Resource>{} {:?}</Resource></Error>",
            request.target, request.headers
        );
        http::answer("403 Forbidden", "", body)
    });
    let remote = remote(address);
    let failure = block_on(remote.get_range(&name(), 1..4)).unwrap_err();
    assert_eq!(failure.kind(), RemoteErrorKind::PermissionDenied, "{failure}");
    let texts = format!("{failure} {failure:?} {:?} {remote:?}", std::error::Error::source(&failure));
    assert!(seen.lines()[0].contains("t0ken"), "{:?}", seen.lines());
    for secret in ["t0ken", "s3cr3t", "X-Amz", "Signature", "AWS4"] {
        assert!(!texts.contains(secret), "{texts}");
    }
}

#[test]
fn no_secret_is_in_the_error_of_a_read_that_breaks() {
    for broken in [
        Vec::new(),
        b"nonsense\r\n\r\n".to_vec(),
        http::answer("404 Not Found", "", ""),
        http::answer("500 Internal Server Error", "", ""),
        http::answer("206 Partial Content", "", "123"),
        http::cut("206 Partial Content", &format!("{DATE}content-range: bytes 1-3/10\r\n"), 3, "1"),
    ] {
        let address = http::serve(move |_| broken.clone());
        let failure = block_on(remote(address).get_range(&name(), 1..4)).unwrap_err();
        let texts = format!("{failure} {failure:?} {:?}", std::error::Error::source(&failure));
        for secret in ["t0ken", "s3cr3t", "X-Amz", "Signature", "/bucket/"] {
            assert!(!texts.contains(secret), "{texts}");
        }
    }
}

#[test]
fn connections_are_used_again() {
    let (address, count) = serve_closing(usize::MAX);
    let remote = remote(address);
    for _ in 0..20 {
        assert_eq!(block_on(remote.get_range(&name(), 1..4)).unwrap(), "123");
    }
    assert_eq!(count.load(Ordering::SeqCst), 1);
    for _ in 0..5 {
        for read in block_on(join_all((0..8).map(|_| remote.get_range(&name(), 1..4)))) {
            assert_eq!(read.unwrap(), "123");
        }
    }
    assert!(count.load(Ordering::SeqCst) <= 8, "{count:?}");
}

/// The server closes a kept connection while or before it gets the next request: nobody sees that.
#[test]
fn a_kept_connection_that_was_closed_is_no_error() {
    let (address, count) = serve_closing(2);
    let remote = remote(address);
    for _ in 0..9 {
        assert_eq!(block_on(remote.get_range(&name(), 1..4)).unwrap(), "123");
    }
    assert_eq!(count.load(Ordering::SeqCst), 5);
    // Without a word, as soon as the answer is out.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let remote = self::remote(listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            http::read(&mut BufReader::new(stream.try_clone().unwrap()));
            stream.write_all(&part()).unwrap();
        }
    });
    for _ in 0..20 {
        assert_eq!(block_on(remote.get_range(&name(), 1..4)).unwrap(), "123");
    }
}

#[test]
fn bodies_in_pieces_are_put_together() {
    let whole: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    let serving = whole.clone();
    let address = http::serve(move |request| {
        if request.header("range") == "bytes=0-2999999" {
            let range = format!("{DATE}content-range: bytes 0-2999999/3000000\r\n");
            return http::answer("206 Partial Content", &range, &serving);
        }
        // In chunks, of which the length is not known before the end.
        let head = "HTTP/1.1 206 Partial Content\r\ntransfer-encoding: chunked\r\n";
        format!("{head}{DATE}content-range: bytes 1-3/10\r\n\r\n2\r\n12\r\n1\r\n3\r\n0\r\n\r\n").into_bytes()
    });
    let remote = remote(address);
    assert_eq!(block_on(remote.get_range(&name(), 0..3_000_000)).unwrap(), whole);
    for _ in 0..3 {
        assert_eq!(block_on(remote.get_range(&name(), 1..4)).unwrap(), "123");
    }
}

#[test]
fn silence_is_unavailable_before_and_within_the_answer() {
    for sent in
        ["", "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 1-3/10\r\ncontent-length: 3\r\n\r\n1"]
    {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut options = options(listener.local_addr().unwrap());
        options.attempt_timeout = Duration::from_millis(100);
        let remote = open_url("s3://bucket/jobs", options).unwrap();
        let get = remote.get_range(&name(), 1..4);
        let (mut stream, mut reader) = accepted(&listener);
        http::read(&mut reader).unwrap();
        // A late test finds the connection closed already.
        drop(stream.write_all(sent.as_bytes()));
        let failure = block_on(get).unwrap_err();
        assert_eq!(failure.kind(), RemoteErrorKind::Unavailable, "{failure}");
        assert!(failure.to_string().contains("no byte from the server"), "{failure}");
    }
}

#[test]
fn dropping_the_future_closes_the_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let remote = remote(listener.local_addr().unwrap());
    let get = remote.get_range(&name(), 1..4);
    let (mut stream, mut reader) = accepted(&listener);
    http::read(&mut reader).unwrap();
    drop(get);
    // This read would wait for ever otherwise.
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
}

fn accepted(listener: &TcpListener) -> (TcpStream, BufReader<TcpStream>) {
    let (stream, _) = listener.accept().unwrap();
    let reader = BufReader::new(stream.try_clone().unwrap());
    (stream, reader)
}
