//! What operations are done to: the engine through its client, the engine on a shard's own thread, or nothing at all.

use std::cell::RefCell;

use aquifer::{Client, Error, Shard};
use bytes::Bytes;

/// A key-value store as a lane sees it.
pub(crate) trait Target: Clone + 'static {
    /// Every thread may ask for every key.
    const OWNS_ALL: bool;
    /// The value of a key.
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error>;
    /// Writes a value.
    async fn put(&self, key: &[u8], value: &[u8]) -> Result<(), Error>;
    /// Deletes a key.
    async fn delete(&self, key: &[u8]) -> Result<(), Error>;
    /// Whether the key is one that this thread may ask for.
    fn owns(&self, key: &[u8]) -> bool;
}

/// From another thread, by message.
#[derive(Clone)]
pub(crate) struct ThroughClient(pub(crate) Client);

impl Target for ThroughClient {
    const OWNS_ALL: bool = true;

    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        self.0.get(key).await
    }

    async fn put(&self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        self.0.put(key, value).await
    }

    async fn delete(&self, key: &[u8]) -> Result<(), Error> {
        self.0.delete(key).await
    }

    fn owns(&self, _key: &[u8]) -> bool {
        true
    }
}

/// Beside the data.
#[derive(Clone)]
pub(crate) struct OnShard {
    pub(crate) shard: Shard,
    /// To find out whose a key is.
    pub(crate) client: Client,
}

impl Target for OnShard {
    const OWNS_ALL: bool = false;

    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        self.shard.get(key).await
    }

    async fn put(&self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        self.shard.put(key, value).await
    }

    async fn delete(&self, key: &[u8]) -> Result<(), Error> {
        self.shard.delete(key).await
    }

    fn owns(&self, key: &[u8]) -> bool {
        self.client.shard_of(key) == self.shard.id()
    }
}

/// Remembers one value and gives it back for every key: what is measured then is this tool.
#[derive(Clone, Default)]
pub(crate) struct Nothing(std::rc::Rc<RefCell<Bytes>>);

impl Target for Nothing {
    const OWNS_ALL: bool = true;

    async fn get(&self, _key: &[u8]) -> Result<Option<Bytes>, Error> {
        Ok(Some(self.0.borrow().clone()))
    }

    async fn put(&self, _key: &[u8], value: &[u8]) -> Result<(), Error> {
        if self.0.borrow().len() != value.len() {
            self.0.replace(Bytes::copy_from_slice(value));
        }
        Ok(())
    }

    async fn delete(&self, _key: &[u8]) -> Result<(), Error> {
        Ok(())
    }

    fn owns(&self, _key: &[u8]) -> bool {
        true
    }
}
