//! Servers that answer without end, without sense, or a byte at a time: every answer has a bound in bytes, pages and time.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use aquifer_io::block_on;
use aquifer_remote::{RemoteError, RemoteErrorKind, RemoteOptions};

use crate::http::{Answer, Request, answer, serve, serve_slowly};
use crate::stores::{Kind, each, name};

/// Options of someone who does not wait long.
fn hasty() -> RemoteOptions {
    RemoteOptions {
        connect_timeout: Duration::from_millis(300),
        attempt_timeout: Duration::from_millis(300),
        retry_time_max: Duration::from_millis(400),
        deadline: Duration::from_millis(1_000),
        patience: Duration::ZERO,
        ..RemoteOptions::default()
    }
}

/// Twice the deadline: time for a busy machine, and less than the three times that a listing once had.
const SOON: Duration = Duration::from_millis(2_000);

fn is_list(request: &Request) -> bool {
    let target = &request.target;
    target.contains("list-type=2")
        || target.contains("comp=list")
        || target.contains("LISTSTATUS")
        || request.method == "PROPFIND"
}

/// Sends these bytes again and again, until the other side has had enough. Counts them.
fn for_ever(stream: &mut TcpStream, bytes: &[u8], sent: &AtomicU64) -> bool {
    while stream.write_all(bytes).is_ok() {
        sent.fetch_add(bytes.len() as u64, Ordering::SeqCst);
    }
    false
}

/// Sends one byte after another, thirty milliseconds apart.
fn byte_by_byte(stream: &mut TcpStream, bytes: impl Iterator<Item = u8>) -> bool {
    // A read that waits for what the client does not send keeps the time.
    stream.set_read_timeout(Some(Duration::from_millis(30))).unwrap();
    for byte in bytes {
        if stream.write_all(&[byte]).is_err() || matches!(stream.read(&mut [0]), Ok(0)) {
            break;
        }
    }
    false
}

fn head(status: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\netag: \"1\"\r\nx-goog-generation: 1\r\nlast-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
    )
}

fn success(kind: Kind, request: &Request) -> &'static str {
    match (kind, request.method.as_str()) {
        (Kind::WebDav, "PROPFIND") => "207 Multi-Status",
        (_, "GET") if request.headers.contains_key("range") => "206 Partial Content",
        _ => "200 OK",
    }
}

/// `aquifer verify` grew to 3 GiB on a server whose listing never ended.
#[test]
fn an_endless_listing_is_read_to_its_bound() {
    for kind in Kind::ALL {
        let sent = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&sent);
        let address = serve_slowly(move |request, stream| {
            assert!(is_list(request), "{}", request.target);
            let head = format!("{}transfer-encoding: chunked\r\n\r\n", head(success(kind, request)));
            let begin = match kind {
                Kind::WebHdfs => "{\"FileStatuses\":{\"FileStatus\":[",
                Kind::WebDav => "<multistatus xmlns=\"DAV:\">",
                _ => "<ListBucketResult>",
            };
            let begin = format!("{head}{:x}\r\n{begin}\r\n", begin.len());
            stream.write_all(begin.as_bytes()).is_ok()
                && for_ever(stream, format!("10000\r\n{}\r\n", " ".repeat(0x1_0000)).as_bytes(), &count)
        });
        let options = RemoteOptions {
            attempt_timeout: Duration::from_secs(10),
            retry_time_max: Duration::from_secs(20),
            deadline: Duration::from_secs(30),
            ..hasty()
        };
        let error = block_on(kind.open(address, options).list("", None, 10)).unwrap_err();
        let sent = sent.load(Ordering::SeqCst);
        assert!(sent < 100 << 20, "{kind:?}: {sent} bytes, {error}");
        assert_eq!(error.kind(), RemoteErrorKind::Other, "{kind:?}: {error}");
    }
}

fn page(kind: Kind, names: &[String], token: Option<&str>) -> Answer {
    let body = match kind {
        Kind::Azure => {
            let blob = |name: &String| {
                format!(
                    "<Blob><Name>jobs/{name}</Name><Properties><Last-Modified>Thu, 01 Jan 2026 00:00:00 GMT</Last-Modified>\
                     <Content-Length>7</Content-Length><Content-Type>x</Content-Type><Etag>1</Etag></Properties></Blob>"
                )
            };
            let blobs: String = names.iter().map(blob).collect();
            format!(
                "<EnumerationResults><Blobs>{blobs}</Blobs><NextMarker>{}</NextMarker></EnumerationResults>",
                token.unwrap_or("")
            )
        }
        Kind::WebHdfs => {
            let file =
                |name: &String| format!("{{\"pathSuffix\":\"{name}\",\"type\":\"FILE\",\"length\":7}}");
            let files: Vec<String> = names.iter().map(file).collect();
            format!(
                "{{\"DirectoryListing\":{{\"partialListing\":{{\"FileStatuses\":{{\"FileStatus\":[{}]}}}},\"remainingEntries\":{}}}}}",
                files.join(","),
                u8::from(token.is_some())
            )
        }
        _ => {
            let object = |name: &String| {
                format!(
                    "<Contents><Key>jobs/{name}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>1</ETag>\
                     <Size>7</Size></Contents>"
                )
            };
            let objects: String = names.iter().map(object).collect();
            let token = token.map(|token| format!("<NextContinuationToken>{token}</NextContinuationToken>"));
            format!("<ListBucketResult>{objects}{}</ListBucketResult>", token.unwrap_or_default())
        }
    };
    answer("200 OK", "", body)
}

