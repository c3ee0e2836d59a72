//! Requests signed by hand after the `SigV4` document.

use std::net::SocketAddr;

use sha2::{Digest, Sha256};

pub(crate) struct RawClient {
    pub(crate) address: SocketAddr,
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
}

pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    /// As it goes over the wire.
    pub(crate) path: &'a str,
    /// Sorted, encoded.
    pub(crate) query: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: &'a [u8],
    /// What is signed as the body's hash; the true one when empty.
    pub(crate) hash: &'a str,
}

impl Default for Request<'_> {
    fn default() -> Self {
        Self { method: "GET", path: "/", query: "", headers: &[], body: b"", hash: "" }
    }
}

impl RawClient {
    /// The head of a signed request whose body will have `length` bytes.
    pub(crate) fn signed_head(&self, request: &Request<'_>, length: usize) -> String {
        let date = amz_date();
        let day = date.get(..8).unwrap_or("");
        let true_hash = hex(&Sha256::digest(request.body));
        let hash = if request.hash.is_empty() { true_hash.as_str() } else { request.hash };
        let host = self.address.to_string();
        // The canonical path is the decoded one, encoded again.
        let path = encode_path(&decode(request.path));
        let canonical = format!(
            "{}\n{path}\n{}\nhost:{host}\nx-amz-content-sha256:{hash}\nx-amz-date:{date}\n\nhost;x-amz-content-sha256;x-amz-date\n{hash}",
            request.method, request.query
        );
        let scope = format!("{day}/us-east-1/s3/aws4_request");
        let to_sign =
            format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex(&Sha256::digest(canonical.as_bytes())));
        let mut key = hmac(format!("AWS4{}", self.secret_key).as_bytes(), day.as_bytes());
        for part in ["us-east-1", "s3", "aws4_request"] {
            key = hmac(&key, part.as_bytes());
        }
        let signature = hex(&hmac(&key, to_sign.as_bytes()));
        let query = if request.query.is_empty() { String::new() } else { format!("?{}", request.query) };
        let mut head = format!(
            "{} {}{query} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {length}\r\n\
             x-amz-content-sha256: {hash}\r\nx-amz-date: {date}\r\nauthorization: AWS4-HMAC-SHA256 \
             Credential={}/{scope}, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature={signature}\r\n",
            request.method, request.path, self.access_key
        );
        for (name, value) in request.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        head
    }
}

/// Encodes every byte but unreserved ones and slashes.
pub(crate) fn encode_path(path: &[u8]) -> String {
    path.iter()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                char::from(*byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// Percent signs decoded; ones that encode nothing stay.
fn decode(path: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        out.extend_from_slice(before.as_bytes());
        match after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => out.push(byte),
            None => return path.as_bytes().to_vec(),
        }
        rest = after.get(2..).unwrap_or("");
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// RFC 2104 with SHA-256, for keys of at most 64 bytes.
fn hmac(key: &[u8], data: &[u8]) -> Vec<u8> {
    let pad = |with: u8| (0..64).map(|at| key.get(at).copied().unwrap_or(0) ^ with).collect::<Vec<u8>>();
    let inner = Sha256::digest([pad(0x36).as_slice(), data].concat());
    Sha256::digest([pad(0x5c).as_slice(), inner.as_slice()].concat()).to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Now, as `20260131T235959Z`.
fn amz_date() -> String {
    let seconds = aquifer_io::unix_time_ms() / 1_000;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days to a date, after Howard Hinnant's civil_from_days, for years after 1970.
    let z = days + 719_468;
    let era = z / 146_097;
    let day_of_era = z - era * 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", rest / 3_600, rest / 60 % 60, rest % 60)
}
