//! `/projects`: what keys belong to and bills are split by.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use steelyard_store::repo::Project;

use super::error::{Id, Input, Problem};
use crate::app::App;

/// What a new project is made from.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Create {
    name: String,
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    Id(id): Id,
    Input(input): Input<Create>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let project = app.control.db().projects().create(&input.name).await.map_err(Problem::store(id))?;
    Ok((StatusCode::CREATED, Json(show(&project))))
}

pub(super) async fn list(State(app): State<Arc<App>>, Id(id): Id) -> Result<Json<Value>, Problem> {
    let projects = app.control.db().projects().list().await.map_err(Problem::store(id))?;
    Ok(Json(json!({ "data": projects.iter().map(show).collect::<Vec<_>>() })))
}

fn show(project: &Project) -> Value {
    json!({ "id": project.id, "name": project.name, "created_at": project.created_at })
}
