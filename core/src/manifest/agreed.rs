//! What every opening of a store must agree on beside its number of key groups: whose time decides what has expired, and what its merge operators do.
//!
//! Each manifest says it, so that it is recorded and passed on by the same swap as all else; the first opening that knows something adds it.
//!
//! ```text
//! offset  bytes  field
//!      0      1  version: 1
//!      1      1  time domain of expiry: 0 nobody said, 1 processing, 2 event
//!      2      2  number of merge operators
//!      4      8  event time of the checkpoint, in milliseconds; 0 in another domain
//!     12      -  merge operators of the embedder, ascending by name: bytes of the name, 1 | name | version, 4
//! ```

use crate::codec::{Reader, stored_u32};
use crate::error::{Error, Result};
use crate::limits::{AGREED_BYTES_MAX, MERGE_OPERATORS_MAX};
use crate::merge_operator::operator_id;
use crate::options::{Domain, TtlTime};
use std::collections::BTreeMap;

const VERSION: u8 = 1;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Agreed {
    /// `None`: nobody said, as in stores that are older than this record.
    pub(crate) time: Option<Domain>,
    /// Event time of the last checkpoint, in milliseconds.
    pub(crate) event_time_ms: u64,
    /// Versions of merge operators by their names.
    pub(crate) operators: BTreeMap<String, u32>,
}

impl Agreed {
    /// Nothing was recorded: a manifest need not say so.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Event time of the checkpoint, if times to live follow it.
    pub(crate) fn event_time_ms(&self) -> Option<u64> {
        (self.time == Some(Domain::Event)).then_some(self.event_time_ms)
    }

    /// The same with what an opening asks for. `expires`: entries with a time to live are there, whose domain is not known if none is recorded.
    ///
    /// # Errors
    /// `Invalid`: it asks for something else than is recorded.
    pub(crate) fn with(&self, asked: TtlTime, expires: bool, operators: &[(String, u32)]) -> Result<Self> {
        let time = match (self.time, asked.domain()) {
            (Some(found), Some(asked)) if found != asked => {
                return Err(Error::invalid(format!(
                    "this store's times to live are in {} time; {} time was asked for, in which all of them would be misjudged: open it with ttl_time \
                     AsStored",
                    found.name(),
                    asked.name()
                )));
            }
            (Some(found), _) => Some(found),
            (None, Some(asked)) => Some(asked),
            // What is there may be in either domain: only its owner knows.
            (None, None) if expires => None,
            (None, None) => Some(Domain::Processing),
        };
        self.check_operators(operators)?;
        let mut agreed = Self { time, ..self.clone() };
        agreed.operators.extend(operators.iter().cloned());
        if agreed.operators.len() > MERGE_OPERATORS_MAX {
            return Err(Error::invalid(format!(
                "{} merge operators were registered with this store; at most {MERGE_OPERATORS_MAX} are possible",
                agreed.operators.len()
            )));
        }
        Ok(agreed)
    }

    /// Refuses operators that would combine what is stored in another way than those that wrote it.
    ///
    /// # Errors
    /// `Invalid`, naming the operator.
    pub(crate) fn check_operators(&self, operators: &[(String, u32)]) -> Result<()> {
        for (name, version) in operators {
            if let Some(found) = self.operators.get(name).filter(|found| *found != version) {
                return Err(Error::invalid(format!(
                    "this store was written with version {found} of merge operator {name:?}, version {version} is registered: register that version, or \
                     give the new one another name"
                )));
            }
            let same =
                self.operators.keys().find(|&other| other != name && operator_id(other) == operator_id(name));
            if let Some(other) = same {
                return Err(Error::invalid(format!(
                    "merge operator {name:?} cannot be told apart from {other:?}, with which this store was written: rename it"
                )));
            }
        }
        Ok(())
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        let mut out = vec![VERSION, self.time.map_or(0, |time| time as u8 + 1)];
        let count = u16::try_from(self.operators.len())
            .ok()
            .filter(|&count| usize::from(count) <= MERGE_OPERATORS_MAX);
        let count = count.ok_or_else(|| {
            Error::invalid(format!(
                "{} merge operators; a manifest takes {MERGE_OPERATORS_MAX}",
                self.operators.len()
            ))
        })?;
        out.extend_from_slice(&count.to_le_bytes());
        out.extend_from_slice(&self.event_time_ms.to_le_bytes());
        for (name, version) in &self.operators {
            let length = u8::try_from(name.len()).map_err(|_| {
                Error::invalid(format!(
                    "merge operator name of {} bytes; at most 255 are possible",
                    name.len()
                ))
            })?;
            out.push(length);
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(&version.to_le_bytes());
        }
        Ok(out)
    }

