//! What OpenTelemetry sees of a call: a SERVER span for the call, and beneath it a CLIENT span for each attempt.
//! Attributes have the names of the semantic conventions for generative AI (v1.41.1) where these have one, and begin
//! with `steelyard.` where they have none.
//!
//! Constraints: nothing of a prompt, an answer, a credential or a key; every fact comes from the record that goes into
//! the ledger, or is the vendor's word about its answer; a span is never a reason to wait. Where nobody asked for traces there is no span, and the caller's own
//! trace context goes on to the vendor unchanged (W3C Trace Context, §2.1: "forwards").

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, Request};
use opentelemetry::global::{BoxedSpan, BoxedTracer};
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId,
    TraceState, Tracer as _,
};
use opentelemetry::{Context, KeyValue, Value};
use steelyard_billing::rate::{ANSWER_CLASSES, prompt_tokens};
use steelyard_core::record::{Attempt, AttemptStatus, Basis, CallFacts, Entry, Outcome};
use steelyard_core::{ApiError, Money, RequestId, Timestamp, Usage, UsageClass};

use crate::account::Passed;
use crate::call::Endpoint;
use crate::offer::Offer;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The trace that a request says it belongs to; nothing when it says none, or what cannot be read.
#[derive(Debug, Clone, Default)]
pub struct TraceContext(Option<Box<Carried>>);

#[derive(Debug, Clone)]
struct Carried {
    trace: TraceId,
    parent: SpanId,
    flags: TraceFlags,
    header: HeaderValue,
    state: Vec<HeaderValue>,
}

impl TraceContext {
    /// From `traceparent` and `tracestate` (W3C Trace Context).
    pub fn of(headers: &HeaderMap) -> Self {
        let mut given = headers.get_all(TRACEPARENT).iter();
        // More than one is as good as none.
        let (Some(header), None) = (given.next(), given.next()) else { return Self(None) };
        let Some((trace, parent, flags)) = header.to_str().ok().and_then(parse) else { return Self(None) };
        let state = headers.get_all(TRACESTATE).iter().cloned().collect();
        Self(Some(Box::new(Carried { trace, parent, flags, header: header.clone(), state })))
    }
}

/// `00-<32 hex>-<16 hex>-<2 hex>`; what a later version adds behind is left alone.
fn parse(text: &str) -> Option<(TraceId, SpanId, TraceFlags)> {
    let mut parts = text.splitn(5, '-');
    let version = hex(parts.next()?, 2)?;
    let (trace, parent, flags) = (hex(parts.next()?, 32)?, hex(parts.next()?, 16)?, hex(parts.next()?, 2)?);
    if version == "ff" || (version == "00" && parts.next().is_some()) {
        return None;
    }
    let (trace, parent) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(parent).ok()?);
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?);
    (trace != TraceId::INVALID && parent != SpanId::INVALID).then_some((trace, parent, flags))
}

fn hex(text: &str, length: usize) -> Option<&str> {
    let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (digits && text.len() == length).then_some(text)
}

impl Carried {
    fn span_context(&self) -> SpanContext {
        let state: Vec<_> = self.state.iter().filter_map(|value| value.to_str().ok()).collect();
        let state = state.join(",").parse::<TraceState>().unwrap_or_default();
        SpanContext::new(self.trace, self.parent, self.flags, true, state)
    }
}

/// Whether calls are traced, and where to.
#[derive(Debug, Clone, Default)]
pub struct Tracing(Option<Arc<BoxedTracer>>);

impl Tracing {
    /// Not at all.
    pub fn off() -> Self {
        Self(None)
    }

    /// By this tracer.
    pub fn by(tracer: BoxedTracer) -> Self {
        Self(Some(Arc::new(tracer)))
    }

