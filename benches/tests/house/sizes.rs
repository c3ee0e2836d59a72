//! Files and functions stay short enough to be seen as a whole.

use crate::source::modules;
use crate::{CRATES, workspace};

/// Most lines of code in a file, without comments, blank lines and tests.
const FILE_LINES_MAX: usize = 400;
/// Most lines of code in a function, counted likewise.
const FUNCTION_LINES_MAX: usize = 70;

#[test]
fn files_and_functions_stay_short() {
    let mut faults = Vec::new();
    for module in CRATES.iter().flat_map(|name| modules(&workspace().join(name))) {
        let lines: Vec<&str> = module.code.lines().filter(|line| !line.trim().is_empty()).collect();
        if lines.len() > FILE_LINES_MAX {
            faults.push(format!("{}: {} lines of code", module.file.display(), lines.len()));
        }
        for (at, name) in lines.iter().enumerate().filter_map(|(at, line)| Some((at, function(line)?))) {
            let indent = lines[at].len() - lines[at].trim_start().len();
            let close = format!("{}}}", " ".repeat(indent));
            let length = lines[at..]
                .iter()
                .position(|line| *line == close || (line.ends_with(';') && *line == lines[at]));
            let length = length.map_or(1, |end| end + 1);
            if length > FUNCTION_LINES_MAX {
                faults.push(format!("{}: {name} has {length} lines of code", module.file.display()));
            }
        }
    }
    assert!(faults.is_empty(), "look for the seam:\n{}", faults.join("\n"));
}

/// The name of the function that begins on this line.
fn function(line: &str) -> Option<&str> {
    let (before, rest) = line.trim_start().split_once("fn ")?;
    let is_head = before.split_whitespace().all(|word| {
        matches!(word, "const" | "async" | "unsafe" | "extern")
            || word.starts_with("pub")
            || word.ends_with(')')
    });
    let name = rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next()?;
    (is_head && !name.is_empty()).then_some(name)
}
