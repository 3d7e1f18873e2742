//! `/secrets`: credentials at vendors, sealed in the vault. They go in and never come out.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use steelyard_core::{ApiError, ErrorCode};
use steelyard_store::Secret;
use steelyard_store::repo::StoredSecret;

use super::error::{Id, Input, Problem, Reference};
use crate::app::App;
use crate::control::ControlError;

/// What a secret is set to.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Set {
    value: String,
}

pub(super) async fn set(
    State(app): State<Arc<App>>,
    Id(id): Id,
    Reference(name): Reference,
    Input(input): Input<Set>,
) -> Result<Json<Value>, Problem> {
    let value = Secret::from(input.value.trim().to_owned());
    let stored = app.control.set_secret(&name, &value).await.map_err(|error| match error {
        ControlError::Store(error) => Problem::store(id)(error),
        ControlError::Snapshot(error) => {
            let text = format!(
                "with this value the channels cannot be built, so the vault keeps what it had: {error}"
            );
            Problem::new(id, ApiError::new(ErrorCode::InvalidField, text).with_param("value"))
        }
    })?;
    Ok(Json(show(&stored)))
}

pub(super) async fn list(State(app): State<Arc<App>>, Id(id): Id) -> Result<Json<Value>, Problem> {
    let secrets = app.control.db().secrets().list().await.map_err(Problem::store(id))?;
    Ok(Json(json!({ "data": secrets.iter().map(show).collect::<Vec<_>>() })))
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Id(id): Id,
    Reference(name): Reference,
) -> Result<StatusCode, Problem> {
    match app.control.delete_secret(&name).await.map_err(Problem::store(id))? {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(channels) => {
            let text = format!(
                "the secret `{name}` is used by the channel `{}`: declare that one without it first",
                channels.join("`, `")
            );
            Err(Problem::new(id, ApiError::new(ErrorCode::InUse, text)))
        }
    }
}

fn show(secret: &StoredSecret) -> Value {
    json!({ "name": secret.name, "created_at": secret.created_at, "updated_at": secret.updated_at })
}
