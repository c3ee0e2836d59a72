//! One run, step by step.

use std::time::Duration;

use super::driver::{Leg, LegEnd, drive};
use super::feed::Feed;
use super::measures::Measures;
use super::opened::{Opened, Pages};
use super::position::Position;
use super::store::Store;
use super::summary::{Summary, report};
use crate::byte_size::human_bytes;
use crate::cli::EventsArgs;
use crate::failure::Failure;
use crate::input::{InputError, Source};
use crate::numbers::count;
use crate::output::{Output, show};
use crate::progress::Progress;
use crate::report::document::{CrashReport, OpenReport};
use crate::report::table::table;
use crate::resources::folder_bytes;
use crate::state_out::write_state;
use crate::verify::{Comparison, Verified, verify};

/// Memory of the verification's table.
const VERIFY_BYTES: usize = 10 << 20;
/// Entries of a page while verifying.
const VERIFY_PAGE_ENTRIES: usize = 512;
/// Entries of all pages together while the final state is written.
const STATE_OUT_ENTRIES: usize = 8192;
/// The last line.
const MORE: &str = "More: --json FILE for every number, --help for other inputs, stores and budgets.";
/// Checkpoints that get a line of their own.
const CHECKPOINT_LINES_MAX: u64 = 16;

/// A run of the `events` command on one workload.
pub(super) struct Run<W: Verified> {
    args: EventsArgs,
    source: Source,
    workload: W,
    columns: String,
    progress: Progress,
    measures: Measures,
    opens: Vec<OpenReport>,
}

/// What a look at the whole input tells before anything is written.
struct Survey {
    events: u64,
    first_key: Vec<u8>,
}

impl<W: Verified> Run<W> {
    /// Ready to run.
    pub(super) fn new(args: EventsArgs, source: Source, workload: W, columns: String) -> Self {
        let (progress, measures) = (Progress::new(), Measures::new());
        Self { args, source, workload, columns, progress, measures, opens: Vec::new() }
    }

    /// All steps.
    pub(super) async fn run(mut self) -> Result<(), Failure> {
        let began = aquifer_io::now();
        let state_out = self.args.state_out.as_deref().map(Output::new).transpose()?;
        let json = self.args.json.as_deref().map(Output::new).transpose()?;
        let survey = self.survey()?;
        let store = Store::open(&self.args).await?;
        self.progress.step("DFS", &store.described);
        store.refuse_existing(self.args.resume).await?;

        let (opened, crash) = self.apply(&store, &survey).await?;
        let key_groups = opened.engine.key_groups();
        let verifying = aquifer_io::now();
        let comparison = self.verify(&opened, key_groups, &survey).await?;
        let verifying = verifying.elapsed();
        let state_out_keys = match &state_out {
            Some(output) => Some(self.write_state(&opened, key_groups, output).await?),
            None => None,
        };
        let summary = Summary {
            args: &self.args,
            input: (self.source.to_string(), W::NAME, survey.events),
            store: &store,
            measures: &self.measures,
            opens: self.opens.clone(),
            crash,
            comparison: &comparison,
            verifying,
            state_out_keys,
            total: began.elapsed(),
        };
        let report = report(&summary, &opened).await?;
        opened.engine.close().await.map_err(Failure::engine("cannot close the engine"))?;
        if let Some(output) = &json {
            output.write_json(&report)?;
        }
        let outputs = [state_out.as_ref(), json.as_ref()];
        show(&format!("{}\n{MORE}", table(&report)), outputs.into_iter().flatten().any(Output::is_stdout))?;
        match comparison.mismatches() {
            0 => Ok(()),
            mismatches => Err(Failure::Mismatch(mismatches)),
        }
    }

    /// Reads the whole input once: nothing is written to a store because of an input that cannot be read to its end.
    fn survey(&self) -> Result<Survey, Failure> {
        let mut feed = Feed::open(&self.workload, &self.columns, &self.source)?;
        if feed.next()?.is_none() {
            return Err(InputError::whole(&self.source.to_string(), "no event follows the header").into());
        }
        let first_key = feed.key().to_vec();
        let mut progress = self.progress.clone();
        progress.start_counting("input");
        while feed.next()?.is_some() {
            if feed.position().events.is_multiple_of(1 << 14) {
                progress.set(feed.position().events);
            }
        }
        progress.finish();
        let events = feed.position().events;
        self.progress.step("input", &format!("{}: {} events, {}", self.source, count(events), self.columns));
        Ok(Survey { events, first_key })
    }

