//! The main database: SQLite in the data directory, or PostgreSQL on a server. Every difference between the two is
//! in this folder: how they are opened, what they say in their own way ([`Dialect`]), how statements run and rows
//! are read. Statements elsewhere use `$1` parameters and nothing that only one of them knows.

#[cfg(feature = "postgres")]
mod postgres;
mod session;
mod sqlite;
mod statement;

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use steelyard_core::{Clock, ProjectId, Timestamp};
use tokio::sync::Mutex;

pub(crate) use session::Session;
pub(crate) use statement::{Row, Statement, Transaction, Value, sql, without_nul};

use crate::repo::{Conversations, Keys, Ledger, Projects, Responses, Secrets, vault_keys};
use crate::vault::MasterKey;
use crate::{DataDir, StoreError};

/// What a committed record survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// The death of the process, `kill -9` included (SQLite: WAL with `synchronous=NORMAL`).
    #[default]
    Process,
    /// The loss of power too, for one `fsync` per commit (`synchronous=FULL`).
    Power,
}

impl Durability {
    pub(crate) fn pragma(self) -> &'static str {
        match self {
            Self::Process => "NORMAL",
            Self::Power => "FULL",
        }
    }
}

/// The name of the project that keys belong to unless another is named.
pub const DEFAULT_PROJECT: &str = "default";

/// Whoever asks how things are does not wait for long.
const PING_LIMIT: Duration = Duration::from_secs(1);

/// What the engines say differently.
#[derive(Debug)]
pub(crate) struct Dialect {
    begin_read: &'static str,
    begin_write: &'static str,
    /// Around the name of a tag: its value, a text, or null.
    pub(crate) tag: [&'static str; 2],
    /// A table with the column `key`: the object in `entries.other_usage`.
    pub(crate) other_usage: &'static str,
    /// That table's values: whole numbers of at most 2⁶³ - 1.
    pub(crate) other_count: &'static str,
    numbered: bool,
}

impl Dialect {
    /// The parameters of `rows` × `columns` values.
    pub(crate) fn placeholders(&self, rows: usize, columns: usize) -> String {
        let parameter = |number: usize| if self.numbered { format!("${number}") } else { "?".to_owned() };
        let row = |row: usize| {
            let parameters: Vec<_> = (1..=columns).map(|column| parameter(row * columns + column)).collect();
            format!("({})", parameters.join(","))
        };
        (0..rows).map(row).collect::<Vec<_>>().join(",")
    }
}

/// The connections of either engine.
#[derive(Debug, Clone)]
pub(crate) enum Pool {
    /// To the file.
    Sqlite(sqlite::File),
    /// To the server.
    #[cfg(feature = "postgres")]
    Postgres(postgres::Server),
}

/// The main database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Db {
    pool: Pool,
    /// Asks whether the file can be written, where it is one.
    pulse: Arc<Mutex<Session>>,
    master: Arc<MasterKey>,
    clock: Clock,
}

impl Db {
    /// Opens `steelyard.db` in the data directory, making it if it is not there, brings it up to date and sees that
    /// the project `default` exists.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it cannot be opened, [`StoreError::Corrupt`] when it is damaged,
    /// [`StoreError::Invalid`] when a newer version made it.
    pub async fn open(dir: &DataDir, durability: Durability, clock: Clock) -> Result<Self, StoreError> {
        Self::new(Pool::Sqlite(sqlite::File::open(dir.database(), durability).await?), dir, clock).await
    }

    /// Opens a database of PostgreSQL, `postgres://user:password@host:port/database`, brings it up to date and sees
    /// that the project `default` exists; the key of the vault stays in the data directory. At most `max_connections` are open at a time, and one for the settler.
    ///
    /// # Errors
    /// [`StoreError::Connect`] when it cannot be reached, [`StoreError::Invalid`] when the URL is none, a newer
    /// version made the database, or this build has no PostgreSQL.
    #[cfg(feature = "postgres")]
    pub async fn connect(
        dir: &DataDir,
        url: &SecretString,
        max_connections: u32,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        Self::new(Pool::Postgres(postgres::Server::open(url, max_connections).await?), dir, clock).await
    }

    /// Refuses: this build has no PostgreSQL.
    ///
    /// # Errors
    /// [`StoreError::Invalid`].
    #[cfg(not(feature = "postgres"))]
    pub async fn connect(_: &DataDir, _: &SecretString, _: u32, _: Clock) -> Result<Self, StoreError> {
        std::future::ready(Err(StoreError::Invalid(
            "store.url names a PostgreSQL database, and this build has no PostgreSQL: build it with the feature `postgres`, or leave store.url out"
                .to_owned(),
        )))
        .await
    }

