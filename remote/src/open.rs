//! From a URL to a store.
//!
//! Ranged reads of `s3://` stores with an `http://` endpoint take a shorter way than other requests (`s3_read/mod.rs`).
//!
//! | URL | store |
//! |---|---|
//! | `s3://bucket/prefix` | S3 and compatible; endpoint, region and credentials from the `AWS_*` variables |
//! | `gs://bucket/prefix` | Google Cloud Storage (feature `gcp`); credentials from the `GOOGLE_*` variables |
//! | `az://container/prefix` | Azure Blob Storage (feature `azure`); account and credentials from the `AZURE_*` variables |
//! | `webhdfs://host:port/path` | HDFS through WebHDFS (feature `webhdfs`), with TLS `webhdfss://`; `AQUIFER_HDFS_USER` (or `HADOOP_USER_NAME`), `AQUIFER_HDFS_DELEGATION_TOKEN` |
//! | `http(s)://host/path` | a WebDAV server (feature `webdav`); `AQUIFER_WEBDAV_USER` and `AQUIFER_WEBDAV_PASSWORD`, which `http://` sends in clear |
//! | `file:///dir` | a local directory; every put is synced to the disk, file and folder, before it returns. A killed writer may leave a `name#1` behind, which no listing shows. What it makes is this user's alone (0700, 0600); with `AQUIFER_FILE_SHARING=umask` as the umask says |
//! | `memory://` | this process's memory: for tests; each call opens a new, empty one |
//!
//! A URL of a store whose feature this program was built without is an error that names the feature.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::memory::InMemory;
use url::Url;

use crate::adapter::{Adapter, ListOrder, Stores};
use crate::durable::create_folder;
use crate::endpoint::check_endpoint;
use crate::error::{RemoteError, RemoteErrorKind};
use crate::http_client::Connector;
use crate::local::LocalStore;
use crate::location::Location;
use crate::options::RemoteOptions;
use crate::s3_read::Reader;
use crate::secrets;
use crate::settings::Settings;
use crate::sharing::Sharing;
use crate::store::Remote;
use crate::wrap::{Stack, wrap};

/// The schemes that take a Cargo feature, and its name.
const FEATURES: [(&str, &str); 6] = [
    ("gs", "gcp"),
    ("az", "azure"),
    ("http", "webdav"),
    ("https", "webdav"),
    ("webhdfs", "webhdfs"),
    ("webhdfss", "webhdfs"),
];

/// Settings of which one must be given where the endpoint is not the cloud's own.
const CREDENTIALS: [AmazonS3ConfigKey; 6] = [
    AmazonS3ConfigKey::AccessKeyId,
    AmazonS3ConfigKey::SecretAccessKey,
    AmazonS3ConfigKey::WebIdentityTokenFile,
    AmazonS3ConfigKey::ContainerCredentialsRelativeUri,
    AmazonS3ConfigKey::ContainerCredentialsFullUri,
    AmazonS3ConfigKey::SkipSignature,
];

/// Whom the files of a `file://` store are for.
const FILE_SHARING: &str = "AQUIFER_FILE_SHARING";

/// Opens the store that a URL names. No request is made yet: wrong credentials or a dead server show at the first one.
///
/// Cleartext `http://` endpoints are used when the endpoint is given as such.
///
/// # Errors
/// Kind `InvalidUrl` for an unknown scheme, a URL with user data or query, missing or half credentials, a folder that
/// cannot be made; `InvalidName` for a prefix outside the alphabet of names.
#[expect(clippy::needless_pass_by_value, reason = "callers hand their options over, most of them fresh ones")]
pub fn open_url(url: &str, options: RemoteOptions) -> Result<Arc<dyn Remote>, RemoteError> {
    Ok(open_stack(url, &options)?.foreground)
}

/// Opens the store that a URL names, as [`open_url`] does, with all that its wrappers know: metrics, cost, limits, and the store
/// for background work.
///
/// # Errors
/// As [`open_url`].
pub fn open_stack(url: &str, options: &RemoteOptions) -> Result<Stack, RemoteError> {
    options.validate()?;
    learn_secrets(options);
    let bare = open_bare(url, options)?;
    if repeats_itself(url) {
        return wrap(bare, &RemoteOptions { retries_max: 0, ..options.clone() });
    }
    wrap(bare, options)
}

/// Stores of our own protocols know better than the retry wrapper which of their steps to repeat, and where.
fn repeats_itself(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https" | "webhdfs" | "webhdfss"))
}

