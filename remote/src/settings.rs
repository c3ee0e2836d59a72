//! Named settings of a store: from the options, else from the process's environment.

use std::collections::BTreeMap;

use crate::error::{RemoteError, RemoteErrorKind};
use crate::options::RemoteOptions;

/// The settings that one kind of store knows. Values may be secrets: there is no `Debug`.
pub(crate) struct Settings {
    values: BTreeMap<&'static str, String>,
}

impl Settings {
    /// Takes the values of `names`; empty ones count as not given.
    ///
    /// # Errors
    /// Kind `InvalidUrl` when the options hold a setting of another name.
    pub(crate) fn new(options: &RemoteOptions, names: &[&'static str]) -> Result<Self, RemoteError> {
        let mut values = BTreeMap::new();
        if options.environment {
            for name in names {
                if let Some(value) = std::env::var(name).ok().filter(|value| !value.is_empty()) {
                    values.insert(*name, value);
                }
            }
        }
        for (name, value) in &options.settings {
            let Some(known) = names.iter().find(|known| known.eq_ignore_ascii_case(name)) else {
                return Err(RemoteError::new(RemoteErrorKind::InvalidUrl, "open")
                    .with_cause(format!("unknown setting {name}: this store has {}", names.join(", "))));
            };
            if value.is_empty() {
                values.remove(known);
            } else {
                values.insert(*known, value.clone());
            }
        }
        Ok(Self { values })
    }

    pub(crate) fn get(&self, name: &str) -> Option<String> {
        self.values.get(name).cloned()
    }
}
