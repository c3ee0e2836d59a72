//! A range of a file as the body of an answer, read in chunks on blocking threads, one chunk ahead of the network.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use rustix::io::{ReadWriteFlags, preadv2};
use s3s::StdError;
use s3s::stream::{ByteStream, RemainingLength};
use tokio::task::{JoinHandle, spawn_blocking};

/// Bytes read at once. Two chunks are in memory for each answer under way.
pub(super) const CHUNK_BYTES: usize = 256 << 10;

/// Reads `bytes` bytes at `offset`, all of them.
pub(super) fn read(file: &File, offset: u64, bytes: usize) -> io::Result<Bytes> {
    let mut buffer = vec![0; bytes];
    file.read_exact_at(&mut buffer, offset)?;
    Ok(Bytes::from(buffer))
}

/// The same without waiting for the disk: `None` when not all of it is in the system's page cache (or the file system cannot
/// tell), which costs the caller nothing but the question.
pub(super) fn read_cached(file: &File, offset: u64, bytes: usize) -> Option<Bytes> {
    let mut buffer = vec![0; bytes];
    let read = preadv2(file, &mut [IoSliceMut::new(&mut buffer)], offset, ReadWriteFlags::NOWAIT);
    (read == Ok(bytes)).then(|| Bytes::from(buffer))
}

/// The bytes from `offset` on, `left` of them.
pub(super) struct FileStream {
    file: Arc<File>,
    offset: u64,
    left: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl FileStream {
    pub(super) fn new(file: File, offset: u64, left: u64) -> Self {
        let mut stream = Self { file: Arc::new(file), offset, left, reading: None };
        stream.read_ahead();
        stream
    }

    /// Starts reading the chunk at `offset`, which stays where it is until the chunk is handed out.
    fn read_ahead(&mut self) {
        let bytes = usize::try_from(self.left).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        if bytes > 0 {
            let (file, offset) = (Arc::clone(&self.file), self.offset);
            self.reading = Some(spawn_blocking(move || read(&file, offset, bytes)));
        }
    }
}

impl Stream for FileStream {
    type Item = Result<Bytes, StdError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(reading) = self.reading.as_mut() else { return Poll::Ready(None) };
        let read = std::task::ready!(Pin::new(reading).poll(context));
        self.reading = None;
        match read.map_err(io::Error::other).flatten() {
            Ok(chunk) => {
                let bytes = chunk.len() as u64;
                self.offset += bytes;
                self.left = self.left.saturating_sub(bytes);
                self.read_ahead();
                Poll::Ready(Some(Ok(chunk)))
            }
            Err(error) => Poll::Ready(Some(Err(Box::new(error)))),
        }
    }
}

impl ByteStream for FileStream {
    fn remaining_length(&self) -> RemainingLength {
        RemainingLength::new_exact(usize::try_from(self.left).unwrap_or(usize::MAX))
    }
}
