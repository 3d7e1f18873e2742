//! Shutting down: new calls are refused, those in flight end, within a limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use steelyard_gateway::Tasks;

/// Whether the server is shutting down, and which requests it waits for. Cheap to clone and to ask.
#[derive(Debug, Clone, Default)]
pub struct Drain {
    begun: Arc<AtomicBool>,
    /// Requests from the end of their head to the beginning of their answer: before a call is in the gateway's hands,
    /// the rest of its body is waited for as its answer is.
    taken: Tasks,
}

impl Drain {
    /// From now on new calls are refused.
    pub fn begin(&self) {
        self.begun.store(true, Ordering::SeqCst);
    }

    /// Takes a request; none if the server is shutting down. Shutdown waits until what this returns is dropped.
    pub(crate) fn take(&self) -> Option<impl Send + use<>> {
        let taken = self.taken.token();
        // After the token: whoever begins to drain later sees it.
        (!self.has_begun()).then_some(taken)
    }

    /// Returns when every request that was taken has its answer, or the beginning of it.
    pub async fn answered(&self) {
        self.taken.finished().await;
    }

    /// How many requests were taken and have no answer yet: calls, and those of which the body is still arriving.
    pub fn unanswered(&self) -> usize {
        self.taken.running()
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::SeqCst)
    }
}
