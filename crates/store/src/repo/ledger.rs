//! The ledger: one row per entry, in commit order, never changed.
//!
//! The whole entry is kept as the bytes it was handed over as; the columns beside it are what is searched and
//! summed. Six usage classes have a column each, because nearly every call has them and a column is the cheapest
//! thing to write and to sum; the others share one JSON column, so that a new class is no migration.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;
use steelyard_core::record::Entry;
use steelyard_core::{EntryId, KeyId, RequestId, UsageClass};

use super::usage::{self, Dimension, UsageFilter, UsageRow};
use crate::db::{self, Db, Dialect, Statement, Transaction, Value, sql, without_nul};
use crate::error::{Cause, StoreError};
use crate::record::decode_entry;

/// The usage classes with a column of their own, which has the class's name.
pub(super) const USAGE_COLUMNS: [UsageClass; 6] = [
    UsageClass::Input,
    UsageClass::CacheRead,
    UsageClass::CacheWrite5m,
    UsageClass::CacheWrite1h,
    UsageClass::Output,
    UsageClass::Reasoning,
];

/// The ledger in the database.
#[derive(Debug, Clone, Copy)]
pub struct Ledger<'a> {
    db: &'a Db,
}

impl<'a> Ledger<'a> {
    pub(crate) fn new(db: &'a Db) -> Self {
        Self { db }
    }

    /// The entries after `after`, with their seq, in commit order; at most `limit`. With `request_id`, those of
    /// one call: its entry and the corrections of it.
    pub async fn entries(
        &self,
        after: i64,
        limit: u32,
        request_id: Option<RequestId>,
    ) -> Result<Vec<(i64, Entry)>, StoreError> {
        let select = match request_id {
            None => sql("SELECT seq, record FROM entries WHERE seq > $1 ORDER BY seq LIMIT $2"),
            Some(_) => sql(
                "SELECT seq, record FROM entries WHERE seq > $1 AND request_id = $3 ORDER BY seq LIMIT $2",
            ),
        };
        let select = select.bind(after).bind(i64::from(limit));
        let select = match request_id {
            None => select,
            Some(id) => select.bind(id.as_bytes()),
        };
        let rows = self.db.pool().fetch(select).await?;
        rows.iter().map(read).collect()
    }

    /// The entry of a call, not its corrections; none if it has none yet.
    pub async fn get(&self, request_id: RequestId) -> Result<Option<(i64, Entry)>, StoreError> {
        let select = sql("SELECT seq, record FROM entries WHERE request_id = $1 AND adjusts IS NULL")
            .bind(request_id.as_bytes());
        let row = self.db.pool().fetch_optional(select).await?;
        row.map(|row| read(&row)).transpose()
    }

    /// What was used and what it cost, summed exactly over the entries that pass the filter, one row per
    /// combination of `by` in the order of its values. Without `by`, one row for everything.
    pub async fn usage(&self, filter: &UsageFilter, by: &[Dimension]) -> Result<Vec<UsageRow>, StoreError> {
        usage::sum(self.db, filter, by).await
    }
}

fn read(row: &db::Row) -> Result<(i64, Entry), StoreError> {
    let seq: i64 = row.try_get("seq")?;
    let entry = decode_entry(row.try_get("record")?)
        .map_err(|error| StoreError::corrupt(format!("entry {seq} of the ledger"), error))?;
    Ok((seq, entry))
}

/// An entry on its way into the ledger: the record as it was handed over, and the columns made from it.
#[derive(Debug)]
pub(crate) struct Row {
    entry: Entry,
    amount: Option<(i64, i64)>,
    record: Vec<u8>,
}

impl Row {
    const COLUMNS: usize = 21;

    /// Reads a record of the spool.
    pub(crate) fn decode(record: Vec<u8>) -> Result<Self, Cause> {
        let entry = decode_entry(&record)?;
        let amount = match entry.amount() {
            None => None,
            Some(amount) => Some(amount.columns().ok_or("its amount is beyond what a ledger row can hold")?),
        };
        Ok(Self { entry, amount, record })
    }

