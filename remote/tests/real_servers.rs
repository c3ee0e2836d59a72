//! Real distributed file systems: Ceph's RADOS gateway, HDFS through WebHDFS, JuiceFS with its WebDAV and its S3 door.
//!
//! `.ci/servers/run` installs and starts them, sets the variables read here, and runs these tests. A variable that is not set is a failure.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aquifer_io::{block_on, random_u64};
use aquifer_remote::{
    ObjectName, Remote, RemoteError, RemoteErrorKind, RemoteOptions, conformance, open_url,
    probe_put_if_absent,
};

/// Names that 16 writers race for.
const RACE_NAMES: usize = 200;

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run .ci/servers/run"))
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