    /// Both legs and the crash between them. Gives the engine with all events applied.
    async fn apply(
        &mut self,
        store: &Store,
        survey: &Survey,
    ) -> Result<(Opened, Option<CrashReport>), Failure> {
        let (opened, position) = self.open(store, survey, self.args.shards.unwrap_or(0), "first").await?;
        let start = position.map_or(0, |position| position.events);
        let crash_at = self.crash_event(start, survey.events);
        if crash_at.is_none() && !self.args.no_crash {
            self.progress.step("crash", "left out: the store is past the middle of the input");
        }
        let shards = opened.shards;
        let mut engine = Some(opened);
        let end = self.leg(&mut engine, store, position, crash_at, survey).await?;
        let LegEnd::Crashed { in_flight, issued } = end else {
            let opened = engine.ok_or_else(|| Failure::Other("the engine is gone".into()))?;
            return Ok((opened, None));
        };
        store.delete_local()?;
        let (in_flight_text, issued_text) = (count(in_flight as u64), count(issued));
        let deleted = if store.local_dir.is_some() { "; its local folder is deleted" } else { "" };
        let text =
            format!("engine dropped at event {issued_text} with {in_flight_text} events in flight{deleted}");
        self.progress.step("crash", &text);
        let (opened, position) = self.open(store, survey, other_shards(shards), "after the crash").await?;
        let replayed = issued - position.map_or(0, |position| position.events);
        self.progress
            .step("replay", &format!("{} events after the checkpoint, then on to the end", count(replayed)));
        let mut engine = Some(opened);
        self.leg(&mut engine, store, position, None, survey).await?;
        let opened = engine.ok_or_else(|| Failure::Other("the engine is gone".into()))?;
        Ok((opened, Some(CrashReport { at_event: issued, in_flight, replayed })))
    }

    /// The event after which the engine is taken away: in the middle of the input, and a quarter of the way from one
    /// checkpoint to the next at least, so that events are in flight.
    fn crash_event(&self, start: u64, events: u64) -> Option<u64> {
        let every = self.args.checkpoint_every;
        let middle = events / 2;
        let past_checkpoint = match middle {
            0 => 1,
            early if early < every => early,
            late => (late % every).max(every.div_ceil(4)),
        };
        let event = (middle - middle % every).saturating_add(past_checkpoint).min(events);
        (!self.args.no_crash && event > start).then_some(event)
    }

    async fn open(
        &mut self,
        store: &Store,
        survey: &Survey,
        shards: usize,
        when: &'static str,
    ) -> Result<(Opened, Option<Position>), Failure> {
        let opened = Opened::open(store, &self.args, shards, &survey.first_key).await?;
        let restored = opened.engine.restored();
        let position = match restored {
            None => None,
            Some(checkpoint) => Some(Position::decode(&checkpoint.metadata).map_err(|error| {
                let text = format!("{}: not a store of this command: {error}", store.url);
                Failure::Usage(text)
            })?),
        };
        let report = OpenReport {
            when,
            shards: opened.shards,
            epoch: opened.engine.epoch(),
            checkpoint: restored.map(|checkpoint| checkpoint.id),
            position_events: position.map_or(0, |position| position.events),
            open_ms: opened.open.as_secs_f64() * 1e3,
            first_read_ms: opened.first_read.as_secs_f64() * 1e3,
        };
        let from = match position {
            Some(position) => format!("checkpoint at event {}", count(position.events)),
            None if self.args.resume => "no checkpoint yet".to_owned(),
            None => "empty store".to_owned(),
        };
        let disk = match &store.local_dir {
            Some(_) => {
                format!("local disk {} by {}", human_bytes(self.args.disk_bytes), opened.engine.backend())
            }
            None => "no local disk".to_owned(),
        };
        let text = format!(
            "{from}, {} shards, memory {}, {disk}: first read answered after {:.1} ms",
            opened.shards,
            human_bytes(self.args.memory_bytes),
            report.first_read_ms
        );
        self.progress.step(if when == "first" { "open" } else { "reopen" }, &text);
        if let (Some(note), "first") = (opened.engine.io_note(), when) {
            self.progress.step("", note);
        }
        self.opens.push(report);
        Ok((opened, position))
    }

