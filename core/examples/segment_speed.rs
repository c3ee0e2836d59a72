//! What segments cost in time and bytes, as an indication: one run, on whatever else the machine does.
//!
//! `cargo run --release -p aquifer --features internals --example segment_speed [entries]`

use aquifer::internals::speed;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let entries = std::env::args().nth(1).map_or(Ok(1_000_000), |entries| entries.parse())?;
    for (name, value) in speed::one_block(200_000)?.into_iter().chain(speed::segments(entries)?) {
        println!("{name:<80} {value:>10.2}");
    }
    Ok(())
}
