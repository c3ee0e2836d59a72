//! Addresses of a store's host, each new connection beginning with another one.
//!
//! ```text
//! name ─> system's resolver ─> v6: a b c │ v4: d e     1st connection   a b c d e
//!                                                      2nd              b c a e d
//! ```
//!
//! Without this, all connections go to the address that the system puts first, while a store with several front ends answers
//! best when all of them are used. Those of one family stay together, so that the client's preference between families
//! (and its quick switch to the other one) stays as it is; who cannot connect to the first goes on to the next.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// The resolver.
#[derive(Debug, Default)]
pub(crate) struct Spread {
    next: Arc<AtomicUsize>,
}

impl Spread {
    /// The addresses of a host in the order in which the next connection tries them.
    pub(crate) fn addresses<H: AsRef<str> + Send>(
        &self,
        host: H,
        port: u16,
    ) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send + use<H> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        async move {
            let found = tokio::net::lookup_host((host.as_ref(), port)).await?;
            Ok(rotated(found.collect(), turn))
        }
    }
}

impl Resolve for Spread {
    fn resolve(&self, name: Name) -> Resolving {
        // The port is filled in by the client.
        let found = self.addresses(name.as_str().to_owned(), 0);
        Box::pin(async move {
            let spread: Addrs = Box::new(found.await?.into_iter());
            Ok(spread)
        })
    }
}

/// Each family's addresses, begun with another one at each turn; the family that came first stays first.
fn rotated(addresses: Vec<SocketAddr>, turn: usize) -> Vec<SocketAddr> {
    let v6_first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut first, mut second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == v6_first);
    for family in [&mut first, &mut second] {
        let by = turn.checked_rem(family.len()).unwrap_or(0);
        family.rotate_left(by);
    }
    first.append(&mut second);
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_turn_begins_with_another_address_of_the_first_family() {
        let all: Vec<SocketAddr> = ["[::1]:0", "10.0.0.1:0", "[::2]:0", "10.0.0.2:0", "[::3]:0"]
            .map(|address| address.parse().unwrap())
            .to_vec();
        let firsts: Vec<String> = (0..6).map(|turn| rotated(all.clone(), turn)[0].to_string()).collect();
        assert_eq!(firsts, ["[::1]:0", "[::2]:0", "[::3]:0", "[::1]:0", "[::2]:0", "[::3]:0"]);
        for turn in 0..6 {
            let mut turned = rotated(all.clone(), turn);
            assert!(turned[..3].iter().all(SocketAddr::is_ipv6), "families stay together");
            turned.sort_unstable();
            let mut sorted = all.clone();
            sorted.sort_unstable();
            assert_eq!(turned, sorted);
        }
        assert!(rotated(Vec::new(), 3).is_empty());
    }

    #[test]
    fn names_of_the_system_are_found() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let found = runtime.block_on(Spread::default().resolve("localhost".parse().unwrap())).unwrap();
        assert!(found.into_iter().all(|address| address.ip().is_loopback()));
    }
}
