//! Keeping answers. One is kept after its entry in the ledger is durable and before its last byte goes out: whoever has it
//! can ask for it at once, and no failure here can touch the bill.
//!
//! An answer that cannot be kept goes out all the same and says `"store": false`: it is paid for, and most callers never
//! ask for it again (docs/adr/0012-state-of-responses.md).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame};
use steelyard_core::port::BoxFuture;
use steelyard_core::{ApiError, ErrorCode, ProjectId, RequestId, ResponseId, Timestamp};
use steelyard_dialect::Json;
use steelyard_dialect::openai_responses::state::{Piece, Told, Turn, distinct, id_of, output};
use steelyard_gateway::ReplyBody;
use steelyard_gateway::{Inbound, Refusal, Reply};
use steelyard_store::StoreError;
use steelyard_store::repo::NewResponse;

use super::DIALECT;
use super::recall::{Belongs, Memory};
use crate::app::App;
use crate::dialect::openai_conversations;

/// The last byte waits for the database so long.
const WAIT: Duration = Duration::from_secs(2);

/// Keeps the answer of one call.
pub(super) struct Keeper {
    app: Arc<App>,
    project: ProjectId,
    id: ResponseId,
    told: Told,
    /// The answers that it goes on from, oldest first.
    chain: Vec<ResponseId>,
    /// The items that the call brought.
    input: Vec<Json>,
    /// The conversation that it belongs to, until its items are added.
    conversation: Mutex<Option<Belongs>>,
}

/// What became of an answer that was to be kept.
enum Kept {
    /// It is kept.
    Yes,
    /// It is not, and says so.
    No,
    /// Its conversation does not have it, so whoever goes on there would miss it.
    Unsaid(ApiError),
}

impl Keeper {
    pub(super) fn new(app: &Arc<App>, id: RequestId, inbound: &Inbound, turn: &Turn, memory: Memory) -> Self {
        let id = ResponseId::from(id);
        let store = turn.store && !app.retention.is_zero();
        let told = Told {
            id: id.to_string(),
            previous: turn.previous.clone(),
            conversation: turn.conversation.clone(),
            store,
        };
        let input = if store || memory.conversation.is_some() {
            turn.input(&inbound.body, &told.id, &memory.known)
        } else {
            Vec::new()
        };
        let project = inbound.principal.project;
        let conversation = Mutex::new(memory.conversation);
        Self { app: Arc::clone(app), project, id, told, chain: memory.chain, input, conversation }
    }

    /// Keeps a whole answer; a stream is kept at its end. Refused: its conversation could not take it.
    pub(super) async fn whole(self, mut reply: Reply) -> Result<(Reply, Self), Box<Refusal>> {
        if let ReplyBody::Whole(body) = &mut reply.body
            && let Some(answer) = body.take()
        {
            let told = self.told.whole(&answer);
            *body = Some(match self.keep(&told).await {
                Kept::Yes => told,
                Kept::No => {
                    reply.facts.losses.push("store".to_owned());
                    self.unkept().whole(&answer)
                }
                Kept::Unsaid(error) => {
                    return Err(Box::new(Refusal { error, facts: reply.facts, vendor: None }));
                }
            });
        }
        Ok((reply, self))
    }

    /// The body of a reply on its way to the client.
    pub(super) fn stream(self, body: ReplyBody) -> Body {
        if body.is_stream() {
            let (pieces, keeping) = (VecDeque::new(), None);
            Body::new(Stream { body, keeper: Arc::new(self), pieces, keeping })
        } else {
            Body::new(body)
        }
    }

