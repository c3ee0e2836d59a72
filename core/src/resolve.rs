//! What a key's value is, given its writes from the newest to the oldest.

use crate::entry::{Entry, Op};
use crate::error::Result;
use crate::merge_operator::MergeOperators;
use bytes::Bytes;
use std::ops::ControlFlow;

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
    /// A write that has expired by this moment does not count: now, or when the operand above it was written.
    alive_ms: u64,
    scratch: Vec<u8>,
}

/// Combined operands of one operator.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) operator: u32,
    pub(crate) operand: Vec<u8>,
    pub(crate) written_ms: u64,
}

/// What operands stand on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base<'a> {
    Value(&'a [u8]),
    Nothing,
}

impl Resolver {
    /// For a read at `now_ms` of the store's time domain..
    pub(crate) const fn new(now_ms: u64) -> Self {
        Self { waiting: Vec::new(), expires_ms: None, alive_ms: now_ms, scratch: Vec::new() }
    }

    /// Whether older writes are needed although a newer one was found.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// When what was resolved expires.
    pub(crate) fn expires_ms(&self) -> u64 {
        self.expires_ms.unwrap_or(crate::entry::NEVER)
    }

    /// Takes the next older write. `Break` once older ones do not matter, with what the operands stand on.
    pub(crate) fn feed<'a>(
        &mut self,
        entry: Entry<'a>,
        operators: &MergeOperators,
    ) -> Result<ControlFlow<Base<'a>>> {
        if entry.is_expired(self.alive_ms) {
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
        }
    }

    fn push(
        &mut self,
        operator: u32,
        operand: &[u8],
        written_ms: u64,
        operators: &MergeOperators,
    ) -> Result<()> {
        // A clock may have stepped back between two writes: the older one was not dead for that.
        self.alive_ms = self.alive_ms.min(written_ms);
        match self.waiting.last_mut().filter(|newer| newer.operator == operator) {
            Some(newer) => {
                operators.merge(operator, operand, &newer.operand, &mut self.scratch)?;
                std::mem::swap(&mut newer.operand, &mut self.scratch);
                newer.written_ms = newer.written_ms.min(written_ms);
            }
            None => self.waiting.push(Waiting { operator, operand: operand.to_vec(), written_ms }),
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
        while let Some(newer) = self.waiting.pop() {
            operators.merge(newer.operator, &value, &newer.operand, &mut self.scratch)?;
            std::mem::swap(&mut value, &mut self.scratch);
        }
        Ok(Some(Bytes::from(value)))
    }

    /// The combined operands that still wait, the newest first: what a compaction keeps when older writes lie below its inputs.
    pub(crate) fn waiting(&self) -> &[Waiting] {
        &self.waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::NEVER;
    use crate::merge_operator::operator_id;

    fn resolve(writes: &[Entry<'_>], now_ms: u64) -> Option<Vec<u8>> {
        let operators = MergeOperators::new(&[]).unwrap();
        let mut resolver = Resolver::new(now_ms);
        for write in writes {
            if let ControlFlow::Break(base) = resolver.feed(*write, &operators).unwrap() {
                return resolver.finish(base, &operators).unwrap().map(|value| value.to_vec());
            }
        }
        resolver.finish(Base::Nothing, &operators).unwrap().map(|value| value.to_vec())
    }

    fn append(operand: &'static [u8], written_ms: u64, expires_ms: u64) -> Entry<'static> {
        Entry { op: Op::Merge { operator: operator_id("append"), operand, written_ms }, expires_ms }
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
}
