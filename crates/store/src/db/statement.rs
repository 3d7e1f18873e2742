//! Statements and rows, the same for every engine: a statement is written once and its rows are read once, and
//! what runs them asks which engine it is.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteRow};
use sqlx::{Arguments, AssertSqlSafe, ColumnIndex, Decode, Type};

#[cfg(feature = "postgres")]
use sqlx::postgres::{PgArguments, PgRow, Postgres};

#[cfg(feature = "postgres")]
use super::postgres;
use super::{Dialect, Pool, sqlite};

/// Everything that a column can hold.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// A count, a time in microseconds, half of an amount.
    Integer(Option<i64>),
    /// A text.
    Text(Option<String>),
    /// An id, a hash, a record.
    Bytes(Option<Vec<u8>>),
    /// A condition; no column holds one.
    Boolean(bool),
}

impl Value {
    fn add<A: Arguments>(self, arguments: &mut A) -> Result<(), sqlx::error::BoxDynError>
    where
        Option<i64>: sqlx::Encode<'static, A::Database> + Type<A::Database>,
        Option<String>: sqlx::Encode<'static, A::Database> + Type<A::Database>,
        Option<Vec<u8>>: sqlx::Encode<'static, A::Database> + Type<A::Database>,
        bool: sqlx::Encode<'static, A::Database> + Type<A::Database>,
    {
        match self {
            Self::Integer(value) => arguments.add(value),
            Self::Text(value) => arguments.add(value),
            Self::Bytes(value) => arguments.add(value),
            Self::Boolean(value) => arguments.add(value),
        }
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(Some(value))
    }
}
impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Self {
        Self::Integer(value)
    }
}
impl From<&str> for Value {
    fn from(value: &str) -> Self {
        value.to_owned().into()
    }
}
impl From<&String> for Value {
    fn from(value: &String) -> Self {
        value.clone().into()
    }
}
impl From<String> for Value {
    fn from(value: String) -> Self {
        Some(value).into()
    }
}
impl From<Arc<str>> for Value {
    fn from(value: Arc<str>) -> Self {
        value.as_ref().into()
    }
}
impl From<Option<Arc<str>>> for Value {
    fn from(value: Option<Arc<str>>) -> Self {
        value.map(|text| text.as_ref().to_owned()).into()
    }
}
impl From<Option<String>> for Value {
    fn from(value: Option<String>) -> Self {
        Self::Text(value.map(without_nul))
    }
}
impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Bytes(Some(value.to_owned()))
    }
}
impl<const N: usize> From<&[u8; N]> for Value {
    fn from(value: &[u8; N]) -> Self {
        value.as_slice().into()
    }
}
impl<const N: usize> From<Option<&[u8; N]>> for Value {
    fn from(value: Option<&[u8; N]>) -> Self {
        Self::Bytes(value.map(|bytes| bytes.to_vec()))
    }
}
impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(Some(value))
    }
}
impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

/// A text without U+0000, which PostgreSQL has no place for: U+FFFD stands where it was.
pub(crate) fn without_nul(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

/// A statement with its values. Its text is made of literals, of what [`Dialect`] says, and of parameters; nothing
/// that came from outside is ever part of it.
#[derive(Debug)]
pub(crate) struct Statement {
    text: Cow<'static, str>,
    values: Vec<Value>,
}

/// A statement of one literal.
pub(crate) fn sql(text: &'static str) -> Statement {
    Statement { text: Cow::Borrowed(text), values: Vec::new() }
}

impl Statement {
    /// From a text that was put together, with all its values.
    pub(crate) fn new(text: String, values: Vec<Value>) -> Self {
        Self { text: Cow::Owned(text), values }
    }

    /// Gives the next parameter its value: the first is `$1`.
    pub(crate) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Adds to the text.
    pub(crate) fn push(&mut self, text: impl fmt::Display) -> &mut Self {
        use fmt::Write as _;
        // A string takes every text.
        let _ = write!(self.text.to_mut(), "{text}");
        self
    }

    /// Adds a parameter to the text, with its value.
    pub(crate) fn push_bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        let number = self.values.len();
        self.push(format_args!("${number}"))
    }

    fn sqlite(self) -> Result<sqlx::query::Query<'static, Sqlite, SqliteArguments>, sqlx::Error> {
        let mut arguments = SqliteArguments::default();
        arguments.reserve(self.values.len(), 0);
        for value in self.values {
            value.add(&mut arguments).map_err(sqlx::Error::Encode)?;
        }
        Ok(sqlx::query_with(AssertSqlSafe(self.text), arguments))
    }

    #[cfg(feature = "postgres")]
    fn postgres(self) -> Result<sqlx::query::Query<'static, Postgres, PgArguments>, sqlx::Error> {
        let mut arguments = PgArguments::default();
        arguments.reserve(self.values.len(), 0);
        for value in self.values {
            value.add(&mut arguments).map_err(sqlx::Error::Encode)?;
        }
        Ok(sqlx::query_with(AssertSqlSafe(self.text), arguments))
    }
}

/// A type that rows of every engine can be read as.
#[cfg(feature = "postgres")]
pub(crate) trait Readable<'r>:
    Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres>
{
}
#[cfg(feature = "postgres")]
impl<'r, T: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres>> Readable<'r> for T {}

/// What names a column: a text or its place.
#[cfg(feature = "postgres")]
pub(crate) trait Column: ColumnIndex<SqliteRow> + ColumnIndex<PgRow> {}
#[cfg(feature = "postgres")]
impl<C: ColumnIndex<SqliteRow> + ColumnIndex<PgRow>> Column for C {}

