//! Which groups are measured, and what each contender does.

use std::cell::Cell;
use std::io::Write;
use std::path::Path;

use aquifer_remote::shape::LatencyProfile;
use aquifer_remote::{ObjectName, RemoteOptions};
use bytes::Bytes;
use object_store::signer::Method;

use super::contender::{By, Contender, Goal, Group, ours, tool};
use super::curl::Curl;
use super::dfs_process::DfsProcess;
use super::report::Measured;
use super::sample::Sample;
use super::target::{PART_BYTES, Target};
use super::wrk::Wrk;
use super::{gets, rounds, wire};
use crate::byte_size::human_bytes;
use crate::cli::RemoteArgs;
use crate::failure::Failure;
use crate::interrupt;
use crate::measure::machine::{Cpu, process_cpu};
use crate::measure::spread::Times;
use crate::progress::Progress;

const REQUESTS: &str = "requests/s";
const MEBIBYTES: &str = "MiB/s";
/// Of wrk's requests a second.
const GETS_GOAL: Goal = Goal { share: 0.7, extra_percent_max: None };
/// Of the 99.9th percentile without hedging.
const HEDGE_GOAL: Goal = Goal { share: 0.5, extra_percent_max: Some(5.0) };
/// Reads in flight while hedging is compared.
const HEDGE_IN_FLIGHT: usize = 64;
/// A 99.9th percentile wants so many times the requests.
const HEDGE_TIME_FACTOR: u32 = 3;
/// Of curl's bytes a second.
const LARGE_GOAL: Goal = Goal { share: 0.8, extra_percent_max: None };

/// An embedded DFS with a profile.
pub(super) struct Shaped {
    pub(super) profile: LatencyProfile,
    pub(super) target: Target,
    /// The same without second requests.
    pub(super) plain: Target,
    pub(super) dfs: DfsProcess,
}

/// Our client on the store that is measured, as it is by default, and with another number of HTTP threads.
pub(super) struct Client {
    pub(super) one: Target,
    pub(super) two: Target,
}

impl Client {
    pub(super) fn open(
        open: impl Fn(&RemoteOptions) -> Result<Target, Failure>,
        options: &RemoteOptions,
    ) -> Result<Self, Failure> {
        let with = |http_threads| open(&RemoteOptions { http_threads, ..options.clone() });
        Ok(Self { one: with(1)?, two: with(2)? })
    }

    /// Each with its name in the report.
    fn both(&self) -> [(&'static str, &Target); 2] {
        [("aquifer", &self.one), ("aquifer, 2 HTTP threads", &self.two)]
    }
}

/// Everything that is measured against, and with.
pub(super) struct Bench<'b> {
    pub(super) args: &'b RemoteArgs,
    pub(super) times: Times,
    pub(super) client: Option<Client>,
    pub(super) unshaped: Option<DfsProcess>,
    pub(super) shaped: Vec<Shaped>,
    /// Of all objects that are written.
    pub(super) folder: String,
    /// The object of ranged GETs.
    pub(super) blocks: ObjectName,
    pub(super) wrk: Option<Wrk>,
    pub(super) curl: Option<Curl>,
    pub(super) scratch: &'b Path,
}

fn gets_name(in_flight: usize) -> String {
    format!("gets: 4 KiB, {in_flight} in flight")
}

fn wire_name(profile: LatencyProfile) -> String {
    format!("wire: profile {profile}, {} at once", wire::connections(profile))
}

const UPLOAD: &str = "upload";
const DOWNLOAD: &str = "download";

fn large_name(what: &str, args: &RemoteArgs) -> String {
    format!("large: {what} {}", human_bytes(args.size_bytes))
}

fn hedge_name(profile: LatencyProfile) -> String {
    format!("hedge: profile {profile}, {HEDGE_IN_FLIGHT} in flight")
}

/// Whether a chosen group wants an embedded DFS with this profile.
pub(super) fn needs(profile: LatencyProfile, args: &RemoteArgs) -> bool {
    let unshaped = profile == LatencyProfile::None
        && (args.connections.iter().any(|number| args.wants(&gets_name(*number)))
            || [UPLOAD, DOWNLOAD].iter().any(|what| args.wants(&large_name(what, args))));
    let hedge = profile == LatencyProfile::S3 && args.wants(&hedge_name(profile));
    unshaped || hedge || args.wants(&wire_name(profile))
}

