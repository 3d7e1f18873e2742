//! Bodies on their way to the client.
//!
//! Constraints: frames go out as they come in; the terminal frame waits until the settlement is durable; a stream
//! that broke off ends with an error event and never looks complete; dropping a body settles its account.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use opentelemetry::trace::TraceId;
use steelyard_core::port::{BoxFuture, LedgerError};
use steelyard_core::record::{AttemptStatus, Outcome};
use steelyard_core::{ApiError, ErrorCode, RequestId};
use steelyard_dialect::Dialect;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::account::{Account, Passed};
use crate::call::shutting_down;
use crate::feed::{End, Feed, Step};
use crate::offer::Offer;
use crate::spec::{OnDisconnect, TimeoutSpec};
use crate::tasks::Tasks;

/// Bytes that may go out, in order.
pub(crate) type Queue = Vec<Bytes>;

/// Bytes that came in together go out together, up to this many.
const MAX_BURST: usize = 16 << 10;

/// After its terminal frame a vendor's stream gets so long to close, for the sake of its connection.
const REST: Duration = Duration::from_millis(50);

/// A stream that is quiet for so long gets a comment, so that nothing between here and the client closes it.
const BEAT: Duration = Duration::from_secs(15);

/// How long an answer is read on after its client left, under `on_disconnect = "drain"`.
pub(crate) const DRAIN_LIMIT: Duration = Duration::from_mins(1);

/// What a client receives.
pub enum ReplyBody {
    /// An answer that was settled before it left.
    Whole(Option<Bytes>),
    /// A stream.
    Stream(Box<StreamBody>),
}

impl ReplyBody {
    /// A whole answer.
    pub fn whole(bytes: Bytes) -> Self {
        Self::Whole(Some(bytes))
    }

    /// Whether it is a stream of events.
    pub fn is_stream(&self) -> bool {
        matches!(self, Self::Stream(_))
    }
}

impl std::fmt::Debug for ReplyBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole(bytes) => f.debug_tuple("Whole").field(&bytes.as_ref().map(Bytes::len)).finish(),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let polled = match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take()),
            Self::Stream(stream) => stream.poll(cx),
        };
        polled.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

/// A stream on its way to the client.
pub struct StreamBody {
    feed: Option<Feed>,
    account: Option<Account>,
    out: Queue,
    /// How much of `out` there was when the vendor's connection was last given a turn.
    seen: usize,
    phase: Phase,
    clocks: Clocks,
    ends: Ends,
    /// Ready when shutdown cuts.
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Counts as a call in flight until the body is gone.
    _in_flight: TaskTrackerToken,
}

enum Phase {
    /// Bytes come and go.
    Flowing,
    /// The end is known; it goes out when the settlement is durable.
    Settling(BoxFuture<'static, Result<(), LedgerError>>, Bytes),
    /// Everything has gone out.
    Over,
}

/// How this stream is ended in unusual cases.
#[derive(Clone)]
pub(crate) struct Ends {
    pub(crate) dialect: Dialect,
    pub(crate) request_id: RequestId,
    pub(crate) trace_id: Option<TraceId>,
    pub(crate) on_disconnect: OnDisconnect,
    pub(crate) tasks: Tasks,
    /// For the log.
    pub(crate) route: Arc<str>,
    pub(crate) offer: Arc<Offer>,
}

/// The idle and the total limit and the beat of comments, on one timer. Passing bytes cost a look at the clock, not a
/// new timer.
pub(crate) struct Clocks {
    idle: Duration,
    total: Duration,
    /// When the vendor last sent something.
    last: Instant,
    /// When the client last got something.
    beat: Instant,
    deadline: Instant,
    timer: Pin<Box<Sleep>>,
}

/// What a timer says.
enum Tick {
    /// A limit was passed: its name, and how long it is.
    Expired(&'static str, Duration),
    /// The client has waited long enough for a sign of life.
    Beat,
}

impl Clocks {
    pub(crate) fn new(started: std::time::Instant, limits: &TimeoutSpec) -> Self {
        let now = Instant::now();
        let mut clocks = Self {
            idle: limits.idle.0,
            total: limits.total.0,
            last: now,
            beat: now,
            deadline: Instant::from_std(started) + limits.total.0,
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
        };
        let next = clocks.next();
        clocks.timer.as_mut().reset(next);
        clocks
    }

