//! The simulated disk: names and files, what is live and what is durable. It knows no time and no faults; `files.rs`
//! of the simulated machine brings those.
//!
//! A write in flight is not live yet, but a crash may leave a part of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsString;
use std::io;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use super::content::{Change, Content, SECTOR};
use super::file_node::FileNode;
use super::image::{DiskImage, plain};
use super::names::{Entries, NameChange, Names, NodeId, ROOT};
use crate::open_options::OpenOptions;

/// Longest file, in bytes, as file systems have it.
const FILE_BYTES_MAX: u64 = 1 << 60;

/// Longest name, in bytes, as file systems have it.
const NAME_BYTES_MAX: usize = 255;

#[derive(Debug)]
enum Node {
    Folder,
    File(FileNode),
}

/// The locked folders: shared with the locks, which work on every thread.
pub(crate) type Locks = Arc<Mutex<BTreeSet<NodeId>>>;

#[derive(Debug)]
pub(crate) struct Disk {
    nodes: BTreeMap<NodeId, Node>,
    node_next: NodeId,
    names: Names,
    locks: Locks,
    bytes_max: u64,
}

impl Disk {
    pub(crate) fn new(image: &DiskImage, bytes_max: u64) -> Self {
        let mut disk = Self {
            nodes: BTreeMap::from([(ROOT, Node::Folder)]),
            node_next: ROOT + 1,
            names: Names::default(),
            locks: Locks::default(),
            bytes_max,
        };
        let mut entries = Entries::new();
        // A folder's path sorts before what is in it.
        let mut folders = BTreeMap::from([(PathBuf::from("/"), ROOT)]);
        for path in image.folders() {
            let node = disk.add_node(Node::Folder);
            folders.insert(path.to_owned(), node);
            add_entry(&mut entries, &folders, path, node);
        }
        for (path, content) in image.contents() {
            let node = disk.add_node(Node::File(FileNode::durable(content)));
            add_entry(&mut entries, &folders, path, node);
        }
        disk.names = Names::durable(entries);
        disk
    }

    pub(crate) fn locks(&self) -> Locks {
        Arc::clone(&self.locks)
    }

    /// Opens a file, and counts it as open until `close`.
    pub(crate) fn open(&mut self, path: &Path, options: OpenOptions) -> io::Result<NodeId> {
        let wants_write = options.create || options.create_new || options.truncate;
        if !options.write && (wants_write || !options.read) {
            return Err(Errno::INVAL.into());
        }
        let node = match self.find(path)? {
            Some(_) if options.create_new => return Err(Errno::EXIST.into()),
            Some(node) if self.is_folder(node) => {
                // The file interface has no use for an open folder, even for reading.
                return Err(Errno::ISDIR.into());
            }
            Some(node) => node,
            None if options.create || options.create_new => {
                let (folder, name) = self.parent(path)?;
                let node = self.add_node(Node::File(FileNode::default()));
                self.names.change(NameChange { node, removed: None, added: Some((folder, name)) });
                node
            }
            None => return Err(Errno::NOENT.into()),
        };
        let file = self.file_mut(node)?;
        file.opens += 1;
        if options.truncate && file.live.bytes() > 0 {
            file.reserved_bytes = 0;
            file.change(Change::SetBytes(0));
        }
        Ok(node)
    }

    pub(crate) fn close(&mut self, node: NodeId) {
        if let Ok(file) = self.file_mut(node) {
            file.opens = file.opens.saturating_sub(1);
        }
        self.forget(node);
    }

    pub(crate) fn bytes(&self, node: NodeId) -> io::Result<u64> {
        Ok(self.file(node)?.live.bytes())
    }

    /// Copies live bytes into `out`; how many there were before the end of the file.
    pub(crate) fn read(&self, node: NodeId, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        Ok(self.file(node)?.live.read(offset, out))
    }

    /// Begins a write of whole sectors; its number.
    pub(crate) fn begin_write(&mut self, node: NodeId, offset: u64, bytes: &[u8]) -> io::Result<u64> {
        let end = offset.saturating_add(bytes.len() as u64);
        if end > FILE_BYTES_MAX {
            return Err(Errno::FBIG.into());
        }
        let file = self.file(node)?;
        let sectors = offset / SECTOR..end.div_ceil(SECTOR);
        let is_reserved = end <= file.reserved_bytes;
        let fresh = sectors.filter(|index| file.live.sector(*index).is_none()).count() as u64;
        if !is_reserved && fresh > 0 && fresh.saturating_mul(SECTOR) > self.free_bytes() {
            return Err(Errno::NOSPC.into());
        }
        let file = self.file_mut(node)?;
        let number = file.number();
        file.in_flight.insert(number, Change::write(offset, bytes));
        Ok(number)
    }

