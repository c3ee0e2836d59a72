//! First contact with a store by URL: whether it answers, lets us in, and keeps put-if-absent, found out before anything depends on
//! it.
//!
//! ```text
//! open ─> list one name ─> probe put-if-absent ─> open for the run
//! ```
//!
//! A store that does not answer is given up within ten seconds: a person waits. The run itself is more patient.

use std::sync::Arc;
use std::time::Duration;

use aquifer_remote::{
    OnWait, Remote, RemoteError, RemoteErrorKind, RemoteOptions, open_url, probe_put_if_absent,
};

use crate::failure::Failure;
use crate::progress::say;

/// How patient the first contact is.
fn impatient() -> RemoteOptions {
    RemoteOptions {
        attempt_timeout: Duration::from_secs(3),
        retries_max: 3,
        retry_time_max: Duration::from_secs(2),
        deadline: Duration::from_secs(6),
        patience: Duration::ZERO,
        ..RemoteOptions::default()
    }
}

/// How patient a run is with a store that the first contact found well: it says that it waits, and for how long.
pub(crate) fn patient(patience: Option<Duration>) -> RemoteOptions {
    let standard = RemoteOptions::default();
    RemoteOptions {
        patience: patience.unwrap_or(standard.patience),
        // Who names a time means all of it, also while nobody answers.
        patience_silent: patience.unwrap_or(standard.patience_silent),
        has_worked: true,
        on_wait: OnWait::call(say),
        ..standard
    }
}

/// What the first contact found out.
#[derive(Debug)]
pub(crate) struct Contact {
    /// For reading on, impatiently.
    pub(crate) remote: Arc<dyn Remote>,
    /// Nothing lies under the prefix.
    pub(crate) is_empty: bool,
}

/// Asks the store for a name.
pub(crate) async fn look(url: &str) -> Result<Contact, Failure> {
    let remote = open_url(url, impatient())?;
    let page = remote.list("", None, 1).await.map_err(|error| cannot(url, &remote, &error))?;
    Ok(Contact { remote, is_empty: page.entries.is_empty() })
}

/// Makes sure that of two who write the same name only one wins.
pub(crate) async fn probe(url: &str, contact: &Contact) -> Result<(), Failure> {
    let probed = probe_put_if_absent(&contact.remote, aquifer_io::random_u64()).await;
    probed.map_err(|error| cannot(url, &contact.remote, &error))
}

fn cannot(url: &str, remote: &Arc<dyn Remote>, error: &RemoteError) -> Failure {
    let text = error.to_string();
    let remedy = match error.kind() {
        RemoteErrorKind::Unsafe => {
            format!("; to look at it without writing: aquifer-bench check --read-only --store {url}")
        }
        _ => tls_remedy(&text).to_owned(),
    };
    Failure::Other(format!("cannot use the store {}: {text}{remedy}", remote.describe()))
}

/// What the TLS library says is for those who know its states.
fn tls_remedy(text: &str) -> &'static str {
    if text.contains("corrupt message") {
        "; the answer was no TLS: is the endpoint http:// and not https://?"
    } else if text.contains("certificate") {
        "; TLS: use an endpoint whose certificate this machine trusts for that name"
    } else {
        ""
    }
}