    fn next(&self) -> Instant {
        self.deadline.min(self.last + self.idle).min(self.beat + BEAT)
    }

    /// Something came, and goes on to the client.
    fn passed(&mut self) {
        self.last = Instant::now();
        self.beat = self.last;
    }

    fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Tick> {
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if now >= self.deadline {
                return Poll::Ready(Tick::Expired("total", self.total));
            }
            if now >= self.last + self.idle {
                return Poll::Ready(Tick::Expired("idle", self.idle));
            }
            let beats = now >= self.beat + BEAT;
            if beats {
                self.beat = now;
            }
            let next = self.next();
            self.timer.as_mut().reset(next);
            if beats {
                return Poll::Ready(Tick::Beat);
            }
        }
        Poll::Pending
    }
}

impl StreamBody {
    pub(crate) fn new(feed: Feed, first: Queue, account: Account, clocks: Clocks, ends: Ends) -> Self {
        let (in_flight, cut) = (ends.tasks.token(), Box::pin(ends.tasks.when_cut()));
        Self {
            feed: Some(feed),
            account: Some(account),
            out: first,
            seen: 0,
            phase: Phase::Flowing,
            clocks,
            ends,
            cut,
            _in_flight: in_flight,
        }
    }

    /// The end was seen while the first bytes were awaited.
    pub(crate) fn ended(mut self, end: End) -> Self {
        self.finish(Finish::Wire(end));
        self
    }

    /// The next bytes for the client.
    ///
    /// A vendor's connection hands over one piece a turn, so pieces that arrived together would each become a write
    /// of their own, and writes are what a relay spends its time on. Before bytes go out, the connection gets
    /// another turn, until a turn brings nothing new: a piece that comes alone is held up by one turn of the
    /// scheduler, a burst leaves as one write.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            match &mut self.phase {
                Phase::Flowing => {
                    let Some(feed) = &mut self.feed else { return Poll::Ready(None) };
                    match feed.poll(cx, &mut self.out) {
                        Poll::Ready(Step::More) => {
                            self.clocks.passed();
                            if size(&self.out) >= MAX_BURST {
                                if self.cut.as_mut().poll(cx).is_pending() {
                                    return Poll::Ready(self.burst());
                                }
                                self.finish(Finish::Shutdown);
                            }
                        }
                        Poll::Ready(Step::Over(end)) => self.finish(Finish::Wire(end)),
                        Poll::Pending => {
                            let waiting = size(&self.out);
                            if waiting > self.seen {
                                self.seen = waiting;
                                cx.waker().wake_by_ref();
                                return Poll::Pending;
                            }
                            if waiting > 0 {
                                return Poll::Ready(self.burst());
                            }
                            if self.cut.as_mut().poll(cx).is_ready() {
                                self.finish(Finish::Shutdown);
                                continue;
                            }
                            match self.clocks.poll_tick(cx) {
                                Poll::Ready(Tick::Expired(limit, after)) => {
                                    let how = match feed.unfinished_terminal() {
                                        Some(terminal) => Finish::Wire(End::Complete(terminal)),
                                        None => Finish::Expired(limit, after),
                                    };
                                    self.finish(how);
                                }
                                Poll::Ready(Tick::Beat) => {
                                    if let Some(comment) = self.ends.dialect.keep_alive() {
                                        return Poll::Ready(Some(Bytes::from_static(comment)));
                                    }
                                }
                                Poll::Pending => return Poll::Pending,
                            }
                        }
                    }
                }
                Phase::Settling(settling, _) => {
                    if !self.out.is_empty() {
                        return Poll::Ready(self.burst());
                    }
                    let settled = settling.as_mut().poll(cx);
                    let rested = self.feed.as_mut().is_none_or(|feed| feed.poll_rest(cx).is_ready());
                    let Poll::Ready(settled) = settled else { return Poll::Pending };
                    if rested {
                        self.feed = None;
                    } else {
                        self.clocks.timer.as_mut().reset(Instant::now() + REST);
                    }
                    let Phase::Settling(_, last) = std::mem::replace(&mut self.phase, Phase::Over) else {
                        return Poll::Ready(None);
                    };
                    match settled {
                        Ok(()) if last.is_empty() => {}
                        Ok(()) => return Poll::Ready(Some(last)),
                        Err(error) => return Poll::Ready(Some(self.ends.unsettled(&error))),
                    }
                }
                Phase::Over => {
                    // A connection whose answer was read to its very end can be used again.
                    if let Some(feed) = &mut self.feed
                        && feed.poll_rest(cx).is_pending()
                        && self.clocks.timer.as_mut().poll(cx).is_pending()
                    {
                        return Poll::Pending;
                    }
                    self.feed = None;
                    return Poll::Ready(None);
                }
            }
        }
    }

    /// Everything that may go out, in one piece.
    fn burst(&mut self) -> Option<Bytes> {
        self.seen = 0;
        if self.out.len() <= 1 {
            return self.out.pop();
        }
        let mut burst = BytesMut::with_capacity(self.out.iter().map(Bytes::len).sum());
        for bytes in self.out.drain(..) {
            burst.extend_from_slice(&bytes);
        }
        Some(burst.freeze())
    }

    fn finish(&mut self, how: Finish) {
        let Some(mut account) = self.account.take() else { return };
        let passed = self.feed.as_ref().map_or_else(Passed::default, Feed::passed);
        let (status, outcome, last) = how.read(&self.ends);
        if status != AttemptStatus::Ok {
            // The rest of a stream that went wrong is of no use: its connection is closed.
            self.feed = None;
        }
        account.attempt_charged(status, &passed);
        let (_, settled) = account.settle(outcome);
        self.phase = Phase::Settling(settled, last);
    }
}

