//! What the plan's task does in a turn: takes in what has landed, sorts what was filed, lets reads leave.

use crate::ask::Ask;
use crate::cache_state::CacheState;
use crate::cached::Cached;
use crate::error::LoadError;
use crate::key::{ReadClass, Tier};
use crate::landing::Landing;
use crate::plan::{Planned, Queue, Span, Waiting, Want};
use crate::ssd::{Source, SsdEntry};
use aquifer_io::{Buffer, Instant};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::{Context, Poll};

/// Blocks that are decoded before other tasks run again.
const LANDINGS_A_POLL: usize = 64;
/// Wants that are looked at for each read of an object that may leave: neighbours among them are found.
const WANTS_A_REQUEST: usize = 32;
/// Wants that may hold their place in the file while they wait.
const PLACES_MAX: usize = 256;

/// Where a read of an object begins, and a number that tells those that begin at one place apart.
type ReadId = (u64, u64, u64);

/// A read that ended.
enum Ended<V: Cached> {
    Ssd {
        reads: ReadClass,
        span: Span,
        began: Instant,
        wants: Vec<(Want<V>, SsdEntry)>,
        buffer: Option<Buffer>,
    },
    Remote {
        reads: ReadClass,
        id: ReadId,
        began: Instant,
        outcome: Outcome<V>,
    },
}

/// Of a read of an object, or of the code that reads it: the payload of its panic.
type Outcome<V> = Result<Result<Bytes, <V as Cached>::Error>, Box<dyn Any + Send>>;

/// A read of an object in flight.
struct InFlight<V: Cached> {
    end: u64,
    wants: Vec<Want<V>>,
}

/// The task's own.
pub(crate) struct Turn<V: Cached> {
    inner: Rc<CacheState<V>>,
    ssd: [Queue<V>; 4],
    remote: [Queue<V>; 4],
    reading: FuturesUnordered<LocalBoxFuture<'static, Ended<V>>>,
    in_flight: BTreeMap<ReadId, InFlight<V>>,
    /// By the class of the most urgent who wait.
    landings: [VecDeque<Landing<V>>; 4],
    reads_begun: u64,
}

impl<V: Cached> Turn<V> {
    pub(crate) fn new(inner: &Rc<CacheState<V>>) -> Self {
        let queues = |tier| ReadClass::ALL.map(|reads| Queue::new(inner.plan.limit(tier, reads)));
        Self {
            ssd: queues(Tier::Ssd),
            remote: queues(Tier::Remote),
            inner: Rc::clone(inner),
            reading: FuturesUnordered::new(),
            in_flight: BTreeMap::new(),
            landings: std::array::from_fn(|_| VecDeque::new()),
            reads_begun: 0,
        }
    }

