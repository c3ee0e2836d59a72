//! Whose time decides what has expired, and which time that is.

use crate::entry::NEVER;
use crate::error::{Error, Result};
use crate::manifest::agreed::Agreed;
use crate::options::Domain;
use std::sync::atomic::{AtomicU64, Ordering};

/// The present in the store's time domain.
#[derive(Debug)]
pub(crate) struct Clock {
    /// `None`: nobody knows, as the store is older than the record of it.
    domain: Option<Domain>,
    event_ms: AtomicU64,
    /// Event time of the newest checkpoint that began: what lived then is in it.
    barrier_ms: AtomicU64,
}

impl Clock {
    /// That of a store, which goes on from its checkpoint.
    pub(crate) fn of(agreed: &Agreed) -> Self {
        let event_ms = agreed.event_time_ms().unwrap_or(0).min(NEVER - 1);
        Self { domain: agreed.time, event_ms: AtomicU64::new(event_ms), barrier_ms: AtomicU64::new(event_ms) }
    }

    /// One that stands at a moment that a reader chose.
    pub(crate) const fn at(now_ms: u64) -> Self {
        let (event_ms, barrier_ms) = (AtomicU64::new(now_ms), AtomicU64::new(now_ms));
        Self { domain: Some(Domain::Event), event_ms, barrier_ms }
    }

    /// The present, in milliseconds; 0, when nothing has expired, if nobody knows the domain.
    pub(crate) fn now_ms(&self) -> u64 {
        match self.domain {
            Some(Domain::Processing) => aquifer_io::unix_time_ms(),
            Some(Domain::Event) => self.event_ms.load(Ordering::Acquire),
            None => 0,
        }
    }

    /// The moment by which compaction may drop what has expired: a checkpoint that is restored goes on in its own event time, and what lived then
    /// must be in it.
    pub(crate) fn dropping_ms(&self) -> u64 {
        if self.domain == Some(Domain::Event) {
            self.barrier_ms.load(Ordering::Acquire)
        } else {
            self.now_ms()
        }
    }

    /// Whether it moves by itself.
    pub(crate) fn runs(&self) -> bool {
        self.domain == Some(Domain::Processing)
    }

    /// Event time, if times to live follow it.
    pub(crate) fn event_time_ms(&self) -> Option<u64> {
        (self.domain == Some(Domain::Event)).then(|| self.event_ms.load(Ordering::Acquire))
    }

    /// A checkpoint begins. Gives the event time that it keeps; 0 in another domain.
    pub(crate) fn begin_barrier(&self) -> u64 {
        let event_ms = self.event_time_ms().unwrap_or(0);
        self.barrier_ms.fetch_max(event_ms, Ordering::AcqRel);
        event_ms
    }

    /// Moves event time on; it never goes back.
    ///
    /// # Errors
    /// `Invalid` in another domain.
    pub(crate) fn advance_event_time(&self, to_ms: u64) -> Result<()> {
        if self.domain != Some(Domain::Event) {
            let message = match self.domain {
                None => UNKNOWN,
                Some(_) => {
                    "this store's times to live do not follow event time: a store does that is opened with ttl_time Event when it is new"
                }
            };
            return Err(Error::invalid(message));
        }
        // What never expires outlives every moment that can be told.
        self.event_ms.fetch_max(to_ms.min(NEVER - 1), Ordering::AcqRel);
        Ok(())
    }

    /// Refuses a time to live while nobody knows by which clock it ends.
    ///
    /// # Errors
    /// `Invalid`.
    pub(crate) fn check(&self, expires: bool) -> Result<()> {
        if expires && self.domain.is_none() { Err(Error::invalid(UNKNOWN)) } else { Ok(()) }
    }
}

const UNKNOWN: &str = "this store holds entries with a time to live, and it is not recorded whose time they follow: open it once with ttl_time Processing or \
                       Event, whichever it was written with";

#[cfg(test)]
mod tests {
    use super::*;

    /// A compaction that ran between a checkpoint's barrier and its commit may drop only what had ended at the barrier: a restore goes on there.
    #[test]
    fn compaction_drops_by_the_newest_barrier_in_event_time() {
        let clock = Clock::of(&Agreed { time: Some(Domain::Event), event_time_ms: 7, ..Agreed::default() });
        clock.advance_event_time(50).unwrap();
        assert_eq!((clock.now_ms(), clock.dropping_ms()), (50, 7));
        assert_eq!(clock.begin_barrier(), 50);
        clock.advance_event_time(90).unwrap();
        clock.advance_event_time(60).unwrap();
        assert_eq!((clock.now_ms(), clock.dropping_ms()), (90, 50));
        let processing = Clock::of(&Agreed { time: Some(Domain::Processing), ..Agreed::default() });
        assert!(
            processing.dropping_ms() > 0 && processing.begin_barrier() == 0 && processing.check(true).is_ok()
        );
        let unknown = Clock::of(&Agreed::default());
        assert_eq!((unknown.now_ms(), unknown.dropping_ms()), (0, 0));
        assert!(unknown.check(true).is_err() && unknown.check(false).is_ok());
    }
}
