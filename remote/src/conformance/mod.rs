//! The suite that every store and every wrapper passes (feature `conformance`).
//!
//! It works below one folder of the store and removes what it wrote, so it can run against a store in use. Nothing in it depends
//! on time or luck: a race is asserted by its outcome, not by its course. Idea borrowed from `object_store`'s `integration.rs`.

macro_rules! require {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err(format!($($text)+));
        }
    };
}

mod suite;
mod upload;

use std::fmt;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use futures_util::future::join_all;

use crate::content::Content;
use crate::error::RemoteErrorKind;
use crate::name::ObjectName;
use crate::probe::probe_put_if_absent;
use crate::store::{PutOutcome, Remote};
use suite::{Check, Suite, expect_error, index, pattern, text};

/// Racing writers for one name.
const WRITERS: usize = 16;

/// What a store did wrong.
#[derive(Debug)]
pub struct Failure {
    check: &'static str,
    text: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.check, self.text)
    }
}

impl std::error::Error for Failure {}

/// Runs every check below `folder` (`"conformance-7"`, no slashes at its ends), which must be empty.
///
/// `race_names` is the number of names that 16 writers race for.
///
/// # Errors
/// The first check that failed and why.
pub async fn run(remote: &Arc<dyn Remote>, folder: &str, race_names: usize) -> Result<(), Failure> {
    let suite = Suite { remote: Arc::clone(remote), folder: folder.to_owned() };
    let named = |check, result: Check| result.map_err(|text| Failure { check, text });
    named("empty at start", suite.leaves_nothing().await)?;
    named("round trips", suite.round_trips().await)?;
    named("absent objects", suite.absent_objects().await)?;
    named("ranges", suite.ranges().await)?;
    named("overwrite and delete", suite.overwrite_and_delete().await)?;
    named("put if absent", suite.put_if_absent().await)?;
    named("put if absent race", suite.race(race_names).await)?;
    named("list", suite.lists().await)?;
    named("list of large folders", suite.lists_pages().await)?;
    named("upload", suite.uploads().await)?;
    named("upload misuse", suite.upload_misuse().await)?;
    named("upload abandoned", suite.upload_abandoned().await)?;
    named("many at once", suite.many_at_once().await)?;
    named("dropped futures", suite.dropped_futures().await)?;
    named(
        "probe",
        probe_put_if_absent(remote, fingerprint(folder)).await.map_err(|error| error.to_string()),
    )?;
    named("clean up", suite.clean_up().await)?;
    named("empty at the end", suite.leaves_nothing().await)
}

impl Suite {
    async fn round_trips(&self) -> Check {
        for bytes in [0_usize, 1, 4_095, 4_096, 300_000, (1 << 20) + 3] {
            let written = pattern(bytes as u64, bytes);
            let name = self.put(&format!("round/{bytes}"), written.clone()).await?;
            let meta = self.remote.head(&name).await.map_err(text)?;
            require!(meta.name == name && meta.bytes == bytes as u64, "head of {bytes} bytes says {meta:?}");
            let read = self.remote.get(&name, bytes as u64).await.map_err(text)?;
            require!(read == written, "{bytes} bytes read back differ");
            if bytes > 0 {
                let error = expect_error(self.remote.get(&name, bytes as u64 - 1).await)?;
                let numbers = (error.kind(), error.expected(), error.found(), error.object());
                let right = (
                    RemoteErrorKind::TooLarge,
                    Some(bytes as u64 - 1),
                    Some(bytes as u64),
                    Some(name.as_str()),
                );
                require!(numbers == right, "too large: {error:?}");
            }
        }
        let name = self.name("round/chunks")?;
        let content: Content = ["one", "", "two", "three"].into_iter().map(Bytes::from).collect();
        self.remote.put(&name, content).await.map_err(text)?;
        let read = self.remote.get(&name, 100).await.map_err(text)?;
        require!(read == "onetwothree", "chunks read back as {read:?}");
        Ok(())
    }

