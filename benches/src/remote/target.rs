//! What is measured against: a store, through our client, and presigned URLs of it for other programs.

use std::sync::Arc;

use aquifer_remote::{Content, HedgeCounters, ObjectName, Remote, RemoteOptions, open_stack};
use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path;
use object_store::signer::{Method, Signer};
use url::Url;

use super::dfs_process::{BUCKET, DfsProcess};
use crate::failure::Failure;

/// Bytes of a ranged GET.
pub(super) const BLOCK_BYTES: u64 = BLOCK_LENGTH as u64;
/// The same, as lengths in memory are counted.
pub(super) const BLOCK_LENGTH: usize = 4 << 10;
/// Bytes of the object that ranged GETs read.
pub(super) const OBJECT_BYTES: u64 = 64 << 20;
/// Bytes of a part of an upload, and of a range of a download.
pub(super) const PART_BYTES: u64 = 8 << 20;
/// Parts under way at once.
const PARTS_IN_FLIGHT: usize = 4;
/// Presigned URLs are good for as long as a run may take.
const PRESIGNED_TIME: std::time::Duration = std::time::Duration::from_secs(12 * 3600);

/// See the module.
pub(super) struct Target {
    pub(super) remote: Arc<dyn Remote>,
    /// Its own process, when it is ours.
    pub(super) server: Option<u32>,
    /// What hedging did.
    pub(super) hedges: Arc<HedgeCounters>,
    /// Signs for other programs, where it is S3.
    signer: Option<(AmazonS3, String)>,
}

impl Target {
    /// The embedded DFS of a process, by options made from [`DfsProcess::options`].
    pub(super) fn embedded(dfs: &DfsProcess, options: &RemoteOptions) -> Result<Self, Failure> {
        let mut target = Self::open(&format!("s3://{BUCKET}/bench"), options)?;
        target.server = Some(dfs.process());
        Ok(target)
    }

    /// A store by URL.
    pub(super) fn open(url: &str, options: &RemoteOptions) -> Result<Self, Failure> {
        let signer = signer(url, options)?;
        let stack = open_stack(url, options)?;
        Ok(Self { remote: stack.foreground, server: None, hedges: stack.hedges, signer })
    }

    /// A URL that lets another program do this to an object; `None` where the store is no S3.
    pub(super) fn presigned(&self, method: Method, name: &ObjectName) -> Result<Option<String>, Failure> {
        let Some((signer, prefix)) = &self.signer else { return Ok(None) };
        let path = Path::from(format!("{prefix}/{name}"));
        let url = aquifer_io::block_on(signer.signed_url(method, &path, PRESIGNED_TIME));
        let url = url.map_err(|error| Failure::Other(format!("cannot sign a URL: {error}")))?;
        Ok(Some(url.to_string()))
    }

    /// Writes the object of ranged GETs: every block begins with its number.
    pub(super) async fn write_blocks(&self, name: &ObjectName) -> Result<(), Failure> {
        let part = |first: u64| {
            let blocks = (first..first + PART_BYTES / BLOCK_BYTES).flat_map(|block| {
                let mut bytes = vec![0; BLOCK_LENGTH];
                bytes.iter_mut().zip(block.to_le_bytes()).for_each(|(to, from)| *to = from);
                bytes
            });
            Content::from(blocks.collect::<Vec<u8>>())
        };
        let mut upload = self.remote.upload(name).await?;
        for index in 0..OBJECT_BYTES / PART_BYTES {
            upload.part(part(index * (PART_BYTES / BLOCK_BYTES))).await?;
        }
        upload.finish().await?;
        Ok(())
    }

    /// Writes an object of so many bytes, in parts of which some are under way at once.
    pub(super) async fn upload(&self, name: &ObjectName, bytes: u64, part: &Bytes) -> Result<(), Failure> {
        let mut upload = self.remote.upload(name).await?;
        let mut running = FuturesUnordered::new();
        let mut left = bytes;
        while left > 0 {
            if running.len() >= PARTS_IN_FLIGHT
                && let Some(done) = running.next().await
            {
                done?;
            }
            let take = left.min(PART_BYTES);
            running.push(upload.part(part.slice(..usize::try_from(take).unwrap_or(part.len())).into()));
            left -= take;
        }
        while let Some(done) = running.next().await {
            done?;
        }
        upload.finish().await?;
        Ok(())
    }

    /// Reads an object of so many bytes, in ranges of which some are under way at once. The bytes are let go as they come.
    pub(super) async fn download(&self, name: &ObjectName, bytes: u64) -> Result<(), Failure> {
        let mut starts = (0..bytes).step_by(usize::try_from(PART_BYTES).unwrap_or(usize::MAX));
        let range = |start: u64| self.remote.get_range(name, start..(start + PART_BYTES).min(bytes));
        let mut running: FuturesUnordered<_> = starts.by_ref().take(PARTS_IN_FLIGHT).map(range).collect();
        while let Some(read) = running.next().await {
            drop(read?);
            running.extend(starts.next().map(range));
        }
        Ok(())
    }
}

/// The signer of an `s3://` URL with the prefix of its objects.
fn signer(url: &str, options: &RemoteOptions) -> Result<Option<(AmazonS3, String)>, Failure> {
    let Some(parsed) = Url::parse(url).ok().filter(|parsed| parsed.scheme() == "s3") else { return Ok(None) };
    let mut builder = if options.environment { AmazonS3Builder::from_env() } else { AmazonS3Builder::new() };
    for (name, value) in &options.settings {
        let key: AmazonS3ConfigKey = name
            .to_ascii_lowercase()
            .parse()
            .map_err(|_| Failure::Other(format!("unknown setting {name}")))?;
        builder = builder.with_config(key, value);
    }
    let builder = builder.with_bucket_name(parsed.host_str().unwrap_or_default()).with_allow_http(true);
    // What is wrong with it, our client says better.
    Ok(builder.build().ok().map(|signer| (signer, parsed.path().trim_matches('/').to_owned())))
}
