//! What a key's value is, given its writes from the newest to the oldest.

use crate::entry::{CHAINED_HEADER_BYTES, Entry, NEVER, Op, encode_chain, next_chained};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{CHAIN_BYTES_MAX, VALUE_BYTES_MAX};
use crate::merge_operator::MergeOperators;
use bytes::Bytes;
use std::borrow::Cow;
use std::ops::ControlFlow;

/// Operands of one key that wait for what is below them: what a memtable may chain, with its framing.
const WAITING_BYTES_MAX: usize = VALUE_BYTES_MAX + 2 * CHAINED_HEADER_BYTES;

/// Takes the writes of one key in, newest first, until the value is known.
///
/// ```text
/// put ─> known        delete, expired, covered by a range deletion, no older write ─> known: nothing
/// merge ─> its operand is combined under those that came before, and the next older write is needed
/// ```
/// The result is what it would be had every merge been a read, a combination and a put at the moment of its write: what had
/// expired by then is not under it, and the newest write's moment of expiry counts for the whole.
#[derive(Debug)]
pub(crate) struct Resolver {
    /// Operands that wait for what is below them, the oldest last. Neighbours have different operators.
    waiting: Vec<Waiting>,
    /// Of the newest write, once there is one.
    expires_ms: Option<u64>,
    alive: Alive,
    /// Of the operands that wait, as a chain of them.
    waiting_bytes: usize,
    scratch: Vec<u8>,
}

/// Which writes count by their time to live: a write that has expired by this moment does not, now or when the operand above it was written. `None`:
/// now, not yet asked.
#[derive(Clone, Copy, Debug, Default)]
struct Alive(Option<u64>);

impl Alive {
    fn is_dead(&mut self, entry: &Entry<'_>, now_ms: impl FnOnce() -> u64) -> bool {
        entry.expires_ms != NEVER && entry.is_expired(*self.0.get_or_insert_with(now_ms))
    }

    /// Takes in an operand; `is_first` if none is above it.
    fn below(&mut self, written_ms: u64, is_first: bool) {
        // A clock may have stepped back between two writes: the older one was not dead for that. The moment of the read plays no part:
        // a compaction that may take nothing for expired says 0.
        let above = self.0.filter(|_| !is_first);
        self.0 = Some(above.map_or(written_ms, |above| above.min(written_ms)));
    }
}

/// A value of `bytes` or more, which is more than a value may have.
fn too_large(bytes: usize) -> Error {
    Error::new(
        ErrorKind::TooLarge,
        format!(
            "its writes come to {bytes} bytes or more, and a value may have {VALUE_BYTES_MAX}; nothing of them is lost: put or delete the key"
        ),
    )
}

/// Combined operands of one operator.
#[derive(Debug)]
struct Waiting {
    operator: u32,
    operand: Vec<u8>,
    written_ms: u64,
}

/// What operands stand on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base<'a> {
    Value(&'a [u8]),
    Nothing,
}

impl Resolver {
    /// Before any write.
    pub(crate) const fn new() -> Self {
        Self {
            waiting: Vec::new(),
            expires_ms: None,
            alive: Alive(None),
            waiting_bytes: 0,
            scratch: Vec::new(),
        }
    }

    /// Whether older writes are needed although a newer one was found.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// When what was resolved expires.
    pub(crate) fn expires_ms(&self) -> u64 {
        self.expires_ms.unwrap_or(NEVER)
    }

