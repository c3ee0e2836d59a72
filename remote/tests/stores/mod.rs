//! Every kind of store that is reached over HTTP, opened on a server of a test, with a secret of its kind.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use aquifer_remote::{ObjectName, Remote, RemoteError, RemoteOptions, open_url};

/// What is sent along with requests, and must not be shown. Characters that are encoded in different ways are in it.
pub(crate) const SECRET: &str = "IQoJb3Jp/Z2luX2VjEJr+T0kenAbCdEfGh==";
/// As Azure wants one: Base64.
pub(crate) const ACCOUNT_KEY: &str = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA==";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    S3,
    Google,
    Azure,
    WebHdfs,
    WebDav,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [Self::S3, Self::Google, Self::Azure, Self::WebHdfs, Self::WebDav];

    /// Opens the store `…/jobs` at an address.
    pub(crate) fn open(self, address: SocketAddr, options: RemoteOptions) -> Arc<dyn Remote> {
        let http = format!("http://{address}");
        let (url, settings): (String, Vec<(&str, &str)>) = match self {
            Self::S3 => (
                "s3://bucket/jobs".to_owned(),
                vec![
                    ("AWS_ENDPOINT", &http),
                    ("AWS_ACCESS_KEY_ID", "somebody"),
                    ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG"),
                    ("AWS_SESSION_TOKEN", SECRET),
                ],
            ),
            Self::Google => (
                "gs://bucket/jobs".to_owned(),
                vec![("GOOGLE_BASE_URL", &http), ("GOOGLE_BEARER_TOKEN", SECRET)],
            ),
            Self::Azure => (
                "az://container/jobs".to_owned(),
                vec![
                    ("AZURE_STORAGE_ENDPOINT", &http),
                    ("AZURE_STORAGE_ACCOUNT_NAME", "account"),
                    ("AZURE_STORAGE_ACCOUNT_KEY", ACCOUNT_KEY),
                ],
            ),
            Self::WebHdfs => {
                (format!("webhdfs://{address}/jobs"), vec![("AQUIFER_HDFS_DELEGATION_TOKEN", SECRET)])
            }
            Self::WebDav => (
                format!("http://{address}/jobs"),
                vec![("AQUIFER_WEBDAV_USER", "somebody"), ("AQUIFER_WEBDAV_PASSWORD", SECRET)],
            ),
        };
        let settings: BTreeMap<String, String> =
            settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        open_url(&url, RemoteOptions { environment: false, settings, ..options }).unwrap()
    }
}

pub(crate) fn name() -> ObjectName {
    ObjectName::new("x").unwrap()
}

/// Every operation once; how each ended.
pub(crate) async fn each(remote: &Arc<dyn Remote>) -> Vec<(&'static str, Result<(), RemoteError>)> {
    let content = || b"hello".to_vec().into();
    vec![
        ("put", remote.put(&name(), content()).await),
        ("put_if_absent", remote.put_if_absent(&name(), content()).await.map(drop)),
        ("get", remote.get(&name(), 64 << 20).await.map(drop)),
        ("get_range", remote.get_range(&name(), 0..4096).await.map(drop)),
        ("head", remote.head(&name()).await.map(drop)),
        ("list", remote.list("", None, 1_000).await.map(drop)),
        ("delete", remote.delete(&name()).await),
        ("upload", uploaded(remote).await),
    ]
}

async fn uploaded(remote: &Arc<dyn Remote>) -> Result<(), RemoteError> {
    let mut upload = remote.upload(&name()).await?;
    upload.part(b"tail".to_vec().into()).await?;
    upload.finish().await
}
