//! What is asked of a store, as wrappers see it.

use std::fmt;

use crate::store::{ListPage, ObjectMeta, PutOutcome, Upload};

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// [`Remote::put`](crate::Remote::put).
    Put,
    /// [`Remote::put_if_absent`](crate::Remote::put_if_absent).
    PutIfAbsent,
    /// [`Remote::get`](crate::Remote::get).
    Get,
    /// [`Remote::get_range`](crate::Remote::get_range).
    GetRange,
    /// [`Remote::head`](crate::Remote::head).
    Head,
    /// [`Remote::delete`](crate::Remote::delete).
    Delete,
    /// [`Remote::list`](crate::Remote::list): one page.
    List,
    /// [`Remote::upload`](crate::Remote::upload): the start alone.
    Upload,
    /// [`Upload::part`].
    Part,
    /// [`Upload::finish`].
    Finish,
    /// [`Upload::abort`].
    Abort,
}

impl Operation {
    /// Every kind, in the order of their numbers inside.
    pub const ALL: [Self; 11] = [
        Self::Put,
        Self::PutIfAbsent,
        Self::Get,
        Self::GetRange,
        Self::Head,
        Self::Delete,
        Self::List,
        Self::Upload,
        Self::Part,
        Self::Finish,
        Self::Abort,
    ];

    /// The method's name, as errors show it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::PutIfAbsent => "put_if_absent",
            Self::Get => "get",
            Self::GetRange => "get_range",
            Self::Head => "head",
            Self::Delete => "delete",
            Self::List => "list",
            Self::Upload => "upload",
            Self::Part => "part",
            Self::Finish => "finish",
            Self::Abort => "abort",
        }
    }

    /// True for requests that fetch bytes of one object.
    #[must_use]
    pub fn is_read(self) -> bool {
        matches!(self, Self::Get | Self::GetRange)
    }

    pub(crate) fn index(self) -> usize {
        Self::ALL.iter().position(|&operation| operation == self).unwrap_or(0)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Requests that take about as long, by the bytes they move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum SizeClass {
    /// Up to 4 KiB, also none at all.
    Upto4KiB,
    /// Up to 64 KiB.
    Upto64KiB,
    /// Up to 1 MiB.
    Upto1MiB,
    /// Up to 8 MiB.
    Upto8MiB,
    /// More.
    Larger,
}

impl SizeClass {
    /// Every class, from small to large.
    pub const ALL: [Self; 5] =
        [Self::Upto4KiB, Self::Upto64KiB, Self::Upto1MiB, Self::Upto8MiB, Self::Larger];

    /// The class of so many bytes.
    #[must_use]
    pub fn of(bytes: u64) -> Self {
        match bytes {
            0..=0x1000 => Self::Upto4KiB,
            0x1001..=0x1_0000 => Self::Upto64KiB,
            0x1_0001..=0x10_0000 => Self::Upto1MiB,
            0x10_0001..=0x80_0000 => Self::Upto8MiB,
            _ => Self::Larger,
        }
    }

    pub(crate) fn index(self) -> usize {
        Self::ALL.iter().position(|&class| class == self).unwrap_or(0)
    }
}

impl fmt::Display for SizeClass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Upto4KiB => "up to 4 KiB",
            Self::Upto64KiB => "up to 64 KiB",
            Self::Upto1MiB => "up to 1 MiB",
            Self::Upto8MiB => "up to 8 MiB",
            Self::Larger => "more than 8 MiB",
        })
    }
}

/// What a request gives back, as far as wrappers look at it.
pub(crate) trait Answer: Send + 'static {
    /// Bytes of an object that came with it.
    fn bytes(&self) -> u64 {
        0
    }
}

impl Answer for () {}
impl Answer for PutOutcome {}
impl Answer for ObjectMeta {}
impl Answer for ListPage {}
impl Answer for Box<dyn Upload> {}
impl Answer for bytes::Bytes {
    fn bytes(&self) -> u64 {
        self.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_and_operations_know_their_place() {
        for (bytes, class) in [
            (0, SizeClass::Upto4KiB),
            (4_096, SizeClass::Upto4KiB),
            (4_097, SizeClass::Upto64KiB),
            (65_537, SizeClass::Upto1MiB),
            (8 << 20, SizeClass::Upto8MiB),
            (u64::MAX, SizeClass::Larger),
        ] {
            assert_eq!(SizeClass::of(bytes), class, "{bytes}");
        }
        for (index, operation) in Operation::ALL.into_iter().enumerate() {
            assert_eq!(operation.index(), index);
        }
        for (index, class) in SizeClass::ALL.into_iter().enumerate() {
            assert_eq!(class.index(), index);
        }
    }
}