    /// Takes the next older write. `Break` once older ones do not matter, with what the operands stand on. `now_ms` is the moment of the
    /// read in the store's time domain, asked for only if something may expire.
    pub(crate) fn feed<'a>(
        &mut self,
        entry: Entry<'a>,
        now_ms: impl Fn() -> u64 + Copy,
        operators: &MergeOperators,
    ) -> Result<ControlFlow<Base<'a>>> {
        if self.alive.is_dead(&entry, now_ms) {
            return Ok(ControlFlow::Break(Base::Nothing));
        }
        self.expires_ms.get_or_insert(entry.expires_ms);
        match entry.op {
            Op::Put(value) => Ok(ControlFlow::Break(Base::Value(value))),
            Op::Delete => Ok(ControlFlow::Break(Base::Nothing)),
            Op::Merge { operator, operand, written_ms } => {
                self.push(operator, operand, written_ms, operators)?;
                Ok(ControlFlow::Continue(()))
            }
            Op::Chain(mut chain) => {
                while let Some(entry) = next_chained(&mut chain) {
                    if let ControlFlow::Break(base) = self.feed(entry, now_ms, operators)? {
                        return Ok(ControlFlow::Break(base));
                    }
                }
                if chain.is_empty() { Ok(ControlFlow::Continue(())) } else { Err(damaged()) }
            }
        }
    }

    fn push(
        &mut self,
        operator: u32,
        operand: &[u8],
        written_ms: u64,
        operators: &MergeOperators,
    ) -> Result<()> {
        self.alive.below(written_ms, !self.is_waiting());
        match self.waiting.last_mut().filter(|newer| newer.operator == operator) {
            Some(newer) => {
                operators.merge(operator, operand, &newer.operand, &mut self.scratch)?;
                self.waiting_bytes = self.waiting_bytes + self.scratch.len() - newer.operand.len();
                std::mem::swap(&mut newer.operand, &mut self.scratch);
                newer.written_ms = newer.written_ms.min(written_ms);
            }
            None => {
                self.waiting_bytes += CHAINED_HEADER_BYTES + operand.len();
                self.waiting.push(Waiting { operator, operand: operand.to_vec(), written_ms });
            }
        }
        let longest = self.waiting.last().map_or(0, |waiting| waiting.operand.len());
        if longest > VALUE_BYTES_MAX || self.waiting_bytes > WAITING_BYTES_MAX {
            return Err(too_large(longest.max(self.waiting_bytes)));
        }
        Ok(())
    }

    /// The value: the operands on top of `base`.
    pub(crate) fn finish(mut self, base: Base<'_>, operators: &MergeOperators) -> Result<Option<Bytes>> {
        let Some(Waiting { operator, operand: oldest, .. }) = self.waiting.pop() else {
            return Ok(match base {
                // Copied: a small value must not keep a whole block in memory.
                Base::Value(value) => Some(Bytes::copy_from_slice(value)),
                Base::Nothing => None,
            });
        };
        let mut value = match base {
            Base::Value(base) => {
                let mut value = Vec::new();
                operators.merge(operator, base, &oldest, &mut value)?;
                value
            }
            Base::Nothing => oldest,
        };
        check_value(&value)?;
        while let Some(newer) = self.waiting.pop() {
            operators.merge(newer.operator, &value, &newer.operand, &mut self.scratch)?;
            check_value(&self.scratch)?;
            std::mem::swap(&mut value, &mut self.scratch);
        }
        Ok(Some(Bytes::from(value)))
    }

    /// The combined operands that still wait, the newest first.
    fn into_waiting(self) -> Vec<Waiting> {
        self.waiting
    }
}

fn check_value(made: &[u8]) -> Result<()> {
    if made.len() > VALUE_BYTES_MAX { Err(too_large(made.len())) } else { Ok(()) }
}

/// One write that stands for several of its key: what a flush or a compaction stores.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Folded<'a> {
    kind: FoldedKind,
    payload: Cow<'a, [u8]>,
    expires_ms: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum FoldedKind {
    Put,
    Delete,
    Merge { operator: u32, written_ms: u64 },
    Chain,
}

impl Folded<'_> {
    /// The same, with bytes of its own.
    pub(crate) fn into_owned(self) -> Folded<'static> {
        Folded {
            kind: self.kind,
            payload: Cow::Owned(self.payload.into_owned()),
            expires_ms: self.expires_ms,
        }
    }

    /// Whether it is a chain of more than a value may have: kept, but not to be added to.
    pub(crate) fn is_too_large(&self) -> bool {
        self.kind == FoldedKind::Chain && self.payload.len() > WAITING_BYTES_MAX
    }

    /// As segments store it.
    pub(crate) fn entry(&self) -> Entry<'_> {
        let payload = &*self.payload;
        let op = match self.kind {
            FoldedKind::Put => Op::Put(payload),
            FoldedKind::Delete => Op::Delete,
            FoldedKind::Merge { operator, written_ms } => {
                Op::Merge { operator, operand: payload, written_ms }
            }
            FoldedKind::Chain => Op::Chain(payload),
        };
        Entry { op, expires_ms: self.expires_ms }
    }
}

