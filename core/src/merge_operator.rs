//! Merge operators: writes that say how to change a value rather than what it is, applied on read, in memtables and in compaction.
//!
//! An operator is associative: `(a + b) + c = a + (b + c)`, where a key without a value counts as nothing (`nothing + b = b`). So
//! operands of one key can be combined without their base, in whatever groups flushes and compactions meet them. (The associative
//! half of RocksDB's merge operators.)
//!
//! Stored operands carry the operator's identity, 32 bits of its name's hash; opening a store with an operator missing is only
//! noticed by whoever reads a key that needs it, and is a clear error then.

use crate::embedder_panics;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::VALUE_BYTES_MAX;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// An associative way to combine values.
///
/// `merge` must be a pure function, the same in every process that opens the store, for ever: results are stored. One that panics fails the
/// operation that needed it, with [`crate::ErrorKind::Panicked`]: a write is refused, a read has no answer, and a compaction keeps the operands as
/// they are and counts an error.
pub trait MergeOperator: Send + Sync + 'static {
    /// Its name, at most 255 bytes. Stored data refers to it.
    fn name(&self) -> &str;

    /// Version of what it does. One that combines the same operands to something else than before, or reads other bytes, needs another: a store that was
    /// written with the one before refuses to be opened with it.
    fn version(&self) -> u32 {
        1
    }

    /// Whether `operand` is one that [`Self::merge`] can take. Asked when it is written, so that a bad one is refused there.
    ///
    /// # Errors
    /// One line for the caller that says what is wrong.
    fn check(&self, operand: &[u8]) -> std::result::Result<(), String>;

    /// Appends `older + newer` to `out`, which is empty.
    ///
    /// # Errors
    /// One line, when `older` (which a plain put may have written) does not fit the operator. The read that needed the result fails
    /// with `Invalid` and nothing is changed: a put repairs the key.
    fn merge(&self, older: &[u8], newer: &[u8], out: &mut Vec<u8>) -> std::result::Result<(), String>;

    /// Whether `older + newer` is always `older` followed by `newer`: then memtables append in place.
    fn is_append(&self) -> bool {
        false
    }
}

/// Identity of an operator in stored data: the low 32 bits of `xxh3_64(name)`. Stable for ever.
#[expect(clippy::cast_possible_truncation, reason = "the low half is what is meant")]
pub(crate) fn operator_id(name: &str) -> u32 {
    xxh3_64(name.as_bytes()) as u32
}

/// The operators of an engine, by identity.
#[derive(Clone, Default)]
pub(crate) struct MergeOperators {
    by_id: Arc<BTreeMap<u32, Arc<dyn MergeOperator>>>,
    /// The identities of those that are the embedder's.
    embedders: Arc<BTreeSet<u32>>,
    /// Their names and versions.
    own: Arc<[(String, u32)]>,
}

/// An operator of the embedder with what it said of itself once: it is not asked again.
struct Known {
    operator: Arc<dyn MergeOperator>,
    name: String,
    version: u32,
    is_append: bool,
}

impl MergeOperator for Known {
    fn name(&self) -> &str {
        &self.name
    }

    fn version(&self) -> u32 {
        self.version
    }

    fn check(&self, operand: &[u8]) -> std::result::Result<(), String> {
        self.operator.check(operand)
    }

    fn merge(&self, older: &[u8], newer: &[u8], out: &mut Vec<u8>) -> std::result::Result<(), String> {
        self.operator.merge(older, newer, out)
    }

    fn is_append(&self) -> bool {
        self.is_append
    }
}

impl MergeOperators {
    /// The built-in ones and `more`.
    pub(crate) fn new(more: &[Arc<dyn MergeOperator>]) -> Result<Self> {
        let mut by_id: BTreeMap<u32, Arc<dyn MergeOperator>> = BTreeMap::new();
        let built_in: [Arc<dyn MergeOperator>; 5] =
            [Arc::new(Append), Arc::new(Add), Arc::new(Max), Arc::new(Min), Arc::new(SetUnion)];
        let mut known: Vec<Arc<dyn MergeOperator>> = Vec::with_capacity(more.len());
        for operator in more {
            let about = || (operator.name().to_owned(), operator.version(), operator.is_append());
            let (name, version, is_append) =
                embedder_panics::call(|| "a merge operator's name".to_owned(), about)?;
            known.push(Arc::new(Known { operator: Arc::clone(operator), name, version, is_append }));
        }
        for operator in built_in.iter().chain(&known) {
            let name = operator.name();
            if name.is_empty() || name.len() > 255 {
                return Err(Error::invalid(format!(
                    "merge operator name {name:?} has {} bytes; 1 to 255 are possible",
                    name.len()
                )));
            }
            if let Some(other) = by_id.insert(operator_id(name), Arc::clone(operator)) {
                return Err(Error::invalid(format!(
                    "merge operators {:?} and {name:?} cannot be told apart: rename one",
                    other.name()
                )));
            }
        }
        let own = |operator: &Arc<dyn MergeOperator>| (operator.name().to_owned(), operator.version());
        let embedders = known.iter().map(|operator| operator_id(operator.name())).collect();
        let own = known.iter().map(own).collect();
        Ok(Self { by_id: Arc::new(by_id), embedders: Arc::new(embedders), own })
    }

