//! Servers that misbehave: what is repeated, what is not, and what the caller is told.

use crate::http;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use aquifer_io::block_on;
use aquifer_remote::{
    ObjectName, PutOutcome, Remote, RemoteErrorKind, RemoteOptions, open_url, probe_put_if_absent,
};

/// Takes one request after another, whatever the connection, and answers each with the next of `answers`; an empty one closes
/// the connection. Tells the first line of every request.
fn scripted(answers: Vec<String>) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let line = read_request(&mut stream);
            if tell.send(line).is_err() {
                return;
            }
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    (address, told)
}

fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        bytes.push(byte[0]);
    }
    let head = String::from_utf8(bytes).unwrap().to_lowercase();
    let length =
        head.split("content-length: ").nth(1).map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    head.lines().next().unwrap_or("").to_owned()
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

fn error(status: &str, code: &str) -> String {
    answer(status, "", &format!("<Error><Code>{code}</Code><Message>m</Message></Error>"))
}

fn options(address: SocketAddr) -> RemoteOptions {
    let settings = [
        ("AWS_ENDPOINT", format!("http://{address}")),
        ("AWS_ACCESS_KEY_ID", "key".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "s3cr3t".to_owned()),
        ("AWS_SESSION_TOKEN", "t0ken".to_owned()),
    ];
    let settings: BTreeMap<String, String> =
        settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    RemoteOptions { environment: false, settings, ..RemoteOptions::default() }
}

fn remote(address: SocketAddr) -> Arc<dyn Remote> {
    open_url("s3://bucket/jobs", options(address)).unwrap()
}

fn name() -> ObjectName {
    ObjectName::new("x").unwrap()
}

const OK: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\netag: \"1\"\r\ncontent-length: 0\r\n\r\n";

fn found(body: &str) -> String {
    answer("200 OK", "etag: \"1\"\r\nlast-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n", body)
}

/// The trap: the server applied the write and its answer was lost. The HTTP stack used to send it again by itself; the
/// second was refused, and the winner believed that it had lost.
#[test]
fn a_put_if_absent_with_a_lost_answer_reads_back_who_won() {
    for lost in
        [String::new(), error("500 Internal Server Error", "InternalError"), error("504 Gateway Timeout", "")]
    {
        for (there, outcome) in [("mine", PutOutcome::Created), ("else", PutOutcome::Exists)] {
            let (address, told) = scripted(vec![lost.clone(), found(there)]);
            let put = remote(address).put_if_absent(&name(), b"mine".to_vec().into());
            assert_eq!(block_on(put).unwrap(), outcome);
            assert_eq!(told.recv().unwrap(), "put /bucket/jobs/x http/1.1");
            assert_eq!(told.recv().unwrap(), "get /bucket/jobs/x http/1.1");
            assert!(told.try_recv().is_err(), "repeated");
        }
        // Nothing there: the same bytes once more, and the first attempt may still come in between.
        let taken = error("412 Precondition Failed", "PreconditionFailed");
        for (second, outcome) in [
            (vec![OK.to_owned()], PutOutcome::Created),
            (vec![taken.clone(), found("mine")], PutOutcome::Created),
            (vec![taken, found("else")], PutOutcome::Exists),
        ] {
            let absent = error("404 Not Found", "NoSuchKey");
            let (address, told) = scripted([vec![lost.clone(), absent], second.clone()].concat());
            let put = remote(address).put_if_absent(&name(), b"mine".to_vec().into());
            assert_eq!(block_on(put).unwrap(), outcome);
            assert_eq!(told.iter().count(), 2 + second.len());
        }
    }
}

/// What cannot be read back stays in doubt.
#[test]
fn a_put_if_absent_with_a_lost_answer_and_no_way_to_look_is_in_doubt() {
    let denied = error("403 Forbidden", "AccessDenied");
    let (address, told) = scripted(vec![String::new(), denied]);
    let failure = block_on(remote(address).put_if_absent(&name(), b"x".to_vec().into())).unwrap_err();
    assert_eq!(failure.kind(), RemoteErrorKind::InDoubt, "{failure}");
    assert!(failure.to_string().contains("read it back"), "{failure}");
    assert_eq!(told.iter().count(), 2);
}

#[test]
fn a_put_if_absent_that_was_surely_not_applied_is_repeated() {
    for busy in [error("503 Slow Down", "SlowDown"), error("409 Conflict", "ConditionalRequestConflict")] {
        let (address, told) = scripted(vec![busy.clone(), busy, OK.to_owned()]);
        let outcome = block_on(remote(address).put_if_absent(&name(), b"x".to_vec().into())).unwrap();
        assert_eq!(outcome, PutOutcome::Created);
        assert_eq!(told.iter().count(), 3);
    }
}

