//! Google Cloud Storage and Azure Blob Storage: `gs://bucket/prefix` and `az://container/prefix`.
//!
//! | URL | settings and variables | put-if-absent |
//! |---|---|---|
//! | `gs://` | `GOOGLE_*`: `GOOGLE_APPLICATION_CREDENTIALS`, `GOOGLE_SERVICE_ACCOUNT`, `GOOGLE_BASE_URL`, … | `x-goog-if-generation-match: 0` |
//! | `az://` | `AZURE_*`: `AZURE_STORAGE_ACCOUNT_NAME`, `AZURE_STORAGE_ACCOUNT_KEY`, `AZURE_STORAGE_SAS_TOKEN`, `AZURE_STORAGE_ENDPOINT`, … | `If-None-Match: *` |
//!
//! Without any credentials the clients ask the cloud's own address for them, as on a machine of that cloud.

use std::str::FromStr;
use std::sync::Arc;

#[cfg(feature = "azure")]
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
#[cfg(feature = "gcp")]
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use url::Url;

use crate::adapter::{Adapter, ListOrder, Stores};
use crate::endpoint::check_endpoint;
use crate::error::{RemoteError, RemoteErrorKind};
use crate::http_client::{Connector, StoreMark};
use crate::location::Location;
use crate::options::RemoteOptions;
use crate::store::Remote;

/// The host of Google's storage.
#[cfg(feature = "gcp")]
const GOOGLE_HOST: &str = "storage.googleapis.com";

/// Opens the bucket that a `gs` URL names.
#[cfg(feature = "gcp")]
pub(crate) fn open_google(
    location: &Location,
    options: &RemoteOptions,
) -> Result<Arc<dyn Remote>, RemoteError> {
    let bucket = location.bucket("no bucket: gs://bucket/prefix")?;
    let mut builder = GoogleCloudStorageBuilder::new();
    for (key, value) in settings::<GoogleConfigKey>(options, "GOOGLE_")? {
        builder = builder.with_config(key, value);
    }
    let endpoint = builder.get_config_value(&GoogleConfigKey::BaseUrl);
    let endpoint = endpoint.map(|endpoint| check_endpoint("GOOGLE_BASE_URL", &endpoint)).transpose()?;
    let host = endpoint.as_ref().and_then(Url::host_str).unwrap_or(GOOGLE_HOST);
    let connector = Connector::new(endpoint.as_ref().map(Url::as_str), options)
        .with_mark(StoreMark::Host(host.to_owned()));
    let builder = builder.with_bucket_name(bucket).with_http_connector(connector);
    let build = |retry| {
        let built = builder.clone().with_retry(retry).build();
        built.map_err(|error| cannot_open(&error, "set the GOOGLE_* variables"))
    };
    let (store, uploads) = (Arc::new(build(options.retry())?), Arc::new(build(options.upload_retry())?));
    let stores = Stores { store, uploads, reader: None };
    let url_shown = shown(location, endpoint.as_ref());
    Ok(Arc::new(Adapter::with_stores(stores, location.path(), &url_shown, ListOrder::Ascending, options)?))
}

/// Opens the container that an `az` URL names.
#[cfg(feature = "azure")]
pub(crate) fn open_azure(
    location: &Location,
    options: &RemoteOptions,
) -> Result<Arc<dyn Remote>, RemoteError> {
    let container = location.bucket("no container: az://container/prefix")?;
    let mut builder = MicrosoftAzureBuilder::new();
    for (key, value) in settings::<AzureConfigKey>(options, "AZURE_")? {
        builder = builder.with_config(key, value);
    }
    let endpoint = builder.get_config_value(&AzureConfigKey::Endpoint);
    let endpoint =
        endpoint.map(|endpoint| check_endpoint("AZURE_STORAGE_ENDPOINT", &endpoint)).transpose()?;
    if endpoint.as_ref().is_some_and(|endpoint| endpoint.scheme() == "http") {
        builder = builder.with_allow_http(true);
    }
    let connector = Connector::new(endpoint.as_ref().map(Url::as_str), options)
        .with_mark(StoreMark::Header("x-ms-version"));
    let builder = builder.with_container_name(container).with_http_connector(connector);
    let build = |retry| {
        let built = builder.clone().with_retry(retry).build();
        built.map_err(|error| cannot_open(&error, "set the AZURE_* variables"))
    };
    let (store, uploads) = (Arc::new(build(options.retry())?), Arc::new(build(options.upload_retry())?));
    let stores = Stores { store, uploads, reader: None };
    let url_shown = shown(location, endpoint.as_ref());
    Ok(Arc::new(Adapter::with_stores(stores, location.path(), &url_shown, ListOrder::Ascending, options)?))
}

fn invalid(cause: &str) -> RemoteError {
    RemoteError::new(RemoteErrorKind::InvalidUrl, "open").with_cause(cause)
}

fn cannot_open(error: &object_store::Error, remedy: &str) -> RemoteError {
    // The builders' errors may repeat a key that they cannot read: only what kind of error it is gets out.
    let text = error.to_string();
    let text = text.split([':', '"']).next().unwrap_or("");
    invalid(&format!("{text}: {remedy}"))
}

/// The environment's settings, overridden by the options'.
fn settings<K: FromStr>(options: &RemoteOptions, prefix: &str) -> Result<Vec<(K, String)>, RemoteError> {
    let mut settings = Vec::new();
    if options.environment {
        for (name, value) in std::env::vars_os() {
            let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else { continue };
            // Variables of other tools are none of ours.
            if name.starts_with(prefix)
                && let Ok(key) = name.to_ascii_lowercase().parse()
            {
                settings.push((key, value.to_owned()));
            }
        }
    }
    for (name, value) in &options.settings {
        let key = name.to_ascii_lowercase().parse();
        settings.push((key.map_err(|_| invalid(&format!("unknown setting {name}")))?, value.clone()));
    }
    Ok(settings)
}

fn shown(location: &Location, endpoint: Option<&Url>) -> String {
    match endpoint {
        Some(endpoint) => format!("{} at {}", location.shown(), endpoint.as_str().trim_end_matches('/')),
        None => location.shown(),
    }
}