/// Whatever a store is opened with, nobody is shown: not by a server that repeats it either.
fn learn_secrets(options: &RemoteOptions) {
    for (name, value) in &options.settings {
        secrets::learn_setting(name, value);
    }
    let variables = options.environment.then(std::env::vars_os).into_iter().flatten();
    for (name, value) in variables {
        let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else { continue };
        let is_ours = ["AWS_", "GOOGLE_", "AZURE_", "AQUIFER_"].iter().any(|prefix| name.starts_with(prefix));
        if is_ours || name.to_ascii_lowercase().ends_with("_proxy") {
            secrets::learn_setting(name, value);
        }
    }
}

/// The store alone, without wrappers.
fn open_bare(url: &str, options: &RemoteOptions) -> Result<Arc<dyn Remote>, RemoteError> {
    let parsed = Location::parse(url)?;
    match parsed.scheme() {
        "s3" | "s3a" => open_s3(&parsed, options),
        "file" => open_file(&parsed, options),
        #[cfg(feature = "gcp")]
        "gs" => crate::cloud::open_google(&parsed, options),
        #[cfg(feature = "azure")]
        "az" => crate::cloud::open_azure(&parsed, options),
        #[cfg(feature = "webdav")]
        "http" | "https" => crate::webdav::open(&parsed, options),
        #[cfg(feature = "webhdfs")]
        "webhdfs" | "webhdfss" => crate::webhdfs::open(&parsed, options),
        "memory" => {
            let store = Arc::new(InMemory::new());
            let adapter = Adapter::new(store, parsed.path(), &parsed.shown(), ListOrder::Ascending, options)?;
            Ok(Arc::new(adapter))
        }
        other => Err(unknown(other)),
    }
}

/// A scheme that this program does not have, or nobody.
fn unknown(scheme: &str) -> RemoteError {
    if let Some((_, feature)) = FEATURES.iter().find(|(known, _)| *known == scheme) {
        return invalid(&format!(
            "this program was built without stores of {scheme}://: build it with the feature `{feature}`"
        ));
    }
    invalid(&format!(
        "unknown scheme \"{scheme}\": use s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, webhdfs://host:port/path, \
         https://host/path (WebDAV), file:///dir or memory://"
    ))
}

/// Puts an embedder's own store under a prefix.
///
/// Its repeats are its own, but for answers that break off, which are asked for again here: round it by [`wrap`](fn@crate::wrap), tries of those multiply
/// unless `retries_max` is 0. One that repeats a put-if-absent after a lost answer may report its own success as `Exists`
/// (see [`Remote::put_if_absent`]). As nothing is known of the order it lists in, each page of [`Remote::list`] walks the whole
/// folder. `describe` is shown to users: no secrets in it.
///
/// # Errors
/// Kind `InvalidName` for a prefix outside the alphabet of names.
pub fn from_object_store(
    store: Arc<dyn ObjectStore>,
    prefix: &str,
    describe: impl Into<String>,
) -> Result<Arc<dyn Remote>, RemoteError> {
    Ok(Arc::new(Adapter::of_embedder(store, prefix, &describe.into())?))
}

fn invalid(cause: &str) -> RemoteError {
    RemoteError::new(RemoteErrorKind::InvalidUrl, "open").with_cause(cause)
}

fn open_file(location: &Location, options: &RemoteOptions) -> Result<Arc<dyn Remote>, RemoteError> {
    let folder: PathBuf = location
        .url()
        .to_file_path()
        .map_err(|()| invalid("a file URL has three slashes and a whole path: file:///dir"))?;
    let cannot =
        |error: &dyn fmt::Display| invalid(&format!("cannot use the folder {}: {error}", folder.display()));
    let sharing = match Settings::new(options, &[FILE_SHARING])?.get(FILE_SHARING).as_deref() {
        None | Some("private") => Sharing::Private,
        Some("umask") => Sharing::Umask,
        Some(other) => {
            return Err(invalid(&format!(
                "{FILE_SHARING}={other}: private (files for this user alone) or umask (as other programs' files)"
            )));
        }
    };
    create_folder(&folder, sharing).map_err(|error| cannot(&error))?;
    let folder = folder.canonicalize().map_err(|error| cannot(&error))?;
    let store = Arc::new(LocalStore::new(folder, sharing));
    Ok(Arc::new(Adapter::new(store, "", &location.shown(), ListOrder::Ascending, options)?))
}

