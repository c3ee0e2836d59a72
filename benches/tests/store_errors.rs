//! Stores that will not do: each is one clear line within ten seconds, whatever is wrong with it, and no secret in it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::{Dfs, Ended, Place};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

const SECRET: &str = "top-secret-word";
const CERTIFICATE: &[u8] = include_bytes!("data/self-signed.crt.der");
const KEY: &[u8] = include_bytes!("data/self-signed.key.der");

/// Variables that reach an endpoint with made-up credentials.
fn variables(endpoint: &str) -> Vec<(String, String)> {
    [
        ("AWS_ENDPOINT", endpoint),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "somebody"),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// A server of a test, for as long as the test's process lives: each connection on a thread of its own.
fn serve(handle: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let handle = Arc::new(handle);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let handle = Arc::clone(&handle);
            std::thread::spawn(move || handle(stream));
        }
    });
    address
}

/// Reads a request: its first line and its body.
fn request(reader: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let (mut first, mut bytes) = (String::new(), 0);
    reader.read_line(&mut first).ok().filter(|read| *read > 0)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(length) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            bytes = length.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; bytes];
    reader.read_exact(&mut body).ok()?;
    Some((first, body))
}

fn answer(stream: &mut TcpStream, status: &str, body: &[u8]) {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\netag: \"1\"\r\nlast-modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n\r\n",
        body.len()
    );
    // The client may be gone.
    let _ = stream.write_all(&[head.as_bytes(), body].concat());
}

/// Answers everything with this.
fn always(status: &'static str, body: &'static str) -> SocketAddr {
    serve(move |stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut stream = stream;
        while request(&mut reader).is_some() {
            answer(&mut stream, status, body.as_bytes());
        }
    })
}

/// An S3 server that knows one object and no conditions, as several real ones.
fn overwriting() -> SocketAddr {
    const EMPTY: &str = "<ListBucketResult><Name>b</Name><KeyCount>0</KeyCount><MaxKeys>1000</MaxKeys>\
                         <IsTruncated>false</IsTruncated></ListBucketResult>";
    let object = Mutex::new(Vec::new());
    serve(move |mut stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        while let Some((first, body)) = request(&mut reader) {
            match first.split(' ').next().unwrap() {
                "PUT" => {
                    *object.lock().unwrap() = body;
                    answer(&mut stream, "200 OK", b"");
                }
                "GET" if first.contains("list-type=2") => answer(&mut stream, "200 OK", EMPTY.as_bytes()),
                "GET" => answer(&mut stream, "200 OK", &object.lock().unwrap()),
                _ => answer(&mut stream, "204 No Content", b""),
            }
        }
    })
}

/// Speaks TLS with a certificate that nobody vouches for.
fn self_signed() -> SocketAddr {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::try_from(KEY).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(CERTIFICATE)], key)
        .unwrap();
    let config = Arc::new(config);
    serve(move |mut stream| {
        let mut tls = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        // The client ends it when it has seen the certificate.
        while tls.complete_io(&mut stream).is_ok_and(|(read, written)| read + written > 0) {}
    })
}

/// Runs a command on a store; it must fail with this code, say all of this in one line, and within ten seconds.
#[track_caller]
fn refused(
    place: &Place,
    command: &[&str],
    url: &str,
    variables: &[(String, String)],
    code: i32,
    texts: &[&str],
) {
    let start = aquifer_io::now();
    let mut process = place.command(&[command, &["--store", url]].concat());
    process.envs(variables.iter().cloned());
    let ended = Ended::new(&process.output().unwrap());
    let elapsed = start.elapsed();
    assert!(elapsed < Duration::from_secs(10), "{url}: {elapsed:?}, {}", ended.stderr);
    let line =
        ended.stderr.lines().find(|line| line.starts_with("aquifer-bench: ")).unwrap_or_default().to_owned();
    let ended = ended.failed(code, texts[0]);
    for text in texts {
        assert!(line.contains(text), "{url}: {text:?} is not in\n{line}");
    }
    for text in [&ended.stderr, &ended.stdout] {
        assert!(!text.contains(SECRET), "{text}");
    }
}

