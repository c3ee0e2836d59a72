//! WebHDFS against servers that misbehave as real ones do. The protocol itself is tested on real HDFS, see `real_servers.rs`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::http::{Answer, Log, Request, answer, cut, serve};
use aquifer_io::block_on;
use aquifer_remote::{
    ObjectName, PutOutcome, Remote, RemoteErrorKind, RemoteOptions, UPLOAD_PART_BYTES_MIN, open_url,
};

const TOKEN: &str = "s3cr3tT0ken";

fn options() -> RemoteOptions {
    let settings = BTreeMap::from([("AQUIFER_HDFS_DELEGATION_TOKEN".to_owned(), TOKEN.to_owned())]);
    RemoteOptions {
        environment: false,
        settings,
        retry_time_max: Duration::from_millis(600),
        ..RemoteOptions::default()
    }
}

fn remote(namenode: SocketAddr) -> Arc<dyn Remote> {
    open_url(&format!("webhdfs://{namenode}/jobs"), options()).unwrap()
}

fn name() -> ObjectName {
    ObjectName::new("manifest/1").unwrap()
}

fn op(request: &Request) -> &str {
    request.target.split("op=").nth(1).unwrap().split('&').next().unwrap()
}

fn exception(status: &str, exception: &str, message: &str) -> Answer {
    let body = format!(
        r#"{{"RemoteException":{{"exception":"{exception}","javaClassName":"j","message":"{message}"}}}}"#
    );
    answer(status, "", body)
}

