//! The names of the simulated disk: which folder knows which file or folder by which name, live and durable.
//!
//! ```text
//! live    = durable + every pending change, in order
//! crash   = durable + any of the pending changes, in order
//! sync(F) : the changes that touch folder F become durable, and before them every earlier one that they build on
//! ```
//!
//! Invariant: a node has at most one name (there are no hard links). A rename is one change: a crash leaves
//! the old name or the new one, never neither.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

/// A file or a folder, by number; numbers are never used again.
pub(super) type NodeId = u64;

/// The folder that everything is in.
pub(super) const ROOT: NodeId = 0;

/// A name in a folder.
pub(super) type Name = (NodeId, OsString);

/// Which node each name means.
pub(super) type Entries = BTreeMap<Name, NodeId>;

/// One creation (only `added`), removal (only `removed`) or rename (both) of a node.
#[derive(Clone, Debug)]
pub(super) struct NameChange {
    pub(super) node: NodeId,
    pub(super) removed: Option<Name>,
    pub(super) added: Option<Name>,
}

impl NameChange {
    fn names(&self) -> impl Iterator<Item = &Name> {
        self.removed.iter().chain(&self.added)
    }

    fn apply(&self, entries: &mut Entries) {
        if let Some(name) = &self.removed
            && entries.get(name) == Some(&self.node)
        {
            entries.remove(name);
        }
        if let Some(name) = &self.added {
            if self.removed.is_some() {
                // After a crash that lost an earlier rename, the node may still have an older name.
                entries.retain(|_, node| *node != self.node);
            }
            entries.insert(name.clone(), self.node);
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    live: Entries,
    durable: Entries,
    pending: Vec<NameChange>,
}

impl Names {
    /// Names that are all durable.
    pub(super) fn durable(entries: Entries) -> Self {
        Self { live: entries.clone(), durable: entries, pending: Vec::new() }
    }

    pub(super) fn live(&self) -> &Entries {
        &self.live
    }

    pub(super) fn get(&self, folder: NodeId, name: &OsString) -> Option<NodeId> {
        self.live.get(&(folder, name.clone())).copied()
    }

    /// What a folder holds now, by name.
    pub(super) fn children(&self, folder: NodeId) -> impl Iterator<Item = (&Name, NodeId)> {
        let from = (folder, OsString::new());
        self.live
            .range(from..)
            .take_while(move |((of, _), _)| *of == folder)
            .map(|(name, node)| (name, *node))
    }

    pub(super) fn change(&mut self, change: NameChange) {
        change.apply(&mut self.live);
        self.pending.push(change);
    }

    /// Makes the changes of a folder durable.
    pub(super) fn sync(&mut self, folder: NodeId) {
        let mut built_on: BTreeSet<Name> = BTreeSet::new();
        let mut kept = Vec::new();
        let mut durable = Vec::new();
        // Backwards, so that one pass finds what each builds on.
        for change in self.pending.drain(..).rev() {
            if change.names().any(|name| name.0 == folder || built_on.contains(name)) {
                built_on.extend(change.names().cloned());
                durable.push(change);
            } else {
                kept.push(change);
            }
        }
        for change in durable.iter().rev() {
            change.apply(&mut self.durable);
        }
        kept.reverse();
        self.pending = kept;
    }

    /// What a crash leaves: durable names, and each later change by chance.
    pub(super) fn after_crash(&self, chance: &mut fastrand::Rng) -> Entries {
        let mut entries = self.durable.clone();
        for change in &self.pending {
            if chance.bool() {
                change.apply(&mut entries);
            }
        }
        entries
    }

    /// The nodes that have a name now, or may have one after a crash.
    pub(super) fn nodes(&self) -> BTreeSet<NodeId> {
        let named = self.durable.values().chain(self.live.values()).copied();
        named.chain(self.pending.iter().map(|change| change.node)).collect()
    }

    /// Whether the node is one of these.
    pub(super) fn may_reach(&self, node: NodeId) -> bool {
        self.pending.iter().any(|change| change.node == node)
            || self.durable.values().chain(self.live.values()).any(|named| *named == node)
    }
}
