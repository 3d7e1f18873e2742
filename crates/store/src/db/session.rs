//! A connection beside the pool: the settler's own, and the one by which SQLite's file is tried.

use sqlx::{Connection as _, SqliteConnection};

#[cfg(feature = "postgres")]
use sqlx::PgConnection;

#[cfg(feature = "postgres")]
use super::postgres;
use super::{Db, Pool, Transaction, sqlite};
use crate::StoreError;

/// A connection that is made when it is needed, and gives up early when others are in the way.
#[derive(Debug)]
pub(crate) struct Session {
    pool: Pool,
    connection: Option<Connection>,
}

#[derive(Debug)]
enum Connection {
    /// To that file.
    Sqlite(SqliteConnection, sqlite::FileId),
    #[cfg(feature = "postgres")]
    Postgres(PgConnection),
}

impl Session {
    pub(crate) fn new(db: &Db) -> Self {
        Self::to(&db.pool)
    }

    pub(super) fn to(pool: &Pool) -> Self {
        Self { pool: pool.clone(), connection: None }
    }

    /// Begins to write, connecting first where that is needed.
    pub(crate) async fn begin(&mut self) -> Result<Transaction<'_>, StoreError> {
        match &self.pool {
            Pool::Sqlite(file) => {
                // SQLite goes on writing into a deleted file, and what is written there is lost.
                let id = file.id()?;
                if !matches!(&self.connection, Some(Connection::Sqlite(_, connected)) if *connected == id) {
                    self.connection = Some(Connection::Sqlite(file.connect().await?, id));
                }
            }
            #[cfg(feature = "postgres")]
            Pool::Postgres(server) => {
                // One that was idle may have been closed on the way; that is no failure to tell of.
                let alive = match &mut self.connection {
                    Some(Connection::Postgres(connection)) => {
                        postgres::within(connection.ping()).await.is_ok()
                    }
                    Some(Connection::Sqlite(..)) | None => false,
                };
                if !alive {
                    self.connection = Some(Connection::Postgres(server.connect().await?));
                }
            }
        }
        let begin = self.pool.dialect().begin_write;
        match &mut self.connection {
            Some(Connection::Sqlite(connection, _)) => {
                Ok(Transaction::Sqlite(connection.begin_with(begin).await?))
            }
            #[cfg(feature = "postgres")]
            Some(Connection::Postgres(connection)) => {
                Ok(Transaction::Postgres(postgres::within(connection.begin_with(begin)).await?))
            }
            None => Err(StoreError::Unavailable { source: "there is no connection".into() }),
        }
    }

    /// Connects anew the next time: this connection may be broken.
    pub(crate) fn forget(&mut self) {
        self.connection = None;
    }

    pub(crate) async fn close(&mut self) {
        // What fails here has no consequence: all that was committed is there.
        let _ = match self.connection.take() {
            Some(Connection::Sqlite(connection, _)) => connection.close().await,
            #[cfg(feature = "postgres")]
            Some(Connection::Postgres(connection)) => postgres::within(connection.close()).await,
            None => Ok(()),
        };
    }
}