impl Bench<'_> {
    /// The store, for the report.
    pub(super) fn described(&self) -> String {
        self.args.store.as_ref().and(self.target()).map_or_else(
            || "embedded DFS in a process of its own".to_owned(),
            |target| target.remote.describe(),
        )
    }

    fn target(&self) -> Option<&Target> {
        self.client.as_ref().map(|client| &client.one)
    }

    fn targets(&self) -> impl Iterator<Item = &Target> {
        self.target().into_iter().chain(self.shaped.iter().map(|shaped| &shaped.target))
    }

    /// Writes what is read later.
    pub(super) fn prepare(&self, progress: &Progress) -> Result<(), Failure> {
        progress.step("prepare", "the object of ranged GETs, the large file and object");
        for target in self.targets() {
            aquifer_io::block_on(target.write_blocks(&self.blocks))?;
            interrupt::check()?;
        }
        let wants = |what| self.client.is_some() && self.args.wants(&large_name(what, self.args));
        let bytes = vec![7; usize::try_from(PART_BYTES).unwrap_or(0)];
        if wants(UPLOAD) {
            let file = self.large_file();
            let written = write_large(&file, &bytes, self.args.size_bytes);
            written.map_err(|error| Failure::local("cannot write", &file, error))?;
        }
        if let Some(target) = self.target().filter(|_| wants(DOWNLOAD)) {
            let part = Bytes::from(bytes);
            aquifer_io::block_on(target.upload(&self.large_object()?, self.args.size_bytes, &part))?;
        }
        Ok(())
    }

    /// Takes away what was written.
    pub(super) fn clean(&self) -> Result<(), Failure> {
        for target in self.target().into_iter().filter(|_| self.args.store.is_some()) {
            let folder = format!("{}/", self.folder);
            while let entries @ [_, ..] =
                aquifer_io::block_on(target.remote.list(&folder, None, 100))?.entries.as_slice()
            {
                for entry in entries {
                    aquifer_io::block_on(target.remote.delete(&entry.name))?;
                }
            }
        }
        Ok(())
    }

    /// Measures the chosen groups.
    pub(super) fn run(
        &self,
        progress: &mut Progress,
        notes: &mut Vec<String>,
    ) -> Result<Vec<Measured>, Failure> {
        let mut groups = Vec::new();
        if let Some(client) = &self.client {
            groups.extend(self.gets(client)?);
            groups.extend(self.large(client)?);
        }
        groups.extend(self.hedge());
        groups.extend(self.wire()?);
        groups.retain(|group| self.args.wants(&group.what));
        if groups.is_empty() {
            return Err(Failure::Usage(
                "--only: no such group; there are gets, large, hedge and wire".to_owned(),
            ));
        }
        let shaped = self.shaped.iter().map(|shaped| shaped.dfs.process());
        let beside: Vec<u32> = self.unshaped.iter().map(DfsProcess::process).chain(shaped).collect();
        progress.step("plan", &format!("{} groups, {} rounds", groups.len(), self.args.rounds));
        rounds::run(&mut groups, self.args.rounds, &beside, progress, notes)
    }

    fn gets<'g>(&'g self, client: &'g Client) -> Result<Vec<Group<'g>>, Failure> {
        let target = &client.one;
        let url = target.presigned(Method::GET, &self.blocks)?;
        let group = |&in_flight: &usize| {
            let own = |(name, target)| {
                ours(name, move || gets::measure(target, &self.blocks, in_flight, self.times))
            };
            let mut contenders: Vec<_> = client.both().into_iter().map(own).collect();
            if let (Some(wrk), Some(url)) = (&self.wrk, url.clone()) {
                let time = self.times.measured;
                contenders.push(tool("wrk", move || wrk.measure(&url, in_flight, time, target.server)));
            }
            Group {
                what: gets_name(in_flight),
                unit: REQUESTS,
                by: By::Rate,
                yardstick: "wrk",
                goal: Some(GETS_GOAL),
                contenders,
            }
        };
        Ok(self.args.connections.iter().map(group).collect())
    }

    fn large_file(&self) -> std::path::PathBuf {
        self.scratch.join("large")
    }

    fn large_object(&self) -> Result<ObjectName, Failure> {
        Ok(ObjectName::new(format!("{}/large", self.folder))?)
    }

    fn large<'g>(&'g self, client: &'g Client) -> Result<Vec<Group<'g>>, Failure> {
        let target = &client.one;
        let bytes = self.args.size_bytes;
        let part = Bytes::from(vec![7; usize::try_from(PART_BYTES).unwrap_or(0)]);
        let group = |what: &str, contenders| Group {
            what: large_name(what, self.args),
            unit: MEBIBYTES,
            by: By::Rate,
            yardstick: "curl",
            goal: Some(LARGE_GOAL),
            contenders,
        };
        // Each upload makes an object of its own, which goes at once.
        let counter = Cell::new(0_u32);
        let fresh = move || {
            counter.set(counter.get() + 1);
            Ok::<_, Failure>(ObjectName::new(format!("{}/upload-{}", self.folder, counter.get()))?)
        };
        let fresh = std::rc::Rc::new(fresh);
        let upload = |(name, target): (&'static str, &'g Target)| {
            let (fresh, part) = (std::rc::Rc::clone(&fresh), part.clone());
            ours(name, move || {
                let name = fresh()?;
                let sample = timed(target, bytes, target.upload(&name, bytes, &part));
                aquifer_io::block_on(target.remote.delete(&name))?;
                sample
            })
        };
        let mut uploads: Vec<_> = client.both().into_iter().map(upload).collect();
        let large = self.large_object()?;
        let whole = target.presigned(Method::GET, &large)?;
        let download = |(name, target): (&'static str, &'g Target)| {
            let large = large.clone();
            ours(name, move || timed(target, bytes, target.download(&large, bytes)))
        };
        let mut downloads: Vec<_> = client.both().into_iter().map(download).collect();
        if let (Some(curl), Some(whole)) = (&self.curl, whole) {
            uploads.push(Contender {
                name: "curl",
                run: Box::new(move || {
                    let name = fresh()?;
                    let Some(url) = target.presigned(Method::PUT, &name)? else {
                        return Ok(Err(String::new()));
                    };
                    let mut contender = tool("curl", || curl.upload(&url, &self.large_file(), target.server));
                    let outcome = (contender.run)();
                    drop(contender);
                    aquifer_io::block_on(target.remote.delete(&name))?;
                    outcome
                }),
            });
            downloads.push(tool("curl", move || curl.download(&whole, target.server)));
        }
        Ok(vec![group(UPLOAD, uploads), group(DOWNLOAD, downloads)])
    }

    fn hedge(&self) -> Option<Group<'_>> {
        let shaped = self.shaped.iter().find(|shaped| shaped.profile == LatencyProfile::S3)?;
        let times = Times::new(self.times.measured * HEDGE_TIME_FACTOR);
        let reads = move |target| move || gets::measure(target, &self.blocks, HEDGE_IN_FLIGHT, times);
        Some(Group {
            what: hedge_name(shaped.profile),
            unit: REQUESTS,
            by: By::P99_9,
            yardstick: "plain",
            goal: Some(HEDGE_GOAL),
            contenders: vec![ours("hedged", reads(&shaped.target)), ours("plain", reads(&shaped.plain))],
        })
    }

    fn wire(&self) -> Result<Vec<Group<'_>>, Failure> {
        let unshaped =
            self.unshaped.iter().zip(self.target()).map(|(dfs, target)| (LatencyProfile::None, dfs, target));
        let shaped = self.shaped.iter().map(|shaped| (shaped.profile, &shaped.dfs, &shaped.target));
        let mut groups = Vec::new();
        for (profile, dfs, target) in unshaped.chain(shaped) {
            let Some(url) = target.presigned(Method::GET, &self.blocks)? else { continue };
            let connections = wire::connections(profile);
            groups.push(Group {
                what: wire_name(profile),
                unit: REQUESTS,
                by: By::P99_9,
                yardstick: "drawn",
                goal: None,
                contenders: vec![
                    ours("bare", move || wire::measure(dfs.address(), &url, connections, self.times)),
                    ours("drawn", move || Ok(wire::drawn(profile))),
                ],
            });
        }
        Ok(groups)
    }
}