    /// Names and versions of those that are not built in: what a store records of them.
    pub(crate) fn own(&self) -> &[(String, u32)] {
        &self.own
    }

    /// The operator with this name.
    pub(crate) fn named(&self, name: &str) -> Result<(u32, &dyn MergeOperator)> {
        let id = operator_id(name);
        match self.by_id.get(&id).filter(|operator| operator.name() == name) {
            Some(operator) => Ok((id, operator.as_ref())),
            None => {
                let known: Vec<_> = self.by_id.values().map(|operator| operator.name()).collect();
                Err(Error::invalid(format!(
                    "no merge operator is named {name:?}; there are {}: register yours in Options::merge_operators",
                    known.join(", ")
                )))
            }
        }
    }

    /// The operator that stored data refers to.
    pub(crate) fn get(&self, id: u32) -> Result<&dyn MergeOperator> {
        self.by_id.get(&id).map(Arc::as_ref).ok_or_else(|| {
            Error::invalid(format!(
                "a stored write needs the merge operator with identity {id:08x}, which is not registered: \
                 open the store with it in Options::merge_operators"
            ))
        })
    }

    /// Whether the operator is the embedder's: it may do what ours do not.
    pub(crate) fn is_embedders(&self, id: u32) -> bool {
        self.embedders.contains(&id)
    }

    /// Whether the operator takes this operand.
    ///
    /// # Errors
    /// `Invalid` if it does not; `Panicked`.
    pub(crate) fn check(&self, id: u32, operand: &[u8]) -> Result<()> {
        let operator = self.get(id)?;
        let name = || format!("the check of merge operator {:?}", operator.name());
        embedder_panics::call(name, || operator.check(operand))?.map_err(|why| {
            Error::invalid(format!("merge operator {:?} cannot take this operand: {why}", operator.name()))
        })
    }

    /// `older + newer`, in place of what `out` held.
    ///
    /// # Errors
    /// `Invalid` if the operator refuses; `Panicked`. What `out` holds is of no use then.
    pub(crate) fn merge(&self, id: u32, older: &[u8], newer: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let operator = self.get(id)?;
        out.clear();
        let name = || format!("merge operator {:?}", operator.name());
        embedder_panics::call(name, || operator.merge(older, newer, &mut *out))?.map_err(|why| {
            Error::invalid(format!(
                "merge operator {:?} cannot combine: {why}; put the key anew",
                operator.name()
            ))
        })
    }
}

/// A merge that is refused, as it would make a longer value than there may be.
pub(crate) fn would_be_too_large(operator: &str, bytes: usize) -> Error {
    Error::new(
        ErrorKind::TooLarge,
        format!(
            "merge operator {operator:?} would make a value of {bytes} bytes; at most {VALUE_BYTES_MAX} are possible: put the key anew or \
             spread it over several keys"
        ),
    )
}

impl fmt::Debug for MergeOperators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.by_id.values().map(|operator| operator.name())).finish()
    }
}

/// `append`: bytes after bytes.
struct Append;

impl MergeOperator for Append {
    fn name(&self) -> &'static str {
        "append"
    }

    fn check(&self, _operand: &[u8]) -> std::result::Result<(), String> {
        Ok(())
    }

    fn merge(&self, older: &[u8], newer: &[u8], out: &mut Vec<u8>) -> std::result::Result<(), String> {
        out.extend_from_slice(older);
        out.extend_from_slice(newer);
        Ok(())
    }

    fn is_append(&self) -> bool {
        true
    }
}

/// A number as `add`, `max` and `min` store it: 8 bytes, little-endian, two's complement.
fn number(bytes: &[u8]) -> std::result::Result<i64, String> {
    let bytes = bytes.try_into().map_err(|_| format!("a number has 8 bytes, this value {}", bytes.len()))?;
    Ok(i64::from_le_bytes(bytes))
}

