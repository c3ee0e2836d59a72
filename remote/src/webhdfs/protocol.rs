//! The words of WebHDFS: URLs, JSON answers, and what its exceptions mean.
//!
//! ```text
//! http://host:port/webhdfs/v1/<root>/<path>?op=OPEN&offset=0&length=4096&user.name=flink
//! {"RemoteException":{"exception":"FileNotFoundException","javaClassName":"…","message":"File /x does not exist."}}
//! ```
//!
//! | exception | kind | repeated |
//! |---|---|---|
//! | `FileNotFoundException` | `NotFound` | no |
//! | `AccessControlException`, `SecurityException`, `InvalidToken`, …, status 401 | `PermissionDenied` | no |
//! | `StandbyException` (also inside another), `SafeModeException`, `RetriableException`, lease conflicts, status 5xx | `Unavailable` | yes |
//! | `IOException` about datanodes and blocks | `Unavailable` | yes |
//! | 404 without an exception, `UnsupportedOperationException` | `InvalidUrl`: no WebHDFS there | no |
//! | others | `Other` | no |

use std::time::Duration;

use reqwest::Url;
use reqwest::header::RETRY_AFTER;
use serde::Deserialize;

use crate::error::{RemoteError, RemoteErrorKind};
use crate::exchange::{Answer, Fault};
use crate::name::encoded;
use crate::refusal::retry_after_of;
use crate::secrets::masked;

/// Longest message of the server that is shown.
const MESSAGE_CHARS_MAX: usize = 200;

/// Who asks.
#[derive(Clone)]
pub(super) enum Caller {
    /// The server decides.
    Nobody,
    /// Simple authentication: the server believes the name.
    User(String),
    /// A secret.
    Token(String),
}

impl Caller {
    /// The query parameter that says who asks.
    fn parameter(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Nobody => None,
            Self::User(name) => Some(("user.name", name)),
            Self::Token(token) => Some(("delegation", token)),
        }
    }

    /// A text of the server without the token, should it repeat that.
    pub(super) fn scrub(&self, text: &str) -> String {
        match self {
            Self::Token(token) => text.replace(token.as_str(), "(token)"),
            _ => text.to_owned(),
        }
    }
}

/// The URL of an operation on an absolute path (`/a/b`, checked).
pub(super) fn operation_url(
    namenode: &Url,
    path: &str,
    op: &str,
    parameters: &[(&str, &str)],
    caller: &Caller,
) -> Url {
    let mut url = namenode.clone();
    url.set_path(&format!("/webhdfs/v1{}", encoded(path)));
    {
        let mut query = url.query_pairs_mut();
        query.append_pair("op", op);
        query.extend_pairs(parameters);
        query.extend_pairs(caller.parameter());
    }
    url
}

/// Why an attempt did not do what it should.
#[derive(Debug)]
pub(super) enum Trouble {
    Fault(Fault),
    Refused(Refusal),
    /// An answer that makes no sense.
    Nonsense(String),
    /// The name is a folder's: nothing was given that name, and nothing ever will be.
    IsFolder,
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Trouble {
    /// True when another try may go better.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Fault(fault) => fault.is_passing(),
            Self::Refused(refusal) => refusal.kind() == RemoteErrorKind::Unavailable,
            Self::Nonsense(_) | Self::IsFolder => false,
        }
    }

    /// True when the request may have been, or may yet be, carried out.
    pub(super) fn may_be_applied(&self) -> bool {
        match self {
            Self::Fault(fault) => fault.may_be_applied(),
            Self::Refused(refusal) => refusal.exception.is_empty() && refusal.status >= 500,
            Self::Nonsense(_) => true,
            Self::IsFolder => false,
        }
    }

    pub(super) fn is(&self, exception: &str) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.exception == exception)
    }

    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.kind() == RemoteErrorKind::NotFound)
    }

    /// The error of an operation that ends with this.
    pub(super) fn error(&self, operation: &'static str) -> RemoteError {
        match self {
            Self::Fault(fault) => fault.error(operation),
            // The meaning of this kind says all.
            Self::Refused(refusal) if refusal.kind() == RemoteErrorKind::NotFound => {
                RemoteError::new(RemoteErrorKind::NotFound, operation)
            }
            Self::Refused(refusal) => RemoteError::new(refusal.kind(), operation)
                .with_cause(refusal.text())
                .with_status(refusal.status, refusal.retry_after),
            Self::Nonsense(what) => {
                RemoteError::new(RemoteErrorKind::Other, operation).with_cause(what.as_str())
            }
            Self::IsFolder => {
                RemoteError::new(RemoteErrorKind::Other, operation).with_cause("a folder has this name")
            }
        }
    }
}

/// An answer of a namenode or datanode that is no success.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    /// The exception's simple name, "" when the answer holds none.
    pub(super) exception: String,
    pub(super) message: String,
    /// How long the server asks to be left alone.
    pub(super) retry_after: Option<Duration>,
}

#[derive(Deserialize)]
struct ExceptionAnswer {
    #[serde(rename = "RemoteException")]
    exception: ExceptionBody,
}

