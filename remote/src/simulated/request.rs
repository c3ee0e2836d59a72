//! The life of one request to a simulated file system.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::objects::Objects;
use super::state::{Shared, State};
use crate::error::{RemoteError, RemoteErrorKind};
use crate::name::ObjectName;
use crate::shape::Fault;
use crate::store::RemoteFuture;
use crate::timer::on_executor;
use crate::wrap::operation::{Answer, Operation};

/// What is asked, for errors and the trace.
pub(super) struct Asked {
    pub(super) operation: Operation,
    pub(super) object: Option<ObjectName>,
    pub(super) sent_bytes: u64,
}

impl Asked {
    pub(super) fn new(operation: Operation, object: Option<&ObjectName>, sent_bytes: u64) -> Self {
        Self { operation, object: object.cloned(), sent_bytes }
    }

    pub(super) fn error(&self, kind: RemoteErrorKind, cause: &str) -> RemoteError {
        let error = RemoteError::new(kind, self.operation.name()).with_cause(cause);
        match &self.object {
            Some(object) => error.with_object(object),
            None => error,
        }
    }

    fn reset(&self) -> RemoteError {
        let kind = match self.operation {
            Operation::PutIfAbsent => RemoteErrorKind::InDoubt,
            _ => RemoteErrorKind::Unavailable,
        };
        self.error(kind, "connection reset")
    }

    fn changes(&self) -> bool {
        !matches!(self.operation, Operation::Get | Operation::GetRange | Operation::Head | Operation::List)
    }
}

/// What happens to it, drawn at the call.
struct Course {
    number: u64,
    latency: Duration,
    fault: Option<Fault>,
    /// Applied all the same when its caller is gone before, and in half of the stalls.
    is_stubborn: bool,
}

impl Course {
    fn draw(state: &mut State, asked: &Asked) -> Self {
        state.requests += 1;
        let course = Self {
            number: state.requests,
            latency: state.latency.sample(&mut state.chance),
            fault: state.plan.next(&mut state.chance),
            is_stubborn: state.chance.bool(),
        };
        let (operation, bytes) = (asked.operation, asked.sent_bytes);
        let object = asked.object.as_ref().map_or("", |object| object.as_str());
        let fault = course.fault.map_or("", Fault::name);
        state.note(format_args!("#{} {operation} {object} {bytes} {fault}", course.number));
        course
    }

    /// True when the request never reaches the objects.
    fn is_kept_away(&self) -> bool {
        match self.fault {
            Some(Fault::Unavailable | Fault::ResetBefore) => true,
            Some(Fault::Stall) => !self.is_stubborn,
            _ => false,
        }
    }
}

/// A request on the wire. Dropped there, it is applied if it is stubborn.
struct OnTheWire<T, A: FnOnce(&mut Objects) -> Result<T, RemoteError>> {
    shared: Arc<Shared>,
    asked: Asked,
    course: Course,
    apply: Option<A>,
}

impl<T, A: FnOnce(&mut Objects) -> Result<T, RemoteError>> OnTheWire<T, A> {
    /// Applies it; none when that was done before.
    fn apply(&mut self, how: &str) -> Option<Result<T, RemoteError>> {
        let apply = self.apply.take()?;
        let mut state = self.shared.state();
        let outcome = apply(&mut state.objects);
        let verdict = match &outcome {
            Ok(_) => "ok".to_owned(),
            Err(error) => format!("{:?}", error.kind()),
        };
        state.note(format_args!("#{} {how} {verdict}", self.course.number));
        Some(outcome)
    }
}

impl<T, A: FnOnce(&mut Objects) -> Result<T, RemoteError>> Drop for OnTheWire<T, A> {
    fn drop(&mut self) {
        let arrives = self.course.is_stubborn && !self.course.is_kept_away();
        if self.asked.changes() && arrives && self.apply.is_some() {
            drop(self.apply("arrives late"));
        }
    }
}

/// Sends a request; `apply` is what the server does with it.
pub(super) fn send<T: Answer>(
    shared: &Arc<Shared>,
    asked: Asked,
    apply: impl FnOnce(&mut Objects) -> Result<T, RemoteError> + 'static,
) -> RemoteFuture<T> {
    if !on_executor() {
        let error = asked.error(
            RemoteErrorKind::Invalid,
            "a simulated store is used on executors of a simulated world only",
        );
        return Box::pin(async move { Err(error) });
    }
    let course = Course::draw(&mut shared.state(), &asked);
    let lost = asked.reset();
    let (answer, answered) = oneshot::channel();
    let wire = OnTheWire { shared: Arc::clone(shared), asked, course, apply: Some(apply) };
    drop(aquifer_io::spawn_local(carry(wire, answer)));
    // The executor of the request ended: its machine is gone.
    Box::pin(async move { answered.await.unwrap_or(Err(lost)) })
}

async fn carry<T: Answer, A: FnOnce(&mut Objects) -> Result<T, RemoteError>>(
    mut wire: OnTheWire<T, A>,
    mut answer: oneshot::Sender<Result<T, RemoteError>>,
) {
    let there = wire.course.latency / 2;
    pause(there).await;
    let fault = wire.course.fault;
    if wire.course.is_kept_away() {
        wire.apply = None;
        let error = match fault {
            Some(Fault::Unavailable) => wire
                .asked
                .error(RemoteErrorKind::Unavailable, "the server answered 503")
                .with_status(503, None),
            Some(Fault::ResetBefore) => wire.asked.reset(),
            _ => return answer.closed().await,
        };
        drop(answer.send(Err(error)));
        return;
    }
    if answer.is_closed() {
        // Dropped on the wire.
        return;
    }
    let Some(outcome) = wire.apply("applied") else { return };
    let fetched_bytes = outcome.as_ref().map_or(0, Answer::bytes);
    let moved_bytes = wire.asked.sent_bytes.saturating_add(fetched_bytes);
    let passes = wire.shared.state().carry(moved_bytes);
    pause(wire.course.latency.saturating_sub(there) + passes).await;
    let outcome = match fault {
        Some(Fault::ResetAfter) => Err(wire.asked.reset()),
        Some(Fault::Truncated) if fetched_bytes > 0 => {
            let error = wire.asked.error(RemoteErrorKind::Truncated, "the body ended early");
            Err(error.with_bytes(fetched_bytes, fetched_bytes / 2))
        }
        Some(Fault::Stall) => return answer.closed().await,
        Some(Fault::SlowClose) => {
            pause(wire.course.latency.max(Duration::from_millis(1))).await;
            outcome
        }
        _ => outcome,
    };
    drop(answer.send(outcome));
}

async fn pause(duration: Duration) {
    if !duration.is_zero() {
        aquifer_io::sleep(duration).await;
    }
}
