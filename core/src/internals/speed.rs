//! What segments cost: an indication of time and of bytes, for `examples/segment_speed.rs`.

use crate::compression_options::Compression;
use crate::entry::Entry;
use crate::error::Result;
use crate::key::{engine_key, key_group};
use crate::segment::block::{self, Expected, Kind};
use crate::segment::cursor::Cursor;
use crate::segment::data::{Access, Builder, DataBlock};
use crate::segment::encoded::{EncodedSegment, WrittenExtent};
use crate::segment::partition::PartitionMeta;
use crate::segment::writer::{SegmentWriter, WriterOptions};
use crate::segment::{SegmentPlace, filter};
use bytes::Bytes;
use std::hint::black_box;
use std::rc::Rc;

/// A name with its unit, and a value.
pub type Figure = (String, f64);

const VALUE_BYTES: usize = 100;

fn keys(count: u64) -> Result<Vec<Box<[u8]>>> {
    let mut keys = Vec::new();
    for n in 0..count {
        let high = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (n >> 7);
        let user = [high.to_le_bytes(), n.wrapping_mul(0xc2b2_ae3d_27d4_eb4f).to_le_bytes()].concat();
        keys.push(engine_key(key_group(&user, 16), &user)?);
    }
    keys.sort_unstable();
    keys.dedup();
    Ok(keys)
}

/// Half of it random, half not, as values mostly are.
fn value(n: usize) -> [u8; VALUE_BYTES] {
    let mut value = [b'v'; VALUE_BYTES];
    let mut state = n as u64 | 1;
    for byte in value.iter_mut().take(VALUE_BYTES / 2) {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        *byte = state.to_le_bytes()[7];
    }
    value
}

fn place() -> Result<SegmentPlace> {
    Ok(SegmentPlace { object: crate::name::unwritten()?, offset: 0 })
}

fn written(keys: &[Box<[u8]>], compression: Compression) -> Result<EncodedSegment> {
    let mut writer = SegmentWriter::new(1, WriterOptions { compression, ..WriterOptions::default() })?;
    for (n, key) in keys.iter().enumerate() {
        writer.push(key, &Entry::put(&value(n)))?;
    }
    writer.finish()
}

/// Encodes and reads segments of `entries` entries of 16-byte keys and 100-byte values.
pub fn segments(entries: u64) -> Result<Vec<Figure>> {
    let keys = keys(entries)?;
    let raw_mb = keys.len() as f64 * (18 + VALUE_BYTES) as f64 / 1e6;
    let mut figures = Vec::new();
    for (name, compression) in [
        ("none", Compression::None),
        ("zstd 1", Compression::Zstd { level: 1 }),
        ("zstd 9", Compression::Zstd { level: 9 }),
    ] {
        let begun = aquifer_io::now();
        let encoded = written(&keys, compression)?;
        let seconds = begun.elapsed().as_secs_f64();
        figures.push((format!("{name}: encode, MB of entries a second"), raw_mb / seconds));
        figures
            .push((format!("{name}: stored bytes an entry"), f64::from(encoded.bytes) / keys.len() as f64));
        decode(name, &encoded, raw_mb, &mut figures)?;
    }
    Ok(figures)
}

fn decode(name: &str, encoded: &EncodedSegment, raw_mb: f64, figures: &mut Vec<Figure>) -> Result<()> {
    let place = place()?;
    let (mut metas, mut meta_bytes, mut filter_bytes) = (Vec::new(), 0, 0);
    for extent in &encoded.extents {
        if let WrittenExtent::Partition(handle) = extent
            && let Some(stored) = encoded.stored(handle.meta_offset(), handle.meta_bytes)
        {
            let expected = Expected { kind: Kind::Partition, crc: handle.meta_crc, dictionary: None };
            let payload = block::decode(&Bytes::copy_from_slice(&stored), expected, &place)?;
            let meta = PartitionMeta::decode(payload, handle.data_bytes, &place)?;
            meta_bytes += meta.memory_bytes();
            filter_bytes += meta.filter_bytes();
            metas.push((handle.offset, meta));
        }
    }
    for (what, access) in [("for points", Access::Points), ("for scans", Access::Scan)] {
        let begun = aquifer_io::now();
        let mut memory_bytes = 0;
        for (offset, meta) in &metas {
            for handle in (0..meta.blocks()).filter_map(|block| meta.block(block, *offset)) {
                let Some(stored) = encoded.stored(handle.offset, handle.bytes) else { continue };
                let expected = Expected { kind: Kind::Data, crc: handle.crc, dictionary: None };
                let decoded = DataBlock::decode(&block::decode(&stored, expected, &place)?, access, &place)?;
                memory_bytes += black_box(decoded).memory_bytes();
            }
        }
        let seconds = begun.elapsed().as_secs_f64();
        figures.push((format!("{name}: decode {what}, MB of entries a second"), raw_mb / seconds));
        if access == Access::Points {
            let entries = encoded.counts().entries as f64;
            figures.push((format!("{name}: decoded bytes of data an entry"), memory_bytes as f64 / entries));
        }
    }
    let entries = encoded.counts().entries as f64;
    figures.push((format!("{name}: filter bits an entry"), filter_bytes as f64 * 8.0 / entries));
    let head_bytes = encoded.head.memory_bytes();
    figures.push((
        format!("{name}: filter and both tiers of the index, bytes of memory an entry"),
        (meta_bytes + head_bytes) as f64 / entries,
    ));
    figures.push((format!("{name}: of these the first tier"), head_bytes as f64 / entries));
    Ok(())
}

/// Point lookups and walks in one decoded block of 4 KiB.
pub fn one_block(rounds: u32) -> Result<Vec<Figure>> {
    let keys = keys(33)?;
    let mut builder = Builder::default();
    for (n, key) in keys.iter().enumerate() {
        builder.push(key, &Entry::put(&value(n)));
    }
    let payload = Bytes::from(builder.finish());
    let hashes: Vec<u64> = keys.iter().map(|key| filter::hash(key)).collect();
    let mut figures = Vec::new();
    let lookups = f64::from(rounds) * keys.len() as f64;
    for (name, access) in [("by the hash", Access::Points), ("by binary search", Access::Scan)] {
        let block = DataBlock::decode(&payload, access, &place()?)?;
        let begun = aquifer_io::now();
        for _ in 0..rounds {
            for (key, hash) in keys.iter().zip(&hashes) {
                black_box(block.find(black_box(key), *hash));
            }
        }
        let nanos = begun.elapsed().as_nanos() as f64;
        figures.push((format!("get in a decoded block {name}, ns"), nanos / lookups));
    }
    let filter = filter::Filter::decode(&Bytes::from(filter::build(&hashes)), &place()?)?;
    let begun = aquifer_io::now();
    for _ in 0..rounds {
        for hash in &hashes {
            black_box(filter.may_contain(black_box(*hash)));
        }
    }
    figures.push(("question to a filter, ns".to_owned(), begun.elapsed().as_nanos() as f64 / lookups));
    let block = Rc::new(DataBlock::decode(&payload, Access::Scan, &place()?)?);
    let begun = aquifer_io::now();
    for _ in 0..rounds {
        let mut cursor = Cursor::first(Rc::clone(&block));
        while let Some(current) = cursor.current() {
            black_box(current);
            cursor.advance();
        }
    }
    figures.push(("step of a cursor, ns".to_owned(), begun.elapsed().as_nanos() as f64 / lookups));
    Ok(figures)
}
