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
    let groups = match args.keys.group(store.descriptor.key_groups)? {
        Some(group) => group..group + 1,
        None => 0..store.descriptor.key_groups,
    };
    let ordered: Box<dyn Iterator<Item = u16>> =
        if args.reverse { Box::new(groups.rev()) } else { Box::new(groups) };
    let mut left = args.limit.unwrap_or(u64::MAX);
    let mut out = String::new();
    for group in ordered {
        if left == 0 {
            break;
        }
        let page_entries = usize::try_from(left.min(256)).unwrap_or(256);
        let options = ScanOptions { reverse: args.reverse, page_entries, ..ScanOptions::default() };
        let mut scan = reader.scan(&KeyRange::prefix(Key::in_group(group, &prefix)), &options);
        while left > 0
            && let Some((key, value)) = scan.next().await?
        {
            left -= 1;
            let (key, value) = (args.keys.shown(&key), args.keys.shown(&value));
            if args.keys.json {
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
    }
    output::bytes(out.as_bytes())?;
    Ok(reader.close().await?)
}
