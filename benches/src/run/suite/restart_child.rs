//! The process that has the SSD tier open in row `restart`, so that it can be killed, and so that its memory is the tier's.
//!
//! ```text
//! fill:  offers so many entries, says "filled" ─┐
//! open:  opens, hits, says what it took        ─┴─> waits for a line: "write" goes on writing, "close" or the end of the input ends it
//! ```

use std::io::{BufRead, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use aquifer_cache::{Ask, Cache, CacheKey, CacheOptions, Cached, Class, ObjectRead, ObjectReader, Tier};
use aquifer_io::{BackendChoice, ExecutorOptions, now, select_backend, sleep, spawn_executor};
use bytes::Bytes;
use serde::Serialize;

use super::restart_tier::{Restarted, file_bytes};
use crate::cli::{RestartWorkerArgs, RestartWorkerWork};
use crate::failure::Failure;
use crate::load::rng::Rng;
use crate::resources::resident_memory;

/// Bytes of an entry: small ones, three sectors, so that the file stays small.
const ENTRY_BYTES: u32 = 1_400;
/// Entries of an object.
const OBJECT_ENTRIES: u64 = 10_000;
/// Distance of entries in an object.
const ENTRY_DISTANCE: u64 = 8_192;
/// One part in so many of the entries is written on "write", at most: who was to kill this process may be gone.
const WRITTEN_ON_PART: u64 = 50;
/// Keys that are asked for after the first hit.
const KEYS_CHECKED: u64 = 1_000;
/// What waits to be written when the last offer was made is on its way for less than this.
const WRITER_PAUSE: Duration = Duration::from_millis(300);

/// A block: whether its bytes are those that were written.
#[derive(Clone)]
struct Block(bool);

impl Cached for Block {
    type Error = String;

    fn memory_bytes(&self) -> usize {
        1
    }
}

/// An object that is not there: what is not on the SSD fails.
struct Nowhere;

impl ObjectReader<String> for Nowhere {
    fn read(&self, _range: Range<u64>) -> ObjectRead<String> {
        Box::pin(async { Err("not on the SSD".to_owned()) })
    }
}

/// Serves the hidden command.
pub(crate) fn serve(args: &RestartWorkerArgs) -> Result<(), Failure> {
    let RestartWorkerArgs { work, path, entries } = args.clone();
    let selected = select_backend(BackendChoice::Auto).map_err(|error| Failure::Other(error.to_string()))?;
    let options = ExecutorOptions {
        backend: selected.backend,
        buffer_bytes_max: 32 << 20,
        ..ExecutorOptions::default()
    };
    let (sender, outcome) = std::sync::mpsc::sync_channel(1);
    let failed = |error: aquifer_io::IoError| Failure::Other(format!("cannot start: {error}"));
    let thread = spawn_executor(options, move || async move {
        let served = match work {
            RestartWorkerWork::Fill => fill(&path, entries).await,
            RestartWorkerWork::Open => open(&path, entries).await,
        };
        // There is room for one, and the other end waits for it.
        let _ = sender.send(served);
    });
    thread.map_err(failed)?.join().map_err(failed)?;
    outcome.recv().unwrap_or_else(|_| Err(Failure::Other("the executor ended early".into())))
}

fn key(number: u64) -> CacheKey {
    let (object, offset) = (number / OBJECT_ENTRIES + 1, number % OBJECT_ENTRIES * ENTRY_DISTANCE);
    CacheKey { object, offset, bytes: ENTRY_BYTES }
}

/// Differs from entry to entry.
fn content(number: u64) -> Vec<u8> {
    let mut bytes = vec![0x5A; ENTRY_BYTES as usize];
    if let Some(front) = bytes.first_chunk_mut() {
        *front = number.to_le_bytes();
    }
    bytes
}

async fn tier(path: &Path, entries: u64) -> Result<Cache<Block>, Failure> {
    let disk_bytes = file_bytes(entries);
    let disk_path: Option<PathBuf> = Some(path.to_owned());
    let options =
        CacheOptions { memory_bytes: 0, disk_bytes, disk_path, store: 1, ..CacheOptions::default() };
    Cache::open(options).await.map_err(|error| Failure::Other(error.to_string()))
}

/// Puts entries into the tier, each as soon as its writer has room.
async fn write(cache: &Cache<Block>, numbers: Range<u64>) -> Result<(), Failure> {
    for number in numbers {
        let written = cache.pin(Class::Data, key(number), &content(number)).await;
        written.map_err(|error| Failure::Other(format!("the SSD tier took no entry: {error}")))?;
    }
    Ok(())
}

async fn fill(path: &Path, entries: u64) -> Result<(), Failure> {
    let cache = tier(path, entries).await?;
    write(&cache, 0..entries).await?;
    sleep(WRITER_PAUSE).await;
    say(&cache.stats().ssd.tier.data.entries)?;
    obey(&cache, entries).await
}

async fn open(path: &Path, entries: u64) -> Result<(), Failure> {
    let resident = resident_memory().now_bytes;
    let began = now();
    let cache = tier(path, entries).await?;
    let opened = began.elapsed();
    // Keys in the midst of what was written: what came last may have been lost with the process.
    let mut first = None;
    let mut asked = entries / 2;
    while first.is_none() && asked < entries {
        first = hit(&cache, asked).await;
        asked += 1;
    }
    let first_hit = began.elapsed();
    let stats = cache.stats().ssd;
    let mut restarted = Restarted {
        open_ms: opened.as_secs_f64() * 1e3,
        first_hit_ms: first_hit.as_secs_f64() * 1e3,
        entries: stats.recovered_entries,
        index_bytes: stats.index_bytes,
        resident_bytes: resident_memory().now_bytes.saturating_sub(resident),
        ..Restarted::default()
    };
    if first.is_none() {
        let note = stats.start_note.or(stats.off_reason).map(|why| format!(": {why}")).unwrap_or_default();
        return Err(Failure::Other(format!("no entry was hit after the restart{note}")));
    }
    let mut rng = Rng::new(entries);
    for _ in 0..KEYS_CHECKED {
        if let Some(is_right) = hit(&cache, rng.below(entries)).await {
            restarted.hit_permille += 1;
            restarted.wrong += u64::from(!is_right);
        }
    }
    say(&restarted)?;
    obey(&cache, entries).await
}

/// Whether the bytes of an entry are right; `None` if it is not on the SSD.
async fn hit(cache: &Cache<Block>, number: u64) -> Option<bool> {
    let nowhere: Rc<dyn ObjectReader<String>> = Rc::new(Nowhere);
    let expected = content(number);
    let ask = Ask::new(Class::Data, key(number));
    let mut load = cache.get_or_load(ask, &nowhere, move |raw: &Bytes| Ok(Block(**raw == *expected)));
    let block = (&mut load).await.ok()?;
    (load.tier() == Tier::Ssd).then_some(block.0)
}

/// Does what the next line says.
async fn obey(cache: &Cache<Block>, entries: u64) -> Result<(), Failure> {
    loop {
        let mut line = String::new();
        // Nothing else runs on this thread but the tier's own tasks, which have nothing to do between commands.
        let read = std::io::stdin().lock().read_line(&mut line);
        match (read, line.trim()) {
            (Ok(1..), "write") => {
                say(&"writing")?;
                // Others than ever before: what is there already is not written again.
                let first = entries + (aquifer_io::random_u64() >> 16);
                write(cache, first..first + entries / WRITTEN_ON_PART).await?;
            }
            _ => {
                cache.close().await;
                return Ok(());
            }
        }
    }
}

fn say(answer: &impl Serialize) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::Other(format!("cannot answer: {error}"));
    let mut line = serde_json::to_vec(answer).map_err(|error| failed(error.into()))?;
    line.push(b'\n');
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&line).and_then(|()| stdout.flush()).map_err(failed)
}