#[derive(Deserialize)]
struct ExceptionBody {
    exception: String,
    #[serde(default)]
    message: String,
}

impl Refusal {
    /// Reads an error answer; of its body only the exception's name and the first line of its message are kept.
    pub(super) async fn read(answer: Answer, caller: &Caller) -> Self {
        let status = answer.status();
        let retry_after = answer.header(&RETRY_AFTER).and_then(retry_after_of);
        Self { retry_after, ..Self::parse(status, &answer.refusal().await, caller) }
    }

    fn parse(status: u16, body: &str, caller: &Caller) -> Self {
        let Ok(answer) = serde_json::from_str::<ExceptionAnswer>(body) else {
            return Self { status, ..Self::default() };
        };
        let clean = |text: &str, chars_max: usize| -> String {
            let line: String =
                text.lines().next().unwrap_or("").chars().filter(|one| !one.is_control()).collect();
            masked(&caller.scrub(&line)).chars().take(chars_max).collect()
        };
        let ExceptionBody { exception, message } = answer.exception;
        let message = clean(&message, MESSAGE_CHARS_MAX);
        Self { status, exception: clean(&exception, 80), message, retry_after: None }
    }

    fn is_token(&self) -> bool {
        self.exception == "InvalidToken"
            || self.message.contains("InvalidToken")
            || self.message.contains("token (")
    }

    pub(super) fn kind(&self) -> RemoteErrorKind {
        // A standby namenode hides its refusal inside one about the caller.
        if self.message.contains("StandbyException") {
            return RemoteErrorKind::Unavailable;
        }
        match self.exception.as_str() {
            "FileNotFoundException" => RemoteErrorKind::NotFound,
            "AccessControlException"
            | "SecurityException"
            | "AuthorizationException"
            | "InvalidToken"
            | "AuthenticationException" => RemoteErrorKind::PermissionDenied,
            "StandbyException"
            | "SafeModeException"
            | "RetriableException"
            | "AlreadyBeingCreatedException"
            | "RecoveryInProgressException"
            | "LeaseExpiredException"
            | "NotReplicatedYetException"
            | "ReplicaNotFoundException"
            | "BlockMissingException"
            | "ConnectException"
            | "NoRouteToHostException"
            | "SocketTimeoutException"
            | "SocketException"
            | "EOFException"
            | "InterruptedIOException"
            | "ClosedChannelException" => RemoteErrorKind::Unavailable,
            "IOException" if self.is_about_datanodes() => RemoteErrorKind::Unavailable,
            "UnsupportedOperationException" => RemoteErrorKind::InvalidUrl,
            _ if self.is_token() => RemoteErrorKind::PermissionDenied,
            "" if matches!(self.status, 401 | 403) => RemoteErrorKind::PermissionDenied,
            "" if matches!(self.status, 404 | 405) => RemoteErrorKind::InvalidUrl,
            _ if self.status >= 500 || matches!(self.status, 408 | 429) => RemoteErrorKind::Unavailable,
            _ => RemoteErrorKind::Other,
        }
    }

    /// Datanodes that are dead, full or being replaced: plain `IOException`s that only their text tells apart.
    fn is_about_datanodes(&self) -> bool {
        const SIGNS: [&str; 10] = [
            "could only be replicated to",
            "could only be written to",
            "Could not obtain block",
            "No active nodes",
            "All datanodes",
            "Failed to replace a bad datanode",
            "Unable to create new block",
            "Unable to close file",
            "Bad connect ack",
            "Filesystem closed",
        ];
        SIGNS.iter().any(|sign| self.message.contains(sign))
    }

    fn text(&self) -> String {
        let mut text = format!("the server answered {}", self.status);
        if !self.exception.is_empty() {
            text = format!("{text} {}", self.exception);
        }
        if !self.message.is_empty() {
            text = format!("{text}: {}", self.message);
        }
        let remedy = match self.kind() {
            RemoteErrorKind::PermissionDenied if self.is_token() => {
                " (delegation token expired or unknown: fetch a new one and set AQUIFER_HDFS_DELEGATION_TOKEN)"
            }
            RemoteErrorKind::PermissionDenied if self.status == 401 => {
                " (authentication required: set AQUIFER_HDFS_DELEGATION_TOKEN, or AQUIFER_HDFS_USER without Kerberos)"
            }
            RemoteErrorKind::PermissionDenied => " (check AQUIFER_HDFS_USER and the folder's permissions)",
            RemoteErrorKind::InvalidUrl => {
                " (no WebHDFS there: check host and port, and that dfs.webhdfs.enabled is true)"
            }
            _ => "",
        };
        text + remedy
    }
}

/// `{"boolean": true}`
#[derive(Deserialize)]
pub(super) struct BooleanAnswer {
    pub(super) boolean: bool,
}

/// `{"FileStatus": {..}}`
#[derive(Deserialize)]
pub(super) struct StatusAnswer {
    #[serde(rename = "FileStatus")]
    pub(super) status: FileStatus,
}

/// What the namenode says about one file or folder.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct FileStatus {
    #[serde(rename = "pathSuffix", default)]
    pub(super) path_suffix: String,
    #[serde(rename = "type")]
    kind: String,
    pub(super) length: u64,
}

