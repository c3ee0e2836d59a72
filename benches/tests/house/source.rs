//! A crate's sources as text without comments, strings and tests, one entry for each module.

use std::fs;
use std::path::{Path, PathBuf};

/// A file of a crate that is compiled into it, tests apart.
pub(crate) struct Module {
    /// The module's path within the crate; empty for the root.
    pub(crate) path: Vec<String>,
    pub(crate) file: PathBuf,
    /// Its code, with comments, texts and tests blanked out; lines are where they were.
    pub(crate) code: String,
}

/// All modules of the crate in `folder`, from the ground up: those of a folder in the order of their `mod` lines, then the file that declares them.
pub(crate) fn modules(folder: &Path) -> Vec<Module> {
    let src = folder.join("src");
    let root = ["lib.rs", "main.rs"].map(|name| src.join(name)).into_iter().find(|file| file.exists());
    let mut found = Vec::new();
    visit(&mut found, Vec::new(), root.expect("a crate has a root"), &src);
    found
}

fn visit(found: &mut Vec<Module>, path: Vec<String>, file: PathBuf, folder: &Path) {
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let code = without_tests(&blanked(&text));
    for name in code.lines().filter_map(declared) {
        let flat = folder.join(format!("{name}.rs"));
        let inner = folder.join(&name);
        let child = if flat.exists() { flat } else { inner.join("mod.rs") };
        assert!(child.exists(), "{} declares {name}: no file", file.display());
        let mut below = path.clone();
        below.push(name);
        visit(found, below, child, &inner);
    }
    found.push(Module { path, file, code });
}

/// The module that a line declares, if it does: `mod name;`, of whatever visibility.
fn declared(line: &str) -> Option<String> {
    let line = line.trim();
    let rest = line.strip_prefix("pub").map_or(line, |rest| {
        let rest = rest.trim_start();
        if rest.starts_with('(') { rest.split_once(')').map_or(rest, |(_, rest)| rest) } else { rest }
    });
    let name = rest.trim_start().strip_prefix("mod ")?.strip_suffix(';')?.trim();
    Some(name.to_owned())
}

/// The text with comments, strings and characters as blanks.
pub(crate) fn blanked(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let end = at + skipped(rest, at > 0 && is_word(bytes[at - 1]));
        if end > at {
            out.extend(text[at..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        } else {
            let c = text[at..].chars().next().expect("not at the end");
            out.push(c);
            at += c.len_utf8();
        }
    }
    out
}

/// Bytes of the comment, string or character that `rest` begins with; 0 if it begins with code.
fn skipped(rest: &[u8], in_word: bool) -> usize {
    let until = |end: &[u8], from: usize| {
        rest[from..]
            .windows(end.len())
            .position(|found| found == end)
            .map_or(rest.len(), |at| from + at + end.len())
    };
    match rest {
        [b'/', b'/', ..] => rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => until(b"*/", 2),
        [b'"', ..] => quoted(rest),
        [b'r', b'"' | b'#', ..] | [b'b', b'r', b'"' | b'#', ..] if !in_word => {
            let hashes = rest
                .iter()
                .skip_while(|byte| **byte != b'r')
                .skip(1)
                .take_while(|byte| **byte == b'#')
                .count();
            let open = rest.iter().position(|byte| *byte == b'r').map_or(0, |at| at + 1) + hashes;
            if rest.get(open) != Some(&b'"') {
                return 0;
            }
            let mut end = vec![b'"'];
            end.resize(1 + hashes, b'#');
            until(&end, open + 1)
        }
        // A character, not a lifetime.
        [b'\'', b'\\', ..] => until(b"'", 3),
        [b'\'', ..] => {
            let text = String::from_utf8_lossy(&rest[1..rest.len().min(6)]).into_owned();
            let mut chars = text.chars();
            match (chars.next(), chars.next()) {
                (Some(c), Some('\'')) => 2 + c.len_utf8(),
                _ => 0,
            }
        }
        _ => 0,
    }
}

/// Bytes of a string with its quotes.
fn quoted(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Blanks every item under `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = code.to_owned();
    while let Some(from) = out.find(MARK) {
        let end = item_end(out.as_bytes(), from + MARK.len());
        let blank: String = out[from..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        out.replace_range(from..end, &blank);
    }
    out
}

/// The end of the item that begins at `from`: its `;`, or the brace that closes it.
fn item_end(code: &[u8], from: usize) -> usize {
    let mut depth = 0usize;
    for (at, byte) in code.iter().enumerate().skip(from) {
        match byte {
            b'{' | b'[' | b'(' => depth += 1,
            b'}' | b']' | b')' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && *byte == b'}' {
                    return at + 1;
                }
            }
            b';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

#[test]
fn comments_texts_and_tests_are_no_code() {
    let text = "use a::b; // use c::d;\nconst X: &str = \"crate::e\"; const Y: char = '\"'; /* use f; */ fn g<'a>() {}\n\
                #[cfg(test)]\n#[expect(x, reason = \"}\")]\nmod tests {\n use super::*; }\nr#\"crate::h\"#;\n";
    let code = without_tests(&blanked(text));
    assert_eq!(code.lines().count(), text.lines().count());
    assert!(code.contains("use a::b;") && code.contains("fn g<'a>() {}"), "{code}");
    for gone in ["c::d", "crate::e", "use f", "super", "crate::h"] {
        assert!(!code.contains(gone), "{gone} in {code}");
    }
    assert_eq!(declared("pub(crate) mod name;"), Some("name".to_owned()));
    assert_eq!(declared("mod tests {"), None);
}
