//! The file: two tables that take turns.
//!
//! Records are appended to the current segment under a rising seq. Once every entry of the other one is in the
//! ledger, its intents of calls that are still open are copied over and the whole table is emptied in one
//! stroke, which costs SQLite a visit per page instead of a delete per row. A call that stays open for hours is
//! copied along and blocks nothing.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, Statement, params};

use super::queue::{Kind, Record};
use crate::db::Durability;

/// How the kinds are stored.
pub(super) const INTENT: i64 = 0;
pub(super) const ENTRY: i64 = 1;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS segment_0 (
        seq INTEGER PRIMARY KEY, kind INTEGER NOT NULL, request BLOB NOT NULL, body BLOB NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS segment_1 (
        seq INTEGER PRIMARY KEY, kind INTEGER NOT NULL, request BLOB NOT NULL, body BLOB NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS quarantine (
        id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, request BLOB NOT NULL, body BLOB NOT NULL,
        why TEXT NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS ballast (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;";

/// More is not written at once to see whether there is room.
const MOST_BALLAST: usize = 64 << 20;

/// A current segment with fewer records than this is not worth a turn while calls are open.
const TURN: u64 = 1024;

/// Opens the file for writing, making it if it is not there.
pub(super) fn connect(path: &Path, durability: Durability) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(1))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", durability.pragma())?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "cache_size", -1024)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    connection.execute_batch(SCHEMA)?;
    Ok(connection)
}

/// What is known of one table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) rows: u64,
    /// Seq of its last record.
    pub(super) newest: i64,
    /// Seq of its last entry.
    pub(super) newest_entry: i64,
}

/// What is known of both.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Segments {
    pub(super) tables: [Segment; 2],
    /// Which one is appended to.
    pub(super) current: usize,
}

impl Segments {
    /// Seq of the newest entry of all; 0 without any.
    pub(super) fn newest_entry(&self) -> i64 {
        self.tables.iter().map(|table| table.newest_entry).max().unwrap_or_default()
    }
}