macro_rules! number_operator {
    ($(#[$doc:meta])* $type:ident, $name:literal, $combine:expr) => {
        $(#[$doc])*
        struct $type;

        impl MergeOperator for $type {
            fn name(&self) -> &'static str {
                $name
            }

            fn check(&self, operand: &[u8]) -> std::result::Result<(), String> {
                number(operand).map(drop)
            }

            fn merge(&self, older: &[u8], newer: &[u8], out: &mut Vec<u8>) -> std::result::Result<(), String> {
                let combine: fn(i64, i64) -> i64 = $combine;
                out.extend_from_slice(&combine(number(older)?, number(newer)?).to_le_bytes());
                Ok(())
            }
        }
    };
}

number_operator!(
    /// `add`: the sum of two numbers, wrapping around at 64 bits.
    Add, "add", i64::wrapping_add
);
number_operator!(
    /// `max`: the larger of two numbers.
    Max, "max", i64::max
);
number_operator!(
    /// `min`: the smaller of two numbers.
    Min, "min", i64::min
);

/// `set-union`: sets of byte strings, each set its elements in ascending order without repeats, an element as four bytes of length,
/// little-endian, and its bytes.
struct SetUnion;

/// Takes the first element off an encoded set.
fn element<'a>(set: &mut &'a [u8]) -> std::result::Result<Option<&'a [u8]>, String> {
    if set.is_empty() {
        return Ok(None);
    }
    let cut = || "a set whose last element is cut off".to_owned();
    let (bytes, rest) = set.split_first_chunk::<4>().ok_or_else(cut)?;
    let (found, rest) = rest.split_at_checked(u32::from_le_bytes(*bytes) as usize).ok_or_else(cut)?;
    *set = rest;
    Ok(Some(found))
}

impl MergeOperator for SetUnion {
    fn name(&self) -> &'static str {
        "set-union"
    }

    fn check(&self, mut operand: &[u8]) -> std::result::Result<(), String> {
        let mut last = None;
        while let Some(next) = element(&mut operand)? {
            if last.is_some_and(|last| last >= next) {
                return Err("a set's elements ascend, without repeats".to_owned());
            }
            last = Some(next);
        }
        Ok(())
    }

    fn merge(
        &self,
        mut older: &[u8],
        mut newer: &[u8],
        out: &mut Vec<u8>,
    ) -> std::result::Result<(), String> {
        self.check(older)?;
        let mut push = |element: &[u8]| {
            out.extend_from_slice(&crate::codec::stored_u32(element.len()).to_le_bytes());
            out.extend_from_slice(element);
        };
        let (mut a, mut b) = (element(&mut older)?, element(&mut newer)?);
        loop {
            match (a, b) {
                (None, None) => return Ok(()),
                (Some(x), other) if other.is_none_or(|y| x < y) => {
                    push(x);
                    a = element(&mut older)?;
                }
                (other, Some(y)) => {
                    push(y);
                    if other == Some(y) {
                        a = element(&mut older)?;
                    }
                    b = element(&mut newer)?;
                }
                (Some(x), None) => {
                    push(x);
                    a = element(&mut older)?;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(name: &str, older: &[u8], newer: &[u8]) -> Result<Vec<u8>> {
        let operators = MergeOperators::new(&[]).unwrap();
        let (id, _) = operators.named(name).unwrap();
        let mut out = vec![1, 2, 3];
        operators.merge(id, older, newer, &mut out).map(|()| out)
    }

    fn set(elements: &[&str]) -> Vec<u8> {
        elements
            .iter()
            .flat_map(|e| [&u32::try_from(e.len()).unwrap().to_le_bytes(), e.as_bytes()].concat())
            .collect()
    }

    #[test]
    fn built_in_operators_by_example() {
        assert_eq!(merged("append", b"ab", b"c").unwrap(), b"abc");
        let n = |n: i64| n.to_le_bytes();
        assert_eq!(merged("add", &n(5), &n(-7)).unwrap(), n(-2));
        assert_eq!(merged("add", &n(i64::MAX), &n(1)).unwrap(), n(i64::MIN));
        assert_eq!(merged("max", &n(5), &n(-7)).unwrap(), n(5));
        assert_eq!(merged("min", &n(5), &n(-7)).unwrap(), n(-7));
        assert_eq!(
            merged("set-union", &set(&["a", "c", "d"]), &set(&["", "b", "c", "e"])).unwrap(),
            set(&["", "a", "b", "c", "d", "e"])
        );
        assert_eq!(merged("set-union", b"", &set(&["x"])).unwrap(), set(&["x"]));
    }

    #[test]
    fn what_does_not_fit_is_refused_in_words() {
        assert!(merged("add", b"text", &[0; 8]).unwrap_err().to_string().contains("8 bytes"));
        assert!(merged("set-union", b"\x05\0\0\0ab", b"").unwrap_err().to_string().contains("cut off"));
        let operators = MergeOperators::new(&[]).unwrap();
        assert!(operators.named("set-union").unwrap().1.check(&set(&["b", "a"])).is_err());
        assert!(operators.named("ad").err().unwrap().to_string().contains("add"));
        assert!(operators.get(7).err().unwrap().to_string().contains("00000007"));
        assert!(MergeOperators::new(&[Arc::new(Append)]).unwrap_err().to_string().contains("rename"));
    }

    #[test]
    fn identities_never_change() {
        // Stored data depends on these.
        let ids = ["append", "add", "max", "min", "set-union"].map(operator_id);
        assert_eq!(ids, [2_878_351_285, 1_070_763_648, 1_562_624_047, 498_388_929, 859_100_173]);
    }
}
