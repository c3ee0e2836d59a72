//! What lies in an arena's slots: a key with the address of its newest version, and versions in a chain, newest first.
//!
//! ```text
//! key      newest version u32 │ bytes of the key u32 │ the key                                          never moves, never freed
//! version  older version u32 │ bytes of the slot u32 │ sequence u64 │ bytes of payload and flags u32 │
//!          ┊ expires_ms u64, with HAS_EXPIRY ┊ written_ms u64 │ operator u32, of a merge ┊ the payload, with room to grow
//! flags    the upper four bits: 0..2 put, delete, merge or chain │ 2 HAS_EXPIRY │ 3 GREW
//! ```

#![expect(
    clippy::indexing_slicing,
    reason = "records are this module's own, framed by `add_key` and `write`"
)]

use super::arena::{Address, Arena, put_u32, put_u64, u32_at, u64_at};
use crate::codec::stored_u32;
use crate::entry::{Entry, NEVER, Op};
use crate::limits::VALUE_BYTES_MAX;

const KEY_HEADER_BYTES: usize = 8;
const VERSION_HEADER_BYTES: usize = 20;
const EXPIRY_BYTES: usize = 8;
const WRITTEN_BYTES: usize = 8;
const OPERATOR_BYTES: usize = 4;

const LENGTH_BITS: u32 = 28;
const LENGTH_MASK: u32 = (1 << LENGTH_BITS) - 1;
const KIND_MASK: u32 = 3;
const PUT: u32 = 0;
const DELETE: u32 = 1;
const MERGE: u32 = 2;
const CHAIN: u32 = 3;
const HAS_EXPIRY: u32 = 4;
/// The version outgrew a slot before: it grows by halves from now on, so that what it leaves behind stays below twice what it takes.
const GREW: u32 = 8;

const _: () = assert!(VALUE_BYTES_MAX <= LENGTH_MASK as usize);

/// A slot that is larger than this and less than a quarter full is exchanged for a smaller one.
const ROOMY_BYTES: usize = 256;

/// One version of a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Version<'a> {
    pub(super) older: Address,
    pub(super) sequence: u64,
    pub(super) entry: Entry<'a>,
}

/// What a version's header says.
#[derive(Clone, Copy)]
struct Header {
    slot_bytes: usize,
    length: usize,
    flags: u32,
}

impl Header {
    fn read(bytes: &[u8]) -> Self {
        let packed = u32_at(bytes, 16);
        Self {
            slot_bytes: u32_at(bytes, 4) as usize,
            length: (packed & LENGTH_MASK) as usize,
            flags: packed >> LENGTH_BITS,
        }
    }

    fn payload_at(self) -> usize {
        payload_at(self.flags)
    }
}

fn payload_at(flags: u32) -> usize {
    VERSION_HEADER_BYTES
        + if flags & HAS_EXPIRY == 0 { 0 } else { EXPIRY_BYTES }
        + if flags & KIND_MASK == MERGE { WRITTEN_BYTES + OPERATOR_BYTES } else { 0 }
}

fn flags_of(entry: &Entry<'_>) -> u32 {
    let kind = match entry.op {
        Op::Put(_) => PUT,
        Op::Delete => DELETE,
        Op::Merge { .. } => MERGE,
        Op::Chain(_) => CHAIN,
    };
    kind | if entry.expires_ms == NEVER { 0 } else { HAS_EXPIRY }
}

impl Arena {
    /// Stores a key without a version.
    pub(super) fn add_key(&mut self, key: &[u8]) -> Address {
        let (slot, _) = self.allocate(KEY_HEADER_BYTES + key.len());
        let bytes = self.slot_mut(slot);
        put_u32(bytes, 0, Address::NONE.0);
        put_u32(bytes, 4, stored_u32(key.len()));
        bytes[KEY_HEADER_BYTES..KEY_HEADER_BYTES + key.len()].copy_from_slice(key);
        slot
    }

    #[inline]
    pub(super) fn key(&self, key: Address) -> &[u8] {
        let bytes = self.slot(key);
        let length = u32_at(bytes, 4) as usize;
        &bytes[KEY_HEADER_BYTES..KEY_HEADER_BYTES + length]
    }

    /// The newest version of a key.
    #[inline]
    pub(super) fn newest(&self, key: Address) -> Address {
        Address(u32_at(self.slot(key), 0))
    }

    fn set_newest(&mut self, key: Address, version: Address) {
        put_u32(self.slot_mut(key), 0, version.0);
    }

