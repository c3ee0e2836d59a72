//! What answers take of a shard's memory: those that nobody has taken yet, and what large reads have under way.
//!
//! ```text
//! new read ──> does the shard hold less than its share? ──no──> rests until some are taken ──nobody takes any──> one is let through
//! large block ──> is there room beside the others?      ──no──> its turn comes when they have ended; one always has its turn
//! ```
//! The share is a part of the cache's, which gives way as it is used. Answers are counted in groups of about [`GROUP_BYTES`], so that small ones cost
//! next to nothing. A read that has begun is never held: only new ones are, so what callers wait for in the order of their calls always comes.
//! A caller that waits for a later answer first, and leaves the earlier ones where they are, is let through one read at a time, and is told
//! `Busy` once what it leaves is several times the share.

use crate::error::{Error, ErrorKind, Result};
use crate::limits::{ANSWER_OVERHEAD_BYTES, ANSWERS_LEFT_FACTOR, ANSWERS_PATIENCE};
use crate::reply::ReplyTo;
use crate::shard::parts::answers::GROUP_BYTES;
use crate::shard::shard_core::ShardCore;
use crate::untaken::Grant;
use bytes::Bytes;
use futures_util::future::{Either, select};
use std::pin::pin;

/// Room for what a large read brings, until this is dropped.
pub(crate) struct Room<'a> {
    core: &'a ShardCore,
    bytes: usize,
}

impl Room<'_> {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// It holds more by now.
    pub(crate) fn grow(&mut self, bytes: usize) {
        let answers = &self.core.answers;
        answers.under_way.set(answers.under_way.get() + bytes);
        answers.headroom.set(0);
        self.bytes += bytes;
        self.core.balance_memory();
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        let answers = &self.core.answers;
        answers.under_way.set(answers.under_way.get() - self.bytes);
        self.core.balance_memory();
        self.core.progress.notify();
    }
}

/// A place in the line of large reads.
struct Turn<'a> {
    core: &'a ShardCore,
    number: u64,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.core.answers.turns.borrow_mut().retain(|&number| number != self.number);
        self.core.progress.notify();
    }
}

impl ShardCore {
    /// Bytes that answers may take.
    pub(crate) fn answers_bytes_max(&self) -> usize {
        self.budget().answers_bytes
    }

    /// What answers take now.
    fn answers_bytes(&self) -> usize {
        self.answers.untaken.bytes() + self.answers.under_way.get()
    }

    /// What of it large reads have under way.
    pub(crate) fn large_reads_bytes(&self) -> usize {
        self.answers.under_way.get()
    }

    /// Answers with a value.
    #[inline]
    pub(crate) fn answer_to(&self, reply: ReplyTo<Option<Bytes>>, answer: Result<Option<Bytes>>) {
        let bytes = answer.as_ref().map_or(0, |value| value.as_ref().map_or(0, Bytes::len));
        reply.send_counted(answer, self.grant(bytes));
    }

    /// Counts an answer of so many bytes: what this gives goes with it.
    #[inline]
    pub(crate) fn grant(&self, bytes: usize) -> Option<Grant> {
        let answers = &self.answers;
        let sum = answers.uncounted.get() + bytes + ANSWER_OVERHEAD_BYTES;
        if sum < GROUP_BYTES {
            answers.uncounted.set(sum);
            return None;
        }
        answers.uncounted.set(0);
        answers.headroom.set(answers.headroom.get().saturating_sub(sum));
        Some(answers.untaken.grant(sum))
    }

    /// Whether a new read may begin without a look at the account.
    #[inline]
    pub(crate) fn has_room_for_answers(&self) -> bool {
        self.answers.headroom.get() > 0
    }

    /// Waits until a new read may begin.
    ///
    /// # Errors
    /// `Busy`: callers leave several times the share where it is.
    pub(crate) async fn room_for_answers(&self) -> Result<()> {
        let answers = &self.answers;
        loop {
            let most = self.answers_bytes_max();
            let taken = self.answers_bytes();
            if taken < most {
                answers.headroom.set(most - taken);
                answers.refused_at.set(usize::MAX);
                return Ok(());
            }
            let untaken = answers.untaken.bytes();
            if untaken < most {
                // Large reads end by themselves, and leave answers: of these the shard hears nothing here, but below.
                let may_go_on = || self.answers_bytes() < self.answers_bytes_max();
                let are_left = || self.answers.untaken.bytes() >= self.answers_bytes_max();
                self.progress.wait(|| (may_go_on() || are_left()).then_some(())).await;
                continue;
            }
            let fewer = pin!(answers.untaken.fewer_than(untaken));
            let patience = pin!(aquifer_io::sleep(ANSWERS_PATIENCE));
            // Nobody has taken any since: that was waited for already.
            let is_known = untaken >= answers.refused_at.get();
            if is_known || matches!(select(fewer, patience).await, Either::Right(_)) {
                if untaken < most.saturating_mul(ANSWERS_LEFT_FACTOR) {
                    return Ok(());
                }
                answers.refused_at.set(untaken);
                return Err(Error::new(
                    ErrorKind::Busy,
                    format!(
                        "answers of {untaken} bytes of shard {} wait for their callers, and it may give {most}: await some before issuing more",
                        self.id
                    ),
                ));
            }
        }
    }

    /// Waits for room for a read of `bytes`, first come first served; one is always let through.
    pub(crate) async fn room_for_large(&self, bytes: usize) -> Room<'_> {
        let answers = &self.answers;
        let number = answers.turn_next.get();
        answers.turn_next.set(number + 1);
        answers.turns.borrow_mut().push_back(number);
        let _turn = Turn { core: self, number };
        let is_next = || answers.turns.borrow().front() == Some(&number);
        self.progress.wait(|| if is_next() { self.take_room(bytes) } else { None }).await
    }

    /// Room for a read of `bytes`, if there is any now.
    pub(crate) fn take_room(&self, bytes: usize) -> Option<Room<'_>> {
        let under_way = self.answers.under_way.get();
        (under_way == 0 || self.answers_bytes().saturating_add(bytes) <= self.answers_bytes_max())
            .then(|| self.hold(bytes))
    }

    /// Counts what is there already.
    pub(crate) fn hold(&self, bytes: usize) -> Room<'_> {
        let mut room = Room { core: self, bytes: 0 };
        room.grow(bytes);
        room
    }
}