    pub(crate) fn begin(
        &self,
        endpoint: Endpoint,
        request_id: RequestId,
        time: Timestamp,
        carried: TraceContext,
    ) -> CallTrace {
        let live = self.0.as_ref().map(|tracer| {
            let parent = carried.0.as_ref().map_or_else(Context::new, |carried| {
                Context::new().with_remote_span_context(carried.span_context())
            });
            let builder = SpanBuilder::from_name(endpoint.name())
                .with_kind(SpanKind::Server)
                .with_start_time(system(time))
                .with_attributes([
                    KeyValue::new("gen_ai.operation.name", endpoint.name()),
                    KeyValue::new("steelyard.request_id", request_id.to_string()),
                ]);
            let span = tracer.build_with_context(builder, &parent);
            let within = Context::new().with_remote_span_context(span.span_context().clone());
            Box::new(Live { tracer: Arc::clone(tracer), span, within, attempts: Vec::new() })
        });
        CallTrace { carried, live }
    }
}

/// The trace of one call.
#[derive(Debug, Default)]
pub(crate) struct CallTrace {
    carried: TraceContext,
    /// None where nobody asked for traces.
    live: Option<Box<Live>>,
}

#[derive(Debug)]
struct Live {
    tracer: Arc<BoxedTracer>,
    /// Of the call.
    span: BoxedSpan,
    /// What attempts are within: the span above.
    within: Context,
    /// One for each attempt of the record, in its order.
    attempts: Vec<BoxedSpan>,
}

impl CallTrace {
    /// For log lines; none when the call belongs to no trace.
    pub(crate) fn id(&self) -> Option<TraceId> {
        let live = self.live.as_ref().map(|live| live.span.span_context().trace_id());
        live.or_else(|| self.carried.0.as_ref().map(|carried| carried.trace))
    }

    /// An attempt begins: its intent is durable.
    pub(crate) fn attempt(&mut self, call: &CallFacts, offer: &Offer, attempt: &Attempt) {
        let Some(live) = &mut self.live else { return };
        if live.attempts.is_empty() {
            // Not before: a name that nobody knows here would be a span's name for whoever thinks it up.
            live.span.update_name(format!("{} {}", call.endpoint, call.route));
            live.span.set_attributes([
                text("gen_ai.request.model", &call.route),
                KeyValue::new("gen_ai.request.stream", call.stream),
                text("steelyard.route", &call.route),
                text("steelyard.project", &call.project),
                text("steelyard.dialect", &call.dialect),
            ]);
        }
        let here = offer.channel.provider.is_here();
        let builder = SpanBuilder::from_name(format!("{} {}", call.endpoint, attempt.upstream_model))
            .with_kind(if here { SpanKind::Internal } else { SpanKind::Client })
            .with_start_time(system(attempt.started))
            .with_attributes([
                text("gen_ai.operation.name", &call.endpoint),
                KeyValue::new("gen_ai.provider.name", offer.channel.telemetry_name()),
                text("gen_ai.request.model", &attempt.upstream_model),
                KeyValue::new("gen_ai.request.stream", call.stream),
                text("steelyard.channel", &attempt.channel),
                text("steelyard.model", &attempt.model),
                KeyValue::new("steelyard.attempt", i64::from(attempt.number)),
            ]);
        live.attempts.push(live.tracer.build_with_context(builder, &live.within));
    }

    /// The attempt's request is about to be sent: the vendor learns which trace it belongs to.
    pub(crate) fn sending<B>(&mut self, request: &mut Request<B>) {
        if let Some(span) = self.live.as_mut().and_then(|live| live.attempts.last_mut()) {
            let uri = request.uri();
            let usual = if uri.scheme_str() == Some("http") { 80 } else { 443 };
            let port = uri.port_u16().unwrap_or(usual);
            span.set_attribute(KeyValue::new("server.address", uri.host().unwrap_or_default().to_owned()));
            span.set_attribute(KeyValue::new("server.port", i64::from(port)));
            let context = span.span_context();
            let header = format!(
                "00-{}-{}-{:02x}",
                context.trace_id(),
                context.span_id(),
                context.trace_flags().to_u8()
            );
            let state = context.trace_state().header();
            let headers = request.headers_mut();
            if let Ok(header) = HeaderValue::try_from(header) {
                headers.insert(TRACEPARENT, header);
            }
            if let Some(state) = HeaderValue::try_from(state).ok().filter(|state| !state.is_empty()) {
                headers.insert(TRACESTATE, state);
            }
        } else if let Some(carried) = &self.carried.0 {
            request.headers_mut().insert(TRACEPARENT, carried.header.clone());
            for state in &carried.state {
                request.headers_mut().append(TRACESTATE, state.clone());
            }
        }
    }

