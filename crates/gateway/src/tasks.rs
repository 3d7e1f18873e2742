//! Work that outlives the request that started it: upstream answers that are read to their end after the client
//! hung up. Shutdown waits for it, and in the end cuts it.

use std::future::Future;

use tokio_util::sync::CancellationToken;
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
        self.tracker.spawn(async move { cut.run_until_cancelled_owned(work).await })
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

    /// Drops what was spawned and still runs: it settles by what had passed.
    pub fn cut(&self) {
        self.cut.cancel();
    }
}