    /// The write is done: its first `bytes` are live. The rest never was.
    pub(crate) fn end_write(&mut self, node: NodeId, number: u64, bytes: u64) {
        let Ok(file) = self.file_mut(node) else { return };
        if let Some(Change::Write { first, mut sectors }) = file.in_flight.remove(&number) {
            sectors.truncate(usize::try_from(bytes / SECTOR).unwrap_or(usize::MAX));
            if !sectors.is_empty() {
                file.change(Change::Write { first, sectors });
            }
        }
    }

    pub(crate) fn set_bytes(&mut self, node: NodeId, bytes: u64) -> io::Result<()> {
        if bytes > FILE_BYTES_MAX {
            return Err(Errno::FBIG.into());
        }
        let file = self.file_mut(node)?;
        file.reserved_bytes = file.reserved_bytes.min(bytes);
        file.change(Change::SetBytes(bytes));
        Ok(())
    }

    /// Reserves the space of the first `bytes`, and makes the file at least that long.
    pub(crate) fn allocate(&mut self, node: NodeId, bytes: u64) -> io::Result<()> {
        let used_bytes = self.file(node)?.used_bytes();
        if bytes > FILE_BYTES_MAX || bytes.saturating_sub(used_bytes) > self.free_bytes() {
            return Err(Errno::NOSPC.into());
        }
        let file = self.file_mut(node)?;
        file.reserved_bytes = file.reserved_bytes.max(bytes);
        if file.live.bytes() < bytes {
            file.change(Change::Grow(bytes));
        }
        Ok(())
    }

    /// Turns a range into zeroes; whole sectors give their space back.
    pub(crate) fn punch(&mut self, node: NodeId, range: Range<u64>) -> io::Result<()> {
        let file = self.file_mut(node)?;
        let range = range.start..range.end.min(file.live.bytes().next_multiple_of(SECTOR));
        if range.is_empty() {
            return Ok(());
        }
        file.reserved_bytes = file.reserved_bytes.min(range.start);
        let whole = range.start.div_ceil(SECTOR)..range.end / SECTOR;
        let (first, last) = (range.start / SECTOR, (range.end - 1) / SECTOR);
        for edge in [Some(first), (last != first).then_some(last)].into_iter().flatten() {
            if !whole.contains(&edge) {
                file.zero_part(edge, &range);
            }
        }
        if !whole.is_empty() {
            file.change(Change::Punch(whole));
        }
        Ok(())
    }

    /// The number of the last change that a sync begun now makes durable.
    pub(crate) fn sync_point(&self, node: NodeId) -> io::Result<u64> {
        Ok(self.file(node)?.pending.back().map_or(0, |(number, _)| *number))
    }

    /// Makes all changes up to a point durable.
    pub(crate) fn sync(&mut self, node: NodeId, point: u64) -> io::Result<()> {
        let file = self.file_mut(node)?;
        while let Some((_, change)) = file.pending.pop_front_if(|(number, _)| *number <= point) {
            file.durable.apply(&change);
        }
        Ok(())
    }

    /// A sync that failed: any part of the changes is durable, the rest never will be, though it is live.
    pub(crate) fn sync_failed(&mut self, node: NodeId, point: u64, chance: &mut fastrand::Rng) {
        let Ok(file) = self.file_mut(node) else { return };
        while let Some((_, change)) = file.pending.pop_front_if(|(number, _)| *number <= point) {
            file.durable.apply_torn(&change, chance);
        }
    }

    /// Flips one bit for good: of the live and of the durable bytes.
    pub(crate) fn flip_bit(&mut self, node: NodeId, offset: u64, bit: u8) {
        let Ok(file) = self.file_mut(node) else { return };
        file.live.flip_bit(offset, bit);
        file.durable.flip_bit(offset, bit);
        // What was written and is not durable yet is on the same spot.
        if let Some(flipped) = file.live.sector(offset / SECTOR).cloned() {
            file.change(Change::Replace(offset / SECTOR, flipped));
        }
    }

