//! Files and folders of a simulated executor: each operation gets a verdict, takes its time, and is then done to the disk.
//!
//! ```text
//! begin: count, verdict, trace ──> wait ──> do it or fail ──> trace
//!          │ a write is in flight from here on, its bytes are its own
//!          └─ the power may fail here
//! ```

use std::io;
use std::ops::Range;
use std::path::Path;
use std::rc::{Rc, Weak};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rustix::io::Errno;

use super::machine::Machine;
use super::sleep::Sleep;
use super::trace::Hash;
use crate::open_options::OpenOptions;
use crate::simulated_disk::disk::{Disk, Locks};
use crate::simulated_disk::fault::{DiskOperation, Verdict};
use crate::transfer::{Direction, Transfer};

/// What one operation takes, in nanoseconds: from this ..
const SERVICE_NS_MIN: u64 = 10_000;

/// .. to below this, and a nanosecond for each 2 bytes.
const SERVICE_NS_MAX: u64 = 120_000;

/// An open file of a simulated disk; it closes when it is dropped.
#[derive(Debug)]
pub(crate) struct SimulatedFile {
    machine: Weak<Machine>,
    path: Arc<Path>,
    node: u64,
    options: OpenOptions,
}

impl Drop for SimulatedFile {
    fn drop(&mut self) {
        if let Some(machine) = self.machine.upgrade() {
            machine.disk.borrow_mut().close(self.node);
        }
    }
}

impl SimulatedFile {
    fn machine(&self) -> io::Result<Rc<Machine>> {
        self.machine.upgrade().ok_or_else(over)
    }

    pub(crate) fn bytes(&self) -> io::Result<u64> {
        self.machine()?.disk.borrow().bytes(self.node)
    }

    /// The alignment of direct I/O.
    pub(crate) fn align_bytes(&self) -> usize {
        let align = self.machine.upgrade().map_or(512, |machine| machine.options.direct_align_bytes);
        align.next_power_of_two().clamp(512, 4096)
    }

    fn unit_bytes(&self) -> usize {
        if self.options.direct { self.align_bytes() } else { 512 }
    }
}

fn over() -> io::Error {
    io::Error::other("the simulated world of this file is over")
}

/// Begins an operation and waits for its time; what becomes of it.
async fn begun(
    machine: &Rc<Machine>,
    operation: DiskOperation,
    path: &Path,
    place: Range<u64>,
    begin: impl FnOnce(&mut Disk) -> io::Result<u64>,
) -> io::Result<(Verdict, u64)> {
    let verdict = {
        let mut chance = machine.chance.borrow_mut();
        let mut verdict = machine.faults.borrow_mut().verdict(operation, path, &mut chance);
        let bytes = place.end.saturating_sub(place.start);
        let service_ns = chance.u64(SERVICE_NS_MIN..SERVICE_NS_MAX).saturating_add(bytes / 2);
        verdict.delay = verdict.delay.saturating_add(Duration::from_nanos(service_ns));
        verdict
    };
    let number = begin(&mut machine.disk.borrow_mut());
    let count = machine.operations.get() + 1;
    machine.operations.set(count);
    machine.note(format_args!("{count} {} {path:?} {place:?} {verdict:?}", operation.name()));
    if machine.halt_at.get().is_some_and(|at| count >= at) {
        machine.note(format_args!("halt"));
        machine.has_halted.set(true);
    }
    Sleep::new(machine, verdict.delay).await;
    done(machine, operation, &number);
    Ok((verdict, number?))
}

/// Notes a failure.
fn done<T>(machine: &Machine, operation: DiskOperation, outcome: &io::Result<T>) {
    if let Err(error) = outcome {
        machine.note(format_args!("{} failed: {error}", operation.name()));
    }
}

/// An operation that is done at one moment, at its end.
async fn at_once<T>(
    machine: &Rc<Machine>,
    operation: DiskOperation,
    path: &Path,
    act: impl FnOnce(&mut Disk) -> io::Result<T>,
) -> io::Result<T> {
    let (verdict, _) = begun(machine, operation, path, 0..0, |_| Ok(0)).await?;
    let outcome = match verdict.error {
        Some(errno) => Err(errno.into()),
        None => act(&mut machine.disk.borrow_mut()),
    };
    done(machine, operation, &outcome);
    outcome
}

pub(crate) async fn open(
    machine: Option<Rc<Machine>>,
    path: Arc<Path>,
    options: OpenOptions,
) -> io::Result<SimulatedFile> {
    let machine = machine.ok_or_else(over)?;
    let node = at_once(&machine, DiskOperation::Open, &path, |disk| disk.open(&path, options)).await?;
    Ok(SimulatedFile { machine: Rc::downgrade(&machine), path, node, options })
}

/// One read or write of the part of the buffer still to be moved.
pub(crate) async fn transfer(
    file: Rc<SimulatedFile>,
    direction: Direction,
    offset: u64,
    mut transfer: Transfer,
) -> (io::Result<usize>, Transfer) {
    let range = transfer.start..transfer.buffer.bytes();
    let bytes = transfer.buffer.get_mut(range).unwrap_or_default();
    let moved = match direction {
        Direction::Read => read(&file, offset, bytes).await,
        Direction::Write => write(&file, offset, bytes).await,
    };
    (moved, transfer)
}

/// How much a short transfer moves: at least one unit, and less than all, where that is possible.
fn short_bytes(machine: &Machine, bytes: usize, unit: usize) -> usize {
    let units = bytes / unit;
    if units < 2 { bytes } else { machine.chance.borrow_mut().usize(1..units) * unit }
}