fn status(kind: &str, bytes: usize) -> Answer {
    answer(
        "200 OK",
        "",
        format!(r#"{{"FileStatus":{{"pathSuffix":"","type":"{kind}","length":{bytes},"owner":"x"}}}}"#),
    )
}

fn not_found() -> Answer {
    exception("404 Not Found", "FileNotFoundException", "File does not exist.")
}

fn boolean(value: bool) -> Answer {
    answer("200 OK", "", format!(r#"{{"boolean":{value}}}"#))
}

/// To the datanode, with the path and query of the request.
fn redirect(to: SocketAddr, request: &Request) -> Answer {
    answer("307 Temporary Redirect", &format!("location: http://{to}{}\r\n", request.target), "")
}

/// A namenode and a datanode in one; `other` answers all but CREATE.
fn cluster(log: &Log, other: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> SocketAddr {
    let (datanode_log, log, renames) = (log.clone(), log.clone(), AtomicUsize::new(0));
    let datanode = serve(move |request| {
        datanode_log.add(format!("datanode {} {} {}", request.method, request.target, request.body.len()));
        answer("201 Created", "", "")
    });
    serve(move |request| {
        log.add(format!("namenode {} {} {}", request.method, request.target, request.body.len()));
        match op(request) {
            "CREATE" => redirect(datanode, request),
            "RENAME" => other(request, renames.fetch_add(1, Ordering::SeqCst)),
            _ => other(request, 0),
        }
    })
}

#[test]
fn bytes_go_to_the_datanode_and_the_name_comes_by_a_rename() {
    let log = Log::default();
    let namenode = cluster(&log, |_, _| answer("200 OK", "", ""));
    let outcome = block_on(remote(namenode).put_if_absent(&name(), b"hello".to_vec().into())).unwrap();
    assert_eq!(outcome, PutOutcome::Created);
    let lines = log.lines();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(
        lines[0].starts_with("namenode PUT /webhdfs/v1/jobs/~tmp/") && lines[0].ends_with(" 0"),
        "{}",
        lines[0]
    );
    assert!(lines[0].contains("op=CREATE&overwrite=false"), "{}", lines[0]);
    assert!(
        lines[1].starts_with("datanode PUT /webhdfs/v1/jobs/~tmp/") && lines[1].ends_with(" 5"),
        "{}",
        lines[1]
    );
    let rename = "op=RENAME&destination=%2Fjobs%2Fmanifest%2F1&renameoptions=NONE";
    assert!(
        lines[2].starts_with("namenode PUT /webhdfs/v1/jobs/~tmp/") && lines[2].contains(rename),
        "{}",
        lines[2]
    );
    block_on(remote(namenode).put(&name(), b"hello".to_vec().into())).unwrap();
    assert_eq!(log.count(&["op=RENAME", "renameoptions=OVERWRITE"]), 1);
}

/// The rename was applied and its answer lost: the source is gone, so the winner is this writer.
#[test]
fn a_rename_with_a_lost_answer_knows_that_it_won() {
    let log = Log::default();
    let namenode = cluster(&log, |request, rename| match (op(request), rename) {
        ("RENAME", 0) => Vec::new(),
        _ => not_found(),
    });
    let outcome = block_on(remote(namenode).put_if_absent(&name(), b"x".to_vec().into())).unwrap();
    assert_eq!(outcome, PutOutcome::Created);
    assert_eq!(log.count(&["op=RENAME"]), 2);
}

#[test]
fn a_rename_that_was_not_applied_learns_that_it_lost() {
    let log = Log::default();
    let namenode = cluster(&log, |request, rename| match (op(request), rename) {
        ("RENAME", 0) => Vec::new(),
        ("RENAME", _) => {
            exception("403 Forbidden", "FileAlreadyExistsException", "rename destination exists")
        }
        _ => boolean(true),
    });
    let outcome = block_on(remote(namenode).put_if_absent(&name(), b"x".to_vec().into())).unwrap();
    assert_eq!(outcome, PutOutcome::Exists);
}

#[test]
fn a_rename_without_any_answer_is_in_doubt_after_bounded_repeats() {
    let log = Log::default();
    let namenode =
        cluster(&log, |request, _| if op(request) == "RENAME" { Vec::new() } else { boolean(true) });
    let error = block_on(remote(namenode).put_if_absent(&name(), b"x".to_vec().into())).unwrap_err();
    assert_eq!(error.kind(), RemoteErrorKind::InDoubt, "{error}");
    assert_eq!(error.object(), Some("manifest/1"));
    assert!(log.count(&["op=RENAME"]) <= 1 + options().retries_max);
}

/// A temporary file that vanished without a doubt is nobody's success.
#[test]
fn a_source_that_is_gone_at_once_is_an_error() {
    let namenode = cluster(&Log::default(), |_, _| not_found());
    let error = block_on(remote(namenode).put_if_absent(&name(), b"x".to_vec().into())).unwrap_err();
    assert!(error.to_string().contains("somebody deleted the temporary file"), "{error}");
}

#[test]
fn missing_parents_are_made() {
    let log = Log::default();
    let namenode = cluster(&log, |request, rename| match (op(request), rename) {
        ("RENAME", 0) => {
            exception("404 Not Found", "FileNotFoundException", "rename destination parent not found.")
        }
        ("RENAME", _) => answer("200 OK", "", ""),
        ("GETFILESTATUS", _) if request.target.contains("~tmp") => status("FILE", 1),
        ("GETFILESTATUS", _) => not_found(),
        _ => boolean(true),
    });
    let outcome = block_on(remote(namenode).put_if_absent(&name(), b"x".to_vec().into())).unwrap();
    assert_eq!(outcome, PutOutcome::Created);
    assert_eq!(log.count(&["PUT /webhdfs/v1/jobs/manifest?op=MKDIRS"]), 1);
}

/// A server that does not know `renameoptions` says true and false, and moves a file into a folder that has the name.
#[test]
fn an_older_rename_is_understood() {
    let log = Log::default();
    let plain =
        cluster(&log, |request, _| if op(request) == "RENAME" { boolean(true) } else { status("FILE", 1) });
    let outcome = block_on(remote(plain).put_if_absent(&name(), b"x".to_vec().into())).unwrap();
    assert_eq!(outcome, PutOutcome::Created);
    let taken = cluster(&log, |request, _| match op(request) {
        "RENAME" => boolean(false),
        "DELETE" => boolean(true),
        _ => status("FILE", 1),
    });
    let outcome = block_on(remote(taken).put_if_absent(&name(), b"x".to_vec().into())).unwrap();
    assert_eq!(outcome, PutOutcome::Exists);
    let folder_log = Log::default();
    let folder = cluster(&folder_log, |request, _| match op(request) {
        "RENAME" | "DELETE" => boolean(true),
        _ => status("DIRECTORY", 0),
    });
    let error = block_on(remote(folder).put_if_absent(&name(), b"x".to_vec().into())).unwrap_err();
    assert!(error.to_string().contains("a folder has this name"), "{error}");
    assert_eq!(folder_log.count(&["DELETE /webhdfs/v1/jobs/manifest/1/"]), 1, "{:?}", folder_log.lines());
}

/// Redirects reads to these datanodes, one after the other, the last for ever.
fn redirecting(log: &Log, datanodes: Vec<SocketAddr>, bytes: usize) -> SocketAddr {
    let (log, asked) = (log.clone(), AtomicUsize::new(0));
    serve(move |request| {
        log.add(request.target.clone());
        match op(request) {
            "OPEN" => {
                let turn = asked.fetch_add(1, Ordering::SeqCst).min(datanodes.len() - 1);
                redirect(*datanodes.get(turn).unwrap(), request)
            }
            _ => status("FILE", bytes),
        }
    })
}

/// An address at which nobody listens, and no other test will.
fn dead() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 1))
}

#[test]
fn a_read_sent_to_a_dead_datanode_is_answered_by_another() {
    let log = Log::default();
    let alive = serve(|_| answer("200 OK", "", "abcde"));
    let dead = dead();
    let remote = remote(redirecting(&log, vec![dead, dead, dead, alive], 10));
    assert_eq!(block_on(remote.get_range(&name(), 0..5)).unwrap(), "abcde");
    assert!(log.count(&["op=OPEN&offset=0&length=5"]) == 4, "{:?}", log.lines());
    let excluded = format!("excludedatanodes={}%3A{}%2C{}", dead.ip(), dead.port(), dead.ip());
    assert_eq!(log.count(&[&excluded]), 1, "{:?}", log.lines());
}

#[test]
fn datanodes_that_are_all_dead_are_given_up_on() {
    let log = Log::default();
    let remote = remote(redirecting(&log, vec![dead()], 10));
    let error = block_on(remote.get_range(&name(), 0..5)).unwrap_err();
    assert_eq!(error.kind(), RemoteErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("cannot connect"), "{error}");
    // Each of the tries asks at most twelve times.
    assert!(log.lines().len() <= 12 * (1 + options().retries_max), "{}", log.lines().len());
}

#[test]
fn only_the_bytes_asked_for_are_believed() {
    let good = || answer("200 OK", "", "abcde");
    for (label, bad) in [
        ("cut off", cut("200 OK", "", 5, "abc")),
        ("short", answer("200 OK", "", "abc")),
        ("the whole object", answer("200 OK", "", "abcdefghij")),
        ("no length, cut off", b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabc".to_vec()),
        ("nothing", Vec::new()),
        ("busy", exception("403 Forbidden", "RetriableException", "busy")),
    ] {
        // Once: repeated. Always: reported.
        let first = AtomicUsize::new(0);
        let once = bad.clone();
        let datanode =
            serve(move |_| if first.fetch_add(1, Ordering::SeqCst) == 0 { once.clone() } else { good() });
        let read =
            block_on(remote(redirecting(&Log::default(), vec![datanode], 10)).get_range(&name(), 0..5));
        assert_eq!(read.unwrap(), "abcde", "{label}");
        let datanode = serve(move |_| bad.clone());
        let log = Log::default();
        let error =
            block_on(remote(redirecting(&log, vec![datanode], 10)).get_range(&name(), 0..5)).unwrap_err();
        assert!(
            matches!(error.kind(), RemoteErrorKind::Truncated | RemoteErrorKind::Unavailable),
            "{label}: {error}"
        );
        assert_eq!(error.range(), Some(0..5), "{label}: {error}");
        assert!(log.count(&["op=OPEN"]) <= 1 + options().retries_max, "{label}");
    }
}

#[test]
fn a_range_beyond_the_end_says_how_long_the_object_is() {
    let datanode = serve(|_| answer("200 OK", "", "abc"));
    let error = block_on(remote(redirecting(&Log::default(), vec![datanode], 3)).get_range(&name(), 0..5))
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.expected(), error.found()),
        (RemoteErrorKind::BadRange, Some(5), Some(3)),
        "{error}"
    );
}

