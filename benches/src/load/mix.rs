//! Which operation comes next: kinds with weights.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::rng::Rng;

/// What is done with one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Read the value.
    Get,
    /// Write a new value.
    Put,
    /// Read the value, then write a new one.
    Update,
    /// Write a key that was not there.
    Insert,
    /// Delete the key.
    Delete,
    /// Read the values of many keys in one call.
    MultiGet,
    /// Read the entries from a key on, in order.
    Scan,
    /// Add one to a counter, by a merge.
    Merge,
    /// Append to a list, by a merge.
    Append,
    /// Read a whole list.
    ListRead,
    /// Write an entry of a map.
    MapPut,
    /// Read all entries of a map.
    MapScan,
    /// Write an event into a window.
    WindowInsert,
    /// Read all events of a full window, then delete them all. Comes by itself when a window is full.
    WindowFire,
}

impl Kind {
    const ALL: [Self; 14] = [
        Self::Get,
        Self::Put,
        Self::Update,
        Self::Insert,
        Self::Delete,
        Self::MultiGet,
        Self::Scan,
        Self::Merge,
        Self::Append,
        Self::ListRead,
        Self::MapPut,
        Self::MapScan,
        Self::WindowInsert,
        Self::WindowFire,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::Update => "update",
            Self::Insert => "insert",
            Self::Delete => "delete",
            Self::MultiGet => "multiget",
            Self::Scan => "scan",
            Self::Merge => "merge",
            Self::Append => "append",
            Self::ListRead => "listread",
            Self::MapPut => "mapput",
            Self::MapScan => "mapscan",
            Self::WindowInsert => "windowinsert",
            Self::WindowFire => "windowfire",
        }
    }

    /// Whether it works on state of a shape of its own, beside the keys that are loaded.
    pub(crate) fn is_shaped(self) -> bool {
        use Kind::{Append, ListRead, MapPut, MapScan, Merge, WindowFire, WindowInsert};
        matches!(self, Append | ListRead | MapPut | MapScan | Merge | WindowFire | WindowInsert)
    }

    /// Its place in tables of all kinds.
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter()
    }
}

/// Kinds and how often each comes, as shares of one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mix {
    /// Each with the sum of the shares up to and with its own.
    upto: Vec<(Kind, f64)>,
}

impl Mix {
    /// Weights of any scale; at least one above zero, none below.
    pub(crate) fn new(weights: &[(Kind, f64)]) -> Result<Self, String> {
        let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
        if weights.iter().any(|(_, weight)| !weight.is_finite() || *weight < 0.0) || total <= 0.0 {
            return Err("weights are zero or more, and one of them is more".to_owned());
        }
        let mut sum = 0.0;
        let upto = weights.iter().map(|(kind, weight)| {
            sum += weight / total;
            (*kind, sum)
        });
        Ok(Self { upto: upto.collect() })
    }

    /// The next one.
    pub(crate) fn choose(&self, rng: &mut Rng) -> Kind {
        let (last, before) = match self.upto.split_last() {
            Some(((last, _), before)) => (*last, before),
            None => return Kind::Get,
        };
        if before.is_empty() {
            return last;
        }
        let at = rng.unit();
        before.iter().find(|(_, upto)| at < *upto).map_or(last, |(kind, _)| *kind)
    }

    /// Whether a kind of these is in it.
    pub(crate) fn any(&self, wanted: fn(Kind) -> bool) -> bool {
        self.upto.iter().any(|(kind, _)| wanted(*kind))
    }

    pub(crate) fn has(&self, wanted: Kind) -> bool {
        self.upto.iter().any(|(kind, _)| *kind == wanted)
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = 0.0;
        for (index, (kind, upto)) in self.upto.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{}:{}", kind.name(), ((upto - before) * 1e6).round() / 1e6)?;
            before = *upto;
        }
        Ok(())
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut weights = Vec::new();
        for part in text.split(',') {
            let (name, weight) = part.split_once(':').unwrap_or((part, "1"));
            let kind = Kind::all().find(|kind| kind.name() == name).ok_or_else(|| {
                let names: Vec<_> = Kind::all().map(Kind::name).collect();
                format!(
                    "{name:?} is no operation: {}, each with a share as in get:0.9,put:0.1",
                    names.join(", ")
                )
            })?;
            let weight = weight.parse().map_err(|_| format!("{weight:?} is no share of {name}"))?;
            weights.push((kind, weight));
        }
        Self::new(&weights)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_come_as_often_as_they_should() {
        let mix: Mix = "get:9,put:0.5,delete:0.5".parse().unwrap();
        assert_eq!(mix.to_string(), "get:0.9,put:0.05,delete:0.05");
        let mut rng = Rng::new(11);
        let mut counts = [0_u32; Kind::ALL.len()];
        for _ in 0..100_000 {
            counts[mix.choose(&mut rng).index()] += 1;
        }
        assert!((89_500..=90_500).contains(&counts[Kind::Get.index()]), "{counts:?}");
        assert!((4_700..=5_300).contains(&counts[Kind::Put.index()]), "{counts:?}");
        assert_eq!(counts[Kind::Insert.index()], 0);
        assert!(mix.has(Kind::Delete) && !mix.has(Kind::Update));
        assert_eq!("update".parse::<Mix>().unwrap().choose(&mut rng), Kind::Update);
    }

    #[test]
    fn places_are_those_of_the_table() {
        for (place, kind) in Kind::all().enumerate() {
            assert_eq!(kind.index(), place);
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in ["", "fetch:1", "get:-1", "get:0", "get:many", "get:inf"] {
            assert!(text.parse::<Mix>().is_err(), "{text}");
        }
    }
}
