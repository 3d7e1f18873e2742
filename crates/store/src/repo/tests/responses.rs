//! Answers that are kept.

use steelyard_core::{RequestId, ResponseId};

use super::*;

on_each_engine!(
    an_answer_is_kept_sealed_for_its_project_alone,
    a_chain_is_had_whole_and_lives_as_long_as_its_last_answer,
    what_is_deleted_is_gone_and_so_is_what_went_on_from_it,
    what_has_expired_is_swept,
    items_are_found_by_their_ids,
    an_answer_of_another_row_does_not_open
);

const SECOND: i64 = 1_000_000;

fn new(chain: &[ResponseId], text: &str, expires_at: i64) -> NewResponse {
    NewResponse {
        id: ResponseId::from(RequestId::new()),
        chain: chain.to_vec(),
        answer: format!(r#"{{"text":"{text}"}}"#).into_bytes(),
        input: format!(r#"[{{"said":"{text}"}}]"#).into_bytes(),
        items: vec![format!("msg_{text}")],
        expires_at: Timestamp(expires_at),
    }
}

async fn projects(fixture: &Fixture) -> (ProjectId, ProjectId) {
    let projects = fixture.db.projects();
    (projects.ensure("default").await.unwrap().id, projects.ensure("other").await.unwrap().id)
}

/// The texts of a chain; what is missing of one that is not whole.
async fn chain(fixture: &Fixture, project: ProjectId, id: ResponseId) -> Result<Vec<String>, ResponseId> {
    match fixture.db.responses().chain(project, id, 1_000).await.unwrap() {
        Chain::Whole(all) => {
            Ok(all.iter().map(|answer| String::from_utf8(answer.answer.to_vec()).unwrap()).collect())
        }
        Chain::Missing(id) => Err(id),
        Chain::TooLarge(size) => panic!("{size}"),
    }
}

async fn rows(fixture: &Fixture, table: &str) -> i64 {
    let mut count = sql("SELECT COUNT(*) AS n FROM ");
    count.push(table);
    fixture.db.pool().fetch(count).await.unwrap()[0].try_get("n").unwrap()
}

async fn an_answer_is_kept_sealed_for_its_project_alone(place: Place) {
    let fixture = Fixture::new(place).await;
    let (mine, other) = projects(&fixture).await;
    let answer = new(&[], "Baltic", 9 * SECOND);
    fixture.db.responses().put(mine, &answer).await.unwrap();
    let found = fixture.db.responses().get(mine, answer.id).await.unwrap();
    assert_eq!((found.id, &*found.answer, &*found.input), (answer.id, &answer.answer, &answer.input));
    assert!(!format!("{found:?}").contains("Baltic"));
    let foreign = fixture.db.responses().get(other, answer.id).await;
    assert!(matches!(foreign, Err(StoreError::NotFound { .. })), "{foreign:?}");
    assert_eq!(chain(&fixture, other, answer.id).await, Err(answer.id));
    assert!(fixture.db.responses().with_items(other, &answer.items).await.unwrap().is_empty());
    let foreign = fixture.db.responses().delete(other, answer.id).await;
    assert!(matches!(foreign, Err(StoreError::NotFound { .. })), "{foreign:?}");

    for column in ["answer", "input"] {
        let mut select = sql("SELECT ");
        select.push(column).push(" AS sealed FROM response_contents");
        let found = fixture.db.pool().fetch(select).await.unwrap();
        let sealed: &[u8] = found[0].try_get("sealed").unwrap();
        assert!(!sealed.windows(6).any(|part| part == b"Baltic"), "{column}");
    }
    // It outlives the process.
    fixture.db.close().await;
    let again = fixture.place.open(&fixture.dir, fixture.clock.clone()).await.unwrap();
    assert_eq!(*again.responses().get(mine, answer.id).await.unwrap().answer, answer.answer);
}

async fn a_chain_is_had_whole_and_lives_as_long_as_its_last_answer(place: Place) {
    let fixture = Fixture::new(place).await;
    let (mine, _) = projects(&fixture).await;
    let responses = fixture.db.responses();
    let first = new(&[], "one", 3 * SECOND);
    let second = new(&[first.id], "two", 4 * SECOND);
    let branch = new(&[first.id], "branch", 5 * SECOND);
    let third = new(&[first.id, second.id], "three", 9 * SECOND);
    for answer in [&first, &second, &branch, &third] {
        responses.put(mine, answer).await.unwrap();
    }
    let text = |name: &str| format!(r#"{{"text":"{name}"}}"#);
    assert_eq!(chain(&fixture, mine, third.id).await.unwrap(), ["one", "two", "three"].map(text));
    assert_eq!(chain(&fixture, mine, branch.id).await.unwrap(), ["one", "branch"].map(text));
    assert_eq!(chain(&fixture, mine, first.id).await.unwrap(), ["one"].map(text));
    let size = u64::try_from(third.answer.len() + third.input.len()).unwrap();
    assert!(
        matches!(responses.chain(mine, third.id, size).await.unwrap(), Chain::TooLarge(all) if all > size)
    );

    // What came before is kept as long; the branch is not.
    fixture.set_time(6 * SECOND);
    responses.sweep().await.unwrap();
    assert_eq!(chain(&fixture, mine, third.id).await.unwrap().len(), 3);
    assert_eq!(chain(&fixture, mine, branch.id).await, Err(branch.id));
}

async fn what_is_deleted_is_gone_and_so_is_what_went_on_from_it(place: Place) {
    let fixture = Fixture::new(place).await;
    let (mine, _) = projects(&fixture).await;
    let responses = fixture.db.responses();
    let first = new(&[], "one", 9 * SECOND);
    let second = new(&[first.id], "two", 9 * SECOND);
    for answer in [&first, &second] {
        responses.put(mine, answer).await.unwrap();
    }
    responses.delete(mine, first.id).await.unwrap();
    assert!(matches!(responses.delete(mine, first.id).await, Err(StoreError::NotFound { .. })));
    assert!(matches!(responses.get(mine, first.id).await, Err(StoreError::NotFound { .. })));
    assert_eq!(chain(&fixture, mine, second.id).await, Err(first.id));
    assert!(responses.get(mine, second.id).await.is_ok());
    for table in ["responses", "response_contents", "response_items"] {
        assert_eq!(rows(&fixture, table).await, 1, "{table}");
    }
}

async fn what_has_expired_is_swept(place: Place) {
    let fixture = Fixture::new(place).await;
    let (mine, _) = projects(&fixture).await;
    let responses = fixture.db.responses();
    for number in 0..201 {
        responses.put(mine, &new(&[], &number.to_string(), 3 * SECOND)).await.unwrap();
    }
    let later = new(&[], "later", 9 * SECOND);
    responses.put(mine, &later).await.unwrap();
    assert_eq!(responses.sweep().await.unwrap(), 0);
    fixture.set_time(3 * SECOND);
    assert_eq!((responses.sweep().await.unwrap(), responses.sweep().await.unwrap()), (200, 1));
    assert_eq!(responses.sweep().await.unwrap(), 0);
    for table in ["responses", "response_contents", "response_items"] {
        assert_eq!(rows(&fixture, table).await, 1, "{table}");
    }
    // What has expired is not to be had, swept or not.
    fixture.set_time(9 * SECOND);
    assert!(matches!(responses.get(mine, later.id).await, Err(StoreError::NotFound { .. })));
    assert!(responses.with_items(mine, &later.items).await.unwrap().is_empty());
    assert!(matches!(responses.delete(mine, later.id).await, Err(StoreError::NotFound { .. })));
}

async fn items_are_found_by_their_ids(place: Place) {
    let fixture = Fixture::new(place).await;
    let (mine, _) = projects(&fixture).await;
    let responses = fixture.db.responses();
    let (first, second) = (new(&[], "same", 9 * SECOND), new(&[], "same", 9 * SECOND));
    for answer in [&first, &second] {
        responses.put(mine, answer).await.unwrap();
    }
    let found = responses.with_items(mine, &["msg_none".to_owned(), "msg_same".to_owned()]).await.unwrap();
    assert_eq!(found.iter().map(|answer| answer.id).collect::<Vec<_>>(), [second.id]);
    assert!(responses.with_items(mine, &[]).await.unwrap().is_empty());
}

/// Whoever can write into the database cannot show one caller the answer of another.
async fn an_answer_of_another_row_does_not_open(place: Place) {
    let fixture = Fixture::new(place).await;
    let (mine, _) = projects(&fixture).await;
    let responses = fixture.db.responses();
    let (first, second) = (new(&[], "one", 9 * SECOND), new(&[], "two", 9 * SECOND));
    for answer in [&first, &second] {
        responses.put(mine, answer).await.unwrap();
    }
    let copy = "UPDATE response_contents SET answer = (SELECT c.answer FROM response_contents AS c WHERE c.response = $1) \
                WHERE response = $2";
    let copy = sql(copy).bind(first.id.as_bytes()).bind(second.id.as_bytes());
    assert_eq!(fixture.db.pool().execute(copy).await.unwrap(), 1);
    let read = responses.get(mine, second.id).await;
    assert!(matches!(read, Err(StoreError::Corrupt { .. })), "{read:?}");
    assert!(responses.get(mine, first.id).await.is_ok());
}