    /// Keeps the answer: in its conversation, and by itself if it is to be stored.
    async fn keep(&self, answer: &[u8]) -> Kept {
        let output = output(&String::from_utf8_lossy(answer));
        let belongs = self.conversation.lock().unwrap_or_else(PoisonError::into_inner).take();
        // With its end other calls may enter.
        if let Some(Belongs { id, items, entered: _entered }) = belongs {
            let new = self.input.iter().chain(&output).cloned().collect();
            let new = openai_conversations::stored(&distinct(new, items, &self.told.id));
            let db = self.app.control.db();
            if let Err(error) = within(Box::pin(db.conversations().append(self.project, id, &new))).await {
                self.failed(&error);
                let text = format!(
                    "the vendor has answered, but the conversation '{id}' could not take it, so the answer is withheld; it is charged, and asking again calls the vendor again"
                );
                let error = ApiError::new(ErrorCode::StoreUnavailable, text).with_source(error).but_charged();
                return Kept::Unsaid(error);
            }
        }
        if !self.told.store {
            return Kept::Yes;
        }
        let retention = i64::try_from(self.app.retention.as_micros()).unwrap_or(i64::MAX);
        let new = NewResponse {
            id: self.id,
            chain: self.chain.clone(),
            answer: answer.to_vec(),
            input: serde_json::to_vec(&self.input).unwrap_or_default(),
            items: output.iter().filter_map(id_of).collect(),
            expires_at: Timestamp(self.app.gateway.clock().now().0.saturating_add(retention)),
        };
        let db = self.app.control.db();
        match within(Box::pin(db.responses().put(self.project, &new))).await {
            Ok(()) => {
                metrics::counter!("steelyard_responses_stored_total").increment(1);
                Kept::Yes
            }
            Err(error) => {
                self.failed(&error);
                Kept::No
            }
        }
    }

    fn failed(&self, error: &str) {
        metrics::counter!("steelyard_responses_failures_total").increment(1);
        tracing::warn!(response.id = %self.id, error, "an answer could not be stored");
    }

    /// What an answer tells that could not be kept.
    fn unkept(&self) -> Told {
        Told { store: false, ..self.told.clone() }
    }

    /// The end of a stream, when the answer is kept, or cannot be.
    async fn end(self: Arc<Self>, event: Bytes, answer: Bytes) -> Bytes {
        match self.keep(&answer).await {
            Kept::Yes => event,
            Kept::No => match self.unkept().stream(&event).pop() {
                Some(Piece::End { event, .. } | Piece::Pass(event)) => event,
                None => event,
            },
            Kept::Unsaid(error) => DIALECT.error_event(&error, &RequestId::from_bytes(*self.id.as_bytes())),
        }
    }
}

/// What the database does in time; what is wrong otherwise.
async fn within(work: impl Future<Output = Result<(), StoreError>>) -> Result<(), String> {
    match tokio::time::timeout(WAIT, work).await {
        Ok(done) => done.map_err(|error| chained(&error)),
        Err(_) => Err(format!("the database took more than {WAIT:?}")),
    }
}

/// An error with what is beneath it.
fn chained(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut beneath = error.source();
    while let Some(error) = beneath {
        text.push_str(": ");
        text.push_str(&error.to_string());
        beneath = error.source();
    }
    text
}

/// A stream that tells of the state, and whose end waits until its answer is kept.
struct Stream {
    body: ReplyBody,
    keeper: Arc<Keeper>,
    pieces: VecDeque<Piece>,
    keeping: Option<BoxFuture<'static, Bytes>>,
}

impl HttpBody for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        loop {
            if let Some(keeping) = &mut self.keeping {
                let event = ready!(keeping.as_mut().poll(cx));
                self.keeping = None;
                return Poll::Ready(Some(Ok(Frame::data(event))));
            }
            match self.pieces.pop_front() {
                Some(Piece::Pass(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Some(Piece::End { event, response }) => {
                    let keeper = Arc::clone(&self.keeper);
                    self.keeping = Some(Box::pin(keeper.end(event, response)));
                    continue;
                }
                None => {}
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(events) => {
                        let pieces = self.keeper.told.stream(&events);
                        self.pieces.extend(pieces);
                    }
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                None => return Poll::Ready(None),
            }
        }
    }
}
