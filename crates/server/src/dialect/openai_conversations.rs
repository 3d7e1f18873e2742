//! OpenAI's `/v1/conversations`: begun, changed, read and deleted. What calls add to them: [`super::openai_responses`].

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use bytes::Bytes;
use secrecy::zeroize::Zeroizing;
use steelyard_core::{ApiError, ConversationId, ErrorCode};
use steelyard_dialect::Json;
use steelyard_dialect::openai_responses::state::{Conversing, List, conversation, id_of};
use steelyard_store::StoreError;
use steelyard_store::repo::{Conversation, ConversationItem};

use crate::api::from_store;
use crate::app::App;
use crate::dialect::openai_responses::stored::answered;

type One = Result<Path<String>, PathRejection>;
type Two = Result<Path<(String, String)>, PathRejection>;

/// Begins one.
pub(crate) async fn create(State(app): State<Arc<App>>, request: Request) -> Response {
    answered(&app, request, async |app, asked| {
        if app.retention.is_zero() {
            let text =
                "no conversations are kept here: this server stores nothing (`[responses] store = false`)";
            return Err(ApiError::new(ErrorCode::InvalidField, text));
        }
        let new = Conversing::read(&asked.body, &asked.id.to_string())?;
        let metadata = new.metadata.as_ref().map_or("{}", Json::get);
        let items = stored(&new.items.unwrap_or_default());
        let made = app.control.db().conversations();
        let made = made.create(asked.caller.project, metadata.as_bytes(), &items).await;
        Ok(told(&made.map_err(from_store)?))
    })
    .await
}

/// One of them.
pub(crate) async fn get(State(app): State<Arc<App>>, name: One, request: Request) -> Response {
    answered(&app, request, async |app, asked| {
        let id = named(name)?;
        let found = app.control.db().conversations().get(asked.caller.project, id).await;
        Ok(told(&found.map_err(|error| unknown(id, error))?))
    })
    .await
}

/// Changes what its caller notes of it.
pub(crate) async fn update(State(app): State<Arc<App>>, name: One, request: Request) -> Response {
    answered(&app, request, async |app, asked| {
        let id = named(name)?;
        let Some(metadata) = Conversing::read(&asked.body, &asked.id.to_string())?.metadata else {
            return Err(
                ApiError::new(ErrorCode::MissingField, "`metadata` is required").with_param("metadata")
            );
        };
        let conversations = app.control.db().conversations();
        let updated = conversations.update(asked.caller.project, id, metadata.get().as_bytes()).await;
        Ok(told(&updated.map_err(|error| unknown(id, error))?))
    })
    .await
}

