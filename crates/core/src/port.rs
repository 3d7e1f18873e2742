//! Ports: what the gateway needs from whoever keeps the books. `store` implements them.

use std::future::Future;
use std::pin::Pin;

use crate::record::{Entry, Intent};

/// A boxed future, so that ports are object-safe.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why a record could not be made durable.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LedgerError {
    /// Too many records wait to be moved into the ledger; no new call may start.
    #[error("the spool is full: {waiting} records wait to be moved into the ledger (limit {limit})")]
    Full {
        /// Records waiting.
        waiting: u64,
        /// The limit.
        limit: u64,
    },
    /// The disk or the writer failed.
    #[error("the spool cannot be written: {0}")]
    Failed(String),
    /// The writer has stopped.
    #[error("the ledger is closed")]
    Closed,
}

/// Takes intents before money is spent.
pub trait Ledger: Send + Sync {
    /// Returns once the intent is durable, with the slot through which the call is settled. A full spool is
    /// refused here, before anything is sent upstream.
    fn open(&self, intent: &Intent) -> BoxFuture<'_, Result<Box<dyn Slot>, LedgerError>>;
}

/// A place reserved for one call's records, so that settling can neither fail for want of room nor wait.
pub trait Slot: Send + Sync {
    /// Makes a further attempt of the same call durable before it is sent. Every earlier attempt in `intent` is over
    /// and settled: only the last one can still be charged.
    fn extend(&mut self, intent: &Intent) -> BoxFuture<'_, Result<(), LedgerError>>;

    /// Hands the entry over. The record is taken before this function returns, also when the future is dropped
    /// unpolled; the future tells whether it is durable. A record that could not be written is kept and retried.
    fn settle(self: Box<Self>, entry: Entry) -> BoxFuture<'static, Result<(), LedgerError>>;
}
