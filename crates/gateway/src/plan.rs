//! The plan of a call: pure, made once from the snapshot and a peek at the body. Nothing is sent or written here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use steelyard_billing::CallBound;
use steelyard_core::record::{Attempt, AttemptStatus, CallFacts};
use steelyard_core::{ApiError, ErrorCode, Timestamp, Usage};
use steelyard_dialect::{
    ChatRequest, Dialect, InjectUsage, Inline, InputBound, Kept, Loss, ModelAt, Peek, ReplyContext,
    count_tokens, peek_embeddings, relay_body,
};

use crate::call::{Address, Endpoint, Inbound, Refusal};
use crate::offer::{Fitness, Offer};
use crate::resolve::Route;
use crate::snapshot::Snapshot;

/// What is to be done for a call.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) call: CallFacts,
    pub(crate) dialect: Dialect,
    pub(crate) endpoint: Endpoint,
    pub(crate) started: Instant,
    pub(crate) route: Arc<Route>,
    /// The offers to try, in order.
    pub(crate) offers: Vec<Arc<Offer>>,
    pub(crate) body: Bytes,
    pub(crate) address: Address,
    /// What was put into the body of a call whose state is kept here.
    pub(crate) kept: Option<Kept>,
    pub(crate) strict: bool,
    pub(crate) stream: bool,
    /// The model as the client called it.
    model: String,
    model_at: ModelAt,
    /// What makes the vendor of a stream report usage that the client did not ask for.
    inject: InjectUsage,
    bound: CallBound,
    /// The tokens of the prompt, counted here, where the vendor does not tell them.
    pub(crate) counted_prompt: u64,
}

impl Plan {
    pub(crate) fn make(snapshot: &Snapshot, inbound: Inbound, now: Timestamp) -> Result<Self, Box<Refusal>> {
        let Inbound {
            request_id,
            time,
            started,
            principal,
            dialect,
            endpoint,
            body,
            address,
            kept,
            strict,
            trace: _,
        } = inbound;
        let peek = Peeked::read(dialect, endpoint, &body, &address)?;
        let Some(route) = snapshot.resolve(&peek.model) else {
            return Err(unknown_model(snapshot, &peek.model).into());
        };
        let offers = by_health(route.order(), now);
        if offers.is_empty() {
            return Err(all_resting(&route, now).into());
        }
        let call = CallFacts {
            request_id,
            time,
            project: Arc::clone(&principal.project_name),
            key: principal.key,
            principal: Arc::clone(&principal.name),
            route: Arc::clone(&route.name),
            dialect: dialect.name().into(),
            endpoint: endpoint.name().into(),
            stream: peek.stream,
            tags: BTreeMap::new(),
        };
        let strict = strict || route.strict;
        let Peeked { model, model_at, stream, inject, bound, counted_prompt } = peek;
        let model = model.into_owned();
        Ok(Self {
            call,
            dialect,
            endpoint,
            started,
            route,
            offers,
            body,
            address,
            kept,
            strict,
            stream,
            model,
            model_at,
            inject,
            bound,
            counted_prompt,
        })
    }

    /// The record of an attempt at `offer`, with the worst case it may cost.
    pub(crate) fn attempt(&self, offer: &Offer, number: u16, now: Timestamp) -> Attempt {
        let price = offer.prices.at(now);
        let bound = CallBound {
            context_window: offer.context_window,
            max_output: offer.max_output,
            ..self.bound.clone()
        };
        Attempt {
            number,
            channel: Arc::clone(&offer.channel.name),
            model: Arc::clone(&offer.model_name),
            upstream_model: Arc::clone(&offer.upstream_model),
            price_version: price.map(|price| Arc::clone(&price.id)),
            tier: "standard".into(),
            geo: Arc::clone(&offer.geo),
            started: now,
            ended: None,
            status: AttemptStatus::Open,
            http_status: None,
            vendor_request_id: None,
            hold: price.map(|price| price.worst_case(&bound)),
            usage: Usage::ZERO,
            basis: None,
            amount: None,
            flags: Vec::new(),
        }
    }

    /// The body for an upstream that speaks the client's dialect: the same bytes, but for the model's name and the
    /// request for usage figures that a bill needs.
    pub(crate) fn relay_body(&self, upstream_model: &str) -> Bytes {
        relay_body(&self.body, &self.model_at, upstream_model, self.inject.clone())
    }

    /// The request in the canonical model, for a target that speaks another wire.
    pub(crate) fn decode(&self) -> Result<ChatRequest, ApiError> {
        let outside = self.address.outside();
        let decoded = match self.endpoint {
            Endpoint::CountTokens => self.dialect.decode_request_to_count(&self.body, &outside),
            Endpoint::Chat | Endpoint::Embeddings => self.dialect.decode_request(&self.body, &outside),
        };
        decoded.map_err(|error| match &self.kept {
            Some(kept) => kept.error(error),
            None => error,
        })
    }

