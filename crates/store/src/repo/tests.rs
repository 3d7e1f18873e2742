use std::time::Duration;

use steelyard_core::{Clock, ProjectId, Timestamp};

use super::*;
use crate::db::sql;
use crate::testing::{Place, on_each_engine};
use crate::{DataDir, Db, Durability, StoreError};

mod conversations;
mod responses;
mod secrets;

struct Fixture {
    clock: Clock,
    db: Db,
    dir: DataDir,
    place: Place,
    _temporary: tempfile::TempDir,
}

impl Fixture {
    async fn new(place: Place) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let dir = DataDir::open(temporary.path()).unwrap();
        let clock = Clock::fixed(Timestamp(1_000_000));
        let db = place.open(&dir, clock.clone()).await.unwrap();
        Self { clock, db, dir, place, _temporary: temporary }
    }

    fn set_time(&self, micros: i64) {
        let Clock::Fixed(now) = &self.clock else { panic!("the clock is fixed") };
        now.store(micros, std::sync::atomic::Ordering::Relaxed);
    }

    async fn key(&self, name: &str) -> (Key, crate::Secret) {
        let project = self.db.projects().find("default").await.unwrap().id;
        let new = NewKey { project, name: name.to_owned(), expires_at: None, aws: false };
        let (key, secrets) = self.db.keys().create(&new).await.unwrap();
        (key, secrets.bearer)
    }

    /// The names and ends of the secrets that open something.
    async fn active(&self) -> Vec<(String, bool, Option<i64>)> {
        let mut active: Vec<_> = self
            .db
            .keys()
            .load_all()
            .await
            .unwrap()
            .secrets
            .into_iter()
            .map(|secret| (secret.key.name, secret.valid_until.is_none(), secret.valid_until.map(|at| at.0)))
            .collect();
        active.sort();
        active
    }
}

on_each_engine!(
    migrations_and_the_default_project_are_made_once,
    projects_are_found_by_id_and_by_name,
    a_key_lives_from_creation_to_revocation,
    names_are_unique_among_the_live_keys_of_a_project,
    a_rotated_secret_works_on_for_its_grace_and_no_longer,
    a_rotation_without_grace_ends_every_older_secret,
    changes_of_one_key_wait_for_each_other,
    a_pair_lives_and_rotates_with_its_key,
    the_vault_wants_its_own_key,
    a_secret_in_another_row_is_left_out,
);

async fn migrations_and_the_default_project_are_made_once(place: Place) {
    let fixture = Fixture::new(place).await;
    let before = fixture.db.projects().find("default").await.unwrap();
    fixture.db.close().await;
    let again = fixture.place.open(&fixture.dir, Clock::System).await.unwrap();
    assert_eq!(again.projects().list().await.unwrap(), [before]);
    again.ping().await.unwrap();
}

async fn projects_are_found_by_id_and_by_name(place: Place) {
    let fixture = Fixture::new(place).await;
    let projects = fixture.db.projects();
    let made = projects.create("blue").await.unwrap();
    assert_eq!(projects.find("blue").await.unwrap(), made);
    assert_eq!(projects.find(&made.id.to_string()).await.unwrap(), made);
    assert!(matches!(projects.create("blue").await, Err(StoreError::AlreadyExists { .. })));
    assert!(matches!(projects.find("red").await, Err(StoreError::NotFound { .. })));
    for wrong in ["", " blue", "a\nb", &"x".repeat(101)] {
        assert!(matches!(projects.create(wrong).await, Err(StoreError::Invalid(_))), "{wrong:?}");
    }
}

