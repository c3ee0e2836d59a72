//! Who is told that requests wait.

use std::fmt;
use std::sync::Arc;

/// Who is told, in a line of text, that requests wait for the store, and that it answers again. Default nobody.
#[derive(Clone, Default)]
pub struct OnWait(Option<Arc<Tell>>);

pub(crate) type Tell = dyn Fn(&str) + Send + Sync;

impl OnWait {
    /// Calls this with each line; it must not block.
    #[must_use]
    pub fn call(tell: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(tell)))
    }

    /// Who is told, if anybody is.
    pub(crate) fn listener(&self) -> Option<&Tell> {
        self.0.as_deref()
    }
}

impl fmt::Debug for OnWait {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.is_some() { "OnWait(set)" } else { "OnWait(none)" })
    }
}
