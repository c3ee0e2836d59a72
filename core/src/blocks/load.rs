//! The result of a cache load: its error as the engine's, the one kind of block that was asked for, and which of several askers it is for.

use crate::blocks::cached_block::CachedBlock;
use crate::error::{Error, Result};
use crate::segment::data::DataBlock;
use crate::segment::partition::PartitionMeta;
use crate::version::Segment;
use aquifer_cache::{FinishedLoad, Load, LoadError, LoadSet, Tier};
use bytes::Bytes;
use std::rc::Rc;

/// The result of a load, where it came from, and what came along.
pub(crate) async fn loaded(mut load: Load<CachedBlock>) -> Result<(CachedBlock, Tier, Bytes)> {
    let block = (&mut load).await.map_err(not_loaded)?;
    Ok((block, load.tier(), load.take_along()))
}

/// Why a load has no value.
pub(crate) fn not_loaded(error: LoadError<Error>) -> Error {
    match error {
        LoadError::Source(error) => error,
        LoadError::Stopped => Error::closed(),
    }
}

/// Takes a partition's meta out of a loaded block; `Corrupt` if the block is of another kind.
pub(crate) fn take_partition(segment: &Segment, block: CachedBlock) -> Result<Rc<PartitionMeta>> {
    let CachedBlock::Partition(meta) = block else { return Err(mixed_up(segment)) };
    Ok(meta)
}

/// Takes stored bytes out of a loaded block; `Corrupt` if the block is of another kind.
pub(crate) fn take_stored(segment: &Segment, block: CachedBlock) -> Result<Bytes> {
    let CachedBlock::Stored(stored) = block else { return Err(mixed_up(segment)) };
    Ok(stored)
}

/// Takes a data block out of a loaded block; `Corrupt` if it is of another kind.
pub(crate) fn take_data(segment: &Segment, block: CachedBlock) -> Result<Rc<DataBlock>> {
    let CachedBlock::Data(data) = block else { return Err(mixed_up(segment)) };
    Ok(data)
}

/// One extent is always decoded as the same kind of block; said rather than assumed.
pub(crate) fn mixed_up(segment: &Segment) -> Error {
    segment.place(0).corrupt("head, metas and blocks of a segment apart", "one extent used as two of them")
}

/// Waits for the next load that is done; gives it with what its owner noted.
pub(crate) async fn next_of<T>(
    gather: &mut LoadSet<CachedBlock>,
    owners: &mut [Option<T>],
) -> Option<(FinishedLoad<CachedBlock>, T)> {
    let done = gather.next().await?;
    let owner = owners.get_mut(done.token)?.take()?;
    Some((done, owner))
}

/// Takes a finished load apart: the block, where it came from, and the bytes that came along.
pub(crate) fn came(done: FinishedLoad<CachedBlock>) -> Result<(CachedBlock, Tier, Bytes)> {
    let block = done.result.map_err(not_loaded)?;
    Ok((block, done.tier, done.along))
}

/// Notes the owner of the load with this number.
pub(crate) fn own<T>(owners: &mut Vec<Option<T>>, token: usize, owner: T) {
    if owners.len() <= token {
        owners.resize_with(token + 1, || None);
    }
    if let Some(slot) = owners.get_mut(token) {
        *slot = Some(owner);
    }
}
