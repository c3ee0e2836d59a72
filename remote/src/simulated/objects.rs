//! The objects of a simulated file system, as its servers see them.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};

use bytes::{Bytes, BytesMut};

use crate::content::Content;
use crate::error::{RemoteError, RemoteErrorKind};
use crate::name::ObjectName;
use crate::store::{ListPage, ObjectMeta, PutOutcome};

#[derive(Debug, Default)]
pub(super) struct Objects {
    by_name: BTreeMap<ObjectName, Bytes>,
}

/// One piece of memory with all chunks.
pub(super) fn joined(content: Content) -> Bytes {
    let chunks = content.into_chunks();
    match <[Bytes; 1]>::try_from(chunks) {
        Ok([only]) => only,
        Err(chunks) => {
            let mut all = BytesMut::with_capacity(chunks.iter().map(Bytes::len).sum());
            chunks.iter().for_each(|chunk| all.extend_from_slice(chunk));
            all.freeze()
        }
    }
}

impl Objects {
    pub(super) fn all(&self) -> Vec<(ObjectName, Bytes)> {
        self.by_name.iter().map(|(name, bytes)| (name.clone(), bytes.clone())).collect()
    }

    pub(super) fn put(&mut self, name: &ObjectName, bytes: Bytes) {
        self.by_name.insert(name.clone(), bytes);
    }

    pub(super) fn put_if_absent(&mut self, name: &ObjectName, bytes: Bytes) -> PutOutcome {
        if self.by_name.contains_key(name) {
            return PutOutcome::Exists;
        }
        self.put(name, bytes);
        PutOutcome::Created
    }

    fn find(&self, operation: &'static str, name: &ObjectName) -> Result<&Bytes, RemoteError> {
        let absent = || RemoteError::new(RemoteErrorKind::NotFound, operation).with_object(name);
        self.by_name.get(name).ok_or_else(absent)
    }

    pub(super) fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Bytes, RemoteError> {
        let bytes = self.find("get", name)?;
        let found = bytes.len() as u64;
        if found > bytes_max {
            let error = RemoteError::new(RemoteErrorKind::TooLarge, "get");
            return Err(error.with_object(name).with_bytes(bytes_max, found));
        }
        Ok(bytes.clone())
    }

    pub(super) fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, RemoteError> {
        let bytes = self.find("get_range", name)?;
        let within = |end: u64| usize::try_from(end).ok().filter(|&end| end <= bytes.len());
        match (within(range.start), within(range.end)) {
            (Some(start), Some(end)) => Ok(bytes.slice(start..end)),
            _ => {
                let error = RemoteError::new(RemoteErrorKind::BadRange, "get_range");
                let (expected, found) = (range.end, bytes.len() as u64);
                Err(error.with_object(name).with_range(range).with_bytes(expected, found))
            }
        }
    }

    pub(super) fn head(&self, name: &ObjectName) -> Result<ObjectMeta, RemoteError> {
        let bytes = self.find("head", name)?.len() as u64;
        Ok(ObjectMeta { name: name.clone(), bytes })
    }

    pub(super) fn delete(&mut self, name: &ObjectName) {
        self.by_name.remove(name);
    }

    /// `folder` without its last slash.
    pub(super) fn list(&self, folder: &str, after: Option<&ObjectName>, entries_max: usize) -> ListPage {
        let lower = after.map_or(Bound::Unbounded, Bound::Excluded);
        let below = |name: &ObjectName| match name.as_str().strip_prefix(folder) {
            Some(rest) => folder.is_empty() || rest.starts_with('/'),
            None => false,
        };
        let mut entries: Vec<ObjectMeta> = self
            .by_name
            .range::<ObjectName, _>((lower, Bound::Unbounded))
            .filter(|(name, _)| below(name))
            .take(entries_max.saturating_add(1))
            .map(|(name, bytes)| ObjectMeta { name: name.clone(), bytes: bytes.len() as u64 })
            .collect();
        let more = entries.len() > entries_max;
        entries.truncate(entries_max);
        ListPage { entries, more }
    }
}