    fn bind(self, values: &mut Vec<Value>) -> serde_json::Result<()> {
        let usage = self.entry.usage();
        let Entry { call, outcome, mut attempts, adjusts, .. } = self.entry;
        let (model, channel) = attempts.pop().map(|last| (last.model, last.channel)).unzip();
        let other = usage.counted().filter(|(class, _)| !USAGE_COLUMNS.contains(class));
        let other = json_or_null(other.map(|(class, count)| (class.name(), column(count))))?;
        let tags = call.tags.into_iter().map(|(name, value)| (without_nul(name), without_nul(value)));
        let tags = json_or_null(tags)?;
        values.extend([
            call.request_id.as_bytes().into(),
            adjusts.as_ref().map(EntryId::as_bytes).into(),
            call.time.0.into(),
            call.project.into(),
            call.key.as_ref().map(KeyId::as_bytes).into(),
            call.principal.into(),
            call.route.into(),
            model.into(),
            channel.into(),
            outcome.name().into(),
            self.amount.map(|(high, _)| high).into(),
            self.amount.map(|(_, low)| low).into(),
        ]);
        values.extend(USAGE_COLUMNS.map(|class| Value::from(column(usage[class]))));
        values.extend([other.into(), tags.into(), self.record.into()]);
        Ok(())
    }
}

/// A JSON object, or null in place of an empty one.
fn json_or_null<K: Serialize + Ord, V: Serialize>(
    fields: impl IntoIterator<Item = (K, V)>,
) -> serde_json::Result<Option<String>> {
    let fields: BTreeMap<K, V> = fields.into_iter().collect();
    if fields.is_empty() { Ok(None) } else { serde_json::to_string(&fields).map(Some) }
}

/// Counts beyond 2⁶³ do not happen; should a vendor claim one, the column says 2⁶³ - 1 and the record the claim.
fn column(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Statements for many rows and for few, so that the database prepares three texts and no more.
const CHUNKS: [usize; 3] = [64, 8, 1];

/// Adds entries in order, taking them from `rows` a chunk at a time. A call that is in the ledger already is left
/// as it is: that makes moving idempotent. Returns how many were new.
pub(crate) async fn insert(
    transaction: &mut Transaction<'_>,
    mut rows: impl Iterator<Item = Row>,
) -> Result<u64, sqlx::Error> {
    let mut new = 0;
    loop {
        let mut chunk: VecDeque<Row> = rows.by_ref().take(CHUNKS[0]).collect();
        if chunk.is_empty() {
            return Ok(new);
        }
        for size in CHUNKS {
            while chunk.len() >= size {
                new += insert_chunk(transaction, size, chunk.drain(..size)).await?;
            }
        }
    }
}

async fn insert_chunk(
    transaction: &mut Transaction<'_>,
    size: usize,
    rows: impl Iterator<Item = Row>,
) -> Result<u64, sqlx::Error> {
    let mut values = Vec::with_capacity(size * Row::COLUMNS);
    for row in rows {
        row.bind(&mut values).map_err(|error| sqlx::Error::Encode(error.into()))?;
    }
    let text = insert_sql(transaction.dialect(), size);
    transaction.execute(Statement::new(text, values)).await
}

fn insert_sql(dialect: &Dialect, rows: usize) -> String {
    let classes = USAGE_COLUMNS.map(UsageClass::name).join(", ");
    format!(
        "INSERT INTO entries (request_id, adjusts, time, project, key, principal, route, model, channel, outcome, \
         amount_hi, amount_lo, {classes}, other_usage, tags, record) VALUES {} \
         ON CONFLICT (request_id) WHERE adjusts IS NULL DO NOTHING",
        dialect.placeholders(rows, Row::COLUMNS)
    )
}
