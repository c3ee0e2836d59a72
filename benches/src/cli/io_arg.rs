//! The backend of local files on the command line: `auto`, `threads`, ..

use aquifer_io::{Backend, BackendChoice};

/// For clap: a backend that is in this program, or `auto`.
pub(crate) fn parse_io(text: &str) -> Result<BackendChoice, String> {
    let choice: BackendChoice = text.parse().map_err(|error| format!("{error}"))?;
    match choice.backend().and_then(Backend::missing_feature) {
        Some(feature) => {
            Err(format!("this program was built without it: build it with `--features {feature}`"))
        }
        None => Ok(choice),
    }
}
