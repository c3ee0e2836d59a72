//! Operations on keys taking effect: at once when they can, else in their turn (see [`super::order`]).

use super::growing::Length;
use super::lookup::Now;
use super::multi_get;
use super::pressure::{self, Debt, Term};
use super::scan::{GroupsRequest, ScanPage, ScanRequest};
use super::{Freeze, ShardCore, add};
use crate::answer::{Answer, CompareOutcome};
use crate::compact;
use crate::entry::{Entry, Op};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{
    COMPACTION_DEBT_UNITS, MERGE_LOOK_WAIT, READS_IN_FLIGHT_MAX, RUNS_DEBT, VALUE_BYTES_MAX,
};
use crate::memtable::{Memtables, MergeWrite};
use crate::merge_operator::MergeOperator;
use crate::reply::ReplyTo;
use crate::request::{Keyed, MultiGetAsk};
use crate::resolve::{Base, of_key, would_be_too_large};
use crate::segment::filter;
use crate::write::Write;
use bytes::Bytes;
use std::collections::HashMap;
use std::rc::Rc;

/// Reads that are counted as under way until this is dropped, however they end.
struct ReadsInFlight {
    core: Rc<ShardCore>,
    reads: usize,
}

impl ReadsInFlight {
    fn new(core: &Rc<ShardCore>, reads: usize) -> Self {
        core.reads_in_flight.set(core.reads_in_flight.get() + reads);
        Self { core: Rc::clone(core), reads }
    }
}

impl Drop for ReadsInFlight {
    fn drop(&mut self) {
        self.core.reads_in_flight.set(self.core.reads_in_flight.get() - self.reads);
        self.core.progress.notify();
    }
}

impl ShardCore {
    /// Lets an operation take effect if it need not wait; gives it back if it must.
    pub(crate) async fn effect_now(self: &Rc<Self>, key: &[u8], keyed: Keyed) -> Option<Keyed> {
        match keyed {
            Keyed::Get { snapshot, reply } => self.effect_get(key, snapshot, reply).await,
            Keyed::Write { write, reply } if self.goes_on() && !self.must_look(key, &write) => {
                reply.send(self.apply(key, &write));
            }
            Keyed::Compare { expected, write, reply } if self.goes_on() => match self.get_now(key, None) {
                Ok(Now::Known(found)) => {
                    self.answer_compared(reply, self.apply_if(key, expected.as_deref(), found.value, &write));
                }
                Err(error) => reply.send(Err(error)),
                Ok(Now::Waits(_)) => return Some(Keyed::Compare { expected, write, reply }),
            },
            keyed => return Some(keyed),
        }
        None
    }

    /// Lets an operation take effect after whatever it must wait for.
    pub(crate) async fn effect_waiting(self: &Rc<Self>, key: &[u8], keyed: Keyed) {
        match keyed {
            Keyed::Get { snapshot, reply } => self.effect_get(key, snapshot, reply).await,
            Keyed::Write { write, reply } => reply.send(self.write(key, &write).await),
            Keyed::Compare { expected, write, reply } => {
                self.answer_compared(reply, self.compare(key, expected.as_deref(), &write).await);
            }
        }
    }

    async fn effect_get(self: &Rc<Self>, key: &[u8], snapshot: Option<u64>, reply: ReplyTo<Option<Bytes>>) {
        if !self.has_room_for_answers()
            && let Err(error) = self.room_for_answers().await
        {
            return reply.send(Err(error));
        }
        let view = snapshot.map(|snapshot| self.view_of(snapshot)).transpose();
        match view.and_then(|view| self.get_now(key, view.as_ref())) {
            Ok(Now::Known(answer)) => self.answer_to(reply, Ok(answer.value)),
            Err(error) => reply.send(Err(error)),
            Ok(Now::Waits(pending)) => {
                let (core, key) = (Rc::clone(self), Box::<[u8]>::from(key));
                let read = async move {
                    let answer = core.get_waiting(&key, pending).await;
                    core.answer_to(reply, answer.map(|answer| answer.value));
                };
                self.spawn_read(1, read).await;
            }
        }
    }

