//! What a load of the cache brings, and whose it is.

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

/// What was loaded as a partition's meta.
pub(crate) fn take_partition(segment: &Segment, block: CachedBlock) -> Result<Rc<PartitionMeta>> {
    let CachedBlock::Partition(meta) = block else { return Err(mixed_up(segment)) };
    Ok(meta)
}

/// What was loaded as stored bytes.
pub(crate) fn take_stored(segment: &Segment, block: CachedBlock) -> Result<Bytes> {
    let CachedBlock::Stored(stored) = block else { return Err(mixed_up(segment)) };
    Ok(stored)
}

/// What was loaded as a data block.
pub(crate) fn take_data(segment: &Segment, block: CachedBlock) -> Result<Rc<DataBlock>> {
    let CachedBlock::Data(data) = block else { return Err(mixed_up(segment)) };
    Ok(data)
}

/// One extent is always decoded as the same kind of block; said rather than assumed.
pub(crate) fn mixed_up(segment: &Segment) -> Error {
    segment.place(0).corrupt("head, metas and blocks of a segment apart", "one extent used as two of them")
}

/// The next load that is done, and what its owner noted.
pub(crate) async fn next_of<T>(
    gather: &mut LoadSet<CachedBlock>,
    owners: &mut [Option<T>],
) -> Option<(FinishedLoad<CachedBlock>, T)> {
    let done = gather.next().await?;
    let owner = owners.get_mut(done.token)?.take()?;
    Some((done, owner))
}

/// What a load brought.
pub(crate) fn came(done: FinishedLoad<CachedBlock>) -> Result<(CachedBlock, Tier, Bytes)> {
    let block = done.result.map_err(not_loaded)?;
    Ok((block, done.tier, done.along))
}

/// Notes whose a load is.
pub(crate) fn own<T>(owners: &mut Vec<Option<T>>, token: usize, owner: T) {
    if owners.len() <= token {
        owners.resize_with(token + 1, || None);
    }
    if let Some(slot) = owners.get_mut(token) {
        *slot = Some(owner);
    }
}
