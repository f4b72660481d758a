//! Waiting for what no event tells, with an end.

use anyhow::{Result, bail};
use std::future::Future;
use std::time::Duration;
use tokio::time::Instant;

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Asks again and again until there is an answer.
///
/// # Errors
/// What the last look said, after `limit`.
pub async fn until<T, F, Fut>(what: &str, limit: Duration, mut look: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let end = Instant::now() + limit;
    loop {
        let last = match tokio::time::timeout_at(end, look()).await {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => "the last look did not end".to_owned(),
        };
        if Instant::now() + PAUSE >= end {
            bail!("failed to see {what} in {limit:?}: {last}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}
