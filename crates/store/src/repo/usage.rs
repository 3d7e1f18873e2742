//! Sums over the ledger, made by the database: exact, and without holding the entries in memory.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use steelyard_core::record::Outcome;
use steelyard_core::{KeyId, Money, Timestamp, Usage, UsageClass};

use super::ledger::USAGE_COLUMNS;
use crate::db::{Db, Dialect, Row, Statement, id_bytes, sql};
use crate::error::StoreError;

/// What to group by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dimension {
    /// The project's name.
    Project,
    /// The key's id.
    Key,
    /// Who called.
    Principal,
    /// The name the client called.
    Route,
    /// The model of the last attempt.
    Model,
    /// The channel of the last attempt.
    Channel,
    /// The day in UTC, `2026-11-21`.
    Day,
    /// The hour in UTC, `2026-11-21T10:00:00Z`.
    Hour,
    /// How the call ended.
    Outcome,
    /// The value of a tag.
    Tag(String),
}

/// A text that is not a dimension.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a dimension: use project, key, principal, route, model, channel, day, hour, outcome or tag:NAME"
)]
pub struct UnknownDimension(String);

impl FromStr for Dimension {
    type Err = UnknownDimension;
    fn from_str(text: &str) -> Result<Self, UnknownDimension> {
        Ok(match text {
            "project" => Self::Project,
            "key" => Self::Key,
            "principal" => Self::Principal,
            "route" => Self::Route,
            "model" => Self::Model,
            "channel" => Self::Channel,
            "day" => Self::Day,
            "hour" => Self::Hour,
            "outcome" => Self::Outcome,
            _ => match text.strip_prefix("tag:") {
                Some(name) if !name.is_empty() => Self::Tag(name.to_owned()),
                _ => return Err(UnknownDimension(text.chars().take(80).collect())),
            },
        })
    }
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(name) => write!(f, "tag:{name}"),
            other => f.write_str(other.column()),
        }
    }
}

const DAY: i64 = 86_400_000_000;
const HOUR: i64 = 3_600_000_000;

impl Dimension {
    fn column(&self) -> &'static str {
        match self {
            Self::Project => "project",
            Self::Key => "key",
            Self::Principal => "principal",
            Self::Route => "route",
            Self::Model => "model",
            Self::Channel => "channel",
            Self::Day => "day",
            Self::Hour => "hour",
            Self::Outcome => "outcome",
            Self::Tag(_) => "tags",
        }
    }

    fn push(&self, query: &mut Statement, dialect: &Dialect) {
        match self {
            Self::Day => query.push(format_args!("time / {DAY}")),
            Self::Hour => query.push(format_args!("time / {HOUR}")),
            Self::Tag(name) => push_tag(query, dialect, name),
            other => query.push(format_args!("entries.{}", other.column())),
        };
    }

    fn read(&self, row: &Row, index: usize) -> Result<Option<String>, StoreError> {
        Ok(match self {
            Self::Day => row.try_get::<Option<i64>>(index)?.map(|day| show(day.saturating_mul(DAY), 10, "")),
            Self::Hour => {
                row.try_get::<Option<i64>>(index)?.map(|hour| show(hour.saturating_mul(HOUR), 13, ":00:00Z"))
            }
            Self::Key => {
                let bytes: Option<&[u8]> = row.try_get(index)?;
                let id = bytes.map(|bytes| id_bytes("a key's id in the ledger", bytes)).transpose()?;
                id.map(|id| KeyId::from_bytes(id).to_string())
            }
            _ => row.try_get(index)?,
        })
    }
}

/// The value of a tag.
fn push_tag<'q>(query: &'q mut Statement, dialect: &Dialect, name: &str) -> &'q mut Statement {
    let [before, after] = dialect.tag;
    query.push(before).push_bind(name).push(after)
}

/// The first characters of a time, and an end.
fn show(micros: i64, keep: usize, end: &str) -> String {
    let text: String = Timestamp(micros).to_string().chars().take(keep).collect();
    text + end
}

