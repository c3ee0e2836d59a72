//! Finding out which backend works here: what the kernel permits, tried.

use std::fmt;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::io::Errno;

use crate::acquire::try_acquire_buffer;
use crate::backend::{Backend, BackendChoice};
use crate::error::{IoError, IoErrorKind};
#[cfg(feature = "glommio")]
use crate::executor::glommio;
use crate::executor::options::ExecutorOptions;
use crate::executor::time::timeout;
use crate::executor::uring::try_ring;
use crate::executor::{context, spawn_executor};
use crate::file::File;
use crate::open_options::OpenOptions;

/// The backend to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendSelection {
    /// It works here.
    pub backend: Backend,
    /// One line to be shown: why the first choice is not used, when `Auto` had to do without; what to know of a backend asked for by name.
    pub note: Option<String>,
}

/// Finds the backend for a choice, by really trying it: a ring is set up, and a file read through it.
///
/// `Auto` and `Threads` always find one; in a simulated world, `Auto` is [`Backend::Simulated`]. Works on every thread, blocks for a millisecond or two.
///
/// # Errors
/// `Unsupported` when a backend of io_uring was asked for by name and does not work here, or is not in this program;
/// the line says why. glommio works in fewer places than tokio-uring: it wants Linux 5.8 and a limit on locked memory
/// of 512 KiB.
pub fn select_backend(choice: BackendChoice) -> Result<BackendSelection, IoError> {
    let chosen = |backend| BackendSelection { backend, note: None };
    let named = |backend: Backend| {
        backend.check_built_in("choose the backend")?;
        match probe_ring(backend) {
            Ok(()) => {
                let note = (backend == Backend::Glommio).then(|| GLOMMIO_NOTE.to_owned());
                Ok(BackendSelection { backend, note })
            }
            Err(why) => Err(IoError::new(IoErrorKind::Unsupported, "set up io_uring")
                .with_expected(format!("{backend}, as asked for (choose `auto` or `threads` to do without)"))
                .with_found(why)),
        }
    };
    if choice == BackendChoice::Auto && context::machine().is_some() {
        return Ok(chosen(Backend::Simulated));
    }
    match choice {
        BackendChoice::Threads => Ok(chosen(Backend::Threads)),
        BackendChoice::Uring => named(Backend::Uring),
        BackendChoice::TokioUring => named(Backend::TokioUring),
        BackendChoice::Glommio => named(Backend::Glommio),
        BackendChoice::Auto => Ok(best_that_works()),
    }
}

/// glommio never drops the header of a task, and with it the eventfd that wakes its executor. To close that descriptor from outside is not
/// safe: the number may belong to another file by then, and glommio still writes to it.
const GLOMMIO_NOTE: &str = "glommio leaves one descriptor open for each of its threads that ends, so one for each shard at each closing: \
     where engines are opened again and again use uring, or raise `ulimit -n`";

fn best_that_works() -> BackendSelection {
    let Err(why) = probe_ring(Backend::Uring) else {
        return BackendSelection { backend: Backend::Uring, note: None };
    };
    if let Some(feature) = Backend::TokioUring.missing_feature()
        && try_ring(8).is_ok()
    {
        let note = format!(
            "uring is not used: {why}; files go through a pool of threads (a program built with `--features {feature}` would use io_uring here)"
        );
        return BackendSelection { backend: Backend::Threads, note: Some(note) };
    }
    match probe_ring(Backend::TokioUring) {
        Ok(()) => {
            let note = format!("uring is not used: {why}; files go through tokio-uring");
            BackendSelection { backend: Backend::TokioUring, note: Some(note) }
        }
        Err(why) => {
            let note = format!("io_uring is not used: {why}; files go through a pool of threads");
            BackendSelection { backend: Backend::Threads, note: Some(note) }
        }
    }
}

/// A probe of glommio went well in this process.
static GLOMMIO_WORKED: AtomicBool = AtomicBool::new(false);

/// Bytes of the file that the probe reads.
const PROBE_BYTES: usize = 4096;

/// Longest wait for the probe's one read, which takes microseconds where io_uring works.
const PROBE_TIME_MAX: Duration = Duration::from_secs(5);

