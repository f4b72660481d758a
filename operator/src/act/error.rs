//! What can go wrong when the API server is asked.

use std::future::Future;
use std::time::Duration;

/// How long one request may take.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// A request that did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// No answer in time; it may have been done.
    #[error("failed to {what}: the API server did not answer in {REQUEST_TIMEOUT:?}")]
    Timeout {
        /// What was asked.
        what: String,
    },
    /// It was refused, or could not be asked.
    #[error("failed to {what}: {}", words(.error))]
    Api {
        /// What was asked.
        what: String,
        /// Why not.
        error: kube::Error,
    },
    /// What the server has cannot be understood.
    #[error("failed to {what}: {why}")]
    Content {
        /// What was asked.
        what: String,
        /// Why not.
        why: String,
    },
}

impl ActError {
    /// Whether somebody else was faster: it is read again at once.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Api { error: kube::Error::Api(status), .. } if status.is_conflict() || status.is_already_exists())
    }

    /// Whether it is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Api { error: kube::Error::Api(status), .. } if status.is_not_found())
    }
}

/// A request with a bound.
///
/// # Errors
/// [`ActError`].
pub async fn bounded<T>(
    what: impl Into<String>,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, ActError> {
    match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(ActError::Api { what: what.into(), error }),
        Err(_) => Err(ActError::Timeout { what: what.into() }),
    }
}

/// What the server says, without what a debugger would show of it.
fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.message.is_empty() => format!("{} ({})", status.reason, status.code),
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}
