//! A shard as code on its own thread sees it.

use crate::answer::{Answer, CompareOutcome, FromMemory};
use crate::error::{Error, Result};
use crate::key_ref::{Key, KeyRange};
use crate::limits::SCAN_ENTRIES_MAX;
use crate::multi_get_options::{MultiGetOptions, check_keys};
use crate::request::GroupsRequest;
use crate::resolve::Base;
use crate::scan_options::ScanOptions;
use crate::scan_page::ScanPage;
use crate::shard::reads::lookup::{Now, View};
use crate::shard::shard_core::ShardCore;
use crate::snapshot::Snapshot;
use crate::write::{Expiry, Write, WriteBatch, check_writes};
use bytes::Bytes;
use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

thread_local! {
    /// The engine key of the lookup under way.
    static LOOKUP_KEY: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A shard as code on its own thread sees it. Cheap to clone; cannot leave the thread.
///
/// It has the operations of a [`crate::Client`], with the same arguments. They take effect when they are first polled. Keys are those of this shard's key groups.
///
/// Dropping the future of a read changes nothing. A write whose future is dropped before it was ready has not been written: it waited for room.
#[derive(Clone)]
pub struct Shard {
    core: Rc<ShardCore>,
}

impl Shard {
    pub(crate) const fn new(core: Rc<ShardCore>) -> Self {
        Self { core }
    }

    pub(crate) fn core(&self) -> Rc<ShardCore> {
        Rc::clone(&self.core)
    }

    /// Number of this shard.
    pub fn id(&self) -> usize {
        self.core.id
    }

    /// Key groups that this shard owns.
    pub fn key_groups(&self) -> Range<u16> {
        self.core.groups.clone()
    }

    /// The value of `key` if nothing on the way needs SSD or DFS: a function call beside the data. If something does, [`Self::get`]
    /// fetches it.
    ///
    /// # Errors
    /// `Invalid` for a key of another shard, `Corrupt` for bad bytes.
    pub fn try_get<'a>(&self, key: impl Into<Key<'a>>) -> Result<FromMemory<Option<Bytes>>> {
        self.try_get_with(key, |value| value.map(Bytes::copy_from_slice))
    }

    /// The same without copying the value: `look` sees it where it lies. It must not call operations of this shard.
    ///
    /// # Errors
    /// As [`Self::try_get`].
    pub fn try_get_with<'a, T>(
        &self,
        key: impl Into<Key<'a>>,
        look: impl FnOnce(Option<&[u8]>) -> T,
    ) -> Result<FromMemory<T>> {
        self.with_own_key(key.into(), |key| {
            let now = self.core.look_now(key, None, |core, resolver, base, _| {
                if resolver.is_waiting() {
                    return Ok(look(resolver.finish(base, &core.shared.operators)?.as_deref()));
                }
                Ok(look(match base {
                    Base::Value(value) => Some(value),
                    Base::Nothing => None,
                }))
            })?;
            Ok(match now {
                Now::Known(value) => FromMemory::Known(value),
                Now::Waits(_) => FromMemory::NotInMemory,
            })
        })
    }

    /// The value of `key`, `None` if it has none.
    ///
    /// # Errors
    /// `Invalid` for a key of another shard; `Unavailable` and `Corrupt` from the DFS.
    pub async fn get<'a>(&self, key: impl Into<Key<'a>>) -> Result<Option<Bytes>> {
        self.get_in(key.into(), None).await
    }

    /// The value that `key` had at the moment of a snapshot.
    ///
    /// # Errors
    /// As [`Self::get`]; `Invalid` also for a snapshot of another engine.
    pub async fn get_at<'a>(&self, snapshot: &Snapshot, key: impl Into<Key<'a>>) -> Result<Option<Bytes>> {
        let view = self.view(Some(snapshot))?;
        self.get_in(key.into(), view.as_ref()).await
    }

    async fn get_in(&self, key: Key<'_>, view: Option<&View>) -> Result<Option<Bytes>> {
        let pending = match self.with_own_key(key, |key| self.core.get_now(key, view))? {
            Now::Known(answer) => return Ok(answer.value),
            Now::Waits(pending) => pending,
        };
        let key = self.own_key(key)?;
        self.core.get_waiting(&key, pending).await.map(|answer| answer.value)
    }

    /// The values of many keys: what memory knows is answered at once, the rest is asked for together. Answers stand in the order of the keys; the
    /// error of one key stands in its place, of kind [`crate::ErrorKind::Remaining`] where values took all of [`MultiGetOptions::bytes_max`]: ask for
    /// those again.
    ///
    /// # Errors
    /// `Invalid` for a key of another shard, or more than 65,536 keys.
    pub async fn multi_get<'a>(
        &self,
        keys: impl IntoIterator<Item = impl Into<Key<'a>>>,
        options: &MultiGetOptions<'_>,
    ) -> Result<Vec<Result<Answer>>> {
        options.check()?;
        let keys = keys.into_iter().map(|key| self.own_key(key.into())).collect::<Result<Vec<_>>>()?;
        check_keys(keys.len())?;
        let deadline = options.timeout.map(|timeout| aquifer_io::now() + timeout);
        let view = self.view(options.snapshot)?;
        let batch = self.core.multi_get_now(keys, view.as_ref(), options.bytes_max);
        Ok(self.core.multi_get(batch, deadline).await.0)
    }

    /// Stores `value` under `key`. Waits while memtables and uploads take all of their budget.
    ///
    /// # Errors
    /// `Invalid` for a key of another shard or a too large entry; `Fenced` once another writer owns the store.
    pub async fn put<'a>(&self, key: impl Into<Key<'a>>, value: &[u8]) -> Result<()> {
        self.put_with(key, value, Expiry::Never).await
    }

    /// The same with a time to live.
    ///
    /// # Errors
    /// As [`Self::put`]; `Invalid` also for an expiry that has passed.
    pub async fn put_with<'a>(&self, key: impl Into<Key<'a>>, value: &[u8], expiry: Expiry) -> Result<()> {
        let key = self.own_key(key.into())?;
        self.core.write(&key, &Write::put(value, expiry)?).await
    }

    /// Deletes `key`; deleting what is not there is no error.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub async fn delete<'a>(&self, key: impl Into<Key<'a>>) -> Result<()> {
        let key = self.own_key(key.into())?;
        self.core.write(&key, &Write::Delete).await
    }

    /// Changes the value of `key` by the merge operator with this name: nothing is read.
    ///
    /// # Errors
    /// As [`Self::put`]; `Invalid` also for an operator that is not registered, or an operand that it does not take.
    pub async fn merge<'a>(&self, key: impl Into<Key<'a>>, operator: &str, operand: &[u8]) -> Result<()> {
        self.merge_with(key, operator, operand, Expiry::Never).await
    }

    /// The same with a time to live for the whole value, in place of the one it had.
    ///
    /// # Errors
    /// As [`Self::merge`] and [`Self::put_with`].
    pub async fn merge_with<'a>(
        &self,
        key: impl Into<Key<'a>>,
        operator: &str,
        operand: &[u8],
        expiry: Expiry,
    ) -> Result<()> {
        let key = self.own_key(key.into())?;
        let write = Write::merge(&self.core.shared.operators, operator, operand, expiry)?;
        self.core.write(&key, &write).await
    }

    /// Stores `value` under `key` if it has none.
    ///
    /// # Errors
    /// As [`Self::compare_and_set`].
    pub async fn put_if_absent<'a>(&self, key: impl Into<Key<'a>>, value: &[u8]) -> Result<CompareOutcome> {
        self.compare_and_set(key, None, Some(value)).await
    }

    /// Deletes every key of a range: one marker a key group, however many they are. Of a range of all key groups those of this shard.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub async fn delete_range(&self, range: &KeyRange) -> Result<()> {
        let mut batch = WriteBatch::new();
        batch.delete_range(range.clone());
        self.write(&batch).await
    }

    /// Writes that take effect together.
    ///
    /// # Errors
    /// As [`Self::put`]; nothing is written then.
    pub async fn write(&self, batch: &WriteBatch) -> Result<()> {
        batch.check()?;
        let mut writes = Vec::with_capacity(batch.len());
        for item in &batch.items {
            item.resolve(
                self.core.shared.route,
                &self.core.shared.operators,
                &self.core.groups,
                |group, key, write| {
                    self.check_group(group)?;
                    writes.push((key, write));
                    check_writes(writes.len())
                },
            )?;
        }
        self.core.apply_batch(&writes).await
    }

    /// Stores `new` under `key` (`None`: deletes it) if it has the value `expected` (`None`: no value), with no other write in between.
    ///
    /// # Errors
    /// As [`Self::put`] and [`Self::get`].
    pub async fn compare_and_set<'a>(
        &self,
        key: impl Into<Key<'a>>,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<CompareOutcome> {
        let key = self.own_key(key.into())?;
        let write = new.map_or(Ok(Write::Delete), |new| Write::put(new, Expiry::Never))?;
        self.core.compare(&key, expected, &write).await
    }

    /// One page of a range; at most `options.page_entries` entries, about 1 MiB, all of one key group. For the next page ask for [`ScanPage::rest`]. Of a range
    /// of all key groups those of this shard are visited. Without a snapshot every page sees the present; [`crate::Client::scan`] pages through one
    /// state.
    ///
    /// # Errors
    /// As [`Self::get`]. Where [`crate::Error::key`] names a key, a range that begins behind it goes on.
    pub async fn scan_page(&self, range: &KeyRange, options: &ScanOptions<'_>) -> Result<ScanPage> {
        options.check()?;
        let mut stretches = range.stretches(self.core.shared.route)?;
        if range.is_of_all() {
            stretches = stretches.within(&self.core.groups);
        } else {
            self.check_group(stretches.groups().start)?;
        }
        let request = GroupsRequest {
            stretches,
            reverse: options.reverse,
            entries_max: options.page_entries.min(SCAN_ENTRIES_MAX),
            snapshot: options.snapshot.map(|snapshot| self.check_snapshot(snapshot)).transpose()?,
        };
        self.core.scan_groups(request).await
    }

    /// What a read sees: that of a snapshot, or `None` for the present.
    fn view(&self, snapshot: Option<&Snapshot>) -> Result<Option<View>> {
        snapshot.map(|snapshot| self.core.view_of(self.check_snapshot(snapshot)?)).transpose()
    }

    fn check_snapshot(&self, snapshot: &Snapshot) -> Result<u64> {
        if snapshot.is_of(&self.core.shared) {
            Ok(snapshot.id())
        } else {
            Err(Error::invalid("this snapshot is of another engine: take one from a client of this engine"))
        }
    }

    fn own_key(&self, key: Key<'_>) -> Result<Box<[u8]>> {
        let (group, key) = key.engine_key(self.core.shared.route)?;
        self.check_group(group).map(|()| key)
    }

    /// Looks something up by an engine key that is put together in place.
    fn with_own_key<T>(&self, key: Key<'_>, look: impl FnOnce(&[u8]) -> Result<T>) -> Result<T> {
        let mut buffer = LOOKUP_KEY.take();
        let found = key
            .put_engine_key(self.core.shared.route, &mut buffer)
            .and_then(|group| self.check_group(group))
            .and_then(|()| look(&buffer));
        LOOKUP_KEY.set(buffer);
        found
    }

    fn check_group(&self, group: u16) -> Result<()> {
        if self.core.groups.contains(&group) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "this key is of group {group}; shard {} owns groups {:?}: run on shard_of(key)",
            self.core.id, self.core.groups
        )))
    }
}
