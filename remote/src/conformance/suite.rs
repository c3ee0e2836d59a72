//! A store under test, and what its checks say.

use std::sync::Arc;

use crate::content::Content;
use crate::error::RemoteError;
use crate::name::ObjectName;
use crate::store::Remote;

/// What a check comes to: else the text says why it failed.
pub(super) type Check<T = ()> = Result<T, String>;

/// See the module.
pub(super) struct Suite {
    pub(super) remote: Arc<dyn Remote>,
    pub(super) folder: String,
}

impl Suite {
    pub(super) fn name(&self, name: &str) -> Check<ObjectName> {
        ObjectName::new(format!("{}/{name}", self.folder)).map_err(|error| error.to_string())
    }

    pub(super) async fn put(&self, name: &str, bytes: Vec<u8>) -> Check<ObjectName> {
        let name = self.name(name)?;
        self.remote.put(&name, Content::from(bytes)).await.map_err(text)?;
        Ok(name)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "passed to map_err by name")]
pub(super) fn text(error: RemoteError) -> String {
    error.to_string()
}

pub(super) fn expect_error<T>(result: Result<T, RemoteError>) -> Check<RemoteError> {
    match result {
        Ok(_) => Err("succeeded where an error is due".to_owned()),
        Err(error) => Ok(error),
    }
}

pub(super) fn index(number: u64) -> Check<usize> {
    usize::try_from(number).map_err(|error| error.to_string())
}

/// Bytes that follow from a seed and repeat at no power of two, so that a shifted read shows.
pub(super) fn pattern(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(bytes + 8);
    while out.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(bytes);
    out
}