    /// What the vendor of the attempt in flight says of its answer.
    pub(crate) fn answered(&mut self, passed: &Passed) {
        let Some(span) = self.live.as_mut().and_then(|live| live.attempts.last_mut()) else { return };
        for (name, value) in [("gen_ai.response.id", &passed.id), ("gen_ai.response.model", &passed.model)] {
            if let Some(value) = value {
                span.set_attribute(KeyValue::new(name, value.clone()));
            }
        }
        if !passed.finish.is_empty() {
            let words = passed.finish.iter().map(|reason| reason.word().to_owned().into()).collect();
            span.set_attribute(KeyValue::new(
                "gen_ai.response.finish_reasons",
                Value::Array(opentelemetry::Array::String(words)),
            ));
        }
    }

    /// The call is over, and this is its record.
    pub(crate) fn finish(self, entry: &Entry) {
        let Some(mut live) = self.live else { return };
        for (span, attempt) in live.attempts.iter_mut().zip(&entry.attempts) {
            end_attempt(span, attempt);
        }
        let span = &mut live.span;
        span.set_attribute(KeyValue::new("steelyard.outcome", entry.outcome.name()));
        span.set_attribute(KeyValue::new(
            "steelyard.attempts",
            i64::try_from(entry.attempts.len()).unwrap_or(i64::MAX),
        ));
        set_cost(span, entry.amount());
        match entry.outcome {
            Outcome::Ok => {}
            Outcome::UpstreamError
            | Outcome::ClientGone
            | Outcome::Timeout
            | Outcome::Unsettled
            | Outcome::Shutdown => {
                fail(span, entry.outcome.name());
            }
        }
        span.end();
    }

    /// The call is over before anything was sent or recorded.
    pub(crate) fn refused(self, error: &ApiError) {
        let Some(mut live) = self.live else { return };
        fail(&mut live.span, error.code.code());
        live.span.end();
    }
}

fn end_attempt(span: &mut BoxedSpan, attempt: &Attempt) {
    if span.is_recording() {
        if let Some(status) = attempt.http_status {
            span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
        }
        if let Some(id) = &attempt.vendor_request_id {
            span.set_attribute(KeyValue::new("steelyard.vendor_request_id", id.clone()));
        }
        if !attempt.usage.is_zero() {
            set_usage(span, &attempt.usage);
        }
        if let Some(basis) = attempt.basis {
            let name = match basis {
                Basis::Reported => "reported",
                Basis::Counted => "counted",
                Basis::Hold => "hold",
            };
            span.set_attribute(KeyValue::new("steelyard.basis", name));
        }
        set_cost(span, attempt.amount);
        let failed = match attempt.status {
            AttemptStatus::Ok => None,
            AttemptStatus::HttpError => {
                Some(attempt.http_status.map_or_else(|| "refused".to_owned(), |status| status.to_string()))
            }
            AttemptStatus::ConnectError => Some("connect_error".to_owned()),
            AttemptStatus::Timeout => Some("timeout".to_owned()),
            AttemptStatus::Cut => Some("cut".to_owned()),
            AttemptStatus::ClientGone => Some("client_gone".to_owned()),
            AttemptStatus::Open | AttemptStatus::Unsettled => Some("unsettled".to_owned()),
        };
        if let Some(kind) = failed {
            fail(span, kind);
        }
    }
    match attempt.ended {
        Some(ended) => span.end_with_timestamp(system(ended)),
        None => span.end(),
    }
}