    async fn absent_objects(&self) -> Check {
        let name = self.name("absent")?;
        let errors = [
            expect_error(self.remote.get(&name, 10).await)?,
            expect_error(self.remote.get_range(&name, 0..10).await)?,
            expect_error(self.remote.head(&name).await)?,
        ];
        for error in errors {
            require!(error.kind() == RemoteErrorKind::NotFound, "{error:?}");
            require!(error.object() == Some(name.as_str()), "object not named: {error:?}");
        }
        self.remote.delete(&name).await.map_err(text)
    }

    async fn ranges(&self) -> Check {
        let bytes = 300_000_u64;
        let written = pattern(1, 300_000);
        let name = self.put("ranges", written.clone()).await?;
        for range in
            [0..1, 0..4_096, 1..2, 150_000..154_096, 295_904..bytes, bytes - 1..bytes, 0..bytes, 7..7]
        {
            let read = self.remote.get_range(&name, range.clone()).await.map_err(text)?;
            let (start, end) = (index(range.start)?, index(range.end)?);
            require!(Some(read.as_ref()) == written.get(start..end), "range {range:?} differs");
        }
        for range in
            [0..bytes + 1, bytes - 1..bytes + 1, bytes..bytes + 1, bytes + 5..bytes + 9, 0..u64::MAX >> 1]
        {
            self.bad_range(&name, range, bytes).await?;
        }
        let empty = self.put("ranges-empty", Vec::new()).await?;
        self.bad_range(&empty, 0..1, 0).await?;
        let (start, end) = (5, 4);
        let error = expect_error(self.remote.get_range(&name, start..end).await)?;
        require!(error.kind() == RemoteErrorKind::Invalid, "reversed range: {error:?}");
        Ok(())
    }

    async fn bad_range(&self, name: &ObjectName, range: std::ops::Range<u64>, bytes: u64) -> Check {
        let error = expect_error(self.remote.get_range(name, range.clone()).await)?;
        require!(error.kind() == RemoteErrorKind::BadRange, "beyond the end, {range:?}: {error:?}");
        require!(error.object() == Some(name.as_str()), "object not named: {error:?}");
        require!(error.expected() == Some(range.end) && error.found() == Some(bytes), "numbers: {error:?}");
        require!(error.range() == Some(range), "range not named: {error:?}");
        Ok(())
    }

    async fn overwrite_and_delete(&self) -> Check {
        let name = self.put("over", pattern(1, 1_000)).await?;
        let again = pattern(2, 500);
        self.remote.put(&name, Content::from(again.clone())).await.map_err(text)?;
        let read = self.remote.get(&name, 10_000).await.map_err(text)?;
        require!(read == again, "an overwrite left older bytes");
        self.remote.delete(&name).await.map_err(text)?;
        let error = expect_error(self.remote.get(&name, 10_000).await)?;
        require!(error.kind() == RemoteErrorKind::NotFound, "after delete: {error:?}");
        self.remote.delete(&name).await.map_err(text)
    }

    async fn put_if_absent(&self) -> Check {
        let name = self.name("absent/first")?;
        let first = self.remote.put_if_absent(&name, Content::from(&b"first"[..])).await.map_err(text)?;
        require!(first == PutOutcome::Created, "fresh name: {first:?}");
        let second = self.remote.put_if_absent(&name, Content::from(&b"second"[..])).await.map_err(text)?;
        require!(second == PutOutcome::Exists, "taken name: {second:?}");
        let read = self.remote.get(&name, 100).await.map_err(text)?;
        require!(read == "first", "the loser changed the object to {read:?}");
        let plain = self.put("absent/plain", b"plain".to_vec()).await?;
        let third = self.remote.put_if_absent(&plain, Content::new()).await.map_err(text)?;
        require!(third == PutOutcome::Exists, "name taken by a put: {third:?}");
        self.remote.delete(&plain).await.map_err(text)?;
        let fourth = self.remote.put_if_absent(&plain, Content::new()).await.map_err(text)?;
        require!(fourth == PutOutcome::Created, "name free again after a delete: {fourth:?}");
        let read = self.remote.get(&plain, 100).await.map_err(text)?;
        require!(read.is_empty(), "empty object put if absent has {} bytes", read.len());
        Ok(())
    }

