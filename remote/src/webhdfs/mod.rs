//! HDFS through its REST protocol, WebHDFS: `webhdfs://host:port/path`, with TLS `webhdfss://`.
//!
//! ```text
//! put           CREATE ~tmp/<unique> ──> datanode (bytes) ──> RENAME to the name, replacing what is there
//! put-if-absent CREATE ~tmp/<unique> ──> datanode (bytes) ──> RENAME to the name unless it is taken: one winner
//! upload        CREATE ~tmp/<unique>, APPEND part after part ──> RENAME
//! ```
//!
//! Invariants:
//! * A name appears only by a rename of a file that was closed, so only whole. Also for a plain put: a `CREATE` of the name itself would
//!   show readers a file that still grows, and a broken one would stay.
//! * Each try of a `CREATE` has a temporary name of its own. So a try that was given up and is still running in some datanode can
//!   never change the bytes of another one, before or after its rename.
//! * A rename may be repeated whenever its answer is lost: its source is ours alone and moves once. If the source is gone, an earlier
//!   try was the winner. So a put-if-absent that ends with `Created` or `Exists` knows, and is in doubt only when the namenode stays silent.
//! * A read is believed only with exactly the bytes asked for. The `Range` header is ignored by WebHDFS: `offset` and `length` are used.
//!
//! What is durable: `CREATE` returns when the file is closed, that is when the datanodes of its pipeline have all bytes (by default in three
//! nodes' memory; `dfs.datanode.synconclose` makes them write to disk first). The folder `~tmp` is not shown by listings; a killed
//! writer may leave a file there.

mod protocol;
mod namenode;
mod store;
mod temporary;
mod upload;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::{Method, Url};
use tokio::time::Instant;

use crate::content::Content;
use crate::error::{RemoteError, RemoteErrorKind};
use crate::exchange::{Exchange, Fault};
use crate::front::{Front, Verbs, bad_range};
use crate::location::Location;
use crate::name::{ObjectName, check_prefix};
use crate::options::RemoteOptions;
use crate::runtime::HttpRuntime;
use crate::settings::Settings;
use crate::store::{ListPage, PutOutcome, Remote};
use crate::walk::{self, Child, Children};

use self::namenode::Namenode;
use self::protocol::{BatchAnswer, Caller, FileStatus, ListAnswer, Trouble};
use self::store::WebHdfs;
use self::temporary::{Mode, Published};
use self::upload::AppendSink;

/// Longest listing of one folder from a namenode that does not list in pages: about 200,000 entries.
const LIST_BYTES_MAX: u64 = 64 << 20;
/// Longest page of a listing.
const PAGE_BYTES_MAX: u64 = 16 << 20;

/// Settings and variables that are read.
const USER: &str = "AQUIFER_HDFS_USER";
const TOKEN: &str = "AQUIFER_HDFS_DELEGATION_TOKEN";
const HADOOP_USER: &str = "HADOOP_USER_NAME";

/// Opens the folder that a `webhdfs` or `webhdfss` URL names.
pub(crate) fn open(location: &Location, options: &RemoteOptions) -> Result<Arc<dyn Remote>, RemoteError> {
    let invalid =
        |cause: &str| RemoteError::new(RemoteErrorKind::InvalidUrl, "open").with_cause(cause.to_owned());
    let url = location.url();
    let (scheme, port_default) = if url.scheme() == "webhdfss" { ("https", 9871) } else { ("http", 9870) };
    let host = url.host_str().filter(|host| !host.is_empty());
    let host = host.ok_or_else(|| invalid("no namenode: webhdfs://host:port/path"))?;
    let endpoint = format!("{scheme}://{host}:{}", url.port().unwrap_or(port_default));
    let endpoint = Url::parse(&endpoint).map_err(|error| invalid(&format!("not a host: {error}")))?;
    let root = match check_prefix(location.path())? {
        "" => String::new(),
        path if path.contains(':') => return Err(invalid("HDFS has no ':' in names: choose another path")),
        path => format!("/{path}"),
    };
    let settings = Settings::new(options, &[USER, TOKEN, HADOOP_USER])?;
    let caller = match (settings.get(TOKEN), settings.get(USER)) {
        (Some(token), _) => Caller::Token(token),
        (None, user) => match user.or(settings.get(HADOOP_USER)) {
            Some(user) => Caller::User(user),
            None => Caller::Nobody,
        },
    };
    let runtime = HttpRuntime::start(options)?;
    let exchange = Exchange::new(&endpoint, options)?;
    let shown = format!("{}://{host}:{}{root}", url.scheme(), url.port().unwrap_or(port_default));
    let verbs = Arc::new(WebHdfs {
        namenode: Namenode::new(exchange, endpoint, caller),
        root,
        runtime: Arc::clone(&runtime),
        lists_whole: AtomicBool::new(false),
    });
    Ok(Arc::new(Front::new(verbs, runtime, options, &shown)))
}

