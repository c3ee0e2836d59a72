//! The `device` command: what the disk gives, in the engine's own access shapes, to fio and to every I/O backend.
//!
//! ```text
//! find engines ─> make the test file ─> rounds ─┬─> fio      job files of fio-profiles/ ─┬─> idle executors ─> report
//!                                               └─> backend  the same shapes             ┘
//! ```
//!
//! fio is the yardstick and may be missing. The test file is in a temporary folder of its own, which is gone however the
//! command ends.

mod runner;
mod shape;
mod test_file;
mod idle;
mod sample;
mod report;
mod fio_json;
mod fio;
mod backend;
mod table;
mod rounds;
mod probe;
mod ceiling;

use std::time::Duration;

use aquifer_io::{Backend, BackendChoice, select_backend};

pub(crate) use ceiling::read_ceiling;
pub(crate) use probe::{DiskProbe, Reads};
pub(crate) use sample::Sample;

use crate::cli::{DeviceArgs, human_bytes};
use crate::failure::Failure;
use crate::interrupt;
use crate::measure::machine::Machine;
use crate::measure::spread::Times;
use crate::output::{Output, publish};
use crate::progress::{Progress, say};
use fio::Fio;
use report::{Report, SCHEMA};
use rounds::{Engine, Plan};
use shape::{SHAPES, Shape};
use test_file::TestFile;

/// Choices of a backend that are no real disk's: `auto` is one of the others, `simulated` a disk in memory.
const NOT_MEASURED: [&str; 2] = ["auto", "simulated"];

/// An idle executor is watched for so many times a measurement.
const IDLE_FACTOR: u32 = 5;

/// Runs the command to its end, or to the first Ctrl-C.
pub(crate) fn device(args: &DeviceArgs) -> Result<(), Failure> {
    interrupt::watch()?;
    let (started, began_unix_ms) = (aquifer_io::now(), aquifer_io::unix_time_ms());
    let json = args.json.as_deref().map(Output::new).transpose()?;
    let shapes = chosen_shapes(args.only.as_deref())?;
    let mut notes = Vec::new();
    if cfg!(debug_assertions) {
        notes.push("a debug build: only the numbers of fio mean something (cargo run --release)".to_owned());
    }
    let fio = Fio::find().map_err(|note| notes.push(note)).ok();
    let version = fio.as_ref().map(|fio| fio.version().to_owned());
    let backends = real_backends(&mut notes)?;
    notes.iter().for_each(|note| say(&format!("note: {note}")));

    let mut progress = Progress::new();
    let folder = args.dir.clone().unwrap_or_else(crate::scratch::base);
    let machine = Machine::of(&folder);
    progress.step("test file", &format!("{} in {}", human_bytes(args.size_bytes), folder.display()));
    let file = TestFile::create(&folder, args.size_bytes, backends.first)?;
    if !file.is_direct() {
        let note = format!(
            "{} has no direct I/O: the numbers are those of the page cache, not of a disk (choose another --dir)",
            folder.display()
        );
        progress.step("note:", &note);
        notes.push(note);
    }
    let times = Times::new(args.seconds);
    let engines: Vec<Engine> =
        fio.into_iter().map(Engine::Fio).chain(backends.all.iter().copied().map(Engine::Backend)).collect();
    let plan = Plan { engines: &engines, shapes: &shapes, file: &file, times, rounds: args.rounds };
    progress.step("plan", &plan_text(&plan));
    let outcome = plan.run(&mut progress)?;
    notes.extend(outcome.fio_note);
    let mut idle = Vec::new();
    for backend in backends.all {
        progress.step("idle", &backend.to_string());
        idle.push(idle::measure(backend, &file, times.measured * IDLE_FACTOR)?);
    }
    let report = Report {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        command: "device",
        build: if cfg!(debug_assertions) { "debug" } else { "release" },
        began_unix_ms,
        machine,
        dir: folder.display().to_string(),
        file_bytes: file.bytes(),
        direct: file.is_direct(),
        measured_s: times.measured.as_secs_f64(),
        warm_up_s: times.warm_up.as_secs_f64(),
        rounds: args.rounds,
        fio: version,
        notes,
        results: outcome.results,
        idle,
        total_s: started.elapsed().as_secs_f64(),
    };
    drop(file);
    publish(&report, &table::table(&report), json.as_ref())
}

/// The shapes whose name contains a text.
fn chosen_shapes(only: Option<&str>) -> Result<Vec<Shape>, Failure> {
    let chosen: Vec<Shape> =
        SHAPES.into_iter().filter(|shape| only.is_none_or(|text| shape.name().contains(text))).collect();
    if chosen.is_empty() {
        let names: Vec<String> = SHAPES.iter().map(Shape::name).collect();
        return Err(Failure::Usage(format!("--only: no such shape; there are {}", names.join(", "))));
    }
    Ok(chosen)
}

/// Backends that work here.
struct Backends {
    all: Vec<Backend>,
    /// The one that makes the test file.
    first: Backend,
}

/// Tries every backend; a note for each that does not work here.
fn real_backends(notes: &mut Vec<String>) -> Result<Backends, Failure> {
    let mut all = Vec::new();
    for name in BackendChoice::NAMES.into_iter().filter(|name| !NOT_MEASURED.contains(name)) {
        let choice: BackendChoice = name.parse().map_err(|error| Failure::Other(format!("{error}")))?;
        match select_backend(choice) {
            Ok(selection) => all.push(selection.backend),
            Err(error) => notes.push(format!("{name} is not measured: {error}")),
        }
    }
    let first = *all.first().ok_or_else(|| Failure::Other("no I/O backend works here".into()))?;
    Ok(Backends { all, first })
}

fn plan_text(plan: &Plan<'_>) -> String {
    let engines: Vec<String> = plan.engines.iter().map(Engine::name).collect();
    format!(
        "{} shapes through {}, {} rounds of {:?} each: {} and a little more",
        plan.shapes.len(),
        engines.join(", "),
        plan.rounds,
        plan.times.measured,
        minutes(plan.duration())
    )
}

fn minutes(duration: Duration) -> String {
    match duration.as_secs() {
        few if few < 120 => format!("{few} s"),
        many => format!("{} min", many.div_ceil(60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_chosen_by_a_part_of_their_name() {
        assert_eq!(chosen_shapes(None).unwrap().len(), SHAPES.len());
        assert_eq!(chosen_shapes(Some("random-read-4k")).unwrap().len(), 4);
        assert_eq!(chosen_shapes(Some("random-read-4k depth-32")).unwrap().len(), 1);
        let error = chosen_shapes(Some("tape")).unwrap_err().to_string();
        assert!(error.contains("log-write-4k depth-1"), "{error}");
    }

    #[test]
    fn the_pool_of_threads_always_works() {
        let backends = real_backends(&mut Vec::new()).unwrap();
        assert!(backends.all.contains(&Backend::Threads));
        let names: Vec<String> = backends.all.iter().map(ToString::to_string).collect();
        assert!(NOT_MEASURED.iter().all(|name| !names.iter().any(|found| found == name)));
    }
}
