//! How much an answer of a server may be, and how slowly it may come.
//!
//! | answer | bytes | time |
//! |---|---|---|
//! | an object, or a range of it | as announced, which is checked first | the slowest pace that is waited for |
//! | a page of a listing | [`LIST_PAGE_BYTES_MAX`] | the same |
//! | any other success | [`PLAIN_BYTES_MAX`] | the same |
//! | an error | the first [`REFUSAL_BYTES_MAX`] | [`REFUSAL_WAIT`] |
//! | headers | hyper: 100 of them, about 400 KiB | as the first byte |
//! | a listing | one page each, [`LIST_PAGES_MAX`] pages, each with a token of its own, names ascending | the deadline |
//!
//! An answer that comes byte by byte is not silent, and no wait for a next byte would end it: [`Pace`] does.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::options::RemoteOptions;

/// Longest answer with one page of a listing: 5,000 names (Azure's page) with everything that is said of each.
pub(crate) const LIST_PAGE_BYTES_MAX: u64 = 32 << 20;
/// Longest answer that is neither an object nor a listing.
pub(crate) const PLAIN_BYTES_MAX: u64 = 1 << 20;
/// Most requests for one page of ours: servers may give short pages, even empty ones.
pub(crate) const LIST_PAGES_MAX: usize = 1_000;
/// Longest error answer that is looked at.
pub(crate) const REFUSAL_BYTES_MAX: usize = 64 << 10;
/// Longest wait for the body of an error answer once its head is here.
pub(crate) const REFUSAL_WAIT: Duration = Duration::from_secs(1);

/// The time by which an attempt must have come further.
///
/// ```text
/// at most one wait from byte to byte, and in all at most the wait for the first byte + bytes so far / slowest speed
/// ```
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    began: Instant,
    last: Instant,
    first_wait: Duration,
    next_wait: Duration,
    bytes: u64,
    bytes_per_s_min: u64,
}

impl Pace {
    /// Of an attempt that begins now and may take `first_wait` until the head of its answer.
    pub(crate) fn new(options: &RemoteOptions, first_wait: Duration) -> Self {
        let now = Instant::now();
        Self {
            began: now,
            last: now,
            first_wait,
            next_wait: options.attempt_timeout,
            bytes: 0,
            bytes_per_s_min: options.transfer_bytes_per_s_min,
        }
    }

    /// Notes bytes that have come.
    pub(crate) fn came(&mut self, bytes: u64) {
        self.last = Instant::now();
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// When the next byte, or the end, must be here.
    pub(crate) fn until(&self) -> Instant {
        let millis = self.bytes.saturating_mul(1_000).checked_div(self.bytes_per_s_min).unwrap_or(0);
        let in_all = self.first_wait.saturating_add(Duration::from_millis(millis));
        (self.last + self.next_wait).min(self.began + in_all.min(Duration::from_secs(86_400)))
    }

    /// The time that has passed since the attempt began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}

/// The requests of one listing so far.
#[derive(Debug, Default)]
pub(crate) struct Listing(Mutex<Asked>);

#[derive(Debug, Default)]
struct Asked {
    pages: usize,
    token: Option<String>,
}

tokio::task_local! {
    /// The listing that a task is about: the HTTP client below sees its pages, the library between us does not tell.
    pub(crate) static LISTING: Listing;
}

impl Listing {
    /// Notes the request for a page with its query; an error ends the listing.
    pub(crate) fn ask(&self, query: &str) -> Result<(), &'static str> {
        let token = query.split('&').find_map(|parameter| {
            parameter.strip_prefix("continuation-token=").or_else(|| parameter.strip_prefix("marker="))
        });
        let Ok(mut asked) = self.0.lock() else { return Ok(()) };
        asked.pages = asked.pages.saturating_add(1);
        if asked.pages > LIST_PAGES_MAX {
            return Err(
                "the listing does not end: the server says that there is more, page after page, and names nothing",
            );
        }
        if token.is_some() && asked.token.as_deref() == token {
            return Err("the listing does not get on: the server gives the same continuation token again");
        }
        asked.token = token.map(ToOwned::to_owned);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_gets_on_and_ends() {
        let listing = Listing::default();
        assert!(listing.ask("list-type=2&prefix=a").is_ok());
        assert!(listing.ask("continuation-token=1&list-type=2").is_ok());
        assert!(listing.ask("continuation-token=1&list-type=2").is_err());
        let listing = Listing::default();
        let asked = (0..2 * LIST_PAGES_MAX)
            .take_while(|page| listing.ask(&format!("comp=list&marker={page}")).is_ok());
        assert_eq!(asked.count(), LIST_PAGES_MAX);
    }

    #[test]
    fn a_slow_answer_gets_time_for_its_bytes_and_no_more() {
        let attempt_timeout = Duration::from_secs(60);
        let options =
            RemoteOptions { transfer_bytes_per_s_min: 1_000, attempt_timeout, ..RemoteOptions::default() };
        let mut pace = Pace::new(&options, Duration::from_secs(4));
        let began = pace.began;
        assert_eq!(pace.until(), began + Duration::from_secs(4));
        // One byte more gives a millisecond more, not another four seconds.
        pace.came(1);
        assert_eq!(pace.until(), began + Duration::from_millis(4_001));
        pace.came(1 << 20);
        assert_eq!(pace.until(), pace.last + options.attempt_timeout);
        pace.came(u64::MAX);
        assert!(pace.until() <= pace.last + options.attempt_timeout);
    }
}