impl WebHdfs {
    /// One attempt to read a range, which is not empty.
    async fn read(&self, path: &str, range: &Range<u64>) -> Result<Bytes, Trouble> {
        let bytes = range.end.saturating_sub(range.start);
        let (offset, length) = (range.start.to_string(), bytes.to_string());
        let parameters = [("offset", offset.as_str()), ("length", length.as_str())];
        let answer = self.namenode.through_datanode(Method::GET, path, "OPEN", &parameters, None).await?;
        Ok(answer.exactly(bytes).await?)
    }

    async fn read_range(
        &self,
        operation: &'static str,
        name: &ObjectName,
        range: &Range<u64>,
    ) -> Result<Bytes, RemoteError> {
        let path = self.path(name);
        let mut repeats = self.namenode.exchange.repeats();
        loop {
            let trouble = match self.read(&path, range).await {
                Ok(bytes) => return Ok(bytes),
                Err(trouble) => trouble,
            };
            let short = matches!(trouble, Trouble::Fault(Fault::Length { .. }));
            // A range beyond the end is told by a short answer or by an exception of a general kind.
            if short || trouble.is("IOException") || trouble.is("EOFException") {
                match self.file_bytes(&path).await {
                    Ok(Some(bytes)) if bytes < range.end => return Err(bad_range(range, bytes)),
                    Ok(None) => return Err(RemoteError::new(RemoteErrorKind::NotFound, operation)),
                    _ => {}
                }
            }
            let dead = matches!(trouble, Trouble::Fault(Fault::NotSent(_)));
            // Another datanode is asked at once; the namenode itself gets time.
            let again = trouble.is_passing() && if dead { repeats.at_once() } else { repeats.again().await };
            if !again {
                return Err(trouble.error(operation));
            }
        }
    }

    /// Some entries of a folder.
    async fn children(&self, folder: &str, after: Option<&str>) -> Result<Children, RemoteError> {
        let path = if folder.is_empty() { self.root.clone() } else { format!("{}/{folder}", self.root) };
        let path = if path.is_empty() { "/".to_owned() } else { path };
        let listed = self.steadily(|| self.list_once(&path, after)).await;
        match listed {
            Ok(children) => Ok(children),
            Err(trouble) if trouble.is_not_found() => Ok(Children::default()),
            Err(Trouble::Fault(Fault::TooLong { .. })) => {
                Err(RemoteError::new(RemoteErrorKind::Other, "list").with_cause(
                    "a folder has more entries than this namenode lists in one answer of 64 MiB: use Hadoop 3, which lists in pages",
                ))
            }
            Err(trouble) => Err(trouble.error("list")),
        }
    }

