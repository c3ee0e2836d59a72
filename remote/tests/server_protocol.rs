//! The embedded server under a client that does not tidy up what it sends.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::raw::{Answer, RawClient, Request, encode_path, exchange};
use aquifer_remote::server::{Server, ServerOptions};

/// Hash of no bytes, which is also what a wrong hash looks like for any other body.
const EMPTY_HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

struct Fixture {
    outer: tempfile::TempDir,
    _server: Server,
    client: RawClient,
}

impl Fixture {
    fn start() -> Self {
        let outer = tempfile::tempdir().unwrap();
        let options =
            ServerOptions { secret_key: "s3cr3t".to_owned(), ..ServerOptions::new(outer.path().join("dir")) };
        let server = Server::start(options).unwrap();
        let client = RawClient {
            address: server.address(),
            access_key: "aquifer".to_owned(),
            secret_key: "s3cr3t".to_owned(),
        };
        Self { outer, _server: server, client }
    }

    fn send(&self, method: &str, path: &str, query: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.client.send(&Request { method, path, query, headers, body, ..Request::default() })
    }

    fn put(&self, path: &str, body: &[u8]) -> Answer {
        self.send("PUT", path, "", &[], body)
    }

    fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "", &[], b"")
    }

    fn list(&self, query: &str) -> String {
        let answer = self.send("GET", "/aquifer", query, &[], b"");
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        answer.text()
    }

    fn files(&self, below: &str) -> BTreeSet<PathBuf> {
        let mut files = BTreeSet::new();
        walk(&self.outer.path().join(below), &mut files);
        files
    }
}

fn walk(path: &Path, files: &mut BTreeSet<PathBuf>) {
    for entry in std::fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            walk(&entry.path(), files);
        } else {
            assert!(files.insert(entry.path()));
        }
    }
}

fn tags(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    xml.split(&open).skip(1).map(|rest| rest.split(&close).next().unwrap().to_owned()).collect()
}

#[test]
fn hostile_keys_stay_inside_and_apart() {
    let fixture = Fixture::start();
    let deep = "!/".repeat(512);
    let long = "x".repeat(1_024);
    let keys = [
        "a",
        "a/",
        "a//",
        "a/b",
        "/a",
        "//",
        ".",
        "..",
        "../x",
        "../../../../etc/x",
        "a/../../b",
        "a/..",
        "%2e%2e/x",
        "%2E",
        "..%2fx",
        "=",
        "a=",
        "a+",
        "a+/b=",
        "a~",
        "\\..\\x",
        "ünï/🦀",
        "con:stream",
        " ",
        "LOCK",
        "objects",
        &deep,
        &long,
    ];
    for key in keys {
        let path = format!("/aquifer/{}", encode_path(key.as_bytes()));
        let answer = fixture.put(&path, key.as_bytes());
        assert_eq!(answer.status, 200, "PUT {key:?}: {}", answer.text());
    }
    for key in keys {
        let answer = fixture.get(&format!("/aquifer/{}", encode_path(key.as_bytes())));
        assert_eq!((answer.status, answer.text().as_str()), (200, key), "GET {key:?}");
    }
    assert_eq!(fixture.files("dir/objects").len(), keys.len(), "each key has a file of its own");
    assert_eq!(fixture.files("").len(), keys.len() + 1, "the objects, LOCK, and nothing outside");
    let listed = tags(&fixture.list("encoding-type=url&list-type=2"), "Key");
    let mut expected: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
    expected.sort();
    let expected: Vec<String> = expected.iter().map(|key| encode_path(key.as_bytes())).collect();
    assert_eq!(listed, expected);
    for key in keys {
        let answer =
            fixture.send("DELETE", &format!("/aquifer/{}", encode_path(key.as_bytes())), "", &[], b"");
        assert_eq!(answer.status, 204, "DELETE {key:?}");
    }
    assert!(fixture.files("dir/objects").is_empty());
}

