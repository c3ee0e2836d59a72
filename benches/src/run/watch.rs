//! One measurement, watched: lanes run on their threads, this one looks at the clock, the counters and Ctrl-C.
//!
//! ```text
//! start lanes ─ warm-up ─> look ─ every second: a line of progress, where reads were answered from ─> look ─> all lanes ended
//! ```

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use aquifer_io::{Instant, now};

use super::arm::{Arm, Counters, Outcome};
use super::live;
use super::meter::Meter;
use super::stream::Plan;
use super::ticker::Ticker;
use crate::failure::Failure;
use crate::interrupt;
use crate::measure::machine::{Busy, process_cpu};
use crate::result::Hits;

/// Longest sleep between two looks at whether Ctrl-C was pressed.
const LOOK: Duration = Duration::from_millis(50);
/// How long lanes may take to end after Ctrl-C or an error.
const END_TIME_MAX: Duration = Duration::from_secs(3);
/// No operation has ended for so long: the store hangs.
const HANG_TIME_MAX: Duration = Duration::from_secs(30);
/// A second is told so long after its end: by then its threads have said what they did in it.
const TELL_DELAY: Duration = Duration::from_millis(150);

/// What a measurement gave.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) meter: Meter,
    /// From the end of the warm-up to the end.
    pub(crate) seconds: f64,
    pub(crate) began_unix_ms: u64,
    /// Processor time of this process meanwhile.
    pub(crate) cpu: Duration,
    /// What the store moved meanwhile.
    pub(crate) counters: Option<Counters>,
    pub(crate) others_cores: f64,
    pub(crate) series: Vec<live::Second>,
    /// By second.
    pub(crate) hits: Vec<Option<Hits>>,
    /// Whether it was ended before its time.
    pub(crate) cut_short: bool,
}

/// A moment, and all that had been used by then.
struct Look {
    at: Instant,
    cpu: Duration,
    counters: Option<Counters>,
}

impl Look {
    fn at_now(arm: &dyn Arm) -> Self {
        Self { at: now(), cpu: process_cpu(), counters: arm.counters() }
    }
}

/// The state of a watch.
struct Watch<'w> {
    arm: &'w dyn Arm,
    plan: &'w Arc<Plan>,
    ticker: &'w mut Ticker,
    start: Instant,
    begun: Option<(Look, Busy, u64)>,
    ended: Option<(Look, f64)>,
    last: Option<Counters>,
    hits: Vec<Option<Hits>>,
    seconds_told: u64,
    /// When an operation was last known to have ended, and how many had.
    alive: (Instant, u64),
}

/// Measures a plan on an arm. Ctrl-C ends it early, with what there is.
pub(crate) fn measure(
    arm: &dyn Arm,
    plan: &Arc<Plan>,
    seed: u64,
    ticker: &mut Ticker,
) -> Result<Taken, Failure> {
    let (sender, outcomes) = channel::<Outcome>();
    let start = now();
    let mut watch = Watch {
        arm,
        plan,
        ticker,
        start,
        begun: None,
        ended: None,
        last: None,
        hits: Vec::new(),
        seconds_told: 0,
        alive: (start, 0),
    };
    if plan.warm_up.is_zero() {
        watch.begin();
    }
    arm.start(plan, seed, sender)?;
    let mut meter = Meter::default();
    let (mut left, mut failed, mut stopped): (u64, Option<Failure>, Option<Instant>) =
        (arm.threads(), None, None);
    while left > 0 {
        match outcomes.recv_timeout(watch.pause()) {
            Ok(Ok(one)) => {
                meter.add(&one);
                left -= 1;
            }
            Ok(Err(error)) => {
                failed = failed.or(Some(error.into()));
                left -= 1;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                failed = failed.or_else(|| Some(Failure::Other("a measuring thread ended early".into())));
                break;
            }
        }
        let wrong = if stopped.is_none() { watch.look() } else { None };
        failed = failed.or(wrong);
        if stopped.is_none() && (failed.is_some() || interrupt::check().is_err()) {
            plan.live.stop();
            stopped = Some(now());
        }
        if stopped.is_some_and(|at| at.elapsed() > END_TIME_MAX) {
            break;
        }
    }
    match failed {
        Some(failure) => Err(failure),
        None => watch.finish(meter, stopped.is_some()),
    }
}

