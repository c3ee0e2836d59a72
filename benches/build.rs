//! Tells the program which commit, compiler and flags it was built from. Without git, or outside its checkout, it says
//! nothing of a commit.

use std::path::Path;
use std::process::Command;

fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    set("AQUIFER_TARGET", &variable("TARGET"));
    set("AQUIFER_RUSTFLAGS", &variable("CARGO_ENCODED_RUSTFLAGS").replace('\u{1f}', " "));
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    set("AQUIFER_RUSTC", &output(Command::new(rustc).arg("--version")).unwrap_or_default());

    println!("cargo::rerun-if-changed=build.rs");
    if let Some(commit) = commit(&folder) {
        set("AQUIFER_COMMIT", &commit);
        if let Some(status) = git(&folder, &["status", "--porcelain", "--untracked-files=no"]) {
            set("AQUIFER_DIRTY", if status.is_empty() { "false" } else { "true" });
        }
        // What git calls the present commit, and all sources: whether they differ from it may have changed.
        let logs = ["HEAD", "logs/HEAD"].map(|name| git(&folder, &["rev-parse", "--git-path", name]));
        let sources = ["Cargo.toml", "core", "io", "remote", "cache", "benches/src"];
        for path in logs.into_iter().flatten().chain(sources.map(str::to_owned)) {
            let path = folder.join(path);
            if path.exists() {
                println!("cargo::rerun-if-changed={}", path.display());
            }
        }
    }
}

/// The commit of this checkout; none when the folder belongs to no repository, or to one that only contains it.
fn commit(folder: &Path) -> Option<String> {
    let top = git(folder, &["rev-parse", "--show-toplevel"])?;
    let is_ours = Path::new(&top).canonicalize().ok()? == folder.canonicalize().ok()?;
    if is_ours { git(folder, &["rev-parse", "HEAD"]) } else { None }
}

fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    output(Command::new("git").args(["--no-optional-locks", "-C"]).arg(folder).args(arguments))
}

fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

fn set(name: &str, value: &str) {
    println!("cargo::rustc-env={name}={}", value.replace('\n', " "));
}
