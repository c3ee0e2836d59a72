//! WebDAV against a small server on a local folder, which renames as file systems do, and against servers that misbehave.
//! JuiceFS's real one is in `real_servers.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::http::{Answer, Log, Request, answer, cut, serve};
use aquifer_io::block_on;
use aquifer_remote::{
    ObjectName, PutOutcome, Remote, RemoteErrorKind, RemoteOptions, conformance, open_url,
    probe_put_if_absent,
};

fn options(settings: &[(&str, &str)]) -> RemoteOptions {
    let settings: BTreeMap<String, String> =
        settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    RemoteOptions {
        environment: false,
        settings,
        retry_time_max: Duration::from_millis(600),
        ..RemoteOptions::default()
    }
}

fn remote(address: SocketAddr) -> Arc<dyn Remote> {
    open_url(&format!("http://{address}/dav/jobs"), options(&[])).unwrap()
}

fn name() -> ObjectName {
    ObjectName::new("manifest/1").unwrap()
}

/// A WebDAV server on a folder: looks first and renames after, without any lock, as most do.
struct Dav {
    _dir: tempfile::TempDir,
    root: PathBuf,
    /// MOVE replaces what is there, whatever `Overwrite` says.
    overwrites: bool,
    /// What it answers to a MOVE that cannot be carried out: Go's handler, which JuiceFS uses, 403, nginx 409, Apache 500.
    move_failed: u16,
}

impl Dav {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("dav")).unwrap();
        Self { root: dir.path().to_owned(), _dir: dir, overwrites: false, move_failed: 403 }
    }

    fn path(&self, target: &str) -> PathBuf {
        self.root.join(target.trim_matches('/'))
    }

    fn handle(&self, request: &Request) -> Answer {
        let path = self.path(&request.target);
        match request.method.as_str() {
            "GET" => Self::get(&path, request.header("range")),
            // As nginx.
            "PUT" if request.header("content-length") == "0" => status(500),
            "PUT" => status(match (path.is_dir(), path.parent().unwrap().is_dir()) {
                (true, _) => 405,
                (_, false) => 409,
                _ => fs::write(&path, &request.body).map_or(500, |()| 201),
            }),
            "MKCOL" => status(match fs::create_dir(&path) {
                Ok(()) => 201,
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => 405,
                Err(_) => 409,
            }),
            "DELETE" => status(match (path.is_dir(), path.exists()) {
                (true, _) => fs::remove_dir_all(&path).map_or(500, |()| 204),
                (_, true) => fs::remove_file(&path).map_or(404, |()| 204),
                _ => 404,
            }),
            "MOVE" => self.rename(&path, request),
            "PROPFIND" => self.propfind(&path, request),
            _ => status(405),
        }
    }

    fn rename(&self, from: &Path, request: &Request) -> Answer {
        let to = self.path(request.header("destination").splitn(4, '/').nth(3).unwrap());
        if to.exists() {
            if request.header("overwrite") == "F" && !self.overwrites {
                return status(412);
            }
            let _ = if to.is_dir() { fs::remove_dir_all(&to) } else { fs::remove_file(&to) };
        }
        status(fs::rename(from, &to).map_or(self.move_failed, |()| 201))
    }

    fn get(path: &Path, range: &str) -> Answer {
        let Ok(bytes) = fs::read(path) else { return status(if path.is_dir() { 405 } else { 404 }) };
        let Some((first, last)) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
            return answer("200 OK", "", bytes);
        };
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
        if first >= bytes.len() {
            return status(416);
        }
        let last = last.min(bytes.len() - 1);
        let header = format!("content-range: bytes {first}-{last}/{}\r\n", bytes.len());
        answer("206 Partial Content", &header, bytes.get(first..=last).unwrap())
    }

    fn propfind(&self, path: &Path, request: &Request) -> Answer {
        if !path.exists() {
            return status(404);
        }
        let mut found = vec![path.to_owned()];
        if request.header("depth") == "1" && path.is_dir() {
            found.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let mut xml = "<D:multistatus xmlns:D=\"DAV:\">".to_owned();
        for path in found {
            let href = path.strip_prefix(&self.root).unwrap().display().to_string().replace('~', "%7E");
            // One that was removed meanwhile is left out.
            let Ok(meta) = fs::metadata(&path) else { continue };
            let properties = match meta.is_dir() {
                true => "<D:resourcetype><D:collection/></D:resourcetype>".to_owned(),
                false => format!("<D:resourcetype/><D:getcontentlength>{}</D:getcontentlength>", meta.len()),
            };
            xml += &format!(
                "<D:response><D:href>/{href}</D:href><D:propstat><D:prop>{properties}</D:prop></D:propstat></D:response>"
            );
        }
        answer("207 Multi-Status", "", xml + "</D:multistatus>")
    }
}