/// Usage as the conventions count it: input includes what was read from or written to a cache, output includes
/// reasoning.
fn set_usage(span: &mut BoxedSpan, usage: &Usage) {
    let sum = |classes: &[UsageClass]| classes.iter().map(|class| usage[*class]).sum::<u64>();
    let read = [UsageClass::CacheRead, UsageClass::AudioCacheRead, UsageClass::ImageCacheRead];
    let written = [UsageClass::CacheWrite5m, UsageClass::CacheWrite1h, UsageClass::CacheWrite12h];
    let count = |name, count| KeyValue::new(name, i64::try_from(count).unwrap_or(i64::MAX));
    span.set_attribute(count("gen_ai.usage.input_tokens", prompt_tokens(usage)));
    span.set_attribute(count("gen_ai.usage.output_tokens", sum(ANSWER_CLASSES)));
    for (name, classes) in [
        ("gen_ai.usage.cache_read.input_tokens", &read[..]),
        ("gen_ai.usage.cache_creation.input_tokens", &written[..]),
        ("gen_ai.usage.reasoning.output_tokens", &[UsageClass::Reasoning]),
    ] {
        if sum(classes) > 0 {
            span.set_attribute(count(name, sum(classes)));
        }
    }
}

/// In pico-dollars, exactly; nothing when the price is unknown.
fn set_cost(span: &mut BoxedSpan, amount: Option<Money>) {
    let Some(amount) = amount else { return };
    // Beyond nine million dollars for a call, the number is a text.
    let value =
        i64::try_from(amount.pico()).map_or_else(|_| Value::from(amount.pico().to_string()), Value::from);
    span.set_attribute(KeyValue::new("steelyard.cost.pico_usd", value));
}

fn fail(span: &mut BoxedSpan, kind: impl Into<Value>) {
    span.set_attribute(KeyValue::new("error.type", kind));
    span.set_status(Status::error(""));
}

fn text(key: &'static str, value: &Arc<str>) -> KeyValue {
    KeyValue::new(key, Arc::clone(value))
}

fn system(time: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(u64::try_from(time.0).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn of(lines: &[(&'static str, &str)]) -> TraceContext {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        TraceContext::of(&headers)
    }

    #[test]
    fn a_context_is_read_as_the_standard_says() {
        let later = "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00-more-to-come";
        for (text, sampled) in [(PARENT, true), (later, false)] {
            let context = of(&[("traceparent", text)]).0.unwrap().span_context();
            assert!(context.is_remote() && context.is_valid());
            assert_eq!(context.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
            assert_eq!(context.span_id().to_string(), "b7ad6b7169203331");
            assert_eq!(context.is_sampled(), sampled, "{text}");
        }
    }

    #[test]
    fn what_is_no_context_is_ignored() {
        let wrong = [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            " 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ];
        for text in wrong {
            assert!(of(&[("traceparent", text)]).0.is_none(), "{text}");
        }
        assert!(of(&[("tracestate", "a=1")]).0.is_none());
        assert!(of(&[("traceparent", PARENT), ("traceparent", PARENT)]).0.is_none());
    }

    #[test]
    fn a_state_that_cannot_be_read_does_not_cost_the_parent() {
        let context = of(&[("traceparent", PARENT), ("tracestate", "a=1,b=2"), ("tracestate", "c=3")]);
        assert_eq!(context.0.unwrap().span_context().trace_state().header(), "a=1,b=2,c=3");
        let context = of(&[("traceparent", PARENT), ("tracestate", "no equals sign")]).0.unwrap();
        assert_eq!(context.span_context().trace_state().header(), "");
        assert!(context.span_context().is_valid());
    }

    #[test]
    fn without_traces_the_callers_context_goes_on_unchanged() {
        let headers = [("traceparent", PARENT), ("tracestate", "a=1"), ("tracestate", "no equals sign")];
        let mut trace = Tracing::off().begin(Endpoint::Chat, RequestId::new(), Timestamp(0), of(&headers));
        assert!(trace.live.is_none(), "no span is made");
        let mut request = Request::new(());
        trace.sending(&mut request);
        assert_eq!(request.headers()["traceparent"], PARENT);
        let state: Vec<_> = request.headers().get_all("tracestate").iter().collect();
        assert_eq!(state, ["a=1", "no equals sign"]);
        assert_eq!(trace.id().unwrap().to_string(), "0af7651916cd43dd8448eb211c80319c");

        let mut request = Request::new(());
        CallTrace::default().sending(&mut request);
        assert!(request.headers().is_empty());
    }
}
