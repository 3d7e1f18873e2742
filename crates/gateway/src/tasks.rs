//! Work that outlives the request that started it: upstream answers that are read to their end after the client
//! hung up. Shutdown waits for it, within its own limit.

use std::future::Future;

use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Spawns what shutdown must wait for.
#[derive(Debug, Clone, Default)]
pub struct Tasks(TaskTracker);

impl Tasks {
    /// Runs `work` to its end, beside whoever asks.
    pub fn spawn<F>(&self, work: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.0.spawn(work)
    }

    /// Counts as running until the token is dropped.
    pub fn token(&self) -> TaskTrackerToken {
        self.0.token()
    }

    /// How much is running.
    pub fn running(&self) -> usize {
        self.0.len()
    }

    /// Returns when nothing that was spawned still runs.
    pub async fn finished(&self) {
        self.0.close();
        self.0.wait().await;
    }
}