/// The kinds that list in pages.
const PAGED: [Kind; 4] = [Kind::S3, Kind::Google, Kind::Azure, Kind::WebHdfs];

/// What one listing gives from a server that answers with the nth page of `pages`, and how many it was asked for.
fn listed(
    kind: Kind,
    pages: impl Fn(usize) -> Answer + Send + Sync + 'static,
) -> (Result<Vec<String>, RemoteError>, usize) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let address = serve(move |_| pages(count.fetch_add(1, Ordering::SeqCst)));
    let options = RemoteOptions {
        deadline: Duration::from_secs(20),
        attempt_timeout: Duration::from_secs(10),
        ..hasty()
    };
    let page = block_on(kind.open(address, options).list("", None, 100));
    let names = page.map(|page| page.entries.iter().map(|entry| entry.name.to_string()).collect());
    (names, asked.load(Ordering::SeqCst))
}

/// A listing that always says "more" never ended.
#[test]
fn a_listing_that_does_not_get_on_is_an_error() {
    for kind in PAGED {
        for names in [&[][..], &["a".to_owned()], &["not ours".to_owned()]] {
            let names = names.to_vec();
            let (outcome, asked) = listed(kind, move |_| page(kind, &names, Some("again")));
            let error = outcome.unwrap_err();
            assert_eq!(error.kind(), RemoteErrorKind::Other, "{kind:?}: {error}");
            assert!(asked <= 3, "{kind:?}: {asked} requests, {error}");
        }
        if kind == Kind::WebHdfs {
            continue;
        }
        // A new token each time, and no name.
        let (outcome, asked) = listed(kind, move |number| page(kind, &[], Some(&format!("t{number}"))));
        assert!(
            outcome.as_ref().is_err_and(|error| error.to_string().contains("does not end")),
            "{outcome:?}"
        );
        assert!(asked <= 1_000, "{kind:?}: {asked} requests");
    }
}

/// We stop after a page's worth of names, so a server that lists in another order would hide some from us.
#[test]
fn a_listing_out_of_order_is_an_error() {
    for kind in [Kind::S3, Kind::Google, Kind::Azure] {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for (first, second) in [(&["b", "a"][..], &[][..]), (&["a", "c"], &["b"]), (&["a", "b"], &["b"])] {
            let (first, second) = (names(first), names(second));
            let (outcome, _) = listed(kind, move |number| match number {
                0 => page(kind, &first, Some("next")),
                _ => page(kind, &second, None),
            });
            let error = outcome.unwrap_err();
            assert!(error.to_string().contains("out of order"), "{kind:?}: {error}");
        }
        // In order, over pages, one of them empty.
        let (outcome, _) = listed(kind, move |number| match number {
            0 => page(kind, &["a".to_owned()], Some("1")),
            1 => page(kind, &[], Some("2")),
            _ => page(kind, &["b".to_owned(), "c".to_owned()], None),
        });
        assert_eq!(outcome.unwrap(), ["a", "b", "c"], "{kind:?}");
    }
}

/// Every operation against a server, each of which must end by the deadline.
#[track_caller]
fn all_end_soon(kind: Kind, what: &str, address: SocketAddr) -> Vec<(&'static str, RemoteError)> {
    let remote = kind.open(address, hasty());
    let content = || b"hello".to_vec().into();
    let mut failed = Vec::new();
    for operation in ["put", "put_if_absent", "get", "get_range", "head", "list", "delete"] {
        let start = aquifer_io::now();
        let outcome = block_on(async {
            match operation {
                "put" => remote.put(&name(), content()).await,
                "put_if_absent" => remote.put_if_absent(&name(), content()).await.map(drop),
                // An object of which nobody knows how long it is: time for 64 MiB must not be given to one that sends nothing.
                "get" => remote.get(&name(), 64 << 20).await.map(drop),
                "get_range" => remote.get_range(&name(), 0..4_096).await.map(drop),
                "head" => remote.head(&name()).await.map(drop),
                "list" => remote.list("", None, 1_000).await.map(drop),
                _ => remote.delete(&name()).await,
            }
        });
        let elapsed = start.elapsed();
        assert!(elapsed < SOON, "{kind:?} {what} {operation}: {elapsed:?}");
        failed.extend(outcome.err().map(|error| (operation, error)));
    }
    failed
}