#[test]
fn refusals_are_told_apart() {
    for (status, code, kind) in [
        ("403 Forbidden", "AccessDenied", RemoteErrorKind::PermissionDenied),
        ("400 Bad Request", "ExpiredToken", RemoteErrorKind::PermissionDenied),
        ("404 Not Found", "NoSuchBucket", RemoteErrorKind::InvalidUrl),
        ("301 Moved Permanently", "PermanentRedirect", RemoteErrorKind::InvalidUrl),
        ("307 Temporary Redirect", "TemporaryRedirect", RemoteErrorKind::InvalidUrl),
        ("501 Not Implemented", "NotImplemented", RemoteErrorKind::Unsafe),
        ("400 Bad Request", "InvalidRequest", RemoteErrorKind::Other),
    ] {
        let (address, told) = scripted(vec![error(status, code), OK.to_owned()]);
        let failure = block_on(remote(address).put_if_absent(&name(), b"x".to_vec().into())).unwrap_err();
        assert_eq!(failure.kind(), kind, "{failure}");
        assert!(failure.to_string().contains(code), "{failure}");
        assert!(told.recv().is_ok() && told.try_recv().is_err(), "{code} repeated");
    }
    let (address, _told) = scripted(vec![error("412 Precondition Failed", "PreconditionFailed")]);
    let outcome = block_on(remote(address).put_if_absent(&name(), b"x".to_vec().into())).unwrap();
    assert_eq!(outcome, PutOutcome::Exists);
}

#[test]
fn reads_and_plain_puts_are_repeated() {
    let found = answer("200 OK", "etag: \"1\"\r\nlast-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n", "hello");
    let busy = || error("503 Service Unavailable", "ServiceUnavailable");
    let (address, told) = scripted(vec![busy(), String::new(), found]);
    assert_eq!(block_on(remote(address).get(&name(), 10)).unwrap(), "hello");
    assert_eq!(told.iter().count(), 3);
    let (address, told) = scripted(vec![busy(), String::new(), OK.to_owned()]);
    block_on(remote(address).put(&name(), b"x".to_vec().into())).unwrap();
    assert_eq!(told.iter().count(), 3);
}

#[test]
fn an_error_that_stays_is_unavailable_after_bounded_repeats() {
    let answers = vec![error("503 Service Unavailable", "ServiceUnavailable"); 20];
    let (address, told) = scripted(answers);
    let failure = block_on(remote(address).get(&name(), 10)).unwrap_err();
    assert_eq!(failure.kind(), RemoteErrorKind::Unavailable, "{failure}");
    assert_eq!(told.try_iter().count(), 1 + RemoteOptions::default().retries_max);
}

/// How it was: an answer that breaks off was repeated by the store, and all of its repeats by the wrapper round it: 36 requests for one read.
#[test]
fn answers_that_break_off_are_repeated_once_each_by_one_of_the_layers() {
    let cut = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\netag: \"1\"\r\nlast-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\nhel";
    let (address, told) = scripted(vec![cut.to_owned(); 40]);
    let failure = block_on(remote(address).get(&name(), 10)).unwrap_err();
    assert!(matches!(failure.kind(), RemoteErrorKind::Truncated | RemoteErrorKind::Unavailable), "{failure}");
    assert_eq!(told.try_iter().count(), 1 + RemoteOptions::default().retries_max);
}

#[test]
fn bodies_of_errors_stay_out_of_ours() {
    let body = "<Error><Code>SignatureDoesNotMatch</Code><Message>no match</Message><CanonicalRequest>\
                x-amz-security-token:t0ken s3cr3t</CanonicalRequest></Error>";
    let (address, _told) = scripted(vec![answer("403 Forbidden", "", body)]);
    let remote = remote(address);
    let failure = block_on(remote.get(&name(), 10)).unwrap_err();
    let texts = format!("{failure} {failure:?} {:?} {remote:?}", std::error::Error::source(&failure));
    assert!(!texts.contains("t0ken") && !texts.contains("s3cr3t"), "{texts}");
    assert!(texts.contains("SignatureDoesNotMatch: no match"), "{texts}");
}

/// A server that ignores `Range`, answers another range, or stops early must never be believed: it is asked again, then reported.
#[test]
fn wrong_ranges_are_repeated_then_errors() {
    const DATE: &str = "etag: \"1\"\r\nlast-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n";
    let part = |range: &str, body: &str| {
        http::answer("206 Partial Content", &format!("{DATE}content-range: bytes {range}\r\n"), body)
    };
    for (label, bad) in [
        ("whole object", http::answer("200 OK", DATE, "0123456789")),
        ("another range", part("3-5/10", "345")),
        ("no range named", http::answer("206 Partial Content", DATE, "012")),
        ("nonsense", part("x-y/z", "012")),
        ("overflow", part("0-18446744073709551615/18446744073709551615", "012")),
        ("fewer bytes", part("0-2/10", "01")),
        ("more bytes", part("0-2/10", "01234567")),
        (
            "closed early",
            http::cut("206 Partial Content", &format!("{DATE}content-range: bytes 0-2/10\r\n"), 3, "01"),
        ),
    ] {
        let serving = |bad: http::Answer, bad_answers: usize| {
            let (log, asked) = (http::Log::default(), AtomicUsize::new(0));
            let gets = log.clone();
            let address = http::serve(move |request| {
                gets.add(request.header("range"));
                let is_bad = asked.fetch_add(1, Ordering::SeqCst) < bad_answers;
                if is_bad { bad.clone() } else { part("0-2/10", "012") }
            });
            let options = RemoteOptions { retry_time_max: Duration::from_millis(600), ..options(address) };
            (open_url("s3://bucket/jobs", options).unwrap(), log)
        };
        let (once, log) = serving(bad.clone(), 1);
        assert_eq!(block_on(once.get_range(&name(), 0..3)).unwrap(), "012", "{label}");
        assert!(log.lines().len() >= 2, "{label}: {:?}", log.lines());
        let (always, log) = serving(bad, usize::MAX);
        let failure = block_on(always.get_range(&name(), 0..3)).unwrap_err();
        assert!(
            matches!(failure.kind(), RemoteErrorKind::Truncated | RemoteErrorKind::Unavailable),
            "{label}: {failure:?}"
        );
        assert_eq!(failure.range(), Some(0..3), "{label}: {failure}");
        assert!(failure.to_string().contains(" x bytes 0..3"), "{label}: {failure}");
        assert!(log.lines().len() <= 50, "{label}: {} requests", log.lines().len());
    }
}