fn status(code: u16) -> Answer {
    answer(&format!("{code} Status"), "", "")
}

#[test]
fn a_server_on_a_local_folder_conforms() {
    let dav = Dav::new();
    let remote = remote(serve(move |request| dav.handle(request)));
    let result = block_on(conformance::run(&remote, "suite", 20));
    assert!(result.is_ok(), "{result:?}");
}

/// As in data lakes: what a prefix may have is encoded in paths and in `Destination`, and decoded in listings.
#[test]
fn a_prefix_with_characters_that_are_encoded_conforms() {
    let dav = Dav::new();
    let address = serve(move |request| {
        let decoded = |text: &str| {
            let mut text = text.to_owned();
            for byte in b"=+,:;@&!$'()" {
                text = text.replace(&format!("%{byte:02X}"), &char::from(*byte).to_string());
            }
            text
        };
        let mut request = request.clone();
        request.target = decoded(&request.target);
        if let Some(destination) = request.headers.get_mut("destination") {
            *destination = decoded(destination);
        }
        dav.handle(&request)
    });
    let remote = open_url(&format!("http://{address}/dav/dt=2024+01,(x)"), options(&[])).unwrap();
    let result = block_on(conformance::run(&remote, "suite", 20));
    assert!(result.is_ok(), "{result:?}");
}

/// What servers answer when a parent is missing or the name is taken differs: what is there is looked at instead.
#[test]
fn missing_parents_are_made_whatever_the_server_says() {
    for move_failed in [403, 409, 500] {
        let dav = Dav { move_failed, ..Dav::new() };
        let remote = remote(serve(move |request| dav.handle(request)));
        for path in ["a/b/c/plain", "a/b/d/claimed"] {
            let name = ObjectName::new(path).unwrap();
            match path.ends_with("plain") {
                true => block_on(remote.put(&name, Vec::<u8>::new().into())).unwrap(),
                false => {
                    let put =
                        |text: &str| block_on(remote.put_if_absent(&name, text.as_bytes().to_vec().into()));
                    assert_eq!(put("one").unwrap(), PutOutcome::Created, "{move_failed}");
                    assert_eq!(put("two").unwrap(), PutOutcome::Exists, "{move_failed}");
                }
            }
        }
        assert_eq!(block_on(remote.list("a/", None, 10)).unwrap().entries.len(), 2, "{move_failed}");
    }
}