/// Writes a file of so many bytes, a part at a time.
fn write_large(file: &Path, part: &[u8], bytes: u64) -> std::io::Result<()> {
    let mut out = std::fs::File::create(file)?;
    let mut left = bytes;
    while left > 0 {
        let take = usize::try_from(left).unwrap_or(usize::MAX).min(part.len());
        out.write_all(part.get(..take).unwrap_or(part))?;
        left = left.saturating_sub(take as u64);
    }
    Ok(())
}

/// Runs a transfer of so many bytes.
fn timed(
    target: &Target,
    bytes: u64,
    transfer: impl Future<Output = Result<(), Failure>>,
) -> Result<Sample, Failure> {
    let server = || target.server.map(|server| Cpu::of(server).own);
    let (cpu, server_cpu, began) = (process_cpu(), server(), aquifer_io::now());
    aquifer_io::block_on(transfer)?;
    let seconds = began.elapsed().as_secs_f64();
    interrupt::check()?;
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    let each = |time: std::time::Duration| time.as_secs_f64() * 1e6 / mebibytes;
    Ok(Sample {
        rate: Some(mebibytes / seconds),
        client_cpu_us: Some(each(process_cpu().saturating_sub(cpu))),
        server_cpu_us: server().zip(server_cpu).map(|(after, before)| each(after.saturating_sub(before))),
        ..Sample::default()
    })
}
