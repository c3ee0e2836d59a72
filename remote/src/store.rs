//! The narrow waist: what a store of immutable objects can do, and nothing more.
//!
//! ```text
//! engine ──> Remote (this trait) ──> wrappers ──> adapter ──> object_store ──> HTTP client ──> DFS
//! ```
//!
//! Rules for every implementation, checked by the conformance suite:
//! * A put that returned is durable and never changes after.
//! * Put-if-absent has exactly one winner under any race.
//! * A read returns exactly the bytes asked for, or an error.
//! * No object's name may be the folder of another's (`a` and `a/b`): the caller sees to that, as directories cannot hold both.
//! * The future does not borrow, is `Send`, may be awaited on any executor or none, and aborts its request when dropped.

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;

use bytes::Bytes;

use crate::content::Content;
use crate::error::RemoteError;
use crate::name::ObjectName;

/// The result of an operation, on its way.
///
/// The request starts when the method is called, on the crate's own runtime. Dropping the future aborts the request; a write
/// may then have been applied or not.
pub type RemoteFuture<T> = Pin<Box<dyn Future<Output = Result<T, RemoteError>> + Send + 'static>>;

/// Every part of an upload but the last has at least this many bytes (S3's rule).
pub const UPLOAD_PART_BYTES_MIN: u64 = 5 << 20;

/// An upload has at most this many parts (S3's rule).
pub const UPLOAD_PARTS_MAX: u64 = 10_000;

/// Immutable objects by name on one distributed file system.
pub trait Remote: fmt::Debug + Send + Sync + 'static {
    /// The store's URL, without secrets.
    fn describe(&self) -> String;

    /// Writes a whole object. Durable when it returns. Repeated inside when the answer is lost, so only for names that one
    /// writer uses once: same name, same bytes.
    fn put(&self, name: &ObjectName, content: Content) -> RemoteFuture<()>;

    /// Writes a whole object unless the name is taken; of any number of racing callers exactly one gets
    /// [`PutOutcome::Created`].
    ///
    /// The content is the caller's alone: it holds a random number. For the wrappers ([`wrap`](fn@crate::wrap), and so
    /// [`open_url`](crate::open_url)) read the object back when an answer was lost, and who finds his bytes there has won. Without
    /// wrappers, the caller reads back after kind `InDoubt`; of an embedder's store that repeats by itself also after
    /// [`PutOutcome::Exists`], which may be its own earlier success (`exists_read_back` of the options does that).
    ///
    /// # Errors
    /// Kind `InDoubt` when it may or may not have been applied (through the wrappers: when reading back did not settle it in time).
    fn put_if_absent(&self, name: &ObjectName, content: Content) -> RemoteFuture<PutOutcome>;

    /// Reads a whole object of at most `bytes_max` bytes.
    ///
    /// # Errors
    /// Kind `TooLarge`, before its bytes are read, when it is longer.
    fn get(&self, name: &ObjectName, bytes_max: u64) -> RemoteFuture<Bytes>;

    /// Reads exactly the bytes of `range`. An empty range gives no bytes and asks nobody.
    ///
    /// # Errors
    /// Kind `BadRange` (with the object's length) when the range reaches beyond the end, `Truncated` when the server sent
    /// another number of bytes than it announced; both name object, range, expected and found.
    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> RemoteFuture<Bytes>;

    /// The object's length.
    fn head(&self, name: &ObjectName) -> RemoteFuture<ObjectMeta>;

    /// Removes an object. One that is absent is success.
    fn delete(&self, name: &ObjectName) -> RemoteFuture<()>;

    /// Up to `entries_max` (at least 1) objects below a folder (`"manifest/"`, or `""` for all), ascending by name,
    /// only those after `start_after`. Objects whose names this crate would not write are left out: they are not ours.
    fn list(
        &self,
        prefix: &str,
        start_after: Option<&ObjectName>,
        entries_max: usize,
    ) -> RemoteFuture<ListPage>;

    /// Starts writing a large object in parts. Nothing is visible before [`Upload::finish`].
    fn upload(&self, name: &ObjectName) -> RemoteFuture<Box<dyn Upload>>;
}

/// A large object being written. Dropping it without finishing aborts it in the background.
pub trait Upload: Send {
    /// Sends the next part, of at least [`UPLOAD_PART_BYTES_MIN`] bytes unless it is the last. Parts keep the order of the
    /// calls; several may be in flight, the caller bounds how many (and so the memory).
    fn part(&mut self, content: Content) -> RemoteFuture<()>;

    /// Makes the object visible and durable. All parts must have returned before. An upload without parts makes an empty object.
    fn finish(self: Box<Self>) -> RemoteFuture<()>;

    /// Throws the parts away.
    fn abort(self: Box<Self>) -> RemoteFuture<()>;
}

/// How a put-if-absent ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// This call made the object.
    Created,
    /// The name was taken. See [`Remote::put_if_absent`] on who may have taken it.
    Exists,
}

/// What a store says about one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Its name.
    pub name: ObjectName,
    /// Its length.
    pub bytes: u64,
}

/// One page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListPage {
    /// Ascending by name.
    pub entries: Vec<ObjectMeta>,
    /// True when more follow: list again with `start_after` = the last name.
    pub more: bool,
}