/// How many bytes wait to go out.
pub(crate) fn size(queue: &Queue) -> usize {
    queue.iter().map(Bytes::len).sum()
}

enum Finish {
    Wire(End),
    Expired(&'static str, Duration),
    /// Steelyard shuts down and waits no longer.
    Shutdown,
}

impl Finish {
    /// How the attempt and the call end, and the last bytes for the client.
    fn read(self, ends: &Ends) -> (AttemptStatus, Outcome, Bytes) {
        match self {
            Self::Wire(End::Complete(terminal)) => (AttemptStatus::Ok, Outcome::Ok, terminal),
            Self::Wire(End::VendorError) => (AttemptStatus::Cut, Outcome::UpstreamError, Bytes::new()),
            Self::Wire(End::Upstream(code, fault)) => {
                let text = format!("the vendor failed: {fault}; what you have received is incomplete");
                let error = ApiError::new(code, text);
                (AttemptStatus::Cut, Outcome::UpstreamError, ends.error(&error))
            }
            Self::Wire(End::Cut(why)) => {
                let text =
                    "the vendor's stream broke off before its end: what you have received is incomplete";
                let error = ApiError::new(ErrorCode::UpstreamCut, text).with_source(why);
                (AttemptStatus::Cut, Outcome::UpstreamError, ends.error(&error))
            }
            Self::Wire(End::Garbage(why)) => {
                let text = "the vendor's stream cannot be read: what you have received is incomplete";
                let error = ApiError::new(ErrorCode::UpstreamGarbage, text).with_source(why);
                (AttemptStatus::Cut, Outcome::UpstreamError, ends.error(&error))
            }
            Self::Expired(limit, after) => {
                let text = match limit {
                    "total" => format!("the vendor did not come to an end within {after:?}"),
                    _ => format!("the vendor sent nothing for {after:?}"),
                };
                let text = format!(
                    "{text} (the {limit} limit of its channel): what you have received is incomplete"
                );
                let error = ApiError::new(ErrorCode::UpstreamTimeout, text);
                (AttemptStatus::Timeout, Outcome::Timeout, ends.error(&error))
            }
            Self::Shutdown => {
                let text = "the server is shutting down: what you have received is incomplete; try again, another may take the call";
                (AttemptStatus::Cut, Outcome::Shutdown, ends.error(&shutting_down(text)))
            }
        }
    }
}

impl Ends {
    fn error(&self, error: &ApiError) -> Bytes {
        tracing::warn!(request.id = %self.request_id,
            trace_id = self.trace_id.map(tracing::field::display), route = %self.route,
            channel = %self.offer.channel.name, model = %self.offer.model_name,
            error.code = error.code.code(), error = %error.public,
            error.source = error.source.as_ref().map(tracing::field::display), "stream broke off");
        self.dialect.error_event(error, &self.request_id)
    }

