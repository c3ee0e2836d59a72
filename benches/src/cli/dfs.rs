//! Flags of `dfs`.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Flags of `dfs`. The credentials are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY when set, else made up.
#[derive(Debug, clap::Args)]
pub(crate) struct DfsArgs {
    /// Folder that holds the objects; made when absent.
    #[arg(long)]
    pub(crate) dir: PathBuf,
    /// Address and port to serve on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:9000")]
    pub(crate) listen: SocketAddr,
    /// Name of the one bucket.
    #[arg(long, default_value = "aquifer")]
    pub(crate) bucket: String,
}
