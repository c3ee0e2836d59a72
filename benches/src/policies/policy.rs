//! The interface of the policies that are compared.

/// A policy chooses which entries a full cache keeps.
pub(super) trait Policy {
    /// Whether the key is there; if not, it is afterwards, and another one may be gone.
    fn access(&mut self, key: u32) -> bool;
}
