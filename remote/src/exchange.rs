//! One HTTP request and its answer, for the protocols that no library speaks for us (WebHDFS, WebDAV).
//!
//! ```text
//! webhdfs, webdav ──> Exchange::send ──> Answer { status, headers } ──> body(bytes_max) ──> exactly those bytes, or a Fault
//! ```
//!
//! Invariants:
//! * An attempt ends: connecting, waiting for the first byte of the answer, and the pace of its body have a limit (`bounds.rs`).
//! * No answer takes more memory than its caller allows.
//! * A fault says whether the request may have reached the server: [`Fault::NotSent`] surely did not.
//! * The text of a fault holds no URL, no header and no body: they may carry tokens.
//! * Redirects are never followed here: the caller looks at where they lead first.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderName};
use reqwest::{Client, Method, RequestBuilder, Response, Url};
use tokio::time::{Instant, timeout, timeout_at};

use crate::bounds::Pace;
#[cfg(feature = "webhdfs")]
use crate::bounds::{REFUSAL_BYTES_MAX, REFUSAL_WAIT};
use crate::content::Content;
use crate::error::{RemoteError, RemoteErrorKind};
use crate::failure::{innermost, is_tls};
use crate::http_client::{IDLE_CONNECTIONS_MAX, is_loopback};
use crate::options::RemoteOptions;
use crate::repeats::Repeats;
use crate::resolver::Spread;
use crate::runtime::moved;

/// Memory that is set aside for a body before its bytes are there.
const BODY_RESERVED_BYTES_MAX: usize = 1 << 20;

/// Sends the requests of one store.
pub(crate) struct Exchange {
    client: Client,
    options: RemoteOptions,
}

impl fmt::Debug for Exchange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Exchange")
    }
}

/// Why there is no usable answer.
#[derive(Debug)]
pub(crate) enum Fault {
    /// No connection was made: the request surely was not applied.
    NotSent(String),
    /// The server's certificate or its TLS is refused. Nothing was sent, and a repeat would not help.
    Tls(String),
    /// Sent, at least in part, and no whole answer came.
    Lost(String),
    /// The body has another number of bytes than announced or asked for.
    Length { expected: u64, found: u64 },
    /// The body has more bytes than such an answer may have. A repeat would not help.
    TooLong { bytes_max: u64 },
}

impl Fault {
    /// True when another try may go better.
    pub(crate) fn is_passing(&self) -> bool {
        !matches!(self, Self::Tls(_) | Self::TooLong { .. })
    }

    /// True when the server may have applied the request.
    pub(crate) fn may_be_applied(&self) -> bool {
        !matches!(self, Self::NotSent(_) | Self::Tls(_))
    }

    /// The error of an operation that ends with this fault.
    pub(crate) fn error(&self, operation: &'static str) -> RemoteError {
        let error = |kind, text: &str| RemoteError::new(kind, operation).with_cause(text);
        match self {
            Self::NotSent(text) | Self::Lost(text) => error(RemoteErrorKind::Unavailable, text),
            Self::Tls(text) => error(RemoteErrorKind::InvalidUrl, text),
            Self::Length { expected, found } => {
                RemoteError::new(RemoteErrorKind::Truncated, operation).with_bytes(*expected, *found)
            }
            Self::TooLong { bytes_max } => {
                let text = format!(
                    "the server's answer goes on after {bytes_max} bytes: check that it is a store of this kind"
                );
                error(RemoteErrorKind::Other, &text)
            }
        }
    }
}

impl Exchange {
    /// A client for the server at `endpoint`.
    pub(crate) fn new(endpoint: &Url, options: &RemoteOptions) -> Result<Self, RemoteError> {
        let mut builder = Client::builder()
            .user_agent(concat!("aquifer/", env!("CARGO_PKG_VERSION")))
            .https_only(endpoint.scheme() == "https")
            .http1_only()
            .tcp_nodelay(true)
            .dns_resolver(Arc::new(Spread::default()))
            .connect_timeout(options.connect_timeout)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .retry(reqwest::retry::never())
            .redirect(reqwest::redirect::Policy::none());
        if is_loopback(endpoint.as_str()) {
            // A proxy set for the outside must not be asked.
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| {
            RemoteError::new(RemoteErrorKind::Other, "open")
                .with_cause(format!("cannot start the HTTP client: {}", innermost(&error.without_url())))
        })?;
        Ok(Self { client, options: options.clone() })
    }

    /// Begins a request; headers and a small body may be added to it.
    pub(crate) fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.client.request(method, url)
    }

    /// Sends a request without a body, or with what was put into it, and waits for the head of the answer.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Answer, Fault> {
        self.send_within(request, self.options.attempt_timeout).await
    }

    /// Sends a request with `content` as its body.
    pub(crate) async fn send_content(
        &self,
        request: RequestBuilder,
        content: Content,
    ) -> Result<Answer, Fault> {
        let wait = self.options.attempt_timeout + self.options.transfer_time(content.bytes());
        self.send_within(request.body(reqwest::Body::wrap(ContentBody::new(content))), wait).await
    }

    /// Sends a request whose answer may take `wait`.
    pub(crate) async fn send_within(&self, request: RequestBuilder, wait: Duration) -> Result<Answer, Fault> {
        let mut pace = Pace::new(&self.options, wait);
        match timeout(wait, request.send()).await {
            Ok(Ok(response)) => {
                pace.came(0);
                Ok(Answer { response, pace })
            }
            Ok(Err(error)) => Err(fault(&error)),
            Err(_) => Err(Fault::Lost(silence(wait))),
        }
    }

    /// The repeats of one operation.
    pub(crate) fn repeats(&self) -> Repeats {
        Repeats::new(&self.options)
    }
}

