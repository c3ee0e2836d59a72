//! A bare S3 client for tests: it sends any path and header as given, where real clients tidy them up first.

pub(crate) mod sign;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub(crate) use sign::{RawClient, Request, encode_path};

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

impl RawClient {
    pub(crate) fn send(&self, request: &Request<'_>) -> Answer {
        let head = self.signed_head(request, request.body.len());
        exchange(self.address, &[head.as_bytes(), request.body].concat())
    }
}

/// Sends bytes, says that no more come, and reads the answer to its end.
pub(crate) fn exchange(address: SocketAddr, bytes: &[u8]) -> Answer {
    let mut answer = Vec::new();
    // No answer is an answer, of status 0. The server may refuse before it has read all.
    if let Ok(mut stream) = TcpStream::connect(address) {
        // Longer than anything here takes: a server that says nothing is a failure, not a hanging test.
        let _limited = stream.set_read_timeout(Some(Duration::from_secs(60)));
        let _early = stream.write_all(bytes);
        let _reset = stream.read_to_end(&mut answer);
    }
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(answer.len());
    let head = String::from_utf8_lossy(answer.get(..end).unwrap_or_default()).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let body = answer.get(end + 4..).unwrap_or_default().to_vec();
    Answer { status, head, body }
}
