//! What this crate's tests have in common: a store in a temporary directory, and records to put into it.

use std::collections::BTreeMap;
use std::time::Duration;

use steelyard_core::port::{Ledger, LedgerError, Slot};
use steelyard_core::record::{Attempt, AttemptStatus, Basis, CallFacts, Entry, Hold, Intent, Outcome};
use steelyard_core::{Clock, Money, RequestId, Timestamp, Usage, UsageClass};

use crate::spool::Recovered;
use crate::{DataDir, Db, Durability, Spool, SpoolOptions, StoreError};

/// What every test intent holds.
pub(crate) const HOLD: i128 = 900;

/// Where a test keeps its database.
pub(crate) enum Place {
    /// In the data directory.
    Sqlite,
    /// On a server, for this test alone.
    #[cfg(feature = "postgres")]
    Postgres(steelyard_testkit::postgres::Database),
}

impl Place {
    pub(crate) async fn open(&self, dir: &DataDir, clock: Clock) -> Result<Db, StoreError> {
        match self {
            Self::Sqlite => Db::open(dir, Durability::Process, clock).await,
            #[cfg(feature = "postgres")]
            Self::Postgres(database) => Db::connect(dir, &database.url().to_owned().into(), 4, clock).await,
        }
    }
}

/// Makes two tests of each function that takes a [`Place`]: one on SQLite, one on PostgreSQL.
macro_rules! on_each_engine {
    ($($name:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::testing::Place::Sqlite).await;
            })+
        }
        #[cfg(feature = "postgres")]
        mod on_postgres {
            $(#[tokio::test]
            async fn $name() {
                if let Some(database) = steelyard_testkit::postgres::Database::new() {
                    super::$name(crate::testing::Place::Postgres(database)).await;
                }
            })+
        }
    };
}
pub(crate) use on_each_engine;

pub(crate) struct House {
    pub(crate) dir: DataDir,
    pub(crate) db: Db,
    pub(crate) place: Place,
    _temporary: tempfile::TempDir,
}

/// The database's lock for writing; somebody else's until this is dropped.
pub(crate) enum Lock {
    Sqlite {
        _held: rusqlite::Connection,
    },
    #[cfg(feature = "postgres")]
    Postgres {
        _held: sqlx::PgConnection,
    },
}

impl House {
    pub(crate) async fn new(place: Place) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let dir = DataDir::open(temporary.path()).unwrap();
        let db = place.open(&dir, Clock::System).await.unwrap();
        Self { dir, db, place, _temporary: temporary }
    }

    pub(crate) async fn lock(&self) -> Lock {
        match &self.place {
            Place::Sqlite => {
                let path = self.dir.database();
                let locked = tokio::task::spawn_blocking(move || {
                    let connection = rusqlite::Connection::open(path).unwrap();
                    connection.busy_timeout(Duration::from_secs(10)).unwrap();
                    connection.execute_batch("BEGIN EXCLUSIVE").unwrap();
                    connection
                });
                Lock::Sqlite { _held: locked.await.unwrap() }
            }
            #[cfg(feature = "postgres")]
            Place::Postgres(database) => {
                let mut connection = database.connect().await;
                for statement in ["BEGIN", "LOCK TABLE entries IN SHARE MODE"] {
                    sqlx::query(statement).execute(&mut connection).await.unwrap();
                }
                Lock::Postgres { _held: connection }
            }
        }
    }

    pub(crate) fn spool(&self) -> Spool {
        self.open_spool(1_000).0
    }

    pub(crate) fn open_spool(&self, capacity: u64) -> (Spool, Recovered) {
        let options = SpoolOptions { durability: Durability::Process, capacity };
        Spool::open(&self.dir, options, Clock::System).unwrap()
    }

    /// The ledger, all of it.
    pub(crate) async fn ledger(&self) -> Vec<Entry> {
        let entries = self.db.ledger().entries(0, u32::MAX, None).await.unwrap();
        assert!(entries.is_sorted_by(|(first, _), (second, _)| first < second));
        entries.into_iter().map(|(_, entry)| entry).collect()
    }
}

pub(crate) fn intent() -> Intent {
    Intent { call: call(), attempts: vec![attempt(1)] }
}

pub(crate) fn call() -> CallFacts {
    CallFacts {
        request_id: RequestId::new(),
        time: Timestamp(1_795_255_200_000_000),
        project: "default".into(),
        key: None,
        principal: "test".into(),
        route: "smart".into(),
        dialect: "openai_chat".into(),
        endpoint: "chat".into(),
        stream: false,
        tags: BTreeMap::new(),
    }
}

pub(crate) fn attempt(number: u16) -> Attempt {
    Attempt {
        number,
        channel: "openai".into(),
        model: "openai/gpt-6-sol".into(),
        upstream_model: "gpt-6-sol".into(),
        price_version: Some("v1".into()),
        tier: "standard".into(),
        geo: "global".into(),
        started: Timestamp(1_795_255_200_000_000),
        ended: None,
        status: AttemptStatus::Open,
        http_status: None,
        vendor_request_id: None,
        hold: Some(Hold::Known(Money::from_pico(HOLD))),
        usage: Usage::ZERO,
        basis: None,
        amount: None,
        flags: Vec::new(),
    }
}

/// The next attempt of a call whose last one found no connection.
pub(crate) fn further(intent: &Intent) -> Intent {
    let mut further = intent.clone();
    further.attempts.last_mut().unwrap().settle_free(Timestamp(2), AttemptStatus::ConnectError);
    further.attempts.push(attempt(u16::try_from(intent.attempts.len()).unwrap() + 1));
    further
}

/// A settlement of the intent at `pico`.
pub(crate) fn entry(intent: &Intent, pico: i128) -> Entry {
    let mut attempts = intent.attempts.clone();
    let last = attempts.last_mut().unwrap();
    last.ended = Some(Timestamp(3));
    last.status = AttemptStatus::Ok;
    last.usage = [(UsageClass::Input, 10), (UsageClass::Output, 2)].into_iter().collect();
    last.basis = Some(Basis::Reported);
    last.amount = Some(Money::from_pico(pico));
    Entry::new(intent.call.clone(), Outcome::Ok, attempts, Vec::new())
}

/// Opens and settles one call.
pub(crate) async fn call_once(spool: &Spool) -> Result<RequestId, LedgerError> {
    let intent = intent();
    let slot: Box<dyn Slot> = spool.open(&intent).await?;
    slot.settle(entry(&intent, 5)).await?;
    Ok(intent.call.request_id)
}

/// Waits until it holds; fails loudly after ten seconds.
pub(crate) async fn eventually(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("still not so after ten seconds: {what}");
}
