//! Answers that were kept: fetched, deleted, and what they were made from.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use steelyard_core::{ApiError, ErrorCode, Principal, RequestId, ResponseId};
use steelyard_dialect::Json;
use steelyard_dialect::openai_responses::state::List;
use steelyard_store::StoreError;

use super::DIALECT;
use super::recall::{self, items_of};
use crate::api::from_store;
use crate::app::App;
use crate::dialect::call::{authenticate, error_response, request_id};

type Named = Result<Path<String>, PathRejection>;

/// One answer.
pub(crate) async fn get(State(app): State<Arc<App>>, name: Named, request: Request) -> Response {
    answered(&app, request, async |app, asked| {
        if asked.param("stream").is_some_and(|value| value != "false") {
            let text = "`stream`: only answers made in the background could be streamed again, and there are none here; leave it out";
            return Err(ApiError::new(ErrorCode::InvalidField, text).with_param("stream"));
        }
        let id = named(name)?;
        let found = app.control.db().responses().get(asked.caller.project, id).await;
        Ok(Bytes::copy_from_slice(&found.map_err(|error| unknown(id, error))?.answer))
    })
    .await
}

/// Deletes one.
pub(crate) async fn delete(State(app): State<Arc<App>>, name: Named, request: Request) -> Response {
    answered(&app, request, async |app, asked| {
        let id = named(name)?;
        let deleted = app.control.db().responses().delete(asked.caller.project, id).await;
        deleted.map_err(|error| unknown(id, error))?;
        Ok(Bytes::from(format!(r#"{{"id":"{id}","object":"response","deleted":true}}"#)))
    })
    .await
}

/// The items that one was made from: those that it went on from, and those of its own request.
pub(crate) async fn input_items(State(app): State<Arc<App>>, name: Named, request: Request) -> Response {
    answered(&app, request, async |app, asked| {
        let id = named(name)?;
        let list = List::of(asked.pairs().iter().map(|(name, value)| (name.as_str(), value.as_str())))?;
        // There is one of that id, even if something before it is gone.
        let own = app.control.db().responses().get(asked.caller.project, id).await;
        let own = own.map_err(|error| unknown(id, error))?;
        let mut items: Vec<Json> = Vec::new();
        if let Ok(chain) = recall::chain(app, &asked.caller, &id.to_string()).await {
            for answer in chain.iter().filter(|answer| answer.id != id) {
                items.extend(items_of(answer)?);
            }
        }
        let brought: Vec<Json> = serde_json::from_slice(&own.input).map_err(|error| {
            ApiError::new(ErrorCode::Internal, format!("what is stored of {id} cannot be read"))
                .with_source(error)
        })?;
        items.extend(brought);
        list.page(&items)
    })
    .await
}

/// What is done in the background could be cancelled.
pub(crate) async fn cancel(State(app): State<Arc<App>>, name: Named, request: Request) -> Response {
    answered(&app, request, async |app, asked| {
        let id = named(name)?;
        let found = app.control.db().responses().get(asked.caller.project, id).await;
        found.map_err(|error| unknown(id, error))?;
        let text = "Cannot cancel a synchronous response: only those made in the background can be, and there are none here";
        Err(ApiError::new(ErrorCode::InvalidField, text))
    })
    .await
}

/// What a caller asks who is known.
pub(crate) struct Asked {
    pub(crate) id: RequestId,
    pub(crate) caller: Arc<Principal>,
    head: request::Parts,
    pub(crate) body: Bytes,
}

impl Asked {
    /// The parameters of the query.
    pub(crate) fn pairs(&self) -> Vec<(String, String)> {
        let query = self.head.uri.query().unwrap_or_default();
        form_urlencoded::parse(query.as_bytes()).into_owned().collect()
    }

    fn param(&self, name: &str) -> Option<String> {
        self.pairs().into_iter().find_map(|(key, value)| (key == name).then_some(value))
    }
}

/// Answers a caller who is known with JSON, or with an error in OpenAI's shape.
pub(crate) async fn answered(
    app: &Arc<App>,
    request: Request,
    work: impl AsyncFnOnce(&Arc<App>, &Asked) -> Result<Bytes, ApiError>,
) -> Response {
    let id = request_id(&request);
    let (head, body) = request.into_parts();
    let done = match authenticate(app, &head, body, app.gateway.clock().now()).await {
        Ok((caller, body)) => work(app, &Asked { id, caller, head, body }).await,
        Err(error) => Err(error),
    };
    match done {
        Ok(body) => ([(CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => error_response(DIALECT, &error, id),
    }
}

fn named(name: Named) -> Result<ResponseId, ApiError> {
    let name = name.map(|Path(name)| name).unwrap_or_default();
    name.parse().map_err(|_| not_found(&name))
}

fn not_found(name: &str) -> ApiError {
    let shown: String = name.chars().take(80).collect();
    let text = format!(
        "Response with id '{shown}' not found: it was not stored here for this project, or no longer is"
    );
    ApiError::new(ErrorCode::UnknownResource, text)
}

fn unknown(id: ResponseId, error: StoreError) -> ApiError {
    match error {
        StoreError::NotFound { .. } => not_found(&id.to_string()),
        error => from_store(error),
    }
}
