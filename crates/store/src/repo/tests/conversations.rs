//! Conversations.

use secrecy::zeroize::Zeroizing;
use steelyard_core::ConversationId;

use super::*;

on_each_engine!(
    a_conversation_is_kept_sealed_for_its_project_alone,
    items_keep_their_order_and_are_paged,
    items_that_are_added_at_once_stand_one_behind_the_other,
    an_item_of_another_place_does_not_open
);

fn item(id: &str) -> ConversationItem {
    let item = Zeroizing::new(format!(r#"{{"text":"Baltic {id}"}}"#).into_bytes());
    ConversationItem { id: id.to_owned(), item }
}

async fn projects(fixture: &Fixture) -> (ProjectId, ProjectId) {
    let projects = fixture.db.projects();
    (projects.ensure("default").await.unwrap().id, projects.ensure("other").await.unwrap().id)
}

async fn ids(fixture: &Fixture, project: ProjectId, id: ConversationId) -> Vec<String> {
    match fixture.db.conversations().items(project, id, 10_000).await.unwrap() {
        ConversationItems::All(items) => items.into_iter().map(|item| item.id).collect(),
        ConversationItems::TooLarge(size) => panic!("{size}"),
    }
}

async fn a_conversation_is_kept_sealed_for_its_project_alone(place: Place) {
    let fixture = Fixture::new(place).await;
    let (mine, other) = projects(&fixture).await;
    let conversations = fixture.db.conversations();
    let made = conversations.create(mine, br#"{"a":"Baltic"}"#, &[item("one")]).await.unwrap();
    assert!(!format!("{made:?} {:?}", item("one")).contains("Baltic"));
    let id = made.id;
    let found = conversations.get(mine, id).await.unwrap();
    assert_eq!((&**found.metadata, found.created_at), (br#"{"a":"Baltic"}"#.as_slice(), made.created_at));
    let updated = conversations.update(mine, id, br#"{"a":"Ost"}"#).await.unwrap();
    assert_eq!(updated.metadata, conversations.get(mine, id).await.unwrap().metadata);
    assert_eq!(*conversations.item(mine, id, "one").await.unwrap().item, *item("one").item);
    for (table, column) in [("conversations", "metadata"), ("conversation_items", "sealed")] {
        let mut select = sql("SELECT ");
        select.push(column).push(" AS sealed FROM ").push(table);
        let found = fixture.db.pool().fetch(select).await.unwrap();
        let sealed: &[u8] = found[0].try_get("sealed").unwrap();
        assert!(!sealed.windows(6).any(|part| part == b"Baltic" || part == b"\"Ost\"}"), "{column}");
    }

    let missing =
        |done: Result<(), StoreError>| assert!(matches!(done, Err(StoreError::NotFound { .. })), "{done:?}");
    missing(conversations.get(other, id).await.map(drop));
    missing(conversations.update(other, id, b"{}").await.map(drop));
    missing(conversations.items(other, id, 9).await.map(drop));
    missing(conversations.page(other, id, None, true, 9).await.map(drop));
    missing(conversations.append(other, id, &[item("two")]).await);
    missing(conversations.item(other, id, "one").await.map(drop));
    missing(conversations.delete_item(other, id, "one").await);
    missing(conversations.delete(other, id).await);
    assert_eq!(ids(&fixture, mine, id).await, ["one"]);
    assert!(
        matches!(conversations.items(mine, id, 3).await.unwrap(), ConversationItems::TooLarge(size) if size > 3)
    );
    conversations.delete(mine, id).await.unwrap();
    missing(conversations.get(mine, id).await.map(drop));
    let count = sql("SELECT COUNT(*) AS n FROM conversation_items");
    let left: i64 = fixture.db.pool().fetch(count).await.unwrap()[0].try_get("n").unwrap();
    assert_eq!(left, 0);
}

async fn items_keep_their_order_and_are_paged(place: Place) {
    let fixture = Fixture::new(place).await;
    let (mine, _) = projects(&fixture).await;
    let conversations = fixture.db.conversations();
    let id = conversations.create(mine, b"{}", &[]).await.unwrap().id;
    assert!(ids(&fixture, mine, id).await.is_empty());
    conversations.append(mine, id, &["z", "b", "m"].map(item)).await.unwrap();
    conversations.append(mine, id, &["a", "y"].map(item)).await.unwrap();
    conversations.delete_item(mine, id, "m").await.unwrap();
    conversations.append(mine, id, &[item("c")]).await.unwrap();
    assert_eq!(ids(&fixture, mine, id).await, ["z", "b", "a", "y", "c"]);
    let page = async |after, oldest_first, limit| {
        let (items, more) = conversations.page(mine, id, after, oldest_first, limit).await.unwrap();
        (items.into_iter().map(|item| item.id).collect::<Vec<_>>().join(" "), more)
    };
    assert_eq!(page(None, true, 2).await, ("z b".to_owned(), true));
    assert_eq!(page(Some("b"), true, 3).await, ("a y c".to_owned(), false));
    assert_eq!(page(None, false, 4).await, ("c y a b".to_owned(), true));
    assert_eq!(page(Some("z"), false, 4).await, (String::new(), false));
    let gone = conversations.page(mine, id, Some("m"), true, 9).await;
    assert!(matches!(gone, Err(StoreError::NotFound { what: "item", .. })), "{gone:?}");
}

async fn items_that_are_added_at_once_stand_one_behind_the_other(place: Place) {
    let fixture = Fixture::new(place).await;
    let (mine, _) = projects(&fixture).await;
    let conversations = fixture.db.conversations();
    let id = conversations.create(mine, b"{}", &[]).await.unwrap().id;
    let [first, second] = [["a", "b"], ["c", "d"]].map(|pair| pair.map(item));
    let done = tokio::join!(conversations.append(mine, id, &first), conversations.append(mine, id, &second));
    assert!(done.0.is_ok() && done.1.is_ok(), "{done:?}");
    let order = ids(&fixture, mine, id).await.concat();
    assert!(order == "abcd" || order == "cdab", "{order}");
}

/// Whoever can write into the database cannot put words into another's mouth.
async fn an_item_of_another_place_does_not_open(place: Place) {
    let fixture = Fixture::new(place).await;
    let (mine, _) = projects(&fixture).await;
    let conversations = fixture.db.conversations();
    let id = conversations.create(mine, b"{}", &["a", "b"].map(item)).await.unwrap().id;
    let copy = "UPDATE conversation_items SET sealed = (SELECT c.sealed FROM conversation_items AS c WHERE c.item = 'a') \
                WHERE item = 'b'";
    assert_eq!(fixture.db.pool().execute(sql(copy)).await.unwrap(), 1);
    let read = conversations.item(mine, id, "b").await;
    assert!(matches!(read, Err(StoreError::Corrupt { .. })), "{read:?}");
    assert!(conversations.item(mine, id, "a").await.is_ok());
}
