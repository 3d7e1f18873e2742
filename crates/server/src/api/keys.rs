//! `/keys`: secrets with which principals call models. A secret is shown once, when it is made.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use steelyard_core::{ApiError, ErrorCode, ProjectId, RequestId, Timestamp};
use steelyard_gateway::spec::Span;
use steelyard_store::StoreError;
use steelyard_store::db::DEFAULT_PROJECT;
use steelyard_store::repo::{Key, KeyChange, NewKey, NewSecrets};

use super::error::{Id, Input, Options, Problem, Reference, time};
use crate::app::App;

/// What a new key is made from.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Create {
    name: String,
    project: Option<String>,
    expires_at: Option<String>,
    #[serde(default)]
    aws: bool,
}

/// What to change; `"expires_at": null` lets a key live on.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Update {
    name: Option<String>,
    #[serde(default, deserialize_with = "present")]
    expires_at: Change<String>,
}

/// A field that can be left as it is, cleared, or set.
#[derive(Default)]
enum Change<T> {
    #[default]
    Keep,
    Clear,
    Set(T),
}

/// How long the old secret still works beside the new one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotate {
    grace: Option<Span>,
}

/// Which keys.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    project: Option<String>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Change<String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.map_or(Change::Clear, Change::Set))
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    Id(id): Id,
    Input(input): Input<Create>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let db = app.control.db();
    let expires_at = input.expires_at.map(|text| expiry(&app, id, &text)).transpose()?;
    let project = db
        .projects()
        .find(input.project.as_deref().unwrap_or(DEFAULT_PROJECT))
        .await
        .map_err(Problem::store(id))?;
    let new = NewKey { project: project.id, name: input.name, expires_at, aws: input.aws };
    let (key, secrets) = db.keys().create(&new).await.map_err(Problem::store(id))?;
    refresh(&app, id).await?;
    Ok((StatusCode::CREATED, Json(with_secrets(&key, &secrets))))
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    Id(id): Id,
    Options(which): Options<Which>,
) -> Result<Json<Value>, Problem> {
    let db = app.control.db();
    let project = match which.project {
        Some(reference) => Some(db.projects().find(&reference).await.map_err(Problem::store(id))?.id),
        None => None,
    };
    let keys = db.keys().list(project).await.map_err(Problem::store(id))?;
    Ok(Json(json!({ "data": keys.iter().map(show_key).collect::<Vec<_>>() })))
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    Id(id): Id,
    Reference(reference): Reference,
    Options(which): Options<Which>,
) -> Result<Json<Value>, Problem> {
    Ok(Json(show_key(&find(&app, id, &reference, which.project.as_deref()).await?)))
}

pub(super) async fn update(
    State(app): State<Arc<App>>,
    Id(id): Id,
    Reference(reference): Reference,
    Options(which): Options<Which>,
    Input(input): Input<Update>,
) -> Result<Json<Value>, Problem> {
    let key = find(&app, id, &reference, which.project.as_deref()).await?;
    let expires_at = match input.expires_at {
        Change::Keep => None,
        Change::Clear => Some(None),
        Change::Set(text) => Some(Some(expiry(&app, id, &text)?)),
    };
    let change = KeyChange { name: input.name, expires_at };
    let key = app.control.db().keys().update(key.id, &change).await.map_err(Problem::store(id))?;
    refresh(&app, id).await?;
    Ok(Json(show_key(&key)))
}

pub(super) async fn rotate(
    State(app): State<Arc<App>>,
    Id(id): Id,
    Reference(reference): Reference,
    Options(which): Options<Which>,
    Input(input): Input<Rotate>,
) -> Result<Json<Value>, Problem> {
    let key = find(&app, id, &reference, which.project.as_deref()).await?;
    let grace = input.grace.map_or(Duration::ZERO, |grace| grace.0);
    let (key, secrets) = app.control.db().keys().rotate(key.id, grace).await.map_err(Problem::store(id))?;
    refresh(&app, id).await?;
    Ok(Json(with_secrets(&key, &secrets)))
}

pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    Id(id): Id,
    Reference(reference): Reference,
    Options(which): Options<Which>,
) -> Result<StatusCode, Problem> {
    let key = find(&app, id, &reference, which.project.as_deref()).await?;
    app.control.db().keys().revoke(key.id).await.map_err(Problem::store(id))?;
    refresh(&app, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// When a key stops working: a time to come. To end a key now there is `DELETE`.
fn expiry(app: &App, id: RequestId, text: &str) -> Result<Timestamp, Problem> {
    let end = time(id, "expires_at", text)?;
    if end <= app.gateway.clock().now() {
        let text = "expires_at lies in the past: give a later time, or revoke the key to end it now";
        return Err(Problem::new(id, ApiError::new(ErrorCode::InvalidField, text).with_param("expires_at")));
    }
    Ok(end)
}

/// By id, which is unique; or by name, within a project (`default` unless named).
async fn find(app: &App, id: RequestId, reference: &str, project: Option<&str>) -> Result<Key, Problem> {
    let db = app.control.db();
    if let Ok(key) = reference.parse() {
        return db.keys().get(key).await.map_err(Problem::store(id));
    }
    let project: ProjectId =
        db.projects().find(project.unwrap_or(DEFAULT_PROJECT)).await.map_err(Problem::store(id))?.id;
    db.keys().find(project, reference).await.map_err(Problem::store(id))
}

/// The change is stored; the answer waits until calls see it.
async fn refresh(app: &App, id: RequestId) -> Result<(), Problem> {
    app.control.refresh_keys().await.map_err(|error: StoreError| {
        let text = "the change is stored but not in force yet, because the database stopped answering; it will be shortly";
        Problem::new(id, ApiError::new(ErrorCode::StoreUnavailable, text).with_source(error))
    })
}

fn show_key(key: &Key) -> Value {
    let mut shown = json!({
        "id": key.id,
        "name": key.name,
        "project": key.project_name,
        "hint": key.hint,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "rotated_at": key.rotated_at,
        "revoked_at": key.revoked_at,
    });
    if let Some(id) = &key.aws_access_key_id {
        shown["aws_access_key_id"] = id.as_str().into();
    }
    shown
}

fn with_secrets(key: &Key, secrets: &NewSecrets) -> Value {
    let mut shown = show_key(key);
    shown["secret"] = secrets.bearer.expose().into();
    if let Some(pair) = &secrets.aws {
        shown["aws_secret_access_key"] = pair.secret_access_key.expose().into();
    }
    shown
}
