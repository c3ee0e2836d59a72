//! What operations are done to: any key-value store that a lane can ask.
//!
//! A lane awaits one operation at a time. A store whose calls block is fine too, with one lane a thread.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use futures_util::future::join_all;

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TargetError {
    /// Our engine's.
    #[error(transparent)]
    Engine(#[from] aquifer::Error),
    /// Another store's.
    #[cfg(any(feature = "rocksdb", feature = "fjall", feature = "slatedb"))]
    #[error("{0}")]
    Other(String),
    /// The store cannot do this.
    #[error("this store has no {0}")]
    Unsupported(&'static str),
}

impl TargetError {
    /// Nothing was done; the same will work once other operations have ended.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self, Self::Engine(error) if error.kind() == aquifer::ErrorKind::Busy)
    }
}

/// How a merge changes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Merge {
    /// Adds a number: 8 bytes, little-endian.
    Add,
    /// Bytes after bytes.
    Append,
}

/// A key and its value.
pub(crate) type Entry<V> = (V, V);

/// A key-value store as a lane sees it.
pub(crate) trait Target: Clone + 'static {
    /// Every thread may ask for every key.
    const OWNS_ALL: bool;
    /// Bytes that were read.
    type Value: AsRef<[u8]>;

    /// The value of a key.
    async fn get(&self, key: &[u8]) -> Result<Option<Self::Value>, TargetError>;
    /// Writes a value.
    async fn put(&self, key: &[u8], value: &[u8]) -> Result<(), TargetError>;
    /// Deletes a key.
    async fn delete(&self, key: &[u8]) -> Result<(), TargetError>;

    /// Whether the key is one that this thread may ask for.
    fn owns(&self, _key: &[u8]) -> bool {
        true
    }

    /// The values of some keys, each handed to `found` with its key's place. Where there is no such call, gets that are issued together.
    async fn multi_get(
        &self,
        keys: &[Vec<u8>],
        mut found: impl FnMut(usize, Option<&[u8]>),
    ) -> Result<(), TargetError> {
        let gets = keys.iter().map(|key| self.get(key));
        for (place, value) in join_all(gets).await.into_iter().enumerate() {
            found(place, value?.as_ref().map(AsRef::as_ref));
        }
        Ok(())
    }

    /// Writes a value under a key that begins with `anchor`, so that all keys with this beginning lie together: as the entries of a map, or
    /// of a window. [`Self::scan`] and [`Self::delete_prefix`] find them by it. Where all keys are ordered, they do anyway.
    async fn put_beside(&self, _anchor: &[u8], key: &[u8], value: &[u8]) -> Result<(), TargetError> {
        self.put(key, value).await
    }

    /// Changes a key's value without reading it.
    async fn merge(&self, _key: &[u8], _merge: Merge, _operand: &[u8]) -> Result<(), TargetError> {
        Err(TargetError::Unsupported("merge"))
    }

    /// At most so many entries in ascending order: those that begin with the prefix, from its first one on (`from` is the prefix then); with an
    /// empty prefix from `from` on those that the store keeps in order with it (a store with hashed groups: those of its group).
    async fn scan(
        &self,
        _prefix: &[u8],
        _from: &[u8],
        _entries_max: usize,
    ) -> Result<Vec<Entry<Self::Value>>, TargetError> {
        Err(TargetError::Unsupported("ordered scan"))
    }

    /// Deletes every key that begins with the prefix.
    async fn delete_prefix(&self, _prefix: &[u8]) -> Result<(), TargetError> {
        Err(TargetError::Unsupported("deletion by prefix"))
    }
}

/// Which keys are a thread's own.
pub(crate) type Owns = Rc<dyn Fn(&[u8]) -> bool>;

/// Remembers one value and gives it back for every key: what is measured then is this tool.
#[derive(Clone)]
pub(crate) struct Nothing {
    value: Rc<RefCell<Bytes>>,
    owns: Option<Owns>,
}

impl Nothing {
    /// With a value to give back, and with the keys of one thread where threads have their own.
    pub(crate) fn new(value: Bytes, owns: Option<Owns>) -> Self {
        Self { value: Rc::new(RefCell::new(value)), owns }
    }
}

impl Target for Nothing {
    const OWNS_ALL: bool = true;
    type Value = Bytes;

    async fn get(&self, _key: &[u8]) -> Result<Option<Bytes>, TargetError> {
        Ok(Some(self.value.borrow().clone()))
    }

    async fn put(&self, _key: &[u8], value: &[u8]) -> Result<(), TargetError> {
        if self.value.borrow().len() != value.len() {
            self.value.replace(Bytes::copy_from_slice(value));
        }
        Ok(())
    }

    async fn delete(&self, _key: &[u8]) -> Result<(), TargetError> {
        Ok(())
    }

    fn owns(&self, key: &[u8]) -> bool {
        self.owns.as_ref().is_none_or(|owns| owns(key))
    }

    async fn merge(&self, _key: &[u8], _merge: Merge, _operand: &[u8]) -> Result<(), TargetError> {
        Ok(())
    }

    async fn scan(
        &self,
        _prefix: &[u8],
        from: &[u8],
        entries_max: usize,
    ) -> Result<Vec<Entry<Bytes>>, TargetError> {
        let entry = (Bytes::copy_from_slice(from), self.value.borrow().clone());
        Ok(vec![entry; entries_max])
    }

    async fn delete_prefix(&self, _prefix: &[u8]) -> Result<(), TargetError> {
        Ok(())
    }
}
