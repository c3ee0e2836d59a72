//! Single requests to a WebDAV server.
//!
//! | status | kind | repeated |
//! |---|---|---|
//! | 404, 410 | `NotFound` | no |
//! | 401, 403 | `PermissionDenied` | no |
//! | 405, 501, redirects | `InvalidUrl`: no WebDAV there | no |
//! | 408, 423 (locked), 429, other 5xx but 507 | `Unavailable` | yes |
//! | others | `Other` | no |

use std::convert::Infallible;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::{Body, Frame};
use reqwest::header::{ACCEPT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, HeaderName, HeaderValue, RANGE};
use reqwest::{Method, RequestBuilder, Url};

use super::multistatus::{self, Found};
use crate::content::Content;
use crate::error::{RemoteError, RemoteErrorKind};
use crate::exchange::{Answer, Exchange, Fault};
use crate::name::encoded;

/// Longest answer to PROPFIND: about 100,000 entries of one folder.
const PROPFIND_BYTES_MAX: u64 = 64 << 20;
const DEPTH: HeaderName = HeaderName::from_static("depth");
const DESTINATION: HeaderName = HeaderName::from_static("destination");
const OVERWRITE: HeaderName = HeaderName::from_static("overwrite");

/// The server of one store.
pub(super) struct Server {
    pub(super) exchange: Exchange,
    /// Scheme, host and port.
    top: Url,
    /// User and password.
    credentials: Option<(String, String)>,
}

/// Why an attempt did not do what it should.
#[derive(Debug)]
pub(super) enum Trouble {
    Fault(Fault),
    Refused(u16),
    /// An answer that makes no sense.
    Nonsense(String),
    /// The answer holds other bytes than the range asked for.
    WrongRange(&'static str),
    /// The range reaches beyond the end of the object, which has that many bytes.
    Beyond(u64),
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Trouble {
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Fault(fault) => fault.is_passing(),
            Self::Refused(status) => kind_of(*status) == RemoteErrorKind::Unavailable,
            Self::WrongRange(_) => true,
            Self::Nonsense(_) | Self::Beyond(_) => false,
        }
    }

    pub(super) fn may_be_applied(&self) -> bool {
        match self {
            Self::Fault(fault) => fault.may_be_applied(),
            Self::Refused(status) => *status >= 500 && *status != 501,
            _ => true,
        }
    }

    pub(super) fn error(&self, operation: &'static str) -> RemoteError {
        match self {
            Self::Fault(fault) => fault.error(operation),
            Self::Refused(status) if kind_of(*status) == RemoteErrorKind::NotFound => {
                RemoteError::new(RemoteErrorKind::NotFound, operation)
            }
            Self::Refused(status) => {
                let error = RemoteError::new(kind_of(*status), operation).with_cause(text_of(*status));
                error.with_status(*status, None)
            }
            Self::Nonsense(what) => {
                RemoteError::new(RemoteErrorKind::Other, operation).with_cause(what.as_str())
            }
            Self::WrongRange(what) => {
                RemoteError::new(RemoteErrorKind::Truncated, operation).with_cause(*what)
            }
            Self::Beyond(_) => RemoteError::new(RemoteErrorKind::BadRange, operation),
        }
    }
}

fn kind_of(status: u16) -> RemoteErrorKind {
    match status {
        404 | 410 => RemoteErrorKind::NotFound,
        401 | 403 => RemoteErrorKind::PermissionDenied,
        300..=399 | 405 | 501 => RemoteErrorKind::InvalidUrl,
        408 | 423 | 429 => RemoteErrorKind::Unavailable,
        507 => RemoteErrorKind::Other,
        500.. => RemoteErrorKind::Unavailable,
        _ => RemoteErrorKind::Other,
    }
}

fn text_of(status: u16) -> String {
    let remedy = match status {
        401 => " (set AQUIFER_WEBDAV_USER and AQUIFER_WEBDAV_PASSWORD)",
        300..=399 => " (a redirect: use the URL that it leads to)",
        405 | 501 => {
            " (no WebDAV there: check the URL, and that the server allows PUT, MKCOL, MOVE, PROPFIND and DELETE)"
        }
        507 => " (the server has no room left)",
        _ => "",
    };
    format!("the server answered {status}{remedy}")
}

