//! What is tried again while the DFS is away.

use crate::error::{ErrorKind, Result};
use aquifer_io::Backoff;

/// Makes attempts until one succeeds or fails for good, at most `tries_max` of them; `Unavailable` is what passes.
///
/// The store's own repeats are below each attempt: this is for those who go on when a request has had its chances. Dropped between two attempts
/// it makes no more.
///
/// # Errors
/// The last attempt's.
pub(crate) async fn retried<T>(
    backoff: Backoff,
    tries_max: usize,
    mut attempt: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let mut tries = 0;
    loop {
        tries += 1;
        match attempt().await {
            Err(error) if error.kind() == ErrorKind::Unavailable && tries < tries_max => {
                aquifer_io::sleep(backoff.pause(tries - 1)).await;
            }
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use std::time::Duration;

    const BACKOFF: Backoff = Backoff::new(Duration::from_micros(10), Duration::from_micros(100));

    async fn tries(tries_max: usize, outcomes: &[Option<ErrorKind>]) -> (usize, Result<()>) {
        let mut made = 0;
        let outcome = retried(BACKOFF, tries_max, async || {
            made += 1;
            outcomes[made - 1].map_or(Ok(()), |kind| Err(Error::new(kind, "a test")))
        });
        let outcome = outcome.await;
        (made, outcome)
    }

    #[test]
    fn what_passes_is_tried_again_and_nothing_else() {
        let away = Some(ErrorKind::Unavailable);
        let thread = aquifer_io::spawn_executor(aquifer_io::ExecutorOptions::default(), move || async move {
            let (made, outcome) = tries(usize::MAX, &[away, away, away, None]).await;
            assert!(made == 4 && outcome.is_ok());
            let (made, outcome) = tries(3, &[away, away, away, None]).await;
            assert_eq!((made, outcome.unwrap_err().kind()), (3, ErrorKind::Unavailable));
            let (made, outcome) = tries(usize::MAX, &[away, Some(ErrorKind::Corrupt), None]).await;
            assert_eq!((made, outcome.unwrap_err().kind()), (2, ErrorKind::Corrupt));
        });
        thread.unwrap().join().unwrap();
    }
}
