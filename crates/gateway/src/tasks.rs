//! Work that outlives the request that started it: upstream answers that are read to their end after the client
//! hung up. Shutdown waits for it, and in the end cuts it.

use std::future::Future;
use std::pin::Pin;

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Spawns what shutdown must wait for.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    cut: CancellationToken,
}

impl Tasks {
    /// Runs `work` to its end, beside whoever asks; none if shutdown cut it.
    pub fn spawn<F>(&self, work: F) -> tokio::task::JoinHandle<Option<F::Output>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let cut = self.cut.clone();
        // Boxed at once: each layer of futures around it would have room for it twice, and tasks live long.
        let work = Box::pin(work);
        self.tracker.spawn(async move { cut.run_until_cancelled_owned(work).await })
    }

    /// Runs `work`, which comes to its end by itself once shutdown cuts.
    pub(crate) fn accompany<F>(&self, work: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tracker.spawn(work)
    }

    /// Waits for `work`; none if shutdown cut it. It is lent: whoever took it would have room for it three times.
    pub async fn until_cut<F: Future>(&self, work: Pin<&mut F>) -> Option<F::Output> {
        self.cut.run_until_cancelled(work).await
    }

    /// Ready when shutdown cuts.
    pub(crate) fn when_cut(&self) -> WaitForCancellationFutureOwned {
        // A token of its own: streams look at theirs at every turn, and must not wait for each other.
        self.cut.child_token().cancelled_owned()
    }

    /// Whether shutdown has cut.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut.is_cancelled()
    }

    /// Counts as running until the token is dropped.
    pub fn token(&self) -> TaskTrackerToken {
        self.tracker.token()
    }

    /// How much is running.
    pub fn running(&self) -> usize {
        self.tracker.len()
    }

    /// Returns when nothing that was spawned still runs.
    pub async fn finished(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Ends what still runs: it settles by what had passed, and callers are told why.
    pub fn cut(&self) {
        self.cut.cancel();
    }
}
