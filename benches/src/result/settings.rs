//! Settings, as results hold them.

use std::collections::BTreeMap;

/// Settings by name, the unit last in the name. Ordered, so that equal settings are equal text.
pub(crate) type Settings = BTreeMap<String, serde_json::Value>;
