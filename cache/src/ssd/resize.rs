//! Another budget while the cache is in use.
//!
//! ```text
//! more    reserve the space ──> regions added, clean ──> superblock
//! less    regions at the end given up: out of the index ──> their reads and writes ended ──> superblock ──> file cut
//! none    everything given up; and back: opened anew, cold
//! ```
//! A crash in between leaves a file that is longer than its superblock says, or a superblock that says less than before: never more than
//! the larger of the two budgets.

use super::index::TABLES;
use super::layout::Layout;
use super::open::{write_buffer_bytes, write_superblock};
use super::region::Region;
use super::shared::{Shared, Ssd};
use aquifer_io::{File, IoError, IoErrorKind, OpenOptions};
use std::rc::Rc;

impl Ssd {
    /// Goes on with a budget of so many bytes. When this returns, the file takes no more than that.
    ///
    /// # Errors
    /// The space could not be reserved: everything is as before. Any other error switches the tier off, with its reason in the counters.
    pub(crate) async fn set_disk_bytes(&self, disk_bytes: u64) -> Result<(), IoError> {
        let shared = &self.shared;
        if shared.running.borrow().is_none() {
            shared.open(disk_bytes).await;
            return shared.cut_left_behind(disk_bytes).await;
        }
        let Some(()) = shared.pause().await else { return Ok(()) };
        let resized = shared.resize(disk_bytes).await;
        if let Some(running) = shared.running.borrow_mut().as_mut() {
            running.paused = false;
        }
        shared.progress.notify();
        resized
    }
}

impl Shared {
    /// A tier that an error had switched off left its file as it was.
    async fn cut_left_behind(&self, disk_bytes: u64) -> Result<(), IoError> {
        let was_there = self.off_reason.borrow().is_some() && self.running.borrow().is_none();
        let Some(path) = self.options.disk_path.as_ref().filter(|_| was_there) else { return Ok(()) };
        let file = match File::open(path, OpenOptions { write: true, ..OpenOptions::default() }).await {
            Ok(file) => file,
            Err(error) if error.kind() == IoErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        if file.bytes().await? > disk_bytes { file.truncate(0).await } else { Ok(()) }
    }

    async fn resize(self: &Rc<Self>, disk_bytes: u64) -> Result<(), IoError> {
        let next = {
            let running = self.running.borrow();
            let Some(running) = running.as_ref() else { return Ok(()) };
            let region_bytes = running.tier.layout.region_bytes;
            let buffer_bytes = write_buffer_bytes(&self.options);
            let next =
                Layout::with_regions_of(disk_bytes, region_bytes, self.options.region_bytes, buffer_bytes);
            next.map(|next| (next, running.tier.layout, Rc::clone(&running.file)))
        };
        match next {
            None => self.begin_anew(disk_bytes).await,
            Some((next, now, file)) if next.file_bytes() >= now.file_bytes() => self.grow(next, &file).await,
            Some((next, _, file)) => {
                self.shrink(next, &file).await;
                Ok(())
            }
        }
    }

    async fn grow(self: &Rc<Self>, next: Layout, file: &File) -> Result<(), IoError> {
        match file.allocate(next.file_bytes()).await {
            Err(error) if error.kind() == IoErrorKind::Unsupported => {
                file.truncate(next.file_bytes()).await?;
            }
            other => other?,
        }
        self.take(next);
        self.name_size(file).await;
        Ok(())
    }

    async fn shrink(self: &Rc<Self>, next: Layout, file: &File) {
        // Regions may be fewer although the file is not shorter by whole regions: the index area moves.
        let given_up = self.take(next);
        for table in 0..TABLES {
            if let Some(running) = self.running.borrow_mut().as_mut() {
                running.tier.sweep(table, |region| region >= next.regions);
            }
            aquifer_io::yield_now().await;
        }
        // Reads that go on hold their region; writes end by themselves.
        while given_up.iter().any(Region::is_held) {
            aquifer_io::yield_now().await;
        }
        if !self.drain().await || !self.name_size(file).await {
            return;
        }
        if let Err(error) = file.truncate(next.file_bytes()).await {
            self.switch_off(&format!("could not be made smaller: {error}"));
        }
    }

    /// The regions that are given up.
    fn take(&self, next: Layout) -> Vec<Region> {
        let mut running = self.running.borrow_mut();
        let Some(running) = running.as_mut() else { return Vec::new() };
        running.admission.resize(next.file_bytes());
        // The area of the last snapshot is somewhere else now.
        running.snapshot_begun = running.tier.begun;
        running.tier.resize(next)
    }

    async fn name_size(&self, file: &File) -> bool {
        let superblock = match self.running.borrow().as_ref() {
            Some(running) => running.superblock(self.options.store, 0),
            None => return false,
        };
        match write_superblock(file, &superblock).await {
            Ok(()) => true,
            Err(error) => {
                self.switch_off(&format!("write failed: {error}"));
                false
            }
        }
    }

    /// The regions do not suit the new budget: all is forgotten.
    async fn begin_anew(self: &Rc<Self>, disk_bytes: u64) -> Result<(), IoError> {
        let Some(running) = self.stop() else { return Ok(()) };
        let writer = self.writer.borrow_mut().take();
        if let Some(writer) = writer {
            // It has nothing left to write; an executor that ends has nothing to wait for either.
            drop(writer.await);
        }
        // Reads that go on would find the end of the file.
        while running.tier.regions.iter().any(Region::is_held) {
            aquifer_io::yield_now().await;
        }
        let file = running.file;
        file.truncate(0).await?;
        drop(file);
        if disk_bytes == 0 {
            *self.off_reason.borrow_mut() = Some("disk_bytes was set to 0".into());
        } else {
            self.open(disk_bytes).await;
        }
        Ok(())
    }
}
