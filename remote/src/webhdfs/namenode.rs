//! Single requests to the namenode and, through its redirects, to datanodes.
//!
//! ```text
//! PUT namenode ?op=CREATE ──307──> PUT datanode (the bytes) ──> 201
//! GET namenode ?op=OPEN   ──307──> GET datanode             ──> 200, the bytes
//! ```
//!
//! A redirect may lead to a datanode that has just died, for minutes until the namenode notices. So a datanode that took no connection is
//! remembered for a while, and the namenode is asked again, told to exclude it, until it names another.
//!
//! Invariants:
//! * Bytes go to datanodes only, never to the namenode.
//! * A redirect is outside data: only `http(s)://…/webhdfs/v1/…`, and never from TLS to cleartext, as it carries the token.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{Method, Url};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::protocol::{BooleanAnswer, Caller, FileStatus, Refusal, StatusAnswer, Trouble, operation_url};
use crate::content::Content;
use crate::exchange::{Answer, Exchange, Fault};

/// Longest answer with one status or truth value.
const ANSWER_BYTES_MAX: u64 = 64 << 10;
/// A datanode that took no connection is avoided that long.
const DEAD_FOR: Duration = Duration::from_secs(30);
/// Datanodes that are remembered as dead.
const DEAD_MAX: usize = 256;
/// How often the namenode is asked for a datanode that is not known to be dead.
const ASKS_MAX: usize = 12;

/// The namenode of one store.
pub(super) struct Namenode {
    pub(super) exchange: Exchange,
    url: Url,
    pub(super) caller: Caller,
    dead: Mutex<HashMap<String, Instant>>,
}

impl Namenode {
    /// `url` is the namenode's address, `http(s)://host:port`.
    pub(super) fn new(exchange: Exchange, url: Url, caller: Caller) -> Self {
        Self { exchange, url, caller, dead: Mutex::default() }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        op: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Answer, Trouble> {
        let url = operation_url(&self.url, path, op, parameters, &self.caller);
        Ok(self.exchange.send(self.exchange.request(method, url)).await?)
    }

    /// One request that the namenode answers itself with 200 and JSON.
    pub(super) async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        op: &str,
        parameters: &[(&str, &str)],
        bytes_max: u64,
    ) -> Result<T, Trouble> {
        let answer = self.ask(method, path, op, parameters).await?;
        if answer.status() != 200 {
            return Err(Trouble::Refused(Refusal::read(answer, &self.caller).await));
        }
        let body = answer.body(bytes_max).await?;
        parse(&body, op)
    }

