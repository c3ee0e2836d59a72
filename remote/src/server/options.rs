//! What the embedded server is told.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::error::ServerError;
use super::shape::ServerShape;
use crate::shape::RATE_UNIT;

/// Options of the embedded server. Start from [`ServerOptions::new`].
#[derive(Clone)]
pub struct ServerOptions {
    /// Folder for the objects; made when absent. One server at a time.
    pub dir: PathBuf,
    /// Where to listen. Default `127.0.0.1:0`: any free port. Beyond the loopback everybody who reaches the port can try; who has the key
    /// below gets in, and as it is cleartext HTTP, who listens on the way reads everything and can change it: keep it on this machine
    /// or on a network of your own.
    pub listen: SocketAddr,
    /// The one bucket. Default `aquifer`.
    pub bucket: String,
    /// The one access key. Default `aquifer`.
    pub access_key: String,
    /// Its secret. Default: random.
    pub secret_key: String,
    /// Worker threads. Default: one for each core, at most 4.
    pub threads: usize,
    /// Connections at once, and at most half of the files that the process may open. For one more the oldest idle connection is closed; when all
    /// are in use, it waits. Default 1,024.
    pub connections_max: usize,
    /// Longest time from the first byte of a request to the end of its head. Default 10 s.
    pub head_time_max: Duration,
    /// Longest time that a connection stays open without a request. Default 120 s, which is longer than clients keep theirs.
    pub idle_time_max: Duration,
    /// Longest time in all that the server waits for 32 KiB of a body to come, or of an answer to be read. Default 30 s.
    pub stall_time_max: Duration,
    /// A multipart upload is thrown away, its parts with it, when nothing was heard of it for so long. Default one day.
    pub upload_age_max: Duration,
    /// Refuse every write, as a bucket does whose policy allows only reading. Default false.
    pub read_only: bool,
    /// What it does to its clients. Default: nothing.
    pub shape: ServerShape,
}

impl ServerOptions {
    /// The defaults on a folder.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            dir: dir.into(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            bucket: "aquifer".to_owned(),
            access_key: "aquifer".to_owned(),
            secret_key: format!("{:016x}{:016x}", aquifer_io::random_u64(), aquifer_io::random_u64()),
            threads: cores.min(4),
            connections_max: 1_024,
            head_time_max: Duration::from_secs(10),
            idle_time_max: Duration::from_secs(120),
            stall_time_max: Duration::from_secs(30),
            upload_age_max: Duration::from_secs(86_400),
            read_only: false,
            shape: ServerShape::default(),
        }
    }

    /// Checks them.
    ///
    /// # Errors
    /// Names the option and what is wrong with it.
    pub fn validate(&self) -> Result<(), ServerError> {
        let wrong = |option, reason: &str| Err(ServerError::Option { option, reason: reason.to_owned() });
        if !s3s::path::check_bucket_name(&self.bucket) {
            return wrong("bucket", "3 to 63 of a-z 0-9 . - as S3 names buckets");
        }
        let is_word =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
        if !is_word(&self.access_key) {
            return wrong("access_key", "printable ASCII without blanks and slashes, not empty");
        }
        if self.secret_key.is_empty() {
            return wrong("secret_key", "it is empty");
        }
        if self.threads == 0 || self.threads > 64 {
            return wrong("threads", "not within 1..=64");
        }
        if self.connections_max == 0 || self.connections_max > 65_536 {
            return wrong("connections_max", "not within 1..=65536");
        }
        for (option, time) in [
            ("head_time_max", self.head_time_max),
            ("idle_time_max", self.idle_time_max),
            ("stall_time_max", self.stall_time_max),
            ("upload_age_max", self.upload_age_max),
        ] {
            if time.is_zero() {
                return wrong(option, "it is zero");
            }
        }
        if self.shape.faults.rates.sum() > u64::from(RATE_UNIT) {
            return wrong("shape", "the rates of its faults are together more than 100%");
        }
        Ok(())
    }
}

impl fmt::Debug for ServerOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ServerOptions")
            .field("dir", &self.dir)
            .field("listen", &self.listen)
            .field("bucket", &self.bucket)
            .field("access_key", &self.access_key)
            .field("threads", &self.threads)
            .field("connections_max", &self.connections_max)
            .field("head_time_max", &self.head_time_max)
            .field("idle_time_max", &self.idle_time_max)
            .field("stall_time_max", &self.stall_time_max)
            .field("upload_age_max", &self.upload_age_max)
            .field("read_only", &self.read_only)
            .field("shape", &self.shape)
            .finish_non_exhaustive()
    }
}