    fn answer_compared(&self, reply: ReplyTo<CompareOutcome>, outcome: Result<CompareOutcome>) {
        let bytes = match &outcome {
            Ok(CompareOutcome::Different(Some(found))) => found.len(),
            _ => 0,
        };
        reply.send_counted(outcome, self.grant(bytes));
    }

    /// Runs so many reads as a task of its own; rests while too many are under way.
    pub(crate) async fn spawn_read(self: &Rc<Self>, reads: usize, read: impl Future<Output = ()> + 'static) {
        self.progress.wait(|| (self.reads_in_flight.get() < READS_IN_FLIGHT_MAX).then_some(())).await;
        let in_flight = ReadsInFlight::new(self, reads);
        self.spawn(async move {
            read.await;
            drop(in_flight);
        });
    }

    /// A batch of reads: what it sees is fixed now.
    pub(crate) async fn effect_multi_get(
        self: &Rc<Self>,
        keys: Vec<Box<[u8]>>,
        ask: MultiGetAsk,
        reply: ReplyTo<Vec<Result<Answer>>>,
    ) {
        if let Err(error) = self.room_for_answers().await {
            return reply.send(Err(error));
        }
        let view = match ask.snapshot.map(|snapshot| self.view_of(snapshot)).transpose() {
            Ok(view) => view,
            Err(error) => return reply.send(Err(error)),
        };
        let batch = self.multi_get_now(keys, view.as_ref(), ask.bytes_max);
        if batch.is_complete() {
            let grant = self.grant(batch.bytes());
            return reply.send_counted(Ok(multi_get::finish(self, batch)), grant);
        }
        let core = Rc::clone(self);
        let reads = batch.waits();
        let read = async move {
            let (answers, bytes) = core.multi_get(batch, ask.deadline).await;
            reply.send_counted(Ok(answers), core.grant(bytes));
        };
        self.spawn_read(reads, read).await;
    }

    /// A page of a scan: what memtables hold is taken now; blocks are read by a task.
    pub(crate) async fn effect_scan(self: &Rc<Self>, request: ScanRequest, reply: ReplyTo<ScanPage>) {
        if let Err(error) = self.room_for_answers().await {
            return reply.send(Err(error));
        }
        match self.begin_scan(request) {
            Ok(scan) => {
                let core = Rc::clone(self);
                let read = async move {
                    let page = core.scan(scan).await;
                    let bytes = page.as_ref().map_or(0, ScanPage::bytes);
                    reply.send_counted(page, core.grant(bytes));
                };
                self.spawn_read(1, read).await;
            }
            Err(error) => reply.send(Err(error)),
        }
    }

    /// A page of a scan over several key groups, read by a task.
    pub(crate) async fn effect_scan_groups(self: &Rc<Self>, request: GroupsRequest, reply: ReplyTo<ScanPage>) {
        if let Err(error) = self.room_for_answers().await {
            return reply.send(Err(error));
        }
        let core = Rc::clone(self);
        let read = async move {
            let page = core.scan_groups(request).await;
            let bytes = page.as_ref().map_or(0, ScanPage::bytes);
            reply.send_counted(page, core.grant(bytes));
        };
        self.spawn_read(1, read).await;
    }

    /// Takes a write, after waiting for room if memtables and uploads take all of theirs.
    pub(crate) async fn write(&self, key: &[u8], write: &Write) -> Result<()> {
        self.look(key, write).await?;
        self.room(key.len() + write.bytes()).await;
        self.apply(key, write)
    }

    /// Whether a merge is so large that what it stands on counts before it is taken.
    fn must_look(&self, key: &[u8], write: &Write) -> bool {
        let Write::Merge { operator, operand, .. } = write else { return false };
        let operator = self.shared.operators.get(*operator);
        operator.is_ok_and(|operator| self.growing.must_look(key, operator, operand.len()))
    }

