//! PostgreSQL: a server that somebody else looks after, for those who have one.

use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::migrate::MigrateError;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection as _, PgConnection, PgPool};

use super::{Dialect, check_url};
use crate::StoreError;

/// What PostgreSQL says in its own way.
pub(super) const DIALECT: Dialect = Dialect {
    // Else each statement would see what was committed before it, and two sums be of different entries.
    begin_read: "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY",
    begin_write: "BEGIN",
    // In the order of the bytes, as the columns are.
    tag: ["(tags::json ->> ", ") COLLATE \"C\""],
    other_usage: "json_each_text(entries.other_usage::json) AS other",
    // A count is at most 2⁶³ - 1 here as in its own column.
    other_count: "LEAST(CAST(other.value AS NUMERIC), 9223372036854775807)",
    numbered: true,
};

/// How long any one thing may take. A server that vanished without a word would be waited for much longer.
const LIMIT: Duration = Duration::from_secs(30);

/// A database on a server.
#[derive(Clone)]
pub(crate) struct Server {
    pub(super) pool: PgPool,
    options: PgConnectOptions,
}

/// The options hold a password.
impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Server").field(&place(&self.options)).finish()
    }
}

impl Server {
    /// Connects and brings the database up to date.
    pub(super) async fn open(url: &SecretString, max_connections: u32) -> Result<Self, StoreError> {
        let options = options(url)?;
        let place = place(&options);
        let refused = |error: sqlx::Error| StoreError::Connect { place: place.clone(), source: error.into() };
        let pool = PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(Duration::from_secs(5))
            .idle_timeout(Duration::from_mins(1))
            .connect_lazy_with(options.clone());
        // Once by itself: the pool would try again for five seconds and then say only that it took too long.
        let connection = within(options.connect()).await.map_err(refused)?;
        within(connection.close()).await?;
        // Several that start at once wait for each other.
        sqlx::migrate!("./migrations/postgres").run(&pool).await.map_err(|error| match error {
            MigrateError::VersionMissing(_) => error.into(),
            other => StoreError::Connect { place, source: other.into() },
        })?;
        Ok(Self { pool, options })
    }

    /// A connection of its own, outside the pool, that gives up early when others are in the way.
    pub(super) async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        within(self.options.clone().options([("lock_timeout", "2s")]).connect()).await
    }
}

/// No more than [`LIMIT`].
pub(super) async fn within<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    let late = |_| {
        let kind = std::io::ErrorKind::TimedOut;
        Err(sqlx::Error::Io(std::io::Error::new(kind, format!("no answer within {LIMIT:?}"))))
    };
    tokio::time::timeout(LIMIT, work).await.unwrap_or_else(late)
}

pub(super) fn is_url(url: &str) -> bool {
    PgConnectOptions::from_str(url).is_ok()
}

fn options(url: &SecretString) -> Result<PgConnectOptions, StoreError> {
    check_url(url)?;
    // It was read a moment ago; what is wrong with it could name parts of it.
    let options = PgConnectOptions::from_str(url.expose_secret())
        .map_err(|_| StoreError::Invalid("store.url cannot be read".to_owned()))?;
    Ok(options
        .application_name("steelyard")
        // A node that stops in the middle must not hold up the others for long.
        .options([("statement_timeout", "30s"), ("idle_in_transaction_session_timeout", "10s")])
        .disable_statement_logging())
}

/// `database` at `host:port`.
fn place(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or_else(|| options.get_username());
    match options.get_socket() {
        Some(socket) => format!("`{database}` at {}", socket.display()),
        None => format!("`{database}` at {}:{}", options.get_host(), options.get_port()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::UrlHolds;

    #[test]
    fn a_url_with_a_password_is_a_secret() {
        let holds = |url: &str| check_url(&url.to_owned().into()).unwrap();
        for url in ["postgres://sy:x@db/ledger", "postgres:///ledger?host=/run&password=x"] {
            assert_eq!(holds(url), UrlHolds::Password, "{url}");
        }
        for url in ["postgres://sy@db:5432/ledger", "postgres:///ledger?host=/run/postgresql"] {
            assert_eq!(holds(url), UrlHolds::NoPassword, "{url}");
        }
    }

    #[test]
    fn a_url_is_named_without_its_password() {
        let shown = |url: &str| options(&url.to_owned().into()).map(|options| place(&options));
        assert_eq!(
            shown("postgres://sy:pass@db.example:6432/ledger").unwrap(),
            "`ledger` at db.example:6432"
        );
        assert_eq!(shown("postgresql://sy:pass@[::1]/ledger").unwrap(), "`ledger` at [::1]:5432");
        for wrong in
            ["", "mysql://sy:hunter2@db/x", "postgres://sy:hunter2@db:port/x", "postgres://sy:hunter2/@db/x"]
        {
            let error = shown(wrong).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
