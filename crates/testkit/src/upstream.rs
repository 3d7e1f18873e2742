//! A scripted vendor: an HTTP/1.1 server on port 0 that speaks a vendor's wire byte by byte, so that it can also
//! break off, hang and talk nonsense at any byte.

pub mod chat;
mod check;
pub mod embeddings;
pub mod fault;
pub mod frames;
pub mod reply;
pub mod request;
pub mod sse;
pub mod wire;

use std::collections::{HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

use crate::patience::eventually;
use reply::{Reply, Step};
use request::Request;
use wire::Wire;

/// A vendor that says what it is told to. Dropping it closes its port.
#[derive(Debug)]
pub struct Upstream {
    addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
    /// Sockets that are kept so that a port stays deaf.
    plugs: Vec<TcpStream>,
}

#[derive(Debug, Default)]
struct Shared {
    wire: Wire,
    script: Mutex<Script>,
    requests: Mutex<Vec<Request>>,
    open: AtomicUsize,
    accepted: AtomicUsize,
    answering: AtomicUsize,
    aborted: AtomicUsize,
    hang_up: tokio::sync::watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Script {
    queue: VecDeque<Reply>,
    by_model: HashMap<String, Reply>,
    otherwise: Option<Reply>,
}

impl Upstream {
    /// Starts on a free port of 127.0.0.1. Until told otherwise it answers every chat with `hello`
    /// (10 prompt tokens, 5 completion tokens), and embeddings with small vectors.
    pub async fn start() -> Self {
        Self::start_on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
    }

    /// The same on another vendor's wire.
    pub async fn speaking(wire: Wire) -> Self {
        Self::speaking_on(wire, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
    }

    /// Starts on a given address; port 0 means a free one.
    pub async fn start_on(addr: SocketAddr) -> Self {
        Self::speaking_on(Wire::OpenAi, addr).await
    }

    /// Starts on a vendor's wire and a given address; port 0 means a free one.
    pub async fn speaking_on(wire: Wire, addr: SocketAddr) -> Self {
        let listener = TcpListener::bind(addr).await.expect("a port of this machine can be bound");
        let addr = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared { wire, ..Shared::default() });
        let accepting = beside(accept(listener, Arc::clone(&shared)));
        Self { addr, shared, accepting, plugs: Vec::new() }
    }

    /// An address at which every connection is refused.
    pub async fn refusing() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port can be bound");
        listener.local_addr().expect("a bound socket has an address")
    }

    /// A vendor whose connections never come to stand: its queue of connections is full and nobody accepts.
    pub async fn deaf() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket can be made");
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a port can be bound");
        let listener = socket.listen(1).expect("a bound socket can listen");
        let addr = listener.local_addr().expect("a bound socket has an address");
        let mut plugs = Vec::new();
        while let Ok(Ok(plug)) =
            tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(addr)).await
        {
            plugs.push(plug);
            assert!(plugs.len() < 100, "the queue of connections never fills");
        }
        let accepting = beside(async move {
            std::future::pending::<()>().await;
            drop(listener);
        });
        Self { addr, shared: Arc::default(), accepting, plugs }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What goes into a channel's `base_url`.
    pub fn base_url(&self) -> String {
        format!("http://{}{}", self.addr, self.shared.wire.base_path())
    }

    /// The wire it speaks.
    pub fn wire(&self) -> Wire {
        self.shared.wire
    }

    /// Says what the next request without an answer gets. Calls queue up. A request that breaks the rules of
    /// Anthropic's or Bedrock's wire is refused instead, and takes nothing from the queue.
    pub fn next(&self, reply: impl Into<Reply>) {
        self.shared.script().queue.push_back(reply.into());
    }

    /// Says what every request for `model` gets once the queue is empty.
    pub fn on(&self, model: &str, reply: impl Into<Reply>) {
        self.shared.script().by_model.insert(model.to_owned(), reply.into());
    }

    /// Says what every other request gets.
    pub fn otherwise(&self, reply: impl Into<Reply>) {
        self.shared.script().otherwise = Some(reply.into());
    }

    /// Closes every idle connection, as vendors do with those that were idle for long.
    pub fn hang_up(&self) {
        self.shared.hang_up.send_modify(|times| *times += 1);
    }

    /// Every request so far, in order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests().clone()
    }

    /// How many requests came so far.
    pub fn count(&self) -> usize {
        self.shared.requests().len()
    }

    /// The only request so far.
    pub fn only_request(&self) -> Request {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "the upstream got {} requests, not one", requests.len());
        requests[0].clone()
    }

    /// The latest request.
    pub fn last_request(&self) -> Request {
        self.requests().pop().expect("the upstream got a request")
    }

    /// Connections that stand now, idle ones included.
    pub fn open_connections(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Connections ever accepted.
    pub fn accepted_connections(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Requests being answered now.
    pub fn answering(&self) -> usize {
        self.shared.answering.load(Ordering::SeqCst)
    }

    /// Answers that the caller broke off.
    pub fn aborted(&self) -> usize {
        self.shared.aborted.load(Ordering::SeqCst)
    }

    /// Waits until `count` requests have come.
    pub async fn has_requests(&self, count: usize) {
        eventually(&format!("{count} requests at the upstream"), || self.count() >= count).await;
    }

    /// Waits until the caller has broken off `count` answers.
    pub async fn is_aborted(&self, count: usize) {
        eventually(&format!("{count} answers broken off by the caller"), || self.aborted() >= count).await;
    }

    /// Waits until nothing is being answered; then at most `connections` may stand, idle in the caller's pool.
    pub async fn is_idle(&self, connections: usize) {
        eventually(&format!("no answer under way and at most {connections} connections"), || {
            self.answering() == 0 && self.open_connections() <= connections
        })
        .await;
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
        self.plugs.clear();
    }
}

impl Shared {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn requests(&self) -> MutexGuard<'_, Vec<Request>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reply_to(&self, request: &Request) -> Reply {
        if let Some(complaint) = check::complaint(request) {
            return reply::status(400).message(&format!("the scripted vendor refuses: {complaint}")).into();
        }
        let mut script = self.script();
        if let Some(reply) = script.queue.pop_front() {
            return reply;
        }
        let by_model = request.model().and_then(|model| script.by_model.get(&model));
        by_model.or(script.otherwise.as_ref()).cloned().unwrap_or_else(|| Reply::usual(request))
    }
}