    /// `None` if the bytes are not what [`Self::encode`] makes.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Reader::new(bytes);
        let [version, time] = fields.array()?;
        let count = fields.u16()?;
        let event_time_ms = fields.u64()?;
        let time = match time {
            0 => None,
            1 => Some(Domain::Processing),
            2 => Some(Domain::Event),
            _ => return None,
        };
        let mut operators = BTreeMap::new();
        for _ in 0..count {
            let [length] = fields.array()?;
            let name = std::str::from_utf8(fields.bytes(usize::from(length))?).ok()?;
            let ascends =
                operators.last_key_value().is_none_or(|(last, _): (&String, _)| last.as_str() < name);
            let version = fields.u32()?;
            if !ascends || name.is_empty() {
                return None;
            }
            operators.insert(name.to_owned(), version);
        }
        let sound =
            version == VERSION && fields.remaining() == 0 && usize::from(count) <= MERGE_OPERATORS_MAX;
        sound.then_some(Self { time, event_time_ms, operators })
    }
}

/// What a manifest stores of it: nothing, if nothing was recorded.
pub(crate) fn encoded(agreed: &Agreed) -> Result<Vec<u8>> {
    let bytes = if agreed.is_empty() { Vec::new() } else { agreed.encode()? };
    // Bounded by the number and the names of operators: said rather than assumed.
    if stored_u32(bytes.len()) as usize > AGREED_BYTES_MAX {
        return Err(Error::invalid(format!(
            "{} bytes about merge operators; a manifest takes {AGREED_BYTES_MAX}",
            bytes.len()
        )));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operators(count: usize) -> Vec<(String, u32)> {
        (0..count).map(|n| (format!("{n:0>255}"), 3)).collect()
    }

    #[test]
    fn it_comes_back_up_to_its_bounds_and_no_further() {
        let none = Agreed::default();
        assert!(encoded(&none).unwrap().is_empty());
        let most = none.with(TtlTime::Event, false, &operators(MERGE_OPERATORS_MAX)).unwrap();
        let most = Agreed { event_time_ms: u64::MAX, ..most };
        let bytes = encoded(&most).unwrap();
        assert_eq!(Agreed::decode(&bytes), Some(most.clone()));
        assert!(most.with(TtlTime::Event, false, &operators(MERGE_OPERATORS_MAX + 1)).is_err());
        let one_more = operators(MERGE_OPERATORS_MAX + 1).into_iter().collect();
        assert!(encoded(&Agreed { operators: one_more, ..most }).is_err());
        for cut in 0..bytes.len().min(400) {
            assert_eq!(Agreed::decode(&bytes[..cut]), None);
        }
        assert_eq!(Agreed::decode(&[&bytes[..], &[0]].concat()), None);
    }

    #[test]
    fn the_first_opening_that_says_so_decides() {
        let none = Agreed::default();
        let time =
            |agreed: &Agreed, asked, expires| agreed.with(asked, expires, &[]).map(|agreed| agreed.time);
        assert_eq!(time(&none, TtlTime::AsStored, false).unwrap(), Some(Domain::Processing));
        assert_eq!(
            time(&none, TtlTime::AsStored, true).unwrap(),
            None,
            "an older store with entries that expire"
        );
        let event = none.with(TtlTime::Event, true, &[]).unwrap();
        assert_eq!(time(&event, TtlTime::AsStored, true).unwrap(), Some(Domain::Event));
        assert_eq!(time(&event, TtlTime::Event, true).unwrap(), Some(Domain::Event));
        let error = time(&event, TtlTime::Processing, true).unwrap_err().to_string();
        assert!(error.contains("in event time") && error.contains("AsStored"), "{error}");
    }

    #[test]
    fn an_operator_of_another_version_is_refused_and_an_absent_one_is_not() {
        let first = Agreed::default().with(TtlTime::AsStored, false, &[("sum".to_owned(), 1)]).unwrap();
        let second = first.with(TtlTime::AsStored, false, &[("other".to_owned(), 1)]).unwrap();
        assert_eq!(second.operators.len(), 2);
        let error = second.check_operators(&[("sum".to_owned(), 2)]).unwrap_err().to_string();
        assert!(
            error.contains("version 1") && error.contains("\"sum\"") && error.contains("version 2"),
            "{error}"
        );
    }
}
