//! The promises, and what they share.
#![expect(clippy::cast_possible_truncation, reason = "test files are small")]

pub(crate) mod executors;
pub(crate) mod files;
pub(crate) mod operations;

mod simulated;

use std::future::Future;
use std::path::Path;

use aquifer_io::{
    Backend, Buffer, ExecutorOptions, File, IoError, OpenOptions, acquire_buffer, spawn_executor,
};

pub(crate) const READ_WRITE: OpenOptions =
    OpenOptions { read: true, write: true, create: true, create_new: false, truncate: false, direct: false };
pub(crate) const DIRECT: OpenOptions = OpenOptions { direct: true, ..READ_WRITE };

pub(crate) fn options(backend: Backend) -> ExecutorOptions {
    ExecutorOptions { name: "conformance".to_owned(), backend, ..ExecutorOptions::default() }
}

/// Runs `main` on an executor to its end. A panic in it (a failed assertion) fails the test.
pub(crate) fn run<F, Fut>(options: ExecutorOptions, main: F)
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    if options.backend == Backend::Simulated {
        simulated::run(options, main);
    } else {
        spawn_executor(options, main).unwrap().join().unwrap();
    }
}

/// The folder of a test's files: on the disk of the build, where direct I/O works, rather than in a `/tmp` of memory.
pub(crate) fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    simulated::share(folder.path());
    folder
}

/// A buffer filled with bytes that depend on the seed and the place.
pub(crate) async fn filled(bytes: usize, seed: u64) -> Buffer {
    let mut buffer = acquire_buffer(bytes).await.unwrap();
    fill(&mut buffer, seed);
    buffer
}

pub(crate) fn fill(bytes: &mut [u8], seed: u64) {
    fastrand::Rng::with_seed(seed).fill(bytes);
}

pub(crate) fn is_filled(bytes: &[u8], seed: u64) -> bool {
    let mut expected = vec![0; bytes.len()];
    fill(&mut expected, seed);
    bytes == expected
}

pub(crate) async fn read(file: &File, offset: u64, bytes: usize) -> Result<Buffer, IoError> {
    let (outcome, buffer) = file.read_at(offset, acquire_buffer(bytes).await?).await;
    outcome.map(|()| buffer)
}

/// A file of `blocks` blocks of 4096 bytes, block i filled from seed i.
pub(crate) fn file_of_blocks(path: &Path, blocks: u64) {
    let mut bytes = vec![0; blocks as usize * 4096];
    for (index, block) in bytes.chunks_mut(4096).enumerate() {
        fill(block, index as u64);
    }
    std::fs::write(path, bytes).unwrap();
}
