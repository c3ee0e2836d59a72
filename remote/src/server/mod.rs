//! The embedded DFS server: an S3 subset over HTTP on a local folder, in this process.
//!
//! ```text
//! S3 client ── HTTP/1.1 ──> watch ──> hyper ──> (shape) ──> s3s (SigV4, XML) ──> access ──> service ──> folder ──> files
//! ```
//!
//! It serves the first run, tests and benchmarks, and any real S3 client; the engine reaches it by the same code as any S3. It
//! is no cluster: one folder, one bucket, one key, cleartext HTTP on this machine.
//!
//! Whoever reaches its port can talk to it, and everything but a refusal takes a request signed with its one key. Who has the key can read,
//! replace and delete every object. Nothing is encrypted, so whoever sits on the way reads all that passes, and can change it.
//!
//! Invariants:
//! * A PUT that was answered is on the disk, file and folder.
//! * `If-None-Match: *` has one winner; no condition is ever ignored.
//! * Every request is signed (`SigV4`) with the server's key, or refused.
//! * Memory for each request is bounded, whatever the object's size; so are connections and uploads.
//! * A client that sends nothing, or reads nothing, keeps nobody else out: times for heads, bodies, answers and idle connections, and the
//!   oldest idle one makes room at the limit. Uploads that nobody completes or aborts go after a day, or when there are too many.
//! * No key reaches outside the folder, and no symbolic link in it is followed. Only regular files are opened.

mod access;
mod error;
mod keys;
mod names;
mod stream;
mod watch;
mod watched_service;
mod folder;
mod list;
mod listing;
mod uploads;
mod refuse;
mod shape;
mod service;
mod options;
mod connections;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use s3s::auth::SimpleAuth;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::service::S3ServiceBuilder;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

pub use error::ServerError;
pub use options::ServerOptions;
pub use shape::ServerShape;

use crate::error::RemoteError;
use crate::open::open_url;
use crate::options::RemoteOptions;
use crate::store::Remote;
use access::Access;
use connections::Connections;
use folder::Folder;
use service::{BODY_BYTES_MAX, Service};
use shape::Shaper;
use uploads::{UploadLimits, Uploads};
use watch::Patience;

/// Threads for blocking file calls; more requests wait in line.
const FILE_THREADS_MAX: usize = 64;
/// Longest wait at the end for file calls under way.
const STOP_TIME_MAX: Duration = Duration::from_secs(2);
/// From one look for forgotten uploads to the next.
const SWEEP_PAUSE: Duration = Duration::from_secs(60);
/// Multipart uploads at once.
const UPLOADS_MAX: usize = 1_024;

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    options: ServerOptions,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts the server on threads of its own; it answers when this returns.
    ///
    /// # Errors
    /// Busy port, unusable or locked folder, senseless option: each its own, with the remedy.
    pub fn start(options: ServerOptions) -> Result<Self, ServerError> {
        options.validate()?;
        let folder = Folder::open(&options.dir)?;
        let (listener, address) = listen(options.listen)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(options.threads)
            .max_blocking_threads(FILE_THREADS_MAX)
            .thread_name("aquifer-dfs")
            .enable_all()
            .build()
            .map_err(|source| ServerError::Threads { source })?;
        let files = open_files_max();
        let limits =
            UploadLimits { uploads_max: UPLOADS_MAX.min(files / 4), age_max: options.upload_age_max };
        let uploads = Arc::new(Uploads::new(limits));
        let sweep = sweep(Arc::clone(&folder), Arc::clone(&uploads));
        let service =
            Service { bucket: options.bucket.clone(), body_bytes_max: BODY_BYTES_MAX, folder, uploads };
        let mut builder = S3ServiceBuilder::new(service);
        builder.set_auth(SimpleAuth::from_single(options.access_key.clone(), options.secret_key.clone()));
        builder.set_access(Access { read_only: options.read_only });
        builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(request_limits()))));
        let (stop, stopped) = oneshot::channel();
        let shaper = {
            let _entered = runtime.enter();
            (!options.shape.is_none()).then(|| Shaper::new(options.shape)).transpose()
        };
        let shaper = shaper.map_err(|source| ServerError::Threads { source })?;
        let patience = Patience {
            idle: options.idle_time_max,
            head: options.head_time_max,
            stall: options.stall_time_max,
        };
        let most = options.connections_max.min(files / 2).max(1);
        let connections = Connections::new(builder.build(), shaper, most, patience);
        let thread = std::thread::Builder::new()
            .name("aquifer-dfs".to_owned())
            .spawn(move || {
                runtime.spawn(sweep);
                serve(runtime, listener, connections, stopped);
            })
            .map_err(|source| ServerError::Threads { source })?;
        Ok(Self { address, options, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The endpoint's URL for S3 clients: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its bucket.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.options.bucket
    }

    /// Options with which [`open_url`] reaches this server, credentials included, whatever the environment says.
    #[must_use]
    pub fn remote_options(&self) -> RemoteOptions {
        let settings = [
            ("AWS_ENDPOINT", self.endpoint()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", self.options.access_key.clone()),
            ("AWS_SECRET_ACCESS_KEY", self.options.secret_key.clone()),
            // A hash of each body guards against whoever changes it on the way, and there is no way: both ends are on this
            // machine. It took half of the time of a large upload. The requests stay signed.
            ("AWS_UNSIGNED_PAYLOAD", "true".to_owned()),
        ];
        let settings: BTreeMap<String, String> =
            settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        RemoteOptions { settings, environment: false, ..RemoteOptions::default() }
    }

    /// A store under a prefix of this server, through the same S3 client as `s3://` URLs.
    ///
    /// # Errors
    /// As [`open_url`].
    pub fn remote(&self, prefix: &str) -> Result<Arc<dyn Remote>, RemoteError> {
        open_url(&format!("s3://{}/{prefix}", self.options.bucket), self.remote_options())
    }

    /// Stops it: the port is free and the folder unlocked when this returns. Requests under way break off.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(stop) = self.stop.take() {
            // The thread may be gone already: then there is nothing to stop.
            let _gone = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// What `s3s` may hold in memory for one request: the list of an upload's parts is the largest that is needed.
fn request_limits() -> S3Config {
    let mut limits = S3Config::default();
    limits.xml_max_body_size = 4 << 20;
    limits.post_object_max_file_size = 1 << 20;
    limits.form_max_field_size = 64 << 10;
    limits.form_max_fields_size = 256 << 10;
    limits.form_max_parts = 64;
    limits
}

fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServerError> {
    let failed = |source: std::io::Error| match source.kind() {
        ErrorKind::AddrInUse => ServerError::PortBusy { address },
        _ => ServerError::Listen { address, source },
    };
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// The server thread: accepts until told to stop, then takes the runtime down with all connections.
fn serve(runtime: Runtime, listener: TcpListener, connections: Connections, stopped: oneshot::Receiver<()>) {
    runtime.block_on(async {
        tokio::select! {
            _ = stopped => {}
            () = connections.accept(listener) => {}
        }
    });
    runtime.shutdown_timeout(STOP_TIME_MAX);
}

/// Throws forgotten uploads away, for ever.
async fn sweep(folder: Arc<Folder>, uploads: Arc<Uploads>) {
    loop {
        tokio::time::sleep(SWEEP_PAUSE).await;
        let (folder, uploads) = (Arc::clone(&folder), Arc::clone(&uploads));
        // It ends early with the runtime alone.
        drop(tokio::task::spawn_blocking(move || uploads.sweep(&folder, aquifer_io::now())).await);
    }
}

/// Files that this process may have open. Connections get half of them, so that there are some left to serve them with.
fn open_files_max() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}
