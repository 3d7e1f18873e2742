//! Credentials at vendors.

use super::*;
use crate::Secret;

on_each_engine!(
    secrets_are_set_replaced_listed_and_deleted,
    a_secret_of_another_row_is_left_out,
    what_is_no_secret_is_refused
);

async fn secrets_are_set_replaced_listed_and_deleted(place: Place) {
    let fixture = Fixture::new(place).await;
    let secrets = fixture.db.secrets();
    assert!(secrets.open_all().await.unwrap().is_empty());
    let first = secrets.set("openai", &Secret::from("sk-one \n".to_owned())).await.unwrap();
    fixture.set_time(2_000_000);
    let second = secrets.set("openai", &Secret::from("sk-two".to_owned())).await.unwrap();
    assert_eq!((second.created_at, second.updated_at), (first.created_at, Timestamp(2_000_000)));
    secrets.set("azure", &Secret::from("key".to_owned())).await.unwrap();
    let names: Vec<_> = secrets.list().await.unwrap().into_iter().map(|secret| secret.name).collect();
    assert_eq!(names, ["azure", "openai"]);

    // They outlive the process, with the key file beside them, and are not in the database in clear.
    let sealed = "SELECT COUNT(*) AS n FROM secrets WHERE sealed = $1";
    let row = fixture.db.pool().fetch_optional(sql(sealed).bind(b"sk-two".as_slice())).await.unwrap();
    assert_eq!(row.unwrap().try_get::<i64>("n").unwrap(), 0);
    fixture.db.close().await;
    let again = fixture.place.open(&fixture.dir, fixture.clock.clone()).await.unwrap();
    let opened = again.secrets().open_all().await.unwrap();
    assert_eq!((opened["openai"].expose(), opened["azure"].expose()), ("sk-two", "key"));
    again.secrets().delete("azure").await.unwrap();
    assert!(matches!(again.secrets().delete("azure").await, Err(StoreError::NotFound { .. })));
    assert_eq!(again.secrets().list().await.unwrap(), [second]);
}

/// Whoever can write into the database cannot make one channel use the credential of another.
async fn a_secret_of_another_row_is_left_out(place: Place) {
    let fixture = Fixture::new(place).await;
    let secrets = fixture.db.secrets();
    for name in ["cheap", "dear"] {
        secrets.set(name, &Secret::from(name.to_owned())).await.unwrap();
    }
    let copy = "UPDATE secrets SET sealed = (SELECT s.sealed FROM secrets AS s WHERE s.name = 'dear') \
                WHERE name = 'cheap'";
    assert_eq!(fixture.db.pool().execute(sql(copy)).await.unwrap(), 1);
    let opened = secrets.open_all().await.unwrap();
    assert_eq!(opened.keys().collect::<Vec<_>>(), ["dear"]);
}

async fn what_is_no_secret_is_refused(place: Place) {
    let fixture = Fixture::new(place).await;
    let secrets = fixture.db.secrets();
    for (name, value) in [("", "v"), (" a", "v"), ("a", ""), ("a", " \n")] {
        let refused = secrets.set(name, &Secret::from(value.to_owned())).await;
        assert!(matches!(refused, Err(StoreError::Invalid(_))), "{name:?} {value:?}: {refused:?}");
    }
    assert!(secrets.list().await.unwrap().is_empty());
}
