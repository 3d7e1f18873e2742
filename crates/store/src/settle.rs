//! The settler: moves entries from the spool into the ledger, exactly once.
//!
//! Constraints:
//! - At least once, because an entry leaves the spool only after the ledger has committed it; at most once,
//!   because a call that is in the ledger already is left as it is.
//! - In the order in which the spool committed them, by one connection: `seq` is the commit order.
//! - The database may be locked, failing or gone for as long as it likes: entries wait in the spool, the state is
//!   logged when it changes, and nothing is given up.
//! - At most a second behind while the database works: under load it moves full batches without pause, else it
//!   collects for a fifth of a second.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::db::{Db, Session};
use crate::error::StoreError;
use crate::repo::{self, Row};
use crate::spool::Spool;
use crate::spool::reader::{Reader, Waiting};

/// Entries per transaction.
const BATCH: usize = 1024;
/// How long to collect entries when there are few.
const LINGER: Duration = Duration::from_millis(200);
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(2);
/// How often a wait looks whether it is time to end.
const STEP: Duration = Duration::from_millis(5);

/// How moving is going.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SettlerHealth {
    /// Why entries cannot be moved now; they wait in the spool.
    pub failing: Option<String>,
}

/// What [`Settler::close`] had to leave in the spool for the next start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// Calls that are not in the ledger yet: settled ones that were not moved, and ones that are still open.
    pub calls: u64,
}

/// The running settler. [`Settler::close`] ends it in good order; when it is just dropped, moving stops and the
/// spool goes on.
#[derive(Debug)]
pub struct Settler {
    state: Arc<State>,
    spool: Spool,
    ended: oneshot::Receiver<()>,
}

#[derive(Debug, Default)]
struct State {
    end: Mutex<Option<End>>,
    failing: Mutex<Option<String>>,
}

/// A view of a settler's health; cheap to clone, and valid after the settler has ended.
#[derive(Debug, Clone)]
pub struct SettlerWatch(Arc<State>);

impl SettlerWatch {
    /// How moving is going.
    pub fn health(&self) -> SettlerHealth {
        SettlerHealth { failing: self.0.failing.lock().clone() }
    }
}

/// How to end.
#[derive(Debug, Clone, Copy)]
enum End {
    /// At once.
    Now,
    /// With everything moved, or at that time.
    By(Instant),
}

impl State {
    fn is_ending(&self) -> bool {
        self.end.lock().is_some()
    }

    /// Whether there is no more time for anything.
    fn is_over(&self) -> bool {
        match *self.end.lock() {
            None => false,
            Some(End::Now) => true,
            Some(End::By(deadline)) => Instant::now() >= deadline,
        }
    }
}

impl Settler {
    /// Starts moving, on a thread of its own: neither decoding nor waiting for the database takes time from the
    /// threads that serve calls.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the spool cannot be read or the thread not started.
    pub fn start(db: &Db, spool: &Spool) -> Result<Self, StoreError> {
        let state = Arc::new(State::default());
        let (end, ended) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| StoreError::Unavailable { source: error.into() })?;
        let mover = Mover {
            target: Target { session: Session::new(db) },
            spool: spool.clone(),
            reader: spool.reader()?,
            state: Arc::clone(&state),
            runtime,
            position: 0,
        };
        std::thread::Builder::new()
            .name("settler".to_owned())
            .spawn(move || {
                mover.run();
                let _ = end.send(());
            })
            .map_err(|error| StoreError::Unavailable { source: error.into() })?;
        Ok(Self { state, spool: spool.clone(), ended })
    }

    /// How moving is going.
    pub fn health(&self) -> SettlerHealth {
        self.watch().health()
    }

    /// Shows how moving is going to whoever does not own the settler.
    pub fn watch(&self) -> SettlerWatch {
        SettlerWatch(Arc::clone(&self.state))
    }

    /// Refuses new calls, waits for the open ones, moves what is left, and stops the spool; all of it within
    /// `within`. What could not be moved stays in the spool for the next start.
    pub async fn close(mut self, within: Duration) -> Left {
        self.end(End::By(Instant::now() + within));
        let _ = (&mut self.ended).await;
        Left { calls: self.spool.health().waiting }
    }

    fn end(&self, end: End) {
        self.state.end.lock().get_or_insert(end);
        self.spool.shared().bell.ring();
    }
}

impl Drop for Settler {
    fn drop(&mut self) {
        self.end(End::Now);
    }
}

/// The settler's thread.
struct Mover {
    target: Target,
    spool: Spool,
    reader: Reader,
    state: Arc<State>,
    runtime: tokio::runtime::Runtime,
    /// Seq of the last entry that is in the ledger.
    position: i64,
}

