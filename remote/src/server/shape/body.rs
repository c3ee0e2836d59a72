//! The body of an answer, whole or broken off.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use s3s::StdError;

use super::delay::{Delay, Delays};

/// Ends the connection without an answer, or within one.
#[derive(Debug, thiserror::Error)]
#[error("this connection was broken on purpose")]
pub(crate) struct Broken;

/// See the module.
pub(crate) struct ShapedBody {
    body: s3s::Body,
    cut: Option<Cut>,
}

/// Where and how a body breaks off.
pub(super) struct Cut {
    /// Bytes that still pass.
    left_bytes: u64,
    /// Between the last byte and the end of the connection.
    silence: Duration,
    delays: Arc<Delays>,
    wait: Option<Pin<Box<Delay>>>,
}

impl ShapedBody {
    pub(super) fn whole(body: s3s::Body) -> Self {
        Self { body, cut: None }
    }

    /// Half of a body of so many bytes, then silence, then the end of the connection.
    pub(super) fn half(body: s3s::Body, bytes: u64, silence: Duration, delays: Arc<Delays>) -> Self {
        Self { body, cut: Some(Cut { left_bytes: bytes / 2, silence, delays, wait: None }) }
    }
}

impl Body for ShapedBody {
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        let Self { body, cut } = self.get_mut();
        let Some(cut) = cut else { return Pin::new(body).poll_frame(context) };
        if cut.left_bytes == 0 {
            // Also where it is short: it lets hyper send what it holds before the connection breaks.
            let until = || Box::pin(cut.delays.until(aquifer_io::now() + cut.silence));
            let wait = cut.wait.get_or_insert_with(until);
            return wait.as_mut().poll(context).map(|()| Some(Err(Broken.into())));
        }
        let frame = std::task::ready!(Pin::new(body).poll_frame(context));
        Poll::Ready(frame.map(|frame| {
            frame.map(|frame| {
                frame.map_data(|mut data| {
                    data.truncate(usize::try_from(cut.left_bytes).unwrap_or(usize::MAX));
                    cut.left_bytes = cut.left_bytes.saturating_sub(data.len() as u64);
                    data
                })
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.cut.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