impl FileStatus {
    pub(super) fn is_file(&self) -> bool {
        self.kind == "FILE"
    }

    pub(super) fn is_folder(&self) -> bool {
        self.kind == "DIRECTORY"
    }
}

/// `{"FileStatuses": {"FileStatus": [..]}}`
#[derive(Deserialize)]
pub(super) struct ListAnswer {
    #[serde(rename = "FileStatuses")]
    pub(super) statuses: FileStatuses,
}

#[derive(Deserialize)]
pub(super) struct FileStatuses {
    #[serde(rename = "FileStatus", default)]
    pub(super) entries: Vec<FileStatus>,
}

/// `{"DirectoryListing": {"partialListing": {"FileStatuses": ..}, "remainingEntries": 7}}`
#[derive(Deserialize)]
pub(super) struct BatchAnswer {
    #[serde(rename = "DirectoryListing")]
    pub(super) listing: DirectoryListing,
}

#[derive(Deserialize)]
pub(super) struct DirectoryListing {
    #[serde(rename = "partialListing")]
    pub(super) partial: ListAnswer,
    #[serde(rename = "remainingEntries")]
    pub(super) remaining: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, exception: &str, message: &str) -> Refusal {
        let body = format!(
            r#"{{"RemoteException":{{"exception":"{exception}","javaClassName":"x","message":"{message}"}}}}"#
        );
        Refusal::parse(status, &body, &Caller::Token("s3cr3t".to_owned()))
    }

    #[test]
    fn exceptions_are_told_apart() {
        use RemoteErrorKind::{InvalidUrl, NotFound, Other, PermissionDenied, Unavailable};
        for (status, exception, message, kind) in [
            (404, "FileNotFoundException", "File /x does not exist.", NotFound),
            (403, "AccessControlException", "Permission denied: user=a", PermissionDenied),
            (401, "SecurityException", "Failed to obtain user group information", PermissionDenied),
            (403, "InvalidToken", "token (HDFS_DELEGATION_TOKEN token 7 for a) is expired", PermissionDenied),
            (403, "IOException", "token (owner=a) can't be found in cache", PermissionDenied),
            (
                403,
                "SecurityException",
                "Failed to obtain user group information: org.apache.hadoop.security.token.SecretManager$InvalidToken: StandbyException",
                Unavailable,
            ),
            (
                403,
                "StandbyException",
                "Operation category READ is not supported in state standby",
                Unavailable,
            ),
            (403, "SafeModeException", "Cannot rename. Name node is in safe mode.", Unavailable),
            (403, "RetriableException", "Namenode is in startup mode", Unavailable),
            (403, "AlreadyBeingCreatedException", "for another client", Unavailable),
            (
                403,
                "IOException",
                "File /x could only be replicated to 0 nodes instead of minReplication",
                Unavailable,
            ),
            (403, "IOException", "Source and destination must both be directories", Other),
            (403, "DSQuotaExceededException", "The DiskSpace quota is exceeded", Other),
            (400, "UnsupportedOperationException", "op=OPEN is not supported", InvalidUrl),
            (500, "NullPointerException", "", Unavailable),
        ] {
            let refusal = refusal(status, exception, message);
            assert_eq!(refusal.kind(), kind, "{exception}: {message}");
            assert!(refusal.text().contains(exception), "{}", refusal.text());
        }
    }

    #[test]
    fn answers_without_an_exception_go_by_their_status() {
        use RemoteErrorKind::{InvalidUrl, Other, PermissionDenied, Unavailable};
        for (status, kind) in [
            (404, InvalidUrl),
            (401, PermissionDenied),
            (403, PermissionDenied),
            (503, Unavailable),
            (400, Other),
        ] {
            for body in ["", "<html>not found</html>", "{}", r#"{"RemoteException":7}"#] {
                assert_eq!(Refusal::parse(status, body, &Caller::Nobody).kind(), kind, "{status} {body}");
            }
        }
    }

    #[test]
    fn a_token_that_the_server_repeats_is_not_shown() {
        let refusal = refusal(400, "IllegalArgumentException", "Invalid value for delegation: s3cr3t");
        assert!(refusal.text().contains("(token)"), "{}", refusal.text());
        assert!(!format!("{refusal:?} {}", refusal.text()).contains("s3cr3t"));
        let expired = Refusal { exception: "InvalidToken".to_owned(), status: 403, ..Refusal::default() };
        assert!(expired.text().contains("expired"), "{}", expired.text());
    }

    #[test]
    fn parameters_are_encoded() {
        let namenode = Url::parse("http://nn:9870").unwrap();
        let caller = Caller::Token("a&b=c".to_owned());
        let url = operation_url(&namenode, "/jobs/~tmp/7", "RENAME", &[("destination", "/jobs/x")], &caller);
        assert_eq!(
            url.as_str(),
            "http://nn:9870/webhdfs/v1/jobs/~tmp/7?op=RENAME&destination=%2Fjobs%2Fx&delegation=a%26b%3Dc"
        );
    }
}
