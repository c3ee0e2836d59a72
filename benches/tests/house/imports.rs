//! Imports run downwards: a module uses those that its crate declares before it, none that it declares later, and nothing of the files above it.
//!
//! The order is that of the `mod` lines, from the ground up; the file that declares modules stands on top of them. `use` lines count, and so
//! do paths within code that begin with `crate`, `super` or `self`.

use crate::source::{Module, modules};
use crate::{CRATES, workspace};
use std::collections::{BTreeMap, BTreeSet};

/// Files that import each other, with the reason why they stay so: crate, modules, reason. Within such a circle imports may run upwards.
const CIRCLES: [(&str, &[&str], &str); 1] = [(
    "core",
    &["request", "shard::handle"],
    "an embedder's closure runs with the handle of the shard, and travels in the mailbox that the shard stands on",
)];

#[test]
fn imports_run_downwards() {
    let mut faults = Vec::new();
    for name in CRATES {
        let upward = upward(&modules(&workspace().join(name)), name);
        if !upward.is_empty() {
            faults.push(format!("{name}: {} imports run upwards:\n{}", upward.len(), upward.join("\n")));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

/// Imports of a crate that run upwards, each as a line.
fn upward(modules: &[Module], name: &str) -> Vec<String> {
    let places: BTreeMap<&[String], usize> =
        modules.iter().enumerate().map(|(at, module)| (module.path.as_slice(), at)).collect();
    let mut found = BTreeSet::new();
    for (at, module) in modules.iter().enumerate() {
        for path in paths(&module.code) {
            let Some(target) = resolve(&places, module, &path) else { continue };
            let (from, to) = (module.path.join("::"), modules[target].path.join("::"));
            let in_circle = CIRCLES.iter().any(|(of, files, _)| {
                *of == name && files.contains(&from.as_str()) && files.contains(&to.as_str())
            });
            if target > at && !in_circle {
                let to = if to.is_empty() { "the root" } else { to.as_str() };
                found.insert(format!("  {from} uses {to} ({})", module.file.display()));
            }
        }
    }
    found.into_iter().collect()
}

/// The module that a path leads to, if it stays within the crate.
fn resolve(places: &BTreeMap<&[String], usize>, module: &Module, path: &str) -> Option<usize> {
    let mut parts = path.split("::").map(str::trim).filter(|part| !part.is_empty()).peekable();
    let mut at = module.path.clone();
    match *parts.peek()? {
        "crate" => {
            parts.next();
            at.clear();
        }
        "self" | "super" => {
            while let Some(part) = parts.next_if(|part| matches!(*part, "self" | "super")) {
                if part == "super" {
                    at.pop();
                }
            }
        }
        // A child, or another crate.
        first => {
            let mut child = at.clone();
            child.push(first.to_owned());
            places.get(child.as_slice())?;
        }
    }
    for part in parts {
        at.push(part.to_owned());
        if !places.contains_key(at.as_slice()) {
            at.pop();
            break;
        }
    }
    places.get(at.as_slice()).copied()
}

/// All paths of a file: those of `use` lines one by one, and those within code.
fn paths(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut tree: Option<String> = None;
    let mut rest = String::new();
    for line in code.lines() {
        // The formatter begins a line with each `use`.
        let begun = line.trim_start();
        let begun = begun
            .strip_prefix("pub ")
            .or_else(|| begun.strip_prefix("pub(crate) "))
            .or_else(|| begun.strip_prefix("pub(super) "))
            .unwrap_or(begun);
        match (&mut tree, begun.strip_prefix("use ")) {
            (None, Some(part)) => tree = Some(part.to_owned()),
            (None, None) => rest.extend([line, "\n"]),
            (Some(tree), _) => tree.extend([" ", line.trim()]),
        }
        if tree.as_ref().is_some_and(|tree| tree.ends_with(';')) {
            expand(tree.take().unwrap_or_default().trim_end_matches(';'), &mut found);
        }
    }
    inline(&rest, &mut found);
    found
}

/// The paths of a tree of imports: `a::{b, c::{d, e}}` has three.
fn expand(tree: &str, found: &mut Vec<String>) {
    let Some(open) = tree.find('{') else {
        let path = tree.split(" as ").next().unwrap_or(tree);
        found.push(path.trim().to_owned());
        return;
    };
    let (head, inner) = (&tree[..open], &tree[open + 1..tree.rfind('}').unwrap_or(tree.len())]);
    let (mut depth, mut from) = (0usize, 0);
    for (at, c) in inner.char_indices().chain([(inner.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                let part = inner[from..at].trim();
                if !part.is_empty() {
                    expand(&format!("{head}{part}"), found);
                }
                from = at + 1;
            }
            _ => {}
        }
    }
}

/// Paths within code that begin in this crate.
fn inline(code: &str, found: &mut Vec<String>) {
    for root in ["crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') {
                continue;
            }
            let end = code[at..].find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
            found.push(code[at..end.map_or(code.len(), |end| at + end)].to_owned());
        }
    }
}

#[test]
fn paths_are_found_wherever_they_stand() {
    let code = "use crate::a::{b, c::{D, E as F}};\npub(crate) use super::g;\nfn f() { crate::h::i(); let x = self::j::K; }";
    let found: BTreeSet<String> = paths(code).into_iter().collect();
    let expected =
        ["crate::a::b", "crate::a::c::D", "crate::a::c::E", "crate::h::i", "self::j::K", "super::g"];
    assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

#[test]
fn an_import_that_runs_upwards_is_found() {
    let module = |path: &[&str], code: &str| Module {
        path: path.iter().map(|part| (*part).to_owned()).collect(),
        file: path.join("/").into(),
        code: code.to_owned(),
    };
    let of = |below: &str| {
        upward(
            &[
                module(&["a"], below),
                module(&["b"], "use crate::a::X;"),
                module(&[], "mod a; mod b; use b::Y;"),
            ],
            "none",
        )
    };
    assert!(of("").is_empty());
    assert_eq!(of("use crate::b::Y;").len(), 1, "a later sibling");
    assert_eq!(of("fn f() { super::b::g(); }").len(), 1, "a path within code");
    assert_eq!(of("use super::X;").len(), 1, "the file that declares it");
}
