//! The HTTP client below every S3 store: one `reqwest` client, a timeout for each attempt, and the rule which requests may be
//! repeated.
//!
//! ```text
//! object_store (signs, repeats) ──> Attempts (this file) ──> reqwest: pooled kept-alive connections, TCP_NODELAY
//! ```
//!
//! Invariants:
//! * An attempt ends: connecting, waiting for the first byte of the answer, and the pace of its body have a limit (`bounds.rs`).
//! * No body is longer than its kind of answer may be: `object_store` reads some of them whole.
//! * A put-if-absent is repeated only after an attempt that surely was not applied. `object_store` itself would repeat it
//!   after a lost answer and take its own success for another writer's.
//! * The text of an error answer never leaves this file, but for S3's `Code` and `Message`: bodies repeat signed headers.
//! * Redirects are not followed: they would take a signed request to another host.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use object_store::ClientOptions;
use object_store::client::{
    ClientConfigKey, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use crate::bounds::{LIST_PAGE_BYTES_MAX, LISTING, PLAIN_BYTES_MAX, Pace, REFUSAL_BYTES_MAX, REFUSAL_WAIT};
use crate::error::RemoteErrorKind;
use crate::exchange::{innermost, is_tls};
use crate::options::RemoteOptions;
use crate::resolver::Spread;
use crate::secrets::Carried;

/// Longest message taken out of one.
const MESSAGE_CHARS_MAX: usize = 200;
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
    Host(String),
}

impl StoreMark {
    fn is_on(&self, request: &HttpRequest) -> bool {
        match self {
            Self::Header(name) => request.headers().contains_key(*name),
            Self::Host(host) => request.uri().host() == Some(host),
        }
    }
}

impl Connector {
    pub(crate) fn new(endpoint: Option<&str>, options: &RemoteOptions) -> Self {
        let mark = StoreMark::Header("x-amz-content-sha256");
        Self { loopback: endpoint.is_some_and(is_loopback), mark, options: options.clone() }
    }

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

/// Kinds of answers, by how long they may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AnswerKind {
    Object,
    Listing,
    Plain,
}

impl AnswerKind {
    fn of(request: &HttpRequest, to_store: bool) -> Self {
        if !to_store || request.method().as_str() != "GET" {
            return Self::Plain;
        }
        let is_list = |parameter| matches!(parameter, "list-type=2" | "comp=list");
        if request.uri().query().is_some_and(|query| query.split('&').any(is_list)) {
            return Self::Listing;
        }
        Self::Object
    }

    /// Of an object, what the answer announces: `object_store` takes none without that, and a chunked body may go on after it.
    fn bytes_max(self, answer: &HttpResponse) -> u64 {
        match self {
            Self::Object => {
                let announced = answer.headers().get("content-length").and_then(|value| value.to_str().ok());
                announced.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
            }
            Self::Listing => LIST_PAGE_BYTES_MAX,
            Self::Plain => PLAIN_BYTES_MAX,
        }
    }
}

/// An answer has more bytes than one of its kind may have.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the server's answer goes on after {bytes_max} bytes: check that it is a store of this kind")]
pub(crate) struct TooLong {
    bytes_max: u64,
    /// It should have been an object's bytes.
    pub(crate) is_object: bool,
}

/// A listing that does not end.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(crate) struct Endless {
    what: &'static str,
}

pub(crate) fn late(wait: Duration) -> HttpError {
    HttpError::new(HttpErrorKind::Timeout, Late { wait })
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

#[derive(Debug, thiserror::Error)]
#[error("no byte from the server for {:.1} s, or too few in that time", wait.as_secs_f64())]
struct Late {
    wait: Duration,
}

/// An answer of the store that is no success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    /// S3's error code, "" when the answer has none.
    pub(crate) code: String,
    pub(crate) message: String,
    /// How long the server asks to be left alone.
    pub(crate) retry_after: Option<Duration>,
}

impl Refusal {
    /// True when the name of a create is taken.
    pub(crate) fn is_taken(&self) -> bool {
        self.status == 412 || (self.status == 409 && self.code == "BlobAlreadyExists")
    }

    /// True when the server says that it did not even try.
    pub(crate) fn surely_not_applied(&self) -> bool {
        matches!(self.status, 409 | 429) && !self.is_taken()
            || (self.status == 503 && self.code == "SlowDown")
    }

    /// True when the server failed while it may have been at work.
    pub(crate) fn may_be_applied(&self) -> bool {
        self.status >= 500 && self.status != 501 && !self.surely_not_applied()
    }

    fn is_passing(&self) -> bool {
        self.status >= 500 && self.status != 501
            || matches!(self.status, 408 | 429)
            || self.code == "RequestTimeout"
    }

