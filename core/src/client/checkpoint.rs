//! Checkpoints, as callers begin them: the barrier is laid into every mailbox.

use crate::checkpoint_parts::{CheckpointInfo, CheckpointRequest};
use crate::client::handle::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::CHECKPOINT_METADATA_BYTES_MAX;
use crate::reply::reply;
use crate::request::{Reply, Request};
use std::sync::atomic::Ordering;

impl Client {
    /// Makes everything that was called before it on this client durable, and nothing that is called after it: the barrier is
    /// in every mailbox when the call returns, so operations may go on at once. `metadata`, for example the position in the source,
    /// is kept with the checkpoint and comes back from [`crate::Engine::restored`].
    ///
    /// The checkpoint goes on to its end even if the reply is dropped.
    ///
    /// # Errors
    /// `Busy` while one is running; `Invalid` for more than 64 KiB of metadata; `Unavailable`: not committed as far as is known, and
    /// all that was written stays in the engine: call again; `Fenced`; `Closed`.
    pub fn checkpoint(&self, metadata: Vec<u8>) -> Reply<CheckpointInfo> {
        if metadata.len() > CHECKPOINT_METADATA_BYTES_MAX {
            return Reply::refused(Error::invalid(format!(
                "checkpoint metadata of {} bytes; at most {CHECKPOINT_METADATA_BYTES_MAX} are possible",
                metadata.len()
            )));
        }
        if let Err(error) = self.shared.check_writable() {
            return Reply::refused(error);
        }
        if self.shared.checkpoint_running.swap(true, Ordering::AcqRel) {
            return Reply::refused(Error::new(
                ErrorKind::Busy,
                "a checkpoint is running: await it, then begin the next",
            ));
        }
        match self.begin_checkpoint(metadata) {
            Ok(reply) => reply,
            Err(error) => {
                self.shared.checkpoint_running.store(false, Ordering::Release);
                Reply::refused(error)
            }
        }
    }

    /// Lays the barrier.
    fn begin_checkpoint(&self, metadata: Vec<u8>) -> Result<Reply<CheckpointInfo>> {
        let begun = aquifer_io::now();
        let event_time_ms = self.shared.clock.begin_barrier();
        let mut parts = Vec::with_capacity(self.shared.mailboxes.len());
        for mailbox in &self.shared.mailboxes {
            let (reply, part) = reply();
            mailbox.push_control(Request::Barrier { reply })?;
            parts.push(part);
        }
        let (to_caller, outcome) = reply();
        let request = CheckpointRequest { metadata, event_time_ms, parts, begun, reply: to_caller };
        self.mailbox(0)?.push_control(Request::Checkpoint(Box::new(request)))?;
        Ok(Reply::waiting(outcome))
    }
}
