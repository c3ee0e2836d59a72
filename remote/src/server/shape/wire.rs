//! One connection of a shaped server: bytes pass at the pace of the line, and the line can break.
//!
//! ```text
//! hyper ── poll_read, poll_write ──> Wire ── pace of the connection, pace of all ──> socket
//!                                     └─ state: whole, reset, mute until a time
//! ```
//!
//! Each direction has its own pace, as network lines do. Bytes to write wait until their stretch of time is over and then go out; bytes
//! read are taken first and the next read waits, so that the sender's window fills.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use aquifer_io::Instant;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::delay::{Delay, Delays};
use super::pace::SharedPace;
use crate::server::watch::Watched;

/// The paces of one direction: of the connection, and of all connections together.
#[derive(Clone, Debug, Default)]
pub(super) struct Paces {
    pub(super) own: Option<Arc<SharedPace>>,
    pub(super) all: Option<Arc<SharedPace>>,
}

impl Paces {
    /// Bytes that pass together; `None` without a limit.
    fn group_bytes(&self) -> Option<u64> {
        self.both().map(|pace| pace.group_bytes()).min()
    }

    /// When so many bytes are through.
    fn reserve(&self, bytes: u64, now: Instant) -> Instant {
        self.both().map(|pace| pace.reserve(bytes, now)).max().unwrap_or(now)
    }

    fn both(&self) -> impl Iterator<Item = &Arc<SharedPace>> {
        self.own.iter().chain(&self.all)
    }
}

/// What has become of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Whole,
    /// Ends with a RST.
    Reset,
    /// Hears nothing more, and ends at this time.
    Mute {
        until: Instant,
    },
}

/// A connection's state, shared by the wire and what answers the requests.
#[derive(Debug)]
pub(super) struct Line(Mutex<State>);

impl Line {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State::Whole)))
    }

    /// Ends the connection with a RST, at its next move.
    pub(super) fn reset(&self) {
        *self.state() = State::Reset;
    }

    /// From now on no byte is read any more; at that time the connection ends.
    pub(super) fn mute(&self, until: Instant) {
        *self.state() = State::Mute { until };
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: Watched,
    line: Arc<Line>,
    delays: Arc<Delays>,
    incoming: Paces,
    outgoing: Paces,
    /// Before this the next bytes are not read.
    read_wait: Option<Pin<Box<Delay>>>,
    write_wait: Option<Pin<Box<Delay>>>,
    /// Bytes whose stretch of time is over, or will be with `write_wait`.
    may_write_bytes: u64,
    mute_wait: Option<Pin<Box<Delay>>>,
}

impl Wire {
    pub(super) fn new(
        stream: Watched,
        line: Arc<Line>,
        delays: Arc<Delays>,
        incoming: Paces,
        outgoing: Paces,
    ) -> Self {
        let (read_wait, write_wait, mute_wait) = (None, None, None);
        Self {
            stream,
            line,
            delays,
            incoming,
            outgoing,
            read_wait,
            write_wait,
            may_write_bytes: 0,
            mute_wait,
        }
    }

    fn broken(&self) -> Option<io::Error> {
        let reset = *self.line.state() == State::Reset;
        reset.then(|| {
            // Where it does not take, the connection ends with a FIN, which is nearly as bad for the client.
            drop(self.stream.stream().set_zero_linger());
            io::ErrorKind::ConnectionReset.into()
        })
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        drop(self.broken());
    }
}

/// Waits for what is waited for, if anything.
fn poll_wait(wait: &mut Option<Pin<Box<Delay>>>, context: &mut Context<'_>) -> Poll<()> {
    if let Some(delay) = wait {
        std::task::ready!(delay.as_mut().poll(context));
        *wait = None;
    }
    Poll::Ready(())
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        if let Some(error) = wire.broken() {
            return Poll::Ready(Err(error));
        }
        let state = *wire.line.state();
        if let State::Mute { until } = state {
            let wait = wire.mute_wait.get_or_insert_with(|| Box::pin(wire.delays.until(until)));
            // Nothing read: the end, for hyper.
            return wait.as_mut().poll(context).map(Ok);
        }
        std::task::ready!(poll_wait(&mut wire.read_wait, context));
        let Some(group_bytes) = wire.incoming.group_bytes() else {
            return Pin::new(&mut wire.stream).poll_read(context, buffer);
        };
        let room = usize::try_from(group_bytes).unwrap_or(usize::MAX).min(buffer.remaining());
        let mut group = ReadBuf::new(buffer.initialize_unfilled_to(room));
        std::task::ready!(Pin::new(&mut wire.stream).poll_read(context, &mut group))?;
        let filled = group.filled().len();
        buffer.advance(filled);
        if filled > 0 {
            let through = wire.incoming.reserve(filled as u64, aquifer_io::now());
            wire.read_wait = Some(Box::pin(wire.delays.until(through)));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        if let Some(error) = wire.broken() {
            return Poll::Ready(Err(error));
        }
        let Some(group_bytes) = wire.outgoing.group_bytes() else {
            return Pin::new(&mut wire.stream).poll_write(context, bytes);
        };
        if wire.may_write_bytes == 0 && wire.write_wait.is_none() {
            wire.may_write_bytes = group_bytes.min(bytes.len() as u64);
            let through = wire.outgoing.reserve(wire.may_write_bytes, aquifer_io::now());
            wire.write_wait = Some(Box::pin(wire.delays.until(through)));
        }
        std::task::ready!(poll_wait(&mut wire.write_wait, context));
        let may_write = usize::try_from(wire.may_write_bytes).unwrap_or(usize::MAX);
        let group = bytes.get(..may_write).unwrap_or(bytes);
        let written = std::task::ready!(Pin::new(&mut wire.stream).poll_write(context, group))?;
        wire.may_write_bytes = wire.may_write_bytes.saturating_sub(written as u64);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        match wire.broken() {
            Some(error) => Poll::Ready(Err(error)),
            None => Pin::new(&mut wire.stream).poll_shutdown(context),
        }
    }
}