async fn a_key_lives_from_creation_to_revocation(place: Place) {
    let fixture = Fixture::new(place).await;
    let keys = fixture.db.keys();
    let (key, secret) = fixture.key("app").await;
    assert_eq!((key.project_name.as_str(), key.created_at), ("default", Timestamp(1_000_000)));
    assert!(secret.expose().ends_with(&key.hint));
    assert_eq!(keys.get(key.id).await.unwrap(), key);
    assert_eq!(keys.find(key.project, "app").await.unwrap(), key);
    assert_eq!(keys.find(key.project, &key.id.to_string()).await.unwrap(), key);
    assert!(matches!(keys.find(ProjectId::new(), "app").await, Err(StoreError::NotFound { .. })));

    let active = keys.load_all().await.unwrap().secrets;
    assert_eq!((active.len(), active[0].hash, &active[0].key), (1, secret.hash(), &key));

    let renamed = keys
        .update(key.id, &KeyChange { name: Some("api".to_owned()), expires_at: Some(Some(Timestamp(5))) })
        .await
        .unwrap();
    assert_eq!((renamed.name.as_str(), renamed.expires_at), ("api", Some(Timestamp(5))));
    // An expired key stays in the snapshot, so that its caller is told that it has expired.
    assert_eq!(keys.load_all().await.unwrap().secrets[0].key, renamed);
    let endless = keys.update(key.id, &KeyChange { name: None, expires_at: Some(None) }).await.unwrap();
    assert_eq!(endless.expires_at, None);

    fixture.set_time(7_000_000);
    let revoked = keys.revoke(key.id).await.unwrap();
    assert_eq!(revoked.revoked_at, Some(Timestamp(7_000_000)));
    assert_eq!(keys.revoke(key.id).await.unwrap(), revoked);
    assert!(keys.load_all().await.unwrap().secrets.is_empty());
    assert!(matches!(keys.find(key.project, "api").await, Err(StoreError::NotFound { .. })));
    assert!(matches!(keys.update(key.id, &KeyChange::default()).await, Err(StoreError::NotFound { .. })));
    assert!(matches!(keys.rotate(key.id, Duration::ZERO).await, Err(StoreError::NotFound { .. })));
    assert_eq!(keys.list(None).await.unwrap(), [revoked]);
}

async fn names_are_unique_among_the_live_keys_of_a_project(place: Place) {
    let fixture = Fixture::new(place).await;
    let keys = fixture.db.keys();
    let (first, _) = fixture.key("app").await;
    let (other, _) = fixture.key("other").await;
    let same = NewKey { project: first.project, name: "app".to_owned(), expires_at: None, aws: false };
    assert!(matches!(keys.create(&same).await, Err(StoreError::AlreadyExists { .. })));
    let rename = KeyChange { name: Some("app".to_owned()), expires_at: None };
    assert!(matches!(keys.update(other.id, &rename).await, Err(StoreError::AlreadyExists { .. })));

    let blue = fixture.db.projects().create("blue").await.unwrap();
    keys.create(&NewKey { project: blue.id, ..same.clone() }).await.unwrap();
    keys.revoke(first.id).await.unwrap();
    keys.create(&same).await.unwrap();
    assert_eq!(keys.list(Some(blue.id)).await.unwrap().len(), 1);
    assert_eq!(keys.list(None).await.unwrap().len(), 4);

    let nowhere = NewKey { project: ProjectId::new(), name: "x".to_owned(), expires_at: None, aws: false };
    assert!(matches!(keys.create(&nowhere).await, Err(StoreError::NotFound { what: "project", .. })));
}

