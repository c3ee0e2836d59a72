//! What a store says when it refuses: status, code, message, and what follows for the caller.
//!
//! Invariants:
//! * Of the text of an error answer only S3's `Code` and `Message` are kept: bodies repeat signed headers.
//! * What is kept holds no secret that is known or that the request carried, and is masked before it is cut.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use object_store::client::{HttpError, HttpErrorKind};
use tokio::time::timeout;

use crate::bounds::{REFUSAL_BYTES_MAX, REFUSAL_WAIT};
use crate::error::RemoteErrorKind;
use crate::secrets::Carried;

/// Longest message taken out of an error answer.
const MESSAGE_CHARS_MAX: usize = 200;

/// An answer of the store that is no success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    /// S3's error code, "" when the answer has none.
    pub(crate) code: String,
    pub(crate) message: String,
    /// How long the server asks to be left alone.
    pub(crate) retry_after: Option<Duration>,
}

impl Refusal {
    /// True when the name of a create is taken.
    pub(crate) fn is_taken(&self) -> bool {
        self.status == 412 || (self.status == 409 && self.code == "BlobAlreadyExists")
    }

    /// True when the server says that it did not even try.
    pub(crate) fn surely_not_applied(&self) -> bool {
        matches!(self.status, 409 | 429) && !self.is_taken()
            || (self.status == 503 && self.code == "SlowDown")
    }

    /// True when the server failed while it may have been at work.
    pub(crate) fn may_be_applied(&self) -> bool {
        self.status >= 500 && self.status != 501 && !self.surely_not_applied()
    }

    fn is_passing(&self) -> bool {
        self.status >= 500 && self.status != 501
            || matches!(self.status, 408 | 429)
            || self.code == "RequestTimeout"
    }

    pub(crate) fn kind(&self) -> RemoteErrorKind {
        let code = self.code.as_str();
        match self.status {
            404 if code == "NoSuchBucket" => RemoteErrorKind::InvalidUrl,
            // The server forgot it (a restart): the upload can be started anew.
            404 if code == "NoSuchUpload" => RemoteErrorKind::Unavailable,
            404 => RemoteErrorKind::NotFound,
            401 | 403 => RemoteErrorKind::PermissionDenied,
            400 if matches!(code, "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired") => {
                RemoteErrorKind::PermissionDenied
            }
            // A wrong region or endpoint.
            301 | 302 | 307 | 308 => RemoteErrorKind::InvalidUrl,
            400 if matches!(code, "AuthorizationHeaderMalformed" | "InvalidBucketName") => {
                RemoteErrorKind::InvalidUrl
            }
            409 => RemoteErrorKind::Unavailable,
            416 => RemoteErrorKind::BadRange,
            501 => RemoteErrorKind::Unsafe,
            _ if self.is_passing() => RemoteErrorKind::Unavailable,
            _ => RemoteErrorKind::Other,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the server answered {}", self.status)?;
        if !self.code.is_empty() {
            write!(formatter, " {}", self.code)?;
        }
        if !self.message.is_empty() {
            write!(formatter, ": {}", self.message)?;
        }
        match self.status {
            301 | 302 | 307 | 308 => write!(formatter, " (a redirect: check AWS_REGION and AWS_ENDPOINT)"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Refusal {}

/// Turns an error answer into an error whose kind tells `object_store` whether to repeat.
pub(crate) async fn refuse<B: Body<Data = Bytes>>(
    answer: hyper::Response<B>,
    create: bool,
    carried: &Carried,
) -> HttpError {
    let status = answer.status().as_u16();
    let retry_after = answer.headers().get("retry-after").and_then(|value| value.to_str().ok());
    let retry_after = retry_after.and_then(retry_after_of);
    let mut body = Vec::new();
    // What has come by then is looked at.
    let _ = timeout(REFUSAL_WAIT, head_of(answer.into_body(), &mut body)).await;
    let text = String::from_utf8_lossy(&body);
    let refusal = Refusal {
        status,
        code: element(&text, "Code", carried).unwrap_or_default(),
        message: element(&text, "Message", carried).unwrap_or_default(),
        retry_after,
    };
    let repeat = if create { refusal.surely_not_applied() } else { refusal.is_passing() };
    HttpError::new(if repeat { HttpErrorKind::Request } else { HttpErrorKind::Unknown }, refusal)
}

/// Reads the first bytes of a body, as far as it can be read.
async fn head_of(body: impl Body<Data = Bytes>, bytes: &mut Vec<u8>) {
    let mut body = Box::pin(body);
    while let Some(Ok(frame)) = std::future::poll_fn(|context| body.as_mut().poll_frame(context)).await {
        if let Ok(data) = frame.into_data() {
            let room = REFUSAL_BYTES_MAX.saturating_sub(bytes.len());
            bytes.extend_from_slice(data.get(..room.min(data.len())).unwrap_or_default());
            if room <= data.len() {
                break;
            }
        }
    }
}

/// The text of the first XML element of this name, printable characters only.
fn element(xml: &str, name: &str, carried: &Carried) -> Option<String> {
    let start = xml.find(&format!("<{name}>"))? + name.len() + 2;
    let rest = xml.get(start..)?;
    let text = rest.get(..rest.find("</")?)?;
    let text: String = text.chars().filter(|character| !character.is_control()).collect();
    // Masked before it is cut: what is left of a cut secret is hard to know.
    Some(carried.masked(&text).chars().take(MESSAGE_CHARS_MAX).collect())
}

/// The seconds of a `Retry-After` header; its other form, a date, is passed over.
pub(crate) fn retry_after_of(text: &str) -> Option<Duration> {
    text.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_message_are_all_that_is_kept() {
        let xml = "<Error><Code>SignatureDoesNotMatch</Code><Message>no\nmatch</Message><CanonicalRequest>SECRET</CanonicalRequest></Error>";
        assert_eq!(element(xml, "Code", &Carried::default()).unwrap(), "SignatureDoesNotMatch");
        assert_eq!(element(xml, "Message", &Carried::default()).unwrap(), "nomatch");
        assert_eq!(element("<Code>", "Code", &Carried::default()), None);
        assert_eq!(element("", "Code", &Carried::default()), None);
    }

    #[test]
    fn a_create_is_repeated_only_when_surely_not_applied() {
        let refusal = |status, code: &str| Refusal {
            status,
            code: code.to_owned(),
            message: String::new(),
            retry_after: None,
        };
        assert!(refusal(503, "SlowDown").surely_not_applied());
        assert!(refusal(409, "ConditionalRequestConflict").surely_not_applied());
        for (status, code) in
            [(500, "InternalError"), (503, ""), (502, ""), (504, ""), (412, "PreconditionFailed")]
        {
            assert!(!refusal(status, code).surely_not_applied(), "{status} {code}");
        }
    }
}
