//! Faults of an input are named with line and column; good inputs of every form read the same.

use std::io::Write;

use super::*;

/// A file with these bytes; the name's end decides nothing but whether it is taken for zstd.
fn file(suffix: &str, bytes: &[u8]) -> (tempfile::NamedTempFile, Source) {
    let mut file = tempfile::Builder::new().suffix(suffix).tempfile().unwrap();
    file.write_all(bytes).unwrap();
    let source = Source::File(file.path().to_owned());
    (file, source)
}

/// All rows as text, or the first error without the file's name.
fn read(suffix: &str, bytes: &[u8]) -> Result<Vec<Vec<String>>, String> {
    let (_file, source) = file(suffix, bytes);
    let prefix = source.to_string();
    let strip = |error: InputError| error.to_string().strip_prefix(&prefix).unwrap().to_owned();
    let mut reader = EventReader::open(&source).map_err(strip)?;
    let mut rows = Vec::new();
    while let Some(row) = reader.next_row().map_err(strip)? {
        rows.push(
            (0..row.record.len()).map(|i| String::from_utf8_lossy(row.field(i)).into_owned()).collect(),
        );
    }
    Ok(rows)
}

#[test]
fn plain_and_packed_read_the_same() {
    let text = b"k,v\na,1\n\"b,\"\"c\",2\n";
    let plain = read(".csv", text).unwrap();
    assert_eq!(plain, [["a", "1"], ["b,\"c", "2"]]);
    let packed = zstd::encode_all(&text[..], 3).unwrap();
    assert_eq!(read(".csv.zst", &packed).unwrap(), plain);
    assert_eq!(read(".csv", &packed).unwrap(), plain, "known by its magic");
    let two_frames = [packed.as_slice(), &zstd::encode_all(&b"d,4\n"[..], 3).unwrap()].concat();
    assert_eq!(read(".zst", &two_frames).unwrap().len(), 3);
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_are_no_fault() {
    assert_eq!(read("", b"\xEF\xBB\xBFk,v\r\na,1\r\n").unwrap(), [["a", "1"]]);
}

#[test]
fn empty_inputs_are_named() {
    assert_eq!(read("", b"").unwrap_err(), ": the file is empty: a header line is needed");
    assert_eq!(read("", b"\n\n").unwrap_err(), ": there is no header line");
    let packed = zstd::encode_all(&b""[..], 3).unwrap();
    assert_eq!(read(".zst", &packed).unwrap_err(), ": there is no header line");
    assert!(read("", b"k,v\n").unwrap().is_empty(), "the caller judges an input without events");
    assert!(read("", b"k,v").unwrap().is_empty());
}

#[test]
fn the_last_row_needs_no_line_end() {
    let (_file, source) = file("", b"k,v\n\"a\nb\",x");
    let mut reader = EventReader::open(&source).unwrap();
    assert_eq!(reader.next_row().unwrap().unwrap().line(), 2);
    assert!(reader.next_row().unwrap().is_none());
}

#[test]
fn a_column_named_twice_is_an_error() {
    assert_eq!(read("", b"k,v,k\n").unwrap_err(), ", line 1, column k: the header names this column twice");
}

#[test]
fn a_ragged_row_names_its_line() {
    assert_eq!(read("", b"k,v\na,1\nb\n").unwrap_err(), ", line 3: the row has 1 fields, the header 2");
    assert_eq!(
        read("", b"k,v\n\"a\nx\",1\nb,2,3\n").unwrap_err(),
        ", line 4: the row has 3 fields, the header 2"
    );
}

/// The parser skips empty lines and used to count a row after them as standing where the first of them stands.
#[test]
fn the_line_is_right_after_empty_lines() {
    let (_file, source) = file("", b"k,v\n\n\na,1\r\n\r\nb,x\n");
    let mut reader = EventReader::open(&source).unwrap();
    assert_eq!(reader.next_row().unwrap().unwrap().line(), 4);
    let row = reader.next_row().unwrap().unwrap();
    let error = row.whole_number(1).unwrap_err();
    assert!(
        error.to_string().ends_with(", line 6, column v: not a whole number of 64 bits: \"x\""),
        "{error}"
    );
}

#[test]
fn a_broken_frame_is_an_error_wherever_it_breaks() {
    let text: Vec<u8> = std::iter::once("k,v\n".to_owned())
        .chain((0..20_000).map(|i| format!("key-{},{}\n", i % 977, i * 31)))
        .flat_map(String::into_bytes)
        .collect();
    let packed = zstd::encode_all(&text[..], 3).unwrap();
    for cut in [4, 5, 12, packed.len() / 2, packed.len() - 1] {
        let error = read(".zst", &packed[..cut]).unwrap_err();
        assert!(error.contains("broken zstd frame") && error.contains(", line "), "cut at {cut}: {error}");
    }
    let mut checked = Vec::new();
    let mut encoder = zstd::Encoder::new(&mut checked, 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(&text).unwrap();
    encoder.finish().unwrap();
    let last = checked.len() - 1;
    checked[last] ^= 1;
    assert!(read(".zst", &checked).unwrap_err().contains("broken zstd frame"));
    assert!(read(".zst", b"k,v\na,1\n").unwrap_err().contains("broken zstd frame"));
}

#[test]
fn a_window_beyond_the_budget_is_refused_with_the_remedy() {
    let mut packed = Vec::new();
    let mut encoder = zstd::Encoder::new(&mut packed, 3).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(b"k,v\na,1\n").unwrap();
    encoder.finish().unwrap();
    let error = read(".zst", &packed).unwrap_err();
    assert!(error.contains("zstd -19 or lower"), "{error}");
}

#[test]
fn an_open_quotation_mark_does_not_eat_the_memory() {
    let mut text = b"k,v\na,1\n\"b,2\n".to_vec();
    text.resize(4 << 20, b'x');
    assert_eq!(
        read("", &text).unwrap_err(),
        ", line 3: longer than 1048576 bytes: is a quotation mark left open?"
    );
}

#[test]
fn missing_files_and_folders_are_errors() {
    let missing = Source::File("/nonexistent/events.csv".into());
    let error = EventReader::open(&missing).err().unwrap().to_string();
    assert!(error.starts_with("/nonexistent/events.csv: cannot open the input: No such file"), "{error}");
    let folder = Source::File(std::env::temp_dir());
    assert!(EventReader::open(&folder).err().unwrap().to_string().contains("cannot read the input"));
}

#[test]
fn a_missing_column_lists_those_there_are() {
    let (_file, source) = file("", b"k,v\na,1\n");
    let reader = EventReader::open(&source).unwrap();
    let error = reader.header().index("tail_number").unwrap_err().to_string();
    assert!(
        error.ends_with(", line 1, column tail_number: the header has no such column; it has k, v"),
        "{error}"
    );
}

#[test]
fn the_built_in_events_are_whole() {
    let mut reader = EventReader::open(&Source::BuiltIn).unwrap();
    let mut rows = 0;
    while reader.next_row().unwrap().is_some() {
        rows += 1;
    }
    assert_eq!(rows, 336_776);
}
