//! The spool: where a record becomes durable before anything else happens to it.
//!
//! Constraints:
//! - [`Ledger::open`] and [`Slot::extend`] return after the intent is committed; a record that could not be
//!   committed was refused, and leaves nothing behind that could later be charged.
//! - [`Slot::settle`] takes the record before it returns, cannot fail for want of room and waits for nobody; it
//!   works from `Drop` and without a runtime, because the writer is a thread of its own.
//! - One thread writes `spool.db`: intents, settlements, and the deletion of what has reached the ledger.
//!   Nothing on a thread of the async runtime touches the disk.
//! - Memory is bounded by the calls that are open, the file by [`SpoolOptions::capacity`].
//!
//! The life of a record: `queue` collects what callers hand over, `writer` commits it in groups, `segment`
//! is the file, `checkpoint` keeps the write-ahead log short from another thread, `recover` settles at start
//! what an earlier process left open. The settler reads entries with `reader`.

mod checkpoint;
mod queue;
pub(crate) mod reader;
mod recover;
mod segment;
mod slot;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use steelyard_core::Clock;
use steelyard_core::port::{BoxFuture, Ledger, LedgerError, Slot};
use steelyard_core::record::Intent;

use crate::db::Durability;
use crate::{DataDir, StoreError};
use queue::{Command, Queue};
use slot::SpoolSlot;

/// How the spool works.
#[derive(Debug, Clone, Copy)]
pub struct SpoolOptions {
    /// What a committed record survives.
    pub durability: Durability,
    /// How many calls may be open or wait to be moved into the ledger; further ones are refused. A waiting call
    /// takes about 1 KB of disk.
    pub capacity: u64,
}

impl Default for SpoolOptions {
    fn default() -> Self {
        Self { durability: Durability::Process, capacity: 1_000_000 }
    }
}

/// What an earlier process left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Calls that were open when it died: now settled, charged at their hold.
    pub orphans: u64,
    /// Entries that wait to be moved into the ledger, the orphans' among them.
    pub waiting: u64,
    /// Records that cannot be read: kept in the table `quarantine`, out of every bill until somebody looks.
    pub quarantined: u64,
}

/// How the spool is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolHealth {
    /// Calls that are open or wait to be moved into the ledger.
    pub waiting: u64,
    /// How many there may be.
    pub limit: u64,
    /// Calls that are open.
    pub open: u64,
    /// Why records cannot be written now; new calls are refused meanwhile.
    pub failing: Option<String>,
}

/// The spool. Cheap to clone; the writer stops when the last clone is dropped or [`Spool::close`] is called.
#[derive(Debug, Clone)]
pub struct Spool {
    shared: Arc<Shared>,
    threads: Arc<Threads>,
}

/// What callers, the writer and the settler have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    queue: Queue,
    clock: Clock,
    path: PathBuf,
    limit: u64,
    /// Calls that hold a place: open, or settled and not yet in the ledger.
    waiting: AtomicU64,
    /// Slots alive.
    open: AtomicU64,
    next_call: AtomicU64,
    /// No new calls: the spool is closing.
    pub(crate) refusing: AtomicBool,
    /// Why the writer cannot write.
    failing: Mutex<Option<String>>,
    is_failing: AtomicBool,
    /// Seq of the newest entry that is committed.
    pub(crate) settled: AtomicI64,
    /// Wakes the settler.
    pub(crate) bell: Bell,
}

/// A thread that sleeps until there is work.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    asleep: AtomicBool,
    thread: Mutex<Option<std::thread::Thread>>,
}

impl Bell {
    /// Sleeps until [`Self::ring`], unless `ready` already; only one thread may do so.
    pub(crate) fn sleep_unless(&self, ready: impl Fn() -> bool) {
        *self.thread.lock() = Some(std::thread::current());
        self.asleep.store(true, Ordering::SeqCst);
        while self.asleep.load(Ordering::SeqCst) && !ready() {
            std::thread::park();
        }
        self.asleep.store(false, Ordering::SeqCst);
    }

    /// Wakes the sleeper; costs one load when nobody sleeps.
    pub(crate) fn ring(&self) {
        if self.asleep.load(Ordering::SeqCst)
            && self.asleep.swap(false, Ordering::SeqCst)
            && let Some(thread) = &*self.thread.lock()
        {
            thread.unpark();
        }
    }
}

impl Shared {
    /// Takes a place for a call, or says why there is none.
    fn admit(&self) -> Result<(), LedgerError> {
        if self.refusing.load(Ordering::Relaxed) {
            return Err(LedgerError::Closed);
        }
        if self.is_failing.load(Ordering::Relaxed) {
            return Err(LedgerError::Failed(self.failing.lock().clone().unwrap_or_default()));
        }
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        if before >= self.limit {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(LedgerError::Full { waiting: before, limit: self.limit });
        }
        Ok(())
    }

    /// Gives the places of calls back that are in the ledger, or never came to be.
    fn give_back(&self, places: u64) {
        self.waiting.fetch_sub(places, Ordering::Relaxed);
    }

