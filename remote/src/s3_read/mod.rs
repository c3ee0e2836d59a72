//! The short way of a ranged read to an S3 server: a request prepared once for each object, on a connection of our own.
//!
//! ```text
//! get_range ── prepared request (URL signed for 15 min, parsed) ── kept-alive connection ── checks ──> exactly those bytes
//!           └─ refused, or no such request possible ──> object_store, which signs each request
//! ```
//!
//! Why: a small read spends as much on its signature, on its URL and on the layers of a general client as on HTTP itself.
//! Used for endpoints with `http://` that are reached without a proxy. TLS costs more than what this saves, so `https://` endpoints
//! stay with `reqwest`, as do stores whose reads need more than a signature (customer's keys of encryption, S3 Express, none at all).
//!
//! Invariants:
//! * The checks and the errors are those of the ordinary way (`http_client.rs`).
//! * Who is refused asks once more in the ordinary way, and that answer counts: a prepared request may outlive the credentials
//!   that signed it. A store that keeps refusing what it then grants is asked in the ordinary way only.
//! * A connection that turns out closed before an answer was kept from an earlier request: the read goes to a new one, once.
//! * No prepared URL enters an error or `Debug` output: it holds a signature, and maybe a session's token.

mod prepared;
mod line;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::Response;
use hyper::header::{HOST, HeaderMap, HeaderValue, RANGE, USER_AGENT};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::client::{ClientConfigKey, HttpError, HttpErrorKind};
use object_store::path::Path;
use object_store::signer::{Method, Signer};
use tokio::time::{Instant, timeout};

use self::line::{Answer, Call, Line, Lines};
use self::prepared::{Cache, HOLDS, Prepared};
use crate::bounds::Pace;
use crate::failure::late;
use crate::http_client::{self, check_range, is_loopback};
use crate::name::ObjectName;
use crate::options::RemoteOptions;
use crate::refusal::refuse;
use crate::resolver::Spread;
use crate::secrets::Carried;

/// A request that is refused at this age was not too old.
const FRESH: Duration = Duration::from_secs(60);
/// So often in a row a store may refuse what it then grants.
const REFUSALS_MAX: u32 = 8;
/// Where `reqwest` looks for proxies.
const PROXY_VARIABLES: [&str; 4] = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];

/// Reads ranges of one store's objects.
pub(crate) struct Reader {
    signer: Arc<AmazonS3>,
    cache: Cache,
    lines: Lines,
    spread: Spread,
    refusals: AtomicU32,
    options: RemoteOptions,
}

/// What came of a read.
pub(crate) enum Read {
    /// The body. Its length is not checked yet.
    Bytes(Bytes),
    /// The object has only so many bytes, and the answer ends with them.
    Short { object_bytes: u64 },
    /// Failed before the body.
    Head(HttpError),
    /// Failed within the body.
    Body(HttpError),
    /// To be asked for in the ordinary way. `is_refused`: tell [`Reader::was_granted`] when that succeeds.
    Ordinary { is_refused: bool },
}

impl Reader {
    /// A reader for the store made by this builder; none where the ordinary way is needed.
    pub(crate) fn new(
        builder: &AmazonS3Builder,
        signer: &Arc<AmazonS3>,
        endpoint: Option<&str>,
        options: &RemoteOptions,
    ) -> Option<Self> {
        let endpoint = endpoint.filter(|endpoint| endpoint.starts_with("http://"))?;
        let is_set = |key| builder.get_config_value(&key).is_some_and(|value| !value.is_empty());
        let is_on = |key| builder.get_config_value(&key).is_some_and(|value| value != "false");
        let by_proxy = !is_loopback(endpoint)
            && (is_set(AmazonS3ConfigKey::Client(ClientConfigKey::ProxyUrl))
                || PROXY_VARIABLES.iter().any(|name| std::env::var_os(name).is_some()));
        let customer_key: AmazonS3ConfigKey = "aws_sse_customer_key_base64".parse().ok()?;
        if by_proxy
            || is_on(AmazonS3ConfigKey::SkipSignature)
            || is_on(AmazonS3ConfigKey::S3Express)
            || is_set(customer_key)
        {
            return None;
        }
        Some(Self {
            signer: Arc::clone(signer),
            cache: Cache::default(),
            lines: Lines::default(),
            spread: Spread::default(),
            refusals: AtomicU32::new(0),
            options: options.clone(),
        })
    }

