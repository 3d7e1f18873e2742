use std::time::Duration;

use steelyard_core::{Clock, ProjectId, Timestamp};

use super::*;
use crate::{DataDir, Db, Durability, StoreError};

struct Fixture {
    clock: Clock,
    db: Db,
    dir: DataDir,
    _temporary: tempfile::TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let dir = DataDir::open(temporary.path()).unwrap();
        let clock = Clock::fixed(Timestamp(1_000_000));
        let db = Db::open(&dir, Durability::Process, clock.clone()).await.unwrap();
        Self { clock, db, dir, _temporary: temporary }
    }

    fn set_time(&self, micros: i64) {
        let Clock::Fixed(now) = &self.clock else { panic!("the clock is fixed") };
        now.store(micros, std::sync::atomic::Ordering::Relaxed);
    }

    async fn key(&self, name: &str) -> (Key, crate::Secret) {
        let project = self.db.projects().find("default").await.unwrap().id;
        self.db.keys().create(&NewKey { project, name: name.to_owned(), expires_at: None }).await.unwrap()
    }

    /// The names and ends of the secrets that open something.
    async fn active(&self) -> Vec<(String, bool, Option<i64>)> {
        let mut active: Vec<_> = self
            .db
            .keys()
            .load_all()
            .await
            .unwrap()
            .into_iter()
            .map(|secret| (secret.key.name, secret.valid_until.is_none(), secret.valid_until.map(|at| at.0)))
            .collect();
        active.sort();
        active
    }
}

#[tokio::test]
async fn migrations_and_the_default_project_are_made_once() {
    let fixture = Fixture::new().await;
    let before = fixture.db.projects().find("default").await.unwrap();
    fixture.db.close().await;
    let again = Db::open(&fixture.dir, Durability::Power, Clock::System).await.unwrap();
    assert_eq!(again.projects().list().await.unwrap(), [before]);
    again.ping().await.unwrap();
}