    fn unsettled(&self, error: &LedgerError) -> Bytes {
        let text =
            "the answer is complete, but its ledger entry is not durable yet; it is kept and written later";
        self.error(&ApiError::new(ErrorCode::LedgerUnavailable, text).with_source(error.clone()))
    }
}

impl Drop for StreamBody {
    fn drop(&mut self) {
        let Some(account) = self.account.take() else { return };
        let Some(feed) = self.feed.take() else { return };
        // A client that did not read while the server shut down is not to blame.
        if self.ends.tasks.is_cut() {
            account.cut(&feed.passed());
            return;
        }
        let rest = Rest { feed, account: Some(account) };
        if self.ends.on_disconnect == OnDisconnect::Drain && tokio::runtime::Handle::try_current().is_ok() {
            self.ends.tasks.spawn(drain(rest, self.clocks.idle));
        }
    }
}

/// An answer that nobody takes any more. Dropping it settles.
struct Rest {
    feed: Feed,
    account: Option<Account>,
}

impl Drop for Rest {
    fn drop(&mut self) {
        let Some(account) = self.account.take() else { return };
        account.abandon(&self.feed.passed());
    }
}

/// Reads an answer on after its client left, so that the vendor's own figures are charged.
async fn drain(mut rest: Rest, idle: Duration) {
    let mut unread = Queue::new();
    let reading = async {
        loop {
            unread.clear();
            let step = std::future::poll_fn(|cx| rest.feed.poll(cx, &mut unread));
            match tokio::time::timeout(idle, step).await {
                Ok(Step::More) => {}
                Ok(Step::Over(_)) | Err(_) => break,
            }
        }
    };
    // What has not come by then is cut; what passed is charged either way.
    let _ = tokio::time::timeout(DRAIN_LIMIT, reading).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Span;

    fn limits(idle: u64, total: u64) -> TimeoutSpec {
        let (idle, total) = (Span(Duration::from_secs(idle)), Span(Duration::from_secs(total)));
        TimeoutSpec { idle, total, ..TimeoutSpec::default() }
    }

    async fn tick(clocks: &mut Clocks) -> Tick {
        std::future::poll_fn(|cx| clocks.poll_tick(cx)).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_stream_beats_until_a_limit_ends_it() {
        let begun = Instant::now();
        let mut clocks = Clocks::new(begun.into_std(), &limits(40, 3600));
        assert!(matches!(tick(&mut clocks).await, Tick::Beat));
        assert!(matches!(tick(&mut clocks).await, Tick::Beat));
        assert_eq!(begun.elapsed().as_secs(), 30);
        clocks.passed();
        assert!(matches!(tick(&mut clocks).await, Tick::Beat));
        assert_eq!(begun.elapsed().as_secs(), 45, "what passes is a sign of life too");
        assert!(matches!(tick(&mut clocks).await, Tick::Beat));
        assert!(matches!(tick(&mut clocks).await, Tick::Expired("idle", idle) if idle.as_secs() == 40));
        assert_eq!(begun.elapsed().as_secs(), 70);
    }

    #[tokio::test(start_paused = true)]
    async fn the_total_limit_holds_however_much_passes() {
        let begun = Instant::now();
        let mut clocks = Clocks::new(begun.into_std(), &limits(40, 20));
        assert!(matches!(tick(&mut clocks).await, Tick::Beat));
        clocks.passed();
        assert!(matches!(tick(&mut clocks).await, Tick::Expired("total", _)));
        assert_eq!(begun.elapsed().as_secs(), 20);
    }
}