async fn a_rotated_secret_works_on_for_its_grace_and_no_longer(place: Place) {
    let fixture = Fixture::new(place).await;
    let keys = fixture.db.keys();
    let (key, first) = fixture.key("app").await;

    let (rotated, second) = keys.rotate(key.id, Duration::from_secs(2)).await.unwrap();
    assert_ne!(first.hash(), second.bearer.hash());
    assert_eq!(rotated.rotated_at, Some(Timestamp(1_000_000)));
    assert!(second.bearer.expose().ends_with(&rotated.hint));
    assert_eq!(
        fixture.active().await,
        [("app".to_owned(), false, Some(3_000_000)), ("app".to_owned(), true, None)]
    );

    // What was promised to the first secret holds after a second rotation, of either length.
    let (_, third) = keys.rotate(key.id, Duration::from_secs(9)).await.unwrap();
    let ends: Vec<_> = fixture.active().await.into_iter().map(|(_, _, end)| end).collect();
    assert_eq!(ends, [Some(3_000_000), Some(10_000_000), None]);
    let hashes: Vec<_> =
        keys.load_all().await.unwrap().secrets.into_iter().map(|secret| secret.hash).collect();
    assert!([&first, &second.bearer, &third.bearer].iter().all(|secret| hashes.contains(&secret.hash())));

    fixture.set_time(10_000_000);
    assert_eq!(fixture.active().await, [("app".to_owned(), true, None)]);
    keys.rotate(key.id, Duration::ZERO).await.unwrap();
    assert_eq!(fixture.active().await, [("app".to_owned(), true, None)]);
    assert!(!keys.load_all().await.unwrap().secrets.iter().any(|secret| secret.hash == third.bearer.hash()));
}

async fn a_rotation_without_grace_ends_every_older_secret(place: Place) {
    let fixture = Fixture::new(place).await;
    let keys = fixture.db.keys();
    let (key, _) = fixture.key("app").await;
    keys.rotate(key.id, Duration::from_hours(1)).await.unwrap();
    keys.rotate(key.id, Duration::from_hours(1)).await.unwrap();
    let (_, last) = keys.rotate(key.id, Duration::ZERO).await.unwrap();
    let active = keys.load_all().await.unwrap().secrets;
    assert_eq!((active.len(), active[0].hash, active[0].valid_until), (1, last.bearer.hash(), None));
}

/// However many change a key at once, one secret of it is current, and none once it is revoked.
async fn changes_of_one_key_wait_for_each_other(place: Place) {
    let fixture = Fixture::new(place).await;
    let keys = fixture.db.keys();
    let (key, _) = fixture.key("app").await;
    let rotate = || keys.rotate(key.id, Duration::from_secs(1));
    let done = tokio::join!(rotate(), rotate(), rotate(), rotate());
    assert!([done.0, done.1, done.2, done.3].iter().all(Result::is_ok));
    let current = fixture.active().await.into_iter().filter(|(_, current, _)| *current).count();
    assert_eq!(current, 1);

    let _ = tokio::join!(rotate(), keys.revoke(key.id), rotate());
    let count = sql("SELECT COUNT(*) AS secrets FROM key_secrets");
    let left: i64 = fixture.db.pool().fetch(count).await.unwrap()[0].try_get("secrets").unwrap();
    assert_eq!(left, 0);
}

