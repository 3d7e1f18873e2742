//! SQLite: one file in the data directory, nothing to install.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, SqliteConnection, SqlitePool};

use super::{Dialect, Durability};
use crate::StoreError;

/// What SQLite says in its own way.
pub(super) const DIALECT: Dialect = Dialect {
    begin_read: "BEGIN",
    // The write lock at once, instead of a failure half-way when another writer was faster.
    begin_write: "BEGIN IMMEDIATE",
    tag: ["tags ->> ", ""],
    other_usage: "json_each(entries.other_usage) AS other",
    other_count: "other.value",
    // A named parameter is looked up by walking all of them, so a statement with thousands uses nameless ones.
    numbered: false,
};

/// The file `steelyard.db`.
#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(super) pool: SqlitePool,
    path: PathBuf,
    options: SqliteConnectOptions,
}

impl File {
    /// Opens the file, making it if it is not there, and brings it up to date.
    pub(super) async fn open(path: PathBuf, durability: Durability) -> Result<Self, StoreError> {
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
        Ok(Self { pool, path, options })
    }

    /// The file that the path names now.
    pub(super) fn id(&self) -> Result<FileId, StoreError> {
        file_id(&self.path)
    }

    /// A connection of its own, outside the pool, that gives up early when the database is locked.
    pub(super) async fn connect(&self) -> Result<SqliteConnection, sqlx::Error> {
        self.options.clone().busy_timeout(Duration::from_millis(250)).connect().await
    }
}

/// Tells a file from another one of the same name.
pub(super) type FileId = (u64, u64);

fn file_id(path: &Path) -> Result<FileId, StoreError> {
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
