//! Real distributed file systems: Ceph's RADOS gateway, HDFS through WebHDFS, JuiceFS with its WebDAV and its S3 door.
//!
//! `.ci/servers/run` installs and starts them, sets the variables read here, and runs these tests. A variable that is not set is a failure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aquifer_io::{block_on, random_u64};
use aquifer_remote::{
    ObjectName, Remote, RemoteError, RemoteErrorKind, RemoteOptions, conformance, open_url,
    probe_put_if_absent, read_only,
};

/// Names that 16 writers race for.
const RACE_NAMES: usize = 200;

fn variable(name: &str) -> String {
    std::env::var(name).map_err(|_| format!("{name} is not set: run .ci/servers/run")).unwrap()
}

fn options(settings: &[(&str, &str)]) -> RemoteOptions {
    let settings: BTreeMap<String, String> =
        settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    RemoteOptions { environment: false, settings, ..RemoteOptions::default() }
}

fn s3(endpoint: &str, secret: &str, bucket: &str) -> Arc<dyn Remote> {
    let settings = [
        ("AWS_ENDPOINT", endpoint),
        ("AWS_ACCESS_KEY_ID", "admin"),
        ("AWS_SECRET_ACCESS_KEY", secret),
        ("AWS_REGION", "us-east-1"),
    ];
    open_url(&format!("s3://{bucket}/{:016x}", random_u64()), options(&settings)).unwrap()
}

fn ceph() -> Arc<dyn Remote> {
    s3(&variable("AQUIFER_TEST_CEPH"), "12345678", "aquifer")
}

fn hdfs() -> Arc<dyn Remote> {
    let url = format!("{}/{:016x}", variable("AQUIFER_TEST_HDFS"), random_u64());
    open_url(&url, options(&[("AQUIFER_HDFS_USER", "aquifer")])).unwrap()
}

fn webdav() -> Arc<dyn Remote> {
    let url = format!("{}/{:016x}", variable("AQUIFER_TEST_JUICEFS_WEBDAV"), random_u64());
    open_url(&url, options(&[])).unwrap()
}

/// The suite, with its race.
fn check(remote: &Arc<dyn Remote>) {
    let start = aquifer_io::now();
    let result = block_on(conformance::run(remote, "suite", RACE_NAMES));
    assert!(result.is_ok(), "{}: {result:?}", remote.describe());
    println!("{}: conformance with {RACE_NAMES} races in {:.1?}", remote.describe(), start.elapsed());
}

#[test]
#[ignore = "needs real servers: .ci/servers/run"]
fn ceph_conforms() {
    check(&ceph());
}

#[test]
#[ignore = "needs real servers: .ci/servers/run"]
fn hdfs_conforms() {
    check(&hdfs());
}

#[test]
#[ignore = "needs real servers: .ci/servers/run"]
fn juicefs_webdav_conforms() {
    check(&webdav());
}

/// JuiceFS's S3 door answers 200 to `If-None-Match: *` on a name that is taken: refused, with what is missing and what to do.
#[test]
#[ignore = "needs real servers: .ci/servers/run"]
fn juicefs_s3_is_refused_for_writing() {
    let remote = s3(&variable("AQUIFER_TEST_JUICEFS_S3"), "12345678", "aquifer");
    let error = block_on(probe_put_if_absent(&remote, random_u64())).unwrap_err();
    assert_eq!(error.kind(), RemoteErrorKind::Unsafe, "{error}");
    for words in ["ignores \"If-None-Match: *\"", "two writers would destroy", "WebDAV", "read-only"] {
        assert!(error.to_string().contains(words), "{words}: {error}");
    }
    let left = block_on(remote.list("", None, 10)).unwrap();
    assert!(left.entries.is_empty(), "the probe left {left:?}");
    // Reading through that door is fine.
    let remote = read_only(remote);
    let missing = block_on(remote.get(&ObjectName::new("x").unwrap(), 10)).unwrap_err();
    assert_eq!(missing.kind(), RemoteErrorKind::NotFound, "{missing}");
}

