//! `/api/v1`: Steelyard's own management API. Lists answer `{"data": […]}`; errors `{"error": {…}}` with a stable code.
//! Everything here needs the admin key.

mod catalog;
mod error;
mod keys;
mod ledger;
mod projects;
mod secrets;
mod usage;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post, put};

use crate::app::App;
use crate::auth;
use crate::dialect::call::request_id;

pub(crate) use error::{error_response, from_store};

/// The table of routes, relative to `/api/v1`.
pub(crate) fn router(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .route("/keys", get(keys::list).post(keys::create))
        .route("/keys/{key}", get(keys::show).patch(keys::update).delete(keys::revoke))
        .route("/keys/{key}/rotate", post(keys::rotate))
        .route("/projects", get(projects::list).post(projects::create))
        .route("/secrets", get(secrets::list))
        .route("/secrets/{name}", put(secrets::set).delete(secrets::delete))
        .route("/ledger/entries", get(ledger::entries))
        .route("/usage", get(usage::usage))
        .route("/models", get(catalog::models))
        .route("/channels", get(catalog::channels))
        .route("/routes", get(catalog::routes))
        .layer(middleware::from_fn_with_state(Arc::clone(app), admin_only))
}

async fn admin_only(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let now = app.gateway.clock().now();
    match auth::authenticate_admin(&app.gateway.snapshot(), request.headers(), now) {
        Ok(_) => next.run(request).await,
        Err(error) => error_response(&error, request_id(&request)),
    }
}