#[tokio::test]
async fn projects_are_found_by_id_and_by_name() {
    let fixture = Fixture::new().await;
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

#[tokio::test]
async fn a_key_lives_from_creation_to_revocation() {
    let fixture = Fixture::new().await;
    let keys = fixture.db.keys();
    let (key, secret) = fixture.key("app").await;
    assert_eq!((key.project_name.as_str(), key.created_at), ("default", Timestamp(1_000_000)));
    assert!(secret.expose().ends_with(&key.hint));
    assert_eq!(keys.get(key.id).await.unwrap(), key);
    assert_eq!(keys.find(key.project, "app").await.unwrap(), key);
    assert_eq!(keys.find(key.project, &key.id.to_string()).await.unwrap(), key);
    assert!(matches!(keys.find(ProjectId::new(), "app").await, Err(StoreError::NotFound { .. })));

    let active = keys.load_all().await.unwrap();
    assert_eq!((active.len(), active[0].hash, &active[0].key), (1, secret.hash(), &key));

    let renamed = keys
        .update(key.id, &KeyChange { name: Some("api".to_owned()), expires_at: Some(Some(Timestamp(5))) })
        .await
        .unwrap();
    assert_eq!((renamed.name.as_str(), renamed.expires_at), ("api", Some(Timestamp(5))));
    // An expired key stays in the snapshot, so that its caller is told that it has expired.
    assert_eq!(keys.load_all().await.unwrap()[0].key, renamed);
    let endless = keys.update(key.id, &KeyChange { name: None, expires_at: Some(None) }).await.unwrap();
    assert_eq!(endless.expires_at, None);

    fixture.set_time(7_000_000);
    let revoked = keys.revoke(key.id).await.unwrap();
    assert_eq!(revoked.revoked_at, Some(Timestamp(7_000_000)));
    assert_eq!(keys.revoke(key.id).await.unwrap(), revoked);
    assert!(keys.load_all().await.unwrap().is_empty());
    assert!(matches!(keys.find(key.project, "api").await, Err(StoreError::NotFound { .. })));
    assert!(matches!(keys.update(key.id, &KeyChange::default()).await, Err(StoreError::NotFound { .. })));
    assert!(matches!(keys.rotate(key.id, Duration::ZERO).await, Err(StoreError::NotFound { .. })));
    assert_eq!(keys.list(None).await.unwrap(), [revoked]);
}

#[tokio::test]
async fn names_are_unique_among_the_live_keys_of_a_project() {
    let fixture = Fixture::new().await;
    let keys = fixture.db.keys();
    let (first, _) = fixture.key("app").await;
    let (other, _) = fixture.key("other").await;
    let same = NewKey { project: first.project, name: "app".to_owned(), expires_at: None };
    assert!(matches!(keys.create(&same).await, Err(StoreError::AlreadyExists { .. })));
    let rename = KeyChange { name: Some("app".to_owned()), expires_at: None };
    assert!(matches!(keys.update(other.id, &rename).await, Err(StoreError::AlreadyExists { .. })));

    let blue = fixture.db.projects().create("blue").await.unwrap();
    keys.create(&NewKey { project: blue.id, ..same.clone() }).await.unwrap();
    keys.revoke(first.id).await.unwrap();
    keys.create(&same).await.unwrap();
    assert_eq!(keys.list(Some(blue.id)).await.unwrap().len(), 1);
    assert_eq!(keys.list(None).await.unwrap().len(), 4);

    let nowhere = NewKey { project: ProjectId::new(), name: "x".to_owned(), expires_at: None };
    assert!(matches!(keys.create(&nowhere).await, Err(StoreError::NotFound { what: "project", .. })));
}

#[tokio::test]
async fn a_rotated_secret_works_on_for_its_grace_and_no_longer() {
    let fixture = Fixture::new().await;
    let keys = fixture.db.keys();
    let (key, first) = fixture.key("app").await;

    let (rotated, second) = keys.rotate(key.id, Duration::from_secs(2)).await.unwrap();
    assert_ne!(first.hash(), second.hash());
    assert_eq!(rotated.rotated_at, Some(Timestamp(1_000_000)));
    assert!(second.expose().ends_with(&rotated.hint));
    assert_eq!(
        fixture.active().await,
        [("app".to_owned(), false, Some(3_000_000)), ("app".to_owned(), true, None)]
    );

    // What was promised to the first secret holds after a second rotation, of either length.
    let (_, third) = keys.rotate(key.id, Duration::from_secs(9)).await.unwrap();
    let ends: Vec<_> = fixture.active().await.into_iter().map(|(_, _, end)| end).collect();
    assert_eq!(ends, [Some(3_000_000), Some(10_000_000), None]);
    let hashes: Vec<_> = keys.load_all().await.unwrap().into_iter().map(|secret| secret.hash).collect();
    assert!([&first, &second, &third].iter().all(|secret| hashes.contains(&secret.hash())));

    fixture.set_time(10_000_000);
    assert_eq!(fixture.active().await, [("app".to_owned(), true, None)]);
    keys.rotate(key.id, Duration::ZERO).await.unwrap();
    assert_eq!(fixture.active().await, [("app".to_owned(), true, None)]);
    assert!(!keys.load_all().await.unwrap().iter().any(|secret| secret.hash == third.hash()));
}

#[tokio::test]
async fn a_rotation_without_grace_ends_every_older_secret() {
    let fixture = Fixture::new().await;
    let keys = fixture.db.keys();
    let (key, _) = fixture.key("app").await;
    keys.rotate(key.id, Duration::from_hours(1)).await.unwrap();
    keys.rotate(key.id, Duration::from_hours(1)).await.unwrap();
    let (_, last) = keys.rotate(key.id, Duration::ZERO).await.unwrap();
    let active = keys.load_all().await.unwrap();
    assert_eq!((active.len(), active[0].hash, active[0].valid_until), (1, last.hash(), None));
}

#[tokio::test]
async fn nothing_is_written_into_a_file_that_is_not_there_any_more() {
    let fixture = Fixture::new().await;
    let (keys, projects) = (fixture.db.keys(), fixture.db.projects());
    let (key, _) = fixture.key("app").await;
    // More than one idle connection, so that none of them is forgotten.
    let (first, second) = tokio::join!(fixture.db.pool().acquire(), fixture.db.pool().acquire());
    drop((first.unwrap(), second.unwrap()));
    fixture.db.ping().await.unwrap();

    let (here, away) = (fixture.dir.database(), fixture.dir.path().join("away.db"));
    let copy = format!("VACUUM INTO '{}'", away.display());
    rusqlite::Connection::open(&here).unwrap().execute_batch(&copy).unwrap();
    std::fs::remove_file(&here).unwrap();
    let new = NewKey { project: key.project, name: "lost".to_owned(), expires_at: None };
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
    let fixture = Fixture::new().await;
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
    assert_eq!(inside, secret.hash().as_bytes());

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
