//! The main database: opening, migrating, and every difference between SQLite and the SQL that other databases
//! share. Statements elsewhere use `$1` parameters and nothing that is SQLite's own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, SqliteConnection, SqlitePool};
use steelyard_core::{Clock, ProjectId, Timestamp};

use crate::repo::{Keys, Ledger, Projects};
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

/// JSON functions, which databases name differently: a table with the columns `key` and `value` of the object in
/// `entries.other_usage`.
pub(crate) const OTHER_USAGE: &str = "json_each(entries.other_usage) AS other";
pub(crate) const OTHER_COUNT: &str = "other.value";

/// The parameters of `rows` × `columns` values. SQLite looks a named parameter up by walking all of them, so a
/// statement with thousands uses nameless ones.
pub(crate) fn placeholders(rows: usize, columns: usize) -> String {
    let row = format!("({})", vec!["?"; columns].join(","));
    vec![row; rows].join(",")
}

/// Takes the write lock at once, instead of failing half-way when another writer was faster.
pub(crate) const BEGIN_WRITE: &str = "BEGIN IMMEDIATE";

/// The main database, `steelyard.db`. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Db {
    pool: SqlitePool,
    path: PathBuf,
    options: SqliteConnectOptions,
    clock: Clock,
}

impl Db {
    /// Opens the database, making it if it is not there, brings it up to date and sees that the project
    /// `default` exists.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it cannot be opened, [`StoreError::Corrupt`] when it is damaged,
    /// [`StoreError::Invalid`] when a newer version made it.
    pub async fn open(dir: &DataDir, durability: Durability, clock: Clock) -> Result<Self, StoreError> {
        let path = dir.database();
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(match durability {
                Durability::Process => SqliteSynchronous::Normal,
                Durability::Power => SqliteSynchronous::Full,
            })
            .foreign_keys(true)
            .pragma("cache_size", "-1024")
            .pragma("journal_size_limit", "16777216")
            .busy_timeout(Duration::from_secs(5))
            .disable_statement_logging();
        let watch = Arc::new(FileWatch::new(path.clone()));
        let pool = SqlitePoolOptions::new()
            .max_connections(4)
            .acquire_timeout(Duration::from_secs(5))
            .idle_timeout(Duration::from_mins(1))
            .before_acquire(move |_, connection| {
                let (watch, connected) = (Arc::clone(&watch), Instant::now().checked_sub(connection.age));
                Box::pin(async move { Ok(watch.names_file_of(connected).await) })
            })
            .connect_with(options.clone().create_if_missing(true))
            .await?;
        sqlx::migrate!("./migrations/sqlite").run(&pool).await?;
        // From here on a missing file is a fault, not a fresh start.
        let options = options.create_if_missing(false);
        pool.set_connect_options(options.clone());
        let db = Self { pool, path, options, clock };
        db.projects().ensure(DEFAULT_PROJECT).await?;
        Ok(db)
    }

    /// Whether the database answers: the one that the path names now. A file that was deleted or replaced
    /// while it was open does not count.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it does not, [`StoreError::Corrupt`] when it is damaged.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1 FROM projects LIMIT 1").execute(&self.pool).await?;
        Ok(())
    }

    /// Closes every connection; later uses fail as [`StoreError::Unavailable`].
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// The projects.
    pub fn projects(&self) -> Projects<'_> {
        Projects::new(self)
    }

    /// The keys.
    pub fn keys(&self) -> Keys<'_> {
        Keys::new(self)
    }

    /// The ledger, for reading. Entries come in through the spool and the settler alone.
    pub fn ledger(&self) -> Ledger<'_> {
        Ledger::new(self)
    }

    pub(crate) fn pool(&self) -> &SqlitePool {
        &self.pool
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A connection of its own, outside the pool, that gives up early when the database is locked.
    pub(crate) async fn connect(&self) -> Result<SqliteConnection, sqlx::Error> {
        self.options.clone().busy_timeout(Duration::from_millis(250)).connect().await
    }
}

/// Tells a file from another one of the same name.
pub(crate) type FileId = (u64, u64);

/// The file that the path names now.
pub(crate) fn file_id(path: &Path) -> Result<FileId, StoreError> {
    let metadata = std::fs::metadata(path).map_err(|error| StoreError::file("find", path, error))?;
    #[cfg(unix)]
    return Ok((
        std::os::unix::fs::MetadataExt::dev(&metadata),
        std::os::unix::fs::MetadataExt::ino(&metadata),
    ));
    #[cfg(not(unix))]
    return Ok((0, u64::from(metadata.is_file())));
}

/// Sees that no connection of the pool is used whose file is not the one that the path names: SQLite goes on
/// reading and writing a deleted file, and what is written there is lost. The connection is closed then, and a
/// new one opens the file that is there now, or fails.
#[derive(Debug)]
struct FileWatch {
    path: PathBuf,
    /// The file that was there at the last look, and when it was first seen to be another one than before.
    seen: Mutex<(Option<FileId>, Option<Instant>)>,
}

impl FileWatch {
    fn new(path: PathBuf) -> Self {
        Self { path, seen: Mutex::new((None, None)) }
    }

    /// Whether the path still names the file of a connection that was made at `connected`.
    async fn names_file_of(self: Arc<Self>, connected: Option<Instant>) -> bool {
        let look = tokio::task::spawn_blocking(move || {
            let now = file_id(&self.path).ok()?;
            let (file, changed) = &mut *self.seen.lock();
            if *file.get_or_insert(now) != now {
                (*file, *changed) = (Some(now), Some(Instant::now()));
            }
            Some(*changed)
        });
        match look.await {
            Ok(Some(None)) => true,
            Ok(Some(Some(changed))) => connected.is_some_and(|connected| connected > changed),
            Ok(None) | Err(_) => false,
        }
    }
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