/// What is wrong, the variables, exit code, and what the line says.
type Case = (&'static str, String, Vec<(String, String)>, &'static [&'static str]);

/// Stores and what is said of them. All are used at once by `events` and `check`.
fn cases(good: &Dfs, read_only: &Dfs) -> Vec<Case> {
    let bucket = || "s3://test-bucket/x".to_owned();
    let with = |dfs: &Dfs, name: &str, value: &str| {
        let mut variables = dfs.variables();
        variables.retain(|(found, _)| found != name);
        variables.push((name.to_owned(), value.to_owned()));
        variables
    };
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = serve(|mut stream| drop(stream.read_to_end(&mut Vec::new())));
    let expired = always(
        "400 Bad Request",
        "<Error><Code>ExpiredToken</Code><Message>The token has expired.</Message></Error>",
    );
    let http = |address| variables(&format!("http://{address}"));
    let https = |address: String| variables(&format!("https://{address}"));
    let url = |url: &str| url.to_owned();
    vec![
        ("no URL", url("nonsense"), vec![], &["not a URL"]),
        ("unknown scheme", url("gopher://x/y"), vec![], &["unknown scheme \"gopher\"", "s3://bucket/prefix"]),
        ("no bucket", url("s3://"), vec![], &["bucket"]),
        ("user data", url("s3://key:top-secret-word@b/x"), vec![], &["no user or password"]),
        ("no path", url("file://host/x"), vec![], &["three slashes"]),
        ("no folder", url("file:///proc/no/such"), vec![], &["cannot use the folder", "/proc/no/such"]),
        ("no name for it", url("s3://b/a//b c"), http(free), &["name"]),
        (
            "nobody there",
            bucket(),
            http(free),
            &["unavailable", "Connection refused", "check that the server runs"],
        ),
        ("silence", bucket(), http(silent), &["unavailable", "check that the server runs"]),
        (
            "wrong secret",
            bucket(),
            with(good, "AWS_SECRET_ACCESS_KEY", SECRET),
            &["check credentials", "SignatureDoesNotMatch"],
        ),
        ("wrong key", bucket(), with(good, "AWS_ACCESS_KEY_ID", "somebody"), &["check credentials", "403"]),
        ("expired token", bucket(), http(expired), &["check credentials", "ExpiredToken"]),
        ("missing bucket", url("s3://another-bucket/x"), good.variables(), &["NoSuchBucket"]),
        ("read-only bucket", bucket(), read_only.variables(), &["refused by the store", "read-only"]),
        ("no TLS there", bucket(), https(good.address()), &["was no TLS", "http://"]),
        ("nobody vouches", bucket(), https(self_signed().to_string()), &["certificate", "trusts"]),
        (
            "no conditions",
            bucket(),
            http(overwriting()),
            &["not safe for writing", "If-None-Match", "check --read-only"],
        ),
    ]
}

fn each_is_one_clear_line(command: &[&str]) {
    let (place, other) = (Place::new(), Place::new());
    let (good, read_only) = (Dfs::start(&place, &[]), Dfs::start(&other, &["--read-only"]));
    let cases = cases(&good, &read_only);
    // At once: some of them wait for seconds.
    std::thread::scope(|scope| {
        let running: Vec<_> = cases
            .iter()
            .map(|(name, url, variables, texts)| {
                let place = &place;
                (name, scope.spawn(move || refused(place, command, url, variables, 3, texts)))
            })
            .collect();
        let failed: Vec<_> =
            running.into_iter().filter_map(|(name, thread)| thread.join().err().map(|_| name)).collect();
        assert!(failed.is_empty(), "{failed:?}");
    });
    assert_eq!(place.left_behind(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn events_refuses_what_will_not_do() {
    let place = Place::new();
    let input = place.events(100);
    each_is_one_clear_line(&["events", "--input", &input]);
}

#[test]
fn check_refuses_what_will_not_do() {
    each_is_one_clear_line(&["check"]);
}

#[test]
fn check_looks_at_what_may_only_be_read() {
    let place = Place::new();
    let input = place.events(300);
    let mut dfs = Dfs::start(&place, &[]);
    let run = |dfs: &Dfs, flags: &[&str]| {
        let mut command = place.command(flags);
        Ended::new(&command.envs(dfs.variables()).output().unwrap())
    };
    let store = ["--store", "s3://test-bucket/x"];
    let empty = run(&dfs, &["check", store[0], store[1]]).good().stdout;
    assert!(empty.contains("0 objects") && empty.contains("safe for `events`"), "{empty}");
    run(&dfs, &["events", "--input", &input, "--memory-bytes", "32MiB", store[0], store[1]]).good();
    assert_eq!(dfs.signal("-TERM"), Some(0));
    let read_only = Dfs::start(&place, &["--read-only"]);
    let looked = run(&read_only, &["check", "--read-only", store[0], store[1]]).good().stdout;
    assert!(looked.contains("reading") && looked.contains("not tried: --read-only"), "{looked}");
    assert!(!looked.contains(" 0 objects"), "{looked}");
    let refused = run(&read_only, &["events", "--read-only", "--input", &input, store[0], store[1]]);
    refused.failed(2, "aquifer-bench check --read-only");
    // Also what would go on: it must write its epoch.
    let resumed = run(&read_only, &["events", "--resume", "--input", &input, store[0], store[1]]);
    resumed.failed(3, "read-only");
}

#[test]
fn a_server_killed_half_way_is_an_error_within_ten_seconds() {
    let place = Place::new();
    let mut dfs = Dfs::start(&place, &[]);
    let flags = ["--store", "s3://test-bucket/x", "--checkpoint-every", "20000", "--no-crash"];
    let mut child = place
        .command(&flags)
        .envs(dfs.variables())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("checkpoint") {
        line.clear();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "it ended before its first checkpoint");
    }
    assert_eq!(dfs.signal("-KILL"), None);
    let killed = aquifer_io::now();
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3), "{rest}");
    let elapsed = killed.elapsed();
    assert!(elapsed < Duration::from_secs(12), "{elapsed:?}");
    assert!(rest.contains("aquifer-bench: ") && rest.contains("unavailable"), "{rest}");
    assert!(!rest.contains("panicked"), "{rest}");
    assert_eq!(place.left_behind(), Vec::<std::path::PathBuf>::new());
}