    fn set_failing(&self, why: Option<String>) {
        self.is_failing.store(why.is_some(), Ordering::Relaxed);
        *self.failing.lock() = why;
    }

    /// Slots alive.
    pub(crate) fn open_calls(&self) -> u64 {
        self.open.load(Ordering::SeqCst)
    }
}

#[derive(Debug)]
struct Threads {
    shared: Arc<Shared>,
    running: Mutex<Vec<JoinHandle<()>>>,
}

impl Threads {
    /// Commits what has been handed over, stops the threads, and waits for them.
    fn stop(&self) {
        let mut running = self.running.lock();
        self.shared.refusing.store(true, Ordering::Relaxed);
        self.shared.queue.push(Command::Close);
        for thread in running.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the spool panicked");
            }
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Spool {
    /// Opens the spool, settles what an earlier process left open, and starts the writer.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the file cannot be opened or written, [`StoreError::Corrupt`] when it is
    /// damaged.
    pub fn open(dir: &DataDir, options: SpoolOptions, clock: Clock) -> Result<(Self, Recovered), StoreError> {
        let path = dir.spool();
        let mut connection = segment::connect(&path, options.durability)?;
        let (segments, recovered) = recover::recover(&mut connection, &clock)?;
        let shared = Arc::new(Shared {
            queue: Queue::default(),
            clock,
            path: path.clone(),
            limit: options.capacity,
            waiting: AtomicU64::new(recovered.waiting),
            open: AtomicU64::new(0),
            next_call: AtomicU64::new(1),
            refusing: AtomicBool::new(false),
            failing: Mutex::new(None),
            is_failing: AtomicBool::new(false),
            settled: AtomicI64::new(segments.newest_entry()),
            bell: Bell::default(),
        });

        let checkpoints = checkpoint::Checkpoints::default();
        let start = |name: &str, run: Box<dyn FnOnce() + Send>| {
            let thread = std::thread::Builder::new().name(name.to_owned());
            thread.spawn(run).map_err(|error| StoreError::Unavailable { source: error.into() })
        };
        let (writer_shared, writer_checkpoints) = (Arc::clone(&shared), checkpoints.clone());
        let checkpointing = segment::connect(&path, options.durability)?;
        let threads = vec![
            start(
                "spool-writer",
                Box::new(move || {
                    writer::run(&connection, segments, &writer_shared, &writer_checkpoints);
                }),
            )?,
            start("spool-checkpoint", Box::new(move || checkpoint::run(&checkpointing, &checkpoints)))?,
        ];
        let threads = Arc::new(Threads { shared: Arc::clone(&shared), running: Mutex::new(threads) });
        Ok((Self { shared, threads }, recovered))
    }

    /// How the spool is doing.
    pub fn health(&self) -> SpoolHealth {
        SpoolHealth {
            waiting: self.shared.waiting.load(Ordering::Relaxed),
            limit: self.shared.limit,
            open: self.shared.open_calls(),
            failing: self.shared.failing.lock().clone(),
        }
    }

    /// Refuses new calls from now on; open ones can still be settled.
    pub fn refuse(&self) {
        self.shared.refusing.store(true, Ordering::Relaxed);
    }

    /// Refuses new calls, commits what has been handed over, and stops the writer: blocks until that is done.
    /// What is settled later is an orphan at the next start. [`crate::Settler::close`] does this too.
    pub fn close(&self) {
        self.threads.stop();
    }

    /// Returns once everything handed over so far has been tried.
    pub(crate) fn flush(&self) {
        let (done, wait) = std::sync::mpsc::channel();
        if self.shared.queue.push(Command::Flush(done)) {
            let _ = wait.recv();
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Opens the file for reading entries.
    pub(crate) fn reader(&self) -> Result<reader::Reader, StoreError> {
        Ok(reader::Reader::open(&self.shared.path)?)
    }

    /// Tells the writer that every entry up to `through` is in the ledger; `places` of them were waiting.
    pub(crate) fn moved(&self, through: i64, places: u64) {
        self.shared.give_back(places);
        self.shared.queue.push(Command::Moved { through });
    }

    /// Puts an entry aside that cannot be read or stored, so that it does not hold up the others.
    pub(crate) fn quarantine(&self, seq: i64, why: String) {
        self.shared.queue.push(Command::Quarantine { seq, why });
    }

    /// Runs a statement on the writer's own connection: how tests make a disk full.
    #[cfg(test)]
    pub(crate) fn execute(&self, sql: &'static str) {
        self.shared.queue.push(Command::Execute(sql));
        self.flush();
    }
}

impl Ledger for Spool {
    fn open(&self, intent: &Intent) -> BoxFuture<'_, Result<Box<dyn Slot>, LedgerError>> {
        match SpoolSlot::begin(&self.shared, intent) {
            Ok(pending) => Box::pin(async move {
                let slot = pending.committed().await?;
                Ok(Box::new(slot) as Box<dyn Slot>)
            }),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }
}

#[cfg(test)]
mod tests;
