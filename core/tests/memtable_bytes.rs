//! The memory that a memtable reports, against what a counting allocator saw it take. A program of its own, without test threads: the
//! allocator counts for the whole process.

#![expect(
    dead_code,
    unused_imports,
    unreachable_pub,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "modules of the crate, of which this uses a part"
)]

#[path = "../src/codec.rs"]
mod codec;
#[path = "../src/embedder_panics.rs"]
mod embedder_panics;
#[path = "../src/entry.rs"]
mod entry;
#[path = "../src/error.rs"]
mod error;
#[path = "../src/key.rs"]
mod key;
#[path = "../src/limits.rs"]
mod limits;
#[path = "../src/memtable/mod.rs"]
mod memtable;
#[path = "../src/merge_operator.rs"]
mod merge_operator;

use entry::{Entry, NEVER};
use memtable::{Memtable, MergeWrite};
use merge_operator::{MergeOperators, operator_id};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Fills a table and compares, at its full size and on the way there.
fn measure(name: &str, steps: u32, mut step: impl FnMut(&mut Memtable, u32)) {
    let before = ALLOCATOR.current_usage();
    let mut table = Memtable::default();
    for n in 0..steps {
        step(&mut table, n);
        if (n + 1).is_power_of_two() || n + 1 == steps {
            let taken = ALLOCATOR.current_usage() - before;
            let reported = table.bytes();
            // Below a few pages there is nothing worth a promise.
            let apart = reported.abs_diff(taken);
            assert!(
                apart <= taken / 10 || apart < 8 * 1024,
                "{name}, {} of {steps}: reports {reported} bytes, takes {taken}",
                n + 1
            );
        }
    }
    let (taken, reported) = (ALLOCATOR.current_usage() - before, table.bytes());
    drop(table);
    assert_eq!(ALLOCATOR.current_usage(), before, "{name} gives all back");
    println!("{name}: reports {reported} bytes, takes {taken}");
}

fn main() {
    let operators = MergeOperators::new(&[]).expect("the built-in ones");
    let mut random = fastrand::Rng::with_seed(5);
    let value = vec![3; 64 * 1024];
    measure("random keys, 100 bytes", 300_000, |table, n| {
        table.write(&random.u128(..).to_le_bytes(), Entry::put(&value[..100]), u64::from(n), None);
    });
    let mut random = fastrand::Rng::with_seed(6);
    measure("updates of values of any length", 300_000, |table, n| {
        let length = if random.u32(..1000) == 0 { random.usize(..64 * 1024) } else { random.usize(..400) };
        let entry = Entry::put(&value[..length]);
        table.write(&random.u32(..20_000).to_le_bytes(), entry, u64::from(n), None);
    });
    let mut random = fastrand::Rng::with_seed(7);
    measure("versions that snapshots hold", 300_000, |table, n| {
        let held = (n > 1000).then(|| u64::from(n - random.u32(..1000)));
        table.write(&random.u32(..20_000).to_le_bytes(), Entry::put(&value[..50]), u64::from(n), held);
    });
    let mut random = fastrand::Rng::with_seed(8);
    measure("deletions of keys", 100_000, |table, n| {
        table.write(&random.u64(..).to_le_bytes(), Entry::delete(), u64::from(n), None);
    });
    let mut random = fastrand::Rng::with_seed(9);
    measure("deletions of ranges, random", 100_000, |table, n| {
        let from = format!("session {:012}", random.u64(..1 << 40));
        table.delete_range(from.as_bytes(), format!("{from}~").as_bytes(), u64::from(n), None);
    });
    measure("deletions of ranges, ascending", 100_000, |table, n| {
        let from = format!("session {n:08}");
        table.delete_range(from.as_bytes(), format!("{from}~").as_bytes(), u64::from(n), None);
    });
    measure("appends to few keys", 300_000, |table, n| {
        let write = MergeWrite {
            operator: operator_id("append"),
            operand: b"0123456789",
            expires_ms: NEVER,
            now_ms: 0,
        };
        let merged = table.merge(&(n % 7).to_le_bytes(), &write, u64::from(n), None, &operators);
        merged.expect("an append that fits");
    });
}
