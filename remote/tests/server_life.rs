//! Starting, stopping and restarting the embedded server, and what clients see of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use aquifer_io::block_on;
use aquifer_remote::server::{Server, ServerError, ServerOptions};
use aquifer_remote::{ObjectName, Remote, RemoteErrorKind, RemoteOptions, open_url};

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap()
}

#[test]
fn a_busy_port_says_which() {
    let dir = tempfile::tempdir().unwrap();
    let first = Server::start(ServerOptions::new(dir.path().join("one"))).unwrap();
    let options = ServerOptions { listen: first.address(), ..ServerOptions::new(dir.path().join("two")) };
    let error = Server::start(options.clone()).unwrap_err();
    assert!(matches!(error, ServerError::PortBusy { address } if address == first.address()), "{error}");
    assert!(error.to_string().contains("in use"), "{error}");
    first.stop();
    Server::start(options).unwrap().stop();
}

#[test]
fn a_folder_serves_one_server_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let first = Server::start(ServerOptions::new(dir.path())).unwrap();
    let error = Server::start(ServerOptions::new(dir.path())).unwrap_err();
    assert!(matches!(error, ServerError::FolderLocked { .. }), "{error}");
    drop(first);
    Server::start(ServerOptions::new(dir.path())).unwrap().stop();
}

#[test]
fn an_unusable_folder_says_which() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, b"x").unwrap();
    for below in [file.join("dir"), file, "/proc/nowhere".into()] {
        let error = Server::start(ServerOptions::new(&below)).unwrap_err();
        assert!(matches!(error, ServerError::Folder { .. }), "{error}");
        assert!(error.to_string().contains(&below.display().to_string()), "{error}");
    }
}

#[test]
fn senseless_options_are_named() {
    let good = || ServerOptions::new("/nowhere");
    for (option, options) in [
        ("bucket", ServerOptions { bucket: "../x".to_owned(), ..good() }),
        ("bucket", ServerOptions { bucket: "UPPER".to_owned(), ..good() }),
        ("access_key", ServerOptions { access_key: "a/b".to_owned(), ..good() }),
        ("secret_key", ServerOptions { secret_key: String::new(), ..good() }),
        ("threads", ServerOptions { threads: 0, ..good() }),
        ("connections_max", ServerOptions { connections_max: 0, ..good() }),
    ] {
        let error = Server::start(options).unwrap_err();
        assert!(error.to_string().contains(option), "{error}");
    }
    let (one, two) = (good(), good());
    assert_ne!(one.secret_key, two.secret_key);
    assert!(!format!("{one:?}").contains(&one.secret_key));
}

#[test]
fn a_restart_keeps_objects_and_clears_what_was_half_written() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(ServerOptions::new(dir.path())).unwrap();
    let remote = server.remote("jobs").unwrap();
    block_on(remote.put(&name("a/b"), b"kept".to_vec().into())).unwrap();
    let mut upload = block_on(remote.upload(&name("big"))).unwrap();
    block_on(upload.part(b"part".to_vec().into())).unwrap();
    server.stop();
    std::fs::write(dir.path().join("temporary/00000000000000ff"), b"of a killed server").unwrap();
    assert_eq!(std::fs::read_dir(dir.path().join("uploads")).unwrap().count(), 1);

    let server = Server::start(ServerOptions::new(dir.path())).unwrap();
    assert_eq!(std::fs::read_dir(dir.path().join("temporary")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(dir.path().join("uploads")).unwrap().count(), 0);
    let remote = server.remote("jobs").unwrap();
    assert_eq!(block_on(remote.get(&name("a/b"), 10)).unwrap(), "kept");
    assert_eq!(block_on(remote.list("", None, 10)).unwrap().entries.len(), 1);
}

fn with(server: &Server, setting: &str, value: &str) -> Arc<dyn Remote> {
    let mut options = server.remote_options();
    options.settings.insert(setting.to_owned(), value.to_owned());
    open_url("s3://aquifer/jobs", options).unwrap()
}

#[test]
fn wrong_credentials_are_told_without_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(ServerOptions::new(dir.path())).unwrap();
    for remote in [
        with(&server, "AWS_SECRET_ACCESS_KEY", "wr0ngsecret"),
        with(&server, "AWS_ACCESS_KEY_ID", "wr0ngkey"),
    ] {
        assert!(!format!("{remote:?} {}", remote.describe()).contains("wr0ng"));
        let object = name("x");
        let errors = [
            block_on(remote.put(&object, b"x".to_vec().into())).unwrap_err(),
            block_on(remote.put_if_absent(&object, b"x".to_vec().into())).unwrap_err(),
            block_on(remote.get(&object, 10)).unwrap_err(),
            block_on(remote.get_range(&object, 0..1)).unwrap_err(),
            block_on(remote.head(&object)).unwrap_err(),
            block_on(remote.delete(&object)).unwrap_err(),
            block_on(remote.list("", None, 10)).unwrap_err(),
            block_on(remote.upload(&object)).err().unwrap(),
        ];
        for error in errors {
            assert_eq!(error.kind(), RemoteErrorKind::PermissionDenied, "{error}");
            let texts = format!("{error} {error:?} {:?}", std::error::Error::source(&error));
            assert!(!texts.contains("wr0ng") && error.to_string().contains("credentials"), "{texts}");
            assert!(!error.to_string().contains('\n'));
        }
    }
}

#[test]
fn a_missing_bucket_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(ServerOptions::new(dir.path())).unwrap();
    let remote = open_url("s3://another/jobs", server.remote_options()).unwrap();
    let error = block_on(remote.list("", None, 10)).unwrap_err();
    assert_eq!(error.kind(), RemoteErrorKind::InvalidUrl, "{error}");
    assert!(error.to_string().contains("NoSuchBucket"), "{error}");
}

#[test]
fn a_stopped_server_is_unavailable_within_ten_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(ServerOptions::new(dir.path())).unwrap();
    let remote = server.remote("jobs").unwrap();
    let object = name("x");
    block_on(remote.put(&object, b"x".to_vec().into())).unwrap();
    server.stop();
    let start = aquifer_io::now();
    let (get, put, create, list) = (
        remote.get(&object, 10),
        remote.put(&object, b"x".to_vec().into()),
        remote.put_if_absent(&object, b"x".to_vec().into()),
        remote.list("", None, 10),
    );
    let errors = [
        block_on(get).unwrap_err(),
        block_on(put).unwrap_err(),
        block_on(create).unwrap_err(),
        block_on(list).unwrap_err(),
    ];
    assert!(start.elapsed().as_secs() < 10);
    for error in errors {
        assert_eq!(error.kind(), RemoteErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("Connection refused"), "{error}");
    }
}

#[test]
fn settings_win_over_the_environment_and_unknown_ones_are_named() {
    let settings = BTreeMap::from([("AWS_ENDPONT".to_owned(), "http://127.0.0.1:1".to_owned())]);
    let error =
        open_url("s3://aquifer/x", RemoteOptions { settings, ..RemoteOptions::default() }).unwrap_err();
    assert!(error.to_string().contains("AWS_ENDPONT"), "{error}");
}
