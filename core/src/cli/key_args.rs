//! How a command names keys, and what it reads them from.

use super::failure::Failure;
use super::store::{StateArgs, Store, StoreArgs};
use super::text;
use crate::key_ref::Key;
use crate::reader::{Reader, ReaderOptions};
use std::sync::Arc;

/// Flags of commands that read keys.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct KeyArgs {
    #[command(flatten)]
    pub(super) store: StoreArgs,
    #[command(flatten)]
    pub(super) state: StateArgs,
    /// Keys and values are hexadecimal, two digits a byte, given and printed. Without it, what is not printable is printed as an escape.
    #[arg(long)]
    pub(super) hex: bool,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
    /// Key group of the key. Without it, the hash of the key decides.
    #[arg(long, value_name = "NUMBER", conflicts_with = "beside")]
    pub(super) group: Option<u16>,
    /// Key whose group it shares (`Key::beside`), in the form of the key itself.
    #[arg(long, value_name = "KEY")]
    pub(super) beside: Option<String>,
    /// The moment that decides what has expired, in milliseconds. Without it: the clock of this machine, or the checkpoint's event time if the store's times
    /// to live follow that.
    #[arg(long, value_name = "MILLISECONDS")]
    pub(super) now_ms: Option<u64>,
    /// Memory of the reader.
    #[arg(long, value_name = "BYTES", default_value = "64MiB", value_parser = text::parse_bytes)]
    pub(super) memory_bytes: u64,
}

impl KeyArgs {
    /// Opens a checkpoint for reading.
    pub(super) async fn reader(&self) -> Result<(Store, Reader), Failure> {
        let store = self.store.open().await?;
        let manifest = store.manifest_of(self.state).await?;
        let options = ReaderOptions {
            memory_bytes: self.memory_bytes,
            now_ms: self.now_ms,
            ..ReaderOptions::default()
        };
        let reader = Reader::at(Arc::clone(&store.remote), manifest, options).await?;
        Ok((store, reader))
    }

    /// Bytes that a flag gives.
    pub(super) fn parse(&self, text: &str) -> Result<Vec<u8>, Failure> {
        text::parse(text, self.hex).map_err(Failure::Usage)
    }

    /// The group that flags name, if they do.
    pub(super) fn group(&self, key_groups: u16) -> Result<Option<u16>, Failure> {
        match (self.group, &self.beside) {
            (Some(group), _) if group >= key_groups => {
                Err(Failure::Usage(format!("--group {group}: this store has groups 0 to {}", key_groups - 1)))
            }
            (Some(group), _) => Ok(Some(group)),
            (None, Some(anchor)) => {
                let anchor = self.parse(anchor)?;
                Ok(Some(Key::from(anchor.as_slice()).group(key_groups)))
            }
            (None, None) => Ok(None),
        }
    }

    /// Bytes as they are printed.
    pub(super) fn shown(&self, bytes: &[u8]) -> String {
        if self.hex { text::hex(bytes) } else { text::escaped(bytes) }
    }
}
