//! A vendor's whole answer, and what of its head is kept.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::HeaderName;
use http_body::Body;
use hyper::body::Incoming;
use steelyard_core::ErrorCode;
use steelyard_dialect::Dialect;

use crate::attempt::made_out;
use crate::miss::Miss;
use crate::spec::TimeoutSpec;

/// From here on an answer is large.
const LARGE: usize = 1 << 20;
/// Room for so much is made at once.
const MOST_AT_ONCE: usize = 1 << 30;

/// An answer that comes in pieces. Most come in one, which then is not copied.
#[derive(Default)]
struct Pieces {
    only: Bytes,
    all: BytesMut,
}

impl Pieces {
    /// Adds a piece of an answer that has at most `limit` bytes.
    fn push(&mut self, piece: Bytes, limit: usize) {
        if self.so_far().is_empty() {
            self.only = piece;
            return;
        }
        let only = std::mem::take(&mut self.only);
        let length = self.so_far().len() + only.len() + piece.len();
        if length > LARGE && length > self.all.capacity() {
            // Room for all of it at once, which is memory only as far as it is written to: a buffer that is copied as it
            // grows would leave behind as much as it holds.
            self.all.reserve(limit.clamp(length, MOST_AT_ONCE.max(length)) - self.all.len());
        }
        self.all.extend_from_slice(&only);
        self.all.extend_from_slice(&piece);
    }

    fn so_far(&self) -> &[u8] {
        if self.all.is_empty() { &self.only } else { &self.all }
    }

    /// The answer without a byte order mark, which is no part of JSON.
    fn whole(self) -> Bytes {
        let whole = if self.all.is_empty() { self.only } else { self.all.freeze() };
        if whole.starts_with(b"\xEF\xBB\xBF") { whole.slice(3..) } else { whole }
    }
}

/// Collects an answer under a limit of size and the channel's limits of time.
pub(crate) async fn collect(
    mut body: Upstream,
    wire: Dialect,
    limit: usize,
    sent: Instant,
    limits: &TimeoutSpec,
) -> Result<Bytes, Miss> {
    let mut pieces = Pieces::default();
    let broken = |code, why, so_far: Pieces| Miss::Broken {
        code,
        why,
        passed: Box::new(made_out(wire, &so_far.whole())),
    };
    loop {
        let left = limits.total.0.saturating_sub(sent.elapsed());
        let (wait, name, after) = if left < limits.idle.0 {
            (left, "total", limits.total.0)
        } else {
            (limits.idle.0, "idle", limits.idle.0)
        };
        match tokio::time::timeout(wait, poll_fn(|cx| body.poll_data(cx))).await {
            Err(_) => {
                let passed = Box::new(made_out(wire, &pieces.whole()));
                return Err(Miss::Timeout(name, after, passed));
            }
            Ok(None) => return Ok(pieces.whole()),
            Ok(Some(Err(error))) => {
                return Err(broken(ErrorCode::UpstreamCut, causes(&error), pieces));
            }
            Ok(Some(Ok(piece))) => {
                if pieces.so_far().len() + piece.len() > limit {
                    let why = format!("the answer is larger than {limit} bytes (the channel's max_answer)");
                    return Err(broken(ErrorCode::UpstreamGarbage, why, pieces));
                }
                pieces.push(piece, limit);
            }
        }
    }
}

/// A vendor's body, of which the first piece may have been looked at.
pub(crate) struct Upstream {
    first: Option<Bytes>,
    rest: Incoming,
}

impl Upstream {
    pub(crate) fn new(body: Incoming) -> Self {
        Self { first: None, rest: body }
    }

    /// The first piece, which comes again. Empty: there is none, or not in order.
    pub(crate) async fn first(&mut self) -> Bytes {
        if let Some(Ok(first)) = poll_fn(|cx| self.poll_data(cx)).await {
            self.first = Some(first);
        }
        self.first.clone().unwrap_or_default()
    }

    /// The next piece that has bytes.
    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, hyper::Error>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        loop {
            match ready!(Pin::new(&mut self.rest).poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => return Poll::Ready(Some(Ok(data))),
                    // Nothing, or trailers.
                    Ok(_) | Err(_) => {}
                },
            }
        }
    }

    /// Reads the rest away, so that the connection can be used again. Ready when there is no more.
    pub(crate) fn poll_away(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(Ok(_)) = ready!(self.poll_data(cx)) {}
        Poll::Ready(())
    }
}

/// An error with its causes, for the log.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// A longer id is none.
pub(crate) const MAX_VENDOR_ID: usize = 256;

/// The vendor's own id of the request.
pub(crate) fn vendor_request_id(headers: &HeaderMap) -> Option<String> {
    // What Azure's support asks for comes first: others do not send it.
    let names = ["apim-request-id", "x-request-id", "request-id", "x-amzn-requestid"];
    let value = names.iter().find_map(|name| headers.get(*name))?;
    value.to_str().ok().filter(|id| id.len() <= MAX_VENDOR_ID).map(str::to_owned)
}

/// The vendor's headers that are the caller's business: rate limits and the vendor's own facts.
pub(crate) fn callers_headers(headers: &HeaderMap) -> HeaderMap {
    let wanted = |name: &HeaderName| {
        let name = name.as_str();
        let wanted = ["x-ratelimit-", "openai-", "anthropic-ratelimit-"];
        wanted.iter().any(|prefix| name.starts_with(prefix)) && name != "openai-organization"
    };
    headers
        .iter()
        .filter(|(name, _)| wanted(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
