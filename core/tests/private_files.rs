//! What an engine leaves on the machine's disk is its user's alone.
//!
//! The files of the SSD tier, its index, the lock and the objects of a `file://` store were made as the umask says, which on most systems lets
//! every local user read the whole state.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::common::{folder, small};
use aquifer::{DiskOptions, Engine, Options};

/// In the environment of the child process: the folder to work in.
const FOLDER: &str = "AQUIFER_TEST_PRIVATE_FILES";

#[test]
fn an_engines_files_are_its_users_alone_whatever_the_umask() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return use_everything(Path::new(&folder));
    }
    let outer = tempfile::tempdir().unwrap();
    // A process has one umask, which other tests must not feel.
    let status = std::process::Command::new("sh")
        .args(["-c", "umask 000 && exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "private_files::an_engines_files_are_its_users_alone_whatever_the_umask"])
        .env(FOLDER, outer.path())
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let mut files = Vec::new();
    walk(&outer.path().join("local"), &mut files);
    walk(&outer.path().join("store"), &mut files);
    let has = |part: &str| files.iter().any(|path| path.to_string_lossy().contains(part));
    assert!(has("local/deep/LOCK") && has("/manifest"), "{files:?}");
    assert!(files.len() > 6, "the lock, files of two shards and their indexes, objects: {files:?}");
}

fn use_everything(outer: &Path) {
    let remote = folder(&outer.join("store"));
    let local = outer.join("local/deep");
    let options = || Options {
        disk: DiskOptions { bytes: 32 << 20, dir: Some(local.clone()), ..DiskOptions::default() },
        ..small(2)
    };
    aquifer::block_on(async {
        // The second opening finds what the first one has left.
        for _ in 0..2 {
            let engine = Engine::open(remote.clone(), options()).await.unwrap();
            let client = engine.client();
            for n in 0..2_000_u32 {
                client.put(&n.to_le_bytes(), &n.to_le_bytes().repeat(25)).await.unwrap();
            }
            client.checkpoint(Vec::new()).await.unwrap();
            client.forget_memory().await.unwrap();
            for n in 0..2_000_u32 {
                assert!(client.get(&n.to_le_bytes()).await.unwrap().is_some());
            }
            engine.close().await.unwrap();
        }
    });
}

/// Checks the modes below a folder, and collects the files.
fn walk(path: &Path, files: &mut Vec<PathBuf>) {
    let found = std::fs::symlink_metadata(path).unwrap();
    let expected = if found.is_dir() { 0o700 } else { 0o600 };
    assert_eq!(found.mode() & 0o777, expected, "{}: {:o}", path.display(), found.mode());
    if !found.is_dir() {
        return files.push(path.to_owned());
    }
    for entry in std::fs::read_dir(path).unwrap() {
        walk(&entry.unwrap().path(), files);
    }
}
