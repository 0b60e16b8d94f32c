//! Waits for a condition, with a deadline and never for a guessed time.

use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(20);

/// Polls until there is a result.
///
/// # Panics
/// If there is none within `limit`.
pub(crate) async fn until<T>(
    what: &str,
    limit: Duration,
    mut ask: impl AsyncFnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// The limit for things that usually take a second or two.
pub(crate) const SOON: Duration = Duration::from_secs(30);
