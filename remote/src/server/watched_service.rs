//! The service of one connection, which tells the connection's watch where its request stands.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper::{Request, Response};
use s3s::service::S3Service;
use s3s::{HttpError, HttpRequest, HttpResponse};

use super::watch::Watch;

/// `s3s` as it comes, for requests whose body is watched.
#[derive(Debug)]
pub(super) struct Plain(pub(super) S3Service);

impl Service<HttpRequest> for Plain {
    type Response = HttpResponse;
    type Error = HttpError;
    type Future = BoxFuture<'static, Result<HttpResponse, HttpError>>;

    fn call(&self, request: HttpRequest) -> Self::Future {
        let service = self.0.clone();
        Box::pin(async move { service.call(request).await })
    }
}

/// A service and the watch of its connection.
#[derive(Debug)]
pub(super) struct WatchedService<S> {
    service: S,
    watch: Arc<Watch>,
}

impl<S> WatchedService<S> {
    pub(super) fn new(service: S, watch: Arc<Watch>) -> Self {
        Self { service, watch }
    }
}

impl<S, B> Service<Request<Incoming>> for WatchedService<S>
where
    S: Service<HttpRequest, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = Response<AnswerBody<B>>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, S::Error>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let has_body = !request.body().is_end_stream();
        self.watch.begin(has_body);
        let watch = Arc::clone(&self.watch);
        let request = request.map(|body| {
            if has_body {
                s3s::Body::http_body(RequestBody { body, _end: BodyEnd(Arc::clone(&watch)), watch })
            } else {
                s3s::Body::from(body)
            }
        });
        let answer = self.service.call(request);
        let watch = Arc::clone(&self.watch);
        Box::pin(async move { Ok(answer.await?.map(|body| AnswerBody { body, _end: AnswerEnd(watch) })) })
    }
}

/// The body of a request, on its way.
struct RequestBody {
    body: Incoming,
    watch: Arc<Watch>,
    _end: BodyEnd,
}

struct BodyEnd(Arc<Watch>);

impl Drop for BodyEnd {
    fn drop(&mut self) {
        self.0.body_ended();
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if matches!(frame, Poll::Ready(None)) || self.body.is_end_stream() {
            self.watch.body_ended();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer, on its way.
#[derive(Debug)]
pub(crate) struct AnswerBody<B> {
    body: B,
    _end: AnswerEnd,
}

#[derive(Debug)]
struct AnswerEnd(Arc<Watch>);

impl Drop for AnswerEnd {
    fn drop(&mut self) {
        self.0.answered();
    }
}

impl<B: Body + Unpin> Body for AnswerBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
