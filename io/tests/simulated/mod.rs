//! What the tests of simulated worlds share.
#![expect(clippy::cast_possible_truncation, reason = "test files are small")]

mod disk;
mod log;
mod world;

use std::path::Path;

use aquifer_io::{Buffer, ExecutorOptions, File, IoError, OpenOptions, acquire_buffer};

pub(crate) const READ_WRITE: OpenOptions =
    OpenOptions { read: true, write: true, create: true, create_new: false, truncate: false, direct: false };

pub(crate) fn named(name: &str) -> ExecutorOptions {
    ExecutorOptions { name: name.to_owned(), ..ExecutorOptions::default() }
}

pub(crate) async fn open(path: &str) -> Result<File, IoError> {
    File::open(Path::new(path), READ_WRITE).await
}

pub(crate) async fn filled(bytes: usize, byte: u8) -> Buffer {
    let mut buffer = acquire_buffer(bytes).await.unwrap();
    buffer.fill(byte);
    buffer
}

pub(crate) async fn write(file: &File, offset: u64, bytes: usize, byte: u8) -> Result<(), IoError> {
    file.write_at(offset, filled(bytes, byte).await).await.0
}

pub(crate) async fn read(file: &File, offset: u64, bytes: usize) -> Result<Buffer, IoError> {
    let (outcome, buffer) = file.read_at(offset, acquire_buffer(bytes).await?).await;
    outcome.map(|()| buffer)
}