    #[inline]
    pub(super) fn version(&self, version: Address) -> Version<'_> {
        let bytes = self.slot(version);
        let header = Header::read(bytes);
        let at = header.payload_at();
        let payload = &bytes[at..at + header.length];
        let op = match header.flags & KIND_MASK {
            PUT => Op::Put(payload),
            DELETE => Op::Delete,
            MERGE => Op::Merge {
                operator: u32_at(bytes, at - OPERATOR_BYTES),
                operand: payload,
                written_ms: u64_at(bytes, at - OPERATOR_BYTES - WRITTEN_BYTES),
            },
            _ => Op::Chain(payload),
        };
        let expires_ms =
            if header.flags & HAS_EXPIRY == 0 { NEVER } else { u64_at(bytes, VERSION_HEADER_BYTES) };
        Version {
            older: Address(u32_at(bytes, 0)),
            sequence: u64_at(bytes, 8),
            entry: Entry { op, expires_ms },
        }
    }

    /// The newest version of `key` that `at` sees.
    #[inline]
    pub(super) fn version_at(&self, key: Address, at: u64) -> Option<Version<'_>> {
        let mut next = self.newest(key);
        while !next.is_none() {
            let version = self.version(next);
            if version.sequence <= at {
                return Some(version);
            }
            next = version.older;
        }
        None
    }

    /// Puts a version in front of those of `key`.
    pub(super) fn push_version(&mut self, key: Address, entry: &Entry<'_>, sequence: u64) {
        let flags = flags_of(entry);
        let older = self.newest(key);
        let (slot, slot_bytes) = self.allocate(payload_at(flags) + entry.payload().len());
        self.frame(slot, slot_bytes, older, flags, entry, sequence);
        self.set_newest(key, slot);
    }

    /// Puts a version in the place of the newest one of `key`.
    pub(super) fn replace_newest(&mut self, key: Address, entry: &Entry<'_>, sequence: u64) {
        let slot = self.newest(key);
        let (header, older) = {
            let bytes = self.slot(slot);
            (Header::read(bytes), Address(u32_at(bytes, 0)))
        };
        let grew = header.flags & GREW;
        let flags = flags_of(entry) | grew;
        let needed = payload_at(flags) + entry.payload().len();
        let roomy = header.slot_bytes > ROOMY_BYTES && needed < header.slot_bytes / 4;
        if needed <= header.slot_bytes && !roomy {
            self.frame(slot, header.slot_bytes, older, flags, entry, sequence);
            return;
        }
        let wanted = match (roomy, grew) {
            (true, _) => needed,
            (false, 0) => needed + needed / 8,
            (false, _) => needed.max(header.slot_bytes + header.slot_bytes / 2),
        };
        self.free(slot, header.slot_bytes);
        let (slot, slot_bytes) = self.allocate(wanted);
        let flags = if roomy { flags } else { flags | GREW };
        self.frame(slot, slot_bytes, older, flags, entry, sequence);
        self.set_newest(key, slot);
    }

    /// Adds bytes to the payload of the newest version of `key`, which doubles its slot when it is full.
    pub(super) fn extend_newest(&mut self, key: Address, more: &[u8], expires_ms: u64, sequence: u64) {
        let mut slot = self.newest(key);
        let header = Header::read(self.slot(slot));
        let at = header.payload_at();
        let (end, needed) = (at + header.length, at + header.length + more.len());
        if needed > header.slot_bytes {
            let (larger, larger_bytes) = self.allocate(needed.max(header.slot_bytes * 2));
            self.copy(slot, larger, end);
            self.free(slot, header.slot_bytes);
            put_u32(self.slot_mut(larger), 4, stored_u32(larger_bytes));
            self.set_newest(key, larger);
            slot = larger;
        }
        let bytes = self.slot_mut(slot);
        bytes[end..needed].copy_from_slice(more);
        put_u64(bytes, 8, sequence);
        put_u32(bytes, 16, stored_u32(needed - at) | header.flags << LENGTH_BITS);
        if header.flags & HAS_EXPIRY != 0 {
            put_u64(bytes, VERSION_HEADER_BYTES, expires_ms);
        }
    }

    /// Whether [`Self::extend_newest`] can store `expires_ms`.
    pub(super) fn newest_has_room_for_expiry(&self, key: Address, expires_ms: u64) -> bool {
        expires_ms == NEVER || Header::read(self.slot(self.newest(key))).flags & HAS_EXPIRY != 0
    }

    /// Frees all versions of `key` but the newest.
    pub(super) fn drop_older(&mut self, key: Address) {
        let newest = self.newest(key);
        let mut next = Address(u32_at(self.slot(newest), 0));
        if next.is_none() {
            return;
        }
        put_u32(self.slot_mut(newest), 0, Address::NONE.0);
        while !next.is_none() {
            let bytes = self.slot(next);
            let (older, slot_bytes) = (Address(u32_at(bytes, 0)), Header::read(bytes).slot_bytes);
            self.free(next, slot_bytes);
            next = older;
        }
    }

    fn frame(
        &mut self,
        slot: Address,
        slot_bytes: usize,
        older: Address,
        flags: u32,
        entry: &Entry<'_>,
        sequence: u64,
    ) {
        let payload = entry.payload();
        let at = payload_at(flags);
        let bytes = self.slot_mut(slot);
        put_u32(bytes, 0, older.0);
        put_u32(bytes, 4, stored_u32(slot_bytes));
        put_u64(bytes, 8, sequence);
        put_u32(bytes, 16, stored_u32(payload.len()) | flags << LENGTH_BITS);
        if flags & HAS_EXPIRY != 0 {
            put_u64(bytes, VERSION_HEADER_BYTES, entry.expires_ms);
        }
        if let Op::Merge { operator, written_ms, .. } = entry.op {
            put_u64(bytes, at - OPERATOR_BYTES - WRITTEN_BYTES, written_ms);
            put_u32(bytes, at - OPERATOR_BYTES, operator);
        }
        bytes[at..at + payload.len()].copy_from_slice(payload);
    }
}