#[test]
fn tokens_and_locations_are_never_shown() {
    let refuse = serve(|request| {
        let message = format!("token {} is expired: {}", TOKEN, request.target);
        exception("403 Forbidden", "InvalidToken", &message)
    });
    let astray = serve(|request| {
        redirect(
            "127.0.0.1:1".parse().unwrap(),
            &Request { target: format!("/elsewhere?delegation={TOKEN}"), ..request.clone() },
        )
    });
    let nonsense = serve(|_| answer("200 OK", "", format!("{{\"delegation\":\"{TOKEN}\"}}")));
    let closed = dead();
    for (label, address) in
        [("refuse", refuse), ("astray", astray), ("nonsense", nonsense), ("closed", closed)]
    {
        let remote = remote(address);
        let errors = [
            block_on(remote.get(&name(), 10)).unwrap_err(),
            block_on(remote.get_range(&name(), 0..10)).unwrap_err(),
            block_on(remote.put(&name(), b"x".to_vec().into())).unwrap_err(),
            block_on(remote.list("", None, 10)).unwrap_err(),
            block_on(remote.delete(&name())).unwrap_err(),
        ];
        for error in errors {
            let texts = format!(
                "{error} {error:?} {:?} {remote:?} {}",
                std::error::Error::source(&error),
                remote.describe()
            );
            assert!(!texts.contains(TOKEN), "{label}: {texts}");
            assert!(!texts.contains("location") && !texts.contains("/elsewhere"), "{label}: {texts}");
        }
    }
    let error = block_on(remote(refuse).get(&name(), 10)).unwrap_err();
    assert_eq!(error.kind(), RemoteErrorKind::PermissionDenied, "{error}");
    assert!(
        error.to_string().contains("token expired")
            && error.to_string().contains("AQUIFER_HDFS_DELEGATION_TOKEN"),
        "{error}"
    );
}

