//! Every relative link of README and `docs/` leads to a file, and to a heading of it if it names one.

use crate::{CRATES, workspace};
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn links_of_the_documents_lead_somewhere() {
    let root = workspace();
    let mut documents = vec![root.join("README.md")];
    gather(&root.join("docs"), &mut documents);
    assert!(documents.len() > 10, "the documents are found");
    let mut broken = Vec::new();
    for document in &documents {
        let text = fs::read_to_string(document).unwrap();
        for link in links(&text).filter(|link| !link.contains("://") && !link.starts_with("mailto:")) {
            let (file, heading) =
                link.split_once('#').map_or((link, None), |(file, heading)| (file, Some(heading)));
            let target = if file.is_empty() {
                document.clone()
            } else {
                document.parent().expect("a folder").join(file)
            };
            let leads = target.exists() && heading.is_none_or(|heading| has_heading(&target, heading));
            if !leads {
                broken.push(format!("{}: {link}", document.strip_prefix(&root).unwrap().display()));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

/// A document that names a file of the code went on naming it after it had moved.
#[test]
fn files_that_documents_name_are_there() {
    let root = workspace();
    let mut documents = vec![root.join("README.md")];
    gather(&root.join("docs"), &mut documents);
    let mut gone = Vec::new();
    let mut named = 0;
    for document in &documents {
        let text = fs::read_to_string(document).unwrap();
        for name in text.split('`').skip(1).step_by(2) {
            let crate_name = name.split('/').next().unwrap_or_default();
            let is_path =
                CRATES.contains(&crate_name) && name.contains('/') && !name.contains([' ', '*', '{']);
            named += usize::from(is_path);
            if is_path && !root.join(name).exists() {
                gone.push(format!("{}: {name}", document.strip_prefix(&root).unwrap().display()));
            }
        }
    }
    assert!(named > 30, "the names are found: {named}");
    assert!(gone.is_empty(), "files that are not there:\n{}", gone.join("\n"));
}

fn gather(folder: &Path, documents: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(&path, documents);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            documents.push(path);
        }
    }
}

/// The targets of `[text](target)`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|link| !link.contains(char::is_whitespace))
}

/// Whether a document has the heading that the last part of a link names, in the way that Git hosts name them.
fn has_heading(document: &Path, heading: &str) -> bool {
    let named = |line: &str| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect::<String>()
    };
    let text = fs::read_to_string(document).unwrap_or_default();
    text.lines().any(|line| line.starts_with('#') && named(line) == heading)
}