/// Sets up a small ring and reads a file through it; one line that says why not.
fn probe_ring(backend: Backend) -> Result<(), String> {
    let why = |errno, error: &dyn fmt::Display| {
        let io_uring_disabled = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok();
        explain(errno, &error.to_string(), io_uring_disabled.as_deref())
    };
    try_ring(8).map_err(|error| why(error.raw_os_error(), &error))?;
    #[cfg(feature = "glommio")]
    if backend == Backend::Glommio {
        glommio::check().map_err(|error| error.to_string())?;
        // Each probe leaves a descriptor behind: one is enough for the process.
        if GLOMMIO_WORKED.load(Ordering::Relaxed) {
            return Ok(());
        }
    }
    let options = ExecutorOptions {
        name: "aquifer-probe".to_owned(),
        backend,
        ring_entries: 8,
        buffer_bytes_max: PROBE_BYTES,
        ..ExecutorOptions::default()
    };
    let (report, result) = std::sync::mpsc::sync_channel(1);
    let probe = spawn_executor(options, move || async move {
        let outcome = match timeout(PROBE_TIME_MAX, probe_file()).await {
            Ok(outcome) => outcome.map_err(|error| format!("a read through it failed: {error}")),
            Err(_) => Err(format!("a read through it was not done within {} s", PROBE_TIME_MAX.as_secs())),
        };
        // The other side waits longer than this takes; if it is gone, nobody needs the answer.
        let _ = report.send(outcome);
    })
    .map_err(|error| why(error.errno(), &error))?;
    let outcome = result.recv().unwrap_or_else(|_| Err("the probe ended without an answer".to_owned()));
    if outcome.is_ok() {
        // A probe that failed may never end: then nobody waits for it.
        probe.join().map_err(|error| error.to_string())?;
        GLOMMIO_WORKED.fetch_or(backend == Backend::Glommio, Ordering::Relaxed);
    }
    outcome
}

/// Reads, through this thread's ring, a file that lives in memory.
async fn probe_file() -> Result<(), IoError> {
    let failed = |source| IoError::from_os("probe", source);
    let memory = rustix::fs::memfd_create("aquifer-probe", rustix::fs::MemfdFlags::CLOEXEC);
    let mut memory = std::fs::File::from(memory.map_err(|errno| failed(errno.into()))?);
    memory.write_all(&[7; PROBE_BYTES]).map_err(failed)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", memory.as_raw_fd()));
    let file = File::open(Path::new(&path), OpenOptions { read: true, ..OpenOptions::default() }).await?;
    let (outcome, buffer) = file.read_at(0, try_acquire_buffer(PROBE_BYTES)?).await;
    outcome?;
    if buffer.iter().any(|byte| *byte != 7) {
        return Err(IoError::new(IoErrorKind::Other, "probe").with_found("wrong bytes"));
    }
    file.close().await
}

/// What an errno of `io_uring_setup` or `io_uring_enter` means here.
fn explain(errno: Option<i32>, error: &str, io_uring_disabled: Option<&str>) -> String {
    let (name, meaning) = match errno.map(Errno::from_raw_os_error) {
        Some(Errno::PERM | Errno::ACCESS) => match io_uring_disabled.map(str::trim) {
            Some("2") => ("EPERM", "the administrator forbids it to all (kernel.io_uring_disabled=2)"),
            Some("1") => ("EPERM", "the administrator forbids it to this user (kernel.io_uring_disabled=1)"),
            _ => ("EPERM", "a seccomp filter or a security module forbids it, as most containers do"),
        },
        Some(Errno::NOSYS) => ("ENOSYS", "this kernel or this sandbox has no io_uring"),
        Some(Errno::NOMEM) => ("ENOMEM", "no locked memory left for a ring (raise `ulimit -l`)"),
        Some(Errno::MFILE | Errno::NFILE) => ("EMFILE", "no file descriptor left (raise `ulimit -n`)"),
        _ => return error.to_owned(),
    };
    format!("{name}: {meaning}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_a_meaning() {
        let line = |errno, disabled| explain(Some(errno), "os error", disabled);
        assert!(line(1, Some("2\n")).contains("io_uring_disabled=2"));
        assert!(line(1, Some("1\n")).contains("io_uring_disabled=1"));
        assert!(line(1, Some("0\n")).contains("seccomp"));
        assert!(line(1, None).starts_with("EPERM"));
        assert!(line(38, None).starts_with("ENOSYS"));
        assert!(line(12, None).contains("ulimit -l"));
        assert_eq!(line(5, None), "os error");
    }

    /// A program without a runtime says how to get it, whoever asks for it.
    #[test]
    fn what_is_not_built_in_names_its_feature() {
        for choice in BackendChoice::NAMES.map(|name| name.parse::<BackendChoice>().unwrap()) {
            let Some(backend) = choice.backend() else { continue };
            let Some(feature) = backend.missing_feature() else { continue };
            let selected = select_backend(choice).unwrap_err();
            let options = ExecutorOptions { backend, ..ExecutorOptions::default() };
            let started = spawn_executor(options, || async {}).unwrap_err();
            for error in [selected, started] {
                assert_eq!(error.kind(), IoErrorKind::Unsupported);
                assert!(error.to_string().contains(&format!("--features {feature}")), "{error}");
            }
        }
        assert_eq!(Backend::Uring.missing_feature(), None);
        assert_eq!(Backend::Threads.missing_feature(), None);
    }

    #[test]
    fn auto_always_finds_one_and_says_why_it_is_not_io_uring() {
        let selection = select_backend(BackendChoice::Auto).unwrap();
        assert_eq!(selection.note.is_none(), selection.backend == Backend::Uring);
        let named = select_backend(BackendChoice::Uring);
        assert_eq!(named.is_ok(), selection.backend == Backend::Uring);
        assert_eq!(select_backend(BackendChoice::Threads).unwrap().backend, Backend::Threads);
    }
}
