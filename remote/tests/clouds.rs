//! `gs://` and `az://` against scripted servers: their words for put-if-absent, and what their answers mean.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::http::{Answer, Log, answer, serve};
use aquifer_io::block_on;
use aquifer_remote::{ObjectName, PutOutcome, Remote, RemoteErrorKind, RemoteOptions, open_url};

fn open(url: &str, settings: &[(&str, String)]) -> Arc<dyn Remote> {
    let settings: BTreeMap<String, String> =
        settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let options = RemoteOptions { environment: false, settings, ..RemoteOptions::default() };
    open_url(url, options).unwrap()
}

fn google(address: SocketAddr) -> Arc<dyn Remote> {
    let token = ("GOOGLE_BEARER_TOKEN", "t0ken".to_owned());
    open("gs://bucket/jobs", &[("GOOGLE_BASE_URL", format!("http://{address}")), token])
}

fn azure(address: SocketAddr) -> Arc<dyn Remote> {
    let settings = [
        ("AZURE_STORAGE_ENDPOINT", format!("http://{address}")),
        ("AZURE_STORAGE_ACCOUNT_NAME", "account".to_owned()),
        ("AZURE_STORAGE_ACCOUNT_KEY", "c2VjcmV0".to_owned()),
    ];
    open("az://container/jobs", &settings)
}

fn name() -> ObjectName {
    ObjectName::new("x").unwrap()
}

fn refusal(status: &str, code: &str) -> Answer {
    answer(status, "", format!("<Error><Code>{code}</Code><Message>m</Message></Error>"))
}

const DATES: &str = "etag: \"1\"\r\nx-goog-generation: 1\r\nlast-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n";

/// The store of a kind at a server's address, and the header that makes its PUT a create.
type Cloud = (fn(SocketAddr) -> Arc<dyn Remote>, &'static str, &'static str);
const CLOUDS: [Cloud; 2] = [(google, "x-goog-if-generation-match", "0"), (azure, "if-none-match", "*")];

#[test]
fn a_create_carries_the_condition_of_its_cloud() {
    for (open, header, value) in CLOUDS {
        let log = Log::default();
        let seen = log.clone();
        let address = serve(move |request| {
            seen.add(format!("{} {} {}", request.method, request.target, request.header(header)));
            answer("201 Created", DATES, "")
        });
        let outcome = block_on(open(address).put_if_absent(&name(), b"hello".to_vec().into())).unwrap();
        assert_eq!(outcome, PutOutcome::Created);
        let lines = log.lines();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines[0].starts_with("PUT /") && (lines[0].contains("/jobs/x") || lines[0].contains("/jobs%2Fx")),
            "{lines:?}"
        );
        assert!(lines[0].ends_with(value), "{lines:?}");
    }
}

#[test]
fn a_taken_name_a_lost_answer_and_a_refusal_are_told_apart() {
    for (open, _, _) in CLOUDS {
        for (bad, outcome) in [
            (refusal("412 Precondition Failed", "ConditionNotMet"), Ok(PutOutcome::Exists)),
            (refusal("409 Conflict", "BlobAlreadyExists"), Ok(PutOutcome::Exists)),
            (refusal("500 Internal Server Error", "InternalError"), Err(RemoteErrorKind::InDoubt)),
            (Vec::new(), Err(RemoteErrorKind::InDoubt)),
            (refusal("403 Forbidden", "AuthenticationFailed"), Err(RemoteErrorKind::PermissionDenied)),
        ] {
            let log = Log::default();
            let seen = log.clone();
            let address = serve(move |request| {
                seen.add(request.method.clone());
                bad.clone()
            });
            let put = block_on(open(address).put_if_absent(&name(), b"hello".to_vec().into()));
            if let Err(error) = &put {
                assert!(!format!("{error} {error:?}").contains("t0ken"), "{error}");
            }
            assert_eq!(put.map_err(|error| error.kind()), outcome);
            // What is in doubt is read back, and stays in doubt as nothing can be read here.
            let puts = log.lines().iter().filter(|method| *method == "PUT").count();
            assert_eq!(puts, 1, "a create that may have been applied was repeated");
        }
    }
}

#[test]
fn reads_are_checked_and_errors_have_a_kind() {
    for (open, _, _) in CLOUDS {
        let address = serve(|request| match request.header("range") {
            "bytes=1-3" => {
                answer("206 Partial Content", &format!("{DATES}content-range: bytes 1-3/5\r\n"), "ell")
            }
            _ if request.target.contains("missing") => refusal("404 Not Found", "BlobNotFound"),
            _ => answer("200 OK", DATES, "hello"),
        });
        let remote = open(address);
        assert_eq!(block_on(remote.get(&name(), 10)).unwrap(), "hello");
        assert_eq!(block_on(remote.get_range(&name(), 1..4)).unwrap(), "ell");
        let missing = block_on(remote.get(&ObjectName::new("missing").unwrap(), 10)).unwrap_err();
        assert_eq!(missing.kind(), RemoteErrorKind::NotFound, "{missing}");
        let refused = block_on(open(serve(|_| refusal("403 Forbidden", "AccessDenied"))).get(&name(), 10));
        assert_eq!(refused.unwrap_err().kind(), RemoteErrorKind::PermissionDenied);
    }
}

#[test]
fn bad_settings_are_errors_that_show_no_secret() {
    for (url, settings, words) in [
        ("gs:///x", vec![], "no bucket"),
        ("az:///x", vec![], "no container"),
        ("gs://bucket", vec![("GOOGLE_BASE_URL", "http://me:hunter2@host")], "no user, password"),
        ("az://container", vec![("AZURE_STORAGE_ENDPOINT", "ftp://hunter2")], "starts with http"),
        ("gs://bucket", vec![("GOOGLE_SERVICE_ACCOUNT_KEY", "hunter2")], "GOOGLE_*"),
        (
            "az://container",
            vec![("AZURE_STORAGE_ACCOUNT_NAME", "a"), ("AZURE_STORAGE_ACCOUNT_KEY", "hunter2!")],
            "AZURE_*",
        ),
        ("gs://bucket", vec![("AWS_REGION", "hunter2")], "unknown setting AWS_REGION"),
    ] {
        let settings =
            settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let options = RemoteOptions { environment: false, settings, ..RemoteOptions::default() };
        let error = open_url(url, options).unwrap_err();
        assert_eq!(error.kind(), RemoteErrorKind::InvalidUrl, "{url}: {error}");
        assert!(error.to_string().contains(words), "{url}: {error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{url}: {error}");
    }
}
