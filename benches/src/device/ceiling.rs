//! What the bare disk gives for random reads, as the ceiling of other benchmarks: fio where it is installed, else the backend.

use std::path::Path;
use std::time::Duration;

use aquifer_io::{BackendChoice, select_backend};

use super::backend;
use super::fio::Fio;
use super::shape::{SHAPES, Shape, Work};
use super::test_file::TestFile;
use crate::failure::Failure;
use crate::measure::spread::Times;
use crate::measure::tool::ToolError;

/// Longest test file.
const FILE_BYTES_MAX: u64 = 1 << 30;
/// Shortest one: room for every shape.
const FILE_BYTES_MIN: u64 = 32 << 20;

/// Random reads a second of the disk under a folder, of the shape that comes nearest to reads of so many bytes at this depth; and what
/// measured them.
pub(crate) fn read_ceiling(
    folder: &Path,
    file_bytes: u64,
    read_bytes: u64,
    depth: u64,
    time: Duration,
) -> Result<(String, f64), Failure> {
    let backend = select_backend(BackendChoice::Auto).map_err(|error| Failure::Other(error.to_string()))?;
    let file = TestFile::create(folder, file_bytes.clamp(FILE_BYTES_MIN, FILE_BYTES_MAX), backend.backend)?;
    let Some(shape) = nearest(read_bytes, depth) else {
        return Err(Failure::Other("there is no shape of random reads: a bug in this tool".into()));
    };
    file.read_through()?;
    let times = Times::new(time);
    let (through, sample) = match Fio::find() {
        Ok(fio) => match fio.measure(&shape, &file, times) {
            Ok(sample) => (fio.version().to_owned(), sample),
            Err(ToolError::Interrupted) => return Err(Failure::Interrupted),
            Err(ToolError::Failed(_)) => {
                (backend.backend.to_string(), backend::measure(backend.backend, shape, &file, times)?)
            }
        },
        Err(_) => (backend.backend.to_string(), backend::measure(backend.backend, shape, &file, times)?),
    };
    Ok((format!("{} through {through}", shape.name()), sample.iops))
}

/// The shape of random reads nearest to this size, and of these the shallowest that is as deep, or the deepest.
fn nearest(read_bytes: u64, depth: u64) -> Option<Shape> {
    let reads = || SHAPES.into_iter().filter(|shape| shape.work == Work::RandomRead);
    let size =
        reads().map(|shape| shape.block_bytes).min_by_key(|size| u64::from(*size).abs_diff(read_bytes))?;
    let mut fitting: Vec<Shape> = reads().filter(|shape| shape.block_bytes == size).collect();
    fitting.sort_by_key(|shape| shape.depth);
    let deep = fitting.iter().find(|shape| u64::from(shape.depth) >= depth).copied();
    deep.or(fitting.last().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_shape_is_taken() {
        let name = |bytes, depth| nearest(bytes, depth).unwrap().name();
        assert_eq!(name(4096, 1), "random-read-4k depth-1");
        assert_eq!(name(2500, 20), "random-read-4k depth-32");
        assert_eq!(name(4096, 64), "random-read-4k depth-128");
        assert_eq!(name(13_000, 4000), "random-read-16k depth-128");
    }
}
