//! The HTTP client below every S3 store: one `reqwest` client, a timeout for each attempt, and the rule which requests may be
//! repeated.
//!
//! ```text
//! object_store (signs, repeats) ──> Attempts (this file) ──> reqwest: pooled kept-alive connections, TCP_NODELAY
//! ```
//!
//! Invariants:
//! * An attempt ends: connecting, waiting for the first byte of the answer, and the pace of its body have a limit (`bounds.rs`).
//! * No body is longer than its kind of answer may be (`bounded_body.rs`).
//! * A put-if-absent is repeated only after an attempt that surely was not applied. `object_store` itself would repeat it
//!   after a lost answer and take its own success for another writer's.
//! * The text of an error answer goes no further than `refusal.rs`.
//! * Redirects are not followed: they would take a signed request to another host.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use object_store::ClientOptions;
use object_store::client::{
    ClientConfigKey, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use tokio::time::timeout;

use crate::bounded_body::{AnswerKind, BoundedBody, TooLong};
use crate::bounds::{LISTING, Pace};
use crate::failure::{innermost, is_tls, late};
use crate::options::RemoteOptions;
use crate::refusal::refuse;
use crate::resolver::Spread;
use crate::secrets::Carried;

/// A POST that completes an upload may have to wait until the server has put the parts together.
const POST_TIMEOUT: Duration = Duration::from_secs(60);
/// What makes a PUT one that must not overwrite, at S3 and Azure, and at Google.
const CREATE_HEADERS: [&str; 2] = ["if-none-match", "x-goog-if-generation-match"];
/// How we call ourselves.
pub(crate) const USER_AGENT: &str = concat!("aquifer/", env!("CARGO_PKG_VERSION"));
/// Idle connections kept for each host.
pub(crate) const IDLE_CONNECTIONS_MAX: usize = 128;

/// Makes the HTTP clients of one store.
#[derive(Debug)]
pub(crate) struct Connector {
    /// On this machine: a proxy set for the outside must not be asked.
    loopback: bool,
    mark: StoreMark,
    options: RemoteOptions,
}

/// How requests to the store are told from those that fetch credentials, which keep their statuses: `object_store` looks at them.
#[derive(Clone, Debug)]
pub(crate) enum StoreMark {
    /// They carry this header.
    Header(&'static str),
    /// They go to this host.
    #[cfg(feature = "gcp")]
    Host(String),
}

impl StoreMark {
    fn is_on(&self, request: &HttpRequest) -> bool {
        match self {
            Self::Header(name) => request.headers().contains_key(*name),
            #[cfg(feature = "gcp")]
            Self::Host(host) => request.uri().host() == Some(host),
        }
    }
}

impl Connector {
    pub(crate) fn new(endpoint: Option<&str>, options: &RemoteOptions) -> Self {
        let mark = StoreMark::Header("x-amz-content-sha256");
        Self { loopback: endpoint.is_some_and(is_loopback), mark, options: options.clone() }
    }

    #[cfg(any(feature = "gcp", feature = "azure"))]
    pub(crate) fn with_mark(self, mark: StoreMark) -> Self {
        Self { mark, ..self }
    }
}

pub(crate) fn is_loopback(endpoint: &str) -> bool {
    match url::Url::parse(endpoint).ok().as_ref().and_then(url::Url::host) {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

impl HttpConnector for Connector {
    fn connect(&self, settings: &ClientOptions) -> object_store::Result<HttpClient> {
        let allow_http = settings.get_config_value(&ClientConfigKey::AllowHttp).as_deref() == Some("true");
        let mut builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .https_only(!allow_http)
            .http1_only()
            .tcp_nodelay(true)
            .dns_resolver(Arc::new(Spread::default()))
            .connect_timeout(self.options.connect_timeout)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .redirect(reqwest::redirect::Policy::none());
        if self.loopback {
            builder = builder.no_proxy();
        } else if let Some(proxy) = settings.get_config_value(&ClientConfigKey::ProxyUrl) {
            builder = builder.proxy(reqwest::Proxy::all(proxy).map_err(cannot_start)?);
        }
        let client = builder.build().map_err(cannot_start)?;
        Ok(HttpClient::new(Attempts { client, mark: self.mark.clone(), options: self.options.clone() }))
    }
}

fn cannot_start(error: reqwest::Error) -> object_store::Error {
    object_store::Error::Generic { store: "HTTP", source: Box::new(error.without_url()) }
}

/// Sends single attempts.
struct Attempts {
    client: reqwest::Client,
    mark: StoreMark,
    options: RemoteOptions,
}

impl fmt::Debug for Attempts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Attempts")
    }
}

#[async_trait]
impl HttpService for Attempts {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let to_store = self.mark.is_on(&request);
        let create = CREATE_HEADERS.iter().any(|name| request.headers().contains_key(*name));
        let ranged = request.headers().get("range").map(|value| value.to_str().ok().and_then(range_of));
        let body_bytes = request.body().content_length() as u64;
        let kind = AnswerKind::of(&request, to_store);
        if kind == AnswerKind::Listing {
            let asked = LISTING.try_with(|listing| listing.ask(request.uri().query().unwrap_or("")));
            if let Ok(Err(what)) = asked {
                return Err(HttpError::new(HttpErrorKind::Unknown, Endless { what }));
            }
        }
        let wait = match request.method().as_str() {
            "POST" => POST_TIMEOUT,
            _ => self.options.attempt_timeout + self.options.transfer_time(body_bytes),
        };
        // Clones share; they are looked at when the answer is an error.
        let sent = to_store.then(|| (request.headers().clone(), request.uri().clone()));
        let pace = Pace::new(&self.options, wait);
        let answer = match timeout(wait, self.client.call(request)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) if is_tls(&error) => {
                // No repeat would help. `Unknown` is what object_store does not repeat.
                return Err(HttpError::new(HttpErrorKind::Unknown, TlsFailed { text: innermost(&error) }));
            }
            Ok(Err(error)) => return Err(if create { only_unsent(error) } else { error }),
            Err(_) => return Err(late(wait)),
        };
        if let Some((headers, uri)) = sent.filter(|_| !answer.status().is_success()) {
            let carried = Carried::of(&headers, uri.query().unwrap_or(""));
            return Err(refuse(answer, create, &carried).await);
        }
        let mut bytes_max = kind.bytes_max(&answer);
        if let Some(wanted) = ranged.filter(|_| to_store) {
            let (first, last, _) = check_range(&answer, wanted)?;
            bytes_max = (last - first).saturating_add(1);
        }
        let is_object = kind == AnswerKind::Object;
        let bound =
            |body| HttpResponseBody::new(BoundedBody::new(body, pace, TooLong { bytes_max, is_object }));
        Ok(answer.map(bound))
    }
}

