//! Who waits for which time on this thread.

use std::collections::BTreeMap;
use std::task::Waker;

use crate::clock::Instant;

/// A timer that is set. Ordered by time, then by who came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TimerKey {
    at: Instant,
    number: u64,
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    waiting: BTreeMap<TimerKey, Waker>,
    number_next: u64,
}

impl Timers {
    pub(super) fn set(&mut self, at: Instant, waker: &Waker) -> TimerKey {
        let key = TimerKey { at, number: self.number_next };
        self.number_next = self.number_next.wrapping_add(1);
        self.waiting.insert(key, waker.clone());
        key
    }

    /// Another one waits for it now. Nothing when it has fired.
    pub(super) fn renew(&mut self, key: TimerKey, waker: &Waker) {
        if let Some(waiting) = self.waiting.get_mut(&key) {
            waiting.clone_from(waker);
        }
    }

    pub(super) fn clear(&mut self, key: TimerKey) {
        self.waiting.remove(&key);
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|(key, _)| key.at)
    }

    /// Takes one that is due.
    pub(super) fn due(&mut self, now: Instant) -> Option<Waker> {
        let first = self.waiting.first_entry()?;
        (first.key().at <= now).then(|| first.remove())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn timers_fire_in_order_and_not_early() {
        let (mut timers, start) = (Timers::default(), crate::now());
        let after = |micros| start + Duration::from_micros(micros);
        let waker = Waker::noop();
        let (late, early, same) =
            (timers.set(after(20), waker), timers.set(after(10), waker), timers.set(after(10), waker));
        assert!(early < same && same < late);
        assert_eq!(timers.next(), Some(after(10)));
        assert!(timers.due(after(9)).is_none());
        assert!(timers.due(after(10)).is_some() && timers.due(after(10)).is_some());
        assert!(timers.due(after(19)).is_none());
        timers.clear(late);
        timers.renew(late, waker);
        assert_eq!(timers.next(), None);
    }
}
