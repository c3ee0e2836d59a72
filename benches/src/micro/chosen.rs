//! Which rows are measured.

/// The groups that were asked for.
pub(super) struct Chosen<'a>(pub(super) Option<&'a str>);

impl Chosen<'_> {
    pub(super) fn has(&self, group: &str) -> bool {
        self.0.is_none_or(|text| group.contains(text))
    }
}
