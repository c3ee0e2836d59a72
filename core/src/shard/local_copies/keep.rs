//! Which segments are kept local in a pinned disk tier, and the task that sees to it.
//!
//! ```text
//! written here     its blocks are pinned from memory, before its version ─┐
//! from elsewhere   fetched ───────────────────────────────────────────────┼─> held ──> no version, read or snapshot has it ──> unpinned
//! did not fit      fetched once something was unpinned ───────────────────┘
//! ```
//! Every segment of a version has a [`crate::version::local_use::LocalUse`], which goes with the last who can read it. A clip of a segment is a use of its own: partitions
//! that no clip needs any more are unpinned as well.
//! Nothing fails for want of disk: what is not local is read from the DFS, and counted.

use crate::error::Result;
use crate::limits::PIN_PAUSE;
use crate::shard::parts::keeper::Keeper;
use crate::shard::shard_core::ShardCore;
use futures_util::future::select;
use futures_util::pin_mut;
use std::rc::Rc;

/// The keeper's task: runs as long as its shard.
pub(crate) async fn run(core: Rc<ShardCore>) {
    let Some(keeper) = core.keeper.as_ref() else { return };
    let mut is_behind = false;
    loop {
        if is_behind {
            // The DFS did not answer: once more after a while, or when something else is to be done.
            let (signal, pause) = (keeper.signal.wait(), aquifer_io::sleep(PIN_PAUSE));
            pin_mut!(signal, pause);
            select(signal, pause).await;
        } else {
            keeper.signal.wait().await;
        }
        // What stands in for others is local before those go.
        is_behind = keep(&core, keeper, false).await.is_err();
        let unpinned = keeper.to_unpin();
        let is_more_room = !unpinned.is_empty();
        for (was, needed) in &unpinned {
            // Of a head or meta that cannot be read now the blocks are found when the file is opened next.
            if let Ok(Some(bytes)) = core.unpin(was, needed).await {
                keeper.unpinned(was, bytes);
            }
        }
        drop(unpinned);
        if is_more_room {
            is_behind |= keep(&core, keeper, true).await.is_err();
        }
    }
}

/// Makes local what is not. The first error; the others are tried all the same.
async fn keep(core: &Rc<ShardCore>, keeper: &Keeper, also_partly: bool) -> Result<()> {
    let mut outcome = Ok(());
    for kept in keeper.to_pin(also_partly) {
        let pinned = core.make_local(&kept).await;
        outcome = outcome.and(pinned.map(|(bytes, missing)| keeper.pinned(&kept, bytes, missing)));
    }
    outcome
}