    /// Applies events from a position to the crash or to the end. The engine is gone after a crash.
    async fn leg(
        &mut self,
        engine: &mut Option<Opened>,
        store: &Store,
        position: Option<Position>,
        crash_at: Option<u64>,
        survey: &Survey,
    ) -> Result<LegEnd, Failure> {
        let Some(client) = engine.as_ref().map(|opened| opened.client.clone()) else {
            return Err(Failure::Other("the engine is gone".into()));
        };
        let mut feed = Feed::open(&self.workload, &self.columns, &self.source)?;
        if let Some(position) = &position {
            feed.skip_to(position)?;
        }
        let mut progress = self.progress.clone();
        progress.start_at("events", feed.position().events, survey.events);
        let every_lines = (survey.events / self.args.checkpoint_every).div_ceil(CHECKPOINT_LINES_MAX).max(1);
        let crash: Option<(u64, Box<dyn FnOnce() + '_>)> = match crash_at {
            Some(event) => Some((event, Box::new(|| drop(engine.take())))),
            None => None,
        };
        let leg = Leg {
            client: &client,
            source: &self.source,
            feed,
            restored: position.is_some(),
            in_flight_max: self.args.in_flight as usize,
            checkpoint_every: self.args.checkpoint_every,
            crash,
        };
        let shown = progress.clone();
        let mut local_disk_bytes_max = 0;
        let committed = |position: &Position, info: &aquifer::CheckpointInfo| {
            local_disk_bytes_max =
                local_disk_bytes_max.max(store.local_dir.as_deref().map_or(0, folder_bytes));
            let number = position.events.div_ceil(self.args.checkpoint_every);
            if number.is_multiple_of(every_lines) || position.events == survey.events {
                shown.step("checkpoint", &checkpoint_line(position, info));
            }
        };
        let end = drive(leg, &mut self.measures, &progress, committed).await;
        progress.finish();
        let at_end = store.local_dir.as_deref().map_or(0, folder_bytes);
        self.measures.local_disk_bytes_max =
            self.measures.local_disk_bytes_max.max(local_disk_bytes_max).max(at_end);
        end
    }

    async fn verify(
        &mut self,
        opened: &Opened,
        key_groups: u16,
        survey: &Survey,
    ) -> Result<Comparison, Failure> {
        let mut progress = self.progress.clone();
        progress.start("verify", survey.events);
        let pages = Pages { client: &opened.client, entries_max: VERIFY_PAGE_ENTRIES };
        let rows_done = |rows| progress.add(rows);
        let comparison =
            verify(&self.workload, &self.source, &pages, key_groups, VERIFY_BYTES, rows_done).await;
        progress.finish();
        let comparison = comparison?;
        let text = format!(
            "{} keys compared with an independent fold of the input: {} mismatches",
            count(comparison.keys),
            count(comparison.mismatches())
        );
        self.progress.step("verify", &text);
        for sample in &comparison.samples {
            self.progress.step("", sample);
        }
        Ok(comparison)
    }

    async fn write_state(&self, opened: &Opened, key_groups: u16, output: &Output) -> Result<u64, Failure> {
        let entries_max = (STATE_OUT_ENTRIES / usize::from(key_groups.max(1))).clamp(4, 64);
        let pages = Pages { client: &opened.client, entries_max };
        let keys = write_state::<W, _>(&pages, key_groups, output).await?;
        self.progress.step("state", &format!("{} keys written to {}", count(keys), output.path().display()));
        Ok(keys)
    }
}

/// Another number of shards than before: one more, or one fewer where the store allows no more.
fn other_shards(shards: usize) -> usize {
    const SHARDS_MANY: usize = 64;
    if shards < SHARDS_MANY { shards + 1 } else { shards - 1 }
}

fn checkpoint_line(position: &Position, info: &aquifer::CheckpointInfo) -> String {
    let milliseconds = |duration: Duration| duration.as_secs_f64() * 1e3;
    format!(
        "at event {} in {:.1} ms: {} uploaded",
        count(position.events),
        milliseconds(info.duration),
        human_bytes(info.uploaded_bytes)
    )
}
