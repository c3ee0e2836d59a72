//! Where a store answers, as the settings say.

use url::Url;

use crate::error::{RemoteError, RemoteErrorKind};

/// Checks an endpoint, which is shown to users: what could hold a secret is refused.
pub(crate) fn check_endpoint(name: &str, endpoint: &str) -> Result<Url, RemoteError> {
    let no_url = || invalid(&format!("{name} is not a URL: https://host:port"));
    if endpoint.chars().any(|character| character.is_control() || character.is_whitespace()) {
        return Err(no_url());
    }
    let url = Url::parse(endpoint).map_err(|_| no_url())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid(&format!("{name} starts with http:// or https://")));
    }
    let has_user = !url.username().is_empty() || url.password().is_some();
    if has_user || url.query().is_some() || url.fragment().is_some() {
        return Err(invalid(&format!("{name} has no user, password, query or fragment")));
    }
    Ok(url)
}

fn invalid(cause: &str) -> RemoteError {
    RemoteError::new(RemoteErrorKind::InvalidUrl, "open").with_cause(cause)
}