/// An object whose writer died right after the decision is whole: read, listed, and the name taken.
#[test]
fn a_decision_without_its_last_step_is_an_object() {
    let dav = Dav::new();
    let address = serve(move |request| match request.method.as_str() {
        "MOVE" if request.target.ends_with("/object") => status(403),
        _ => dav.handle(request),
    });
    let remote = remote(address);
    block_on(async {
        let put = remote.put_if_absent(&name(), b"hello".to_vec().into()).await;
        assert_eq!(put.unwrap(), PutOutcome::Created);
        let second = remote.put_if_absent(&name(), b"other".to_vec().into()).await;
        assert_eq!(second.unwrap(), PutOutcome::Exists);
        assert_eq!(remote.get(&name(), 10).await.unwrap(), "hello");
        assert_eq!(remote.get_range(&name(), 1..3).await.unwrap(), "el");
        assert_eq!(remote.head(&name()).await.unwrap().bytes, 5);
        let page = remote.list("", None, 10).await.unwrap();
        assert_eq!(page.entries.len(), 1);
        assert_eq!((page.entries[0].name.as_str(), page.entries[0].bytes), ("manifest/1", 5));
        remote.delete(&name()).await.unwrap();
        assert_eq!(remote.get(&name(), 10).await.unwrap_err().kind(), RemoteErrorKind::NotFound);
        let again = remote.put_if_absent(&name(), b"again".to_vec().into()).await;
        assert_eq!(again.unwrap(), PutOutcome::Created);
    });
}

/// Every first MOVE is applied and its answer lost.
#[test]
fn lost_answers_do_not_make_losers() {
    let (dav, seen) = (Dav::new(), std::sync::Mutex::new(std::collections::BTreeSet::new()));
    let address = serve(move |request| {
        let answer = dav.handle(request);
        match request.method == "MOVE" && seen.lock().unwrap().insert(request.target.clone()) {
            true => Vec::new(),
            false => answer,
        }
    });
    let remote = remote(address);
    block_on(async {
        let put = remote.put_if_absent(&name(), b"hello".to_vec().into()).await;
        assert_eq!(put.unwrap(), PutOutcome::Created);
        let second = remote.put_if_absent(&name(), b"other".to_vec().into()).await;
        assert_eq!(second.unwrap(), PutOutcome::Exists);
        assert_eq!(remote.get(&name(), 10).await.unwrap(), "hello");
        remote.put(&ObjectName::new("plain").unwrap(), b"x".to_vec().into()).await.unwrap();
    });
}

#[test]
fn a_decision_without_any_answer_is_in_doubt() {
    let (dav, log) = (Dav::new(), Log::default());
    let moves = log.clone();
    let address = serve(move |request| match request.method.as_str() {
        "MOVE" => {
            moves.add("MOVE");
            Vec::new()
        }
        _ => dav.handle(request),
    });
    let error = block_on(remote(address).put_if_absent(&name(), b"x".to_vec().into())).unwrap_err();
    assert_eq!(error.kind(), RemoteErrorKind::InDoubt, "{error}");
    // The store's own tries, and five more times all of them when reading back finds nothing.
    assert!(log.lines().len() <= 6 * (1 + options(&[]).retries_max), "{}", log.lines().len());
}

#[test]
fn a_server_that_overwrites_is_refused() {
    let dav = Dav { overwrites: true, ..Dav::new() };
    let remote = remote(serve(move |request| {
        // What is there is not told either: the look before would hide the fault.
        match request.method.as_str() {
            "PROPFIND" if !request.target.contains("~tmp") && request.target.contains("/probe/") => {
                status(404)
            }
            _ => dav.handle(request),
        }
    }));
    let error = block_on(probe_put_if_absent(&remote, 7)).unwrap_err();
    assert_eq!(error.kind(), RemoteErrorKind::Unsafe, "{error}");
    assert!(error.to_string().contains("\"Overwrite: F\""), "{error}");
}

/// A server that refuses one after the other, and lets two through that look at the same time.
#[test]
fn a_server_with_two_winners_of_a_race_is_refused() {
    let (dav, racing, both) = (Dav::new(), AtomicUsize::new(0), std::sync::Barrier::new(2));
    let remote = remote(serve(move |request| {
        let is_race = request.method == "MOVE" && request.header("destination").contains("-race~won");
        if is_race && racing.fetch_add(1, Ordering::SeqCst) < 2 {
            // Both have looked, and now each puts its own in place.
            both.wait();
            return status(201);
        }
        dav.handle(request)
    }));
    let error = block_on(probe_put_if_absent(&remote, 7)).unwrap_err();
    assert_eq!(error.kind(), RemoteErrorKind::Unsafe, "{error}");
    assert!(error.to_string().contains("racing writers"), "{error}");
    assert!(error.to_string().contains("--read-only"), "{error}");
}