/// The tables and how to write them.
pub(super) struct Book<'c> {
    segments: Segments,
    next_seq: i64,
    /// Seq of the newest entry that was ever committed.
    newest_entry: i64,
    /// Seq of the newest intent of every open call.
    open: HashMap<u64, i64>,
    begin: Statement<'c>,
    commit: Statement<'c>,
    rollback: Statement<'c>,
    insert: [Statement<'c>; 2],
    /// Copies a record into the table of that index, from the other one.
    copy: [Statement<'c>; 2],
    clear: [Statement<'c>; 2],
    quarantine: [Statement<'c>; 2],
    forget: [Statement<'c>; 2],
    load: Statement<'c>,
    unload: Statement<'c>,
}

impl<'c> Book<'c> {
    pub(super) fn new(connection: &'c Connection, segments: Segments) -> rusqlite::Result<Self> {
        let newest = segments.tables.iter().map(|table| table.newest).max().unwrap_or_default();
        let both = |sql: fn(usize) -> String| -> rusqlite::Result<[Statement<'c>; 2]> {
            Ok([connection.prepare(&sql(0))?, connection.prepare(&sql(1))?])
        };
        Ok(Self {
            segments,
            next_seq: newest + 1,
            newest_entry: segments.newest_entry(),
            open: HashMap::new(),
            begin: connection.prepare("BEGIN IMMEDIATE")?,
            commit: connection.prepare("COMMIT")?,
            rollback: connection.prepare("ROLLBACK")?,
            insert: both(|table| format!("INSERT INTO segment_{table} VALUES (?1, ?2, ?3, ?4)"))?,
            copy: both(|table| {
                let from = 1 - table;
                format!(
                    "INSERT INTO segment_{table} SELECT ?1, kind, request, body FROM segment_{from} WHERE seq = ?2"
                )
            })?,
            clear: both(|table| format!("DELETE FROM segment_{table}"))?,
            quarantine: both(|table| {
                format!(
                    "INSERT INTO quarantine (kind, request, body, why) \
                     SELECT kind, request, body, ?2 FROM segment_{table} WHERE seq = ?1"
                )
            })?,
            forget: both(|table| format!("DELETE FROM segment_{table} WHERE seq = ?1"))?,
            load: connection.prepare("INSERT OR REPLACE INTO ballast VALUES (1, zeroblob(?1))")?,
            unload: connection.prepare("DELETE FROM ballast")?,
        })
    }

    /// Seq of the newest entry that was ever committed.
    pub(super) fn newest_entry(&self) -> i64 {
        self.newest_entry
    }

    /// How many calls are open.
    pub(super) fn open_calls(&self) -> usize {
        self.open.len()
    }

    /// Appends the records in one transaction: all of them or none.
    pub(super) fn append(&mut self, records: &[Record]) -> rusqlite::Result<()> {
        let first = self.next_seq;
        self.transaction(|book| {
            let insert = &mut book.insert[book.segments.current];
            for (seq, record) in (first..).zip(records) {
                let kind = match record.kind {
                    Kind::Intent => INTENT,
                    Kind::Entry => ENTRY,
                };
                insert.execute(params![seq, kind, record.request.as_slice(), &*record.body])?;
            }
            Ok(())
        })?;
        let table = &mut self.segments.tables[self.segments.current];
        for (seq, record) in (first..).zip(records) {
            table.rows += 1;
            table.newest = seq;
            match record.kind {
                Kind::Intent => {
                    self.open.insert(record.call, seq);
                }
                Kind::Entry => {
                    self.open.remove(&record.call);
                    table.newest_entry = seq;
                    self.newest_entry = seq;
                }
            }
            self.next_seq = seq + 1;
        }
        Ok(())
    }

    /// Empties what is no longer needed, now that every entry up to `moved` is in the ledger.
    pub(super) fn tidy(&mut self, moved: i64) -> rusqlite::Result<()> {
        let current = self.segments.tables[self.segments.current];
        if self.segments.tables[1 - self.segments.current].rows == 0 {
            let all_open = u64::try_from(self.open.len()).unwrap_or(u64::MAX);
            let idle = self.open.is_empty() && current.rows > 0 && moved >= current.newest_entry;
            if !idle && current.rows < TURN.max(2 * all_open) {
                return Ok(());
            }
            self.segments.current = 1 - self.segments.current;
        }
        let (new, old) = (self.segments.current, 1 - self.segments.current);
        let emptied = self.segments.tables[old];
        if moved < emptied.newest_entry {
            return Ok(());
        }
        let mut kept: Vec<(u64, i64)> = self
            .open
            .iter()
            .filter(|(_, seq)| **seq <= emptied.newest)
            .map(|(call, seq)| (*call, *seq))
            .collect();
        kept.sort_unstable_by_key(|(_, seq)| *seq);
        let first = self.next_seq;
        self.transaction(|book| {
            for (seq, (_, from)) in (first..).zip(&kept) {
                book.copy[new].execute([seq, *from])?;
            }
            book.clear[old].execute([])?;
            Ok(())
        })?;
        let table = &mut self.segments.tables[new];
        for (seq, (call, _)) in (first..).zip(&kept) {
            table.rows += 1;
            table.newest = seq;
            self.open.insert(*call, seq);
            self.next_seq = seq + 1;
        }
        self.segments.tables[old] = Segment::default();
        Ok(())
    }

    /// Puts a record aside.
    pub(super) fn quarantine(&mut self, seq: i64, why: &str) -> rusqlite::Result<()> {
        self.transaction(|book| {
            for table in 0..2 {
                book.quarantine[table].execute(params![seq, why])?;
                book.forget[table].execute([seq])?;
            }
            Ok(())
        })
    }

    /// Writes `bytes` bytes and deletes them again, to see whether there is room for so much. The pages stay the file's.
    pub(super) fn probe(&mut self, bytes: usize) -> rusqlite::Result<()> {
        let bytes = i64::try_from(bytes.min(MOST_BALLAST)).unwrap_or(i64::MAX);
        self.transaction(|book| book.load.execute([bytes]).map(drop))?;
        self.transaction(|book| book.unload.execute([]).map(drop))
    }

    fn transaction(&mut self, work: impl FnOnce(&mut Self) -> rusqlite::Result<()>) -> rusqlite::Result<()> {
        self.begin.execute([])?;
        let done = work(self).and_then(|()| self.commit.execute([]).map(drop));
        if done.is_err() {
            // SQLite has rolled back by itself after some errors, and then this one fails: either way it is done.
            let _ = self.rollback.execute([]);
        }
        done
    }
}
