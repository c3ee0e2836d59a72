//! The embedded DFS as a process of its own, so that its processor time is not ours.
//!
//! It ends with this process, however that ends: its standard input closes then.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use aquifer_remote::RemoteOptions;
use aquifer_remote::shape::LatencyProfile;

use crate::failure::Failure;

/// The one bucket.
pub(crate) const BUCKET: &str = "aquifer";
const ACCESS_KEY: &str = "aquifer";

/// A running `aquifer-bench dfs`; ended when dropped.
#[derive(Debug)]
pub(crate) struct DfsProcess {
    child: Child,
    endpoint: String,
    secret_key: String,
}

impl DfsProcess {
    /// Starts it on a folder and a free port; it answers when this returns.
    pub(crate) fn start(dir: &Path, profile: LatencyProfile) -> Result<Self, Failure> {
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            Failure::Other(format!("the embedded DFS in a process of its own {what}: {error}"))
        };
        let secret_key = format!("{:016x}{:016x}", aquifer_io::random_u64(), aquifer_io::random_u64());
        let program = std::env::current_exe().map_err(|error| failed("is not found", &error))?;
        let mut child = Command::new(program)
            .args(["dfs", "--end-with-stdin", "--listen", "127.0.0.1:0", "--bucket", BUCKET, "--dir"])
            .arg(dir)
            .args(["--profile", &profile.to_string()])
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", &secret_key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| failed("does not start", &error))?;
        let stdout = child.stdout.take();
        let mut started = Self { child, endpoint: String::new(), secret_key };
        for line in stdout.map(BufReader::new).into_iter().flat_map(BufRead::lines) {
            let line = line.map_err(|error| failed("does not answer", &error))?;
            let variables = line.strip_prefix("export ").unwrap_or_default();
            if let Some(endpoint) = variables.split(' ').find_map(|pair| pair.strip_prefix("AWS_ENDPOINT=")) {
                endpoint.clone_into(&mut started.endpoint);
                return Ok(started);
            }
        }
        Err(failed("ended", &"its standard error says why"))
    }

    /// Its number.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Its URL.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// One half of the credentials that it takes.
    pub(crate) fn access_key(&self) -> &str {
        ACCESS_KEY
    }

    /// The other half, made up for this process.
    pub(crate) fn secret_key(&self) -> &str {
        &self.secret_key
    }

    /// Host and port.
    pub(crate) fn address(&self) -> &str {
        self.endpoint.strip_prefix("http://").unwrap_or(&self.endpoint)
    }

    /// Options that reach it, whatever the environment says.
    pub(crate) fn options(&self) -> RemoteOptions {
        let settings = [
            ("AWS_ENDPOINT", self.endpoint.as_str()),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", &self.secret_key),
            // As for the embedded DFS of one's own process, and as the presigned URLs of the other programs.
            ("AWS_UNSIGNED_PAYLOAD", "true"),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        RemoteOptions { settings: settings.into(), environment: false, ..RemoteOptions::default() }
    }
}

impl Drop for DfsProcess {
    fn drop(&mut self) {
        // Ends it in order. Where that does not take, its process goes with ours.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
