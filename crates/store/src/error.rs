//! The one error of this crate; its variants are what the caller can do about it.

use std::path::{Path, PathBuf};

/// A cause, kept for the log.
pub(crate) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is nothing by that id or name.
    #[error("there is no {what} `{name}`")]
    NotFound {
        /// `project`, `key`.
        what: &'static str,
        /// The id or name that was asked for.
        name: String,
    },
    /// The name is taken.
    #[error("a {what} named `{name}` exists: choose another name")]
    AlreadyExists {
        /// `project`, `key`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// The value cannot be stored.
    #[error("{0}")]
    Invalid(String),
    /// Another process works in the data directory.
    #[error("the data directory {} is in use by another steelyard process: stop that one, or give this one a directory of its own with --data-dir", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// A file or directory cannot be used.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// `create`, `read`, `lock`, …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database on a server cannot be reached or does not let us in, at the start.
    #[error(
        "cannot use the database {place}: see that it is there, and that the user and password of store.url may come in and make tables"
    )]
    Connect {
        /// Its name and where it is, without a password.
        place: String,
        /// What it said.
        source: Cause,
    },
    /// The database does not answer now; the same request may succeed later.
    #[error("the database does not answer")]
    Unavailable {
        /// What it said.
        source: Cause,
    },
    /// What is stored cannot be read; somebody must look at it.
    #[error("{what} cannot be read: restore it from a backup")]
    Corrupt {
        /// The file, table or row.
        what: String,
        /// What is wrong with it.
        source: Cause,
    },
}

impl StoreError {
    pub(crate) fn file(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::File { action, path: path.to_owned(), source }
    }

    pub(crate) fn not_found(what: &'static str, name: impl std::fmt::Display) -> Self {
        Self::NotFound { what, name: name.to_string() }
    }

    pub(crate) fn corrupt(what: impl Into<String>, source: impl Into<Cause>) -> Self {
        Self::Corrupt { what: what.into(), source: source.into() }
    }
}

/// Waiting does not help. PostgreSQL's codes have five characters: `data_corrupted` and `index_corrupted`. SQLite's are
/// shorter: `SQLITE_CORRUPT` and `SQLITE_NOTADB`, with details in the higher bits.
fn is_damage(code: &str) -> bool {
    match code.len() {
        5 => ["XX001", "XX002"].contains(&code),
        _ => code.parse::<i32>().is_ok_and(|code| [11, 26].contains(&(code & 0xff))),
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let damaged = match &error {
            sqlx::Error::Database(database) => database.code().is_some_and(|code| is_damage(&code)),
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => true,
            _ => false,
        };
        if damaged {
            Self::corrupt("the database", error)
        } else {
            Self::Unavailable { source: error.into() }
        }
    }
}

impl From<sqlx::migrate::MigrateError> for StoreError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        match error {
            sqlx::migrate::MigrateError::Execute(error) => error.into(),
            sqlx::migrate::MigrateError::VersionMissing(version) => Self::Invalid(format!(
                "the database was made by a newer steelyard (migration {version}): start that version or a later one"
            )),
            other => Self::Unavailable { source: other.into() },
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let damaged = matches!(
            error.sqlite_error_code(),
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase)
        );
        if damaged { Self::corrupt("the spool", error) } else { Self::Unavailable { source: error.into() } }
    }
}