#[test]
fn standby_and_safe_mode_are_waited_for() {
    for exception_name in ["StandbyException", "SafeModeException", "RetriableException"] {
        let asked = AtomicUsize::new(0);
        let namenode = serve(move |_| match asked.fetch_add(1, Ordering::SeqCst) {
            0 | 1 => exception("403 Forbidden", exception_name, "not now"),
            _ => status("FILE", 7),
        });
        assert_eq!(block_on(remote(namenode).head(&name())).unwrap().bytes, 7, "{exception_name}");
    }
}

#[test]
fn listings_come_in_pages_or_whole() {
    let entry = |name: &str, kind: &str| format!(r#"{{"pathSuffix":"{name}","type":"{kind}","length":7}}"#);
    let page = |entries: &[String], remaining: usize| {
        answer(
            "200 OK",
            "",
            format!(
                r#"{{"DirectoryListing":{{"partialListing":{{"FileStatuses":{{"FileStatus":[{}]}}}},"remainingEntries":{remaining}}}}}"#,
                entries.join(",")
            ),
        )
    };
    let paged = serve(move |request| {
        assert_eq!(op(request), "LISTSTATUS_BATCH");
        match (request.target.contains("/jobs/a?"), request.target.contains("startAfter=b")) {
            (true, _) => page(&[entry("x", "FILE")], 0),
            (_, false) => page(&[entry("a", "DIRECTORY"), entry("b", "FILE")], 2),
            (_, true) => page(&[entry("c", "FILE"), entry("~tmp", "DIRECTORY")], 0),
        }
    });
    let log = Log::default();
    let whole_log = log.clone();
    let whole = serve(move |request| {
        whole_log.add(op(request));
        let entries = match (op(request), request.target.contains("/jobs/a?")) {
            ("LISTSTATUS_BATCH", _) => {
                return exception(
                    "400 Bad Request",
                    "IllegalArgumentException",
                    "Invalid value for webhdfs parameter op",
                );
            }
            (_, true) => entry("x", "FILE"),
            (_, false) => {
                [entry("a", "DIRECTORY"), entry("b", "FILE"), entry("c", "FILE"), entry("~tmp", "DIRECTORY")]
                    .join(",")
            }
        };
        answer("200 OK", "", format!(r#"{{"FileStatuses":{{"FileStatus":[{entries}]}}}}"#))
    });
    for namenode in [paged, whole] {
        let page = block_on(remote(namenode).list("", None, 10)).unwrap();
        let names: Vec<&str> = page.entries.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["a/x", "b", "c"]);
        assert!(!page.more);
    }
    assert_eq!(log.count(&["LISTSTATUS_BATCH"]), 1, "asked again for what the server does not know");
    let none = serve(|_| not_found());
    assert!(block_on(remote(none).list("a/", None, 10)).unwrap().entries.is_empty());
}

/// An APPEND whose answer was lost is repeated only when nothing of it was applied.
#[test]
fn a_lost_append_is_settled_by_the_length() {
    let part = usize::try_from(UPLOAD_PART_BYTES_MIN).unwrap();
    for applied in [true, false] {
        let log = Log::default();
        let (node_log, lost) = (log.clone(), AtomicUsize::new(0));
        let datanode = serve(move |request| {
            node_log.add(op(request));
            match (op(request), lost.load(Ordering::SeqCst)) {
                ("APPEND", 0) => {
                    lost.store(1, Ordering::SeqCst);
                    Vec::new()
                }
                _ => answer("200 OK", "", ""),
            }
        });
        let asked = AtomicUsize::new(0);
        let namenode = serve(move |request| match op(request) {
            "CREATE" | "APPEND" => redirect(datanode, request),
            "GETFILESTATUS" => match (asked.fetch_add(1, Ordering::SeqCst), applied) {
                // While the datanode is at work the length is neither.
                (0, _) => status("FILE", part + 1),
                (1, false) => status("FILE", part),
                _ => status("FILE", part + 3),
            },
            "RENAME" => answer("200 OK", "", ""),
            _ => boolean(true),
        });
        block_on(async {
            let mut upload = remote(namenode).upload(&name()).await.unwrap();
            let (first, second) = (upload.part(vec![1; part].into()), upload.part(b"end".to_vec().into()));
            second.await.unwrap();
            first.await.unwrap();
            upload.finish().await.unwrap();
        });
        let appends = if applied { 1 } else { 2 };
        assert_eq!((log.count(&["CREATE"]), log.count(&["APPEND"])), (1, appends), "applied: {applied}");
    }
}

#[test]
fn an_upload_that_is_dropped_or_aborted_leaves_no_file() {
    let (told, deleted) = std::sync::mpsc::channel();
    let told = std::sync::Mutex::new(told);
    let namenode = cluster(&Log::default(), move |request, _| {
        if op(request) == "DELETE" {
            told.lock().unwrap().send(request.target.clone()).unwrap();
        }
        boolean(true)
    });
    let remote = remote(namenode);
    for dropped in [true, false] {
        block_on(async {
            let mut upload = remote.upload(&name()).await.unwrap();
            upload.part(b"end".to_vec().into()).await.unwrap();
            match dropped {
                true => drop(upload),
                false => upload.abort().await.unwrap(),
            }
        });
        assert!(deleted.recv().unwrap().contains("/jobs/~tmp/"));
    }
}

#[test]
fn what_is_wrong_with_a_url_is_said() {
    let options = |setting: &str| {
        let settings = BTreeMap::from([(setting.to_owned(), "x".to_owned())]);
        RemoteOptions { environment: false, settings, ..RemoteOptions::default() }
    };
    let user = "AQUIFER_HDFS_USER";
    for (url, setting, words) in [
        ("webhdfs://", user, "no namenode"),
        ("webhdfs:///path", user, "no namenode"),
        ("webhdfs://host/a?op=OPEN", user, "no query"),
        ("webhdfs://user:pw@host/a", user, "no user or password"),
        ("webhdfs://host/a", "AWS_REGION", "unknown setting AWS_REGION"),
    ] {
        let error = open_url(url, options(setting)).unwrap_err();
        assert!(error.to_string().contains(words), "{url}: {error}");
    }
    let remote = open_url("webhdfs://nn.example/a/b/", options(user)).unwrap();
    assert_eq!(remote.describe(), "webhdfs://nn.example:9870/a/b");
    let remote = open_url("webhdfss://nn.example:50470", options(user)).unwrap();
    assert_eq!(remote.describe(), "webhdfss://nn.example:50470");
}