    /// One turn. Ready when all is done and no more will come.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.inner.plan.note_waker(cx);
        self.inner.plan.is_woken.set(false);
        let mut landings_left = LANDINGS_A_POLL;
        loop {
            // However much has come for the background, what has come for the foreground is seen.
            while self.landings.first().is_none_or(|landings| landings.len() < landings_left)
                && let Poll::Ready(Some(ended)) = self.reading.poll_next_unpin(cx)
            {
                self.take_in(ended);
            }
            while landings_left > 0
                && let Some(landing) = self.landings.iter_mut().find_map(VecDeque::pop_front)
            {
                landings_left -= 1;
                self.land(landing);
            }
            self.sort_filed();
            let has_issued = self.issue();
            if landings_left == 0 {
                // Others first; then on.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            // What has just been issued begins when it is polled.
            if !has_issued && self.landings_waiting() == 0 {
                break;
            }
        }
        let is_idle = self.reading.is_empty() && self.inner.plan.filed.borrow().is_empty();
        if is_idle && self.inner.plan.is_closed.get() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn landings_waiting(&self) -> usize {
        self.landings.iter().map(VecDeque::len).sum()
    }

    /// A block to be decoded: what somebody waits for before what only may be wanted.
    fn has_come(&mut self, landing: Landing<V>) {
        let reads = landing.want.ticket.flight.reads.get();
        if let Some(landings) = self.landings.get_mut(reads as usize) {
            landings.push_back(landing);
        }
    }

    fn queue(&mut self, tier: Tier, reads: ReadClass) -> &mut Queue<V> {
        let [foreground, read_ahead, warm_up, compaction] = match tier {
            Tier::Remote => &mut self.remote,
            Tier::Memory | Tier::Ssd => &mut self.ssd,
        };
        match reads {
            ReadClass::Foreground => foreground,
            ReadClass::ReadAhead => read_ahead,
            ReadClass::WarmUp => warm_up,
            ReadClass::Compaction => compaction,
        }
    }

    /// Finds out of each want that was filed where it can be read.
    fn sort_filed(&mut self) {
        self.inner.plan.filed_at.set(None);
        let filed = std::mem::take(&mut *self.inner.plan.filed.borrow_mut());
        for want in filed {
            let reads = want.ask.reads;
            match self.inner.ssd.locate(want.ask.class, &want.ask.key, reads) {
                Some(place) => {
                    let queue = self.queue(Tier::Ssd, reads);
                    let place = (queue.waiting() < PLACES_MAX).then_some(place);
                    queue.push(want, place);
                }
                None => self.wants_object(want),
            }
        }
    }

    /// The file does not have it: joins a read of the object in flight, or waits for one.
    fn wants_object(&mut self, mut want: Want<V>) {
        want.weigh_span(self.inner.plan.estimate(Tier::Remote).request_bytes());
        let Range { start, end } = want.reads_of_object();
        let object = want.ask.key.object;
        want.ticket.flight.tier.set(Tier::Remote);
        if !want.is_alone {
            let before = self.in_flight.range_mut(..=(object, start, u64::MAX)).next_back();
            if let Some(((other, ..), read)) = before
                && *other == object
                && end <= read.end
            {
                self.inner.plan.count(Tier::Remote, want.ask.reads, |stats| {
                    stats.joined += 1;
                    stats.blocks += 1;
                    stats.wanted_bytes += u64::from(want.ask.key.bytes);
                });
                want.ticket.flight.has_left.set(true);
                read.wants.push(want);
                return;
            }
        }
        want.ticket.flight.has_left.set(false);
        let reads = want.ask.reads;
        self.queue(Tier::Remote, reads).push(want, None);
    }

    /// Lets reads leave, as many as may. Whether any did.
    fn issue(&mut self) -> bool {
        let mut has_issued = false;
        for reads in ReadClass::ALL {
            has_issued |= self.issue_ssd(reads);
        }
        for reads in ReadClass::ALL {
            has_issued |= self.issue_remote(reads);
        }
        has_issued
    }

    fn issue_ssd(&mut self, reads: ReadClass) -> bool {
        let mut has_issued = false;
        loop {
            let queue = self.queue(Tier::Ssd, reads);
            let count = queue.requests_free();
            if count == 0 || queue.waiting() == 0 {
                return has_issued;
            }
            let mut batch = queue.take(count);
            // Those that gave their places back look for them again; the entry may be gone since.
            for waiting in batch.extract_if(.., |waiting| !self.find_place(waiting)).collect::<Vec<_>>() {
                self.wants_object(waiting.want);
            }
            let planned = Planned::of_file(batch, self.inner.plan.estimate(Tier::Ssd).request_bytes());
            let (mut all_fit, mut some_fit) = (true, false);
            for planned in planned {
                if all_fit && self.begin(Tier::Ssd, reads, &planned) {
                    self.read_ssd(reads, planned);
                    some_fit = true;
                } else {
                    all_fit = false;
                    self.put_back(Tier::Ssd, reads, planned);
                }
            }
            has_issued |= some_fit;
            if !all_fit {
                return has_issued;
            }
        }
    }

    fn find_place(&self, waiting: &mut Waiting<V>) -> bool {
        if waiting.place.is_none() {
            let Ask { class, key, reads, .. } = &waiting.want.ask;
            waiting.place = self.inner.ssd.locate(*class, key, *reads);
        }
        waiting.place.is_some()
    }

    fn issue_remote(&mut self, reads: ReadClass) -> bool {
        let mut has_issued = false;
        loop {
            let queue = self.queue(Tier::Remote, reads);
            let (free, waiting) = (queue.requests_free(), queue.waiting());
            if free == 0 || waiting == 0 {
                return has_issued;
            }
            let count = free * WANTS_A_REQUEST;
            // With more waiting than can leave, a few requests at once find better neighbours than one at a time.
            if waiting > count && queue.requests() > 0 && free < queue.requests() / 8 {
                return has_issued;
            }
            let batch = queue.take(count);
            let (mut all_fit, mut some_fit) = (true, false);
            for planned in Planned::of_objects(batch, self.inner.plan.estimate(Tier::Remote).request_bytes())
            {
                if all_fit && self.begin(Tier::Remote, reads, &planned) {
                    self.read_object(reads, planned);
                    some_fit = true;
                } else {
                    all_fit = false;
                    self.put_back(Tier::Remote, reads, planned);
                }
            }
            has_issued |= some_fit;
            if !all_fit {
                return has_issued;
            }
        }
    }

    fn begin(&mut self, tier: Tier, reads: ReadClass, planned: &Planned<V>) -> bool {
        let bytes = planned.span.end - planned.span.start;
        let begun = self.queue(tier, reads).begin(bytes, planned.order.0);
        if begun {
            let now = aquifer_io::now();
            self.inner.plan.count(tier, reads, |stats| {
                stats.requests += 1;
                stats.in_flight += 1;
                stats.read_bytes += bytes;
                for member in &planned.members {
                    let ns = now.duration_since(member.want.filed).as_nanos();
                    stats.queue_ns += u64::try_from(ns).unwrap_or(u64::MAX);
                    stats.blocks += 1;
                    stats.wanted_bytes += u64::from(member.want.ask.key.bytes);
                }
            });
            planned.members.iter().for_each(|member| member.want.ticket.flight.has_left.set(true));
        }
        begun
    }

    fn put_back(&mut self, tier: Tier, reads: ReadClass, planned: Planned<V>) {
        for member in planned.members {
            self.queue(tier, reads).put_back(member);
        }
    }

    fn read_ssd(&mut self, reads: ReadClass, planned: Planned<V>) {
        let Planned { span, members, .. } = planned;
        let wants = members.into_iter().filter_map(|member| Some((member.want, member.place?))).collect();
        let inner = Rc::clone(&self.inner);
        self.reading.push(Box::pin(async move {
            let began = aquifer_io::now();
            let bytes = usize::try_from(span.end - span.start).unwrap_or(usize::MAX);
            let buffer = inner.ssd.read_extent(span.start, bytes).await;
            Ended::Ssd { reads, span, began, wants, buffer }
        }));
    }

    fn read_object(&mut self, reads: ReadClass, planned: Planned<V>) {
        let Planned { span, members, .. } = planned;
        let wants: Vec<_> = members.into_iter().map(|member| member.want).collect();
        let Some(object) = wants.first().map(|want| Rc::clone(&want.object)) else { return };
        self.reads_begun += 1;
        let id = (span.group, span.start, self.reads_begun);
        self.in_flight.insert(id, InFlight { end: span.end, wants });
        self.reading.push(Box::pin(async move {
            let began = aquifer_io::now();
            // Unwind safe: what the reader owned is dropped with it.
            let read = async { object.read(span.start..span.end).await };
            let outcome = AssertUnwindSafe(read).catch_unwind().await;
            Ended::Remote { reads, id, began, outcome }
        }));
    }

    fn take_in(&mut self, ended: Ended<V>) {
        match ended {
            Ended::Ssd { reads, span, began, wants, buffer } => {
                self.end_read(Tier::Ssd, reads, span.end - span.start, began, buffer.is_some());
                for (want, place) in wants {
                    let from =
                        usize::try_from(place.offset().saturating_sub(span.start)).unwrap_or(usize::MAX);
                    let found = buffer.as_deref().and_then(|bytes| bytes.get(from..)).unwrap_or_default();
                    match self.inner.ssd.complete(place, found, want.ask.reads) {
                        Some(raw) => {
                            self.has_come(Landing { want, raw, along: Bytes::new(), tier: Tier::Ssd });
                        }
                        None => self.wants_object(want),
                    }
                }
            }
            Ended::Remote { reads, id, began, outcome } => {
                let Some(InFlight { end, wants }) = self.in_flight.remove(&id) else { return };
                let is_measured = matches!(outcome, Ok(Ok(_)));
                self.end_read(Tier::Remote, reads, end - id.1, began, is_measured);
                match outcome {
                    Ok(Ok(bytes)) => {
                        for want in wants {
                            self.has_come(Landing::of_extent(want, id.1, &bytes));
                        }
                    }
                    Ok(Err(error)) => self.failed(wants, &error),
                    Err(payload) => {
                        // Its flights end by losing their tickets.
                        drop(wants);
                        report(payload);
                    }
                }
            }
        }
    }

    fn end_read(&mut self, tier: Tier, reads: ReadClass, bytes: u64, began: Instant, is_measured: bool) {
        self.queue(tier, reads).end(bytes);
        let ns = u64::try_from(aquifer_io::now().duration_since(began).as_nanos()).unwrap_or(u64::MAX);
        let plan = &self.inner.plan;
        plan.count(tier, reads, |stats| {
            stats.in_flight -= 1;
            stats.read_ns = stats.read_ns.saturating_add(ns);
        });
        if is_measured {
            let estimate = if tier == Tier::Remote { &plan.remote } else { &plan.ssd };
            let mut line = estimate.get();
            line.add(bytes, ns);
            estimate.set(line);
        }
    }

    fn failed(&mut self, wants: Vec<Want<V>>, error: &V::Error) {
        let is_several = wants.len() > 1;
        for mut want in wants {
            if is_several && want.object.is_of_range(error) {
                want.is_alone = true;
                self.wants_object(want);
            } else {
                self.inner.count(|loads| {
                    loads.fetches += 1;
                    loads.fetch_errors += 1;
                });
                want.ticket.land(Err(LoadError::Source(error.clone())), Tier::Remote, Bytes::new());
            }
        }
    }

    /// Verifies and decodes a block, and hands it to all who wait.
    fn land(&mut self, landing: Landing<V>) {
        let Landing { want, raw, along, tier } = landing;
        // Unwind safe: nothing of the cache is borrowed, and what the decoder has seen is dropped.
        let decoded = match catch_unwind(AssertUnwindSafe(|| (want.decode)(&raw))) {
            Ok(decoded) => decoded,
            Err(payload) => return report(payload),
        };
        let (class, key) = (want.ask.class, want.ask.key);
        if tier == Tier::Remote && want.ask.reads.is_kept() {
            self.inner.count(|loads| {
                loads.fetches += 1;
                loads.fetched_bytes += raw.len() as u64;
                loads.fetch_errors += u64::from(decoded.is_err());
            });
        }
        match decoded {
            Ok(value) => {
                // Whether it is kept is decided for the most urgent of those who wait.
                let reads = want.ticket.flight.reads.get();
                if let Some(source) = Source::of_reads(reads).filter(|_| tier == Tier::Remote) {
                    self.inner.ssd.offer(class, &key, &raw, source);
                }
                match reads {
                    ReadClass::WarmUp => drop(self.inner.keep_ahead(class, key, value.clone())),
                    reads if reads.is_kept() => self.inner.keep(class, key, value.clone()),
                    _ => {}
                }
                want.ticket.land(Ok(value), tier, along);
            }
            Err(_) if tier == Tier::Ssd => {
                self.inner.ssd.remove_bad(&key);
                self.wants_object(want);
            }
            Err(error) => want.ticket.land(Err(LoadError::Source(error)), tier, Bytes::new()),
        }
    }
}

/// Raises a panic of a caller's code where the executor hears of it, and the plan goes on.
fn report(payload: Box<dyn Any + Send>) {
    drop(aquifer_io::spawn_vital(async move { std::panic::resume_unwind(payload) }));
}
