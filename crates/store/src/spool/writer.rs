//! The one thread that writes the spool: commits in groups what callers hand over, and tells each of them.
//!
//! When a write fails, everybody in the group is told at once. Intents of that group are forgotten, because
//! their calls were refused; entries are kept and tried again, and until as much can be written as could not, new calls
//! are refused. Should the log hold a group whose `fsync` failed, the next write overwrites it.

use std::time::{Duration, Instant};

use rusqlite::Connection;
use steelyard_core::port::LedgerError;

use super::Shared;
use super::checkpoint::Checkpoints;
use super::queue::{Command, Kind, Queue, Record};
use super::segment::{Book, Segments};

/// Records per transaction.
const GROUP: usize = 512;
/// How long to collect when records come in fast: a commit costs as much as ten records.
const LINGER: Duration = Duration::from_micros(200);
/// Fewer open calls than this cannot send records faster than they are answered.
const CROWD: usize = 4;
const FIRST_RETRY: Duration = Duration::from_millis(20);
const LAST_RETRY: Duration = Duration::from_secs(1);
/// What a group takes beside its records, and a record beside its body, in bytes: pages that are begun, keys.
const PER_GROUP: usize = 2 * 4096;
const PER_RECORD: usize = 64;

/// Runs until [`Command::Close`].
pub(super) fn run(connection: &Connection, segments: Segments, shared: &Shared, checkpoints: &Checkpoints) {
    let _closing = CloseOnDrop(&shared.queue, checkpoints);
    let book = match Book::new(connection, segments) {
        Ok(book) => book,
        Err(error) => {
            tracing::error!(%error, "the spool's statements cannot be prepared");
            shared.set_failing(Some(error.to_string()));
            return;
        }
    };
    Writer {
        connection,
        book,
        shared,
        checkpoints,
        group: Vec::with_capacity(GROUP),
        stuck: Vec::new(),
        retry: None,
        too_much: 0,
        moved: 0,
        aside: Vec::new(),
        pace: Pace::new(),
    }
    .run();
}

/// Lets nobody wait for a writer that is gone, also when it panicked.
struct CloseOnDrop<'a>(&'a Queue, &'a Checkpoints);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.close();
        self.1.stop();
    }
}

struct Writer<'a> {
    connection: &'a Connection,
    book: Book<'a>,
    shared: &'a Shared,
    checkpoints: &'a Checkpoints,
    /// Records of the next transaction.
    group: Vec<Record>,
    /// Entries that could not be written.
    stuck: Vec<Record>,
    /// When to try again, and how long to wait after that.
    retry: Option<(Instant, Duration)>,
    /// The size of the largest group that could not be written, in bytes, until one as large is. There is room again when
    /// there is room for so much: less would end in the next refusal.
    too_much: usize,
    /// Every entry up to here is in the ledger, or is to be put aside.
    moved: i64,
    /// Entries that cannot be moved, and why.
    aside: Vec<(i64, String)>,
    pace: Pace,
}