    /// Finds out how long the value is that a large merge adds to. If the DFS does not say, the merge is taken all the same: writes go on without it.
    ///
    /// # Errors
    /// `TooLarge`: it is too long already.
    async fn look(&self, key: &[u8], write: &Write) -> Result<()> {
        while self.must_look(key, write) {
            let before = self.write_sequence.get();
            let pending = match self.look_in_memory(key)? {
                Some(Now::Waits(pending)) => pending,
                Some(Now::Known(())) | None => break,
            };
            let found = aquifer_io::timeout(MERGE_LOOK_WAIT, self.found_waiting(key, pending)).await;
            match found {
                // What was read still stands unless the key was written to meanwhile.
                Ok(Ok((answer, expires_ms))) if !self.written_since(key, before) => {
                    let bytes = answer.value.map_or(0, |value| value.len());
                    self.growing.note(key, Length::Known { bytes, expires_ms });
                }
                Ok(Ok(_)) => {}
                Ok(Err(error)) if error.kind() == ErrorKind::TooLarge => return Err(error),
                Ok(Err(_)) | Err(_) => break,
            }
        }
        Ok(())
    }

    /// Notes a key's length if memory knows it. `None`: what is there cannot be combined, which its reader hears of.
    fn look_in_memory(&self, key: &[u8]) -> Result<Option<Now<()>>> {
        let known = self.look_now(key, None, |core, resolver, base, _| {
            let expires_ms = resolver.expires_ms();
            let bytes = match base {
                Base::Value(value) if !resolver.is_waiting() => value.len(),
                base => resolver.finish(base, &core.shared.operators)?.map_or(0, |value| value.len()),
            };
            core.growing.note(key, Length::Known { bytes, expires_ms });
            Ok(())
        });
        match known {
            Ok(now) => Ok(Some(now)),
            Err(error) if error.kind() == ErrorKind::TooLarge => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// Writes if the key has the value `expected`, with no other write between the comparison and the write.
    pub(crate) async fn compare(
        &self,
        key: &[u8],
        expected: Option<&[u8]>,
        write: &Write,
    ) -> Result<CompareOutcome> {
        loop {
            self.room(key.len() + write.bytes()).await;
            let before = self.write_sequence.get();
            let found = match self.get_now(key, None)? {
                Now::Known(found) => return self.apply_if(key, expected, found.value, write),
                Now::Waits(pending) => self.get_waiting(key, pending).await?,
            };
            // What was read still stands unless the key was written to meanwhile.
            if self.has_room() && !self.written_since(key, before) {
                return self.apply_if(key, expected, found.value, write);
            }
        }
    }

    fn apply_if(
        &self,
        key: &[u8],
        expected: Option<&[u8]>,
        found: Option<Bytes>,
        write: &Write,
    ) -> Result<CompareOutcome> {
        if found.as_deref() != expected {
            return Ok(CompareOutcome::Different(found));
        }
        self.apply(key, write).map(|()| CompareOutcome::Applied)
    }

    /// Whether `key` has a write that is newer than `sequence`.
    fn written_since(&self, key: &[u8], sequence: u64) -> bool {
        let newer = |memtable: &Memtables| memtable.newest_write(key).is_some_and(|newest| newest > sequence);
        newer(&self.memtable.borrow()) || self.version().frozen.iter().any(|frozen| newer(&frozen.memtable))
    }

    /// Writes that take effect together.
    pub(crate) async fn apply_batch(&self, writes: &[(Box<[u8]>, Write)]) -> Result<()> {
        self.room(writes.iter().map(|(key, write)| key.len() + write.bytes()).sum()).await;
        self.shared.check_writable()?;
        let now_ms = self.shared.clock.now_ms();
        let mut bytes = 0;
        for (key, write) in writes {
            self.shared.clock.check(write.expires())?;
            write.check_expiry(now_ms)?;
            bytes += self.check_size(key, write)?;
        }
        self.check_merges(writes, now_ms)?;
        if bytes > self.budget().memtable_bytes_max {
            return Err(Error::invalid(format!(
                "the writes of a batch for one shard take {bytes} bytes, more than its memtable of {}: make smaller batches, or raise \
                 memory_bytes",
                self.budget().memtable_bytes_max
            )));
        }
        self.try_operators(writes, now_ms)?;
        for (key, write) in writes {
            self.put_down(key, write, || now_ms, true)?;
        }
        self.freeze_if_full();
        Ok(())
    }

    /// Refuses a batch of whose merges one could make a too long value, as far as memory knows: it must not fail half way.
    fn check_merges(&self, writes: &[(Box<[u8]>, Write)], now_ms: u64) -> Result<()> {
        // Of each key what it has, as far as that is known, and what the batch adds.
        let mut keys: HashMap<&[u8], usize> = HashMap::new();
        let mut deleted: Vec<(&[u8], &[u8])> = Vec::new();
        for (key, write) in writes {
            match write {
                Write::Put { value, .. } => drop(keys.insert(key, value.len())),
                Write::Delete => drop(keys.insert(key, 0)),
                Write::DeleteRange { to } => {
                    let inside = |other: &[u8]| **key <= *other && *other < **to;
                    keys.iter_mut().filter(|(other, _)| inside(other)).for_each(|(_, bytes)| *bytes = 0);
                    deleted.push((key, to));
                }
                Write::Merge { operator, operand, .. } => {
                    let operator = self.shared.operators.get(*operator)?;
                    if !keys.contains_key(&**key) {
                        let is_deleted = deleted.iter().any(|(from, to)| **from <= **key && **key < **to);
                        let held =
                            if is_deleted { 0 } else { self.held_bytes(key, operator, operand, now_ms)? };
                        keys.insert(key, held);
                    }
                    let bytes = keys.entry(key).or_default();
                    *bytes += operand.len();
                    if *bytes > VALUE_BYTES_MAX {
                        return Err(of_key(would_be_too_large(operator.name(), *bytes), key));
                    }
                }
            }
        }
        Ok(())
    }

    /// Bytes that a batch's first merge of a key adds to, as far as memory knows.
    fn held_bytes(
        &self,
        key: &[u8],
        operator: &dyn MergeOperator,
        operand: &[u8],
        now_ms: u64,
    ) -> Result<usize> {
        if self.growing.must_look(key, operator, operand.len()) {
            self.look_in_memory(key)?;
        }
        let held = self.memtable.borrow().payload_bytes(key);
        Ok(held.max(self.growing.bytes(key, operator, now_ms)))
    }

    /// A write taking effect.
    pub(crate) fn apply(&self, key: &[u8], write: &Write) -> Result<()> {
        self.check_size(key, write)?;
        self.shared.check_writable()?;
        self.shared.clock.check(write.expires())?;
        self.put_down(key, write, || self.shared.clock.now_ms(), false)?;
        self.freeze_if_full();
        Ok(())
    }

    fn check_size(&self, key: &[u8], write: &Write) -> Result<usize> {
        let bytes = key.len() + write.bytes();
        if bytes > self.budget().memtable_bytes_max {
            return Err(Error::invalid(format!(
                "a key and value of {bytes} bytes do not fit the memtable of {} bytes: raise memory_bytes or use fewer shards",
                self.budget().memtable_bytes_max
            )));
        }
        Ok(bytes)
    }

    /// Into the memtable. `in_batch`: as a part of a batch whose merges were checked.
    fn put_down(&self, key: &[u8], write: &Write, now_ms: impl Fn() -> u64, in_batch: bool) -> Result<()> {
        let sequence = self.write_sequence.get() + 1;
        let held = self.snapshots.newest();
        let mut memtable = self.memtable.borrow_mut();
        let keys = memtable.keys();
        match write {
            Write::Put { value, expiry } => {
                let entry = Entry { op: Op::Put(value), expires_ms: expiry.at_ms(now_ms)? };
                memtable.write(key, entry, sequence, held);
                self.growing.forget(key);
            }
            Write::Delete => {
                memtable.write(key, Entry::delete(), sequence, held);
                self.growing.forget(key);
            }
            Write::Merge { operator, operand, expiry } => {
                let now_ms = now_ms();
                let expires_ms = expiry.at_ms(|| now_ms)?;
                let merge = MergeWrite { operator: *operator, operand, expires_ms, now_ms };
                let operators = &self.shared.operators;
                let combines = operators.get(*operator)?;
                let held_bytes = if in_batch {
                    memtable.merge_settled(key, &merge, sequence, held, operators)?
                } else {
                    self.growing.check(key, combines, operand.len(), now_ms)?;
                    memtable.merge(key, &merge, sequence, held, operators)?
                };
                self.growing.merged(key, combines, (operand.len(), held_bytes), (now_ms, expires_ms));
            }
            Write::DeleteRange { to } => {
                memtable.delete_range(key, to, sequence, held);
                self.growing.forget_range(key, to);
            }
        }
        if memtable.keys() > keys {
            self.points.borrow_mut().forget(filter::hash(key));
        }
        self.write_sequence.set(sequence);
        add(&self.counters.writes, 1);
        Ok(())
    }

    fn freeze_if_full(&self) {
        if self.memtable.borrow().bytes() >= self.budget().memtable_bytes_max {
            self.freeze_for_flush(Freeze::Fullest);
        }
    }

    /// Memtables together have a limit; the rest of the write budget is the segment under upload, and compaction.
    pub(crate) fn has_room(&self) -> bool {
        self.memtable.borrow().bytes() + self.frozen_bytes.get() < self.budget().memtables_bytes_max
    }

    /// Whether a write need not wait: there is room, and nothing is behind.
    fn goes_on(&self) -> bool {
        self.has_room() && !pressure::slows_down(&self.debt())
    }

    /// Waits until there is room for a write of `bytes`, or no hope of it, and for what the write owes.
    async fn room(&self, bytes: usize) {
        if let Some(until) = self.pressure.pace(&self.debt(), bytes as u64, aquifer_io::now) {
            aquifer_io::sleep(until.duration_since(aquifer_io::now())).await;
        }
        if !self.has_room() {
            add(&self.counters.write_stalls, 1);
            let _waiting = self.pressure.wait_for_room();
            self.progress.wait(|| (self.has_room() || self.shared.is_stopped()).then_some(())).await;
        }
    }

    /// What the shard is behind with, now.
    fn debt(&self) -> Debt {
        let frozen = self.frozen_bytes.get() as u64;
        let memtables = self.memtable.borrow().bytes() as u64 + frozen;
        let (full, most) =
            (self.budget().memtable_bytes_max as u64, self.budget().memtables_bytes_max as u64);
        Debt {
            memtables: Term { amount: memtables, soft: full + most.saturating_sub(full) * 3 / 5, hard: most },
            ..self.version_debt.get()
        }
    }

    /// What a version is behind with: looked at once for each, as it walks all segments.
    pub(crate) fn debt_of_version(&self) -> Debt {
        let unit = self.compaction.unit_bytes();
        let runs = self.version().depth(&self.groups) as u64;
        Debt {
            runs: Term { amount: runs, soft: RUNS_DEBT.0, hard: RUNS_DEBT.1 },
            compaction: Term {
                amount: compact::run::debt(self),
                soft: unit * COMPACTION_DEBT_UNITS.0,
                hard: unit * COMPACTION_DEBT_UNITS.1,
            },
            ..Debt::default()
        }
    }
}