/// A read that the namenode redirects to a dead datanode is answered by another one.
#[test]
#[ignore = "needs real servers: .ci/servers/run"]
fn hdfs_reads_go_on_when_a_datanode_dies() {
    const READS: u64 = 200;
    let remote = hdfs();
    let name = ObjectName::new("block").unwrap();
    let content: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    block_on(remote.put(&name, content.clone().into())).unwrap();
    let mut answered = 0;
    for read in 0..READS {
        if read == READS / 2 {
            let id = std::fs::read_to_string(format!("{}/datanode1.pid", variable("AQUIFER_TEST_HDFS_HOME")))
                .unwrap();
            let killed = std::process::Command::new("kill").args(["-9", id.trim()]).status().unwrap();
            assert!(killed.success(), "cannot kill the datanode");
        }
        let start = read * 5_000;
        let bytes = block_on(remote.get_range(&name, start..start + 4_096)).unwrap();
        let start = usize::try_from(start).unwrap();
        assert_eq!(bytes, content[start..start + 4_096], "read {read}");
        answered += 1;
    }
    assert_eq!(answered, READS);
    // Writes go on too, with the two datanodes that are left.
    let after = ObjectName::new("after").unwrap();
    block_on(remote.put(&after, b"still".to_vec().into())).unwrap();
    assert_eq!(block_on(remote.get(&after, 10)).unwrap(), "still");
}

/// The error of an operation that must fail, and fail soon.
fn soon<T: std::fmt::Debug>(operation: impl Future<Output = Result<T, RemoteError>>) -> RemoteError {
    let start = aquifer_io::now();
    let error = block_on(operation).unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(10), "after {:?}: {error}", start.elapsed());
    error
}

#[test]
#[ignore = "needs real servers: .ci/servers/run"]
fn what_is_wrong_is_said_within_ten_seconds() {
    let name = ObjectName::new("x").unwrap();
    let check = |remote: &Arc<dyn Remote>, kind: RemoteErrorKind, words: &str| {
        for error in [
            soon(remote.get(&name, 10)),
            soon(remote.put(&name, b"x".to_vec().into())),
            soon(probe_put_if_absent(remote, random_u64())),
        ] {
            assert_eq!(error.kind(), kind, "{}: {error}", remote.describe());
            assert!(error.to_string().contains(words), "{}: {error}", remote.describe());
            assert!(!error.to_string().contains("wr0ng"), "secret shown: {error}");
        }
    };
    let (ceph, juicefs) = (variable("AQUIFER_TEST_CEPH"), variable("AQUIFER_TEST_JUICEFS_S3"));
    check(&s3(&ceph, "wr0ng", "aquifer"), RemoteErrorKind::PermissionDenied, "SignatureDoesNotMatch");
    check(&s3(&juicefs, "wr0ng", "aquifer"), RemoteErrorKind::PermissionDenied, "SignatureDoesNotMatch");
    check(&s3(&ceph, "12345678", "no-such-bucket"), RemoteErrorKind::InvalidUrl, "NoSuchBucket");
    // Users without rights, in a folder that is not theirs.
    let url = variable("AQUIFER_TEST_HDFS");
    let stranger = open_url(&url, options(&[("AQUIFER_HDFS_USER", "stranger")])).unwrap();
    for error in
        [soon(stranger.put(&name, b"x".to_vec().into())), soon(probe_put_if_absent(&stranger, random_u64()))]
    {
        assert_eq!(error.kind(), RemoteErrorKind::PermissionDenied, "{error}");
        assert!(error.to_string().contains("AQUIFER_HDFS_USER"), "{error}");
    }
    // Not WebHDFS, not WebDAV: what is there is another protocol's server.
    let webdav = variable("AQUIFER_TEST_JUICEFS_WEBDAV").replace("http://", "webhdfs://");
    let error = soon(open_url(&webdav, options(&[])).unwrap().get(&name, 10));
    assert_eq!(error.kind(), RemoteErrorKind::InvalidUrl, "{error}");
    let namenode = url.replace("webhdfs://", "http://");
    let error = soon(open_url(&namenode, options(&[])).unwrap().put(&name, b"x".to_vec().into()));
    assert_eq!(error.kind(), RemoteErrorKind::InvalidUrl, "{error}");
    // TLS to a port that speaks none.
    let secure = ceph.replace("http://", "https://");
    for error in [
        soon(s3(&secure, "12345678", "aquifer").get(&name, 10)),
        soon(open_url(&url.replace("webhdfs://", "webhdfss://"), options(&[])).unwrap().get(&name, 10)),
        soon(open_url(&secure, options(&[])).unwrap().get(&name, 10)),
    ] {
        assert_eq!(error.kind(), RemoteErrorKind::InvalidUrl, "{error}");
        assert!(error.to_string().contains("TLS"), "{error}");
    }
}