impl Writer<'_> {
    fn run(mut self) {
        let mut commands = Vec::new();
        let mut closing = false;
        while !closing {
            let linger = if self.book.open_calls() >= CROWD { self.pace.linger() } else { None };
            self.shared.queue.take(&mut commands, linger, self.retry.map(|(at, _)| at));
            self.pace.saw(commands.len());
            for command in commands.drain(..) {
                closing |= self.obey(command);
            }
            self.commit();
            if self.retry.is_some_and(|(at, _)| closing || Instant::now() >= at) {
                self.try_again();
            }
            self.tidy();
        }
        if !self.stuck.is_empty() {
            tracing::error!(
                entries = self.stuck.len(),
                "the spool closes without having written its last entries; the next start settles those calls at their hold"
            );
        }
    }

    /// Returns whether it was the last command.
    fn obey(&mut self, command: Command) -> bool {
        match command {
            Command::Record(record) => {
                self.group.push(record);
                if self.group.len() == GROUP {
                    self.commit();
                }
            }
            Command::Moved { through } => self.moved = self.moved.max(through),
            Command::Quarantine { seq, why } => self.aside.push((seq, why)),
            Command::Flush(done) => {
                self.commit();
                self.tidy();
                let _ = done.send(());
            }
            Command::Close => return true,
            #[cfg(test)]
            Command::Execute(sql) => self.connection.execute_batch(sql).unwrap(),
        }
        false
    }

    fn commit(&mut self) {
        if self.group.is_empty() {
            return;
        }
        if self.retry.is_some() {
            let why = self.shared.failing.lock().clone().unwrap_or_default();
            self.refuse(&why);
            return;
        }
        let started = Instant::now();
        let bytes: usize = self.group.iter().map(|record| record.body.len()).sum();
        let size = PER_GROUP + bytes + self.group.len() * PER_RECORD;
        let gate = self.checkpoints.gate();
        let appended = self.book.append(&self.group).or_else(|_| {
            self.empty_log();
            self.book.append(&self.group)
        });
        drop(gate);
        match appended {
            Ok(()) => {
                if size >= self.too_much {
                    self.too_much = 0;
                }
                metrics::histogram!("steelyard_spool_commit_seconds").record(started.elapsed());
                metrics::counter!("steelyard_spool_records_total").increment(self.group.len() as u64);
                self.publish();
                for record in self.group.drain(..) {
                    if let Some(ack) = record.ack {
                        let _ = ack.send(Ok(()));
                    }
                }
                self.checkpoints.wrote(bytes);
            }
            Err(error) => {
                let why = error.to_string();
                tracing::error!(%error, "the spool cannot be written; new calls are refused until it can");
                metrics::counter!("steelyard_spool_failures_total").increment(1);
                self.shared.set_failing(Some(why.clone()));
                self.too_much = self.too_much.max(size);
                self.retry = Some((Instant::now() + FIRST_RETRY, FIRST_RETRY));
                self.refuse(&why);
            }
        }
    }

    /// Tells the group that it was not written, and keeps its entries.
    fn refuse(&mut self, why: &str) {
        for mut record in self.group.drain(..) {
            if let Some(ack) = record.ack.take() {
                let _ = ack.send(Err(LedgerError::Failed(why.to_owned())));
            }
            if record.kind == Kind::Entry {
                self.stuck.push(record);
            }
        }
    }

    /// The log can be full of what a checkpoint frees. Its own failure shows in the write that follows.
    fn empty_log(&self) {
        let _ = self.connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(()));
    }

    fn try_again(&mut self) {
        self.empty_log();
        let written = self.book.probe(self.too_much).and_then(|()| {
            while !self.stuck.is_empty() {
                let group = self.stuck.len().min(GROUP);
                self.book.append(&self.stuck[..group])?;
                self.stuck.drain(..group);
            }
            Ok(())
        });
        match written {
            Ok(()) => {
                tracing::info!("the spool can be written again");
                self.retry = None;
                self.shared.set_failing(None);
                self.publish();
            }
            Err(error) => {
                let wait = self.retry.map_or(FIRST_RETRY, |(_, wait)| (wait * 2).min(LAST_RETRY));
                self.retry = Some((Instant::now() + wait, wait));
                self.shared.set_failing(Some(error.to_string()));
            }
        }
    }

    /// Lets the settler see what is committed.
    fn publish(&self) {
        self.shared.settled.store(self.book.newest_entry(), std::sync::atomic::Ordering::SeqCst);
        self.shared.bell.ring();
    }

    fn tidy(&mut self) {
        if self.retry.is_some() {
            return;
        }
        let _gate = self.checkpoints.gate();
        // What is not yet put aside must not be emptied away with the rest.
        let tidied = self.put_aside().and_then(|()| self.book.tidy(self.moved));
        if let Err(error) = tidied {
            tracing::warn!(%error, "moved records cannot be deleted from the spool yet");
        }
    }

    fn put_aside(&mut self) -> rusqlite::Result<()> {
        while let Some((seq, why)) = self.aside.last() {
            self.book.quarantine(*seq, why)?;
            self.aside.pop();
        }
        Ok(())
    }
}

/// How fast records come in.
struct Pace {
    last: Instant,
    /// Expected during [`LINGER`].
    expected: f64,
}

impl Pace {
    fn new() -> Self {
        Self { last: Instant::now(), expected: 0.0 }
    }

    fn saw(&mut self, records: usize) {
        let now = Instant::now();
        let passed = now.duration_since(self.last).max(Duration::from_micros(1));
        self.last = now;
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let rate = records as f64 * LINGER.as_secs_f64() / passed.as_secs_f64();
        self.expected += (rate - self.expected) / 4.0;
    }

    /// Whether to collect before the next commit.
    fn linger(&self) -> Option<Duration> {
        (self.expected >= 2.0).then_some(LINGER)
    }
}
