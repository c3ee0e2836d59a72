//! One kept-alive HTTP/1.1 connection, driven by the request that uses it, and those that wait for the next request.
//!
//! ```text
//! request ── take ──> Line { sender + connection, one task polls both } ── whole answer read ──> put back
//!                └─ none idle or alive: connect to the next address of the host
//! ```
//!
//! No task stands between request and socket: what wakes is the request itself, and dropping it closes the connection.
//!
//! Invariants:
//! * A connection is put back only after its answer was read to the end; any other is closed.
//! * At most [`IDLE_MAX`] wait, none is used that waited longer than [`IDLE_TIME_MAX`]. Nobody watches those that wait: what the
//!   server closes, and what is too old, is let go when a request takes or puts back a connection, or with the store.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use object_store::client::{HttpError, HttpErrorKind};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::prepared::Origin;
use crate::bounds::Pace;
use crate::failure::late;
use crate::resolver::Spread;

/// Connections kept for the next requests.
const IDLE_MAX: usize = 256;
/// After this they are closed instead: servers and firewalls forget them.
const IDLE_TIME_MAX: Duration = Duration::from_secs(60);
/// Memory that is set aside for a body before its bytes are there.
const RESERVED_BYTES_MAX: usize = 16 << 20;

/// A request has no body.
pub(super) type Call = Request<Empty<Bytes>>;

/// One connection.
pub(super) struct Line {
    sender: SendRequest<Empty<Bytes>>,
    connection: Connection<TokioIo<TcpStream>, Empty<Bytes>>,
    has_ended: bool,
    idle_since: Instant,
}

impl Line {
    /// Connects to the first address that answers.
    pub(super) async fn open(
        origin: &Origin,
        spread: &Spread,
        connect_timeout: Duration,
    ) -> Result<Box<Self>, HttpError> {
        let unreachable = |error: io::Error| HttpError::new(HttpErrorKind::Connect, error);
        let stream = match timeout(connect_timeout, connect(origin, spread, connect_timeout)).await {
            Ok(connected) => connected.map_err(unreachable)?,
            Err(_) => return Err(unreachable(io::ErrorKind::TimedOut.into())),
        };
        stream.set_nodelay(true).map_err(unreachable)?;
        let (sender, connection) = Builder::new().handshake(TokioIo::new(stream)).await.map_err(broken)?;
        Ok(Box::new(Self { sender, connection, has_ended: false, idle_since: Instant::now() }))
    }

    /// Lets the connection read and write.
    fn drive(&mut self, context: &mut Context<'_>) {
        // How it ended, the request is told.
        self.has_ended = self.has_ended || Pin::new(&mut self.connection).poll(context).is_ready();
    }

    /// Finds out whether it can take a request. Nobody is woken when that changes.
    fn is_ready(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop()));
        !self.has_ended && self.sender.is_ready()
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(mut self: Box<Self>, call: Call) -> Result<Response<Answer>, HttpError> {
        let mut answer = pin!(self.sender.send_request(call));
        let answered = poll_fn(|context| {
            self.drive(context);
            match answer.as_mut().poll(context) {
                Poll::Ready(answered) => Poll::Ready(answered.map_err(broken)),
                Poll::Pending if self.has_ended => Poll::Ready(Err(cut_off())),
                Poll::Pending => Poll::Pending,
            }
        });
        let answered = answered.await?;
        Ok(answered.map(|body| Answer { line: self, body }))
    }
}

async fn connect(origin: &Origin, spread: &Spread, wait: Duration) -> io::Result<TcpStream> {
    let addresses = spread.addresses(&origin.host, origin.port).await?;
    // As hyper does: the time is shared out, so that one dead address does not use it up.
    let each = wait.checked_div(u32::try_from(addresses.len()).unwrap_or(u32::MAX)).unwrap_or(wait);
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in addresses {
        failure = match timeout(each, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => error,
            Err(_) => io::ErrorKind::TimedOut.into(),
        };
    }
    Err(failure)
}

