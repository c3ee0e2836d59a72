//! What the errors of the HTTP client say, without the URLs that they name; and the one of a server that is too slow.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use object_store::client::{HttpError, HttpErrorKind};

use crate::secrets::masked;

/// True when TLS itself is what failed: its library reports that as invalid data.
pub(crate) fn is_tls(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(current) = next {
        // Such errors are wrapped in others of their type, which hide them from the chain of sources.
        let mut inner = current.downcast_ref::<io::Error>();
        while let Some(error) = inner {
            if error.kind() == io::ErrorKind::InvalidData {
                return true;
            }
            inner = error.get_ref().and_then(|error| error.downcast_ref());
        }
        next = current.source();
    }
    false
}

/// The innermost text of an error, which says what happened; the outer ones repeat URLs.
pub(crate) fn innermost(error: &(dyn StdError + 'static)) -> String {
    const CHARS_MAX: usize = 200;
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let text = if innermost.is::<reqwest::Error>() {
        // No source: its own text could name the URL.
        "the request failed".to_owned()
    } else {
        innermost.to_string()
    };
    masked(text.lines().next().unwrap_or("")).chars().take(CHARS_MAX).collect()
}

/// The server was silent, or too slow, for so long.
pub(crate) fn late(wait: Duration) -> HttpError {
    HttpError::new(HttpErrorKind::Timeout, Late { wait })
}

#[derive(Debug, thiserror::Error)]
#[error("no byte from the server for {:.1} s, or too few in that time", wait.as_secs_f64())]
struct Late {
    wait: Duration,
}
