//! Trains the dictionary of a segment from the blocks that it begins with.

use super::block::{Dictionary, Encoder, Kind};
use crate::compression_options::Compression;
use crate::error::Result;
use bytes::Bytes;

/// Raw bytes of blocks that a dictionary of one byte is trained from, and the bounds of their sum.
const SAMPLE_FACTOR: usize = 32;
const SAMPLE_BYTES: (usize, usize) = (64 * 1024, 1024 * 1024);
/// Fewer samples than this make no dictionary.
const SAMPLES_MIN: usize = 8;
/// One of so many samples is not trained from but compressed both ways, to see what the dictionary is worth.
const TRIAL_STEP: usize = 8;

/// Raw bytes to gather before a dictionary of at most `dictionary_bytes_max` is trained.
pub(crate) fn sample_bytes(dictionary_bytes_max: usize) -> usize {
    dictionary_bytes_max.saturating_mul(SAMPLE_FACTOR).clamp(SAMPLE_BYTES.0, SAMPLE_BYTES.1)
}

/// A dictionary for blocks like `samples`; `None` if they are too few, or it would not save a twentieth.
///
/// One long computation: tens of milliseconds for a megabyte of samples.
pub(crate) fn train<'a>(
    samples: impl ExactSizeIterator<Item = &'a [u8]> + Clone,
    bytes_max: usize,
    compression: Compression,
) -> Result<Option<Dictionary>> {
    if samples.len() < SAMPLES_MIN {
        return Ok(None);
    }
    let trained: Vec<&[u8]> = samples
        .clone()
        .enumerate()
        .filter(|(at, _)| at % TRIAL_STEP != 0)
        .map(|(_, sample)| sample)
        .collect();
    let sizes: Vec<usize> = trained.iter().map(|sample| sample.len()).collect();
    let joined = trained.concat();
    // Samples that it can make nothing of are no error: the blocks are stored without a dictionary.
    let Ok(bytes) = zstd::dict::from_continuous(&joined, &sizes, bytes_max) else { return Ok(None) };
    let dictionary = Dictionary::new(Bytes::from(bytes));
    let trials = samples.step_by(TRIAL_STEP);
    let mut encoder = Encoder::new(compression)?;
    let plain = stored_bytes(&mut encoder, trials.clone());
    encoder.use_dictionary(&dictionary)?;
    let with = stored_bytes(&mut encoder, trials);
    Ok((with < plain - plain / 20).then_some(dictionary))
}

fn stored_bytes<'a>(encoder: &mut Encoder, blocks: impl Iterator<Item = &'a [u8]>) -> u64 {
    let mut out = Vec::new();
    let sizes = blocks.map(|block| {
        out.clear();
        // One that cannot be written is no sample: whoever writes it hears of it.
        encoder.encode(Kind::Data, block, &mut out).map_or(0, |written| u64::from(written.bytes))
    });
    sizes.sum()
}
