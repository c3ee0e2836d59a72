//! Why the embedded server did not start.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the embedded server did not start, with the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// Another process listens there.
    #[error("cannot listen on {address}: the port is in use: choose another one, or 0 for any free port")]
    PortBusy {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The address is not one of this machine's, or needs rights.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The folder cannot be made, read or written.
    #[error("cannot use the folder {}: {source}: choose a folder that this user can write", dir.display())]
    Folder {
        /// The folder of the server.
        dir: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Another server runs on the folder.
    #[error("the folder {} is in use by another embedded server: stop it or choose another folder", dir.display())]
    FolderLocked {
        /// The folder of the server.
        dir: PathBuf,
    },
    /// An option that makes no sense.
    #[error("server option {option}: {reason}")]
    Option {
        /// Its name.
        option: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// No thread or runtime could be started.
    #[error("cannot start the server's threads: {source}")]
    Threads {
        /// What the system says.
        source: std::io::Error,
    },
}