impl Watch<'_> {
    /// Until the next thing to do.
    fn pause(&self) -> Duration {
        let plan = self.plan;
        let next = match (&self.begun, &self.ended) {
            (None, _) => plan.warm_up,
            (Some(_), None) => {
                let second = plan.warm_up + Duration::from_secs(self.seconds_told + 1) + TELL_DELAY;
                if plan.workload.fills { second } else { second.min(plan.warm_up + plan.measured) }
            }
            (Some(_), Some(_)) => Duration::MAX,
        };
        next.saturating_sub(self.start.elapsed()).clamp(Duration::from_micros(100), LOOK)
    }

    fn begin(&mut self) {
        let look = Look::at_now(self.arm);
        self.last = look.counters;
        self.begun = Some((look, Busy::begin(), aquifer_io::unix_time_ms()));
    }

    /// Does what is due; why nothing can come of it any more, if so.
    fn look(&mut self) -> Option<Failure> {
        let elapsed = self.start.elapsed();
        if self.begun.is_none() && elapsed >= self.plan.warm_up {
            self.begin();
        }
        let measured = elapsed.saturating_sub(self.plan.warm_up);
        let over = measured >= self.plan.measured && !self.plan.workload.fills;
        if self.begun.is_some() && self.ended.is_none() {
            if measured >= Duration::from_secs(self.seconds_told + 1) + TELL_DELAY {
                self.tell_second(measured);
            }
            if over {
                self.end();
            }
        }
        self.hung().or_else(|| self.arm.trouble().map(Failure::Other))
    }

    fn end(&mut self) {
        let others = self.begun.as_ref().map_or(0.0, |(_, busy, _)| busy.others_cores());
        self.ended = Some((Look::at_now(self.arm), others));
    }

    /// A second is over: where its reads were answered from, and the line of progress for it.
    fn tell_second(&mut self, measured: Duration) {
        let counters = self.arm.counters();
        let hits = match (counters, self.last) {
            (Some(now), Some(last)) => now.since(&last).hits(0.0),
            _ => None,
        };
        self.last = counters;
        let second = measured.as_secs().saturating_sub(1).max(self.seconds_told);
        self.hits.resize(usize::try_from(second).unwrap_or(0), None);
        self.hits.push(hits);
        self.seconds_told = second + 1;
        let filled = self.plan.workload.fills.then(|| self.plan.filled_share());
        let share = filled.unwrap_or_else(|| measured.as_secs_f64() / self.plan.measured.as_secs_f64());
        // Threads tell a second when the first operation of the next one ends: mostly at once.
        self.ticker.second(self.seconds_told, self.plan.live.second(second).as_ref(), hits, measured, share);
    }

    fn hung(&mut self) -> Option<Failure> {
        let ended = self.plan.live.operations();
        if ended != self.alive.1 {
            self.alive = (now(), ended);
        }
        let patience = HANG_TIME_MAX.max(self.plan.interval.unwrap_or_default() * 10);
        (self.alive.0.elapsed() > patience).then(|| {
            Failure::Other(format!(
                "no operation has ended for {} s: the store hangs; does its DFS take writes?",
                patience.as_secs()
            ))
        })
    }

    fn finish(mut self, meter: Meter, stopped: bool) -> Result<Taken, Failure> {
        if self.begun.is_none() {
            // Ended in the warm-up: nothing was measured.
            interrupt::check()?;
            self.begin();
        }
        if self.ended.is_none() {
            self.end();
        }
        let measured = self.start.elapsed().saturating_sub(self.plan.warm_up);
        if self.seconds_told < measured.min(self.plan.measured).as_secs() && !stopped {
            self.tell_second(measured.min(self.plan.measured));
        }
        self.ticker.clear();
        let (Some((begun, _, began_unix_ms)), Some((ended, others_cores))) = (self.begun, self.ended) else {
            return Err(Failure::Interrupted);
        };
        let elapsed = ended.at.duration_since(begun.at);
        let whole = !stopped && !self.plan.workload.fills;
        let length = if whole { self.plan.measured } else { elapsed };
        let counters = match (begun.counters, ended.counters) {
            (Some(begun), Some(ended)) => Some(ended.since(&begun)),
            _ => None,
        };
        Ok(Taken {
            meter,
            seconds: length.max(Duration::from_micros(1)).as_secs_f64(),
            began_unix_ms,
            cpu: ended.cpu.saturating_sub(begun.cpu),
            counters,
            others_cores,
            series: self.plan.live.seconds(),
            hits: self.hits,
            cut_short: stopped,
        })
    }
}

impl From<super::target::TargetError> for Failure {
    fn from(error: super::target::TargetError) -> Self {
        match error {
            super::target::TargetError::Engine(source) => Self::engine("an operation failed")(source),
            other => Self::Other(format!("an operation failed: {other}")),
        }
    }
}