impl<'a> From<Entry<'a>> for Folded<'a> {
    fn from(entry: Entry<'a>) -> Self {
        let kind = match entry.op {
            Op::Put(_) => FoldedKind::Put,
            Op::Delete => FoldedKind::Delete,
            Op::Merge { operator, written_ms, .. } => FoldedKind::Merge { operator, written_ms },
            Op::Chain(_) => FoldedKind::Chain,
        };
        Self { kind, payload: Cow::Borrowed(entry.payload()), expires_ms: entry.expires_ms }
    }
}

/// Folds the writes of one key, newest first, none of which a newer range deletion hides, into one; `None` if nothing need be stored.
///
/// `is_last`: nothing older exists, or a range deletion hides it. Writes that operators cannot combine, or whose value would be too long, stay as they
/// are, as a chain: whoever reads the key hears of it, and nothing is lost.
///
/// # Errors
/// `TooLarge` if not even a chain holds them: then they have to stay where they are.
pub(crate) fn fold<'a>(
    writes: &[Entry<'a>],
    is_last: bool,
    now_ms: u64,
    operators: &MergeOperators,
) -> Result<Option<Folded<'a>>> {
    let deletion = || Ok((!is_last).then(|| Folded::from(Entry::delete())));
    let Some((newest, older)) = writes.split_first() else { return Ok(None) };
    if newest.is_expired(now_ms) {
        return deletion();
    }
    match newest.op {
        Op::Put(_) => return Ok(Some(Folded::from(*newest))),
        Op::Delete => return deletion(),
        Op::Merge { .. } | Op::Chain(_) if older.is_empty() && !is_last => {
            return Ok(Some(Folded::from(*newest)));
        }
        Op::Merge { .. } | Op::Chain(_) => {}
    }
    match combine(writes, is_last, now_ms, operators) {
        Ok(folded) => Ok(Some(folded)),
        Err(_) => chained(writes, is_last, now_ms, operators).map(Some),
    }
}

/// The writes that count, as a chain; operands of one operator are combined as far as a value goes.
fn chained<'a>(
    writes: &[Entry<'a>],
    is_last: bool,
    now_ms: u64,
    operators: &MergeOperators,
) -> Result<Folded<'a>> {
    let counting = counting(writes, is_last, now_ms)?;
    let bytes: usize = counting.iter().map(|entry| CHAINED_HEADER_BYTES + entry.payload().len()).sum();
    // Looked at before they are combined, which takes as much memory once more.
    if bytes > CHAIN_BYTES_MAX {
        return Err(too_large(bytes));
    }
    let mut chain: Vec<Folded<'_>> = Vec::with_capacity(counting.len());
    let mut made = Vec::new();
    for entry in counting {
        if let Some(newer) = chain.last_mut()
            && let FoldedKind::Merge { operator, written_ms: newer_ms } = newer.kind
            && let Op::Merge { operator: same, operand, written_ms } = entry.op
            && operator == same
            && operand.len() + newer.payload.len() <= VALUE_BYTES_MAX
            && operators.merge(operator, operand, &newer.payload, &mut made).is_ok()
            && made.len() <= VALUE_BYTES_MAX
        {
            newer.payload = Cow::Owned(std::mem::take(&mut made));
            newer.kind = FoldedKind::Merge { operator, written_ms: newer_ms.min(written_ms) };
            continue;
        }
        chain.push(Folded::from(entry));
    }
    let expires_ms = chain.first().map_or(NEVER, |newest| newest.expires_ms);
    let payload = encode_chain(chain.iter().map(Folded::entry));
    Ok(Folded { kind: FoldedKind::Chain, payload: Cow::Owned(payload), expires_ms })
}