/// A database that moves from the one engine to the other finds everything in its place.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn both_engines_have_the_same_tables_and_columns() {
    let versions = |migrator: sqlx::migrate::Migrator| -> Vec<(i64, String)> {
        migrator.iter().map(|each| (each.version, each.description.to_string())).collect()
    };
    assert_eq!(
        versions(sqlx::migrate!("./migrations/sqlite")),
        versions(sqlx::migrate!("./migrations/postgres"))
    );
    let Some(database) = steelyard_testkit::postgres::Database::new() else { return };
    let columns = async |place, statement| -> Vec<(String, String, String, bool)> {
        let fixture = Fixture::new(place).await;
        let rows = fixture.db.pool().fetch(sql(statement)).await.unwrap();
        let column = |row: &crate::db::Row| -> Result<_, sqlx::Error> {
            let kind: String = row.try_get("kind")?;
            let kind = match kind.as_str() {
                "bytea" => "BLOB".to_owned(),
                "bigint" => "INTEGER".to_owned(),
                other => other.to_uppercase(),
            };
            let bound: i64 = row.try_get("bound")?;
            Ok((row.try_get("the_table")?, row.try_get("the_column")?, kind, bound == 1))
        };
        let mut columns: Vec<_> = rows.iter().map(|row| column(row).unwrap()).collect();
        columns.sort();
        columns
    };
    let sqlite = columns(
        Place::Sqlite,
        "SELECT m.name AS the_table, c.name AS the_column, c.type AS kind, c.\"notnull\" AS bound \
         FROM sqlite_master AS m, pragma_table_info(m.name) AS c WHERE m.type = 'table' AND m.name NOT LIKE '\\_sqlx%' ESCAPE '\\'",
    )
    .await;
    let postgres = columns(
        Place::Postgres(database),
        "SELECT CAST(table_name AS TEXT) AS the_table, CAST(column_name AS TEXT) AS the_column, \
         CAST(data_type AS TEXT) AS kind, CAST(CASE is_nullable WHEN 'NO' THEN 1 ELSE 0 END AS BIGINT) AS bound \
         FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE '\\_sqlx%'",
    )
    .await;
    assert!(sqlite.len() > 30, "{sqlite:?}");
    assert_eq!(sqlite, postgres);
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_server_that_cannot_be_used_is_named_without_the_password() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = DataDir::open(temporary.path()).unwrap();
    for url in
        ["postgres://sy:hunter2@127.0.0.1:1/ledger", "postgres://sy:hunter2@", "mysql://sy:hunter2@x/y"]
    {
        let error = Db::connect(&dir, &url.to_owned().into(), 4, Clock::System).await.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("store.url"), "{shown}");
    }
    let nobody = "postgres://sy:hunter2@127.0.0.1:1/ledger".to_owned().into();
    let error = Db::connect(&dir, &nobody, 4, Clock::System).await.unwrap_err();
    assert!(error.to_string().contains("`ledger` at 127.0.0.1:1"), "{error}");
}

#[tokio::test]
async fn nothing_is_written_into_a_file_that_is_not_there_any_more() {
    let fixture = Fixture::new(Place::Sqlite).await;
    let (keys, projects) = (fixture.db.keys(), fixture.db.projects());
    let (key, _) = fixture.key("app").await;
    // More than one idle connection, so that none of them is forgotten.
    let (first, second) = tokio::join!(fixture.db.pool().begin_read(), fixture.db.pool().begin_read());
    drop((first.unwrap(), second.unwrap()));
    fixture.db.ping().await.unwrap();

    let (here, away) = (fixture.dir.database(), fixture.dir.path().join("away.db"));
    let copy = format!("VACUUM INTO '{}'", away.display());
    rusqlite::Connection::open(&here).unwrap().execute_batch(&copy).unwrap();
    std::fs::remove_file(&here).unwrap();
    let new = NewKey { project: key.project, name: "lost".to_owned(), expires_at: None, aws: false };
    let told = [
        fixture.db.ping().await.err(),
        keys.create(&new).await.err(),
        keys.update(key.id, &KeyChange::default()).await.err(),
        keys.rotate(key.id, Duration::ZERO).await.err(),
        keys.revoke(key.id).await.err(),
        projects.create("lost").await.err(),
        keys.load_all().await.err(),
    ];
    for error in told {
        assert!(matches!(error, Some(StoreError::Unavailable { .. })), "{error:?}");
    }
    assert!(!here.exists(), "a missing database is not made anew");

    // A backup is put in its place: what is written from then on is in that file.
    let _ = std::fs::remove_file(here.with_extension("db-wal"));
    let _ = std::fs::remove_file(here.with_extension("db-shm"));
    std::fs::rename(&away, &here).unwrap();
    fixture.db.ping().await.unwrap();
    let (kept, _) = fixture.key("kept").await;
    fixture.db.close().await;
    let again = Db::open(&fixture.dir, Durability::Process, Clock::System).await.unwrap();
    assert_eq!(again.keys().get(kept.id).await.unwrap(), kept);
    assert_eq!(again.keys().get(key.id).await.unwrap().revoked_at, None);
}