/// The body of an answer, with the connection that it comes from.
pub(super) struct Answer {
    line: Box<Line>,
    body: Incoming,
}

impl Answer {
    /// Reads `expected` bytes and finds out whether that was all: the result has another length when the body has. The
    /// connection comes back when it can be used again.
    pub(super) async fn collect(
        mut self,
        expected: u64,
        mut pace: Pace,
    ) -> Result<(Bytes, Option<Box<Line>>), HttpError> {
        let reserved = usize::try_from(expected).unwrap_or(RESERVED_BYTES_MAX).min(RESERVED_BYTES_MAX);
        // A copy, exact in size: a slice of the connection's buffer would keep all of that alive while it is kept.
        let mut bytes = BytesMut::with_capacity(reserved);
        pace.came(0);
        while !self.body.is_end_stream() {
            let next = poll_fn(|context| Pin::new(&mut self).poll_frame(context));
            let Some(frame) = timeout_at(pace.until(), next).await.map_err(|_| late(pace.elapsed()))? else {
                break;
            };
            if let Ok(data) = frame?.into_data() {
                pace.came(data.len() as u64);
                bytes.extend_from_slice(&data);
            }
            if bytes.len() as u64 > expected {
                return Ok((bytes.freeze(), None));
            }
        }
        let mut line = self.line;
        let usable = line.is_ready();
        Ok((bytes.freeze(), usable.then_some(line)))
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(broken)));
        }
        this.line.drive(context);
        match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(frame) => Poll::Ready(frame.map(|frame| frame.map_err(broken))),
            Poll::Pending if this.line.has_ended => Poll::Ready(Some(Err(cut_off()))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The kinds are those that `object_store` gives for `reqwest`'s errors.
fn broken(error: hyper::Error) -> HttpError {
    let mut kind = HttpErrorKind::Unknown;
    if error.is_closed() || error.is_canceled() || error.is_incomplete_message() {
        kind = HttpErrorKind::Request;
    } else if let Some(error) = std::error::Error::source(&error).and_then(|e| e.downcast_ref::<io::Error>())
    {
        kind = match error.kind() {
            io::ErrorKind::TimedOut => HttpErrorKind::Timeout,
            io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof => HttpErrorKind::Interrupted,
            _ => kind,
        };
    }
    HttpError::new(kind, error)
}

fn cut_off() -> HttpError {
    let error = io::Error::new(io::ErrorKind::UnexpectedEof, "closed before the answer ended");
    HttpError::new(HttpErrorKind::Request, error)
}

/// Connections that wait for a request, the one used last on top.
#[derive(Default)]
pub(super) struct Lines {
    #[expect(
        clippy::vec_box,
        reason = "a line is moved in its box: it is a kilobyte and goes from request to request"
    )]
    idle: Mutex<Vec<Box<Line>>>,
}

impl Lines {
    #[expect(clippy::vec_box, reason = "as the field")]
    fn idle(&self) -> MutexGuard<'_, Vec<Box<Line>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that the server has not closed, as far as is known here.
    pub(super) fn take(&self) -> Option<Box<Line>> {
        loop {
            let mut line = self.idle().pop()?;
            if line.idle_since.elapsed() < IDLE_TIME_MAX && line.is_ready() {
                return Some(line);
            }
        }
    }

    pub(super) fn put(&self, mut line: Box<Line>) {
        line.idle_since = Instant::now();
        let now = line.idle_since;
        let mut idle = self.idle();
        // The oldest lies at the bottom; what load no longer needs goes one by one.
        let expired = idle.first().is_some_and(|first| now - first.idle_since >= IDLE_TIME_MAX);
        let closed = expired.then(|| idle.remove(0));
        if idle.len() < IDLE_MAX {
            idle.push(line);
        }
        // Closing is a system call.
        drop(idle);
        drop(closed);
    }
}