/// Which entries count; `None` lets every value pass.
#[derive(Debug, Clone, Default)]
pub struct UsageFilter {
    /// Calls that arrived then or later.
    pub from: Option<Timestamp>,
    /// Calls that arrived before then.
    pub to: Option<Timestamp>,
    /// Of this project, by name.
    pub project: Option<String>,
    /// By this key.
    pub key: Option<KeyId>,
    /// By this principal.
    pub principal: Option<String>,
    /// To this route.
    pub route: Option<String>,
    /// To this model.
    pub model: Option<String>,
    /// Over this channel.
    pub channel: Option<String>,
    /// That ended so.
    pub outcome: Option<Outcome>,
    /// With this tag and value.
    pub tag: Option<(String, String)>,
}

impl UsageFilter {
    fn push(&self, query: &mut Statement, dialect: &Dialect) {
        query.push(" WHERE 1 = 1");
        if let Some(from) = self.from {
            query.push(" AND time >= ").push_bind(from.0);
        }
        if let Some(to) = self.to {
            query.push(" AND time < ").push_bind(to.0);
        }
        if let Some(key) = self.key {
            query.push(" AND entries.key = ").push_bind(key.as_bytes());
        }
        let outcome = self.outcome.map(|outcome| outcome.name().to_owned());
        let texts = [
            ("project", &self.project),
            ("principal", &self.principal),
            ("route", &self.route),
            ("model", &self.model),
            ("channel", &self.channel),
            ("outcome", &outcome),
        ];
        for (column, value) in texts {
            if let Some(value) = value {
                query.push(format_args!(" AND {column} = ")).push_bind(value);
            }
        }
        if let Some((name, value)) = &self.tag {
            query.push(" AND ");
            push_tag(query, dialect, name).push(" = ").push_bind(value);
        }
    }
}

/// Sums of one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    /// The group's values in the order of the dimensions; none where an entry has no such value.
    pub group: Vec<Option<String>>,
    /// How many calls.
    pub calls: u64,
    /// What they used, by class.
    pub usage: Usage,
    /// What they cost; calls without a known price are not in it. None: not one of them has a known price.
    pub amount: Option<Money>,
    /// How many of them have no known price.
    pub unpriced: u64,
    /// How many calls never settled and are charged at their worst case.
    pub held: u64,
    /// What they are charged, which is part of `amount`.
    pub held_amount: Money,
}

/// Runs both sums in one read transaction, so that they are of the same entries.
pub(super) async fn sum(
    db: &Db,
    filter: &UsageFilter,
    by: &[Dimension],
) -> Result<Vec<UsageRow>, StoreError> {
    let mut transaction = db.pool().begin_read().await?;
    let dialect = transaction.dialect();
    let rows = transaction.fetch(columns(dialect, filter, by)).await?;
    let mut sums = rows.iter().map(|row| read(row, by)).collect::<Result<Vec<_>, _>>()?;
    let others = transaction.fetch(others(dialect, filter, by)).await?;
    transaction.commit().await?;

    let place: HashMap<_, _> =
        sums.iter().enumerate().map(|(index, row)| (row.group.clone(), index)).collect();
    for row in &others {
        let class: &str = row.try_get(by.len())?;
        let class: UsageClass =
            class.parse().map_err(|error| StoreError::corrupt("a usage class in the ledger", error))?;
        if let Some(index) = place.get(&group(row, by)?) {
            sums[*index].usage[class] = units(row, by.len() + 1)?;
        }
    }
    Ok(sums)
}

fn select(dialect: &Dialect, by: &[Dimension]) -> Statement {
    let mut query = sql("SELECT ");
    for dimension in by {
        dimension.push(&mut query, dialect);
        query.push(", ");
    }
    query
}

/// ` GROUP BY 1, 2, …`, in their order; the engines differ about where nulls stand.
fn group_by(query: &mut Statement, columns: usize) {
    let numbers: Vec<String> = (1..=columns).map(|column| column.to_string()).collect();
    if !numbers.is_empty() {
        let (groups, order) = (numbers.join(", "), numbers.join(" NULLS FIRST, "));
        query.push(format_args!(" GROUP BY {groups} ORDER BY {order} NULLS FIRST"));
    }
}

/// Where numbers are split to be summed, and where `amount_hi` and `amount_lo` are.
const SPLIT: i128 = 1_000_000_000;