    /// What is at a path; none when nothing is.
    pub(super) async fn status(&self, path: &str) -> Result<Option<FileStatus>, Trouble> {
        match self.json::<StatusAnswer>(Method::GET, path, "GETFILESTATUS", &[], ANSWER_BYTES_MAX).await {
            Ok(answer) => Ok(Some(answer.status)),
            Err(trouble) if trouble.is_not_found() => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    /// Makes a folder with its parents.
    pub(super) async fn make_folders(&self, path: &str) -> Result<(), Trouble> {
        match self.json::<BooleanAnswer>(Method::PUT, path, "MKDIRS", &[], ANSWER_BYTES_MAX).await?.boolean {
            true => Ok(()),
            false => Err(Trouble::Nonsense("the folder was not made".to_owned())),
        }
    }

    /// Deletes a file, or a folder when it is empty. True when it was there.
    pub(super) async fn delete(&self, path: &str) -> Result<bool, Trouble> {
        let recursive = [("recursive", "false")];
        let answer =
            self.json::<BooleanAnswer>(Method::DELETE, path, "DELETE", &recursive, ANSWER_BYTES_MAX).await?;
        Ok(answer.boolean)
    }

    /// Renames a file, where `option` (`NONE` or `OVERWRITE`) says what happens to one that has the new name. `None` when the
    /// server did so; the truth value of an older protocol, which knows no option, when it answered that.
    pub(super) async fn rename(&self, from: &str, to: &str, option: &str) -> Result<Option<bool>, Trouble> {
        let parameters = [("destination", to), ("renameoptions", option)];
        let answer = self.ask(Method::PUT, from, "RENAME", &parameters).await?;
        if answer.status() != 200 {
            return Err(Trouble::Refused(Refusal::read(answer, &self.caller).await));
        }
        let body = answer.body(ANSWER_BYTES_MAX).await?;
        if body.is_empty() {
            return Ok(None);
        }
        parse::<BooleanAnswer>(&body, "RENAME").map(|answer| Some(answer.boolean))
    }

    /// The URL of the datanode that carries out the second step of an operation.
    async fn datanode(
        &self,
        method: &Method,
        path: &str,
        op: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Url, Trouble> {
        let mut excluded = String::new();
        for ask in 1..=ASKS_MAX {
            let mut parameters = parameters.to_vec();
            // Every second time without: where all nodes seem dead, one of them may be back.
            if !excluded.is_empty() && ask % 2 == 0 {
                parameters.push(("excludedatanodes", &excluded));
            }
            let answer = self.ask(method.clone(), path, op, &parameters).await?;
            if answer.status() != 307 {
                let refusal = Refusal::read(answer, &self.caller).await;
                if !excluded.is_empty() && refusal.message.contains("No active nodes") && ask < ASKS_MAX {
                    continue;
                }
                return Err(Trouble::Refused(refusal));
            }
            let url = self.check_redirect(answer.header(&LOCATION))?;
            if ask == ASKS_MAX || !self.is_dead(&url) {
                return Ok(url);
            }
            // By its name alone too, as namenodes know datanodes by another port.
            let host = url.host_str().unwrap_or_default();
            excluded = format!("{},{host}", address(&url));
        }
        Err(Trouble::Nonsense("no datanode".to_owned()))
    }

    fn check_redirect(&self, location: Option<&str>) -> Result<Url, Trouble> {
        let wrong = |what: &str| Err(Trouble::Nonsense(format!("the namenode redirects {what}")));
        let Some(url) = location.and_then(|text| Url::parse(text).ok()) else {
            return wrong("to no URL");
        };
        if !url.path().starts_with("/webhdfs/v1/") || url.host_str().is_none() {
            return wrong("to something that is not WebHDFS");
        }
        match (self.url.scheme(), url.scheme()) {
            (_, "https") | ("http", "http") => Ok(url),
            _ => wrong("from TLS to cleartext: use webhdfs://, or turn TLS on at the datanodes"),
        }
    }

    /// Sends the second step to a datanode. One that takes no connection is remembered as dead.
    pub(super) async fn through_datanode(
        &self,
        method: Method,
        path: &str,
        op: &str,
        parameters: &[(&str, &str)],
        content: Option<Content>,
    ) -> Result<Answer, Trouble> {
        let url = self.datanode(&method, path, op, parameters).await?;
        let request = self.exchange.request(method, url.clone());
        let sent = match content {
            Some(content) => {
                let request = request.header(CONTENT_TYPE, "application/octet-stream");
                self.exchange.send_content(request, content).await
            }
            None => self.exchange.send(request).await,
        };
        match sent {
            Ok(answer) if matches!(answer.status(), 200 | 201) => {
                self.alive(&url);
                Ok(answer)
            }
            Ok(answer) => Err(Trouble::Refused(Refusal::read(answer, &self.caller).await)),
            Err(fault) => {
                if matches!(fault, Fault::NotSent(_)) {
                    self.died(&url);
                }
                Err(fault.into())
            }
        }
    }

    fn is_dead(&self, url: &Url) -> bool {
        let dead = self.dead.lock().unwrap_or_else(PoisonError::into_inner);
        dead.get(&address(url)).is_some_and(|since| since.elapsed() < DEAD_FOR)
    }

    fn died(&self, url: &Url) {
        let mut dead = self.dead.lock().unwrap_or_else(PoisonError::into_inner);
        dead.retain(|_, since| since.elapsed() < DEAD_FOR);
        if dead.len() < DEAD_MAX {
            dead.insert(address(url), Instant::now());
        }
    }

    fn alive(&self, url: &Url) {
        let mut dead = self.dead.lock().unwrap_or_else(PoisonError::into_inner);
        if !dead.is_empty() {
            dead.remove(&address(url));
        }
    }
}

fn address(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default())
}

pub(super) fn parse<T: DeserializeOwned>(body: &[u8], op: &str) -> Result<T, Trouble> {
    // The parser's own text may repeat the answer: it is left out.
    serde_json::from_slice(body).map_err(|_| {
        Trouble::Nonsense(format!("the answer to {op} is not WebHDFS's: check host and port of the namenode"))
    })
}
