//! The connections of the server: how many there may be, and which ones are closed.
//!
//! ```text
//! accept ──> room? ──yes──> task of the connection, entry in the table ──> end: entry gone, room given back
//!              └──no──> the oldest idle connection goes for it
//!
//! every now and then: whoever keeps the server waiting for too long goes (watch.rs)
//! ```
//!
//! A connection ends by its task's being dropped: hyper, the request under way and what it had written for it go with it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use s3s::service::S3Service;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::shape::Shaper;
use super::watch::{Patience, Watch, Watched};
use super::watched_service::{Plain, WatchedService};

/// Pause after a failed accept (out of file descriptors), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// From one look for an idle connection to the next, while a new one waits for room.
const ROOM_PAUSE: Duration = Duration::from_millis(5);
/// From one look through the table to the next: an eighth of the shortest time, within these.
const LOOK_PAUSE_MIN: Duration = Duration::from_millis(5);
const LOOK_PAUSE_MAX: Duration = Duration::from_secs(1);
/// Longest head of a request, with its signature and the client's own headers; 431 answers longer ones.
const HEAD_BYTES_MAX: usize = 32 << 10;

/// What connections are made of, and the table of those there are.
pub(super) struct Connections {
    service: S3Service,
    shaper: Option<Arc<Shaper>>,
    room: Arc<Semaphore>,
    patience: Patience,
    table: Arc<Table>,
}

impl Connections {
    /// At most `most` at once.
    pub(super) fn new(
        service: S3Service,
        shaper: Option<Arc<Shaper>>,
        most: usize,
        patience: Patience,
    ) -> Self {
        Self { service, shaper, room: Arc::new(Semaphore::new(most)), patience, table: Arc::default() }
    }

    /// Takes connections, for ever.
    pub(super) async fn accept(self, listener: std::net::TcpListener) {
        let Ok(listener) = TcpListener::from_std(listener) else { return };
        if let Some(shaper) = self.shaper.clone() {
            tokio::spawn(async move { shaper.ring().await });
        }
        let (table, patience) = (Arc::clone(&self.table), self.patience);
        tokio::spawn(async move { table.look_through(&patience).await });
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let permit = self.room().await;
                    // Without it small answers wait for the client's acknowledgement, 40 ms. A connection that is gone already
                    // ends by itself.
                    drop(stream.set_nodelay(true));
                    self.spawn(stream, permit);
                }
                Err(_) => {
                    // Mostly for want of descriptors, which idle connections hold.
                    self.table.close_oldest_idle();
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Room for one more: the oldest idle connection makes it where there is none. When all are in use, it waits.
    async fn room(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() {
            return Some(permit);
        }
        loop {
            self.table.close_oldest_idle();
            if let Ok(permit) = timeout(ROOM_PAUSE, Arc::clone(&self.room).acquire_owned()).await {
                // The semaphore is never closed.
                return permit.ok();
            }
        }
    }

    /// Serves a connection. Its errors concern its client alone, and the client sees them.
    fn spawn(&self, stream: TcpStream, permit: Option<OwnedSemaphorePermit>) {
        let watch = Watch::new();
        let stream = Watched::new(stream, Arc::clone(&watch));
        let mut http = http1::Builder::new();
        // The table has the times; hyper's own would need a timer for each request.
        http.header_read_timeout(None).max_header_size(HEAD_BYTES_MAX);
        match &self.shaper {
            None => {
                let service = WatchedService::new(Plain(self.service.clone()), Arc::clone(&watch));
                let connection = http.serve_connection(TokioIo::new(stream), service);
                self.table.spawn(watch, async move { drop((connection.await, permit)) });
            }
            Some(shaper) => {
                let (wire, exchange) = shaper.connect(stream, self.service.clone());
                let service = WatchedService::new(exchange, Arc::clone(&watch));
                let connection = http.serve_connection(TokioIo::new(wire), service);
                self.table.spawn(watch, async move { drop((connection.await, permit)) });
            }
        }
    }
}

/// The connections there are, by number.
#[derive(Default)]
struct Table(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    next: u64,
    /// The handle comes a moment after the rest.
    entries: HashMap<u64, (Arc<Watch>, Option<AbortHandle>)>,
}

impl Table {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a connection's task.
    fn spawn(self: &Arc<Self>, watch: Arc<Watch>, serve: impl Future<Output = ()> + Send + 'static) {
        let number = {
            let mut table = self.entries();
            let number = table.next;
            table.next += 1;
            table.entries.insert(number, (watch, None));
            number
        };
        let entry = Entry { table: Arc::clone(self), number };
        let task = tokio::spawn(async move {
            let _entry = entry;
            serve.await;
        });
        // It may be over already, and its entry gone.
        if let Some((_, handle)) = self.entries().entries.get_mut(&number) {
            *handle = Some(task.abort_handle());
        }
    }

    /// Closes the connection that has been idle, or has sent half a head, for longest.
    fn close_oldest_idle(&self) {
        let mut table = self.entries();
        let idle = table.entries.iter().filter_map(|(number, (watch, task))| {
            task.as_ref().and_then(|_| Some((watch.spare_since_ns()?, *number)))
        });
        if let Some((_, number)) = idle.min()
            && let Some((_, Some(task))) = table.entries.remove(&number)
        {
            task.abort();
        }
    }

    /// Closes, for ever, whoever keeps the server waiting for too long.
    async fn look_through(&self, patience: &Patience) {
        let shortest = patience.idle.min(patience.head).min(patience.stall);
        let pause = (shortest / 8).clamp(LOOK_PAUSE_MIN, LOOK_PAUSE_MAX);
        loop {
            sleep(pause).await;
            let now = aquifer_io::now();
            self.entries().entries.retain(|_, (watch, task)| {
                let Some(task) = task.as_ref().filter(|_| watch.is_overdue(now, patience)) else {
                    return true;
                };
                task.abort();
                false
            });
        }
    }
}

/// A connection's place in the table, left when its task ends.
struct Entry {
    table: Arc<Table>,
    number: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.table.entries().entries.remove(&self.number);
    }
}