/// A sum in two columns. In one, two absurd figures overflow the database's integers, and then no sum over them
/// can be had ever again; halves overflow after 10⁹ rows.
fn split_sum(number: &str) -> String {
    let number = format!("CAST({number} AS BIGINT)");
    format!("CAST(SUM({number} / {SPLIT}) AS BIGINT), CAST(SUM({number} % {SPLIT}) AS BIGINT)")
}

/// Calls, amounts and the classes that have a column.
fn columns(dialect: &Dialect, filter: &UsageFilter, by: &[Dimension]) -> Statement {
    let mut query = select(dialect, by);
    query.push(
        "SUM(CASE WHEN adjusts IS NULL THEN 1 ELSE 0 END), SUM(CASE WHEN amount_hi IS NULL THEN 1 ELSE 0 END), \
         CAST(SUM(amount_lo) AS BIGINT)",
    );
    // Whatever was not settled is charged at its hold, and nothing else is.
    let held = |column: &str| format!("CASE WHEN outcome = 'unsettled' THEN {column} END");
    query.push(format_args!(
        ", COUNT({}), CAST(SUM({}) AS BIGINT), {}",
        held("amount_hi"),
        held("amount_lo"),
        split_sum(&held("amount_hi"))
    ));
    for column in ["amount_hi"].into_iter().chain(USAGE_COLUMNS.map(UsageClass::name)) {
        query.push(format_args!(", {}", split_sum(column)));
    }
    query.push(" FROM entries");
    filter.push(&mut query, dialect);
    group_by(&mut query, by.len());
    query
}

/// The classes that share a JSON column.
fn others(dialect: &Dialect, filter: &UsageFilter, by: &[Dimension]) -> Statement {
    let mut query = select(dialect, by);
    let (count, table) = (split_sum(dialect.other_count), dialect.other_usage);
    query.push(format_args!("other.key, {count} FROM entries, {table}"));
    filter.push(&mut query, dialect);
    query.push(" AND other_usage IS NOT NULL");
    group_by(&mut query, by.len() + 1);
    query
}

fn read(row: &Row, by: &[Dimension]) -> Result<UsageRow, StoreError> {
    let first = by.len();
    let mut usage = Usage::ZERO;
    for (index, class) in USAGE_COLUMNS.into_iter().enumerate() {
        usage[class] = units(row, first + 9 + 2 * index)?;
    }
    let unpriced = count(row, first + 1)?;
    // A sum over nulls alone is null, and so is one over no entries at all, which is zero.
    let priced = unpriced == 0 || row.try_get::<Option<i64>>(first + 2)?.is_some();
    Ok(UsageRow {
        group: group(row, by)?,
        calls: count(row, first)?,
        unpriced,
        amount: if priced { Some(money(row, first + 7, first + 2)?) } else { None },
        held: count(row, first + 3)?,
        held_amount: money(row, first + 5, first + 4)?,
        usage,
    })
}

fn group(row: &Row, by: &[Dimension]) -> Result<Vec<Option<String>>, StoreError> {
    by.iter().enumerate().map(|(index, dimension)| dimension.read(row, index)).collect()
}

/// A sum; null (no entry) is zero.
fn integer(row: &Row, index: usize) -> Result<i64, StoreError> {
    Ok(row.try_get::<Option<i64>>(index)?.unwrap_or_default())
}

/// How many rows; never negative.
fn count(row: &Row, index: usize) -> Result<u64, StoreError> {
    Ok(u64::try_from(integer(row, index)?).unwrap_or_default())
}

/// The sum that [`split_sum`] made two columns of.
fn whole(row: &Row, index: usize) -> Result<i128, StoreError> {
    Ok(i128::from(integer(row, index)?) * SPLIT + i128::from(integer(row, index + 1)?))
}

/// A sum of amounts, by its two columns and that of their lower parts.
fn money(row: &Row, hi: usize, lo: usize) -> Result<Money, StoreError> {
    Ok(Money::from_pico(whole(row, hi)? * SPLIT + i128::from(integer(row, lo)?)))
}

/// Such a sum of units; what is more than 2⁶⁴ - 1 stops there.
fn units(row: &Row, index: usize) -> Result<u64, StoreError> {
    Ok(u64::try_from(whole(row, index)?.max(0)).unwrap_or(u64::MAX))
}
