//! Other budgets for a running engine.

use crate::disk_options::check_dir;
use crate::engine::Engine;
use crate::error::Result;
use crate::limits::{DISK_BYTES_MAX, MEMORY_BYTES_MAX, check_most};
use crate::mailbox::Mailbox;
use crate::reply::{Answered, ReplyTo, reply};
use crate::request::Request;
use std::sync::{Arc, PoisonError};

impl Engine {
    /// Changes [`crate::Options::memory_bytes`] while the engine runs. It is divided anew among the shards, as at opening, but for the buffers of file
    /// reads and writes, whose size stays: so a budget far below the one of the opening is refused.
    ///
    /// A smaller budget has taken effect when this returns. Caches give at once; a memtable that holds more than it may from now on is frozen, and its
    /// upload awaited as far as caches cannot lend what it takes. While the DFS is away that can take long: writes wait then, reads go on. Dropping the future
    /// takes nothing back.
    ///
    /// # Errors
    /// `Invalid` with what is needed at least: nothing is changed then. `Closed`. What stopped the engine's writes, if what it wrote can leave
    /// memory no more: caches have given all the same.
    pub async fn set_memory_bytes(&self, memory_bytes: u64) -> Result<()> {
        check_most("memory_bytes", memory_bytes, MEMORY_BYTES_MAX)?;
        let waiting = {
            let mut now = self.budgets.now.lock().unwrap_or_else(PoisonError::into_inner);
            let budget = now.shard.with_memory(memory_bytes, self.shards())?;
            now.shard = budget;
            for mailbox in &self.shared.mailboxes {
                mailbox.set_bytes_max(budget.mailbox_bytes_max / 2);
            }
            self.tell_all(|reply| Request::SetMemory { budget: Box::new(budget), reply })?
        };
        all_of(waiting).await
    }

    /// Changes [`crate::DiskOptions::bytes`] while the engine runs, in equal shares of the shards. When this returns, what is in the local folder takes no
    /// more than that; what had to go is read from the DFS. 0 gives everything up, and a budget after that begins with an empty tier. Reads
    /// and writes go on meanwhile. Dropping the future takes nothing back.
    ///
    /// # Errors
    /// `Invalid` if the engine was opened without [`crate::DiskOptions::dir`]. `Local` if another engine uses the folder, or if the disk has no room for a
    /// larger budget: shards that found none go on with what they had; free some, and call it again. `Closed`.
    pub async fn set_disk_bytes(&self, disk_bytes: u64) -> Result<()> {
        check_most("disk.bytes", disk_bytes, DISK_BYTES_MAX)?;
        let folder = check_dir(disk_bytes, self.budgets.local_dir.as_deref())?;
        if let Some(folder) = folder {
            aquifer_io::fs::create_dir_all(folder).await?;
        }
        let waiting = {
            let mut now = self.budgets.now.lock().unwrap_or_else(PoisonError::into_inner);
            if let (Some(folder), None) = (folder, &now.lock) {
                now.lock = Some(aquifer_io::fs::lock_dir(folder)?);
            }
            let share = disk_bytes / self.shards().max(1) as u64;
            now.shard.disk_bytes = share;
            self.tell_all(|reply| Request::SetDisk { disk_bytes: share, reply })?
        };
        all_of(waiting).await
    }

    fn tell_all(&self, request: impl Fn(ReplyTo<()>) -> Request) -> Result<Vec<Answered<()>>> {
        let tell = |mailbox: &Arc<Mailbox<Request>>| {
            let (reply, outcome) = reply();
            mailbox.push_control(request(reply)).map(|()| outcome)
        };
        self.shared.mailboxes.iter().map(tell).collect()
    }
}

/// Waits for all shards, also if one of them reports an error; the first one.
async fn all_of(waiting: Vec<Answered<()>>) -> Result<()> {
    let mut outcome = Ok(());
    for shard in waiting {
        outcome = outcome.and(shard.await);
    }
    outcome
}
