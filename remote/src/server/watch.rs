//! What a connection waits for, seen by others: so that clients which send nothing, or read nothing, do not keep it for ever.
//!
//! ```text
//!          first byte          whole head           whole body             answer sent
//!  Idle ───────────────> Head ────────────> Body ───────────────> Answer ───────────────> Idle
//!  idle time             head time          stall time            no limit: it is the server's turn
//! ```
//!
//! Bodies and answers may take as long as they like as long as they move: time counts while the server waits for the client, and only up
//! to [`STALL_BYTES`], from where it counts anew. So who sends or reads less than that within the stall time is let go, and a server
//! that is slow itself blames nobody.
//!
//! Costs: a few stores for each request, a look at the clock where something is waited for. Nobody sets a timer; the connections' table is
//! looked through instead (`connections.rs`).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use aquifer_io::{Instant, now};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What has to move within the stall time while the server waits for it: about 1 KiB/s with the default.
pub(super) const STALL_BYTES: u64 = 32 << 10;

/// How long a client may keep the server waiting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) idle: Duration,
    pub(super) head: Duration,
    pub(super) stall: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    Idle,
    Head,
    Body,
    Answer,
}

/// One connection. Its own task writes; who looks through the table reads, a moment late at worst.
#[derive(Debug)]
pub(super) struct Watch {
    phase: AtomicU8,
    /// Since when it is idle, or has sent a part of a head.
    since_ns: AtomicU64,
    read: Waits,
    write: Waits,
}

impl Watch {
    pub(super) fn new() -> Arc<Self> {
        let watch = Self {
            phase: AtomicU8::new(Phase::Idle as u8),
            since_ns: AtomicU64::new(now_ns()),
            read: Waits::default(),
            write: Waits::default(),
        };
        Arc::new(watch)
    }

    /// True when the client has kept the server waiting for too long.
    pub(super) fn is_overdue(&self, now: Instant, patience: &Patience) -> bool {
        let since =
            Duration::from_nanos(now.as_nanos().saturating_sub(self.since_ns.load(Ordering::Relaxed)));
        let overdue = match self.phase() {
            Phase::Idle => since > patience.idle,
            Phase::Head => since > patience.head,
            Phase::Body => self.read.waited(now) > patience.stall,
            Phase::Answer => false,
        };
        overdue || self.write.waited(now) > patience.stall
    }

    /// Since when nothing is asked for on it and nothing is on its way: such a connection can be closed for a new one, as a client must
    /// expect of an idle one at any time. `None` for one in use.
    pub(super) fn spare_since_ns(&self) -> Option<u64> {
        let spare = matches!(self.phase(), Phase::Idle | Phase::Head) && !self.write.is_waiting();
        spare.then(|| self.since_ns.load(Ordering::Relaxed))
    }

    /// A request has arrived; its body, if it has one, has not.
    pub(super) fn begin(&self, has_body: bool) {
        self.read.reset();
        self.write.reset();
        self.set(if has_body { Phase::Body } else { Phase::Answer });
    }

    /// The body is here, or nobody wants it.
    pub(super) fn body_ended(&self) {
        self.set(Phase::Answer);
    }

    /// The answer is on its way, or nobody wants it.
    pub(super) fn answered(&self) {
        self.since_ns.store(now_ns(), Ordering::Relaxed);
        self.set(Phase::Idle);
    }

    fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            phase if phase == Phase::Idle as u8 => Phase::Idle,
            phase if phase == Phase::Head as u8 => Phase::Head,
            phase if phase == Phase::Body as u8 => Phase::Body,
            _ => Phase::Answer,
        }
    }

    fn set(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    fn has_read(&self, read: &Poll<io::Result<()>>, bytes: usize) {
        match (read, self.phase()) {
            (Poll::Pending, Phase::Body) => self.read.wait(),
            (Poll::Ready(_), Phase::Body) => self.read.moved(bytes),
            (Poll::Ready(_), Phase::Idle) if bytes > 0 => {
                self.since_ns.store(now_ns(), Ordering::Relaxed);
                self.set(Phase::Head);
            }
            _ => {}
        }
    }

    fn has_written(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Pending => self.write.wait(),
            Poll::Ready(written) => self.write.moved(written.as_ref().copied().unwrap_or(0)),
        }
    }
}

/// The waiting for one direction of a connection.
#[derive(Debug, Default)]
struct Waits {
    /// Since when it waits; 0 when it does not.
    since_ns: AtomicU64,
    /// What it waited before, and what moved, since that counts.
    waited_ns: AtomicU64,
    moved_bytes: AtomicU64,
}