/// A type that rows of every engine can be read as.
#[cfg(not(feature = "postgres"))]
pub(crate) trait Readable<'r>: Decode<'r, Sqlite> + Type<Sqlite> {}
#[cfg(not(feature = "postgres"))]
impl<'r, T: Decode<'r, Sqlite> + Type<Sqlite>> Readable<'r> for T {}

/// What names a column: a text or its place.
#[cfg(not(feature = "postgres"))]
pub(crate) trait Column: ColumnIndex<SqliteRow> {}
#[cfg(not(feature = "postgres"))]
impl<C: ColumnIndex<SqliteRow>> Column for C {}

/// What a statement found.
pub(crate) enum Row {
    /// In SQLite.
    Sqlite(SqliteRow),
    /// In PostgreSQL.
    #[cfg(feature = "postgres")]
    Postgres(PgRow),
}

impl Row {
    /// A column's value.
    pub(crate) fn try_get<'r, T: Readable<'r>>(&'r self, column: impl Column) -> Result<T, sqlx::Error> {
        match self {
            Self::Sqlite(row) => sqlx::Row::try_get(row, column),
            #[cfg(feature = "postgres")]
            Self::Postgres(row) => sqlx::Row::try_get(row, column),
        }
    }
}

impl Pool {
    /// Runs a statement by itself; returns how many rows it changed.
    pub(crate) async fn execute(&self, statement: Statement) -> Result<u64, sqlx::Error> {
        match self {
            Self::Sqlite(sqlite::File { pool, .. }) => {
                statement.sqlite()?.execute(pool).await.map(|done| done.rows_affected())
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(postgres::Server { pool, .. }) => {
                postgres::within(statement.postgres()?.execute(pool)).await.map(|done| done.rows_affected())
            }
        }
    }

    /// Runs a statement by itself; returns what it found.
    pub(crate) async fn fetch(&self, statement: Statement) -> Result<Vec<Row>, sqlx::Error> {
        match self {
            Self::Sqlite(sqlite::File { pool, .. }) => {
                rows(statement.sqlite()?.fetch_all(pool).await, Row::Sqlite)
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(postgres::Server { pool, .. }) => {
                rows(postgres::within(statement.postgres()?.fetch_all(pool)).await, Row::Postgres)
            }
        }
    }

    /// Runs a statement that finds one row or none.
    pub(crate) async fn fetch_optional(&self, statement: Statement) -> Result<Option<Row>, sqlx::Error> {
        Ok(self.fetch(statement).await?.pop())
    }

    /// What its engine says in its own way.
    pub(crate) fn dialect(&self) -> &'static Dialect {
        match self {
            Self::Sqlite(_) => &sqlite::DIALECT,
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => &postgres::DIALECT,
        }
    }

    /// Begins to read: every statement sees the same state.
    pub(crate) async fn begin_read(&self) -> Result<Transaction<'static>, sqlx::Error> {
        self.begin_with(self.dialect().begin_read).await
    }

    /// Begins to write.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static>, sqlx::Error> {
        self.begin_with(self.dialect().begin_write).await
    }

    async fn begin_with(&self, begin: &'static str) -> Result<Transaction<'static>, sqlx::Error> {
        match self {
            Self::Sqlite(sqlite::File { pool, .. }) => pool.begin_with(begin).await.map(Transaction::Sqlite),
            #[cfg(feature = "postgres")]
            Self::Postgres(postgres::Server { pool, .. }) => {
                postgres::within(pool.begin_with(begin)).await.map(Transaction::Postgres)
            }
        }
    }
}

/// Statements that take effect together, with [`Transaction::commit`], or not at all.
pub(crate) enum Transaction<'c> {
    /// In SQLite.
    Sqlite(sqlx::Transaction<'c, Sqlite>),
    /// In PostgreSQL.
    #[cfg(feature = "postgres")]
    Postgres(sqlx::Transaction<'c, Postgres>),
}

impl Transaction<'_> {
    /// What its engine says in its own way.
    pub(crate) fn dialect(&self) -> &'static Dialect {
        match self {
            Self::Sqlite(_) => &sqlite::DIALECT,
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => &postgres::DIALECT,
        }
    }

    /// Returns how many rows the statement changed.
    pub(crate) async fn execute(&mut self, statement: Statement) -> Result<u64, sqlx::Error> {
        match self {
            Self::Sqlite(on) => statement.sqlite()?.execute(&mut **on).await.map(|done| done.rows_affected()),
            #[cfg(feature = "postgres")]
            Self::Postgres(on) => {
                let done = postgres::within(statement.postgres()?.execute(&mut **on)).await;
                done.map(|done| done.rows_affected())
            }
        }
    }

    /// Returns what the statement found.
    pub(crate) async fn fetch(&mut self, statement: Statement) -> Result<Vec<Row>, sqlx::Error> {
        match self {
            Self::Sqlite(on) => rows(statement.sqlite()?.fetch_all(&mut **on).await, Row::Sqlite),
            #[cfg(feature = "postgres")]
            Self::Postgres(on) => {
                rows(postgres::within(statement.postgres()?.fetch_all(&mut **on)).await, Row::Postgres)
            }
        }
    }

    /// What the statement found: one row or none.
    pub(crate) async fn fetch_optional(&mut self, statement: Statement) -> Result<Option<Row>, sqlx::Error> {
        Ok(self.fetch(statement).await?.pop())
    }

    /// Makes it so.
    pub(crate) async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(on) => on.commit().await,
            #[cfg(feature = "postgres")]
            Self::Postgres(on) => postgres::within(on.commit()).await,
        }
    }
}

fn rows<R>(found: Result<Vec<R>, sqlx::Error>, row: impl Fn(R) -> Row) -> Result<Vec<Row>, sqlx::Error> {
    found.map(|found| found.into_iter().map(row).collect())
}
