//! The life of a call: plan, dispatch, reply. The server hands in an authenticated [`Inbound`] and renders what
//! comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use steelyard_core::port::{BoxFuture, Ledger};
use steelyard_core::{ApiError, Clock, ErrorCode, Money, Principal, RequestId, Timestamp};
use steelyard_dialect::{Dialect, Kept, Outside};

use crate::dispatch::Dispatch;
use crate::plan::Plan;
use crate::relay::ReplyBody;
use crate::snapshot::Snapshot;
use crate::spec::OnDisconnect;
use crate::tasks::Tasks;
use crate::trace::{CallTrace, TraceContext, Tracing};

/// What a call asks of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// A chat completion.
    Chat,
    /// Embeddings.
    Embeddings,
    /// How many tokens a chat request would have.
    CountTokens,
}

impl Endpoint {
    /// The name in the ledger and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Embeddings => "embeddings",
            Self::CountTokens => "count_tokens",
        }
    }
}

/// An authenticated request, its body whole and decoded.
#[derive(Debug)]
pub struct Inbound {
    /// Its id, already promised to the caller.
    pub request_id: RequestId,
    /// When its head had arrived.
    pub time: Timestamp,
    /// The same on the monotonic clock, for Steelyard's own overhead.
    pub started: Instant,
    /// Who calls.
    pub principal: Arc<Principal>,
    /// In which dialect.
    pub dialect: Dialect,
    /// For what.
    pub endpoint: Endpoint,
    /// With which body.
    pub body: Bytes,
    /// What stood outside of it.
    pub address: Address,
    /// What was put into the body of a call whose state is kept here.
    pub kept: Option<Kept>,
    /// Whether the caller wants a refusal rather than a loss.
    pub strict: bool,
    /// The trace it belongs to.
    pub trace: TraceContext,
}

/// What a request says outside of its body: in its path, and in the headers that belong to its wire.
#[derive(Debug, Clone, Default)]
pub struct Address {
    /// The model, where the path names it.
    pub model: Option<String>,
    /// Whether a stream is asked for, where the path says so.
    pub stream: bool,
    /// The headers that belong to the wire ([`Dialect::own_headers`]).
    pub headers: HeaderMap,
}

impl Address {
    /// The same, as the dialect reads it.
    pub(crate) fn outside(&self) -> Outside<'_> {
        let version = self.headers.get("anthropic-version").and_then(|value| value.to_str().ok());
        Outside { model: self.model.as_deref(), stream: self.stream, version, headers: Some(&self.headers) }
    }
}

/// What the caller is told about where the answer came from, as `x-steelyard-…` headers.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The route.
    pub route: Option<Arc<str>>,
    /// The channel that answered, or failed last.
    pub channel: Option<Arc<str>>,
    /// The model that answered, or failed last.
    pub model: Option<Arc<str>>,
    /// How many tries it took.
    pub attempts: u16,
    /// Request fields that the target could not express.
    pub losses: Vec<String>,
    /// What it cost; whole answers with a known price only.
    pub cost: Option<Money>,
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// Where it came from.
    pub facts: Facts,
    /// The vendor's headers that are the caller's business.
    pub headers: HeaderMap,
    /// The body: whole, or a stream that withholds its end until the settlement is durable.
    pub body: ReplyBody,
}

/// A call that has no answer.
#[derive(Debug)]
pub struct Refusal {
    /// Why.
    pub error: ApiError,
    /// How far it came.
    pub facts: Facts,
    /// The vendor's own refusal, when the caller's request was at fault: status and body.
    pub vendor: Option<(StatusCode, Bytes)>,
}

impl From<ApiError> for Box<Refusal> {
    fn from(error: ApiError) -> Self {
        Self::new(Refusal { error, facts: Facts::default(), vendor: None })
    }
}

/// The refusal of a server that is shutting down.
pub fn shutting_down(text: impl Into<String>) -> ApiError {
    ApiError::new(ErrorCode::Draining, text).with_retry_after(Some(Duration::from_secs(1)))
}

/// The data plane of one process.
pub struct Gateway {
    snapshot: ArcSwap<Snapshot>,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) clock: Clock,
    pub(crate) tasks: Tasks,
    tracing: Tracing,
}

impl Gateway {
    /// A gateway that reads `snapshot` and writes to `ledger`.
    pub fn new(snapshot: Snapshot, ledger: Arc<dyn Ledger>, clock: Clock, tracing: Tracing) -> Arc<Self> {
        let snapshot = ArcSwap::from_pointee(snapshot);
        Arc::new(Self { snapshot, ledger, clock, tasks: Tasks::default(), tracing })
    }

    /// What calls read now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Lets calls that begin from now on read `snapshot`.
    pub fn swap(&self, snapshot: Snapshot) {
        self.snapshot.store(Arc::new(snapshot));
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Calls in flight, and upstream answers still read after their client left.
    pub fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// Serves a call. The future may be dropped at any point (the client hung up): the entry is written all the
    /// same, and under `on_disconnect = "drain"` the upstream answer is read to its end.
    ///
    /// It is boxed: what routes requests moves the whole future of a handler several times before it first runs.
    pub fn call(self: &Arc<Self>, inbound: Inbound) -> BoxFuture<'_, Result<Reply, Box<Refusal>>> {
        Box::pin(self.serve(inbound))
    }

    async fn serve(self: &Arc<Self>, mut inbound: Inbound) -> Result<Reply, Box<Refusal>> {
        let carried = std::mem::take(&mut inbound.trace);
        let trace = self.tracing.begin(inbound.endpoint, inbound.request_id, inbound.time, carried);
        let plan = match Plan::make(&self.snapshot.load(), inbound, self.clock.now()) {
            Ok(plan) => plan,
            Err(refusal) => {
                trace.refused(&refusal.error);
                return Err(refusal);
            }
        };
        match plan.route.on_disconnect {
            OnDisconnect::Cut => Dispatch::new(self, plan).traced(trace).run().await,
            OnDisconnect::Drain => self.call_and_drain(plan, trace).await,
        }
    }

    /// Runs the call beside the request, so that dropping the request does not stop it.
    async fn call_and_drain(self: &Arc<Self>, plan: Plan, trace: CallTrace) -> Result<Reply, Box<Refusal>> {
        let gateway = Arc::clone(self);
        let (present, gone) = tokio::sync::oneshot::channel::<()>();
        let work = self.tasks.accompany(async move {
            let left = Arc::new(AtomicBool::new(false));
            let run = Dispatch::new(&gateway, plan).traced(trace).watching(Arc::clone(&left)).run();
            tokio::pin!(run);
            tokio::select! {
                reply = &mut run => return reply,
                _ = gone => left.store(true, Ordering::Relaxed),
            }
            match tokio::time::timeout(crate::relay::DRAIN_LIMIT, run).await {
                // Nobody takes the reply: dropping a stream's body goes on draining it.
                Ok(reply) => reply,
                Err(_) => Err(ApiError::new(ErrorCode::UpstreamTimeout, "the client left").into()),
            }
        });
        let reply = work.await;
        drop(present);
        reply.unwrap_or_else(|error| {
            let code = ErrorCode::Internal;
            Err(ApiError::new(code, "the call failed inside Steelyard; its request id is in the log")
                .with_source(error)
                .into())
        })
    }
}
