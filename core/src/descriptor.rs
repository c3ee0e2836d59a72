//! The store's descriptor: the first object of a store, written once, that fixes its number of key groups.
//!
//! ```text
//! offset  bytes  field
//!      0      8  magic, the letters "AqStore1"
//!      8      4  format version: 1
//!     12      2  key groups
//!     14      2  zero
//!     16      8  identity of the store, random
//!     24      4  zero
//!     28      4  CRC-32 of bytes 0 to 28
//! ```

use crate::codec::Reader;
use crate::error::{Error, Result};
use crate::key::Route;
use crate::limits::KEY_GROUPS_DEFAULT;
use crate::name;
use aquifer_remote::{Content, ObjectName, Remote, RemoteErrorKind};
use std::sync::Arc;

const MAGIC: [u8; 8] = *b"AqStore1";
const VERSION: u32 = 1;
const CRC_AT: usize = 28;
const DESCRIPTOR_BYTES: usize = 32;
const _: () = assert!(8 + 4 + 2 + 2 + 8 + 4 == CRC_AT && CRC_AT + 4 == DESCRIPTOR_BYTES);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptor {
    pub(crate) key_groups: u16,
    pub(crate) identity: u64,
}

impl Descriptor {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(DESCRIPTOR_BYTES);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.key_groups.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&self.identity.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8], name: &ObjectName) -> Result<Self> {
        let parsed = (|| {
            let mut fields = Reader::new(bytes);
            let (magic, version): ([u8; 8], u32) = (fields.array()?, fields.u32()?);
            let key_groups = fields.u16()?;
            fields.bytes(2)?;
            let identity = fields.u64()?;
            fields.bytes(4)?;
            let crc = fields.u32()?;
            let sound = magic == MAGIC
                && version == VERSION
                && bytes.len() == DESCRIPTOR_BYTES
                && crc == crc32fast::hash(bytes.get(..CRC_AT)?)
                && Route::new(key_groups, 1).is_ok();
            sound.then_some(Self { key_groups, identity })
        })();
        parsed.ok_or_else(|| {
            Error::corrupt(
                name.as_str(),
                0,
                "a store descriptor of version 1",
                format!("{} other bytes", bytes.len()),
            )
        })
    }
}

/// Reads the descriptor, or creates the store. `key_groups` as asked for; `None` takes what is there.
pub(crate) async fn open(remote: &Arc<dyn Remote>, key_groups: Option<u16>) -> Result<Descriptor> {
    let name = name::store()?;
    if let Some(found) = read(remote, &name).await? {
        return fitting(found, key_groups, remote);
    }
    // A store that ignores conditions would let two writers win: find out before anything depends on it.
    aquifer_remote::probe_put_if_absent(remote, aquifer_io::random_u64()).await?;
    let wanted = Descriptor {
        key_groups: key_groups.unwrap_or(KEY_GROUPS_DEFAULT),
        identity: aquifer_io::random_u64(),
    };
    Route::new(wanted.key_groups, 1)?;
    let put = remote.put_if_absent(&name, Content::from(wanted.encode())).await;
    // Created now, by a try whose answer was lost, or by another process: what stands there counts.
    match (read(remote, &name).await?, put) {
        (Some(found), _) => fitting(found, key_groups, remote),
        (None, Err(error)) => Err(Error::from(error)),
        (None, Ok(_)) => {
            Err(Error::corrupt(name.as_str(), 0, "the descriptor that was just written", "no object"))
        }
    }
}

/// Reads the descriptor, if there is a store.
pub(crate) async fn read(remote: &Arc<dyn Remote>, name: &ObjectName) -> Result<Option<Descriptor>> {
    match remote.get(name, 4096).await {
        Ok(bytes) => Descriptor::decode(&bytes, name).map(Some),
        Err(error) if error.kind() == RemoteErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::from(error)),
    }
}

fn fitting(found: Descriptor, asked: Option<u16>, remote: &Arc<dyn Remote>) -> Result<Descriptor> {
    match asked {
        Some(asked) if asked != found.key_groups => Err(Error::invalid(format!(
            "the store at {} has {} key groups, fixed when it was created; {asked} were asked for: open it with {} or without a number",
            remote.describe(),
            found.key_groups,
            found.key_groups
        ))),
        _ => Ok(found),
    }
}
