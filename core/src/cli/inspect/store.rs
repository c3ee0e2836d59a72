//! `aquifer inspect store`: what lies under the store's prefix.

use crate::cli::failure::Failure;
use crate::cli::output;
use crate::cli::store::{Store, StoreArgs};
use crate::cli::text::{count, human};
use crate::error::{Error, ErrorKind};
use crate::manifest::format::Manifest;
use crate::manifest::store::ManifestStore;
use crate::name::{self, ObjectKind};
use crate::options::Domain;
use aquifer_remote::Remote;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

const LIST_PAGE_ENTRIES: usize = 1000;

/// Flags of `inspect store`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArgs,
    /// Read so many of the newest manifests of each partition; older ones are counted.
    #[arg(long, value_name = "MANIFESTS", default_value_t = 10)]
    newest: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document {
    store: String,
    identity: String,
    key_groups: u16,
    /// Time domain of what expires: "processing", "event", or none if nobody recorded it.
    ttl_time: Option<&'static str>,
    /// Event time of the newest checkpoint.
    event_time_ms: Option<u64>,
    /// Versions of the merge operators that it was opened with, by name.
    merge_operators: BTreeMap<String, u32>,
    partitions: Vec<Partition>,
    packs: Objects,
    /// Folders of merges that are offered to other processes, and their objects.
    compaction_jobs: usize,
    compaction: Objects,
    /// Not of a store's names.
    other: Objects,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Objects {
    objects: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct Partition {
    groups_start: u16,
    groups_end: u16,
    epoch: Option<u64>,
    newest_checkpoint: Option<u64>,
    manifests: Objects,
    /// Newest first.
    newest_manifests: Vec<Row>,
}

/// One manifest.
#[derive(Serialize)]
struct Row {
    manifest: u64,
    bytes: u64,
    /// Set if this one committed a checkpoint.
    is_checkpoint: bool,
    epoch: Option<u64>,
    checkpoint: Option<u64>,
    segments: Option<usize>,
    segment_bytes: Option<u64>,
    entries: Option<u64>,
    metadata_bytes: Option<usize>,
    /// Why it cannot be read.
    error: Option<String>,
}

/// The manifests of a partition.
#[derive(Default)]
struct Manifests {
    all: Objects,
    /// Number and bytes of the newest ones, ascending.
    newest: VecDeque<(u64, u64)>,
}

/// What a walk over all names found.
#[derive(Default)]
struct Census {
    /// By the groups of their partition.
    manifests: BTreeMap<(u16, u16), Manifests>,
    packs: Objects,
    jobs: BTreeSet<String>,
    compaction: Objects,
    other: Objects,
}

impl Objects {
    fn add(&mut self, bytes: u64) {
        self.objects += 1;
        self.bytes += bytes;
    }
}

impl Census {
    async fn of(remote: &Arc<dyn Remote>, newest: usize) -> Result<Self, Failure> {
        let mut census = Self::default();
        let mut last = None;
        loop {
            let page = remote.list("", last.as_ref(), LIST_PAGE_ENTRIES).await?;
            for entry in &page.entries {
                match name::kind_of(&entry.name) {
                    ObjectKind::Store => {}
                    ObjectKind::Manifest(groups, number) => {
                        let found = census.manifests.entry((groups.start, groups.end)).or_default();
                        found.all.add(entry.bytes);
                        found.newest.push_back((number, entry.bytes));
                        if found.newest.len() > newest {
                            found.newest.pop_front();
                        }
                    }
                    ObjectKind::Pack => census.packs.add(entry.bytes),
                    ObjectKind::Compaction(folder) => {
                        census.compaction.add(entry.bytes);
                        census.jobs.insert(folder);
                    }
                    ObjectKind::Other => census.other.add(entry.bytes),
                }
            }
            last = page.entries.into_iter().next_back().map(|entry| entry.name);
            if !page.more || last.is_none() {
                return Ok(census);
            }
        }
    }
}

pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    let store = args.store.open().await?;
    let census = Census::of(&store.remote, args.newest).await?;
    let mut partitions = Vec::new();
    for ((start, end), manifests) in census.manifests {
        partitions.push(partition(&store, start..end, manifests).await?);
    }
    let agreed = store.manifests.newest().await?.map(|newest| newest.agreed).unwrap_or_default();
    let document = Document {
        store: store.remote.describe(),
        identity: format!("{:016x}", store.descriptor.identity),
        key_groups: store.descriptor.key_groups,
        ttl_time: agreed.time.map(Domain::name),
        event_time_ms: agreed.event_time_ms(),
        merge_operators: agreed.operators,
        partitions,
        packs: census.packs,
        compaction_jobs: census.jobs.len(),
        compaction: census.compaction,
        other: census.other,
    };
    if args.json { output::json(&document) } else { print(&document) }
}

async fn partition(
    store: &Store,
    groups: Range<u16>,
    Manifests { all, newest }: Manifests,
) -> Result<Partition, Failure> {
    let of_partition = ManifestStore::new(Arc::clone(&store.remote), groups.clone());
    let mut newest_manifests = Vec::with_capacity(newest.len());
    for (number, bytes) in newest.into_iter().rev() {
        newest_manifests.push(match of_partition.read(number).await {
            Ok(manifest) => Row::of(&manifest, bytes),
            Err(error) if error.kind() == ErrorKind::Corrupt => Row::damaged(number, bytes, &error),
            Err(error) => return Err(error.into()),
        });
    }
    let newest = newest_manifests.first();
    Ok(Partition {
        groups_start: groups.start,
        groups_end: groups.end,
        epoch: newest.and_then(|row| row.epoch),
        newest_checkpoint: newest.and_then(|row| row.checkpoint).filter(|&checkpoint| checkpoint > 0),
        manifests: all,
        newest_manifests,
    })
}

impl Row {
    fn of(manifest: &Manifest, bytes: u64) -> Self {
        let sum = |amount: fn(&crate::segment::SegmentEntry) -> u64| {
            Some(manifest.segments.iter().map(amount).sum())
        };
        Self {
            manifest: manifest.number,
            bytes,
            is_checkpoint: manifest.checkpoint == manifest.number,
            epoch: Some(manifest.epoch),
            checkpoint: Some(manifest.checkpoint),
            segments: Some(manifest.segments.len()),
            segment_bytes: sum(|segment| u64::from(segment.bytes)),
            entries: sum(|segment| segment.counts.entries),
            metadata_bytes: Some(manifest.metadata.len()),
            error: None,
        }
    }

    fn damaged(number: u64, bytes: u64, error: &Error) -> Self {
        Self {
            manifest: number,
            bytes,
            is_checkpoint: false,
            epoch: None,
            checkpoint: None,
            segments: None,
            segment_bytes: None,
            entries: None,
            metadata_bytes: None,
            error: Some(error.to_string()),
        }
    }

    fn cells(&self) -> Vec<String> {
        let number = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), count);
        let what = match (&self.error, self.is_checkpoint) {
            (Some(error), _) => error.clone(),
            (None, true) => "checkpoint".to_owned(),
            (None, false) => format!("state of checkpoint {}", number(self.checkpoint)),
        };
        vec![
            self.manifest.to_string(),
            number(self.epoch),
            number(self.segments.map(|segments| segments as u64)),
            number(self.entries),
            self.segment_bytes.map_or_else(|| "-".to_owned(), human),
            number(self.metadata_bytes.map(|bytes| bytes as u64)),
            what,
        ]
    }
}

