//! One request and its answer: how long it takes, and what goes wrong with it.
//!
//! | fault | what the client sees |
//! |---|---|
//! | `503` | 503 `SlowDown`; not applied |
//! | `reset-before` | RST instead of an answer; not applied |
//! | `reset-after` | RST instead of an answer; applied |
//! | `slow-close` | a whole answer; the connection answers nothing more and ends 1 s later |
//! | `truncated` | half of the body, then the end of the connection; an answer without a body stays whole |
//! | `stall` | half of the body (or not even a head, where there is no body), then nothing for 30 s; applied |

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http_body::Body;
use hyper::{Method, Response, StatusCode};
use s3s::service::S3Service;
use s3s::{HttpRequest, StdError};

use super::body::{Broken, ShapedBody};
use super::shaper::Shaper;
use super::wire::Line;
use crate::shape::Fault;

/// Longer than clients wait.
const STALL_TIME: Duration = Duration::from_secs(30);
/// From an answer to the end of a connection that hears nothing more.
const SLOW_CLOSE_TIME: Duration = Duration::from_secs(1);
/// From the last byte of a truncated body to the end of the connection: enough for the byte to be sent.
const TRUNCATED_TIME: Duration = Duration::from_millis(1);

/// The text of a refusal, as S3 words it.
const SLOW_DOWN: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
    <Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";

/// The service of one connection.
#[derive(Debug)]
pub(crate) struct Exchange {
    service: S3Service,
    shaper: Arc<Shaper>,
    line: Arc<Line>,
}

type Answer = Result<Response<ShapedBody>, StdError>;

impl Exchange {
    pub(super) fn new(service: S3Service, shaper: Arc<Shaper>, line: Arc<Line>) -> Self {
        Self { service, shaper, line }
    }
}

impl hyper::service::Service<HttpRequest> for Exchange {
    type Response = Response<ShapedBody>;
    type Error = StdError;
    type Future = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn call(&self, request: HttpRequest) -> Self::Future {
        // Here and not in the future: in the order of arrival.
        let (due, fault) = self.shaper.draw();
        let (service, shaper, line) =
            (self.service.clone(), Arc::clone(&self.shaper), Arc::clone(&self.line));
        Box::pin(async move {
            let delays = &shaper.delays;
            if let Some(Fault::ResetBefore | Fault::Unavailable) = fault {
                delays.until(due).await;
                return if fault == Some(Fault::Unavailable) { slow_down() } else { reset(&line) };
            }
            // The answer to a HEAD tells of a body that does not come.
            let bodiless = request.method() == Method::HEAD;
            let answer = service.call(request).await?;
            delays.until(due).await;
            let bytes = if bodiless { 0 } else { answer.body().size_hint().exact().unwrap_or(0) };
            let half = |silence| {
                let delays = Arc::clone(delays);
                move |body| ShapedBody::half(body, bytes, silence, delays)
            };
            match fault {
                Some(Fault::ResetAfter) => reset(&line),
                Some(Fault::Truncated) if bytes > 0 => Ok(answer.map(half(TRUNCATED_TIME))),
                Some(Fault::Stall) if bytes > 0 => Ok(answer.map(half(STALL_TIME))),
                Some(Fault::Stall) => {
                    delays.until(aquifer_io::now() + STALL_TIME).await;
                    Err(Broken.into())
                }
                Some(Fault::SlowClose) => {
                    line.mute(aquifer_io::now() + SLOW_CLOSE_TIME);
                    Ok(answer.map(ShapedBody::whole))
                }
                _ => Ok(answer.map(ShapedBody::whole)),
            }
        })
    }
}

fn reset(line: &Line) -> Answer {
    line.reset();
    Err(Broken.into())
}

fn slow_down() -> Answer {
    let body = ShapedBody::whole(s3s::Body::from(SLOW_DOWN.to_owned()));
    let answer = Response::builder().status(StatusCode::SERVICE_UNAVAILABLE);
    Ok(answer.header("content-type", "application/xml").body(body)?)
}
