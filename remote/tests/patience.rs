//! A store that answers "not now" is waited for, one that is gone is not, and one that never worked neither.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aquifer_io::{block_on, now, sleep, spawn_local};
use aquifer_remote::shape::{FaultRates, RATE_UNIT};
use aquifer_remote::{ObjectName, OnWait, PutOutcome, RemoteErrorKind, RemoteOptions, ShapeOptions};

use crate::http::{answer, serve};
use crate::stores::{Kind, name};
use crate::world::{foreground, in_world, virtual_time, wrapped};

const BUSY: FaultRates = FaultRates { unavailable: RATE_UNIT, ..NONE };
const GONE: FaultRates = FaultRates { reset_before: RATE_UNIT, ..NONE };
const LOST: FaultRates = FaultRates { reset_after: RATE_UNIT, ..NONE };
const NONE: FaultRates =
    FaultRates { unavailable: 0, reset_before: 0, reset_after: 0, slow_close: 0, truncated: 0, stall: 0 };

/// Lines that were told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn hook(&self) -> OnWait {
        let lines = Arc::clone(&self.0);
        OnWait::call(move |line| lines.lock().unwrap().push(line.to_owned()))
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// A DFS that answered 503 for five seconds ended a stream.
#[test]
fn a_busy_store_that_has_worked_is_waited_for_and_somebody_is_told() {
    for seed in 0..5 {
        in_world(seed, move || async move {
            let told = Told::default();
            let options = RemoteOptions { on_wait: told.hook(), ..virtual_time(seed) };
            let (dfs, stack) = wrapped(seed, ShapeOptions::default(), &options);
            let remote = foreground(&stack);
            remote.put(&name(), b"hello".to_vec().into()).await.unwrap();
            dfs.set_faults(BUSY);
            let (began, again) = (now(), dfs.clone());
            drop(spawn_local(async move {
                sleep(Duration::from_secs(100)).await;
                again.set_faults(NONE);
            }));
            let other = ObjectName::new("other").unwrap();
            let (put, claim) = (
                remote.put(&name(), b"again".to_vec().into()),
                remote.put_if_absent(&other, b"1".to_vec().into()),
            );
            let (get, list) = (stack.background.get(&name(), 10), remote.list("", None, 10));
            put.await.unwrap();
            assert_eq!(claim.await.unwrap(), PutOutcome::Created);
            get.await.unwrap();
            list.await.unwrap();
            assert!(
                began.elapsed() >= Duration::from_secs(100) && began.elapsed() < Duration::from_secs(120)
            );
            let lines = told.lines();
            // At once, each ten seconds, and when it is over; of all who wait together.
            assert!((10..=16).contains(&lines.len()), "{lines:?}");
            assert!(
                lines[0].contains("503") && lines[0].contains("at most 300 s (option patience)"),
                "{lines:?}"
            );
            assert!(lines.iter().any(|line| line.contains("answers again")), "{lines:?}");
        });
    }
}

#[test]
fn patience_has_an_end_and_can_be_switched_off() {
    for patience in [0, 20, 300] {
        in_world(patience, move || async move {
            let options = RemoteOptions { patience: Duration::from_secs(patience), ..virtual_time(patience) };
            let (dfs, stack) = wrapped(patience, ShapeOptions::default(), &options);
            let remote = foreground(&stack);
            remote.put(&name(), b"hello".to_vec().into()).await.unwrap();
            dfs.set_faults(BUSY);
            let began = now();
            let error = remote.get(&name(), 10).await.unwrap_err();
            assert_eq!((error.kind(), error.status()), (RemoteErrorKind::Unavailable, Some(503)));
            let seconds = began.elapsed().as_secs();
            assert!(seconds <= patience.max(10) && seconds + 10 >= patience, "{patience}: {seconds}");
        });
    }
}