fn times_to_live(document: &Document) -> String {
    match (document.ttl_time, document.event_time_ms) {
        (Some(domain), Some(moment)) => format!("{domain} time, {moment} ms at the newest checkpoint"),
        (Some(domain), None) => format!("{domain} time"),
        (None, _) => "not recorded".to_owned(),
    }
}

fn operators(document: &Document) -> String {
    let own = document.merge_operators.iter().map(|(name, version)| format!("{name} {version}"));
    let own: Vec<_> = std::iter::once("the built-in ones".to_owned()).chain(own).collect();
    own.join(", ")
}

fn print(document: &Document) -> Result<(), Failure> {
    let objects = |objects: Objects| format!("{} objects, {}", count(objects.objects), human(objects.bytes));
    output::facts(&[
        ("store", document.store.clone()),
        ("identity", document.identity.clone()),
        ("key groups", document.key_groups.to_string()),
        ("times to live", times_to_live(document)),
        ("merge operators", operators(document)),
        ("partitions", document.partitions.len().to_string()),
        ("packs", objects(document.packs)),
        ("compaction jobs", format!("{}: {}", document.compaction_jobs, objects(document.compaction))),
        ("other", objects(document.other)),
    ])?;
    for partition in &document.partitions {
        let number = |value: Option<u64>| value.map_or_else(|| "none".to_owned(), |value| value.to_string());
        output::line(&format!(
            "partition of groups {} to {}: epoch {}, newest checkpoint {}, manifests: {}",
            partition.groups_start,
            partition.groups_end,
            number(partition.epoch),
            number(partition.newest_checkpoint),
            objects(partition.manifests)
        ))?;
        let head = ["manifest", "epoch", "segments", "entries", "bytes", "metadata", "what"];
        output::table(&head, 6, partition.newest_manifests.iter().map(Row::cells))?;
    }
    Ok(())
}
