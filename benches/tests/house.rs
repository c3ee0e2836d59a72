//! The house keeps its order: imports run downwards, files and functions stay short, links of the documents lead somewhere.
//!
//! A plain reader of sources, without the crates themselves: it links in a second and runs in less.

#![cfg(test)]

#[path = "house/imports.rs"]
mod imports;
#[path = "house/links.rs"]
mod links;
#[path = "house/sizes.rs"]
mod sizes;
#[path = "house/source.rs"]
mod source;

use std::path::{Path, PathBuf};

/// The folder of the workspace.
fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("benches/ lies in the workspace").to_owned()
}

/// The crates of the workspace, by their folders.
const CRATES: [&str; 5] = ["io", "remote", "cache", "core", "benches"];
