//! Files that the run writes at its end: whole, or not at all.
//!
//! A regular file is written beside its name and renamed over it; a device or pipe (`/dev/stdout`) is written
//! directly. That the place can be written is found out before the run, not after it.

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tempfile::NamedTempFile;

use crate::failure::Failure;

/// A file that will be written.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    path: PathBuf,
    direct: bool,
}

/// A file being written; nothing of it stays unless [`Writing::finish`] is called.
pub(crate) enum Writing {
    Beside(NamedTempFile),
    Direct(File),
}

impl Output {
    /// Checks that the place can be written.
    pub(crate) fn new(path: &Path) -> Result<Self, Failure> {
        let direct = std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir());
        let output = Self { path: path.to_owned(), direct };
        if path.is_dir() {
            return Err(output.failure(io::Error::from(io::ErrorKind::IsADirectory)));
        }
        output.create().map(|_| output)
    }

    /// Where it will be.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it goes to the standard output.
    pub(crate) fn is_stdout(&self) -> bool {
        self.direct && (self.path == Path::new("/dev/stdout") || self.path == Path::new("/proc/self/fd/1"))
    }

    /// Starts to write.
    pub(crate) fn create(&self) -> Result<Writing, Failure> {
        if self.direct {
            let file = File::options().write(true).open(&self.path).map_err(|error| self.failure(error))?;
            return Ok(Writing::Direct(file));
        }
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        // What a file made by name would have: less what the process's mask takes away.
        let made = tempfile::Builder::new()
            .prefix(".aquifer-bench-")
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder.unwrap_or(Path::new(".")));
        made.map(Writing::Beside).map_err(|error| self.failure(error))
    }

    /// Writes these bytes as the whole file.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut writing = self.create()?;
        writing.writer().write_all(bytes).map_err(|error| self.failure(error))?;
        writing.finish(self)
    }

    /// Writes a document as JSON.
    pub(crate) fn write_json(&self, document: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_vec_pretty(document);
        let mut text = text.map_err(|error| Failure::Other(format!("cannot encode the report: {error}")))?;
        text.push(b'\n');
        self.write(&text)
    }

    /// An error with the file's name.
    pub(crate) fn failure(&self, error: io::Error) -> Failure {
        Failure::local("cannot write", &self.path, error)
    }
}

impl Writing {
    /// The open file.
    pub(crate) fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Beside(file) => file,
            Self::Direct(file) => file,
        }
    }

    /// Puts the file in its place.
    pub(crate) fn finish(self, output: &Output) -> Result<(), Failure> {
        let Self::Beside(file) = self else { return Ok(()) };
        file.persist(&output.path).map(drop).map_err(|error| output.failure(error.error))
    }
}

/// Writes a report as JSON, where that is asked for, then shows its table.
pub(crate) fn publish(report: &impl Serialize, table: &str, json: Option<&Output>) -> Result<(), Failure> {
    if let Some(output) = json {
        output.write_json(report)?;
    }
    show(table, json.is_some_and(Output::is_stdout))
}

/// Prints a text and an end of line: on the standard output, unless that is taken by a file of the run.
pub(crate) fn show(text: &str, stdout_taken: bool) -> Result<(), Failure> {
    let text = format!("{text}\n");
    let written = if stdout_taken {
        io::stderr().write_all(text.as_bytes())
    } else {
        io::stdout().write_all(text.as_bytes())
    };
    match written {
        // Whoever closed the pipe has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| Failure::Other(format!("cannot print the report: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_that_cannot_be_written_are_found_out_at_once() {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in [
            (folder.path().to_owned(), "directory"),
            (folder.path().join("absent/file"), "No such file"),
            (PathBuf::from("/proc/file"), "cannot write /proc/file"),
        ] {
            let error = Output::new(&path).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
    }

    #[test]
    fn a_file_is_replaced_whole_and_devices_are_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        let output = Output::new(&path).unwrap();
        assert!(!path.exists(), "looking does not make it");
        output.write(b"one").unwrap();
        output.write(b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        Output::new(Path::new("/dev/null")).unwrap().write(b"three").unwrap();
        assert!(!Path::new("/dev/null").is_file());
    }
}
