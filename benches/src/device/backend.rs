//! The shapes through a backend of `aquifer-io`: as many lanes as operations in flight, each with one at a time.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use aquifer_io::{Backend, Buffer, File, IoError, acquire_buffer, now, random_u64, sleep};

use super::runner::{on_executor, together};
use super::sample::Sample;
use super::shape::{BESIDE_WRITE_BYTES, BESIDE_WRITES_PER_S, Shape, Work};
use super::test_file::{TestFile, open, randomise};
use crate::failure::Failure;
use crate::interrupt;
use crate::measure::meter::Meter;
use crate::measure::spread::Times;

/// Runs one shape.
pub(super) fn measure(
    backend: Backend,
    shape: Shape,
    file: &TestFile,
    times: Times,
) -> Result<Sample, Failure> {
    let (path, bytes) = (file.path().to_owned(), file.bytes());
    let measured = on_executor(backend, move || async move {
        let meter = Rc::new(RefCell::new(Meter::new(times)));
        let shared = Shared { file: open(&path, false).await?, bytes, shape, meter, next: Rc::default() };
        together(lanes(shape).map(|lane| shared.clone().run(lane))).await?;
        let sample = Sample::new(shared.meter.borrow().reading(), &shape);
        Ok(sample)
    });
    // Numbers cut short by Ctrl-C are no numbers.
    interrupt::check()?;
    measured.map_err(|error| Failure::Other(format!("{} through {backend}: {error}", shape.name())))
}

/// What one lane does again and again.
#[derive(Debug, Clone, Copy)]
enum Lane {
    /// Reads one block in the first so many bytes of the file.
    Read { within: Within },
    /// Reads one extent.
    Extent,
    /// Writes the next block.
    Write,
    /// Writes the next block and makes it durable.
    Commit,
    /// Writes the next 1 MiB of the back half, at a steady rate, uncounted.
    Beside,
}

#[derive(Debug, Clone, Copy)]
enum Within {
    All,
    FrontHalf,
}

/// The lanes of a shape.
fn lanes(shape: Shape) -> impl Iterator<Item = Lane> {
    let (lane, beside) = match shape.work {
        Work::RandomRead => (Lane::Read { within: Within::All }, None),
        Work::ExtentRead => (Lane::Extent, None),
        Work::RegionWrite => (Lane::Write, None),
        Work::LogWrite => (Lane::Commit, None),
        Work::ReadWhileWrite => (Lane::Read { within: Within::FrontHalf }, Some(Lane::Beside)),
    };
    (0..shape.depth).map(move |_| lane).chain(beside)
}

/// What the lanes of one measurement share.
#[derive(Clone)]
struct Shared {
    file: Rc<File>,
    bytes: u64,
    shape: Shape,
    meter: Rc<RefCell<Meter>>,
    /// Number of the next block to write.
    next: Rc<Cell<u64>>,
}

impl Shared {
    /// Runs a lane until the measurement ends.
    async fn run(self, lane: Lane) -> Result<(), IoError> {
        let ended = match lane {
            Lane::Read { within: Within::All } => self.reads(self.bytes).await,
            Lane::Read { within: Within::FrontHalf } => self.reads(self.bytes / 2).await,
            Lane::Extent => self.extents().await,
            Lane::Write => self.writes().await,
            Lane::Commit => self.commits().await,
            Lane::Beside => self.writes_beside().await,
        };
        if ended.is_err() {
            self.meter.borrow_mut().fail();
        }
        ended
    }

    async fn reads(&self, within_bytes: u64) -> Result<(), IoError> {
        let mut buffer = acquire_buffer(self.block_bytes()).await?;
        while self.meter.borrow().goes_on() {
            let offset = self.random_offset(within_bytes);
            let began = now();
            let (read, back) = self.file.read_at(offset, buffer).await;
            read?;
            buffer = back;
            self.meter.borrow_mut().done(began);
        }
        Ok(())
    }

    async fn extents(&self) -> Result<(), IoError> {
        let mut buffer = acquire_buffer(self.block_bytes()).await?;
        while self.meter.borrow().goes_on() {
            let offset = self.random_offset(self.bytes);
            let began = now();
            let (read, mut back) = self.file.read_vectored_at(vec![(offset, buffer)]).await;
            read?;
            let Some((_, whole)) = back.pop() else { break };
            buffer = whole;
            self.meter.borrow_mut().done(began);
        }
        Ok(())
    }

    async fn writes(&self) -> Result<(), IoError> {
        let mut buffer = random_buffer(self.block_bytes()).await?;
        while self.meter.borrow().goes_on() {
            let offset = self.next_offset(self.shape.block_bytes, self.bytes);
            let began = now();
            let (written, back) = self.file.write_at(offset, buffer).await;
            written?;
            buffer = back;
            self.meter.borrow_mut().done(began);
        }
        Ok(())
    }

    async fn commits(&self) -> Result<(), IoError> {
        let mut buffer = random_buffer(self.block_bytes()).await?;
        while self.meter.borrow().goes_on() {
            let offset = self.next_offset(self.shape.block_bytes, self.bytes);
            let (written, back) = self.file.write_at(offset, buffer).await;
            written?;
            buffer = back;
            let began = now();
            self.file.sync_data().await?;
            self.meter.borrow_mut().done(began);
        }
        Ok(())
    }

    async fn writes_beside(&self) -> Result<(), IoError> {
        let mut buffer = random_buffer(BESIDE_WRITE_BYTES as usize).await?;
        let half = self.bytes / 2;
        let pause = Duration::from_secs(1) / BESIDE_WRITES_PER_S;
        let mut due = now();
        while self.meter.borrow().goes_on() {
            let offset = half + self.next_offset(BESIDE_WRITE_BYTES, half);
            let (written, back) = self.file.write_at(offset, buffer).await;
            written?;
            buffer = back;
            due = due + pause;
            sleep(due.duration_since(now())).await;
        }
        Ok(())
    }

    fn block_bytes(&self) -> usize {
        self.shape.block_bytes as usize
    }

    /// Of a block that ends within so many bytes.
    fn random_offset(&self, within_bytes: u64) -> u64 {
        let block_bytes = u64::from(self.shape.block_bytes);
        random_u64() % (within_bytes / block_bytes).max(1) * block_bytes
    }

    /// Of the next block, round and round within so many bytes.
    fn next_offset(&self, block_bytes: u32, within_bytes: u64) -> u64 {
        let block_bytes = u64::from(block_bytes);
        let block = self.next.get();
        self.next.set(block + 1);
        block % (within_bytes / block_bytes).max(1) * block_bytes
    }
}

async fn random_buffer(bytes: usize) -> Result<Buffer, IoError> {
    let mut buffer = acquire_buffer(bytes).await?;
    randomise(&mut buffer);
    Ok(buffer)
}
