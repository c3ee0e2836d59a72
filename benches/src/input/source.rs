//! Where the bytes of an input come from, and the unpacking of zstd.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::PathBuf;

use super::error::InputError;

/// All flights that left New York City in 2013 (`benches/data/README.md`), part of the program so that it runs from
/// any folder.
const BUILT_IN: &[u8] = include_bytes!("../../data/flights-2013.csv.zst");

/// Largest zstd window that is accepted: what `zstd -19` uses and less. The window is memory beyond the budget.
const WINDOW_LOG_MAX: u32 = 23;

/// First bytes of a zstd frame.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];

/// An input that can be opened as often as needed: it is counted, applied, replayed and verified in separate passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// The real events that the program carries.
    BuiltIn,
    /// A file, plain or packed.
    File(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("flights-2013.csv.zst (built in)"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

impl Source {
    /// Opens the input from its beginning, unpacked.
    pub(super) fn open(&self) -> Result<Box<dyn Read>, InputError> {
        let named =
            |what: &str, error: &io::Error| InputError::whole(&self.to_string(), format!("{what}: {error}"));
        match self {
            Self::BuiltIn => unpack(BUILT_IN).map_err(|error| named("cannot set up zstd", &error)),
            Self::File(path) => {
                let file = File::open(path).map_err(|error| named("cannot open the input", &error))?;
                let mut file = BufReader::with_capacity(1 << 16, file);
                let start = peek(&mut file).map_err(|error| named("cannot read the input", &error))?;
                if start.is_empty() {
                    return Err(InputError::whole(
                        &self.to_string(),
                        "the file is empty: a header line is needed",
                    ));
                }
                let packed = is_zstd(&start) || path.extension().is_some_and(|extension| extension == "zst");
                let whole = io::Cursor::new(start).chain(file);
                if packed {
                    unpack(whole).map_err(|error| named("cannot set up zstd", &error))
                } else {
                    Ok(Box::new(whole))
                }
            }
        }
    }
}

/// The first bytes of a file (fewer than four only when there are no more).
fn peek(file: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut start = Vec::with_capacity(ZSTD_MAGIC.len());
    file.take(ZSTD_MAGIC.len() as u64).read_to_end(&mut start)?;
    Ok(start)
}

/// A data frame, or a skippable frame (`0x184D2A50` to `0x184D2A5F`) before one.
fn is_zstd(start: &[u8]) -> bool {
    start == ZSTD_MAGIC || matches!(start, [0x50..=0x5F, 0x2A, 0x4D, 0x18])
}

fn unpack<R: Read + 'static>(packed: R) -> io::Result<Box<dyn Read>> {
    let mut decoder = zstd::stream::read::Decoder::new(packed)?;
    decoder.window_log_max(WINDOW_LOG_MAX)?;
    Ok(Box::new(Unpacked(decoder)))
}

/// Marks errors of the zstd decoder, so that a message can tell a broken frame from a broken disk.
struct Unpacked<R: Read>(zstd::stream::read::Decoder<'static, BufReader<R>>);

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| {
            if error.raw_os_error().is_some() {
                return error;
            }
            let text = error.to_string();
            let remedy = if text.contains("memory") { " (pack it again with zstd -19 or lower)" } else { "" };
            io::Error::new(io::ErrorKind::InvalidData, format!("broken zstd frame: {text}{remedy}"))
        })
    }
}
