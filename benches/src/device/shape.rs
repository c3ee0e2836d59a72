//! The engine's access shapes, each described twice: by a job file for fio, and here for the backends.
//!
//! A test reads the job files and compares. They are part of the program, so that it runs the same ones from anywhere.

/// What an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// One block at a random place.
    RandomRead,
    /// One extent at a random place, by a vectored read of a list of one.
    ExtentRead,
    /// One block after the other.
    RegionWrite,
    /// The same, each made durable before the next; the latency is that of the sync.
    LogWrite,
    /// Blocks at random places in the front half of the file, which are counted, while 1 MiB writes go over the back half.
    ReadWhileWrite,
}

/// A section of a job file, and the same for the backends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// Name of the job file, without its ending.
    pub(super) profile: &'static str,
    /// Section of the job file whose operations count.
    pub(super) section: &'static str,
    /// Text of the job file.
    pub(super) text: &'static str,
    /// What an operation is.
    pub(super) work: Work,
    /// Bytes of an operation.
    pub(super) block_bytes: u32,
    /// Operations in flight.
    pub(super) depth: u32,
}

/// Bytes of one write of [`Work::ReadWhileWrite`].
pub(super) const BESIDE_WRITE_BYTES: u32 = 1 << 20;
/// Most of these writes in a second.
pub(super) const BESIDE_WRITES_PER_S: u32 = 100;

/// Reads a job file in.
macro_rules! profile {
    ($name:literal) => {
        ($name, include_str!(concat!("../../../fio-profiles/", $name, ".fio")))
    };
}

const RANDOM_4K: (&str, &str) = profile!("random-read-4k");
const RANDOM_16K: (&str, &str) = profile!("random-read-16k");
const EXTENT: (&str, &str) = profile!("extent-read-64k");
const REGION: (&str, &str) = profile!("region-write-1m");
const LOG: (&str, &str) = profile!("log-write-4k");
const READ_WHILE_WRITE: (&str, &str) = profile!("read-while-write");

/// All shapes, in the order in which they are shown.
pub(super) const SHAPES: [Shape; 13] = [
    shape(RANDOM_4K, "depth-1", Work::RandomRead, 4 << 10, 1),
    shape(RANDOM_4K, "depth-8", Work::RandomRead, 4 << 10, 8),
    shape(RANDOM_4K, "depth-32", Work::RandomRead, 4 << 10, 32),
    shape(RANDOM_4K, "depth-128", Work::RandomRead, 4 << 10, 128),
    shape(RANDOM_16K, "depth-1", Work::RandomRead, 16 << 10, 1),
    shape(RANDOM_16K, "depth-8", Work::RandomRead, 16 << 10, 8),
    shape(RANDOM_16K, "depth-32", Work::RandomRead, 16 << 10, 32),
    shape(RANDOM_16K, "depth-128", Work::RandomRead, 16 << 10, 128),
    shape(EXTENT, "depth-16", Work::ExtentRead, 64 << 10, 16),
    shape(REGION, "depth-1", Work::RegionWrite, 1 << 20, 1),
    shape(REGION, "depth-4", Work::RegionWrite, 1 << 20, 4),
    shape(LOG, "depth-1", Work::LogWrite, 4 << 10, 1),
    shape(READ_WHILE_WRITE, "reads-depth-32", Work::ReadWhileWrite, 4 << 10, 32),
];

const fn shape(
    profile: (&'static str, &'static str),
    section: &'static str,
    work: Work,
    block_bytes: u32,
    depth: u32,
) -> Shape {
    Shape { profile: profile.0, section, text: profile.1, work, block_bytes, depth }
}