#[tokio::test]
async fn a_file_put_over_the_open_one_is_taken_up_or_refused() {
    let fixture = Fixture::new(Place::Sqlite).await;
    let (key, _) = fixture.key("app").await;
    let (here, other) = (fixture.dir.database(), fixture.dir.path().join("other.db"));
    let copy = format!("VACUUM INTO '{}'", other.display());
    rusqlite::Connection::open(&here).unwrap().execute_batch(&copy).unwrap();
    for end in ["db-wal", "db-shm"] {
        let _ = std::fs::remove_file(here.with_extension(end));
    }
    std::fs::rename(&other, &here).unwrap();
    let (_, secret) = fixture.db.keys().rotate(key.id, Duration::ZERO).await.unwrap();
    let inside: Vec<u8> = rusqlite::Connection::open(&here)
        .unwrap()
        .query_row("SELECT hash FROM key_secrets", [], |row| row.get(0))
        .unwrap();
    assert_eq!(inside, secret.bearer.hash().as_bytes());

    // Not a ledger of ours.
    std::fs::write(&other, b"").unwrap();
    for end in ["db-wal", "db-shm"] {
        let _ = std::fs::remove_file(here.with_extension(end));
    }
    std::fs::rename(&other, &here).unwrap();
    assert!(matches!(fixture.db.ping().await, Err(StoreError::Unavailable { .. })));
    let told = fixture.db.keys().revoke(key.id).await;
    assert!(matches!(told, Err(StoreError::Unavailable { .. })), "{told:?}");
}