impl Mover {
    fn run(mut self) {
        while !self.state.is_ending() {
            let bell = &self.spool.shared().bell;
            bell.sleep_unless(|| self.is_behind() || self.state.is_ending());
            self.linger();
            self.move_all();
        }
        let in_order = matches!(*self.state.end.lock(), Some(End::By(_)));
        if in_order {
            self.finish();
        }
        self.runtime.block_on(self.target.session.close());
    }

    /// Nothing new comes in any more, what is there goes out.
    fn finish(&mut self) {
        self.spool.refuse();
        while self.spool.shared().open_calls() > 0 && !self.state.is_over() {
            std::thread::sleep(STEP);
        }
        self.spool.flush();
        while self.is_behind() && !self.state.is_over() {
            self.move_all();
        }
        self.spool.close();
    }

    fn is_behind(&self) -> bool {
        self.spool.shared().settled.load(Ordering::SeqCst) > self.position
    }

    /// Moves until there is less than a full batch, trying again for as long as it takes.
    fn move_all(&mut self) {
        let mut wait = FIRST_RETRY;
        loop {
            match self.move_batch() {
                Ok(moved) => {
                    self.report(None);
                    wait = FIRST_RETRY;
                    if moved < BATCH {
                        return;
                    }
                }
                Err(error) => {
                    self.target.session.forget();
                    self.report(Some(error));
                    let again = Instant::now() + wait;
                    while Instant::now() < again && !self.state.is_over() {
                        std::thread::sleep(STEP);
                    }
                    wait = (wait * 2).min(LAST_RETRY);
                }
            }
            if self.state.is_over() {
                return;
            }
        }
    }

    /// Collects for a while, unless it is time to end.
    fn linger(&self) {
        let until = Instant::now() + LINGER;
        while !self.state.is_ending() && Instant::now() < until {
            std::thread::park_timeout(until.saturating_duration_since(Instant::now()));
        }
    }

    /// Returns how many entries it took out of the spool.
    fn move_batch(&mut self) -> Result<usize, StoreError> {
        let entries = self.reader.entries(self.position, BATCH)?;
        let Some(last) = entries.last() else { return Ok(0) };
        let (last, count) = (last.seq, entries.len());
        let spool = &self.spool;
        let rows = entries.into_iter().filter_map(|entry| decode(spool, entry));
        let new = self.runtime.block_on(self.target.insert(rows, &self.state))?;
        self.position = last;
        self.spool.moved(last, count as u64);
        metrics::counter!("steelyard_ledger_entries_total").increment(new);
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        metrics::gauge!("steelyard_spool_waiting").set(self.spool.health().waiting as f64);
        tracing::trace!(count, new, "entries are in the ledger");
        Ok(count)
    }

    /// Logs and shows a change of state, once.
    fn report(&self, error: Option<StoreError>) {
        let mut failing = self.state.failing.lock();
        match (&error, failing.is_some()) {
            (Some(error), false) => tracing::error!(
                error = error as &dyn std::error::Error,
                "entries cannot be moved into the ledger; they wait in the spool"
            ),
            (None, true) => tracing::info!("entries are moved into the ledger again"),
            _ => {}
        }
        if error.is_some() {
            metrics::counter!("steelyard_ledger_failures_total").increment(1);
        }
        *failing = error.map(|error| describe(&error));
    }
}

/// Puts an entry aside that can never be moved, so that it does not hold up the others.
fn decode(spool: &Spool, entry: Waiting) -> Option<Row> {
    let seq = entry.seq;
    Row::decode(entry.body)
        .inspect_err(|error| {
            tracing::error!(%error, seq, "an entry in the spool cannot be moved into the ledger; it is put aside");
            spool.quarantine(seq, error.to_string());
        })
        .ok()
}

/// An error with its causes.
fn describe(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Where entries go.
struct Target {
    session: Session,
}

impl Target {
    /// Adds the rows in one transaction; returns how many were new. Given up when there is no more time: a server
    /// that says nothing must not hold up the end.
    async fn insert(&mut self, rows: impl Iterator<Item = Row>, state: &State) -> Result<u64, StoreError> {
        let insert = async {
            let mut transaction = self.session.begin().await?;
            let new = repo::insert(&mut transaction, rows).await?;
            transaction.commit().await?;
            Ok(new)
        };
        let over = async {
            while !state.is_over() {
                tokio::time::sleep(STEP).await;
            }
        };
        tokio::select! {
            biased;
            done = insert => done,
            () = over => Err(StoreError::Unavailable { source: "it did not answer in time".into() }),
        }
    }
}

#[cfg(test)]
mod tests;
