//! The circumstances that differ between both sides, besides the numbers.

use std::collections::{BTreeMap, BTreeSet};

use crate::byte_size::human_bytes;
use crate::result::{Header, Settings};

/// Name, old, new of everything that differs.
pub(super) fn circumstances(old: &Header, new: &Header) -> Vec<(String, String, String)> {
    let named = |header: &Header| {
        let machine = &header.machine;
        let changed = |header: &Header| if header.dirty == Some(true) { " with changes" } else { "" };
        let commit = header.commit.as_deref().unwrap_or("unknown");
        [
            ("cpu", machine.cpu.clone()),
            ("cores", machine.cores.to_string()),
            ("memory", human_bytes(machine.memory_bytes)),
            ("kernel", machine.kernel.clone()),
            ("device", machine.device.clone()),
            ("scheduler", machine.scheduler.clone()),
            ("file system", machine.file_system.clone()),
            ("version", header.version.clone()),
            ("commit", format!("{commit}{}", changed(header))),
            ("build", header.build.profile.clone()),
            ("compiler", header.build.rustc.clone()),
            ("compiler flags", header.build.rustflags.clone()),
            ("target", header.build.target.clone()),
            ("seed", header.seed.to_string()),
        ]
    };
    let sides = named(old).into_iter().zip(named(new));
    let mut found: Vec<(String, String, String)> = sides
        .filter(|((_, old), (_, new))| old != new)
        .map(|((name, old), (_, new))| (name.to_owned(), or_none(old), or_none(new)))
        .collect();
    found.extend(by_name("version of ", &old.versions, &new.versions));
    found.extend(by_name("setting ", &texts(&old.settings), &texts(&new.settings)));
    found
}

fn texts(settings: &Settings) -> BTreeMap<String, String> {
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    settings.iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

fn by_name(
    what: &str,
    old: &BTreeMap<String, String>,
    new: &BTreeMap<String, String>,
) -> Vec<(String, String, String)> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let side = |of: &BTreeMap<String, String>, name: &String| of.get(name).cloned().unwrap_or_default();
    let sides = names.into_iter().map(|name| (format!("{what}{name}"), side(old, name), side(new, name)));
    sides
        .filter(|(_, old, new)| old != new)
        .map(|(name, old, new)| (name, or_none(old), or_none(new)))
        .collect()
}

fn or_none(text: String) -> String {
    if text.is_empty() { "none".to_owned() } else { text }
}
