//! Waiting for what another process is about to do, with a limit.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

/// How long a test waits for something that should happen at once on an idle machine.
const LIMIT: Duration = Duration::from_secs(15);
const STEP: Duration = Duration::from_millis(10);

/// Waits until `condition` holds; panics with `what` if it does not within 15 s.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    until(what, || std::future::ready(condition().then_some(()))).await;
}

/// Asks `probe` until it has a value; panics with `what` if it has none within 15 s.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut probe: impl FnMut() -> F) -> T {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        assert!(Instant::now() < end, "waited {LIMIT:?} in vain: {what}");
        tokio::time::sleep(STEP).await;
    }
}
