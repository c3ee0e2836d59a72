//! The `check` command: whether a store will do, and what lies in it, without running anything on it.

use std::io::Write;
use std::sync::Arc;

use aquifer_remote::{ObjectMeta, ObjectName, Remote, read_only};

use crate::byte_size::human_bytes;
use crate::cli::CheckArgs;
use crate::failure::Failure;
use crate::numbers::count;
use crate::{contact, interrupt};

/// Names in a page.
const PAGE_ENTRIES: usize = 1_000;
/// Pages that are looked at.
const PAGES_MAX: usize = 100;
/// Longest object that is read.
const READ_BYTES_MAX: u64 = 64 << 20;

/// Runs the command to its end, or to the first Ctrl-C.
pub(crate) fn check(args: &CheckArgs) -> Result<(), Failure> {
    interrupt::watch()?;
    aquifer_io::block_on(async {
        let run = std::pin::pin!(run(args));
        let stop = std::pin::pin!(interrupt::interrupted());
        match futures_util::future::select(stop, run).await {
            futures_util::future::Either::Left(_) => Err(Failure::Interrupted),
            futures_util::future::Either::Right((result, _)) => result,
        }
    })
}

async fn run(args: &CheckArgs) -> Result<(), Failure> {
    let mut found = contact::look(&args.store).await?;
    if args.read_only {
        found.remote = read_only(found.remote);
    }
    line("store", &found.remote.describe())?;
    let census = Census::of(&found.remote).await?;
    line("objects", &census.text())?;
    if let Some(object) = &census.last {
        let bytes = found.remote.get(&object.name, READ_BYTES_MAX).await?.len();
        line("reading", &format!("{}: all of its {} bytes", object.name, count(bytes as u64)))?;
    }
    if args.read_only {
        return line("writing", "not tried: --read-only");
    }
    contact::probe(&args.store, &found).await?;
    line("writing", "of two who write the same name one wins: safe for `events`")
}

/// What lies in a store.
#[derive(Debug, Default)]
struct Census {
    objects: u64,
    bytes: u64,
    /// There are more.
    more: bool,
    /// The last one that is not too long to read.
    last: Option<ObjectMeta>,
}

impl Census {
    async fn of(remote: &Arc<dyn Remote>) -> Result<Self, Failure> {
        let mut census = Self::default();
        let mut after: Option<ObjectName> = None;
        for _ in 0..PAGES_MAX {
            let page = remote.list("", after.as_ref(), PAGE_ENTRIES).await?;
            census.more = page.more;
            for entry in page.entries {
                census.objects += 1;
                census.bytes = census.bytes.saturating_add(entry.bytes);
                after = Some(entry.name.clone());
                if entry.bytes <= READ_BYTES_MAX {
                    census.last = Some(entry);
                }
            }
            if !census.more {
                break;
            }
        }
        Ok(census)
    }

    fn text(&self) -> String {
        let more = if self.more { "more than " } else { "" };
        format!("{more}{} objects, {}", count(self.objects), human_bytes(self.bytes))
    }
}

fn line(name: &str, text: &str) -> Result<(), Failure> {
    match writeln!(std::io::stdout(), "{name:<12}{text}") {
        // Whoever closed the pipe has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| Failure::Other(format!("cannot print: {error}"))),
    }
}
