//! The part of a DFS that belongs to an arm.

use std::sync::Arc;

use aquifer_remote::Remote;

use crate::compare::spec::{DfsAccess, Prepare};
use crate::failure::Failure;

/// The store that a DFS holds for an arm.
pub(super) fn dfs_of(prepare: &Prepare) -> Result<&DfsAccess, Failure> {
    let missing = || Failure::Usage(format!("{} needs a DFS, and was given none", prepare.engine.name()));
    prepare.dfs.as_ref().ok_or_else(missing)
}

/// Opens the arm's part of a DFS.
pub(super) fn remote_of(dfs: &DfsAccess) -> Result<Arc<dyn Remote>, Failure> {
    let settings = [
        ("AWS_ENDPOINT", dfs.endpoint.as_str()),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", &dfs.access_key),
        ("AWS_SECRET_ACCESS_KEY", &dfs.secret_key),
        ("AWS_ALLOW_HTTP", "true"),
        // As for the embedded DFS of one's own process.
        ("AWS_UNSIGNED_PAYLOAD", "true"),
    ];
    let options = aquifer_remote::RemoteOptions {
        settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        environment: false,
        ..aquifer_remote::RemoteOptions::default()
    };
    Ok(aquifer_remote::open_url(&format!("s3://{}/{}", dfs.bucket, dfs.prefix), options)?)
}
