//! What a provider is let in with for a while, and fetches anew before it ends: temporary keys, tokens.

use std::time::{Duration, Instant};

use steelyard_core::Timestamp;
use tokio::sync::Mutex;

/// So long before their end credentials are fetched anew.
const MARGIN: Duration = Duration::from_mins(5);

/// Who is asked may hang: a machine's own address that answers nowhere else, an endpoint that says nothing.
const PATIENCE: Duration = Duration::from_secs(10);

/// So long after a failure nobody is asked again: those who wait in line would each wait as long. Nor is anybody asked
/// again so soon because the vendor refuses what was said: it is the configuration then that is wrong.
const REST: Duration = Duration::from_secs(5);

/// Credentials, with when they end. None: never.
#[derive(Debug, Clone)]
pub(super) struct Lent<T> {
    pub(super) value: T,
    pub(super) ends: Option<Timestamp>,
}

/// What was said last.
pub(super) struct Kept<T>(Mutex<Last<T>>);

struct Last<T> {
    lent: Option<Lent<T>>,
    /// When it was said.
    fetched: Instant,
    /// The vendor has refused it, so it serves only while nothing else is to be had.
    refused: bool,
    failed: Option<(String, Instant)>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Mutex::new(Last { lent: None, fetched: Instant::now(), refused: false, failed: None }))
    }
}

impl<T: Clone> Kept<T> {
    /// Credentials that hold at `now`: those of before, or what `ask` brings. Text: why there are none.
    pub(super) async fn get<F>(&self, now: Timestamp, ask: impl FnOnce() -> F) -> Result<T, String>
    where
        F: Future<Output = Result<Lent<T>, String>>,
    {
        // One at a time: others wait for its answer instead of asking too.
        let mut last = self.0.lock().await;
        let refused = last.refused;
        if let Some(lent) = last.lent.as_ref().filter(|lent| !refused && lent.holds(now.plus(MARGIN))) {
            return Ok(lent.value.clone());
        }
        let why = if let Some(why) = last.failure() {
            why.to_owned()
        } else {
            // Boxed, because every call to any vendor would have room for it otherwise.
            let asked = tokio::time::timeout(PATIENCE, Box::pin(ask())).await;
            match asked.unwrap_or_else(|_| Err(format!("there is no answer within {PATIENCE:?}"))) {
                Ok(lent) => {
                    let value = lent.value.clone();
                    *last = Last { lent: Some(lent), fetched: Instant::now(), refused: false, failed: None };
                    return Ok(value);
                }
                Err(why) => {
                    last.failed = Some((why.clone(), Instant::now()));
                    why
                }
            }
        };
        // Those that are about to end still serve.
        last.lent.as_ref().filter(|lent| lent.holds(now)).map(|lent| lent.value.clone()).ok_or(why)
    }

    /// The vendor has refused what [`Self::get`] gave before `at`: it was taken back, or its signer's keys have changed.
    /// Whether the next `get` brings something else, or tries to.
    pub(super) async fn refused(&self, at: Instant) -> bool {
        let mut last = self.0.lock().await;
        if last.fetched > at {
            return last.lent.is_some();
        }
        if last.lent.is_none() || last.fetched.elapsed() < REST || last.failure().is_some() {
            return false;
        }
        last.refused = true;
        true
    }
}

impl<T> Last<T> {
    /// Why asking failed a moment ago.
    fn failure(&self) -> Option<&str> {
        self.failed.as_ref().filter(|(_, at)| at.elapsed() < REST).map(|(why, _)| why.as_str())
    }
}

impl<T> Lent<T> {
    fn holds(&self, now: Timestamp) -> bool {
        self.ends.is_none_or(|end| now < end)
    }
}