/// The single writes that a reader takes in, newest first: up to the one that needs nothing older.
fn counting<'a>(writes: &[Entry<'a>], is_last: bool, now_ms: u64) -> Result<Vec<Entry<'a>>> {
    let mut out: Vec<Entry<'a>> = Vec::new();
    let mut alive = Alive(None);
    for write in writes {
        let (mut chain, mut single) = match write.op {
            Op::Chain(chain) => (chain, None),
            _ => (&[][..], Some(*write)),
        };
        while let Some(entry) = single.take().or_else(|| next_chained(&mut chain)) {
            match entry.op {
                _ if alive.is_dead(&entry, || now_ms) => {}
                Op::Merge { written_ms, .. } => {
                    alive.below(written_ms, out.is_empty());
                    out.push(entry);
                    continue;
                }
                Op::Put(_) => {
                    out.push(entry);
                    return Ok(out);
                }
                Op::Delete | Op::Chain(_) => {}
            }
            out.extend((!is_last).then(Entry::delete));
            return Ok(out);
        }
        if !chain.is_empty() {
            return Err(damaged());
        }
    }
    Ok(out)
}

fn damaged() -> Error {
    Error::new(ErrorKind::Corrupt, "a chain of writes to one key is damaged: restore an older checkpoint")
}

/// What merges come to.
fn combine<'a>(
    writes: &[Entry<'a>],
    is_last: bool,
    now_ms: u64,
    operators: &MergeOperators,
) -> Result<Folded<'a>> {
    let mut resolver = Resolver::new();
    let mut base = is_last.then_some(Base::Nothing);
    for write in writes {
        if let ControlFlow::Break(found) = resolver.feed(*write, || now_ms, operators)? {
            base = Some(found);
            break;
        }
    }
    let expires_ms = resolver.expires_ms();
    let made = |kind, payload| Folded { kind, payload: Cow::Owned(payload), expires_ms };
    if let Some(base) = base {
        let value = resolver.finish(base, operators)?;
        return Ok(match value {
            Some(value) => made(FoldedKind::Put, value.to_vec()),
            None => Folded::from(Entry::delete()),
        });
    }
    let waiting = resolver.into_waiting();
    match <[Waiting; 1]>::try_from(waiting) {
        Ok([Waiting { operator, operand, written_ms }]) => {
            Ok(made(FoldedKind::Merge { operator, written_ms }, operand))
        }
        Err(several) => {
            let entries = several.iter().map(|waiting| {
                let Waiting { operator, operand, written_ms } = waiting;
                let op = Op::Merge { operator: *operator, operand, written_ms: *written_ms };
                Entry { op, expires_ms }
            });
            Ok(made(FoldedKind::Chain, encode_chain(entries)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge_operator::operator_id;

    fn resolve(writes: &[Entry<'_>], now_ms: u64) -> Option<Vec<u8>> {
        try_resolve(writes, now_ms).unwrap()
    }

    fn try_resolve(writes: &[Entry<'_>], now_ms: u64) -> Result<Option<Vec<u8>>> {
        let operators = MergeOperators::new(&[]).unwrap();
        let mut resolver = Resolver::new();
        let mut base = Base::Nothing;
        for write in writes {
            if let ControlFlow::Break(found) = resolver.feed(*write, || now_ms, &operators)? {
                base = found;
                break;
            }
        }
        Ok(resolver.finish(base, &operators)?.map(|value| value.to_vec()))
    }

    fn append(operand: &'static [u8], written_ms: u64, expires_ms: u64) -> Entry<'static> {
        Entry { op: Op::Merge { operator: operator_id("append"), operand, written_ms }, expires_ms }
    }

    /// A compaction after a reopening, whose clock still stood at 0, put an operand that expires on top of what had expired when it was
    /// written: the moment of the read, asked for because the operand expires, counted for what lies below as well.
    #[test]
    fn what_had_expired_before_an_operand_was_written_is_not_under_it_whenever_it_is_folded() {
        let (old, new) = (append(b"old", 5, 10), append(b"new", 20, 30));
        let operators = MergeOperators::new(&[]).unwrap();
        for now_ms in [0, 7, 25] {
            for is_last in [false, true] {
                let folded = fold(&[new, old], is_last, now_ms, &operators).unwrap().unwrap();
                assert_eq!(resolve(&[folded.entry()], 25).unwrap(), b"new", "folded at {now_ms}");
            }
            assert_eq!(resolve(&[new, old], now_ms).unwrap(), b"new", "read at {now_ms}");
        }
    }

    #[test]
    fn operands_stand_on_the_newest_base_below_them() {
        let old = Entry::put(b"old");
        let (b, c) = (append(b"b", 1, NEVER), append(b"c", 2, NEVER));
        assert_eq!(resolve(&[c, b, old], 9).unwrap(), b"oldbc");
        assert_eq!(resolve(&[c, b], 9).unwrap(), b"bc");
        assert_eq!(resolve(&[c, Entry::delete(), old], 9).unwrap(), b"c");
        assert_eq!(resolve(&[Entry::delete(), old], 9), None);
        assert_eq!(resolve(&[], 9), None);
    }

    #[test]
    fn operators_of_one_key_apply_in_the_order_written() {
        let (four, one, three) = (4_i64.to_le_bytes(), 1_i64.to_le_bytes(), 3_i64.to_le_bytes());
        let number = |name, operand| Entry {
            op: Op::Merge { operator: operator_id(name), operand, written_ms: 0 },
            expires_ms: NEVER,
        };
        // ((3 + 4) max 4) + 1
        let writes =
            [number("add", &one[..]), number("max", &four[..]), number("add", &four[..]), Entry::put(&three)];
        assert_eq!(resolve(&writes, 0).unwrap(), 8_i64.to_le_bytes());
    }

    #[test]
    fn a_merge_does_what_a_put_at_its_moment_would_have_done() {
        let base = Entry { op: Op::Put(b"base"), expires_ms: 50 };
        assert_eq!(resolve(&[base], 49).unwrap(), b"base");
        assert_eq!(resolve(&[base], 50), None);
        // Written while the base lived: whatever the time of the read.
        assert_eq!(resolve(&[append(b"x", 49, NEVER), base], 1000).unwrap(), b"basex");
        assert_eq!(resolve(&[append(b"x", 50, NEVER), base], 1000).unwrap(), b"x");
        // The newest write's moment ends the whole.
        assert_eq!(resolve(&[append(b"x", 30, 40), base], 39).unwrap(), b"basex");
        assert_eq!(resolve(&[append(b"x", 30, 40), base], 40), None);
        // A later operand prolongs the life of those below that were alive then.
        assert_eq!(resolve(&[append(b"y", 35, NEVER), append(b"x", 30, 40), base], 1000).unwrap(), b"basexy");
        assert_eq!(resolve(&[append(b"y", 45, NEVER), append(b"x", 30, 40), base], 1000).unwrap(), b"y");
    }

    /// Folding in any two steps answers as the writes themselves do.
    #[test]
    fn folded_writes_answer_as_the_writes_did() {
        let operators = MergeOperators::new(&[]).unwrap();
        let number = 3_i64.to_le_bytes();
        let add = |written_ms| Entry {
            op: Op::Merge { operator: operator_id("add"), operand: &number[..], written_ms },
            expires_ms: NEVER,
        };
        let base = Entry { op: Op::Put(&number[..]), expires_ms: 50 };
        let cases: [&[Entry<'_>]; 9] = [
            &[add(9), base],
            &[add(60), base],
            &[append(b"x", 9, 40), add(8), base],
            &[append(b"x", 9, 70), append(b"y", 8, NEVER)],
            &[append(b"x", 9, NEVER), Entry::delete(), base],
            &[Entry::delete(), base],
            &[append(b"x", 9, 30), base],
            // Operators that cannot combine: "x" is no number.
            &[add(9), append(b"x", 8, NEVER)],
            &[add(9), Entry::put(b"x")],
        ];
        for writes in cases {
            for cut in 0..=writes.len() {
                let (newer, older) = writes.split_at(cut);
                let fold = |writes, is_last| fold(writes, is_last, 20, &operators).unwrap();
                let (a, b) = (fold(newer, false), fold(older, true));
                let folded: Vec<_> = [&a, &b].into_iter().flatten().map(Folded::entry).collect();
                let answers = |writes: &[Entry<'_>]| try_resolve(writes, 45).map_err(|error| error.kind());
                assert_eq!(answers(&folded), answers(writes), "{writes:?} cut at {cut}");
            }
        }
    }
}
