//! `aquifer scan`: keys and values of a checkpoint.

use super::failure::Failure;
use super::key_args::KeyArgs;
use super::output;
use crate::key_ref::{Key, KeyRange};
use crate::scan_options::ScanOptions;
use serde::Serialize;

/// Bytes of output that are collected before they are written.
const OUTPUT_BYTES: usize = 64 * 1024;

/// Flags of `scan`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// Only keys that begin with these bytes.
    #[arg(long, default_value = "")]
    prefix: String,
    /// At most so many.
    #[arg(long, value_name = "ENTRIES", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// From the largest key to the smallest, and from the last key group to the first.
    #[arg(long)]
    reverse: bool,
    #[command(flatten)]
    keys: KeyArgs,
}

/// One line of JSON.
#[derive(Serialize)]
struct Line {
    group: u16,
    key: String,
    value: String,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let prefix = args.keys.parse(&args.prefix)?;
    let (store, reader) = args.keys.reader().await?;
    let range = match args.keys.group(store.descriptor.key_groups)? {
        Some(group) => KeyRange::prefix(Key::in_group(group, &prefix)),
        None => KeyRange::prefix(&prefix),
    };
    let mut left = args.limit.unwrap_or(u64::MAX);
    let mut out = String::new();
    let page_entries = usize::try_from(left.min(256)).unwrap_or(256);
    let options = ScanOptions { reverse: args.reverse, page_entries, ..ScanOptions::default() };
    let mut scan = reader.scan(&range, &options);
    let mut skipped = None;
    while left > 0 {
        let (key, value) = match scan.next().await {
            Ok(Some(entry)) => entry,
            Ok(None) => break,
            // One key is at fault, and the scan goes on behind it.
            Err(error) if error.key().is_some() => {
                output::say(&format!("aquifer: {error}"));
                skipped = Some(error);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        left -= 1;
        let (key, value) = (args.keys.shown(&key), args.keys.shown(&value));
        if args.keys.json {
            let group = scan.group().unwrap_or_default();
            out.push_str(&output::json_line(&Line { group, key, value })?);
        } else {
            out.push_str(&format!("{key}\t{value}"));
        }
        out.push('\n');
        if out.len() >= OUTPUT_BYTES {
            output::bytes(out.as_bytes())?;
            out.clear();
        }
    }
    drop(scan);
    output::bytes(out.as_bytes())?;
    reader.close().await?;
    // Everything else was printed; the exit code tells of it.
    skipped.map_or(Ok(()), |error| Err(error.into()))
}