/// What a MKCOL found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Folder {
    Made,
    WasThere,
    NoParent,
}

impl Server {
    pub(super) fn new(exchange: Exchange, top: Url, credentials: Option<(String, String)>) -> Self {
        Self { exchange, top, credentials }
    }

    /// The URL of a path from the server's top, without a slash before it; of a folder with a slash at its end, as servers want.
    fn url(&self, path: &str) -> Url {
        let mut url = self.top.clone();
        url.set_path(&format!("/{}", encoded(path)));
        url
    }

    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.exchange.request(method, self.url(path)).header(ACCEPT_ENCODING, "identity");
        match &self.credentials {
            Some((user, password)) => request.basic_auth(user, Some(password)),
            None => request,
        }
    }

    async fn plain(&self, method: &str, path: &str) -> Result<Answer, Trouble> {
        Ok(self.exchange.send(self.request(method_of(method)?, path)).await?)
    }

    /// What is at a path; none when nothing is.
    pub(super) async fn look(&self, path: &str) -> Result<Option<Found>, Trouble> {
        let Some(found) = self.propfind(path, "0").await? else { return Ok(None) };
        found.into_iter().next().map(Some).ok_or_else(|| nonsense("PROPFIND", "names no resource"))
    }

    /// The entries of a folder; none when it does not exist.
    pub(super) async fn children(&self, folder: &str) -> Result<Option<Vec<Found>>, Trouble> {
        let path = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let Some(mut found) = self.propfind(&path, "1").await? else { return Ok(None) };
        let prefix = format!("/{path}");
        // Only what lies directly in it: anything else would be a name that the server makes up.
        found.retain_mut(|entry| match entry.path.strip_prefix(&prefix) {
            Some(name) if !name.is_empty() && !name.contains('/') => {
                entry.path = name.to_owned();
                true
            }
            _ => false,
        });
        Ok(Some(found))
    }

    async fn propfind(&self, path: &str, depth: &'static str) -> Result<Option<Vec<Found>>, Trouble> {
        let request = self
            .request(method_of("PROPFIND")?, path)
            .header(DEPTH, depth)
            .header(CONTENT_TYPE, "application/xml")
            .body(multistatus::PROPFIND);
        let answer = self.exchange.send(request).await?;
        match answer.status() {
            207 => {
                let body = answer.body(PROPFIND_BYTES_MAX).await?;
                multistatus::parse(&body).map(Some).map_err(|reason| nonsense("PROPFIND", reason))
            }
            404 | 410 => Ok(None),
            status => Err(Trouble::Refused(status)),
        }
    }

    pub(super) async fn make_folder(&self, path: &str) -> Result<Folder, Trouble> {
        match self.plain("MKCOL", &format!("{path}/")).await?.status() {
            200..=299 => Ok(Folder::Made),
            405 => Ok(Folder::WasThere),
            404 | 409 => Ok(Folder::NoParent),
            status => Err(Trouble::Refused(status)),
        }
    }

    pub(super) async fn put(&self, path: &str, content: Content) -> Result<(), Trouble> {
        let request = self.request(Method::PUT, path);
        let answer = match content.is_empty() {
            true => self.exchange.send(request.body(reqwest::Body::wrap(Nothing))).await?,
            false => self.exchange.send_content(request, content).await?,
        };
        written(&answer)
    }

    /// Gives a resource another path. `from` and `to` end with a slash for folders.
    pub(super) async fn rename(&self, from: &str, to: &str, overwrite: bool) -> Result<(), Trouble> {
        let destination = HeaderValue::from_str(self.url(to).as_str())
            .map_err(|_| Trouble::Nonsense("the URL is no header".to_owned()))?;
        let request = self
            .request(method_of("MOVE")?, from)
            .header(DESTINATION, destination)
            .header(OVERWRITE, if overwrite { "T" } else { "F" });
        let answer = self.exchange.send(request).await?;
        // 207 tells of parts that could not be moved.
        written(&answer)
    }

    /// Deletes a resource with all in it. True when it was there.
    pub(super) async fn delete(&self, path: &str) -> Result<bool, Trouble> {
        match self.plain("DELETE", path).await?.status() {
            200 | 202 | 204 => Ok(true),
            404 | 410 => Ok(false),
            status => Err(Trouble::Refused(status)),
        }
    }

    /// The length of a file; none when there is none, as for a folder.
    pub(super) async fn length(&self, path: &str) -> Result<Option<u64>, Trouble> {
        match self.look(path).await? {
            Some(Found { is_folder: false, bytes: Some(bytes), .. }) => Ok(Some(bytes)),
            Some(Found { is_folder: false, .. }) => Err(nonsense("PROPFIND", "tells no getcontentlength")),
            _ => Ok(None),
        }
    }

    /// Reads a whole file of at most `bytes_max` bytes; none when there is none.
    pub(super) async fn get(&self, path: &str, bytes_max: u64) -> Result<Option<bytes::Bytes>, Trouble> {
        let answer = self.exchange.send(self.request(Method::GET, path)).await?;
        match answer.status() {
            200 => {}
            404 | 410 => return Ok(None),
            // What servers answer for a folder.
            207 | 405 => return Ok(None),
            status => return Err(Trouble::Refused(status)),
        }
        // An answer that just ends when the connection does could be cut off anywhere.
        let Some(announced) = answer.announced() else {
            return Err(nonsense("GET", "does not announce its length"));
        };
        if announced > bytes_max {
            return Err(Trouble::Beyond(announced));
        }
        Ok(Some(answer.exactly(announced).await?))
    }

    /// Reads exactly a range, which is not empty; none when there is no file.
    pub(super) async fn get_range(
        &self,
        path: &str,
        range: &Range<u64>,
    ) -> Result<Option<bytes::Bytes>, Trouble> {
        let wanted = range.end.saturating_sub(range.start);
        let header = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
        let answer = self.exchange.send(self.request(Method::GET, path).header(RANGE, header)).await?;
        match answer.status() {
            206 => {}
            404 | 410 | 207 | 405 => return Ok(None),
            416 => {
                let bytes = self.length(path).await?;
                return match bytes {
                    Some(bytes) if bytes < range.end => Err(Trouble::Beyond(bytes)),
                    Some(_) => Err(Trouble::WrongRange("the server refused a range within the object")),
                    None => Ok(None),
                };
            }
            200 => return self.beyond_or(path, range, "the server ignored the Range header").await,
            status => return Err(Trouble::Refused(status)),
        }
        match answer.header(&CONTENT_RANGE).and_then(crate::http_client::content_range) {
            Some((first, last, bytes)) if first == range.start && last < bytes && bytes < range.end => {
                Err(Trouble::Beyond(bytes))
            }
            Some((first, last, bytes))
                if first == range.start && last == range.end.saturating_sub(1) && last < bytes =>
            {
                Ok(Some(answer.exactly(wanted).await?))
            }
            Some(_) => Err(Trouble::WrongRange("the server answered another range")),
            None => Err(Trouble::WrongRange("the server's Content-Range header makes no sense")),
        }
    }

    /// A range beyond the end may be ignored; within the object it must not be.
    async fn beyond_or(
        &self,
        path: &str,
        range: &Range<u64>,
        what: &'static str,
    ) -> Result<Option<bytes::Bytes>, Trouble> {
        match self.length(path).await? {
            Some(bytes) if bytes < range.end => Err(Trouble::Beyond(bytes)),
            _ => Err(Trouble::WrongRange(what)),
        }
    }
}

/// A body of no bytes that does not say so before: nginx answers 500 to a PUT with `Content-Length: 0`.
struct Nothing;

impl Body for Nothing {
    type Data = bytes::Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, Infallible>>> {
        Poll::Ready(None)
    }
}

/// An answer that says that it was done, all of it.
pub(super) fn written(answer: &Answer) -> Result<(), Trouble> {
    match answer.status() {
        200 | 201 | 204 => Ok(()),
        status => Err(Trouble::Refused(status)),
    }
}

fn method_of(name: &str) -> Result<Method, Trouble> {
    Method::from_bytes(name.as_bytes()).map_err(|_| Trouble::Nonsense(format!("{name} is no method")))
}

fn nonsense(request: &str, reason: &str) -> Trouble {
    Trouble::Nonsense(format!("the server's answer to {request} cannot be used: {reason}"))
}