    async fn new(pool: Pool, dir: &DataDir, clock: Clock) -> Result<Self, StoreError> {
        let master = Arc::new(vault_keys::unlock(&pool, dir).await?);
        let pulse = Arc::new(Mutex::new(Session::to(&pool)));
        let db = Self { pool, pulse, master, clock };
        db.projects().ensure(DEFAULT_PROJECT).await?;
        Ok(db)
    }

    /// Whether the database answers and lets itself be written, within a second. For a file: the one that the path names
    /// now; a file that was deleted or replaced while it was open does not count, nor one that somebody else has locked.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it does not, [`StoreError::Corrupt`] when it is damaged.
    pub async fn ping(&self) -> Result<(), StoreError> {
        match tokio::time::timeout(PING_LIMIT, self.try_to_write()).await {
            Ok(tried) => tried,
            Err(late) => Err(StoreError::Unavailable { source: late.into() }),
        }
    }

    async fn try_to_write(&self) -> Result<(), StoreError> {
        // Takes the locks of a write, and writes nothing.
        let write = sql("UPDATE projects SET name = name WHERE 1 = 0");
        match &self.pool {
            Pool::Sqlite(_) => {
                self.pool.execute(sql("SELECT 1 FROM projects LIMIT 1")).await?;
                // Beside the pool, whose connections wait for a lock for so long that few pings would take all of them.
                let mut pulse = self.pulse.lock().await;
                let mut transaction = pulse.begin().await?;
                transaction.execute(write).await?;
                Ok(transaction.commit().await?)
            }
            #[cfg(feature = "postgres")]
            Pool::Postgres(_) => Ok(self.pool.execute(write).await.map(drop)?),
        }
    }

    /// Closes every connection; later uses fail as [`StoreError::Unavailable`].
    pub async fn close(&self) {
        self.pulse.lock().await.close().await;
        match &self.pool {
            Pool::Sqlite(file) => file.pool.close().await,
            #[cfg(feature = "postgres")]
            Pool::Postgres(server) => server.pool.close().await,
        }
    }

    /// The projects.
    pub fn projects(&self) -> Projects<'_> {
        Projects::new(self)
    }

    /// The keys.
    pub fn keys(&self) -> Keys<'_> {
        Keys::new(self)
    }

    /// The secrets in the vault.
    pub fn secrets(&self) -> Secrets<'_> {
        Secrets::new(self)
    }

    /// The conversations that are kept for callers.
    pub fn conversations(&self) -> Conversations<'_> {
        Conversations::new(self)
    }

    /// The answers that are kept for callers.
    pub fn responses(&self) -> Responses<'_> {
        Responses::new(self)
    }

    /// The ledger, for reading. Entries come in through the spool and the settler alone.
    pub fn ledger(&self) -> Ledger<'_> {
        Ledger::new(self)
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// The key of the vault.
    pub(crate) fn master(&self) -> &MasterKey {
        &self.master
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// Whether the URL of a database is a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UrlHolds {
    /// It is.
    Password,
    /// It can be shown: the server knows its users in another way.
    NoPassword,
}

/// Looks at the URL of a database without going there.
///
/// # Errors
/// [`StoreError::Invalid`] when it is none.
pub fn check_url(url: &SecretString) -> Result<UrlHolds, StoreError> {
    let invalid = || {
        // Nothing of it is shown: there may be a password anywhere in it.
        StoreError::Invalid(
            "store.url is not the URL of a PostgreSQL database: write it as postgres://user:password@host:5432/database"
                .to_owned(),
        )
    };
    let url = url.expose_secret();
    let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
    let rest = rest.ok_or_else(invalid)?;
    #[cfg(feature = "postgres")]
    if !postgres::is_url(url) {
        return Err(invalid());
    }
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
    let holds = user.contains(':') || rest.contains("password=");
    Ok(if holds { UrlHolds::Password } else { UrlHolds::NoPassword })
}

/// The error of a statement that fails when a name is taken.
pub(crate) fn taken_or(error: sqlx::Error, what: &'static str, name: &str) -> StoreError {
    if error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation) {
        return StoreError::AlreadyExists { what, name: name.to_owned() };
    }
    error.into()
}

/// A stored id.
pub(crate) fn id_bytes(what: &str, bytes: &[u8]) -> Result<[u8; 16], StoreError> {
    bytes.try_into().map_err(|error: std::array::TryFromSliceError| StoreError::corrupt(what, error))
}

/// A stored project id.
pub(crate) fn project_id(bytes: &[u8]) -> Result<ProjectId, StoreError> {
    Ok(ProjectId::from_bytes(id_bytes("a project's id", bytes)?))
}