    async fn race(&self, names: usize) -> Check {
        for number in 0..names {
            let name = self.name(&format!("race/{number:06}"))?;
            let content = |writer: usize| pattern(writer as u64 + 1, 2_000 + writer);
            let writers =
                (0..WRITERS).map(|writer| self.remote.put_if_absent(&name, Content::from(content(writer))));
            let outcomes = join_all(writers.collect::<Vec<_>>()).await;
            let mut winner = None;
            for (writer, outcome) in outcomes.into_iter().enumerate() {
                if outcome.map_err(text)? == PutOutcome::Created {
                    require!(winner.is_none(), "{name}: both {winner:?} and {writer} won");
                    winner = Some(writer);
                }
            }
            let winner = winner.ok_or_else(|| format!("{name}: nobody won"))?;
            let read = self.remote.get(&name, 10_000).await.map_err(text)?;
            require!(read == content(winner), "{name}: the object is not the winner's");
        }
        Ok(())
    }

    async fn lists(&self) -> Check {
        // In byte order: '-' < '.' < '/' < digits < letters.
        let sorted = ["list/a-b", "list/a.b", "list/a/x", "list/a/y/z", "list/a0", "list/ab", "list/b"];
        for (size, name) in sorted.iter().enumerate().rev() {
            self.put(name, vec![7; size]).await?;
        }
        self.put("list-other", Vec::new()).await?;
        self.put("lis", Vec::new()).await?;
        for page in [1, 2, 3, 6, 7, 8, 1_000] {
            let found = self.list_all("list", page).await?;
            let expected: Vec<(String, u64)> = sorted
                .iter()
                .enumerate()
                .map(|(size, name)| (format!("{}/{name}", self.folder), size as u64))
                .collect();
            require!(found == expected, "pages of {page}: {found:?}");
        }
        let deeper = self.list_all("list/a", 10).await?;
        require!(deeper.len() == 2, "below list/a: {deeper:?}");
        for (after, left) in [("list/a/m", 5), ("list/a-", 7), ("list/zzz", 0), ("lis", 7)] {
            let after = self.name(after)?;
            let page =
                self.remote.list(&format!("{}/list/", self.folder), Some(&after), 100).await.map_err(text)?;
            require!(page.entries.len() == left && !page.more, "after {after}: {page:?}");
        }
        let none = self.remote.list(&format!("{}/none/", self.folder), None, 5).await.map_err(text)?;
        require!(none.entries.is_empty() && !none.more, "empty folder: {none:?}");
        for folder in ["no-slash", "/", "a//", "../", "a/../"] {
            let error = expect_error(self.remote.list(folder, None, 5).await)?;
            require!(error.kind() == RemoteErrorKind::InvalidName, "folder {folder:?}: {error:?}");
        }
        let error = expect_error(self.remote.list("", None, 0).await)?;
        require!(error.kind() == RemoteErrorKind::Invalid, "no entries asked for: {error:?}");
        Ok(())
    }

    /// More objects than a server lists in one request.
    async fn lists_pages(&self) -> Check {
        const OBJECTS: usize = 1_100;
        let mut numbers: Vec<usize> = (0..OBJECTS).collect();
        numbers.reverse();
        for batch in numbers.chunks(100) {
            let mut puts = Vec::new();
            for number in batch {
                let name = self.name(&format!("many/{number:020}"))?;
                puts.push(self.remote.put(&name, Content::new()));
            }
            for put in join_all(puts).await {
                put.map_err(text)?;
            }
        }
        for page in [OBJECTS - 1, OBJECTS, OBJECTS + 1, 400] {
            let found = self.list_all("many", page).await?;
            require!(found.len() == OBJECTS, "pages of {page}: {} objects of {OBJECTS}", found.len());
            require!(found.is_sorted(), "pages of {page}: not ascending");
        }
        Ok(())
    }

