//! What is paid once for an object and not for each of its reads: its URL, parsed, with a signature that holds for a while.
//!
//! ```text
//! name ──> young (at most 2,048) ── full ──> old (what was young before) ── full again ──> forgotten
//!             └────────── used again ──────────┘
//! ```
//!
//! Invariants:
//! * At most twice [`YOUNG_MAX`] objects are held.
//! * No URL is used in the last third of the time for which it holds: clocks differ, and requests take time.
//! * A URL of this kind is a secret: it has no `Debug` and no way into an error.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::Uri;
use hyper::header::HeaderValue;
use tokio::time::Instant;
use url::{Host, Url};

use crate::name::ObjectName;

/// How long a signature holds.
pub(super) const HOLDS: Duration = Duration::from_secs(15 * 60);
/// How long it is used.
const USED: Duration = Duration::from_secs(10 * 60);
/// Objects in one of the two generations.
const YOUNG_MAX: usize = 2_048;

/// A server.
pub(super) struct Origin {
    pub(super) host: String,
    pub(super) port: u16,
}

/// The request for an object, but for the range.
pub(super) struct Prepared {
    pub(super) origin: Origin,
    pub(super) host_header: HeaderValue,
    /// Path and query.
    pub(super) target: Uri,
    made: Instant,
}

impl Prepared {
    /// None for a URL that no request over plain HTTP can be made of.
    pub(super) fn new(url: &Url, made: Instant) -> Option<Self> {
        if url.scheme() != "http" {
            return None;
        }
        let host = match url.host()? {
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        let host_header = match url.port() {
            Some(port) => format!("{}:{port}", url.host_str()?),
            None => url.host_str()?.to_owned(),
        };
        let target = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        Some(Self {
            origin: Origin { host, port: url.port_or_known_default()? },
            host_header: host_header.try_into().ok()?,
            target: target.try_into().ok()?,
            made,
        })
    }

    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.made)
    }
}

#[derive(Default)]
struct Generations {
    young: HashMap<ObjectName, Arc<Prepared>>,
    old: HashMap<ObjectName, Arc<Prepared>>,
}

/// The prepared requests of one store.
#[derive(Default)]
pub(super) struct Cache {
    generations: Mutex<Generations>,
}

impl Cache {
    fn generations(&self) -> MutexGuard<'_, Generations> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The object's request, while its signature is not too old.
    pub(super) fn get(&self, name: &ObjectName, now: Instant) -> Option<Arc<Prepared>> {
        let mut generations = self.generations();
        let found = match generations.young.get(name) {
            Some(found) => Arc::clone(found),
            None => {
                let found = generations.old.remove(name)?;
                generations.add(name, Arc::clone(&found));
                found
            }
        };
        (found.age(now) < USED).then_some(found)
    }

    pub(super) fn put(&self, name: &ObjectName, prepared: Arc<Prepared>) {
        self.generations().add(name, prepared);
    }

    /// Forgets a request that was refused, unless another took its place.
    pub(super) fn forget(&self, name: &ObjectName, refused: &Arc<Prepared>) {
        let mut generations = self.generations();
        let Generations { young, old } = &mut *generations;
        for generation in [young, old] {
            if generation.get(name).is_some_and(|found| Arc::ptr_eq(found, refused)) {
                generation.remove(name);
            }
        }
    }
}

impl Generations {
    fn add(&mut self, name: &ObjectName, prepared: Arc<Prepared>) {
        if self.young.len() >= YOUNG_MAX && !self.young.contains_key(name) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(name.clone(), prepared);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(made: Instant) -> Arc<Prepared> {
        let url = Url::parse("http://[::1]:9000/bucket/x?X-Amz-Signature=s").unwrap();
        Arc::new(Prepared::new(&url, made).unwrap())
    }

    fn name(number: usize) -> ObjectName {
        ObjectName::new(format!("x{number}")).unwrap()
    }

    #[test]
    fn a_request_keeps_what_the_url_says() {
        let made = prepared(Instant::now());
        assert_eq!((made.origin.host.as_str(), made.origin.port), ("::1", 9_000));
        assert_eq!(made.host_header, "[::1]:9000");
        assert_eq!(made.target, "/bucket/x?X-Amz-Signature=s");
        let plain = Prepared::new(&Url::parse("http://host/x").unwrap(), Instant::now()).unwrap();
        assert_eq!((plain.origin.port, plain.host_header.to_str().unwrap()), (80, "host"));
        assert!(Prepared::new(&Url::parse("https://host/x").unwrap(), Instant::now()).is_none());
    }

    #[test]
    fn the_cache_is_bounded_and_keeps_what_is_used() {
        let cache = Cache::default();
        let hot = name(usize::MAX);
        cache.put(&hot, prepared(Instant::now()));
        for number in 0..10 * YOUNG_MAX {
            cache.put(&name(number), prepared(Instant::now()));
            assert!(cache.get(&hot, Instant::now()).is_some(), "{number}");
        }
        let generations = cache.generations();
        assert!(generations.young.len() <= YOUNG_MAX && generations.old.len() <= YOUNG_MAX);
        drop(generations);
        assert!(cache.get(&name(0), Instant::now()).is_none());
        assert!(cache.get(&name(10 * YOUNG_MAX - 1), Instant::now()).is_some());
    }

    #[test]
    fn a_signature_is_not_used_to_its_end() {
        let (cache, made) = (Cache::default(), Instant::now());
        cache.put(&name(0), prepared(made));
        assert!(cache.get(&name(0), made + HOLDS / 2).is_some());
        assert!(cache.get(&name(0), made + HOLDS * 2 / 3).is_none());
    }

    #[test]
    fn only_what_was_refused_is_forgotten() {
        let cache = Cache::default();
        let (refused, renewed) = (prepared(Instant::now()), prepared(Instant::now()));
        cache.put(&name(0), Arc::clone(&renewed));
        cache.forget(&name(0), &refused);
        assert!(cache.get(&name(0), Instant::now()).is_some());
        cache.forget(&name(0), &renewed);
        assert!(cache.get(&name(0), Instant::now()).is_none());
    }
}
