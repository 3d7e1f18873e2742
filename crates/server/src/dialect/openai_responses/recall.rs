//! What a call goes on from, and the request that it becomes with that.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use steelyard_core::{ApiError, ConversationId, ErrorCode, Principal, ResponseId};
use steelyard_dialect::openai_responses::state::{Turn, id_of, output};
use steelyard_dialect::{Json, Kept};
use steelyard_store::repo::{Chain, ConversationItems, StoredResponse};

use super::busy::Entered;
use crate::api::from_store;
use crate::app::App;
use crate::dialect::openai_conversations;

/// What is kept that a call needs.
#[derive(Default)]
pub(super) struct Memory {
    /// The answers that it goes on from, oldest first.
    pub(super) chain: Vec<ResponseId>,
    /// Their items, oldest first.
    prior: Vec<Json>,
    /// Items that it names instead of sending them.
    pub(super) known: BTreeMap<String, Json>,
    /// The conversation that it belongs to.
    pub(super) conversation: Option<Belongs>,
}

/// The conversation that a call belongs to.
pub(super) struct Belongs {
    pub(super) id: ConversationId,
    /// The ids of the items that it has.
    pub(super) items: BTreeSet<String>,
    /// Nobody else calls in it meanwhile.
    pub(super) entered: Entered,
}

impl Memory {
    /// Looks up what `turn` goes on from among what the caller's project has.
    pub(super) async fn recall(
        app: &App,
        caller: &Principal,
        turn: &Turn,
        body: &[u8],
    ) -> Result<Self, ApiError> {
        let mut memory = Self::default();
        if let Some(conversation) = &turn.conversation {
            let (belongs, items) = converse(app, caller, conversation).await?;
            memory.conversation = Some(belongs);
            memory.prior = items;
        }
        if let Some(previous) = &turn.previous {
            for answer in chain(app, caller, previous).await? {
                memory.chain.push(answer.id);
                memory.prior.extend(items_of(&answer)?);
            }
        }
        let mut named = turn.references(body)?;
        if !named.is_empty() {
            for item in &memory.prior {
                let id = id_of(item).filter(|id| named.contains(id));
                memory.known.extend(id.map(|id| (id, item.clone())));
            }
            named.retain(|id| !memory.known.contains_key(id));
            let found = app.control.db().responses().with_items(caller.project, &named).await;
            for answer in found.map_err(from_store)? {
                let items = output(&text(&answer.answer, answer.id)?);
                let items = items.into_iter().filter_map(|item| Some((id_of(&item)?, item)));
                memory.known.extend(items.filter(|(id, _)| named.contains(id)));
            }
        }
        Ok(memory)
    }

    /// The request with all of its conversation.
    pub(super) fn put_into(&self, app: &App, turn: &Turn, body: &[u8]) -> Result<(Bytes, Kept), ApiError> {
        let (body, kept) = turn.expand(body, &self.prior, &self.known)?;
        if body.len() > app.limits.max_body {
            let field = if turn.conversation.is_some() { "conversation" } else { "previous_response_id" };
            return Err(too_large(app, body.len() as u64, field));
        }
        Ok((body, kept))
    }
}

/// A conversation for one call in it, and its items, oldest first.
async fn converse(app: &App, caller: &Principal, name: &str) -> Result<(Belongs, Vec<Json>), ApiError> {
    const FIELD: &str = "conversation";
    let missing = || openai_conversations::not_found(name).with_param(FIELD);
    let id: ConversationId = name.parse().map_err(|_| missing())?;
    let conversations = app.control.db().conversations();
    // Whoever may not see it does not learn that it is busy.
    let known = conversations.get(caller.project, id).await;
    known.map_err(|error| openai_conversations::unknown(id, error).with_param(FIELD))?;
    let entered = app.busy.enter(id)?;
    let found = conversations.items(caller.project, id, app.limits.max_body as u64).await;
    let found = match found.map_err(|error| openai_conversations::unknown(id, error).with_param(FIELD))? {
        ConversationItems::All(items) => items,
        ConversationItems::TooLarge(size) => return Err(too_large(app, size, FIELD)),
    };
    let items = found.iter().map(|item| openai_conversations::read(id, item));
    let items = items.collect::<Result<Vec<Json>, ApiError>>()?;
    let ids = found.into_iter().map(|item| item.id).collect();
    Ok((Belongs { id, items: ids, entered }, items))
}

/// The answers that a call goes on from, oldest first.
pub(super) async fn chain(
    app: &App,
    caller: &Principal,
    previous: &str,
) -> Result<Vec<StoredResponse>, ApiError> {
    const FIELD: &str = "previous_response_id";
    let missing = |what: String| {
        let text = format!(
            "{what}: answers are kept here for {}, unless they say `\"store\": false` or are deleted; send the whole conversation in `input`",
            how_long(app)
        );
        ApiError::new(ErrorCode::PreviousResponse, text).with_param(FIELD)
    };
    let shown: String = previous.chars().take(80).collect();
    let unknown = format!("Previous response with id '{shown}' not found");
    let Ok(id) = previous.parse::<ResponseId>() else { return Err(missing(unknown)) };
    let most = app.limits.max_body as u64;
    let found = app.control.db().responses().chain(caller.project, id, most).await.map_err(from_store)?;
    match found {
        Chain::Whole(chain) => Ok(chain),
        Chain::Missing(gone) if gone == id => Err(missing(unknown)),
        Chain::Missing(gone) => Err(missing(format!("Response with id '{gone}', before '{id}', not found"))),
        Chain::TooLarge(size) => Err(too_large(app, size, FIELD)),
    }
}

/// All items of an answer: those of its request, then its own.
pub(super) fn items_of(answer: &StoredResponse) -> Result<Vec<Json>, ApiError> {
    let mut items: Vec<Json> =
        serde_json::from_slice(&answer.input).map_err(|error| unreadable(answer.id, error))?;
    items.extend(output(&text(&answer.answer, answer.id)?));
    Ok(items)
}

fn text(answer: &[u8], id: ResponseId) -> Result<String, ApiError> {
    String::from_utf8(answer.to_vec()).map_err(|error| unreadable(id, error))
}

fn unreadable(id: ResponseId, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ApiError {
    ApiError::new(ErrorCode::Internal, format!("what is stored of {id} cannot be read")).with_source(error)
}

/// How long answers are kept, in words.
fn how_long(app: &App) -> String {
    match app.retention.as_secs() {
        0 => "no time at all".to_owned(),
        seconds if seconds.is_multiple_of(86_400) => format!("{} days", seconds / 86_400),
        seconds if seconds.is_multiple_of(3_600) => format!("{} hours", seconds / 3_600),
        seconds => format!("{seconds} seconds"),
    }
}

fn too_large(app: &App, size: u64, field: &str) -> ApiError {
    let text = format!(
        "what the call goes on from has, with it, {size} bytes, and a request may have {} (`server.max_body`): begin anew with what still matters",
        app.limits.max_body
    );
    ApiError::new(ErrorCode::BodyTooLarge, text).with_param(field)
}