/// Deletes one, with all of its items.
pub(crate) async fn delete(State(app): State<Arc<App>>, name: One, request: Request) -> Response {
    answered(&app, request, async |app, asked| {
        let id = named(name)?;
        let deleted = app.control.db().conversations().delete(asked.caller.project, id).await;
        deleted.map_err(|error| unknown(id, error))?;
        Ok(Bytes::from(format!(r#"{{"id":"{id}","object":"conversation.deleted","deleted":true}}"#)))
    })
    .await
}

/// A page of its items.
pub(crate) async fn items(State(app): State<Arc<App>>, name: One, request: Request) -> Response {
    answered(&app, request, async |app, asked| {
        let id = named(name)?;
        let list = List::of(asked.pairs().iter().map(|(name, value)| (name.as_str(), value.as_str())))?;
        let conversations = app.control.db().conversations();
        let found =
            conversations.page(asked.caller.project, id, list.after(), list.oldest_first(), list.limit());
        let (items, more) = found.await.map_err(|error| match error {
            StoreError::NotFound { what: "item", .. } => list.after_unknown(),
            error => unknown(id, error),
        })?;
        let items = items.iter().map(|item| read(id, item)).collect::<Result<Vec<Json>, ApiError>>()?;
        Ok(List::written(&items, more))
    })
    .await
}

/// Adds items.
pub(crate) async fn add(State(app): State<Arc<App>>, name: One, request: Request) -> Response {
    answered(&app, request, async |app, asked| {
        let id = named(name)?;
        let Some(items) = Conversing::read(&asked.body, &asked.id.to_string())?.items else {
            return Err(ApiError::new(ErrorCode::MissingField, "`items` is required").with_param("items"));
        };
        let added = app.control.db().conversations();
        let added = added.append(asked.caller.project, id, &stored(&items)).await;
        added.map_err(|error| unknown(id, error))?;
        Ok(List::written(&items, false))
    })
    .await
}

/// One item.
pub(crate) async fn item(State(app): State<Arc<App>>, names: Two, request: Request) -> Response {
    answered(&app, request, async |app, asked| {
        let (id, item) = both(names)?;
        let found = app.control.db().conversations().item(asked.caller.project, id, &item).await;
        let found = found.map_err(|error| unknown_item(id, &item, error))?;
        Ok(Bytes::from(read(id, &found)?.get().to_owned()))
    })
    .await
}

/// Takes one item out; the answer is the conversation.
pub(crate) async fn delete_item(State(app): State<Arc<App>>, names: Two, request: Request) -> Response {
    answered(&app, request, async |app, asked| {
        let (id, item) = both(names)?;
        let (conversations, project) = (app.control.db().conversations(), asked.caller.project);
        let deleted = conversations.delete_item(project, id, &item).await;
        deleted.map_err(|error| unknown_item(id, &item, error))?;
        let left = conversations.get(project, id).await;
        Ok(told(&left.map_err(|error| unknown(id, error))?))
    })
    .await
}

/// Items as they are stored. Every one has an id.
pub(crate) fn stored(items: &[Json]) -> Vec<ConversationItem> {
    let stored = |item: &Json| {
        let id = id_of(item)?;
        Some(ConversationItem { id, item: Zeroizing::new(item.get().as_bytes().to_vec()) })
    };
    items.iter().filter_map(stored).collect()
}

/// An item from its stored form.
pub(crate) fn read(id: ConversationId, item: &ConversationItem) -> Result<Json, ApiError> {
    serde_json::from_slice(&item.item).map_err(|error| {
        ApiError::new(ErrorCode::Internal, format!("what is stored of {id} cannot be read"))
            .with_source(error)
    })
}

fn told(found: &Conversation) -> Bytes {
    let metadata = std::str::from_utf8(&found.metadata).unwrap_or("{}");
    conversation(&found.id.to_string(), found.created_at.seconds(), metadata)
}

fn named(name: One) -> Result<ConversationId, ApiError> {
    let name = name.map(|Path(name)| name).unwrap_or_default();
    name.parse().map_err(|_| not_found(&name))
}

fn both(names: Two) -> Result<(ConversationId, String), ApiError> {
    let (id, item) = names.map(|Path(names)| names).unwrap_or_default();
    Ok((id.parse().map_err(|_| not_found(&id))?, item))
}

/// There is no such conversation for the caller.
pub(crate) fn not_found(name: &str) -> ApiError {
    let shown: String = name.chars().take(80).collect();
    let text = format!(
        "Conversation with id '{shown}' not found: it was not begun here in this project, or was deleted"
    );
    ApiError::new(ErrorCode::UnknownResource, text)
}

/// What a failure of the store means for a conversation.
pub(crate) fn unknown(id: ConversationId, error: StoreError) -> ApiError {
    match error {
        StoreError::NotFound { .. } => not_found(&id.to_string()),
        error => from_store(error),
    }
}

fn unknown_item(id: ConversationId, item: &str, error: StoreError) -> ApiError {
    match error {
        StoreError::NotFound { .. } => {
            let shown: String = item.chars().take(80).collect();
            let text = format!("Item with id '{shown}' not found in the conversation '{id}'");
            ApiError::new(ErrorCode::UnknownResource, text)
        }
        error => from_store(error),
    }
}