    /// Reads a range that is not empty. `path` is the object's, asked for once in a while.
    pub(crate) async fn get_range(
        &self,
        name: &ObjectName,
        path: impl FnOnce() -> Path,
        range: &Range<u64>,
    ) -> Read {
        if self.refusals.load(Ordering::Relaxed) >= REFUSALS_MAX {
            return Read::Ordinary { is_refused: false };
        }
        let prepared = match self.cache.get(name, Instant::now()) {
            Some(prepared) => prepared,
            None => match self.prepare(name, &path()).await {
                Some(prepared) => prepared,
                // The ordinary way says better what is wrong.
                None => return Read::Ordinary { is_refused: false },
            },
        };
        let wanted = (range.start, range.end.saturating_sub(1));
        let pace = Pace::new(&self.options, self.options.attempt_timeout);
        let answer = match timeout(self.options.attempt_timeout, self.send(&prepared, wanted)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Read::Head(error),
            Err(_) => return Read::Head(late(self.options.attempt_timeout)),
        };
        match answer.status().as_u16() {
            200..=299 => {}
            400 | 401 | 403 => {
                self.cache.forget(name, &prepared);
                return Read::Ordinary { is_refused: prepared.age(Instant::now()) < FRESH };
            }
            _ => return Read::Head(Box::pin(refuse(answer, false, &carried(&prepared))).await),
        }
        self.forgive();
        self.read(answer, wanted, pace).await
    }

    async fn read(&self, answer: Response<Answer>, wanted: (u64, u64), pace: Pace) -> Read {
        let (first, last, object_bytes) = match check_range(&answer, Some(wanted)) {
            Ok(found) => found,
            Err(error) => return Read::Head(error),
        };
        if last != wanted.1 {
            return Read::Short { object_bytes };
        }
        let expected = (last - first).saturating_add(1);
        match answer.into_body().collect(expected, pace).await {
            Ok((bytes, line)) => {
                if let Some(line) = line {
                    self.lines.put(line);
                }
                Read::Bytes(bytes)
            }
            Err(error) => Read::Body(error),
        }
    }

    async fn prepare(&self, name: &ObjectName, path: &Path) -> Option<Arc<Prepared>> {
        let made = Instant::now();
        let url = self.signer.signed_url(Method::GET, path, HOLDS).await.ok()?;
        let prepared = Arc::new(Prepared::new(&url, made)?);
        self.cache.put(name, Arc::clone(&prepared));
        Some(prepared)
    }

    /// Sends the request and waits for the head of the answer.
    async fn send(&self, prepared: &Prepared, wanted: (u64, u64)) -> Result<Response<Answer>, HttpError> {
        if let Some(line) = self.lines.take() {
            match line.send(call(prepared, wanted)?).await {
                Err(error) if is_lost(&error) => {}
                answered => return answered,
            }
        }
        let line = Line::open(&prepared.origin, &self.spread, self.options.connect_timeout).await?;
        line.send(call(prepared, wanted)?).await
    }

    fn forgive(&self) {
        if self.refusals.load(Ordering::Relaxed) != 0 {
            self.refusals.store(0, Ordering::Relaxed);
        }
    }

    /// What was refused here, though not too old, was granted in the ordinary way.
    pub(crate) fn was_granted(&self) {
        self.refusals.fetch_add(1, Ordering::Relaxed);
    }
}

fn carried(prepared: &Prepared) -> Carried {
    Carried::of(&HeaderMap::new(), prepared.target.query().unwrap_or(""))
}

fn is_lost(error: &HttpError) -> bool {
    matches!(error.kind(), HttpErrorKind::Request | HttpErrorKind::Interrupted)
}

fn call(prepared: &Prepared, (first, last): (u64, u64)) -> Result<Call, HttpError> {
    let range = HeaderValue::try_from(format!("bytes={first}-{last}"));
    let range = range.map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(HOST, prepared.host_header.clone());
    headers.insert(USER_AGENT, HeaderValue::from_static(http_client::USER_AGENT));
    headers.insert(RANGE, range);
    let mut call = Call::new(Empty::new());
    *call.uri_mut() = prepared.target.clone();
    *call.headers_mut() = headers;
    Ok(call)
}