    pub(crate) fn kind(&self) -> RemoteErrorKind {
        let code = self.code.as_str();
        match self.status {
            404 if code == "NoSuchBucket" => RemoteErrorKind::InvalidUrl,
            // The server forgot it (a restart): the upload can be started anew.
            404 if code == "NoSuchUpload" => RemoteErrorKind::Unavailable,
            404 => RemoteErrorKind::NotFound,
            401 | 403 => RemoteErrorKind::PermissionDenied,
            400 if matches!(code, "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired") => {
                RemoteErrorKind::PermissionDenied
            }
            // A wrong region or endpoint.
            301 | 302 | 307 | 308 => RemoteErrorKind::InvalidUrl,
            400 if matches!(code, "AuthorizationHeaderMalformed" | "InvalidBucketName") => {
                RemoteErrorKind::InvalidUrl
            }
            409 => RemoteErrorKind::Unavailable,
            416 => RemoteErrorKind::BadRange,
            501 => RemoteErrorKind::Unsafe,
            _ if self.is_passing() => RemoteErrorKind::Unavailable,
            _ => RemoteErrorKind::Other,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the server answered {}", self.status)?;
        if !self.code.is_empty() {
            write!(formatter, " {}", self.code)?;
        }
        if !self.message.is_empty() {
            write!(formatter, ": {}", self.message)?;
        }
        match self.status {
            301 | 302 | 307 | 308 => write!(formatter, " (a redirect: check AWS_REGION and AWS_ENDPOINT)"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Refusal {}

/// Turns an error answer into an error whose kind tells `object_store` whether to repeat.
pub(crate) async fn refuse<B: Body<Data = Bytes>>(
    answer: hyper::Response<B>,
    create: bool,
    carried: &Carried,
) -> HttpError {
    let status = answer.status().as_u16();
    let retry_after = answer.headers().get("retry-after").and_then(|value| value.to_str().ok());
    let retry_after = retry_after.and_then(retry_after_of);
    let mut body = Vec::new();
    // What has come by then is looked at.
    let _ = timeout(REFUSAL_WAIT, head_of(answer.into_body(), &mut body)).await;
    let text = String::from_utf8_lossy(&body);
    let refusal = Refusal {
        status,
        code: element(&text, "Code", carried).unwrap_or_default(),
        message: element(&text, "Message", carried).unwrap_or_default(),
        retry_after,
    };
    let repeat = if create { refusal.surely_not_applied() } else { refusal.is_passing() };
    HttpError::new(if repeat { HttpErrorKind::Request } else { HttpErrorKind::Unknown }, refusal)
}

/// Reads the first bytes of a body, as far as it can be read.
async fn head_of(body: impl Body<Data = Bytes>, bytes: &mut Vec<u8>) {
    let mut body = Box::pin(body);
    while let Some(Ok(frame)) = std::future::poll_fn(|context| body.as_mut().poll_frame(context)).await {
        if let Ok(data) = frame.into_data() {
            let room = REFUSAL_BYTES_MAX.saturating_sub(bytes.len());
            bytes.extend_from_slice(data.get(..room.min(data.len())).unwrap_or_default());
            if room <= data.len() {
                break;
            }
        }
    }
}

/// The text of the first XML element of this name, printable characters only.
fn element(xml: &str, name: &str, carried: &Carried) -> Option<String> {
    let start = xml.find(&format!("<{name}>"))? + name.len() + 2;
    let rest = xml.get(start..)?;
    let text = rest.get(..rest.find("</")?)?;
    let text: String = text.chars().filter(|character| !character.is_control()).collect();
    // Masked before it is cut: what is left of a cut secret is hard to know.
    Some(carried.masked(&text).chars().take(MESSAGE_CHARS_MAX).collect())
}

/// The seconds of a `Retry-After` header; its other form, a date, is passed over.
pub(crate) fn retry_after_of(text: &str) -> Option<Duration> {
    text.trim().parse().ok().map(Duration::from_secs)
}

/// A body that fails when it comes too slowly or has too many bytes.
struct BoundedBody {
    body: HttpResponseBody,
    pace: Pace,
    bytes_left: u64,
    too_long: TooLong,
    timer: Pin<Box<Sleep>>,
}

impl BoundedBody {
    fn new(body: HttpResponseBody, mut pace: Pace, too_long: TooLong) -> Self {
        pace.came(0);
        let timer = Box::pin(sleep_until(pace.until()));
        Self { body, pace, bytes_left: too_long.bytes_max, too_long, timer }
    }

    fn take(&mut self, frame: &Frame<Bytes>) -> Result<(), HttpError> {
        let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
        let left = self.bytes_left.checked_sub(bytes);
        self.bytes_left = left.ok_or_else(|| HttpError::new(HttpErrorKind::Decode, self.too_long.clone()))?;
        self.pace.came(bytes);
        Ok(())
    }
}

impl Body for BoundedBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        // A body that is always ready, a few bytes at a time, must not outrun the clock either.
        let until = self.pace.until();
        if until <= Instant::now() {
            return Poll::Ready(Some(Err(late(self.pace.elapsed()))));
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(match frame {
                Some(Ok(frame)) => Some(self.take(&frame).map(|()| frame)),
                other => other,
            });
        }
        self.timer.as_mut().reset(until);
        self.timer.as_mut().poll(context).map(|()| Some(Err(late(self.pace.elapsed()))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_message_are_all_that_is_kept() {
        let xml = "<Error><Code>SignatureDoesNotMatch</Code><Message>no\nmatch</Message><CanonicalRequest>SECRET</CanonicalRequest></Error>";
        assert_eq!(element(xml, "Code", &Carried::default()).unwrap(), "SignatureDoesNotMatch");
        assert_eq!(element(xml, "Message", &Carried::default()).unwrap(), "nomatch");
        assert_eq!(element("<Code>", "Code", &Carried::default()), None);
        assert_eq!(element("", "Code", &Carried::default()), None);
    }

    #[test]
    fn a_create_is_repeated_only_when_surely_not_applied() {
        let refusal = |status, code: &str| Refusal {
            status,
            code: code.to_owned(),
            message: String::new(),
            retry_after: None,
        };
        assert!(refusal(503, "SlowDown").surely_not_applied());
        assert!(refusal(409, "ConditionalRequestConflict").surely_not_applied());
        for (status, code) in
            [(500, "InternalError"), (503, ""), (502, ""), (504, ""), (412, "PreconditionFailed")]
        {
            assert!(!refusal(status, code).surely_not_applied(), "{status} {code}");
        }
    }

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