impl Waits {
    fn wait(&self) {
        if !self.is_waiting() {
            self.since_ns.store(now_ns(), Ordering::Relaxed);
        }
    }

    fn moved(&self, bytes: usize) {
        let since_ns = self.since_ns.load(Ordering::Relaxed);
        let mut waited_ns = self.waited_ns.load(Ordering::Relaxed);
        if since_ns != 0 {
            waited_ns = waited_ns.saturating_add(now_ns().saturating_sub(since_ns));
            self.since_ns.store(0, Ordering::Relaxed);
        }
        let moved_bytes = self.moved_bytes.load(Ordering::Relaxed).saturating_add(bytes as u64);
        let (waited_ns, moved_bytes) =
            if moved_bytes >= STALL_BYTES { (0, 0) } else { (waited_ns, moved_bytes) };
        self.waited_ns.store(waited_ns, Ordering::Relaxed);
        self.moved_bytes.store(moved_bytes, Ordering::Relaxed);
    }

    fn reset(&self) {
        for value in [&self.since_ns, &self.waited_ns, &self.moved_bytes] {
            value.store(0, Ordering::Relaxed);
        }
    }

    fn is_waiting(&self) -> bool {
        self.since_ns.load(Ordering::Relaxed) != 0
    }

    fn waited(&self, now: Instant) -> Duration {
        let waiting_ns = match self.since_ns.load(Ordering::Relaxed) {
            0 => 0,
            since_ns => now.as_nanos().saturating_sub(since_ns),
        };
        Duration::from_nanos(self.waited_ns.load(Ordering::Relaxed).saturating_add(waiting_ns))
    }
}

/// Never 0, which means that nothing is waited for.
fn now_ns() -> u64 {
    now().as_nanos().max(1)
}

/// A connection's socket, watched.
#[derive(Debug)]
pub(super) struct Watched {
    stream: TcpStream,
    watch: Arc<Watch>,
}

impl Watched {
    pub(super) fn new(stream: TcpStream, watch: Arc<Watch>) -> Self {
        Self { stream, watch }
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.watch.has_read(&read, buffer.filled().len().saturating_sub(before));
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch.has_written(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.watch.has_written(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        idle: Duration::from_secs(100),
        head: Duration::from_secs(10),
        stall: Duration::from_secs(30),
    };

    fn after(seconds: u64) -> Instant {
        now() + Duration::from_secs(seconds)
    }

    #[test]
    fn each_phase_has_a_time_of_its_own() {
        let watch = Watch::new();
        let overdue = |seconds| watch.is_overdue(after(seconds), &PATIENCE);
        assert!(!overdue(99) && overdue(101) && watch.spare_since_ns().is_some(), "idle");
        watch.has_read(&Poll::Ready(Ok(())), 1);
        assert!(!overdue(9) && overdue(11) && watch.spare_since_ns().is_some(), "half a head");
        watch.begin(true);
        assert!(!overdue(1_000_000) && watch.spare_since_ns().is_none(), "the server's turn");
        watch.has_read(&Poll::Pending, 0);
        assert!(!overdue(29) && overdue(31) && watch.spare_since_ns().is_none(), "half a body");
        watch.body_ended();
        assert!(!overdue(1_000_000) && watch.spare_since_ns().is_none(), "working on it");
        watch.has_written(&Poll::Pending);
        assert!(!overdue(29) && overdue(31), "nobody reads");
        watch.answered();
        assert!(overdue(31) && watch.spare_since_ns().is_none(), "the rest of the answer is not read");
        watch.has_written(&Poll::Ready(Ok(10)));
        assert!(!overdue(99) && overdue(101) && watch.spare_since_ns().is_some(), "idle again");
    }

    /// Sending a byte now and then does not help.
    #[test]
    fn waits_add_up_until_enough_has_moved() {
        let waits = Waits::default();
        let second = 1_000_000_000;
        let wait = |bytes| {
            waits.since_ns.store(now_ns().saturating_sub(20 * second).max(1), Ordering::Relaxed);
            waits.moved(bytes);
            waits.waited(now()).as_secs()
        };
        // The clock may be younger than 20 s; what was waited then is its age.
        let first = wait(1);
        assert!(wait(1) >= first && wait(1) >= first);
        waits.waited_ns.store(40 * second, Ordering::Relaxed);
        assert_eq!(waits.waited(now()).as_secs(), 40);
        waits.moved(usize::try_from(STALL_BYTES).unwrap() - 4);
        assert_eq!(waits.waited(now()).as_secs(), 40);
        waits.moved(1);
        assert_eq!(waits.waited(now()).as_secs(), 0);
    }
}