/// The head of an answer, its body still to come.
pub(crate) struct Answer {
    response: Response,
    pace: Pace,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// A header as text; none when it is absent or no text.
    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        text_of(self.response.headers(), name)
    }

    /// The length of the body as announced.
    pub(crate) fn announced(&self) -> Option<u64> {
        self.header(&CONTENT_LENGTH)?.trim().parse().ok()
    }

    /// Reads the whole body.
    ///
    /// # Errors
    /// [`Fault::TooLong`] when it has more than `bytes_max`, before they are read where the server announces it.
    pub(crate) async fn body(mut self, bytes_max: u64) -> Result<Bytes, Fault> {
        let announced = self.announced();
        if announced.is_some_and(|found| found > bytes_max) {
            return Err(Fault::TooLong { bytes_max });
        }
        let reserved = usize::try_from(announced.unwrap_or(0)).unwrap_or(0).min(BODY_RESERVED_BYTES_MAX);
        let mut bytes = BytesMut::with_capacity(reserved);
        while let Some(chunk) = self.chunk().await? {
            let found = (bytes.len() as u64).saturating_add(chunk.len() as u64);
            if found > bytes_max {
                return Err(Fault::TooLong { bytes_max });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    }

    /// Reads exactly `expected` bytes.
    pub(crate) async fn exactly(self, expected: u64) -> Result<Bytes, Fault> {
        let announced = self.announced();
        match self.body(expected).await {
            Ok(bytes) if bytes.len() as u64 == expected => Ok(bytes),
            Ok(bytes) => Err(Fault::Length { expected, found: bytes.len() as u64 }),
            Err(Fault::TooLong { .. }) => {
                let found = announced.filter(|&found| found > expected).unwrap_or(expected.saturating_add(1));
                Err(Fault::Length { expected, found })
            }
            Err(fault) => Err(fault),
        }
    }

    /// The beginning of an error answer, as far as it can be read.
    #[cfg(feature = "webhdfs")]
    pub(crate) async fn refusal(mut self) -> String {
        let mut bytes = BytesMut::new();
        let until = Instant::now() + REFUSAL_WAIT;
        while let Ok(Ok(Some(chunk))) = timeout_at(until, self.chunk()).await {
            bytes.extend_from_slice(&chunk);
            if bytes.len() >= REFUSAL_BYTES_MAX {
                bytes.truncate(REFUSAL_BYTES_MAX);
                break;
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, Fault> {
        let until = self.pace.until();
        // A body that is always ready, a few bytes at a time, must not outrun the clock either.
        if until <= Instant::now() {
            return Err(Fault::Lost(silence(self.pace.elapsed())));
        }
        match timeout_at(until, self.response.chunk()).await {
            Ok(Ok(chunk)) => {
                let bytes = chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
                self.pace.came(bytes);
                moved(bytes);
                Ok(chunk)
            }
            Ok(Err(error)) => Err(Fault::Lost(format!("the answer broke off: {}", innermost(&error)))),
            Err(_) => Err(Fault::Lost(silence(self.pace.elapsed()))),
        }
    }
}

fn text_of<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn silence(wait: Duration) -> String {
    format!("no byte from the server for {:.1} s, or too few in that time", wait.as_secs_f64())
}

fn fault(error: &reqwest::Error) -> Fault {
    let text = innermost(error);
    if !error.is_connect() {
        return Fault::Lost(format!("connection broke: {text}"));
    }
    if is_tls(error) {
        return Fault::Tls(format!(
            "TLS failed: {text}: check that the server speaks TLS on this port and that this machine trusts its certificate"
        ));
    }
    Fault::NotSent(format!("cannot connect: {text}"))
}

/// The chunks of an object as the body of a request, with their length.
struct ContentBody {
    chunks: std::vec::IntoIter<Bytes>,
    bytes_left: u64,
}

impl ContentBody {
    fn new(content: Content) -> Self {
        let bytes_left = content.bytes();
        Self { chunks: content.into_chunks().into_iter(), bytes_left }
    }
}

impl Body for ContentBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let chunk = self.chunks.next();
        if let Some(chunk) = &chunk {
            self.bytes_left = self.bytes_left.saturating_sub(chunk.len() as u64);
        }
        Poll::Ready(chunk.map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes_left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes_left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_tell_what_surely_did_not_happen() {
        assert!(!Fault::NotSent(String::new()).may_be_applied());
        assert!(!Fault::Tls(String::new()).may_be_applied());
        assert!(Fault::Lost(String::new()).may_be_applied());
        assert!(Fault::Length { expected: 1, found: 2 }.may_be_applied());
    }

    #[test]
    fn a_body_is_as_long_as_its_content() {
        let content: Content = ["one", "two"].into_iter().map(Bytes::from).collect();
        let body = ContentBody::new(content);
        assert_eq!(body.size_hint().exact(), Some(6));
        assert!(!body.is_end_stream());
        assert!(ContentBody::new(Content::new()).is_end_stream());
    }
}
