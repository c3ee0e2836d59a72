//! What table and page say before any number, in the same words.

use super::header::Header;
use super::settings::Settings;
use super::utc::utc_text;
use crate::byte_size::human_bytes;

/// Names and texts, the most important first.
pub(crate) fn facts(header: &Header) -> Vec<(&'static str, String)> {
    let machine = &header.machine;
    let or_unknown = |text: &str| if text.is_empty() { "unknown".to_owned() } else { text.to_owned() };
    let memory = human_bytes(machine.memory_bytes);
    let mut facts = vec![
        ("machine", format!("{} cores of {}, {memory} memory", machine.cores, or_unknown(&machine.cpu))),
        ("kernel", format!("Linux {}", or_unknown(&machine.kernel))),
        ("device", device(header)),
        ("versions", versions(header)),
        ("noise", header.noise.text()),
    ];
    if header.partial {
        let reason = header.partial_reason.as_deref().unwrap_or("it ended early");
        facts.push(("PARTIAL", format!("{reason}; what is shown was measured in full")));
    }
    facts.push(("command", header.command_text()));
    if !header.settings.is_empty() {
        facts.push(("settings", settings_text(&header.settings)));
    }
    let seconds = header.ended_unix_ms.saturating_sub(header.began_unix_ms) as f64 / 1e3;
    let load = machine.load_average;
    let when = format!(
        "{}, took {seconds:.1} s, seed {}, load {load:.2} before it",
        utc_text(header.began_unix_ms),
        header.seed
    );
    facts.push(("when", when));
    facts
}

/// Settings in one line, numbers of bytes for people.
pub(crate) fn settings_text(settings: &Settings) -> String {
    let one =
        |(name, value): (&String, &serde_json::Value)| match (name.strip_suffix("_bytes"), value.as_u64()) {
            (Some(name), Some(bytes)) => format!("{}: {}", words(name), human_bytes(bytes)),
            _ => format!("{}: {}", words(name), plain(value)),
        };
    settings.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Text without its quotes; nothing is `none`.
fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => "none".to_owned(),
        serde_json::Value::String(text) if text.is_empty() => "none".to_owned(),
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn words(name: &str) -> String {
    name.replace('_', " ")
}

fn device(header: &Header) -> String {
    let machine = &header.machine;
    let device = if machine.device.is_empty() { "no block device of its own" } else { &machine.device };
    let scheduler = if machine.scheduler.is_empty() { "none known" } else { &machine.scheduler };
    let file_system = if machine.file_system.is_empty() { "unknown" } else { &machine.file_system };
    format!("{device}, scheduler {scheduler}, file system {file_system}")
}

fn versions(header: &Header) -> String {
    let build = &header.build;
    let mut text = format!("{} {}", header.tool, header.version_text());
    let warning = if build.profile == "debug" { " (A DEBUG BUILD: its numbers mean little)" } else { "" };
    text.push_str(&format!(", {} build{warning}", build.profile));
    for part in [&build.rustc, &build.target, &build.rustflags] {
        if !part.is_empty() {
            text.push_str(", ");
            text.push_str(part);
        }
    }
    for (name, version) in &header.versions {
        text.push_str(&format!(", {name} {version}"));
    }
    text
}
