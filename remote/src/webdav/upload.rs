//! A large object: one PUT whose body is fed part by part.
//!
//! ```text
//! part() ──> channel of one chunk ──> body of PUT ~tmp/<unique>      finish: end of the body, length checked, MOVE
//! ```
//!
//! Invariants:
//! * Memory is one chunk beside what the caller's parts hold.
//! * A body that was not finished ends in an error, so the server cannot take it for a whole one.
//! * A connection that breaks ends the upload: the parts are gone, and the caller starts anew.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body::{Body, Frame};
use reqwest::Method;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use super::server::{Trouble, written};
use super::store::WebDav;
use super::temporary::{Mode, Temporary};
use crate::content::Content;
use crate::error::{RemoteError, RemoteErrorKind};
use crate::front::upload::Sink;

/// The whole upload's limit; each part has its own deadline.
const UPLOAD_TIME_MAX: Duration = Duration::from_secs(86_400);

/// What goes into the body.
enum Piece {
    Chunk(Bytes),
    End,
}

/// The PUT of one upload.
pub(crate) struct StreamSink {
    store: Arc<WebDav>,
    path: String,
    unique: u64,
    stream: Mutex<Option<Stream>>,
}

struct Stream {
    pieces: mpsc::Sender<Piece>,
    /// The request; ends when this is dropped.
    request: JoinSet<Result<(), Trouble>>,
    temporary: Temporary,
}

impl Stream {
    /// What the request came to, or that it ended.
    async fn outcome(&mut self) -> Result<(), Trouble> {
        match self.request.join_next().await {
            Some(Ok(outcome)) => outcome,
            _ => Err(Trouble::Nonsense("the request of the upload was lost".to_owned())),
        }
    }

    async fn send(&mut self, piece: Piece) -> Result<(), Trouble> {
        if self.pieces.send(piece).await.is_ok() {
            return Ok(());
        }
        // The body is not read any more: the answer says why.
        self.outcome().await?;
        Err(Trouble::Nonsense("the server answered before the upload's end".to_owned()))
    }
}

impl StreamSink {
    pub(super) fn new(store: Arc<WebDav>, path: String, unique: u64) -> Self {
        Self { store, path, unique, stream: Mutex::new(None) }
    }

    async fn start(&self) -> Result<Stream, Trouble> {
        self.store.make_temporaries().await?;
        let path = format!("{}~tmp/{:016x}", self.store.root, self.unique);
        let temporary = Temporary::new(&self.store, path.clone());
        let (pieces, waiting) = mpsc::channel(1);
        let store = Arc::clone(&self.store);
        let mut request = JoinSet::new();
        request.spawn(async move {
            let body = reqwest::Body::wrap(PieceBody { waiting, over: false });
            let put = store.server.request(Method::PUT, &path).body(body);
            let answer = store.server.exchange.send_within(put, UPLOAD_TIME_MAX).await?;
            written(&answer)
        });
        Ok(Stream { pieces, request, temporary })
    }

    async fn feed(&self, content: Content) -> Result<(), Trouble> {
        let mut stream = self.stream.lock().await;
        let stream = match stream.as_mut() {
            Some(stream) => stream,
            None => stream.insert(self.start().await?),
        };
        for chunk in content.into_chunks() {
            stream.send(Piece::Chunk(chunk)).await?;
        }
        Ok(())
    }

    async fn complete(&self, bytes: u64) -> Result<Temporary, RemoteError> {
        let error = |trouble: Trouble| trouble.error("finish");
        let Some(mut stream) = self.stream.lock().await.take() else {
            return self.store.write_temporary(&Content::new(), self.unique).await.map_err(error);
        };
        stream.send(Piece::End).await.map_err(error)?;
        stream.outcome().await.map_err(error)?;
        let path = stream.temporary.path().to_owned();
        let found =
            self.store.steadily(|| self.store.server.length(&path)).await.map_err(error)?.unwrap_or(0);
        if found != bytes {
            return Err(RemoteError::new(RemoteErrorKind::Truncated, "finish")
                .with_bytes(bytes, found)
                .with_cause("the parts did not all arrive: start the upload anew"));
        }
        Ok(stream.temporary)
    }
}

#[async_trait]
impl Sink for StreamSink {
    async fn part(&self, content: Content, _offset: u64) -> Result<(), RemoteError> {
        self.feed(content).await.map_err(|trouble| trouble.error("part"))
    }

    async fn finish(&self, bytes: u64) -> Result<(), RemoteError> {
        let temporary = self.complete(bytes).await?;
        self.store.rename(temporary, &self.path, Mode::Replace, "finish").await.map(|_| ())
    }

    async fn abort(&self) -> Result<(), RemoteError> {
        let Some(stream) = self.stream.lock().await.take() else { return Ok(()) };
        let Stream { pieces, mut request, temporary } = stream;
        drop(pieces);
        request.shutdown().await;
        temporary.delete().await.map_err(|trouble| trouble.error("abort"))
    }
}

/// A body made of what comes through the channel.
struct PieceBody {
    waiting: mpsc::Receiver<Piece>,
    over: bool,
}

impl Body for PieceBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.over {
            return Poll::Ready(None);
        }
        self.waiting.poll_recv(context).map(|piece| match piece {
            Some(Piece::Chunk(chunk)) => Some(Ok(Frame::data(chunk))),
            Some(Piece::End) => {
                self.over = true;
                None
            }
            None => Some(Err(io::Error::other("the upload was given up"))),
        })
    }
}