#[test]
fn only_the_bytes_asked_for_are_believed() {
    let part = |first: usize, last: usize, body: &str| {
        answer("206 Partial Content", &format!("content-range: bytes {first}-{last}/10\r\n"), body)
    };
    for (label, bad) in [
        ("Range ignored", answer("200 OK", "", "0123456789")),
        ("another range", part(3, 5, "345")),
        ("no range named", answer("206 Partial Content", "", "012")),
        ("nonsense", answer("206 Partial Content", "content-range: bytes x-y/z\r\n", "012")),
        ("fewer bytes", part(0, 2, "01")),
        ("more bytes", part(0, 2, "0123")),
        ("closed early", cut("206 Partial Content", "content-range: bytes 0-2/10\r\n", 3, "01")),
        ("refused within", status(416)),
        ("nothing", Vec::new()),
    ] {
        let properties = "<multistatus xmlns=\"DAV:\"><response><href>/x</href><propstat><prop><getcontentlength>10</getcontentlength>\
                          </prop></propstat></response></multistatus>";
        let serving = |bad: Answer, bad_answers: usize| {
            let (log, asked) = (Log::default(), AtomicUsize::new(0));
            let gets = log.clone();
            let address = serve(move |request| match request.method.as_str() {
                "PROPFIND" => answer("207 Multi-Status", "", properties),
                _ => {
                    gets.add(request.header("range"));
                    let is_bad = asked.fetch_add(1, Ordering::SeqCst) < bad_answers;
                    if is_bad { bad.clone() } else { part(0, 2, "012") }
                }
            });
            (remote(address), log)
        };
        let (once, log) = serving(bad.clone(), 1);
        assert_eq!(block_on(once.get_range(&name(), 0..3)).unwrap(), "012", "{label}");
        assert_eq!(log.lines(), ["bytes=0-2", "bytes=0-2"], "{label}");
        let (always, log) = serving(bad, usize::MAX);
        let error = block_on(always.get_range(&name(), 0..3)).unwrap_err();
        let expected = if label == "closed early" || label == "nothing" {
            RemoteErrorKind::Unavailable
        } else {
            RemoteErrorKind::Truncated
        };
        assert_eq!((error.kind(), error.range()), (expected, Some(0..3)), "{label}: {error}");
        assert!(log.lines().len() <= 1 + options(&[]).retries_max, "{label}");
    }
}