    async fn list_once(&self, path: &str, after: Option<&str>) -> Result<Children, Trouble> {
        if !self.lists_whole.load(Ordering::Relaxed) {
            let parameters: Vec<_> = after.map(|after| ("startAfter", after)).into_iter().collect();
            match self.namenode.json(Method::GET, path, "LISTSTATUS_BATCH", &parameters, PAGE_BYTES_MAX).await
            {
                Ok(BatchAnswer { listing }) => {
                    let entries = listing.partial.statuses.entries;
                    let last = entries.iter().map(|entry| entry.path_suffix.clone()).max();
                    if listing.remaining > 0 && last.is_none() {
                        return Err(Trouble::Nonsense(
                            "the namenode says that a folder has more entries and names none".to_owned(),
                        ));
                    }
                    return Ok(Children {
                        rest_after: last.filter(|_| listing.remaining > 0),
                        entries: children(entries),
                    });
                }
                Err(trouble) if trouble.is("IllegalArgumentException") => {
                    self.lists_whole.store(true, Ordering::Relaxed);
                }
                Err(trouble) => return Err(trouble),
            }
        }
        let answer: ListAnswer =
            self.namenode.json(Method::GET, path, "LISTSTATUS", &[], LIST_BYTES_MAX).await?;
        Ok(Children { entries: children(answer.statuses.entries), rest_after: None })
    }
}

fn children(entries: Vec<FileStatus>) -> Vec<Child> {
    let entries = entries.into_iter().filter(|entry| !entry.path_suffix.is_empty());
    let child = |entry: FileStatus| {
        let bytes = match (entry.is_file(), entry.is_folder()) {
            (true, _) => Some(entry.length),
            (_, true) => None,
            // A symbolic link: not ours.
            _ => return None,
        };
        Some(Child { name: entry.path_suffix, bytes })
    };
    entries.filter_map(child).collect()
}

#[async_trait]
impl Verbs for WebHdfs {
    type Sink = AppendSink;

    async fn put(
        self: Arc<Self>,
        name: &ObjectName,
        content: Content,
        unique: u64,
    ) -> Result<(), RemoteError> {
        let temporary =
            self.write_temporary(&content, unique).await.map_err(|trouble| trouble.error("put"))?;
        self.publish(temporary, &self.path(name), Mode::Replace, "put").await.map(|_| ())
    }

    async fn put_if_absent(
        self: Arc<Self>,
        name: &ObjectName,
        content: Content,
        unique: u64,
    ) -> Result<PutOutcome, RemoteError> {
        let temporary = self.write_temporary(&content, unique).await;
        let temporary = temporary.map_err(|trouble| trouble.error("put_if_absent"))?;
        match self.publish(temporary, &self.path(name), Mode::Keep, "put_if_absent").await? {
            Published::Yes => Ok(PutOutcome::Created),
            Published::Taken => Ok(PutOutcome::Exists),
        }
    }

    async fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Bytes, RemoteError> {
        match self.object_bytes(name).await.map_err(|error| error.with_operation("get"))? {
            0 => Ok(Bytes::new()),
            bytes if bytes > bytes_max => {
                Err(RemoteError::new(RemoteErrorKind::TooLarge, "get").with_bytes(bytes_max, bytes))
            }
            bytes => self.read_range("get", name, &(0..bytes)).await,
        }
    }

    async fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, RemoteError> {
        self.read_range("get_range", name, &range).await
    }

    async fn object_bytes(&self, name: &ObjectName) -> Result<u64, RemoteError> {
        match self.file_bytes(&self.path(name)).await {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(RemoteError::new(RemoteErrorKind::NotFound, "head")),
            Err(trouble) => Err(trouble.error("head")),
        }
    }

    async fn delete(&self, name: &ObjectName) -> Result<(), RemoteError> {
        let path = self.path(name);
        match self.steadily(|| self.namenode.delete(&path)).await {
            Ok(_) => Ok(()),
            Err(trouble) if trouble.is_not_found() || trouble.is("PathIsNotEmptyDirectoryException") => {
                Ok(())
            }
            Err(trouble) => Err(trouble.error("delete")),
        }
    }

    async fn list(
        &self,
        folder: &str,
        start_after: Option<&ObjectName>,
        entries_max: usize,
        soon: Instant,
    ) -> Result<ListPage, RemoteError> {
        let read = |folder: String, after: Option<String>| async move {
            self.children(&folder, after.as_deref()).await
        };
        walk::page(folder, start_after, entries_max, soon, read).await
    }

    fn sink(self: Arc<Self>, name: &ObjectName, unique: u64) -> AppendSink {
        let path = self.path(name);
        AppendSink::new(self, path, unique)
    }
}
