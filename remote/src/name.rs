//! Names of objects and of folders, checked before they are used.
//!
//! ```text
//! manifest/00000000000000000001.manifest
//! └──┬───┘ └────────────┬──────────────┘
//! segment            segment             1..=900 bytes in all, segments of [A-Za-z0-9._-], joined by '/'
//! ```
//!
//! Invariants:
//! * No segment is empty, `.` or `..`, so a name can be joined to any folder or URL without escaping and without encoding.
//! * Byte order of names is the order in which every store lists them.
//! * A name that a store lists is outside data: it goes through [`ObjectName::new`] like any other.
//!
//! The prefix of a store is the user's, not ours, so it may hold a few characters more: `= + , : ; @ & ! $ ' ( )`, as in
//! `lake/dt=2024-01-01`. Every store encodes them on the wire. Everything else is refused with words: spaces, `~` (ours), `%`, what
//! means something to a URL or a shell's patterns (`? # * [ ] { } ^ | < > " \` and the backtick), and letters beyond ASCII, which
//! stores compare in different ways.

use std::fmt;
use std::sync::Arc;

use crate::error::{RemoteError, RemoteErrorKind};
use crate::secrets::masked;

/// Longest name in bytes. S3 takes 1,024; the rest is left for the store's own prefix.
pub const NAME_BYTES_MAX: usize = 900;

/// The checked name of one object, relative to the store's root. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName(Arc<str>);

impl ObjectName {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// Kind [`RemoteErrorKind::InvalidName`] when it is empty, longer than [`NAME_BYTES_MAX`], has an empty, `.` or `..`
    /// segment, or a character outside `[A-Za-z0-9._-]`.
    pub fn new(name: impl AsRef<str>) -> Result<Self, RemoteError> {
        let name = name.as_ref();
        match check(name) {
            Ok(()) => Ok(Self(Arc::from(name))),
            Err(reason) => Err(invalid("name", name, reason)),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// Here, as errors stand below names: a name that is refused is an error.
impl RemoteError {
    /// Names the object.
    #[must_use]
    pub fn with_object(self, name: &ObjectName) -> Self {
        self.with_object_text(Arc::clone(&name.0))
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for ObjectName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ObjectName({})", self.0)
    }
}

impl AsRef<str> for ObjectName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// Checks a folder as [`crate::Remote::list`] takes it: `""` (everything) or `"a/b/"`. Returns it without the last slash.
pub(crate) fn check_folder(folder: &str) -> Result<&str, RemoteError> {
    if folder.is_empty() {
        return Ok("");
    }
    let Some(bare) = folder.strip_suffix('/') else {
        return Err(invalid("list", folder, "a folder ends with '/'"));
    };
    check(bare).map_err(|reason| invalid("list", folder, reason))?;
    Ok(bare)
}

/// Checks the prefix of a store ("jobs/wordcount", no slash needed at its ends); `""` is the whole bucket or folder.
pub(crate) fn check_prefix(prefix: &str) -> Result<&str, RemoteError> {
    let bare = prefix.trim_matches('/');
    if bare.is_empty() {
        return Ok(bare);
    }
    let checked = check_segments(bare).and_then(|()| {
        let is_good = |byte: u8| is_name_byte(byte) || PREFIX_BYTES.contains(&byte) || byte == b'/';
        if bare.bytes().all(is_good) { Ok(()) } else { Err(PREFIX_ALPHABET) }
    });
    checked.map_err(|reason| invalid("prefix", prefix, reason)).map(|()| bare)
}

/// Bytes of a prefix that no name has.
const PREFIX_BYTES: &[u8] = b"=+,:;@&!$'()";
const PREFIX_ALPHABET: &str = "only A-Z a-z 0-9 . _ - = + , : ; @ & ! $ ' ( ) and / are allowed";

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

fn check(name: &str) -> Result<(), &'static str> {
    check_segments(name)?;
    if name.bytes().all(|byte| is_name_byte(byte) || byte == b'/') {
        Ok(())
    } else {
        Err("only A-Z a-z 0-9 . _ - and / are allowed")
    }
}

/// Checks length and segments, whatever the characters.
pub(crate) fn check_segments(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("it is empty");
    }
    if name.len() > NAME_BYTES_MAX {
        return Err("it is longer than 900 bytes");
    }
    for segment in name.split('/') {
        match segment {
            "" => return Err("it has an empty segment"),
            "." | ".." => return Err("it has a '.' or '..' segment"),
            _ => {}
        }
    }
    Ok(())
}

pub(crate) fn invalid(operation: &'static str, name: &str, reason: &str) -> RemoteError {
    // The name may be hostile: shortened and escaped before it goes into a message.
    let shown: String = masked(name).chars().take(80).flat_map(char::escape_debug).collect();
    RemoteError::new(RemoteErrorKind::InvalidName, operation).with_cause(format!("\"{shown}\": {reason}"))
}

/// A path as it goes over the wire where no library encodes it: every byte but letters, digits, `. _ - ~ /` as `%XX`.
#[cfg(any(feature = "webdav", feature = "webhdfs"))]
pub(crate) fn encoded(path: &str) -> String {
    const PLAIN: &percent_encoding::AsciiSet =
        &percent_encoding::NON_ALPHANUMERIC.remove(b'.').remove(b'_').remove(b'-').remove(b'~').remove(b'/');
    percent_encoding::utf8_percent_encode(path, PLAIN).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_names_pass() {
        for name in
            ["a", "a/b", "manifest/00000000000000000001.manifest", "A-Z_0.9", "...", "a..b", &"x".repeat(900)]
        {
            assert_eq!(ObjectName::new(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn bad_names_are_refused_with_a_reason() {
        let long = "x".repeat(901);
        for name in [
            "", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "a b", "a%2fb", "a\0b", "ä", "a\\b",
            &long,
        ] {
            let error = ObjectName::new(name).unwrap_err();
            assert_eq!(error.kind(), RemoteErrorKind::InvalidName, "{name:?}");
            assert!(!error.to_string().contains('\0'));
        }
    }

    #[test]
    fn prefixes_of_data_lakes_pass() {
        for prefix in ["", "/", "lake/dt=2024-01-01", "/a/b/", "a+b,c:d;e@f&g!h$i'j(k)"] {
            assert_eq!(check_prefix(prefix).unwrap(), prefix.trim_matches('/'));
        }
        for prefix in
            ["a b", "a%b", "a~b", "~tmp", "a?b", "a#b", "a*", "[a]", "ä", "a//b", "a/../b", "a\"b", "a|b"]
        {
            let error = check_prefix(prefix).unwrap_err();
            assert_eq!(error.kind(), RemoteErrorKind::InvalidName, "{prefix:?}");
        }
        assert_eq!(encoded("a/dt=1+2~.-_"), "a/dt%3D1%2B2~.-_");
        assert!(ObjectName::new("dt=2024").is_err(), "our own names need no such characters");
    }

    #[test]
    fn folders_end_with_a_slash() {
        assert_eq!(check_folder("").unwrap(), "");
        assert_eq!(check_folder("a/b/").unwrap(), "a/b");
        for folder in ["a", "/", "a//", "../", "a/../"] {
            assert!(check_folder(folder).is_err(), "{folder:?}");
        }
    }
}