    /// Losses as the caller wrote their fields.
    pub(crate) fn named(&self, losses: Vec<Loss>) -> Vec<Loss> {
        match &self.kept {
            Some(kept) => kept.losses(losses),
            None => losses,
        }
    }

    /// What an answer of ours says that the vendor does not know.
    pub(crate) fn reply_context(&self, include_usage: bool) -> ReplyContext {
        ReplyContext {
            id: self.dialect.reply_id(&self.call.request_id),
            model: self.model.clone(),
            created: self.call.time.seconds(),
            include_usage,
            elapsed_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            echo: self.dialect.echo(&self.body),
        }
    }

    /// Whether usage is asked for that the client did not ask for, and must not see.
    pub(crate) fn hides_usage(&self) -> bool {
        self.inject != InjectUsage::No
    }
}

/// What the plan needs of a body, whichever endpoint it is for.
struct Peeked<'a> {
    model: std::borrow::Cow<'a, str>,
    model_at: ModelAt,
    stream: bool,
    inject: InjectUsage,
    bound: CallBound,
    counted_prompt: u64,
}

impl<'a> Peeked<'a> {
    fn read(
        dialect: Dialect,
        endpoint: Endpoint,
        body: &'a [u8],
        address: &'a Address,
    ) -> Result<Self, ApiError> {
        match endpoint {
            Endpoint::Chat => {
                let peek = dialect.peek(body, &address.outside())?;
                let inline = Inline::find(dialect, body, &peek.bound);
                let mut bound = call_bound(peek.bound, peek.output_cap, peek.choices);
                bound.input_bytes = inline.text_at_most(&peek.bound);
                let inject = peek.inject_usage();
                let counted_prompt = inline.counted(peek.bound.bytes);
                let Peek { model, model_at, stream, .. } = peek;
                Ok(Self { model, model_at, stream, inject, bound, counted_prompt })
            }
            Endpoint::Embeddings => {
                let peek = peek_embeddings(body)?;
                Ok(Self::unstreamed(peek.model, peek.model_at, call_bound(peek.bound, Some(0), 1)))
            }
            Endpoint::CountTokens => {
                let peek = dialect.peek(body, &address.outside())?;
                Ok(Self::unstreamed(peek.model, peek.model_at, call_bound(peek.bound, Some(0), 1)))
            }
        }
    }

    fn unstreamed(model: std::borrow::Cow<'a, str>, model_at: ModelAt, bound: CallBound) -> Self {
        let counted_prompt = count_tokens(bound.input_bytes, 0);
        Self { model, model_at, stream: false, inject: InjectUsage::No, bound, counted_prompt }
    }
}

fn call_bound(input: InputBound, output_cap: Option<u64>, choices: u64) -> CallBound {
    CallBound {
        input_bytes: input.bytes,
        media: input.media,
        unknowable: input.unknowable,
        hosted_tools: input.hosted_tools,
        output_cap,
        choices,
        context_window: None,
        max_output: None,
    }
}

/// Offers that are well first, those that a vendor asked to spare next; those that rest are left out.
fn by_health(offers: Vec<Arc<Offer>>, now: Timestamp) -> Vec<Arc<Offer>> {
    if let [offer] = offers.as_slice()
        && offer.health.fitness(now) != Fitness::Well
    {
        // A wish to wait is honoured when there is somewhere else to go.
        let resting = matches!(offer.health.fitness(now), Fitness::Open(_));
        return if resting { Vec::new() } else { offers };
    }
    let mut well = Vec::with_capacity(offers.len());
    let mut cooling = Vec::new();
    for offer in offers {
        match offer.health.fitness(now) {
            Fitness::Well => well.push(offer),
            Fitness::Cooling => cooling.push(offer),
            Fitness::Open(_) => {}
        }
    }
    well.append(&mut cooling);
    well
}

fn unknown_model(snapshot: &Snapshot, name: &str) -> ApiError {
    let shown: String = name.chars().take(120).collect();
    let nearest = snapshot.nearest_names(name);
    let hint = if name.starts_with("arn:") {
        // What an account has made for itself is in no list.
        "add it to the `models` of a channel of provider `bedrock`, or call it as `CHANNEL/arn:…`, with the name \
         of such a channel"
            .to_owned()
    } else if nearest.is_empty() {
        "list what there is with GET /v1/models".to_owned()
    } else {
        format!("did you mean `{}`?", nearest.join("`, `"))
    };
    ApiError::new(ErrorCode::UnknownModel, format!("the model `{shown}` does not exist here: {hint}"))
        .with_param("model")
}

fn all_resting(route: &Route, now: Timestamp) -> ApiError {
    let soonest = route.targets.iter().filter_map(|target| match target.offer.health.fitness(now) {
        Fitness::Open(until) => Some(until),
        Fitness::Well | Fitness::Cooling => None,
    });
    let wait = soonest.min().map(|until| until.since(now));
    let text = format!(
        "every target of `{}` has failed repeatedly and is left alone for a moment; try again",
        route.name
    );
    ApiError::new(ErrorCode::CircuitOpen, text).with_retry_after(wait)
}
