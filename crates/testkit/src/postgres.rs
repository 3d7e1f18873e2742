//! PostgreSQL for tests: a database of its own for each, on a server that is there already.
//!
//! The server is that of `STEELYARD_TEST_POSTGRES_URL`, else the one at the usual place on this machine that lets its
//! user `postgres` in without a password. Where there is none, the test is left out and says so;
//! `STEELYARD_TEST_REQUIRE=postgres` makes that a failure. [`Secured`] is a server of its own.

mod secured;

use std::future::Future;
use std::io::Write as _;
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection as _, Executor as _};

pub use secured::Secured;

/// Where servers usually are.
const USUAL: &str = "postgres://postgres@127.0.0.1:5432/postgres";
const LIMIT: Duration = Duration::from_secs(10);

/// An empty database, gone when this is dropped.
#[derive(Debug)]
pub struct Database {
    server: String,
    name: String,
    url: String,
}

impl Database {
    /// Makes one; none where there is no server, which is said aloud.
    pub fn new() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let server = match server() {
            Ok(server) => server.to_owned(),
            Err(why) => return skip(why),
        };
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_micros();
        let name = format!("steelyard_test_{}_{since}_{number}", std::process::id());
        run(&server, &format!("CREATE DATABASE {name}"));
        let url = options(&server).database(&name).to_url_lossy().to_string();
        Some(Self { server, name, url })
    }

    /// How it is reached.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Ends every connection to it and lets nobody in.
    pub fn cut(&self) {
        run(&self.server, &format!("ALTER DATABASE {} WITH ALLOW_CONNECTIONS false", self.name));
        run(
            &self.server,
            &format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'",
                self.name
            ),
        );
    }

    /// Lets everybody in again.
    pub fn mend(&self) {
        run(&self.server, &format!("ALTER DATABASE {} WITH ALLOW_CONNECTIONS true", self.name));
    }

    /// A connection to it.
    pub async fn connect(&self) -> PgConnection {
        options(&self.url).connect().await.expect("a database that was just made can be used")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        run(&self.server, &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
    }
}

/// Whether a test must not be left out.
fn is_required() -> bool {
    let list = std::env::var("STEELYARD_TEST_REQUIRE").unwrap_or_default();
    list.split(',').any(|required| required.trim() == "postgres")
}

fn skip<T>(why: &str) -> Option<T> {
    assert!(!is_required(), "PostgreSQL is required by STEELYARD_TEST_REQUIRE, but {why}");
    let thread = std::thread::current();
    // Past the harness, which keeps what a passing test prints to itself.
    let _ = writeln!(
        std::io::stdout(),
        "skipped: {} on PostgreSQL, because {why}",
        thread.name().unwrap_or("a test")
    );
    None
}

/// The server's URL, or why there is none.
fn server() -> Result<&'static str, &'static str> {
    static SERVER: OnceLock<Result<String, String>> = OnceLock::new();
    let found = SERVER.get_or_init(|| {
        let named = std::env::var("STEELYARD_TEST_POSTGRES_URL").ok().filter(|url| !url.is_empty());
        let url = named.clone().unwrap_or_else(|| USUAL.to_owned());
        let connected = wait_for(options(&url).connect());
        match (connected, named) {
            (Ok(_), _) => Ok(url),
            (Err(error), Some(_)) => {
                Err(format!("that of STEELYARD_TEST_POSTGRES_URL cannot be used: {error}"))
            }
            (Err(error), None) => {
                Err(format!("there is none at {USUAL} ({error}): name one in STEELYARD_TEST_POSTGRES_URL"))
            }
        }
    });
    found.as_deref().map_err(String::as_str)
}

fn options(url: &str) -> PgConnectOptions {
    PgConnectOptions::from_str(url).expect("the URL of a PostgreSQL database").disable_statement_logging()
}

/// Runs a statement on the server.
fn run(server: &str, statement: &str) {
    let work = async {
        let mut connection = options(server).connect().await?;
        connection.execute(AssertSqlSafe(statement)).await?;
        connection.close().await
    };
    wait_for(work).unwrap_or_else(|error| panic!("{statement}: {error}"));
}

/// Waits without a runtime of the caller's: a database is dropped where there may be none.
fn wait_for<T: Send>(work: impl Future<Output = Result<T, sqlx::Error>> + Send) -> Result<T, sqlx::Error> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let late = |_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
                tokio::time::timeout(LIMIT, work).await.unwrap_or_else(late)
            })
        });
        thread.join().expect("asking a database does not panic")
    })
}