impl Shape {
    /// Job file and section.
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.profile, self.section)
    }

    /// Whether the job file's other sections run beside this one, and not before or after it.
    pub(super) fn runs_whole_file(&self) -> bool {
        self.work == Work::ReadWhileWrite
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;

    use super::*;

    type Settings = BTreeMap<String, String>;

    /// Sections of a job file, each with the settings of `[global]` below its own.
    fn sections(text: &str) -> BTreeMap<String, Settings> {
        let (mut global, mut sections, mut name) = (Settings::new(), BTreeMap::new(), String::new());
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                name = section.to_owned();
                if name != "global" {
                    sections.insert(name.clone(), global.clone());
                }
                continue;
            }
            let (key, value) = line.split_once('=').unwrap_or((line, ""));
            let settings = if name == "global" { &mut global } else { sections.get_mut(&name).unwrap() };
            settings.insert(key.to_owned(), value.to_owned());
        }
        sections
    }

    fn bytes(text: &str) -> u32 {
        let (digits, factor) = match text.strip_suffix('k') {
            Some(digits) => (digits, 1 << 10),
            None => (text.strip_suffix('m').unwrap(), 1 << 20),
        };
        digits.parse::<u32>().unwrap() * factor
    }

    #[test]
    fn shapes_are_what_their_profiles_say() {
        for shape in SHAPES {
            let sections = sections(shape.text);
            let found = sections.get(shape.section).unwrap_or_else(|| panic!("no {}", shape.name()));
            assert_eq!(bytes(&found["bs"]), shape.block_bytes, "{}", shape.name());
            assert_eq!(found["iodepth"], shape.depth.to_string(), "{}", shape.name());
            let writes = matches!(shape.work, Work::RegionWrite | Work::LogWrite);
            assert_eq!(found["rw"], if writes { "write" } else { "randread" }, "{}", shape.name());
            assert_eq!(found.contains_key("fdatasync"), shape.work == Work::LogWrite, "{}", shape.name());
            assert_eq!(found.contains_key("stonewall"), !shape.runs_whole_file(), "{}", shape.name());
            for section in sections.values() {
                if section["rw"] == "write" {
                    assert_eq!(section["scramble_buffers"], "0", "{}", shape.name());
                }
                for (key, value) in
                    [("ioengine", "io_uring"), ("direct", "1"), ("time_based", "1"), ("lat_percentiles", "1")]
                {
                    assert_eq!(section[key], value, "{}, {key}", shape.name());
                }
                for key in ["filename", "runtime", "ramp_time", "numjobs"] {
                    assert!(!section.contains_key(key), "{}: {key} is the command line's", shape.name());
                }
            }
        }
    }

    #[test]
    fn the_writes_beside_reads_are_what_the_profile_says() {
        let shape = SHAPES.iter().find(|shape| shape.work == Work::ReadWhileWrite).unwrap();
        let sections = sections(shape.text);
        let writes = &sections["writes-depth-1"];
        assert_eq!(bytes(&writes["bs"]), BESIDE_WRITE_BYTES);
        assert_eq!(writes["rate_iops"], BESIDE_WRITES_PER_S.to_string());
        assert_eq!((writes["rw"].as_str(), writes["iodepth"].as_str()), ("write", "1"));
        assert_eq!((writes["offset"].as_str(), writes["size"].as_str()), ("50%", "50%"));
        assert_eq!(sections[shape.section]["size"], "50%");
    }

    #[test]
    fn every_section_of_every_profile_is_a_shape() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fio-profiles");
        let mut found = BTreeSet::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "fio") {
                let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
                let text = std::fs::read_to_string(&path).unwrap();
                found.extend(sections(&text).into_keys().map(|section| format!("{name} {section}")));
            }
        }
        let mut known: BTreeSet<String> = SHAPES.iter().map(Shape::name).collect();
        known.insert("read-while-write writes-depth-1".into());
        assert_eq!(found, known);
    }

    #[test]
    fn the_readme_names_every_profile() {
        let readme = include_str!("../../../fio-profiles/README.md");
        for shape in SHAPES {
            assert!(readme.contains(&format!("`{}.fio`", shape.profile)), "{}", shape.profile);
        }
    }
}
