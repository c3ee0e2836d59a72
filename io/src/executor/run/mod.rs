//! What an executor thread runs, a file for each backend: set up, `main`, drained, torn down.

#[cfg(feature = "glommio")]
mod glommio;
mod threads;
#[cfg(feature = "tokio-uring")]
mod tokio_uring;
mod uring;

use std::future::Future;

use super::life::Report;
use super::options::ExecutorOptions;
use crate::backend::Backend;
use crate::error::IoError;
use crate::pin::Affinity;

/// Runs an executor thread to its end.
pub(super) fn run<F, Fut>(
    options: &ExecutorOptions,
    affinity: Affinity,
    report: Report,
    main: F,
) -> Result<(), IoError>
where
    F: FnOnce() -> Fut + 'static,
    Fut: Future<Output = ()> + 'static,
{
    match options.backend {
        Backend::Uring => uring::run(options, affinity, report, main),
        #[cfg(feature = "tokio-uring")]
        Backend::TokioUring => tokio_uring::run(options, report, main),
        #[cfg(feature = "glommio")]
        Backend::Glommio => glommio::run(options, affinity, report, main),
        // Threads; a simulated one is no thread's own, and what is not built in has none.
        _ => threads::run(options, affinity, report, main),
    }
}
