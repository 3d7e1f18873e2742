//! Reading entries, in the order they were committed, on a connection of the settler's own.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::segment::ENTRY;

/// An entry as it is in the spool.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) seq: i64,
    pub(crate) body: Vec<u8>,
}

/// A connection that only reads.
#[derive(Debug)]
pub(crate) struct Reader {
    connection: Connection,
}

impl Reader {
    pub(crate) fn open(path: &Path) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(Duration::from_secs(1))?;
        connection.pragma_update(None, "cache_size", -256)?;
        Ok(Self { connection })
    }

    /// The entries after `after`, at most `limit`. One read transaction: otherwise the tables could take turns
    /// between the two reads.
    pub(crate) fn entries(&mut self, after: i64, limit: usize) -> rusqlite::Result<Vec<Waiting>> {
        let transaction = self.connection.transaction()?;
        let first = |table: usize| -> rusqlite::Result<i64> {
            let sql = format!("SELECT COALESCE(MIN(seq), 0) FROM segment_{table}");
            transaction.query_row(&sql, [], |row| row.get(0))
        };
        let older_first = if first(0)? < first(1)? { [0, 1] } else { [1, 0] };
        let mut entries = Vec::new();
        for table in older_first {
            let mut statement = transaction.prepare(&format!(
                "SELECT seq, body FROM segment_{table} WHERE seq > ?1 AND kind = {ENTRY} ORDER BY seq LIMIT ?2"
            ))?;
            let left = i64::try_from(limit - entries.len()).unwrap_or(i64::MAX);
            let rows = statement
                .query_map([after, left], |row| Ok(Waiting { seq: row.get(0)?, body: row.get(1)? }))?;
            for row in rows {
                entries.push(row?);
            }
        }
        Ok(entries)
    }
}
