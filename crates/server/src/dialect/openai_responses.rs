//! OpenAI's `/v1/responses`: what is kept of it between calls, and calls that go on from it.
//!
//! A call with state is put together here before it is planned, and its answer is kept here after it was settled: what lies
//! between knows nothing of it. One that says `"store": false` and goes on from nothing takes no part in this.

pub(crate) mod busy;
mod keep;
mod recall;
pub(crate) mod stored;

use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use steelyard_core::RequestId;
use steelyard_dialect::Dialect;
use steelyard_dialect::openai_responses::state::Turn;
use steelyard_gateway::{Endpoint, Refusal};

use crate::app::App;
use crate::dialect::call::{Entrance, admit, answered, render, request_id};
use keep::Keeper;
use recall::Memory;

const DIALECT: Dialect = Dialect::OpenAiResponses;

pub(crate) async fn create(State(app): State<Arc<App>>, request: Request) -> Response {
    let started = Instant::now();
    let id = request_id(&request);
    answered(&app, DIALECT, id, pin!(answer(&app, id, started, request))).await
}

/// How many tokens a call would have, with all that it goes on from.
pub(crate) async fn input_tokens(State(app): State<Arc<App>>, request: Request) -> Response {
    let started = Instant::now();
    let id = request_id(&request);
    let counted = async {
        let entrance = Entrance::plain(DIALECT, Endpoint::CountTokens);
        let mut inbound = admit(&app, entrance, id, started, request).await?;
        let turn = Turn::read(&inbound.body)?;
        let memory = Memory::recall(&app, &inbound.principal, &turn, &inbound.body).await?;
        let (body, kept) = memory.put_into(&app, &turn, &inbound.body)?;
        inbound.body = body;
        inbound.kept = Some(kept);
        let reply = app.gateway.call(inbound).await?;
        Ok(render(DIALECT, id, reply, Body::new))
    };
    answered(&app, DIALECT, id, pin!(counted)).await
}

async fn answer(
    app: &Arc<App>,
    id: RequestId,
    started: Instant,
    request: Request,
) -> Result<Response, Box<Refusal>> {
    let entrance = Entrance::plain(DIALECT, Endpoint::Chat);
    let mut inbound = admit(app, entrance, id, started, request).await?;
    let turn = Turn::read(&inbound.body)?;
    if turn.is_stateless() {
        let reply = app.gateway.call(inbound).await?;
        return Ok(render(DIALECT, id, reply, Body::new));
    }
    let memory = Memory::recall(app, &inbound.principal, &turn, &inbound.body).await?;
    let (body, kept) = memory.put_into(app, &turn, &inbound.body)?;
    let keeper = Keeper::new(app, id, &inbound, &turn, memory);
    inbound.body = body;
    inbound.kept = Some(kept);
    let reply = app.gateway.call(inbound).await?;
    let (reply, keeper) = keeper.whole(reply).await?;
    Ok(render(DIALECT, id, reply, |body| keeper.stream(body)))
}