    /// Flips a bit of the file with this path; whether it has that byte.
    pub(crate) fn flip_bit_at(&mut self, path: &Path, offset: u64, bit: u8) -> bool {
        match self.find(path) {
            Ok(Some(node)) if self.bytes(node).is_ok_and(|bytes| offset < bytes) => {
                self.flip_bit(node, offset, bit);
                true
            }
            _ => false,
        }
    }

    /// A file other than this one that has bytes, by chance; or this one.
    pub(crate) fn any_file(&self, node: NodeId, chance: &mut fastrand::Rng) -> NodeId {
        let has_bytes = |(id, node): (&NodeId, &Node)| match node {
            Node::File(file) if file.live.bytes() > 0 => Some(*id),
            _ => None,
        };
        let files: Vec<NodeId> = self.nodes.iter().filter_map(has_bytes).collect();
        chance.choice(files).unwrap_or(node)
    }

    pub(crate) fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        let node = self.find(path)?.ok_or(Errno::NOENT)?;
        if self.is_folder(node) {
            return Err(Errno::ISDIR.into());
        }
        let name = self.parent(path)?;
        self.names.change(NameChange { node, removed: Some(name), added: None });
        Ok(())
    }

    pub(crate) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let node = self.find(from)?.ok_or(Errno::NOENT)?;
        let (removed, added) = (self.parent(from)?, self.parent(to)?);
        let replaced = self.find(to)?;
        if replaced == Some(node) {
            return Ok(());
        }
        match (self.is_folder(node), replaced) {
            (true, _) if plain(to).starts_with(plain(from)) => return Err(Errno::INVAL.into()),
            (true, Some(other)) if !self.is_folder(other) => return Err(Errno::NOTDIR.into()),
            (true, Some(other)) if self.names.children(other).next().is_some() => {
                return Err(Errno::NOTEMPTY.into());
            }
            (false, Some(other)) if self.is_folder(other) => return Err(Errno::ISDIR.into()),
            _ => {}
        }
        self.names.change(NameChange { node, removed: Some(removed), added: Some(added) });
        Ok(())
    }

    pub(crate) fn create_folders(&mut self, path: &Path) -> io::Result<()> {
        let mut folder = ROOT;
        for name in names_of(path)? {
            folder = match self.names.get(folder, &name) {
                Some(node) if self.is_folder(node) => node,
                Some(_) => return Err(Errno::NOTDIR.into()),
                None => {
                    let node = self.add_node(Node::Folder);
                    self.names.change(NameChange { node, removed: None, added: Some((folder, name)) });
                    node
                }
            };
        }
        Ok(())
    }

    pub(crate) fn remove_folders(&mut self, path: &Path) -> io::Result<()> {
        let node = self.find(path)?.ok_or(Errno::NOENT)?;
        if !self.is_folder(node) {
            return Err(Errno::NOTDIR.into());
        }
        let name = self.parent(path)?;
        // The deepest last.
        let mut removals = vec![(name, node)];
        let mut next = 0;
        while let Some((_, node)) = removals.get(next).cloned() {
            let children: Vec<_> =
                self.names.children(node).map(|(name, node)| (name.clone(), node)).collect();
            removals.extend(children);
            next += 1;
        }
        for (name, node) in removals.into_iter().rev() {
            self.names.change(NameChange { node, removed: Some(name), added: None });
        }
        Ok(())
    }

    pub(crate) fn sync_folder(&mut self, path: &Path) -> io::Result<()> {
        let node = self.find(path)?.ok_or(Errno::NOENT)?;
        if self.is_folder(node) {
            self.names.sync(node);
            self.sweep();
        } else {
            // As fsync of a file: it syncs that file.
            let point = self.sync_point(node)?;
            self.sync(node, point)?;
        }
        Ok(())
    }

    /// The folder with this path.
    pub(crate) fn folder(&self, path: &Path) -> io::Result<NodeId> {
        match self.find(path)? {
            Some(node) if self.is_folder(node) => Ok(node),
            Some(_) => Err(Errno::NOTDIR.into()),
            None => Err(Errno::NOENT.into()),
        }
    }

    /// What the disk holds now, as after a clean shutdown.
    pub(crate) fn image(&self) -> DiskImage {
        self.image_of(self.names.live(), |file| file.live.clone())
    }

    /// What a power loss leaves, by the rule of the module above.
    pub(crate) fn image_after_crash(&self, chance: &mut fastrand::Rng) -> DiskImage {
        let entries = self.names.after_crash(chance);
        self.image_of(&entries, |file| file.after_crash(chance))
    }

    fn image_of(&self, entries: &Entries, mut content: impl FnMut(&FileNode) -> Content) -> DiskImage {
        let mut image = DiskImage::default();
        let mut folders = VecDeque::from([(ROOT, PathBuf::from("/"))]);
        while let Some((folder, path)) = folders.pop_front() {
            image.add_folders(std::iter::once(path.as_path()));
            let children = entries.range((folder, OsString::new())..);
            for ((_, name), node) in children.take_while(|((of, _), _)| *of == folder) {
                let path = path.join(name);
                match self.nodes.get(node) {
                    Some(Node::Folder) => folders.push_back((*node, path)),
                    Some(Node::File(file)) => image.add_file(path, content(file)),
                    None => {}
                }
            }
        }
        image
    }

    fn free_bytes(&self) -> u64 {
        let named: BTreeSet<NodeId> = self.names.live().values().copied().collect();
        let used = self.nodes.iter().map(|(id, node)| match node {
            Node::File(file) if file.opens > 0 || named.contains(id) => file.used_bytes(),
            _ => 0,
        });
        self.bytes_max.saturating_sub(used.fold(0, u64::saturating_add))
    }

    /// Drops a file that is closed and that no name can ever reach again.
    fn forget(&mut self, node: NodeId) {
        if self.file(node).is_ok_and(|file| file.opens == 0) && !self.names.may_reach(node) {
            self.nodes.remove(&node);
        }
    }

    /// Drops all that no name can ever reach again and nobody has open.
    fn sweep(&mut self) {
        let mut reachable = self.names.nodes();
        reachable.insert(ROOT);
        let is_open = |node: &Node| matches!(node, Node::File(file) if file.opens > 0);
        self.nodes.retain(|id, node| reachable.contains(id) || is_open(node));
    }

    fn add_node(&mut self, node: Node) -> NodeId {
        let id = self.node_next;
        self.node_next += 1;
        self.nodes.insert(id, node);
        id
    }

    fn is_folder(&self, node: NodeId) -> bool {
        matches!(self.nodes.get(&node), Some(Node::Folder))
    }

    fn file(&self, node: NodeId) -> io::Result<&FileNode> {
        match self.nodes.get(&node) {
            Some(Node::File(file)) => Ok(file),
            _ => Err(Errno::BADF.into()),
        }
    }

    fn file_mut(&mut self, node: NodeId) -> io::Result<&mut FileNode> {
        match self.nodes.get_mut(&node) {
            Some(Node::File(file)) => Ok(file),
            _ => Err(Errno::BADF.into()),
        }
    }

    /// What has this path; an error when something on the way is missing or no folder.
    fn find(&self, path: &Path) -> io::Result<Option<NodeId>> {
        let mut names = names_of(path)?;
        let Some(last) = names.pop() else { return Ok(Some(ROOT)) };
        Ok(self.names.get(self.folder_of(names)?, &last))
    }

    /// The folder of a path, and the name in it.
    fn parent(&self, path: &Path) -> io::Result<(NodeId, OsString)> {
        let mut names = names_of(path)?;
        // Nothing is done to the root itself.
        let last = names.pop().ok_or(Errno::BUSY)?;
        Ok((self.folder_of(names)?, last))
    }

    fn folder_of(&self, names: Vec<OsString>) -> io::Result<NodeId> {
        let mut folder = ROOT;
        for name in names {
            folder = self.names.get(folder, &name).ok_or(Errno::NOENT)?;
            if !self.is_folder(folder) {
                return Err(Errno::NOTDIR.into());
            }
        }
        Ok(folder)
    }
}

fn add_entry(entries: &mut Entries, folders: &BTreeMap<PathBuf, NodeId>, path: &Path, node: NodeId) {
    if let (Some(folder), Some(name)) = (path.parent(), path.file_name())
        && let Some(folder) = folders.get(folder)
    {
        entries.insert((*folder, name.to_owned()), node);
    }
}

/// The names on the way from the root.
fn names_of(path: &Path) -> io::Result<Vec<OsString>> {
    if path.as_os_str().is_empty() {
        return Err(Errno::NOENT.into());
    }
    let path = plain(path);
    let names = path.iter().skip(1).map(|name| {
        if name.as_bytes().contains(&0) {
            Err(Errno::INVAL.into())
        } else if name.len() > NAME_BYTES_MAX {
            Err(Errno::NAMETOOLONG.into())
        } else {
            Ok(name.to_owned())
        }
    });
    names.collect()
}
