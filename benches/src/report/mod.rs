//! The report of `events`: what it holds, and its tables for people.

pub(crate) mod document;
pub(crate) mod table;
