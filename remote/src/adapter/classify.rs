//! From the errors of `object_store` and of the HTTP client to [`RemoteError`], without secrets.
//!
//! What a put-if-absent may conclude:
//!
//! | answer | conclusion |
//! |---|---|
//! | 200 | created |
//! | 412, Azure's 409 `BlobAlreadyExists` | the name is taken |
//! | 409, 429, 503 `SlowDown`, no connection | not applied: unavailable, try again |
//! | 401, 403, 404, other 4xx, 501 | refused |
//! | other 5xx, reset, timeout, anything unclear | in doubt |

use std::error::Error as StdError;
use std::io;

use object_store::Error;
use object_store::client::{HttpError, HttpErrorKind};

use crate::bounded_body::TooLong;
use crate::error::{RemoteError, RemoteErrorKind};
use crate::http_client::{Endless, TlsFailed};
use crate::name::ObjectName;
use crate::refusal::Refusal;
use crate::secrets::masked;
use crate::store::PutOutcome;

/// Longest text that is taken over from below.
const CAUSE_CHARS_MAX: usize = 300;

/// An error about one object.
pub(super) fn error(operation: &'static str, name: &ObjectName, error: &Error) -> RemoteError {
    plain(operation, error).with_object(name)
}

/// An error about no object in particular.
pub(crate) fn plain(operation: &'static str, error: &Error) -> RemoteError {
    let kind = kind_of(error);
    let cause = cause_of(error);
    let plain = answered(RemoteError::new(kind, operation), error);
    // The meaning of these says all, and their causes only repeat the path.
    if kind == RemoteErrorKind::NotFound { plain } else { plain.with_cause(cause) }
}

/// Adds what the server answered, if it did.
fn answered(error: RemoteError, failure: &Error) -> RemoteError {
    match find::<Refusal>(failure) {
        Some(refusal) => error.with_status(refusal.status, refusal.retry_after),
        None => error,
    }
}

/// How a put-if-absent ended that did not plainly succeed.
pub(super) fn create(name: &ObjectName, failure: &Error) -> Result<PutOutcome, RemoteError> {
    if let Some(refusal) = find::<Refusal>(failure) {
        if refusal.is_taken() {
            return Ok(PutOutcome::Exists);
        }
        if refusal.may_be_applied() {
            return Err(in_doubt(name, failure));
        }
        return Err(error("put_if_absent", name, failure));
    }
    if matches!(failure, Error::AlreadyExists { .. }) {
        return Ok(PutOutcome::Exists);
    }
    // The HTTP client repeats a create only while no connection was made, so this was the end of such tries.
    if find::<HttpError>(failure).is_some_and(|http| http.kind() == HttpErrorKind::Connect) {
        return Err(error("put_if_absent", name, failure));
    }
    let plain = error("put_if_absent", name, failure);
    match plain.kind() {
        RemoteErrorKind::Unavailable | RemoteErrorKind::Other | RemoteErrorKind::Truncated => {
            Err(in_doubt(name, failure))
        }
        _ => Err(plain),
    }
}

fn in_doubt(name: &ObjectName, failure: &Error) -> RemoteError {
    let in_doubt = RemoteError::new(RemoteErrorKind::InDoubt, "put_if_absent").with_object(name);
    answered(in_doubt, failure).with_cause(cause_of(failure))
}

fn kind_of(error: &Error) -> RemoteErrorKind {
    if let Some(refusal) = find::<Refusal>(error) {
        return refusal.kind();
    }
    if find::<TlsFailed>(error).is_some() {
        return RemoteErrorKind::InvalidUrl;
    }
    if let Some(too_long) = find::<TooLong>(error) {
        // Of an object another try may bring what was announced. Another answer is none of a store's.
        return if too_long.is_object { RemoteErrorKind::Truncated } else { RemoteErrorKind::Other };
    }
    if find::<Endless>(error).is_some() {
        return RemoteErrorKind::Other;
    }
    if let Some(http) = find::<HttpError>(error) {
        return match http.kind() {
            HttpErrorKind::Decode => RemoteErrorKind::Truncated,
            _ => RemoteErrorKind::Unavailable,
        };
    }
    match error {
        Error::NotFound { .. } => return RemoteErrorKind::NotFound,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            return RemoteErrorKind::PermissionDenied;
        }
        Error::InvalidPath { .. } => return RemoteErrorKind::InvalidName,
        Error::NotSupported { .. } | Error::NotImplemented { .. } => return RemoteErrorKind::Unsafe,
        Error::UnknownConfigurationKey { .. } => return RemoteErrorKind::InvalidUrl,
        _ => {}
    }
    match find::<io::Error>(error).map(io::Error::kind) {
        Some(io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => RemoteErrorKind::NotFound,
        Some(io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => {
            RemoteErrorKind::PermissionDenied
        }
        _ => RemoteErrorKind::Other,
    }
}

/// The first error of type `E` in the chain of sources.
fn find<E: StdError + 'static>(error: &Error) -> Option<&E> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(current) = next {
        if let Some(found) = current.downcast_ref::<E>() {
            return Some(found);
        }
        next = current.source();
    }
    None
}

/// The text of what lies below, rebuilt from parts that cannot hold a secret.
fn cause_of(error: &Error) -> String {
    if let Some(refusal) = find::<Refusal>(error) {
        return refusal.to_string();
    }
    if let Some(tls) = find::<TlsFailed>(error) {
        return tls.to_string();
    }
    if let Some(too_long) = find::<TooLong>(error) {
        return too_long.to_string();
    }
    if let Some(endless) = find::<Endless>(error) {
        return endless.to_string();
    }
    if let Some(http) = find::<HttpError>(error) {
        return chain(http);
    }
    cut(&error.to_string())
}

/// The innermost text of an HTTP error, which says what happened ("Connection refused"), after the outermost.
fn chain(error: &HttpError) -> String {
    let mut innermost: &dyn StdError = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let kind = match error.kind() {
        HttpErrorKind::Connect => "cannot connect",
        HttpErrorKind::Timeout => "timed out",
        HttpErrorKind::Request | HttpErrorKind::Interrupted => "connection broke",
        HttpErrorKind::Decode => "unreadable answer",
        _ => "HTTP request failed",
    };
    cut(&format!("{kind}: {innermost}"))
}

/// Bodies of answers may repeat signed headers and tokens: everything after a status code goes. The rest is kept on one line.
fn cut(text: &str) -> String {
    let end = text.find("status code: ").map_or(text.len(), |at| {
        let after = at + "status code: ".len();
        after + text.get(after..).and_then(|rest| rest.find(':')).unwrap_or(text.len() - after)
    });
    let kept = text.get(..end).unwrap_or(text);
    masked(kept.lines().next().unwrap_or("")).chars().take(CAUSE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_do_not_reach_the_text() {
        let text = "Generic S3 error: Server returned non-2xx status code: 403 Forbidden: <x-amz-security-token:SECRET>";
        assert_eq!(cut(text), "Generic S3 error: Server returned non-2xx status code: 403 Forbidden");
        assert_eq!(cut("one\ntwo"), "one");
        assert_eq!(cut(&"ä".repeat(400)).chars().count(), CAUSE_CHARS_MAX);
    }
}