#[test]
fn a_store_that_never_worked_or_is_gone_is_told_soon() {
    for (works_first, faults) in [(false, BUSY), (true, GONE), (false, GONE)] {
        in_world(1, move || async move {
            let (dfs, stack) = wrapped(1, ShapeOptions::default(), &virtual_time(1));
            let remote = foreground(&stack);
            if works_first {
                remote.put(&name(), b"hello".to_vec().into()).await.unwrap();
            }
            dfs.set_faults(faults);
            let began = now();
            remote.get(&name(), 10).await.unwrap_err();
            remote.put_if_absent(&name(), b"hello".to_vec().into()).await.unwrap_err();
            assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        });
    }
    // Unless the caller knows better.
    for (faults, options) in [
        (BUSY, RemoteOptions { has_worked: true, ..virtual_time(1) }),
        (
            GONE,
            RemoteOptions { has_worked: true, patience_silent: Duration::from_secs(60), ..virtual_time(1) },
        ),
        (
            LOST,
            RemoteOptions { has_worked: true, patience_silent: Duration::from_secs(60), ..virtual_time(1) },
        ),
    ] {
        in_world(1, move || async move {
            let (dfs, stack) = wrapped(1, ShapeOptions::default(), &options);
            dfs.set_faults(faults);
            let again = dfs.clone();
            drop(spawn_local(async move {
                sleep(Duration::from_secs(30)).await;
                again.set_faults(NONE);
            }));
            let put = foreground(&stack).put_if_absent(&name(), b"hello".to_vec().into()).await;
            assert_eq!(put.unwrap(), PutOutcome::Created);
        });
    }
}

/// Over the wire, each kind of store in its own words: a second of 500 had been the end.
#[test]
fn each_kind_of_store_waits_for_a_server_that_says_not_now() {
    const DATES: &str =
        "etag: \"1\"\r\nx-goog-generation: 1\r\nlast-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n";
    for kind in Kind::ALL {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let address = serve(move |request| {
            let number = count.fetch_add(1, Ordering::SeqCst);
            match (kind, number) {
                (Kind::WebHdfs, 1..=12) => answer("503 Service Unavailable", "", ""),
                (_, 1..=12) => answer("503 Slow Down", "", "<Error><Code>SlowDown</Code></Error>"),
                (Kind::WebHdfs, _) => {
                    answer("200 OK", "", r#"{"FileStatus":{"pathSuffix":"","type":"FILE","length":5}}"#)
                }
                (Kind::WebDav, _) => answer(
                    "207 Multi-Status",
                    "",
                    "<multistatus xmlns=\"DAV:\"><response><href>/jobs/x</href><propstat><prop><resourcetype/>\
                     <getcontentlength>5</getcontentlength></prop></propstat></response></multistatus>",
                ),
                _ if request.method == "HEAD" => {
                    format!("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n{DATES}\r\n").into_bytes()
                }
                _ => answer("200 OK", DATES, "hello"),
            }
        });
        let remote = kind.open(address, RemoteOptions::default());
        for _ in 0..2 {
            assert_eq!(block_on(remote.head(&name())).unwrap().bytes, 5, "{kind:?}");
        }
        assert_eq!(asked.load(Ordering::SeqCst), 14, "{kind:?}");
    }
}

/// A server says how long it wants to be left alone, and is.
#[test]
fn retry_after_is_honoured() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let address = serve(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => answer("503 Slow Down", "retry-after: 1\r\n", "<Error><Code>SlowDown</Code></Error>"),
        _ => answer("200 OK", "etag: \"1\"\r\nlast-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n", "hello"),
    });
    let remote = Kind::S3.open(address, RemoteOptions::default());
    let began = now();
    assert_eq!(block_on(remote.get(&name(), 10)).unwrap(), "hello");
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    // No server can make anybody wait for a day.
    let address =
        serve(|_| answer("503 Slow Down", "retry-after: 86400\r\n", "<Error><Code>SlowDown</Code></Error>"));
    let began = now();
    let error = block_on(Kind::S3.open(address, RemoteOptions::default()).get(&name(), 10)).unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(86_400)));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}
