//! Reads files through once, past the page cache: data untouched for long is slow on many virtual disks, whoever reads it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::failure::Failure;
use crate::interrupt;

const CHUNK_BYTES: usize = 1 << 20;
const ALIGN_BYTES: usize = 4096;

/// Reads every file below the folder; how many bytes that were.
pub(crate) fn read_through(folder: &Path) -> Result<u64, Failure> {
    let mut bytes = 0;
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(Failure::local("cannot list", folder, error)),
    };
    for entry in entries.flatten() {
        let path = entry.path();
        // A file may go while an engine works.
        let Ok(found) = entry.metadata() else { continue };
        if found.is_dir() {
            bytes += read_through(&path)?;
        } else if found.is_file() && found.blocks() > 0 {
            match read_file(&path) {
                Ok(read) => bytes += read,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Failure::local("cannot read", &path, error)),
            }
        }
        interrupt::check()?;
    }
    Ok(bytes)
}

/// Direct where the file system can, else through the page cache.
fn open(path: &Path) -> io::Result<File> {
    let direct = i32::try_from(rustix::fs::OFlags::DIRECT.bits()).unwrap_or(0);
    match OpenOptions::new().read(true).custom_flags(direct).open(path) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => File::open(path),
        opened => opened,
    }
}

fn read_file(path: &Path) -> io::Result<u64> {
    let file = open(path)?;
    let mut memory = vec![0_u8; CHUNK_BYTES + ALIGN_BYTES];
    let start = memory.as_ptr().align_offset(ALIGN_BYTES);
    let Some(buffer) = memory.get_mut(start..start + CHUNK_BYTES) else { return Ok(0) };
    let mut offset = 0;
    loop {
        match file.read_at(buffer, offset)? {
            0 => return Ok(offset),
            read => offset += read as u64,
        }
        // A direct read that ends elsewhere was the last one, and the next would be refused.
        if !offset.is_multiple_of(ALIGN_BYTES as u64) {
            return Ok(offset);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("inner")).unwrap();
        for (name, bytes) in [("a", 3 << 20), ("inner/b", 5000), ("c", 0)] {
            std::fs::write(folder.path().join(name), vec![1; bytes]).unwrap();
        }
        assert_eq!(read_through(folder.path()).unwrap(), (3 << 20) + 5000);
        assert_eq!(read_through(&folder.path().join("absent")).unwrap(), 0);
    }
}