fn open_s3(location: &Location, options: &RemoteOptions) -> Result<Arc<dyn Remote>, RemoteError> {
    let bucket = location.bucket("no bucket: s3://bucket/prefix")?;
    let mut builder = AmazonS3Builder::new();
    for (key, value) in settings(options)? {
        builder = builder.with_config(key, value);
    }
    let s3_endpoint = builder.get_config_value(&AmazonS3ConfigKey::S3Endpoint);
    let endpoint = s3_endpoint.or_else(|| builder.get_config_value(&AmazonS3ConfigKey::Endpoint));
    if let Some(endpoint) = &endpoint {
        check_endpoint("AWS_ENDPOINT", endpoint)?;
        if endpoint.starts_with("http://") {
            builder = builder.with_allow_http(true);
        }
        if !CREDENTIALS.iter().any(|key| builder.get_config_value(key).is_some_and(|value| value != "false"))
        {
            // Otherwise the cloud's own address for credentials would be asked, in vain and for seconds.
            return Err(invalid("no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"));
        }
    }
    let builder = builder
        .with_bucket_name(bucket)
        // One object, one DELETE: the bulk request is not spoken by every server.
        .with_disable_bulk_delete(true)
        .with_http_connector(Connector::new(endpoint.as_deref(), options));
    let build = |retry| {
        let built = builder.clone().with_retry(retry).build();
        built.map_err(|error| invalid(&format!("{error}: set the AWS_* variables")))
    };
    let (store, uploads) = (Arc::new(build(options.retry())?), Arc::new(build(options.upload_retry())?));
    let shown = match &endpoint {
        Some(endpoint) => format!("{} at {endpoint}", location.shown()),
        None => location.shown(),
    };
    let reader = Reader::new(&builder, &store, endpoint.as_deref(), options);
    let stores = Stores { store, uploads, reader };
    Ok(Arc::new(Adapter::with_stores(stores, location.path(), &shown, ListOrder::Ascending, options)?))
}

/// The environment's settings, overridden by the options'.
fn settings(options: &RemoteOptions) -> Result<Vec<(AmazonS3ConfigKey, String)>, RemoteError> {
    let mut settings = Vec::new();
    if options.environment {
        for (name, value) in std::env::vars_os() {
            let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else { continue };
            if !name.starts_with("AWS_") {
                continue;
            }
            // Variables of other tools (AWS_PROFILE) are none of ours.
            if let Ok(key) = name.to_ascii_lowercase().parse() {
                settings.push((key, value.to_owned()));
            }
        }
    }
    for (name, value) in &options.settings {
        let key = name.to_ascii_lowercase().parse();
        let key = key.map_err(|_| invalid(&format!("unknown setting {name}")))?;
        settings.push((key, value.clone()));
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn wrong_urls_are_told_apart() {
        let options = || RemoteOptions { environment: false, ..RemoteOptions::default() };
        for (url, word) in [
            ("nonsense", "not a URL"),
            ("ftp://host/x", "unknown scheme"),
            ("s3://", "bucket"),
            ("s3:///x", "bucket"),
            ("s3://key:secret@bucket/x", "no user or password"),
            ("s3://bucket/x?secret=1", "no query"),
            ("file://host/x", "three slashes"),
            ("file:///proc/no/such/folder", "cannot use the folder"),
        ] {
            let error = open_url(url, options()).unwrap_err();
            assert_eq!(error.kind(), RemoteErrorKind::InvalidUrl, "{url}");
            assert!(error.to_string().contains(word), "{url}: {error}");
            assert!(!error.to_string().contains("secret"), "{url}: {error}");
        }
        assert_eq!(open_url("memory:///a b", options()).unwrap_err().kind(), RemoteErrorKind::InvalidName);
    }

    #[test]
    fn a_store_that_is_not_built_in_names_its_feature() {
        for (scheme, feature) in [("gs", "gcp"), ("az", "azure"), ("https", "webdav"), ("webhdfs", "webhdfs")]
        {
            let error = unknown(scheme);
            assert_eq!(error.kind(), RemoteErrorKind::InvalidUrl);
            assert!(error.to_string().contains(&format!("the feature `{feature}`")), "{error}");
        }
        assert!(unknown("ftp").to_string().contains("unknown scheme"));
    }

    #[test]
    fn half_credentials_and_bad_endpoints_are_refused() {
        for (name, value) in [
            ("AWS_ACCESS_KEY_ID", "onlykey"),
            ("AWS_ENDPOINT", "http://127.0.0.1:9"),
            ("AWS_ENDPOINT", "nonsense"),
            ("AWS_ENDPOINT", "ftp://host"),
            ("AWS_ENDPOINT", "http://user:topsecret@host"),
            ("AWS_ENDPOINT", "http://host/#topsecret"),
            ("AWS_ENDPOINT", "http://host/?topsecret"),
            ("AWS_NO_SUCH", "no-such-value"),
        ] {
            let settings = BTreeMap::from([(name.to_owned(), value.to_owned())]);
            let options = RemoteOptions { environment: false, settings, ..RemoteOptions::default() };
            assert!(!format!("{options:?}").contains(value));
            let error = open_url("s3://bucket/prefix", options).unwrap_err();
            assert_eq!(error.kind(), RemoteErrorKind::InvalidUrl, "{name}: {error}");
            assert!(!error.to_string().contains("topsecret"), "{error}");
        }
    }
}