pub(crate) async fn read(file: &SimulatedFile, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
    const OPERATION: DiskOperation = DiskOperation::Read;
    let machine = file.machine()?;
    if !file.options.read {
        return Err(Errno::BADF.into());
    }
    let place = offset..offset.saturating_add(bytes.len() as u64);
    let (verdict, _) = begun(&machine, OPERATION, &file.path, place, |_| Ok(0)).await?;
    let outcome = match verdict.error {
        Some(errno) => Err(errno.into()),
        None => read_by(&machine, file, offset, bytes, verdict),
    };
    done(&machine, OPERATION, &outcome);
    if let Ok(moved) = &outcome {
        let hash = Hash::of(bytes.get(..*moved).unwrap_or_default());
        machine.note(format_args!("read {moved} bytes, hash {hash:016x}"));
    }
    outcome
}

fn read_by(
    machine: &Machine,
    file: &SimulatedFile,
    offset: u64,
    bytes: &mut [u8],
    verdict: Verdict,
) -> io::Result<usize> {
    let asked =
        if verdict.short { short_bytes(machine, bytes.len(), file.unit_bytes()) } else { bytes.len() };
    let bytes = bytes.get_mut(..asked).unwrap_or_default();
    let disk = machine.disk.borrow();
    let moved = disk.read(file.node, offset, bytes)?;
    let mut chance = machine.chance.borrow_mut();
    let bytes = bytes.get_mut(..moved).unwrap_or_default();
    if verdict.misdirect {
        let other = disk.any_file(file.node, &mut chance);
        let sectors = disk.bytes(other)?.div_ceil(512).max(1);
        bytes.fill(0);
        disk.read(other, chance.u64(..sectors) * 512, bytes)?;
    }
    if verdict.flip_bit && moved > 0 {
        let (place, bit) = (chance.usize(..moved), chance.u8(..8));
        if let Some(byte) = bytes.get_mut(place) {
            *byte ^= 1 << bit;
        }
    }
    Ok(moved)
}

async fn write(file: &SimulatedFile, offset: u64, bytes: &[u8]) -> io::Result<usize> {
    const OPERATION: DiskOperation = DiskOperation::Write;
    let machine = file.machine()?;
    if !file.options.write {
        return Err(Errno::BADF.into());
    }
    let place = offset..offset.saturating_add(bytes.len() as u64);
    let hash = Hash::of(bytes);
    machine.note(format_args!("write hash {hash:016x}"));
    let begin = |disk: &mut Disk| disk.begin_write(file.node, offset, bytes);
    let (verdict, number) = begun(&machine, OPERATION, &file.path, place, begin).await?;
    let mut moved = bytes.len();
    if verdict.short {
        moved = short_bytes(&machine, moved, file.unit_bytes());
    }
    if verdict.error.is_some() {
        // Some of it may have got there.
        moved = machine.chance.borrow_mut().usize(..=moved / 512) * 512;
    }
    let mut disk = machine.disk.borrow_mut();
    disk.end_write(file.node, number, moved as u64);
    if verdict.flip_bit && moved > 0 {
        let mut chance = machine.chance.borrow_mut();
        let (place, bit) = (chance.u64(..moved as u64), chance.u8(..8));
        disk.flip_bit(file.node, offset.saturating_add(place), bit);
    }
    drop(disk);
    let outcome = match verdict.error {
        Some(errno) => Err(errno.into()),
        None => Ok(moved),
    };
    done(&machine, OPERATION, &outcome);
    outcome
}

pub(crate) async fn sync_data(file: Rc<SimulatedFile>) -> io::Result<()> {
    const OPERATION: DiskOperation = DiskOperation::Sync;
    let machine = file.machine()?;
    let begin = |disk: &mut Disk| disk.sync_point(file.node);
    let (verdict, point) = begun(&machine, OPERATION, &file.path, 0..0, begin).await?;
    let mut disk = machine.disk.borrow_mut();
    let outcome = match verdict.error {
        None => disk.sync(file.node, point),
        Some(errno) => {
            disk.sync_failed(file.node, point, &mut machine.chance.borrow_mut());
            Err(errno.into())
        }
    };
    drop(disk);
    done(&machine, OPERATION, &outcome);
    outcome
}

/// Reserving, cutting, punching: a change of the file's space.
pub(crate) async fn space(
    file: Rc<SimulatedFile>,
    act: impl FnOnce(&mut Disk, u64) -> io::Result<()>,
) -> io::Result<()> {
    let machine = file.machine()?;
    if !file.options.write {
        return Err(Errno::BADF.into());
    }
    at_once(&machine, DiskOperation::Space, &file.path, |disk| act(disk, file.node)).await
}

/// An operation on names.
pub(crate) async fn names(
    machine: Rc<Machine>,
    operation: DiskOperation,
    path: &Path,
    act: impl FnOnce(&mut Disk, &Path) -> io::Result<()>,
) -> io::Result<()> {
    at_once(&machine, operation, path, |disk| act(disk, path)).await
}

/// The lock of a folder of a simulated disk. May change threads; outlives its world harmlessly.
#[derive(Debug)]
pub(crate) struct SimulatedLock {
    locks: Locks,
    folder: u64,
}

impl SimulatedLock {
    /// Takes it in place; `None` when somebody has it.
    pub(crate) fn take(machine: &Machine, path: &Path) -> io::Result<Option<Self>> {
        let disk = machine.disk.borrow();
        let folder = disk.folder(path)?;
        let locks = disk.locks();
        let taken = locks.lock().unwrap_or_else(PoisonError::into_inner).insert(folder);
        machine.note(format_args!("lock {path:?} {taken}"));
        Ok(taken.then_some(Self { locks, folder }))
    }
}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.folder);
    }
}