    async fn list_all(&self, folder: &str, page: usize) -> Check<Vec<(String, u64)>> {
        let folder = format!("{}/{folder}/", self.folder);
        let mut found: Vec<(String, u64)> = Vec::new();
        let mut after: Option<ObjectName> = None;
        loop {
            let listed = self.remote.list(&folder, after.as_ref(), page).await.map_err(text)?;
            require!(listed.entries.len() <= page, "{} entries in a page of {page}", listed.entries.len());
            require!(!listed.more || listed.entries.len() == page, "more to come after a page not full");
            after = listed.entries.last().map(|entry| entry.name.clone());
            found.extend(listed.entries.into_iter().map(|entry| (entry.name.to_string(), entry.bytes)));
            if !listed.more {
                return Ok(found);
            }
        }
    }

    async fn many_at_once(&self) -> Check {
        let written = pattern(9, 100_000);
        let name = self.put("at-once", written.clone()).await?;
        let reads =
            (0..400_u64).map(|number| self.remote.get_range(&name, number * 200..number * 200 + 4_096));
        for (number, read) in join_all(reads.collect::<Vec<_>>()).await.into_iter().enumerate() {
            let read = read.map_err(text)?;
            let right = written.get(number * 200..number * 200 + 4_096);
            require!(Some(read.as_ref()) == right, "read {number} of many differs");
        }
        Ok(())
    }

    /// Requests whose futures are dropped, before and after their first poll, hold nothing back from those that follow.
    async fn dropped_futures(&self) -> Check {
        let written = pattern(10, 50_000);
        let name = self.put("dropped", written.clone()).await?;
        let folder = format!("{}/", self.folder);
        for number in 0..300_u64 {
            let mut read = self.remote.get_range(&name, number..number + 4_096);
            let mut list = self.remote.list(&folder, None, 10);
            if number % 2 == 0 {
                // Polled once each, and given up.
                let polled = std::future::poll_fn(|context| {
                    Poll::Ready((
                        read.as_mut().poll(context).is_ready(),
                        list.as_mut().poll(context).is_ready(),
                    ))
                });
                polled.await;
            }
            drop((read, list));
        }
        let reads =
            (0..40_u64).map(|number| self.remote.get_range(&name, number * 1_000..number * 1_000 + 500));
        for (number, read) in join_all(reads.collect::<Vec<_>>()).await.into_iter().enumerate() {
            let right = written.get(number * 1_000..number * 1_000 + 500);
            require!(Some(read.map_err(text)?.as_ref()) == right, "read {number} after dropped ones differs");
        }
        Ok(())
    }

    async fn clean_up(&self) -> Check {
        loop {
            let page = self.remote.list(&format!("{}/", self.folder), None, 200).await.map_err(text)?;
            let deletes = page.entries.iter().map(|entry| self.remote.delete(&entry.name));
            for deleted in join_all(deletes.collect::<Vec<_>>()).await {
                deleted.map_err(text)?;
            }
            if !page.more {
                return Ok(());
            }
        }
    }

    async fn leaves_nothing(&self) -> Check {
        let page = self.remote.list(&format!("{}/", self.folder), None, 5).await.map_err(text)?;
        require!(page.entries.is_empty() && !page.more, "objects in the folder: {page:?}");
        Ok(())
    }
}

/// A number for the probe that follows from the folder's name, which the caller chose to be fresh.
fn fingerprint(folder: &str) -> u64 {
    folder
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
