//! What a run is to do, with everything filled in that flags leave open.

use aquifer_io::cores_available;

use super::kept::Kept;
use crate::cli::{From, RunArgs};
use crate::failure::Failure;
use crate::load::distribution::Distribution;
use crate::load::length::Length;
use crate::load::workload::Workload;
use crate::result::Settings;

const KEYS: u64 = 1_000_000;
const KEY_BYTES: u16 = 16;
const VALUE_BYTES: Length = Length::Fixed(100);
const SEED: u64 = 1;

/// See the module.
#[derive(Debug)]
pub(crate) struct Spec {
    pub(crate) args: RunArgs,
    pub(crate) workloads: Vec<Workload>,
    pub(crate) keys: u64,
    pub(crate) key_bytes: u16,
    pub(crate) value_bytes: Length,
    pub(crate) seed: u64,
    /// With zeroes filled in.
    pub(crate) shards: usize,
}

impl Spec {
    /// From flags, and from what is kept in the folder of `--reuse`.
    pub(crate) fn new(mut args: RunArgs) -> Result<Self, Failure> {
        if args.suite.is_some() {
            args.from = From::Shard;
        }
        let kept = args.reuse.as_deref().map(Kept::read).transpose()?;
        if let (Some(kept), Some(folder)) = (&kept, &args.reuse) {
            kept.check(folder, &args)?;
        }
        let workloads = workloads(&args)?;
        let fills = workloads.iter().find(|workload| workload.fills);
        if let Some(fill) = fills.filter(|_| args.keep.is_some() || args.reuse.is_some()) {
            return Err(Failure::Usage(format!(
                "{} fills a new store in every round: leave --keep and --reuse out",
                fill.name
            )));
        }
        let kept_value_bytes = kept.as_ref().map(|kept| kept.value_bytes.parse());
        let kept_value_bytes = kept_value_bytes.transpose().map_err(Failure::Usage)?;
        let of = |read: fn(&Kept) -> u64| kept.as_ref().map(read);
        Ok(Self {
            keys: args.keys.or(of(|kept| kept.keys)).unwrap_or(KEYS),
            key_bytes: args.key_bytes.or(kept.as_ref().map(|kept| kept.key_bytes)).unwrap_or(KEY_BYTES),
            value_bytes: args.value_bytes.or(kept_value_bytes).unwrap_or(VALUE_BYTES),
            seed: args.seed.or(of(|kept| kept.seed)).unwrap_or(SEED),
            shards: if args.shards > 0 { args.shards } else { cores_available().len().max(1) },
            workloads,
            args,
        })
    }

    /// What is loaded, as it is kept.
    pub(crate) fn kept(&self) -> Kept {
        let sizes = (self.keys, self.key_bytes, self.value_bytes.to_string());
        Kept::new(sizes, self.seed, self.args.compression)
    }

    /// Bytes of all keys and values.
    pub(crate) fn data_bytes(&self) -> u64 {
        self.keys.saturating_mul(u64::from(self.key_bytes).saturating_add(self.value_bytes.mean_bytes()))
    }

    /// So many percent of the data.
    pub(crate) fn percent_of_data(&self, percent: f64) -> u64 {
        crate::load::rng::whole_part(self.data_bytes() as f64 * percent / 100.0)
    }

    /// Memory budget of the engine where no phase says another.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.args.memory_percent.map_or(self.args.memory_bytes, |percent| self.percent_of_data(percent))
    }

    /// Disk budget of the engine where no phase says another.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.args.disk_percent.map_or(self.args.disk_bytes, |percent| self.percent_of_data(percent))
    }

    /// Threads that run lanes, with so many shards.
    pub(crate) fn threads(&self, shards: usize) -> u64 {
        match self.args.from {
            From::Client => self.args.threads.map_or(shards as u64, u64::from),
            From::Shard => shards as u64,
        }
    }

    /// The most of them in any phase.
    pub(crate) fn threads_max(&self) -> u64 {
        self.threads(self.shards)
    }

    /// Room on the disk that the run takes, roughly and not too little: the objects before and after a merge, and the SSD tier.
    pub(crate) fn room_bytes(&self) -> u64 {
        let data = self.data_bytes();
        data.saturating_mul(2).saturating_add(self.disk_bytes().min(data.saturating_mul(2)))
    }

    /// The settings, for the header of the result.
    pub(crate) fn settings(&self) -> Settings {
        let args = &self.args;
        let prices = args.all_prices();
        let entries: [(&str, serde_json::Value); 20] = [
            ("keys", self.keys.into()),
            ("key_bytes", self.key_bytes.into()),
            ("value_bytes", self.value_bytes.to_string().into()),
            ("shards", self.shards.into()),
            ("memory_bytes", self.memory_bytes().into()),
            ("disk_bytes", self.disk_bytes().into()),
            ("io", args.io.to_string().into()),
            ("compression", args.compression.to_string().into()),
            ("from", args.from.name().into()),
            ("threads", self.threads_max().into()),
            ("in_flight", args.in_flight.into()),
            ("batch", args.batch.into()),
            ("seconds", args.seconds.as_secs_f64().into()),
            ("warmup_seconds", args.warmup.as_secs_f64().into()),
            ("rounds", args.rounds.into()),
            ("profile", args.profile.iter().map(ToString::to_string).collect::<Vec<_>>().join(",").into()),
            ("price_get_usd_per_1000", prices.read_usd_per_1000.into()),
            ("price_put_usd_per_1000", prices.write_usd_per_1000.into()),
            ("price_storage_usd_per_gib_month", prices.storage_usd_per_gib_month.into()),
            ("price_machine_usd_per_hour", args.price_machine.into()),
        ];
        entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

fn workloads(args: &RunArgs) -> Result<Vec<Workload>, Failure> {
    let mut chosen = match &args.ops {
        Some(mix) => vec![Workload::custom(mix.clone(), Distribution::Uniform)],
        None if args.workloads.is_empty() => vec![Workload::named("readrandom").map_err(Failure::Usage)?],
        None => {
            let named = args.workloads.iter().map(|name| Workload::named(name).map_err(Failure::Usage));
            named.collect::<Result<_, _>>()?
        }
    };
    for workload in &mut chosen {
        workload.scan_entries = usize::try_from(args.scan_entries).unwrap_or(usize::MAX);
    }
    if let Some(distribution) = args.distribution {
        // How a store is filled is in the workload's name.
        let others = chosen.iter_mut().filter(|workload| !workload.fills);
        others.for_each(|workload| workload.distribution = distribution);
    }
    Ok(chosen)
}
