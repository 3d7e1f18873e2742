//! Start: what an earlier process left in the file. Only the last intent of a call counts, and only when no
//! entry settles it.

use std::collections::HashMap;

use rusqlite::{Connection, params};
use steelyard_core::Clock;

use super::Recovered;
use super::segment::{ENTRY, INTENT, Segment, Segments};
use crate::StoreError;
use crate::record::{decode_intent, encode_entry};

/// Orphans settled per transaction.
const GROUP: usize = 512;

/// Settles the orphans, and says what the file holds then.
pub(super) fn recover(
    connection: &mut Connection,
    clock: &Clock,
) -> Result<(Segments, Recovered), StoreError> {
    let mut segments = Segments::default();
    // Seq of the last intent of every call without an entry.
    let mut open: HashMap<[u8; 16], i64> = HashMap::new();
    let mut waiting = 0;
    for table in by_age(connection)? {
        let mut statement =
            connection.prepare(&format!("SELECT seq, kind, request FROM segment_{table} ORDER BY seq"))?;
        let mut rows = statement.query([])?;
        let mut seen = Segment::default();
        while let Some(row) = rows.next()? {
            let (seq, kind, request): (i64, i64, [u8; 16]) = (row.get(0)?, row.get(1)?, row.get(2)?);
            seen.rows += 1;
            seen.newest = seq;
            if kind == ENTRY {
                open.remove(&request);
                seen.newest_entry = seq;
                waiting += 1;
            } else {
                open.insert(request, seq);
            }
        }
        segments.tables[table] = seen;
        segments.current = table;
    }

    let mut orphans: Vec<i64> = open.into_values().collect();
    orphans.sort_unstable();
    let mut recovered = Recovered { waiting, ..Recovered::default() };
    for group in orphans.chunks(GROUP) {
        settle(connection, clock, group, &mut segments, &mut recovered)?;
    }
    recovered.quarantined = connection
        .query_row("SELECT COUNT(*) FROM quarantine", [], |row| row.get::<_, i64>(0))
        .map(i64::unsigned_abs)?;
    Ok((segments, recovered))
}

/// The tables, the one with the older records first; the last of them is the one to append to.
fn by_age(connection: &Connection) -> rusqlite::Result<[usize; 2]> {
    let newest = |table: usize| -> rusqlite::Result<i64> {
        let sql = format!("SELECT COALESCE(MAX(seq), 0) FROM segment_{table}");
        connection.query_row(&sql, [], |row| row.get(0))
    };
    Ok(if newest(0)? < newest(1)? { [0, 1] } else { [1, 0] })
}

fn settle(
    connection: &mut Connection,
    clock: &Clock,
    intents: &[i64],
    segments: &mut Segments,
    recovered: &mut Recovered,
) -> rusqlite::Result<()> {
    let current = segments.current;
    let transaction = connection.transaction()?;
    let mut newest = segments.tables.iter().map(|table| table.newest).max().unwrap_or_default();
    for seq in intents {
        let (table, request, body) = find(&transaction, *seq)?;
        match decode_intent(&body) {
            Ok(intent) => {
                newest += 1;
                transaction
                    .prepare(&format!("INSERT INTO segment_{current} VALUES (?1, ?2, ?3, ?4)"))?
                    .execute(params![
                        newest,
                        ENTRY,
                        request.as_slice(),
                        encode_entry(&intent.orphaned(clock.now()))
                    ])?;
                let seen = &mut segments.tables[current];
                seen.rows += 1;
                seen.newest = newest;
                seen.newest_entry = newest;
                recovered.orphans += 1;
                recovered.waiting += 1;
            }
            Err(error) => {
                tracing::error!(%error, seq, "an intent in the spool cannot be read; it is put aside");
                transaction.execute(
                    "INSERT INTO quarantine (kind, request, body, why) VALUES (?1, ?2, ?3, ?4)",
                    params![INTENT, request.as_slice(), body, error.to_string()],
                )?;
                transaction.execute(&format!("DELETE FROM segment_{table} WHERE seq = ?1"), [seq])?;
            }
        }
    }
    transaction.commit()
}

/// In which table a record is, whose it is, and what it says.
fn find(connection: &Connection, seq: i64) -> rusqlite::Result<(usize, [u8; 16], Vec<u8>)> {
    let read = |table: usize| {
        let sql = format!("SELECT request, body FROM segment_{table} WHERE seq = ?1");
        connection.prepare(&sql)?.query_row([seq], |row| Ok((table, row.get(0)?, row.get(1)?)))
    };
    match read(0) {
        Err(rusqlite::Error::QueryReturnedNoRows) => read(1),
        other => other,
    }
}
