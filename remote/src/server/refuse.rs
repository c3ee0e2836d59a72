//! From what went wrong in the folder to what S3 clients are told, and blocking calls with that translation.

use std::io::{self, ErrorKind};

use s3s::dto::ETagCondition;
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};
use tokio::task::spawn_blocking;

use super::folder::Publish;
use super::uploads::UploadError;

/// Runs blocking file calls on the runtime's pool.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> S3Result<T> {
    match spawn_blocking(work).await {
        Ok(result) => result.map_err(|error| failed(&error)),
        Err(_) => Err(s3_error!(InternalError, "the server is stopping")),
    }
}

pub(super) async fn blocking_upload<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, UploadError> + Send + 'static,
) -> S3Result<T> {
    match spawn_blocking(work).await {
        Ok(result) => result.map_err(|error| upload_failed(&error)),
        Err(_) => Err(s3_error!(InternalError, "the server is stopping")),
    }
}

pub(super) fn failed(error: &io::Error) -> S3Error {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => s3_error!(NoSuchKey),
        ErrorKind::AlreadyExists => s3_error!(PreconditionFailed, "the object exists"),
        ErrorKind::InvalidFilename => s3_error!(KeyTooLongError),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            let mut full = S3Error::with_message(
                S3ErrorCode::Custom("InsufficientStorage".into()),
                "no space left in the server's folder",
            );
            full.set_status_code(hyper::StatusCode::INSUFFICIENT_STORAGE);
            full
        }
        _ => s3_error!(InternalError, "{}", error),
    }
}

pub(super) fn upload_failed(error: &UploadError) -> S3Error {
    match error {
        UploadError::Unknown => s3_error!(NoSuchUpload),
        UploadError::TooMany => s3_error!(SlowDown, "too many uploads at once"),
        UploadError::Number => s3_error!(InvalidArgument, "a part number is within 1..=10000"),
        UploadError::Part => s3_error!(InvalidPart),
        UploadError::Order => s3_error!(InvalidPartOrder),
        UploadError::Small => s3_error!(EntityTooSmall),
        UploadError::Io(error) => failed(error),
    }
}

/// What the conditions of a write ask for. One that this server does not know is refused: a condition must never be ignored.
pub(super) fn publish_of(
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
) -> S3Result<Publish> {
    match (if_match, if_none_match) {
        (None, None) => Ok(Publish::Overwrite),
        (None, Some(ETagCondition::Any)) => Ok(Publish::IfAbsent),
        _ => {
            Err(s3_error!(NotImplemented, "of conditions on writes only \"If-None-Match: *\" is implemented"))
        }
    }
}
