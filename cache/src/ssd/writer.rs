//! Writes chunks in the order they were begun, one at a time, within the budget of bytes a second.

use super::chunk::Chunk;
use super::directory::Trailer;
use super::layout::Layout;
use super::shared::{Running, Shared};
use aquifer_io::{Buffer, IoError};
use std::rc::Rc;
use std::time::Duration;

/// Longest that an entry waits in a chunk that does not fill, which is what a kill costs at most. Each chunk that is written part-filled
/// wastes half a page, so this is long. Armed by an offer: an idle shard has no timer.
const FLUSH_DELAY: Duration = Duration::from_secs(5);

impl Shared {
    /// Has full chunks written, if nobody does yet.
    pub(super) fn start_writer(self: &Rc<Self>, running: &mut Running) {
        if !running.writing && running.tier.buffer.oldest().is_some() {
            running.writing = true;
            let task = aquifer_io::spawn_vital(write_chunks(Rc::clone(self)));
            *self.writer.borrow_mut() = Some(task);
        }
    }

    /// Has the chunk that is being filled written now, because its memory is wanted and nothing else is about to come free.
    pub(super) fn start_early(self: &Rc<Self>, running: &mut Running) {
        if running.tier.buffer.oldest().is_none() {
            running.tier.seal();
            self.start_writer(running);
        }
    }

    /// Has the chunk that is being filled written within [`FLUSH_DELAY`].
    pub(super) fn start_flush(self: &Rc<Self>, running: &mut Running) {
        if !running.flush_waits {
            running.flush_waits = true;
            drop(aquifer_io::spawn_vital(flush_later(Rc::clone(self))));
        }
    }

    /// Writes what is in the buffer, now, and waits until it is on its way; `false` if there is no tier any more.
    pub(super) async fn drain(self: &Rc<Self>) -> bool {
        loop {
            let seen = self.progress.now();
            {
                let mut running = self.running.borrow_mut();
                let Some(running) = running.as_mut() else { return false };
                running.tier.seal();
                if running.tier.buffer.pending_bytes() == 0 {
                    return true;
                }
                self.start_writer(running);
            }
            self.progress.since(seen).await;
        }
    }

    /// Waits until so many bytes may be written, and counts them as written. `false` if there is no tier any more.
    pub(super) async fn take_turn(&self, bytes: usize) -> bool {
        loop {
            let pause = {
                let mut running = self.running.borrow_mut();
                let Some(running) = running.as_mut() else { return false };
                let budget = &mut running.admission.budget;
                let pause = budget.pause(aquifer_io::now());
                // Who closes does not wait: what is left is bounded.
                if pause.is_zero() || running.paused {
                    budget.spend(bytes as u64);
                    Duration::ZERO
                } else {
                    pause
                }
            };
            if pause.is_zero() {
                self.count(|io| {
                    io.writes += 1;
                    io.written_bytes += bytes as u64;
                });
                return true;
            }
            aquifer_io::sleep(pause).await;
        }
    }

    /// Writes the buffer; an error switches the tier off. `false` if there is no tier any more.
    pub(super) async fn write(&self, offset: u64, buffer: Buffer) -> bool {
        let file = match self.running.borrow().as_ref() {
            Some(running) => Rc::clone(&running.file),
            None => return false,
        };
        let (result, buffer) = file.write_at(offset, buffer).await;
        drop(buffer);
        self.has_worked(&result)
    }

    /// Waits until all that was written is on the disk for good; an error switches the tier off. `false` if there is no tier any more.
    async fn sync(&self) -> bool {
        let file = match self.running.borrow().as_ref() {
            Some(running) => Rc::clone(&running.file),
            None => return false,
        };
        self.has_worked(&file.sync_data().await)
    }

    fn has_worked(&self, result: &Result<(), IoError>) -> bool {
        if let Err(error) = result {
            self.switch_off(&format!("write failed: {error}"));
        }
        result.is_ok()
    }
}

/// Whether a chunk is the directory of a region that is full.
fn ends_region(layout: &Layout, chunk: &Chunk) -> bool {
    let end = layout.region_offset(chunk.region) + layout.region_bytes;
    chunk.offset + chunk.write_bytes() as u64 == end
        && Trailer::parse(&chunk.data).is_some_and(|trailer| trailer.is_sealed())
}

/// Writes a chunk that did not fill in time: its memory comes free, and the file holds what the tier says it holds.
async fn flush_later(shared: Rc<Shared>) {
    aquifer_io::sleep(FLUSH_DELAY).await;
    if let Some(running) = shared.running.borrow_mut().as_mut() {
        running.flush_waits = false;
        running.tier.seal();
        shared.start_writer(running);
    }
}

/// Writes sealed chunks, oldest first, until there are none.
async fn write_chunks(shared: Rc<Shared>) {
    loop {
        let next = {
            let mut running = shared.running.borrow_mut();
            let Some(running) = running.as_mut() else { return };
            match running.tier.buffer.oldest() {
                Some(chunk) => {
                    // What is pinned is fetched by nobody: a directory must not speak of entries that a power loss takes.
                    let syncs = running.tier.is_pinned() && ends_region(&running.tier.layout, chunk);
                    (chunk.offset, chunk.write_bytes(), syncs)
                }
                None => {
                    running.writing = false;
                    return;
                }
            }
        };
        let (offset, bytes, syncs) = next;
        if syncs && !shared.sync().await || !shared.take_turn(bytes).await {
            return;
        }
        let mut buffer = match aquifer_io::acquire_buffer(bytes).await {
            Ok(buffer) => buffer,
            Err(error) => return shared.switch_off(&format!("write failed: {error}")),
        };
        match shared.running.borrow().as_ref().and_then(|running| running.tier.buffer.oldest()) {
            Some(chunk) => chunk.copy_to(&mut buffer),
            None => return,
        }
        if !shared.write(offset, buffer).await {
            return;
        }
        if let Some(running) = shared.running.borrow_mut().as_mut() {
            running.tier.buffer.written(running.tier.layout.chunk_bytes);
            shared.start_emptier(running);
            shared.start_snapshot(running);
        }
        shared.progress.notify();
    }
}
