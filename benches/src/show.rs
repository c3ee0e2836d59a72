//! The `show` command: a result again, as a table and as a page.

use crate::cli::ShowArgs;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::result::{page, read_document, table};

/// Runs the command.
pub(crate) fn show(args: &ShowArgs) -> Result<(), Failure> {
    let html = args.html.as_deref().map(Output::new).transpose()?;
    let document = read_document(&args.file)?;
    if let Some(html) = &html {
        html.write(page(&document).as_bytes())?;
    }
    output::show(&table(&document), html.as_ref().is_some_and(Output::is_stdout))
}
