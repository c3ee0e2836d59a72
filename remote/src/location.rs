//! The URL of a store, read as it was written: a URL library tidies it up first, and `s3://b/a/../b` would open `s3://b/b`.
//!
//! ```text
//! s3://bucket/lake/dt%3D2024-01-01/      scheme, host and port as the library reads them
//!            └─────────┬────────┘
//!                 lake/dt=2024-01-01     the path from the text itself: checked, decoded once, checked again
//! ```
//!
//! Invariants:
//! * What is opened is what is written: no segment is empty, `.` or `..`, in whatever spelling, and none hides a slash.
//! * No error repeats user data, query or fragment.

use percent_encoding::percent_decode_str;
use url::Url;

use crate::error::{RemoteError, RemoteErrorKind};
use crate::name::{check_segments, invalid};

/// A checked URL.
#[derive(Debug)]
pub(crate) struct Location {
    url: Url,
    path: String,
}

impl Location {
    /// Checks and takes a URL.
    ///
    /// # Errors
    /// Kind `InvalidUrl` for what is no URL, or one with user data, query or fragment; `InvalidName` for a path that is not what
    /// it seems.
    pub(crate) fn parse(text: &str) -> Result<Self, RemoteError> {
        if text.chars().any(|character| character.is_control() || character == '\\') || text.trim() != text {
            return Err(refused(
                "a store's URL has no control characters, no backslashes and no spaces around it",
            ));
        }
        let url = Url::parse(text).map_err(|error| refused(&format!("not a URL: {error}")))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused(
                "no user or password in a store's URL: use the variables of its kind (AWS_*, GOOGLE_*, AZURE_*, AQUIFER_*)",
            ));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refused("a store's URL has no query and no fragment"));
        }
        let Some((_, rest)) = text.split_once("://") else {
            return Err(refused("not a URL of a store: scheme://host/path, file:///dir or memory://"));
        };
        let (authority, written) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.is_empty() && matches!(url.scheme(), "http" | "https") {
            return Err(refused("no host: https://host/path"));
        }
        let path = decoded(written).map_err(|reason| invalid("prefix", written, reason))?;
        Ok(Self { url, path })
    }

    /// Scheme, host and port. The path in it is the library's.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    pub(crate) fn scheme(&self) -> &str {
        self.url.scheme()
    }

    /// The path, decoded, without slashes at its ends.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The bucket, or what is in its place.
    pub(crate) fn bucket(&self, otherwise: &str) -> Result<&str, RemoteError> {
        let bucket = self.url.host_str().filter(|host| !host.is_empty());
        let bucket = bucket.ok_or_else(|| refused(otherwise))?;
        if self.url.port().is_some() {
            return Err(refused(
                "no port after a bucket: the endpoint has its own variable (AWS_ENDPOINT and the like)",
            ));
        }
        Ok(bucket)
    }

    /// What users are shown.
    pub(crate) fn shown(&self) -> String {
        let slash = if self.path.is_empty() { "" } else { "/" };
        format!("{}://{}{slash}{}", self.scheme(), self.url.host_str().unwrap_or(""), self.path)
    }
}

/// The path that was meant.
fn decoded(written: &str) -> Result<String, &'static str> {
    let bare = written.strip_prefix('/').unwrap_or(written);
    let bare = bare.strip_suffix('/').unwrap_or(bare);
    if bare.is_empty() {
        return Ok(String::new());
    }
    let mut segments = Vec::new();
    for segment in bare.split('/') {
        let lone = segment.bytes().enumerate().any(|(at, byte)| {
            let is_hex = |at| segment.as_bytes().get(at).is_some_and(u8::is_ascii_hexdigit);
            byte == b'%' && !(is_hex(at.saturating_add(1)) && is_hex(at.saturating_add(2)))
        });
        if lone {
            return Err("a '%' in it is not followed by two hexadecimal digits");
        }
        let segment = percent_decode_str(segment).decode_utf8().map_err(|_| "it is not UTF-8")?;
        if segment.contains(['/', '\\']) || segment.chars().any(char::is_control) {
            return Err("it hides a slash, a backslash or a control character");
        }
        segments.push(segment);
    }
    let path = segments.join("/");
    check_segments(&path)?;
    Ok(path)
}

fn refused(cause: &str) -> RemoteError {
    RemoteError::new(RemoteErrorKind::InvalidUrl, "open").with_cause(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_what_is_written() {
        for (url, path) in [
            ("s3://b", ""),
            ("s3://b/", ""),
            ("s3://b/a/b", "a/b"),
            ("s3://b/lake/dt=2024-01-01/", "lake/dt=2024-01-01"),
            ("s3://b/lake/dt%3D2024-01-01", "lake/dt=2024-01-01"),
            ("http://host:80/a.b/...", "a.b/..."),
            ("file:///tmp/a%20b", "tmp/a b"),
            ("memory://", ""),
        ] {
            assert_eq!(Location::parse(url).unwrap().path(), path, "{url}");
        }
    }

    /// `s3://b/a/../b` opened `s3://b/b`: the URL library had taken the dots away before anybody looked.
    #[test]
    fn a_path_that_is_not_what_it_seems_is_refused() {
        for scheme in
            ["s3://b", "gs://b", "az://c", "webhdfs://h", "http://h", "https://h:1", "file://", "memory://"]
        {
            for path in [
                "/a/../b",
                "/a/./b",
                "/..",
                "/.",
                "/../..",
                "/a/%2e%2e/b",
                "/a/.%2E/b",
                "/a/%2e/b",
                "/a//b",
                "//a",
                "/a//",
                "/a%2fb",
                "/a%5Cb",
                "/a\\b",
                "/a/..\\b",
                "/a%00b",
                "/a%0ab",
                "/a\tb",
                "/a\nb",
                "/a%",
                "/a%2",
                "/a%zz",
                "/a%ff",
                "/a ",
            ] {
                let url = format!("{scheme}{path}");
                let error = Location::parse(&url).unwrap_err();
                let kinds = [RemoteErrorKind::InvalidUrl, RemoteErrorKind::InvalidName];
                assert!(kinds.contains(&error.kind()), "{url:?}: {error}");
            }
        }
        for url in ["http:///host/x", "s3:b/x", " s3://b/x", "s3://b/x\r"] {
            assert_eq!(Location::parse(url).unwrap_err().kind(), RemoteErrorKind::InvalidUrl, "{url:?}");
        }
        assert!(Location::parse("s3://bucket:9000/x").unwrap().bucket("none").is_err());
    }
}
