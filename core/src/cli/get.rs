//! `aquifer get`: the value of one key.

use super::failure::Failure;
use super::key_args::KeyArgs;
use super::output;
use crate::key_ref::Key;
use serde::Serialize;

/// Flags of `get`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// The key.
    key: String,
    /// Print the bytes of the value as they are, and nothing else.
    #[arg(long, conflicts_with_all = ["hex", "json"])]
    raw: bool,
    #[command(flatten)]
    keys: KeyArgs,
}

#[derive(Serialize)]
struct Found {
    checkpoint: u64,
    group: u16,
    key: String,
    value: String,
    value_bytes: usize,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let bytes = args.keys.parse(&args.key)?;
    let (store, reader) = args.keys.reader().await?;
    let group = args.keys.group(store.descriptor.key_groups)?;
    let key = group.map_or(Key::from(bytes.as_slice()), |group| Key::in_group(group, &bytes));
    let group = reader.key_group(key);
    let checkpoint = reader.checkpoint().map_or(0, |checkpoint| checkpoint.id);
    let Some(value) = reader.get(key).await? else {
        return Err(store.not_there(&format!("key {} in group {group} at checkpoint {checkpoint}", args.key)));
    };
    reader.close().await?;
    if args.raw {
        return output::bytes(&value);
    }
    let shown = args.keys.shown(&value);
    if !args.keys.json {
        return output::line(&shown);
    }
    let key = args.keys.shown(&bytes);
    output::json(&Found { checkpoint, group, key, value: shown, value_bytes: value.len() })
}
