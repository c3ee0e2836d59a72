//! Servers that repeat what they were sent: no known secret is shown, whoever wrote it and however it is dressed.

use std::fmt::Write;
use std::sync::Arc;

use aquifer_io::block_on;
use aquifer_remote::{Remote, RemoteOptions};

use crate::http::{Request, answer, serve};
use crate::stores::{ACCOUNT_KEY, Kind, SECRET, each};

/// All of a request, as text.
fn echo(request: &Request) -> String {
    let mut text = format!("{} {}", request.method, request.target);
    for (name, value) in &request.headers {
        let _ = write!(text, " {name}: {value}");
    }
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn entities(text: &str) -> String {
    text.bytes().map(|byte| format!("&#{byte};")).collect()
}

type Dress = fn(&str) -> String;

/// How a server may write what it was sent.
const DRESSES: [(&str, Dress); 6] = [
    ("as it is", |text| text.to_owned()),
    ("escaped", escaped),
    ("percent", percent),
    ("entities", entities),
    ("far behind", |text| format!("{} {text}", "x".repeat(150))),
    ("token first", |text| format!("{} {text}", &SECRET[..20])),
];

/// No eight characters of it are in the text.
#[track_caller]
fn is_hidden(secret: &str, text: &str, what: &str) {
    for at in 0..secret.len().saturating_sub(8) {
        let part = &secret[at..at + 8];
        assert!(!text.contains(part), "{what}: {part} of {secret} is in\n{text}");
        assert!(!text.contains(&percent(part)), "{what}: {part} of {secret} is in\n{text}");
    }
}

/// A server that repeated the request in its `<Message>` had our session token printed.
#[test]
fn a_server_that_repeats_the_request_shows_no_secret() {
    for kind in Kind::ALL {
        for (dress, wear) in DRESSES {
            for status in ["400 Bad Request", "403 Forbidden", "500 Internal Server Error"] {
                let address = serve(move |request| {
                    let text = wear(&echo(request));
                    let body = match kind {
                        Kind::WebHdfs => {
                            let text = text.replace('\\', "\\\\").replace('"', "\\\"");
                            format!(
                                "{{\"RemoteException\":{{\"exception\":\"{0}\",\"message\":\"{0}\"}}}}",
                                text
                            )
                        }
                        _ => format!("<Error><Code>{text}</Code><Message>{text}</Message></Error>"),
                    };
                    answer(status, "", body)
                });
                let options = RemoteOptions { retries_max: 0, ..RemoteOptions::default() };
                shows_nothing(kind, dress, &kind.open(address, options));
            }
        }
    }
}

fn shows_nothing(kind: Kind, dress: &str, remote: &Arc<dyn Remote>) {
    let mut texts = format!("{remote:?} {}", remote.describe());
    for (operation, outcome) in block_on(each(remote)) {
        let Err(error) = outcome else { continue };
        let _ = write!(texts, "\n{operation}: {error} {error:?}");
        let mut source = std::error::Error::source(&error);
        while let Some(error) = source {
            let _ = write!(texts, " {error} {error:?}");
            source = error.source();
        }
    }
    for secret in [SECRET, ACCOUNT_KEY, "wJalrXUtnFEMI/K7MDENG"] {
        is_hidden(secret, &texts, &format!("{kind:?} {dress}"));
    }
    // The header of user and password, and the signature of S3.
    is_hidden("c29tZWJvZHk6SVFvSmIzSnAvWjJsdVgyVmpFSnI", &texts, dress);
    assert!(!texts.contains("Signature=0") && !texts.contains("Signature=a"), "{texts}");
}