#[test]
fn keys_that_cannot_be_kept_are_refused() {
    let fixture = Fixture::start();
    let long = format!("/aquifer/{}", "x".repeat(1_025));
    for path in ["/aquifer/nul%00", "/aquifer/line%0Abreak", "/aquifer/%ff%fe", "/aquifer/x%7F", &long] {
        let answer = fixture.put(path, b"x");
        assert!((400..500).contains(&answer.status), "{path}: {} {}", answer.status, answer.text());
    }
    for path in ["/other/x", "/../x", "/..%2fx/y", "/aquifer%2f..%2fother/x"] {
        let answer = fixture.put(path, b"x");
        assert!(
            (400..500).contains(&answer.status) || path.starts_with("/aquifer%2f"),
            "{path}: {}",
            answer.status
        );
    }
    assert!(fixture.files("").iter().all(|file| file.starts_with(fixture.outer.path().join("dir"))));
}

#[test]
fn only_the_right_signature_opens() {
    let fixture = Fixture::start();
    assert_eq!(fixture.put("/aquifer/x", b"kept").status, 200);
    let right = &fixture.client;
    let wrong_secret =
        RawClient { secret_key: "guess".to_owned(), access_key: right.access_key.clone(), ..*right };
    let wrong_key =
        RawClient { secret_key: right.secret_key.clone(), access_key: "guess".to_owned(), ..*right };
    for client in [wrong_secret, wrong_key] {
        for method in ["GET", "PUT", "DELETE"] {
            let answer =
                client.send(&Request { method, path: "/aquifer/x", body: b"bad", ..Request::default() });
            assert_eq!(answer.status, 403, "{method}: {}", answer.text());
            assert!(!answer.text().contains("s3cr3t"));
        }
    }
    let unsigned =
        exchange(right.address, b"GET /aquifer/x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert_eq!(unsigned.status, 403, "{}", unsigned.text());
    let replayed = right
        .signed_head(&Request { path: "/aquifer/x", ..Request::default() }, 0)
        .replace("GET /aquifer/x", "GET /aquifer/y");
    assert_eq!(exchange(right.address, replayed.as_bytes()).status, 403, "a signature is for one path");
    assert_eq!(fixture.get("/aquifer/x").text(), "kept");
}

#[test]
fn a_body_that_is_not_as_signed_leaves_nothing() {
    let fixture = Fixture::start();
    for body in [&b"other bytes"[..], &vec![7; 3 << 20]] {
        let request =
            Request { method: "PUT", path: "/aquifer/forged", body, hash: EMPTY_HASH, ..Request::default() };
        let answer = fixture.client.send(&request);
        assert!((400..500).contains(&answer.status), "{}: {}", answer.status, answer.text());
    }
    // Cut off: 100 bytes announced, 50 sent, and the connection's sending side closed.
    let request = Request { method: "PUT", path: "/aquifer/cut", body: &[1; 100], ..Request::default() };
    let head = fixture.client.signed_head(&request, 100);
    let mut stream = std::net::TcpStream::connect(fixture.client.address).unwrap();
    std::io::Write::write_all(&mut stream, &[head.as_bytes(), &[1; 50]].concat()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    let _reset = std::io::Read::read_to_end(&mut stream, &mut answer);
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
    assert_eq!(fixture.get("/aquifer/forged").status, 404);
    assert_eq!(fixture.get("/aquifer/cut").status, 404);
    assert!(fixture.files("dir/temporary").is_empty() && fixture.files("dir/objects").is_empty());
}

#[test]
fn conditions_are_kept_or_refused_but_never_ignored() {
    let fixture = Fixture::start();
    let put =
        |headers: &[(&str, &str)], body: &[u8]| fixture.send("PUT", "/aquifer/x", "", headers, body).status;
    assert_eq!(put(&[("if-none-match", "*")], b"first"), 200);
    assert_eq!(put(&[("if-none-match", "*")], b"second"), 412);
    assert_eq!(put(&[("if-none-match", "\"abc\"")], b"third"), 501);
    assert_eq!(put(&[("if-match", "\"abc\"")], b"fourth"), 501);
    assert_eq!(put(&[("if-match", "*")], b"fifth"), 501);
    assert_eq!(fixture.get("/aquifer/x").text(), "first");
    let get = |headers: &[(&str, &str)]| fixture.send("GET", "/aquifer/x", "", headers, b"").status;
    assert_eq!(get(&[("if-none-match", "*")]), 501);
    assert_eq!(fixture.send("DELETE", "/aquifer/x", "", &[("if-match", "\"abc\"")], b"").status, 501);
    assert_eq!(fixture.get("/aquifer/x").status, 200);
}

#[test]
fn ranges_as_in_the_rfc() {
    let fixture = Fixture::start();
    let bytes: Vec<u8> =
        (0..1_000_000_u32).flat_map(|number| (number >> 8).to_le_bytes().into_iter().take(1)).collect();
    assert_eq!(fixture.put("/aquifer/x", &bytes).status, 200);
    for (range, from, to) in [
        ("0-0", 0, 1),
        ("5-9", 5, 10),
        ("999990-", 999_990, 1_000_000),
        ("-10", 999_990, 1_000_000),
        ("10-2000000", 10, 1_000_000),
    ] {
        let answer = fixture.send("GET", "/aquifer/x", "", &[("range", &format!("bytes={range}"))], b"");
        assert_eq!(answer.status, 206, "{range}");
        assert_eq!(answer.body, bytes[from..to], "{range}");
        let expected = format!("bytes {from}-{}/1000000", to - 1);
        assert_eq!(answer.header("content-range"), Some(expected.as_str()), "{range}");
    }
    for range in ["1000000-1000001", "1000000-", "-0"] {
        let answer = fixture.send("GET", "/aquifer/x", "", &[("range", &format!("bytes={range}"))], b"");
        assert_eq!(answer.status, 416, "{range}: {}", answer.text());
    }
    let whole = fixture.get("/aquifer/x");
    assert_eq!((whole.status, whole.body.len()), (200, 1_000_000));
    let head = fixture.send("HEAD", "/aquifer/x", "", &[], b"");
    assert_eq!((head.status, head.header("content-length")), (200, Some("1000000")));
    assert_eq!(head.header("etag"), whole.header("etag"));
}

#[test]
fn lists_in_pages_with_delimiter() {
    let fixture = Fixture::start();
    for key in ["a", "a/1", "a/2", "b&<c", "b/x/1", "b/y", "c"] {
        assert_eq!(fixture.put(&format!("/aquifer/{}", encode_path(key.as_bytes())), b"x").status, 200);
    }
    assert_eq!(
        tags(&fixture.list("list-type=2"), "Key"),
        ["a", "a/1", "a/2", "b&amp;&lt;c", "b/x/1", "b/y", "c"]
    );
    let grouped = fixture.list("delimiter=%2F&list-type=2");
    assert_eq!(tags(&grouped, "Key"), ["a", "b&amp;&lt;c", "c"]);
    assert_eq!(tags(&grouped, "CommonPrefixes"), ["<Prefix>a/</Prefix>", "<Prefix>b/</Prefix>"]);
    assert_eq!(tags(&fixture.list("list-type=2&start-after=a%2F1"), "Key")[0], "a/2");
    assert_eq!(tags(&fixture.list("list-type=2&prefix=b%2F"), "Key"), ["b/x/1", "b/y"]);
    assert_eq!(tags(&fixture.list("list-type=2&prefix=b"), "Key").len(), 3);
    assert_eq!(tags(&fixture.list("list-type=2&max-keys=0"), "Key").len(), 0);
    // All pages of one entry, with common prefixes among them.
    let (mut token, mut seen) = (String::new(), Vec::new());
    loop {
        let page = if token.is_empty() {
            fixture.list("delimiter=%2F&list-type=2&max-keys=1")
        } else {
            fixture.list(&format!("continuation-token={token}&delimiter=%2F&list-type=2&max-keys=1"))
        };
        seen.extend(tags(&page, "Key"));
        seen.extend(tags(&page, "CommonPrefixes"));
        let Some(next) = tags(&page, "NextContinuationToken").pop() else { break };
        token = next;
    }
    assert_eq!(seen, ["a", "<Prefix>a/</Prefix>", "b&amp;&lt;c", "<Prefix>b/</Prefix>", "c"]);
    for query in ["continuation-token=zz&list-type=2", "list-type=2&max-keys=-1"] {
        assert_eq!(fixture.send("GET", "/aquifer", query, &[], b"").status, 400, "{query}");
    }
}

#[test]
fn multipart_keeps_its_rules() {
    let fixture = Fixture::start();
    let part = vec![5_u8; 5 << 20];
    let create = || {
        tags(&fixture.send("POST", "/aquifer/big", "uploads=", &[], b"").text(), "UploadId").pop().unwrap()
    };
    let send = |id: &str, number: u32, body: &[u8]| {
        let answer =
            fixture.send("PUT", "/aquifer/big", &format!("partNumber={number}&uploadId={id}"), &[], body);
        (answer.status, answer.header("etag").unwrap_or("").to_owned())
    };
    let complete = |id: &str, parts: &[(u32, &str)], headers: &[(&str, &str)]| {
        let listed: String = parts
            .iter()
            .map(|(number, etag)| {
                format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>")
            })
            .collect();
        let xml = format!("<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>");
        fixture.send("POST", "/aquifer/big", &format!("uploadId={id}"), headers, xml.as_bytes())
    };
    let id = create();
    let (_, replaced) = send(&id, 1, b"replaced by the next");
    let (_, first) = send(&id, 1, &part);
    let (_, second) = send(&id, 2, b"tail");
    assert_eq!(complete(&id, &[(1, &replaced), (2, &second)], &[]).status, 400, "an older part");
    assert_eq!(complete(&id, &[(2, &second), (1, &first)], &[]).status, 400, "out of order");
    assert_eq!(complete(&id, &[(1, &first), (3, &second)], &[]).status, 400, "a part that never came");
    assert_eq!(complete(&id, &[], &[]).status, 400, "no part");
    assert_eq!(fixture.get("/aquifer/big").status, 404);
    let done = complete(&id, &[(1, &first), (2, &second)], &[("if-none-match", "*")]);
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(fixture.get("/aquifer/big").body, [part.as_slice(), b"tail"].concat());
    assert_eq!(complete(&id, &[(1, &first), (2, &second)], &[]).status, 404, "over");

    let loser = create();
    let (_, only) = send(&loser, 7, b"only");
    assert_eq!(complete(&loser, &[(7, &only)], &[("if-none-match", "*")]).status, 412);
    let (_, small) = send(&loser, 8, b"small");
    assert_eq!(complete(&loser, &[(7, &only), (8, &small)], &[]).status, 400, "a small part before the last");
    assert_eq!(send(&loser, 0, b"x").0, 400);
    assert_eq!(send(&loser, 10_001, b"x").0, 400);
    assert_eq!(fixture.send("DELETE", "/aquifer/big", &format!("uploadId={loser}"), &[], b"").status, 204);
    assert_eq!(send(&loser, 1, b"x").0, 404);
    for id in ["nonsense", "..%2F..%2Fobjects", "%00"] {
        assert_eq!(send(id, 1, b"x").0, 404, "{id}");
        assert_eq!(
            fixture.send("DELETE", "/aquifer/big", &format!("uploadId={id}"), &[], b"").status,
            404,
            "{id}"
        );
    }
    assert!(fixture.files("dir/uploads").is_empty() && fixture.files("dir/temporary").is_empty());
    assert_eq!(fixture.files("dir/objects").len(), 1);
}

/// Parts are written where they belong in the object to be, when they fit; whatever way they come, the object is right.
#[test]
fn parts_come_in_any_order_twice_with_gaps_and_of_any_length() {
    let fixture = Fixture::start();
    let bytes = |value: u8, mebibytes: usize| vec![value; mebibytes << 20];
    let upload = |parts: &[(u32, &[u8])], listed: &[usize]| {
        let created = fixture.send("POST", "/aquifer/big", "uploads=", &[], b"").text();
        let id = tags(&created, "UploadId").pop().unwrap();
        let sent: Vec<(u32, String)> = parts
            .iter()
            .map(|(number, body)| {
                let query = format!("partNumber={number}&uploadId={id}");
                let answer = fixture.send("PUT", "/aquifer/big", &query, &[], body);
                assert_eq!(answer.status, 200, "{}", answer.text());
                (*number, answer.header("etag").unwrap().to_owned())
            })
            .collect();
        let listed = listed.iter().map(|index| {
            let (number, etag) = &sent[*index];
            format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>")
        });
        let xml =
            format!("<CompleteMultipartUpload>{}</CompleteMultipartUpload>", listed.collect::<String>());
        let done = fixture.send("POST", "/aquifer/big", &format!("uploadId={id}"), &[], xml.as_bytes());
        if done.status != 200 {
            assert_eq!(
                fixture.send("DELETE", "/aquifer/big", &format!("uploadId={id}"), &[], b"").status,
                204
            );
            return None;
        }
        assert!(fixture.files("dir/uploads").is_empty() && fixture.files("dir/temporary").is_empty());
        Some(fixture.get("/aquifer/big").body)
    };
    let (one, two, other, longer) = (bytes(1, 5), bytes(2, 5), bytes(3, 5), bytes(4, 6));
    let whole = |parts: &[&[u8]]| Some(parts.concat());
    // Out of order, in place.
    let sent: [(u32, &[u8]); 3] = [(2, &two), (3, b"tail"), (1, &one)];
    assert!(upload(&sent, &[2, 0, 1]) == whole(&[&one, &two, b"tail"]));
    // The first number does not have to be 1, nor the next one 2.
    let sent: [(u32, &[u8]); 2] = [(3, &one), (7, &two)];
    assert!(upload(&sent, &[0, 1]) == whole(&[&one, &two]));
    // Twice: the last one counts, and the first is not its prefix.
    let sent: [(u32, &[u8]); 3] = [(1, &one), (2, &two), (1, &other)];
    assert!(upload(&sent, &[2, 1]) == whole(&[&other, &two]));
    assert!(upload(&sent, &[0, 1]).is_none(), "the first one was replaced");
    // A later part that is longer than the first to arrive, and a part that is not listed.
    let sent: [(u32, &[u8]); 3] = [(1, &one), (2, &longer), (3, &two)];
    assert!(upload(&sent, &[0, 1, 2]) == whole(&[&one, &longer, &two]));
    assert!(upload(&sent, &[0, 2]) == whole(&[&one, &two]));
}

#[test]
fn what_is_not_spoken_says_so() {
    let fixture = Fixture::start();
    for (method, path, query) in [
        ("PUT", "/newbucket", ""),
        ("GET", "/aquifer", "acl="),
        ("POST", "/aquifer", "delete="),
        ("GET", "/aquifer/x", "tagging="),
    ] {
        let answer = fixture.send(method, path, query, &[], b"");
        assert!((400..=501).contains(&answer.status), "{method} {path}?{query}: {}", answer.status);
        assert!(!answer.text().contains("s3cr3t"));
    }
    assert_eq!(fixture.send("HEAD", "/aquifer", "", &[], b"").status, 200);
    assert_eq!(fixture.send("HEAD", "/another", "", &[], b"").status, 404);
}