#[tokio::test]
async fn a_file_that_somebody_has_locked_is_not_well() {
    let fixture = Fixture::new(Place::Sqlite).await;
    let other = rusqlite::Connection::open(fixture.dir.database()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // More often than the pool has connections: none of them waits for the lock.
    for _ in 0..5 {
        assert!(matches!(fixture.db.ping().await, Err(StoreError::Unavailable { .. })));
    }
    fixture.db.keys().load_all().await.unwrap();
    other.execute_batch("ROLLBACK").unwrap();
    fixture.db.ping().await.unwrap();
}

/// Access key ids with their secrets and ends, the current ones last.
async fn pairs(fixture: &Fixture) -> Vec<(Option<i64>, String, String)> {
    let pairs = fixture.db.keys().load_all().await.unwrap().pairs;
    let mut pairs: Vec<_> = pairs
        .into_iter()
        .map(|pair| {
            let secret = pair.secret_access_key.expose().to_owned();
            (pair.valid_until.map(|at| at.0), pair.access_key_id, secret)
        })
        .collect();
    pairs.sort_by_key(|(end, ..)| end.unwrap_or(i64::MAX));
    pairs
}

fn shown(secrets: &NewSecrets, end: Option<i64>) -> (Option<i64>, String, String) {
    let pair = secrets.aws.as_ref().unwrap();
    (end, pair.access_key_id.clone(), pair.secret_access_key.expose().to_owned())
}

async fn a_pair_lives_and_rotates_with_its_key(place: Place) {
    let fixture = Fixture::new(place).await;
    let keys = fixture.db.keys();
    fixture.key("plain").await;
    let project = fixture.db.projects().create("blue").await.unwrap().id;
    let new = NewKey { project, name: "signs".to_owned(), expires_at: None, aws: true };
    let (key, first) = keys.create(&new).await.unwrap();
    assert_eq!(key.aws_access_key_id.as_deref(), Some(first.aws.as_ref().unwrap().access_key_id.as_str()));
    assert_eq!(pairs(&fixture).await, [shown(&first, None)]);
    let active = keys.load_all().await.unwrap();
    assert_eq!((active.pairs[0].key.clone(), active.secrets.len()), (key.clone(), 2));

    let (rotated, second) = keys.rotate(key.id, Duration::from_secs(2)).await.unwrap();
    assert_eq!(rotated, keys.get(key.id).await.unwrap());
    assert_ne!(rotated.aws_access_key_id, key.aws_access_key_id);
    assert_eq!(pairs(&fixture).await, [shown(&first, Some(3_000_000)), shown(&second, None)]);
    fixture.set_time(3_000_000);
    assert_eq!(pairs(&fixture).await, [shown(&second, None)]);
    let (_, third) = keys.rotate(key.id, Duration::ZERO).await.unwrap();
    assert_eq!(pairs(&fixture).await, [shown(&third, None)]);

    // What is sealed outlives the process, with the key file beside it.
    fixture.db.close().await;
    let again = fixture.place.open(&fixture.dir, fixture.clock.clone()).await.unwrap();
    let pair = again.keys().load_all().await.unwrap().pairs.remove(0);
    assert_eq!(pair.secret_access_key.expose(), third.aws.unwrap().secret_access_key.expose());
    again.keys().revoke(key.id).await.unwrap();
    assert!(again.keys().load_all().await.unwrap().pairs.is_empty());
}

async fn the_vault_wants_its_own_key(place: Place) {
    let fixture = Fixture::new(place).await;
    let file = fixture.dir.vault_key_file();
    let open = || fixture.place.open(&fixture.dir, Clock::System);
    // Nothing is sealed yet: the key can be made anew.
    std::fs::remove_file(&file).unwrap();
    open().await.unwrap().close().await;
    let own = std::fs::read_to_string(&file).unwrap();
    let db = open().await.unwrap();
    let project = db.projects().find("default").await.unwrap().id;
    let new = NewKey { project, name: "signs".to_owned(), expires_at: None, aws: true };
    db.keys().create(&new).await.unwrap();
    db.close().await;

    std::fs::remove_file(&file).unwrap();
    let missing = open().await.unwrap_err().to_string();
    assert!(missing.contains("vault.key is missing"), "{missing}");
    assert!(!file.exists(), "a key that opens nothing is not made");
    fixture.dir.make_vault_key().unwrap();
    let other = open().await.unwrap_err().to_string();
    assert!(other.contains("vault.key is not the key"), "{other}");
    std::fs::write(&file, "nothing of the kind").unwrap();
    let nonsense = open().await.unwrap_err().to_string();
    assert!(nonsense.contains("vault.key is not a key"), "{nonsense}");
    std::fs::write(&file, own).unwrap();
    assert_eq!(open().await.unwrap().keys().load_all().await.unwrap().pairs.len(), 1);
}

/// A copy of another row's secret opens nothing, and keeps nobody else from calling.
async fn a_secret_in_another_row_is_left_out(place: Place) {
    let fixture = Fixture::new(place).await;
    let project = fixture.db.projects().find("default").await.unwrap().id;
    for name in ["a", "b", "c"] {
        let new = NewKey { project, name: name.to_owned(), expires_at: None, aws: true };
        fixture.db.keys().create(&new).await.unwrap();
    }
    let copy = "UPDATE aws_secrets SET sealed = (SELECT s.sealed FROM aws_secrets AS s \
                JOIN keys ON keys.id = s.key WHERE keys.name = 'b') \
                WHERE key = (SELECT id FROM keys WHERE name = 'a')";
    assert_eq!(fixture.db.pool().execute(sql(copy)).await.unwrap(), 1);
    let active = fixture.db.keys().load_all().await.unwrap();
    let names: Vec<_> = active.pairs.iter().map(|pair| pair.key.name.as_str()).collect();
    assert_eq!((names.as_slice(), active.secrets.len()), (["b", "c"].as_slice(), 3));
}

#[test]
fn dimensions_round_trip_through_text() {
    for text in
        ["project", "key", "principal", "route", "model", "channel", "day", "hour", "outcome", "tag:team"]
    {
        assert_eq!(text.parse::<Dimension>().unwrap().to_string(), text);
    }
    for text in ["", "tag:", "tags", "week"] {
        assert!(text.parse::<Dimension>().is_err(), "{text}");
    }
}
