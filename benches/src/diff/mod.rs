//! The `diff` command: one result against another, number by number, with a verdict only beyond the noise.
//!
//! ```text
//! OLD, NEW ─> circumstances   machine, kernel, settings, commits that differ: said first
//!          ─> pairs           phases (run) or arms of rows (compare) with the same name
//!          ─> verdicts        each metric over the quiet rounds of both
//! ```

mod circumstances;
mod pairs;
mod verdict;
mod difference;
mod text;

use crate::cli::DiffArgs;
use crate::failure::Failure;
use crate::output::show;
use crate::result::read_document;
use difference::Difference;
use verdict::Verdict;

/// Runs the command.
pub(crate) fn diff(args: &DiffArgs) -> Result<(), Failure> {
    let (old, new) = (read_document(&args.old)?, read_document(&args.new)?);
    let difference = Difference::of(&old, &new)?;
    let names = [&args.old, &args.new].map(|path| path.display().to_string());
    show(&text::text(&difference, &names, [old.header(), new.header()], args.all), false)?;
    match difference.count(Verdict::is_worse) {
        worse if worse > 0 && args.fail_on_regression => Err(Failure::Regression(worse)),
        _ => Ok(()),
    }
}
