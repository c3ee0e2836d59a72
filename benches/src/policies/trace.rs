//! Accesses in their order: made up by a distribution, or as real and imitated events touch their keys.

use std::collections::HashMap;

use crate::failure::Failure;
use crate::input::{EventReader, Source};
use crate::load::distribution::{Chooser, Distribution};
use crate::load::rng::Rng;

/// Accesses to keys by number.
pub(super) struct Trace {
    pub(super) name: String,
    /// Different keys.
    pub(super) keys: usize,
    pub(super) accesses: Vec<u32>,
}

/// Every trace.
pub(super) fn all(keys: u64, accesses: u64) -> Result<Vec<Trace>, Failure> {
    let mut traces: Vec<Trace> = [0.8, 0.99, 1.2]
        .into_iter()
        .map(|theta| drawn(format!("Zipf {theta}"), Distribution::Zipf { theta }, keys, accesses))
        .collect();
    let shifting = Distribution::Shifting { keys: 0.05, operations: 0.9, every: (accesses / 8).max(1) };
    traces.push(with_scans(keys, accesses));
    traces.push(drawn("a hot set that shifts".to_owned(), shifting, keys, accesses));
    traces.push(drawn("the newest first".to_owned(), Distribution::Latest, keys, accesses));
    for column in ["tail_number", "destination"] {
        traces.push(flights(column, keys)?);
    }
    let (auctions, bidders) = bids(accesses);
    traces.push(auctions);
    traces.push(bidders);
    Ok(traces)
}

/// Zipf over as many keys as fit twice: for the cost of a hit.
pub(super) fn hits(keys: u64, accesses: u64) -> Trace {
    drawn("hits".to_owned(), Distribution::Zipf { theta: 0.99 }, keys, accesses)
}

fn drawn(name: String, distribution: Distribution, keys: u64, accesses: u64) -> Trace {
    let mut rng = Rng::new(7);
    let mut chooser = Chooser::new(distribution, keys);
    let accesses = (0..accesses).map(|_| narrow(chooser.choose(&mut rng, keys))).collect();
    Trace { name, keys: usize::try_from(keys).unwrap_or(usize::MAX), accesses }
}

/// Zipf 0.99, and eight times on the way a scan of half of all keys.
fn with_scans(keys: u64, accesses: u64) -> Trace {
    let mut zipf =
        drawn("Zipf 0.99 and scans".to_owned(), Distribution::Zipf { theta: 0.99 }, keys, accesses);
    let between = (zipf.accesses.len() / 8).max(1);
    let mut mixed = Vec::new();
    for (scan, part) in zipf.accesses.chunks(between).enumerate() {
        mixed.extend_from_slice(part);
        let first = (scan as u64 % 2) * (keys / 2);
        mixed.extend((first..first + keys / 2).map(narrow));
    }
    zipf.accesses = mixed;
    zipf
}

/// The built-in events by one of their columns.
fn flights(column: &str, keys_max: u64) -> Result<Trace, Failure> {
    let mut events = EventReader::open(&Source::BuiltIn)?;
    let column_at = events.header().index(column)?;
    let mut numbers: HashMap<Box<[u8]>, u32> = HashMap::new();
    let mut accesses = Vec::new();
    while let Some(row) = events.next_row()? {
        let key = row.field(column_at);
        if key.is_empty() {
            continue;
        }
        let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
        let number = *numbers.entry(Box::from(key)).or_insert(next);
        if u64::from(number) < keys_max {
            accesses.push(number);
        }
    }
    Ok(Trace { name: format!("flights by {column}"), keys: numbers.len(), accesses })
}

/// Bids of auctions and of bidders as the Nexmark generator draws them (Tucker, Tufte, Papadimos, Maier: "NEXMark - A Benchmark for
/// Queries over Data Streams"; the proportions are those of the generator in Apache Beam): of 50 events 1 is a person, 3 are auctions,
/// 46 are bids; half of the bids go to the last auction whose number is a multiple of 100, the others to one of the last 100;
/// three quarters are of the last person whose number is a multiple of 100, the others of one of the last 1,000.
fn bids(accesses: u64) -> (Trace, Trace) {
    let mut rng = Rng::new(11);
    let (mut auctions, mut bidders) = (Vec::new(), Vec::new());
    let (mut last_auction, mut last_person) = (0, 0);
    for event in 0..accesses {
        let turn = event % 50;
        let (epoch, auction_turn) = (event / 50, turn.clamp(1, 3) - 1);
        (last_person, last_auction) = (epoch, epoch * 3 + auction_turn);
        if turn < 4 {
            continue;
        }
        let auction = if rng.below(2) == 0 {
            last_auction / 100 * 100
        } else {
            last_auction.saturating_sub(rng.below(100))
        };
        let bidder = if rng.below(4) > 0 {
            last_person / 100 * 100
        } else {
            last_person.saturating_sub(rng.below(1_000))
        };
        auctions.push(narrow(auction));
        bidders.push(narrow(bidder));
    }
    let trace = |name: &str, last: u64, accesses| Trace {
        name: name.to_owned(),
        keys: usize::try_from(last + 1).unwrap_or(usize::MAX),
        accesses,
    };
    (
        trace("Nexmark bids by auction", last_auction, auctions),
        trace("Nexmark bids by bidder", last_person, bidders),
    )
}

/// Keys are fewer than ten million.
fn narrow(key: u64) -> u32 {
    u32::try_from(key).unwrap_or(u32::MAX)
}