/// A listing that does not end.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(crate) struct Endless {
    what: &'static str,
}

/// A create may be repeated only when no connection was made.
fn only_unsent(error: HttpError) -> HttpError {
    match error.kind() {
        HttpErrorKind::Connect => error,
        _ => HttpError::new(HttpErrorKind::Unknown, error),
    }
}

/// An answer to a ranged request says which range it holds, within the object, before anybody computes with it. Gives its
/// first and last byte and the object's length.
pub(crate) fn check_range<B>(
    answer: &hyper::Response<B>,
    wanted: Option<(u64, u64)>,
) -> Result<(u64, u64, u64), HttpError> {
    let wrong = |what: &'static str| Err(HttpError::new(HttpErrorKind::Decode, WrongRange { what }));
    if answer.status().as_u16() != 206 {
        return wrong("the server ignored the Range header");
    }
    let range = answer.headers().get("content-range").and_then(|value| value.to_str().ok());
    match range.and_then(content_range) {
        Some((first, last, bytes)) if first <= last && last < bytes => match wanted {
            // It may end early only where the object does.
            Some((start, end)) if first != start || last != end.min(bytes.saturating_sub(1)) => {
                wrong("the server answered another range")
            }
            _ => Ok((first, last, bytes)),
        },
        _ => wrong("the server's Content-Range header makes no sense"),
    }
}

/// First and last byte of `bytes=FIRST-LAST`; none for the other forms.
fn range_of(text: &str) -> Option<(u64, u64)> {
    let (first, last) = text.trim().strip_prefix("bytes=")?.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

/// First, last and all of `bytes FIRST-LAST/ALL`.
pub(crate) fn content_range(text: &str) -> Option<(u64, u64, u64)> {
    let (range, bytes) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?, bytes.parse().ok()?))
}

#[derive(Debug, thiserror::Error)]
#[error("{what}")]
struct WrongRange {
    what: &'static str,
}

/// TLS was refused before anything was sent.
#[derive(Debug, thiserror::Error)]
#[error(
    "TLS failed: {text}: check that the server speaks TLS on this port and that this machine trusts its certificate"
)]
pub(crate) struct TlsFailed {
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_endpoints_use_no_proxy() {
        for endpoint in ["http://127.0.0.1:9000", "http://localhost", "http://[::1]:80/x"] {
            assert!(is_loopback(endpoint), "{endpoint}");
        }
        for endpoint in ["http://10.0.0.1", "https://s3.example.org", "nonsense"] {
            assert!(!is_loopback(endpoint), "{endpoint}");
        }
    }
}
