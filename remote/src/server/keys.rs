//! From the key of an object to the path of its file, so that no key can leave the folder and no two keys share a file.
//!
//! ```text
//! key   manifest/01.m           a//..            <70 x 'x'>
//! path  manifest+/01.m=         a+/+/..=         <64 x 'x'>~/xxxxxx=
//! ```
//!
//! Each segment between slashes becomes one component: bytes outside `[A-Za-z0-9._-]` as `%XX`, then a mark: `=` a file,
//! `+` a folder, `~` the segment goes on in the next component (64 bytes of it in each, as file names have at most 255).
//!
//! Invariants:
//! * Every component ends with a mark, so none is `.`, `..` or empty, and none holds a slash or a NUL.
//! * The marks never stand for themselves (they are encoded), so decoding is unique: the mapping is injective.

use std::path::PathBuf;

/// Bytes of a segment in one component; encoded they are at most three times as many.
pub(super) const PIECE_BYTES_MAX: usize = 64;

const FILE: u8 = b'=';
const FOLDER: u8 = b'+';
const CONTINUED: u8 = b'~';

/// What a component of a path stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Component {
    /// The last piece of a key.
    File(Vec<u8>),
    /// A piece of a key that more pieces follow; with the slash where one belongs.
    Folder(Vec<u8>),
}

/// The path of a key's file, relative to the folder of objects.
pub(super) fn path_of(key: &str) -> PathBuf {
    let mut path = String::with_capacity(key.len() + 16);
    let mut segments = key.as_bytes().split(|byte| *byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let mark = if segments.peek().is_some() { FOLDER } else { FILE };
        push_segment(&mut path, segment, mark);
    }
    PathBuf::from(path)
}

/// The deepest folder in which all keys that start with `prefix` lie, and the part of the prefix that it stands for.
pub(super) fn folder_of(prefix: &str) -> (PathBuf, &str) {
    let Some(slash) = prefix.rfind('/') else { return (PathBuf::new(), "") };
    let (folder, _) = prefix.split_at(slash);
    let mut path = String::new();
    for segment in folder.as_bytes().split(|byte| *byte == b'/') {
        push_segment(&mut path, segment, FOLDER);
    }
    (PathBuf::from(path), prefix.get(..=slash).unwrap_or(""))
}

fn push_segment(path: &mut String, segment: &[u8], mark: u8) {
    let mut pieces = segment.chunks(PIECE_BYTES_MAX).peekable();
    if pieces.peek().is_none() {
        push_component(path, &[], mark);
    }
    while let Some(piece) = pieces.next() {
        push_component(path, piece, if pieces.peek().is_some() { CONTINUED } else { mark });
    }
}

fn push_component(path: &mut String, piece: &[u8], mark: u8) {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let digit = |nibble: u8| HEX.get(usize::from(nibble & 15)).copied().unwrap_or('0');
    if !path.is_empty() {
        path.push('/');
    }
    for byte in piece {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-') {
            path.push(char::from(*byte));
        } else {
            path.push('%');
            path.push(digit(byte >> 4));
            path.push(digit(*byte));
        }
    }
    path.push(char::from(mark));
}

/// Reads a component back; `None` for a name that this file never makes.
pub(super) fn component(name: &[u8]) -> Option<Component> {
    let (mark, encoded) = name.split_last()?;
    let mut piece = Vec::with_capacity(encoded.len() + 1);
    let mut bytes = encoded.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => piece.push(hex(*bytes.next()?)? << 4 | hex(*bytes.next()?)?),
            b'.' | b'_' | b'-' => piece.push(*byte),
            _ if byte.is_ascii_alphanumeric() => piece.push(*byte),
            _ => return None,
        }
    }
    match *mark {
        FILE => Some(Component::File(piece)),
        CONTINUED => Some(Component::Folder(piece)),
        FOLDER => {
            piece.push(b'/');
            Some(Component::Folder(piece))
        }
        _ => None,
    }
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: [&str; 22] = [
        "a",
        "a/",
        "a//",
        "/a",
        "//",
        "/",
        ".",
        "..",
        "../..",
        "a/../../b",
        "%2e%2e/x",
        "%",
        "=",
        "+",
        "~",
        "a=",
        "a+",
        "a+/b",
        "a~",
        "nul\0byte",
        "new\nline\\back",
        "ünïcode/\u{1F980}",
    ];

    fn decode(path: &std::path::Path) -> String {
        let mut key = Vec::new();
        for part in path.components() {
            match component(part.as_os_str().as_encoded_bytes()).unwrap() {
                Component::File(piece) | Component::Folder(piece) => key.extend_from_slice(&piece),
            }
        }
        String::from_utf8(key).unwrap()
    }

    #[test]
    fn no_key_leaves_the_folder_and_each_reads_back() {
        let long = "x".repeat(1024);
        let deep = "!/".repeat(512);
        let exact = "y".repeat(64);
        let keys = HOSTILE.iter().map(|key| (*key).to_owned()).chain([
            long,
            deep,
            exact.clone(),
            format!("{exact}/z"),
        ]);
        let mut seen = std::collections::HashSet::new();
        for key in keys {
            let path = path_of(&key);
            for part in path.components() {
                assert!(matches!(part, std::path::Component::Normal(_)), "{key:?} -> {path:?}");
                assert!(part.as_os_str().len() <= 255, "{key:?}");
            }
            assert!(path.as_os_str().len() < 3_500, "{key:?}");
            assert_eq!(decode(&path), key);
            assert!(seen.insert(path), "{key:?} shares a file");
        }
    }

    #[test]
    fn a_prefix_names_the_folder_its_keys_lie_in() {
        assert_eq!(folder_of("abc"), (PathBuf::new(), ""));
        assert_eq!(folder_of("a/b/c"), (PathBuf::from("a+/b+"), "a/b/"));
        assert_eq!(folder_of("a/b/"), (PathBuf::from("a+/b+"), "a/b/"));
        assert_eq!(folder_of("../x"), (PathBuf::from("..+"), "../"));
        assert_eq!(folder_of("/"), (PathBuf::from("+"), "/"));
    }

    #[test]
    fn foreign_file_names_are_not_keys() {
        for name in ["", "x", "lost+found", "a%2=", "a%zz=", "a b=", "a%2e="] {
            assert_eq!(component(name.as_bytes()), None, "{name:?}");
        }
    }
}