#[test]
fn whole_objects_need_their_announced_length() {
    for (label, bad) in [
        ("closed early", cut("200 OK", "", 5, "abc")),
        ("no length", b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabc".to_vec()),
    ] {
        let address = serve(move |_| bad.clone());
        let error = block_on(remote(address).get(&name(), 100)).unwrap_err();
        assert!(
            matches!(error.kind(), RemoteErrorKind::Unavailable | RemoteErrorKind::Other),
            "{label}: {error}"
        );
    }
}

/// Names that a server makes up reach nobody.
#[test]
fn hostile_listings_are_errors_or_left_out() {
    let listing = |hrefs: &[&str]| {
        let responses: String = hrefs
            .iter()
            .map(|href| format!("<response><href>{href}</href><propstat><prop><getcontentlength>1</getcontentlength></prop></propstat></response>"))
            .collect();
        answer("207 Multi-Status", "", format!("<multistatus xmlns=\"DAV:\">{responses}</multistatus>"))
    };
    let strange = listing(&[
        "/dav/jobs/",
        "/dav/jobs/good",
        "/etc/passwd",
        "/dav/jobs/../up",
        "/dav/jobs/a/b",
        "/dav/jobs/%2e%2e",
        "/dav/jobs/a%2fb",
        "/dav/jobs/with%20blank",
        "/dav/jobs/%00",
        "http://elsewhere/dav/jobs/also-good",
    ]);
    let address = serve(move |_| strange.clone());
    let page = block_on(remote(address).list("", None, 100)).unwrap();
    let names: Vec<&str> = page.entries.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["also-good", "good"]);
    for bad in [
        answer("207 Multi-Status", "", "<!DOCTYPE x [<!ENTITY a \"b\">]><multistatus xmlns=\"DAV:\"/>"),
        answer("207 Multi-Status", "", "<multistatus xmlns=\"DAV:\"><response>"),
        answer("207 Multi-Status", "", "password: hunter2"),
        answer("200 OK", "", "hunter2"),
    ] {
        let address = serve(move |_| bad.clone());
        let error = block_on(remote(address).list("", None, 100)).unwrap_err();
        assert_eq!(error.kind(), RemoteErrorKind::Other, "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[test]
fn credentials_are_sent_and_never_shown() {
    let log = Log::default();
    let seen = log.clone();
    let address = serve(move |request| {
        seen.add(request.header("authorization"));
        status(401)
    });
    let settings = [("AQUIFER_WEBDAV_USER", "me"), ("AQUIFER_WEBDAV_PASSWORD", "hunter2")];
    let remote = open_url(&format!("http://{address}/x"), options(&settings)).unwrap();
    let error = block_on(remote.get(&name(), 10)).unwrap_err();
    assert_eq!(error.kind(), RemoteErrorKind::PermissionDenied, "{error}");
    assert!(error.to_string().contains("AQUIFER_WEBDAV_PASSWORD"), "{error}");
    // me:hunter2
    assert_eq!(log.lines(), ["Basic bWU6aHVudGVyMg=="]);
    let texts = format!("{error} {error:?} {remote:?} {}", remote.describe());
    assert!(!texts.contains("hunter2") && !texts.contains("bWU6"), "{texts}");
    let half = open_url(&format!("http://{address}/x"), options(&settings[..1])).unwrap_err();
    assert!(half.to_string().contains("go together"), "{half}");
}

#[test]
fn servers_that_speak_no_webdav_are_told_apart() {
    for (code, kind) in [
        (405, RemoteErrorKind::InvalidUrl),
        (501, RemoteErrorKind::InvalidUrl),
        (302, RemoteErrorKind::InvalidUrl),
        (403, RemoteErrorKind::PermissionDenied),
        (503, RemoteErrorKind::Unavailable),
        (507, RemoteErrorKind::Other),
    ] {
        let address = serve(move |_| status(code));
        let error = block_on(remote(address).list("", None, 10)).unwrap_err();
        assert_eq!(error.kind(), kind, "{code}: {error}");
        assert!(error.to_string().contains(&code.to_string()), "{code}: {error}");
    }
}

/// The body of an upload that was given up must not look whole to the server.
#[test]
fn an_upload_that_is_dropped_is_cut_off_and_deleted() {
    let (told, deleted) = std::sync::mpsc::channel();
    let told = std::sync::Mutex::new(told);
    let log = Log::default();
    let puts = log.clone();
    let remote = remote(serve(move |request| match request.method.as_str() {
        "PUT" => {
            puts.add("a whole PUT");
            status(201)
        }
        "DELETE" => {
            told.lock().unwrap().send(request.target.clone()).unwrap();
            status(204)
        }
        _ => status(201),
    }));
    block_on(async {
        let mut upload = remote.upload(&name()).await.unwrap();
        upload.part(b"end".to_vec().into()).await.unwrap();
        drop(upload);
    });
    assert!(deleted.recv().unwrap().starts_with("/dav/jobs/~tmp/"));
    assert!(log.lines().is_empty(), "{:?}", log.lines());
}