/// Counts something for as long as it lives.
struct Count<'a>(&'a AtomicUsize);

impl<'a> Count<'a> {
    fn one(counter: &'a AtomicUsize) -> Self {
        counter.fetch_add(1, Ordering::SeqCst);
        Self(counter)
    }
}

impl Drop for Count<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Runs until it is aborted.
#[expect(clippy::disallowed_methods, reason = "whoever has the handle aborts it; a test has no shutdown")]
fn beside(work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(work)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Connections end with the listener, as they do when a server's process ends.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                shared.accepted.fetch_add(1, Ordering::SeqCst);
                let shared = Arc::clone(&shared);
                connections.spawn(async move { serve(stream, &shared).await });
            }
            // Out of file descriptors, most likely: give others time to close some.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn serve(mut stream: TcpStream, shared: &Shared) {
    let _open = Count::one(&shared.open);
    // Without it each small write would wait for the peer's acknowledgement, and pacing would lie.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let mut unread = BytesMut::new();
    let mut hang_up = shared.hang_up.subscribe();
    loop {
        let request = tokio::select! {
            request = request::read(&mut stream, &mut unread, shared.wire) => request,
            _ = hang_up.changed() => return part(stream).await,
        };
        let Some(request) = request else { return };
        let steps = if request.path.starts_with("/control/") {
            shared.control(&request).steps(&request)
        } else {
            shared.requests().push(request.clone());
            shared.reply_to(&request).steps(&request)
        };
        let _answering = Count::one(&shared.answering);
        match perform(&mut stream, &mut unread, steps).await {
            Performed::Done => {}
            Performed::Closed => return,
            Performed::PeerGone => {
                shared.aborted.fetch_add(1, Ordering::SeqCst);
                return;
            }
        }
    }
}

/// Closes, and waits until the caller has done so too: whoever sees no open connection knows that it noticed.
async fn part(mut stream: TcpStream) {
    let mut rest = [0; 64];
    if stream.shutdown().await.is_ok() {
        while stream.read(&mut rest).await.is_ok_and(|length| length > 0) {}
    }
}

impl Shared {
    /// What other processes may ask about this upstream.
    fn control(&self, request: &Request) -> Reply {
        match request.path.as_str() {
            "/control/requests" => {
                let requests: Vec<_> = self.requests().iter().map(Request::to_json).collect();
                Reply::json(200, &requests.into())
            }
            "/control/state" => Reply::json(
                200,
                &serde_json::json!({
                    "open": self.open.load(Ordering::SeqCst),
                    "answering": self.answering.load(Ordering::SeqCst),
                    "aborted": self.aborted.load(Ordering::SeqCst),
                }),
            ),
            "/control/reset" => {
                self.requests().clear();
                self.aborted.store(0, Ordering::SeqCst);
                Reply::json(200, &serde_json::json!({}))
            }
            _ => Reply::json(404, &serde_json::json!({})),
        }
    }
}

enum Performed {
    /// The connection can carry another request.
    Done,
    /// The script ended the connection.
    Closed,
    /// The caller did.
    PeerGone,
}

async fn perform(stream: &mut TcpStream, unread: &mut BytesMut, steps: Vec<Step>) -> Performed {
    for step in steps {
        match step {
            Step::Write(mut bytes) => {
                while bytes.has_remaining() {
                    if stream.write_buf(&mut bytes).await.is_err() {
                        return Performed::PeerGone;
                    }
                }
            }
            Step::Pause(time) => {
                if !peer_stays(stream, unread, tokio::time::sleep(time)).await {
                    return Performed::PeerGone;
                }
            }
            Step::Wait(gate) => {
                if !peer_stays(stream, unread, gate.opened()).await {
                    return Performed::PeerGone;
                }
            }
            Step::Hang => {
                peer_stays(stream, unread, std::future::pending::<()>()).await;
                return Performed::PeerGone;
            }
            Step::Close => {
                // A peer that has gone already has nothing to be told.
                let _ = stream.shutdown().await;
                return Performed::Closed;
            }
            Step::Reset => {
                // Fails only on a socket that is gone, which is what is wanted.
                let _ = stream.set_zero_linger();
                return Performed::Closed;
            }
        }
    }
    Performed::Done
}

/// Waits for `wait`; false if the peer hung up meanwhile.
async fn peer_stays(stream: &mut TcpStream, unread: &mut BytesMut, wait: impl Future<Output = ()>) -> bool {
    let mut wait = std::pin::pin!(wait);
    loop {
        tokio::select! {
            () = &mut wait => return true,
            read = stream.read_buf(unread) => match read {
                Ok(0) | Err(_) => return false,
                Ok(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
