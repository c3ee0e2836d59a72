//! The body of an answer, with its bounds: `object_store` reads some of them whole.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use object_store::client::{HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::bounds::{LIST_PAGE_BYTES_MAX, PLAIN_BYTES_MAX, Pace};
use crate::failure::late;

/// Kinds of answers, by how long they may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnswerKind {
    Object,
    Listing,
    Plain,
}

impl AnswerKind {
    pub(crate) fn of(request: &HttpRequest, to_store: bool) -> Self {
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
    pub(crate) fn bytes_max(self, answer: &HttpResponse) -> u64 {
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
    pub(crate) bytes_max: u64,
    /// It should have been an object's bytes.
    pub(crate) is_object: bool,
}

/// A body that fails when it comes too slowly or has too many bytes.
pub(crate) struct BoundedBody {
    body: HttpResponseBody,
    pace: Pace,
    bytes_left: u64,
    too_long: TooLong,
    timer: Pin<Box<Sleep>>,
}

impl BoundedBody {
    pub(crate) fn new(body: HttpResponseBody, mut pace: Pace, too_long: TooLong) -> Self {
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