#[test]
fn a_silent_server_is_unavailable_by_the_deadline() {
    // Connections are taken by the system and never answered.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut options = options(listener.local_addr().unwrap());
    options.attempt_timeout = Duration::from_millis(100);
    options.retry_time_max = Duration::from_millis(200);
    options.deadline = Duration::from_secs(3);
    let remote = open_url("s3://bucket/jobs", options).unwrap();
    let start = aquifer_io::now();
    let failure = block_on(remote.get(&name(), 10)).unwrap_err();
    assert_eq!(failure.kind(), RemoteErrorKind::Unavailable, "{failure}");
    let failure = block_on(remote.put_if_absent(&name(), b"x".to_vec().into())).unwrap_err();
    assert_eq!(failure.kind(), RemoteErrorKind::InDoubt, "{failure}");
    assert!(start.elapsed() < Duration::from_secs(6));
}

#[test]
fn a_body_that_stalls_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut options = options(listener.local_addr().unwrap());
    options.attempt_timeout = Duration::from_millis(100);
    options.retries_max = 0;
    let remote = open_url("s3://bucket/jobs", options).unwrap();
    let get = remote.get(&name(), 10);
    let (mut stream, _) = listener.accept().unwrap();
    read_request(&mut stream);
    let head = "HTTP/1.1 200 OK\r\netag: \"1\"\r\nlast-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\ncontent-length: 5\r\n\r\nhe";
    stream.write_all(head.as_bytes()).unwrap();
    let failure = block_on(get).unwrap_err();
    assert_eq!(failure.kind(), RemoteErrorKind::Unavailable, "{failure}");
    assert!(failure.to_string().contains("no byte from the server"), "{failure}");
}

#[test]
fn dropping_the_future_aborts_the_request() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let remote = remote(listener.local_addr().unwrap());
    let get = remote.get(&name(), 10);
    let (mut stream, _) = listener.accept().unwrap();
    read_request(&mut stream);
    drop(get);
    // The client closes the connection: this read would wait for ever otherwise.
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
}

#[test]
fn the_runtime_outlives_the_store_while_a_future_lives() {
    let (address, _told) = scripted(vec![OK.to_owned()]);
    let remote = remote(address);
    let put = remote.put(&name(), b"x".to_vec().into());
    drop(remote);
    block_on(put).unwrap();
}

#[test]
fn the_probe_finds_a_server_that_ignores_conditions() {
    let found = answer(
        "200 OK",
        "etag: \"1\"\r\nlast-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n",
        "0000000000000007 2",
    );
    let deleted = "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n".to_owned();
    let (address, told) = scripted(vec![OK.to_owned(), OK.to_owned(), found, deleted]);
    let failure = block_on(probe_put_if_absent(&remote(address), 7)).unwrap_err();
    assert_eq!(failure.kind(), RemoteErrorKind::Unsafe, "{failure}");
    assert!(failure.to_string().contains("If-None-Match"), "{failure}");
    let lines: Vec<String> = told.try_iter().collect();
    assert_eq!(lines.last().unwrap(), "delete /bucket/jobs/probe/0000000000000007 http/1.1");
}

#[test]
fn a_finished_upload_whose_answer_was_lost_is_found() {
    let created = answer(
        "200 OK",
        "",
        "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>",
    );
    let part = "HTTP/1.1 200 OK\r\nconnection: close\r\netag: \"p1\"\r\ncontent-length: 0\r\n\r\n".to_owned();
    let gone = error("404 Not Found", "NoSuchUpload");
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\netag: \"1\"\r\nlast-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\ncontent-length: 4\r\n\r\n".to_owned();
    let (address, told) = scripted(vec![created, part, String::new(), gone, head]);
    let remote = remote(address);
    block_on(async {
        let mut upload = remote.upload(&name()).await.unwrap();
        upload.part(b"tail".to_vec().into()).await.unwrap();
        upload.finish().await.unwrap();
    });
    assert_eq!(told.iter().count(), 5);
}