/// Deadlines of 11 s took 33 s for a listing and 91 s for an object: each byte that came began a new wait, and time for bytes that
/// might come was given before one had.
#[test]
fn bodies_that_trickle_end_by_the_deadline() {
    for kind in Kind::ALL {
        let address = serve_slowly(move |request, stream| {
            let mut head = format!("{}content-length: 4096\r\n", head(success(kind, request)));
            if request.headers.contains_key("range") {
                head += "content-range: bytes 0-4095/4096\r\n";
            }
            stream.write_all(format!("{head}\r\n").as_bytes()).is_ok()
                && byte_by_byte(stream, std::iter::repeat_n(b' ', 4_096))
        });
        let failed = all_end_soon(kind, "trickle", address);
        let told: Vec<&str> = failed.iter().map(|(operation, _)| *operation).collect();
        for operation in ["get", "get_range", "list"] {
            assert!(told.contains(&operation), "{kind:?}: {failed:?}");
        }
    }
}

#[test]
fn heads_that_trickle_end_by_the_deadline() {
    for kind in Kind::ALL {
        let address = serve_slowly(|_, stream| {
            byte_by_byte(
                stream,
                b"HTTP/1.1 200 OK\r\nx: ".iter().copied().chain(std::iter::repeat_n(b'y', 4_096)),
            )
        });
        assert_eq!(all_end_soon(kind, "head", address).len(), 7, "{kind:?}");
    }
}

#[test]
fn headers_without_end_are_cut_off() {
    for kind in Kind::ALL {
        let sent = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&sent);
        let address = serve_slowly(move |_, stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\n").is_ok()
                && for_ever(stream, format!("x-flood: {}\r\n", "y".repeat(4_000)).as_bytes(), &count)
        });
        assert_eq!(all_end_soon(kind, "headers", address).len(), 7, "{kind:?}");
        assert!(sent.load(Ordering::SeqCst) < 512 << 20, "{kind:?}");
    }
}

/// Refusals whose text does not end, at once and byte by byte; the refusal counts.
#[test]
fn errors_without_end_are_what_their_status_says() {
    for kind in Kind::ALL {
        for slow in [false, true] {
            let sent = Arc::new(AtomicU64::new(0));
            let count = Arc::clone(&sent);
            let address = serve_slowly(move |_, stream| {
                let head = format!("{}transfer-encoding: chunked\r\n\r\n", head("403 Forbidden"));
                let chunk = format!("1000\r\n{}\r\n", "<".repeat(0x1000));
                stream.write_all(head.as_bytes()).is_ok()
                    && match slow {
                        true => byte_by_byte(stream, chunk.bytes()),
                        false => for_ever(stream, chunk.as_bytes(), &count),
                    }
            });
            for (operation, error) in all_end_soon(kind, "error", address) {
                if !slow {
                    assert_eq!(
                        error.kind(),
                        RemoteErrorKind::PermissionDenied,
                        "{kind:?} {operation}: {error}"
                    );
                }
            }
            assert!(sent.load(Ordering::SeqCst) < 256 << 20, "{kind:?}");
        }
    }
}

/// What is announced and what comes are two things: a chunked body goes on after the length that its head names.
#[test]
fn objects_longer_than_announced_are_errors() {
    for kind in [Kind::S3, Kind::Google, Kind::Azure] {
        let sent = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&sent);
        let address = serve_slowly(move |request, stream| {
            let mut head = format!(
                "{}content-length: 4096\r\ntransfer-encoding: chunked\r\n",
                head(success(kind, request))
            );
            if request.headers.contains_key("range") {
                head += "content-range: bytes 0-4095/4096\r\n";
            }
            stream.write_all(format!("{head}\r\n").as_bytes()).is_ok()
                && for_ever(stream, format!("1000\r\n{}\r\n", "x".repeat(0x1000)).as_bytes(), &count)
        });
        let remote = kind.open(address, hasty());
        for _ in 0..2 {
            let errors = [
                block_on(remote.get(&name(), 64 << 20)).unwrap_err(),
                block_on(remote.get_range(&name(), 0..4_096)).unwrap_err(),
            ];
            for error in errors {
                let kinds = [RemoteErrorKind::Truncated, RemoteErrorKind::Unavailable];
                assert!(kinds.contains(&error.kind()), "{kind:?}: {error}");
            }
        }
        assert!(sent.load(Ordering::SeqCst) < 512 << 20, "{kind:?}");
    }
}

/// Nothing above panics or hangs when all is nonsense.
#[test]
fn nonsense_is_an_error_or_nothing() {
    for kind in Kind::ALL {
        for (status, body) in [
            ("200 OK", "nonsense"),
            ("207 Multi-Status", "<x>"),
            ("307 Temporary Redirect", ""),
            ("299 Fine", "{}"),
        ] {
            let remote = kind.open(serve(move |_| answer(status, "", body)), hasty());
            for (operation, outcome) in block_on(each(&remote)) {
                if matches!(operation, "get_range" | "list") {
                    assert!(outcome.is_err(), "{kind:?} {status} {operation}");
                }
            }
        }
    }
}
