//! From what went wrong in the folder to what S3 clients are told, and blocking calls with that translation.

use std::io::{self, ErrorKind};

use s3s::dto::ETagCondition;
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};
use tokio::task::spawn_blocking;

use super::folder::Publish;
use super::uploads::UploadError;
use crate::beneath::Foreign;

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
    if let Some(foreign) = Foreign::of(error) {
        return s3_error!(InvalidObjectState, "not served: {}", foreign);
    }
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => s3_error!(NoSuchKey),
        ErrorKind::AlreadyExists => s3_error!(PreconditionFailed, "the object exists"),
        ErrorKind::InvalidFilename => s3_error!(KeyTooLongError),
        // Repeating does not help, so no 500.
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            s3_error!(AccessDenied, "the server may not do that in its own folder: {}", error)
        }
        ErrorKind::IsADirectory | ErrorKind::DirectoryNotEmpty => {
            s3_error!(InvalidObjectState, "not served: {}", Foreign::Kind)
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            let mut full = S3Error::with_message(
                S3ErrorCode::Custom("InsufficientStorage".into()),
                "no space left in the server's folder",
            );
            full.set_status_code(hyper::StatusCode::INSUFFICIENT_STORAGE);
            full
        }
        _ if is_out_of_files(error) => {
            s3_error!(SlowDown, "the server has as many files open as it may: {}", error)
        }
        _ => s3_error!(InternalError, "{}", error),
    }
}

/// The process or the machine has no descriptor left: there will be some when others are done.
pub(super) fn is_out_of_files(error: &io::Error) -> bool {
    let out = [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE];
    out.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

pub(super) fn upload_failed(error: &UploadError) -> S3Error {
    match error {
        UploadError::Unknown => s3_error!(NoSuchUpload),
        UploadError::TooMany(most) => s3_error!(
            SlowDown,
            "{} multipart uploads are under way, as many as this server keeps: complete or abort some, or wait until some are \
             silent for ten minutes",
            most
        ),
        UploadError::TooManyParts => s3_error!(
            SlowDown,
            "the multipart uploads under way have as many parts as this server keeps: complete or abort some"
        ),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A 500 is repeated by every client; what a repeat cannot mend has another answer.
    #[test]
    fn what_the_folder_cannot_do_has_an_answer_of_its_own() {
        let code = |error: io::Error| failed(&error).code().as_str().to_owned();
        for (kind, expected) in [
            (ErrorKind::ReadOnlyFilesystem, "AccessDenied"),
            (ErrorKind::PermissionDenied, "AccessDenied"),
            (ErrorKind::StorageFull, "InsufficientStorage"),
            (ErrorKind::QuotaExceeded, "InsufficientStorage"),
            (ErrorKind::InvalidFilename, "KeyTooLongError"),
            (ErrorKind::IsADirectory, "InvalidObjectState"),
            (ErrorKind::NotADirectory, "NoSuchKey"),
            (ErrorKind::Other, "InternalError"),
        ] {
            assert_eq!(code(kind.into()), expected, "{kind:?}");
        }
        assert_eq!(code(Foreign::Link.into()), "InvalidObjectState");
        let out_of_files = io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error());
        assert_eq!(code(out_of_files), "SlowDown");
    }
}
