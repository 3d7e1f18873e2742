//! A port for HTTP/1.1, HTTP/2 and HTTP/2 with prior knowledge, in clear or over TLS. Every response leaves here with
//! its request id.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request, Response, Version};
use bytes::{Bytes, BytesMut};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use steelyard_core::RequestId;
use steelyard_gateway::Tasks;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::ServiceExt;

use crate::head::{self, Answered};
use crate::linger::Lingering;

/// When connections are given up.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// Until the head of a request has arrived; idle time between two requests counts.
    pub head: Duration,
    /// How long connections may take to close once shutdown has come to them.
    pub closing: Duration,
}

/// What a listener speaks beneath HTTP.
#[derive(Clone)]
pub enum Transport {
    /// Nothing.
    Plain,
    /// TLS. The handshake has as long as the head of a request.
    Tls(TlsAcceptor),
}

/// Accepts connections until `stop` changes, then lets them end what they are at.
pub async fn serve(
    listener: TcpListener,
    transport: Transport,
    router: Router,
    limits: ConnectionLimits,
    mut stop: watch::Receiver<bool>,
) {
    let talk = Talk { builder: builder(limits), router, limits };
    let graceful = GracefulShutdown::new();
    let connections = Tasks::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, mostly: waiting a moment is all one can do.
                tracing::warn!(error = %error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let (talk, transport, watcher) = (talk.clone(), transport.clone(), graceful.watcher());
        connections.spawn(async move {
            match transport {
                Transport::Plain => talk.over(stream, watcher).await,
                // Boxed, because it is much larger than what a connection in clear needs.
                Transport::Tls(acceptor) => {
                    let secured = Box::pin(async move {
                        if let Some(stream) = handshake(&acceptor, stream, limits.head).await {
                            talk.over(stream, watcher).await;
                        }
                    });
                    secured.await;
                }
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(limits.closing, graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections did not close in time and are cut");
    }
    // Dropping a connection drops the calls on it, which settle by what had passed.
    connections.cut();
    connections.finished().await;
}

fn builder(limits: ConnectionLimits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.head).max_buf_size(head::READ);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(Duration::from_secs(20)))
        .max_concurrent_streams(1024)
        .max_header_list_size(u32::try_from(head::READ).unwrap_or(u32::MAX))
        .adaptive_window(true);
    builder
}

/// The TLS stream; none if the client does not get there within `limit`.
async fn handshake(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    limit: Duration,
) -> Option<TlsStream<TcpStream>> {
    match tokio::time::timeout(limit, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            tracing::debug!(error = %error, "no TLS handshake: the client speaks plain HTTP, or does not trust the certificate");
            None
        }
        Err(_) => {
            tracing::debug!(?limit, "no TLS handshake in time");
            None
        }
    }
}

/// How HTTP is talked on a connection, whatever is beneath it.
#[derive(Clone)]
struct Talk {
    builder: Builder<TokioExecutor>,
    router: Router,
    limits: ConnectionLimits,
}

impl Talk {
    /// Serves a connection to its end.
    async fn over<S>(self, mut stream: S, watcher: Watcher)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Some(begun) = beginning(&mut stream, self.limits.head).await else { return };
        let heard = Arc::new(AtomicBool::new(false));
        let stream = TokioIo::new(Answered::new(Lingering::new(begun, stream), Arc::clone(&heard)));
        let connection = self.builder.serve_connection(stream, service(self.router, heard)).into_owned();
        // A client that breaks off is its own business; what it had asked for settles by itself.
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(error = %error, "connection ended");
        }
    }
}

/// HTTP/2 with prior knowledge begins with this.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the client says first, if it does within `limit`: the beginning of a request line, whose end is then awaited
/// under a limit of its own, or the whole of HTTP/2's preface. A client that only holds a connection is not kept.
async fn beginning<S: AsyncRead + Unpin>(stream: &mut S, limit: Duration) -> Option<Bytes> {
    let mut begun = BytesMut::with_capacity(PREFACE.len());
    let reading = async {
        while begun.len() < PREFACE.len() && PREFACE.starts_with(&begun) {
            let room = PREFACE.len() - begun.len();
            if !matches!((&mut *stream).take(room as u64).read_buf(&mut begun).await, Ok(1..)) {
                return false;
            }
        }
        true
    };
    let spoke = tokio::time::timeout(limit, reading).await.unwrap_or(false);
    spoke.then(|| begun.freeze())
}

/// The address a listener got.
pub fn bound(listener: &TcpListener) -> std::io::Result<SocketAddr> {
    listener.local_addr()
}

fn service(
    router: Router,
    heard: Arc<AtomicBool>,
) -> impl hyper::service::Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future: Send>
+ Clone {
    service_fn(move |mut request: Request<Incoming>| {
        heard.store(true, Ordering::Relaxed);
        let router = router.clone();
        async move {
            let id = RequestId::new();
            request.extensions_mut().insert(id);
            let (request, unread) = Watched::request(request);
            let mut response = router.oneshot(request).await?;
            // What is left of a body stands in the way of the next request, so the connection ends; a client that is
            // not told so would send that one in vain.
            if unread.load(Ordering::Relaxed) {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            let text =
                HeaderValue::try_from(id.to_string()).expect("an id is letters, digits and an underscore");
            response.headers_mut().insert("x-request-id", text.clone());
            response.headers_mut().insert("x-steelyard-request-id", text);
            Ok(response)
        }
    })
}

/// The body of a request, and whether some of it has not been read.
struct Watched {
    body: Incoming,
    unread: Arc<AtomicBool>,
}

impl Watched {
    fn request(request: Request<Incoming>) -> (Request<Self>, Arc<AtomicBool>) {
        // A stream of HTTP/2 ends without its connection.
        let counts = request.version() < Version::HTTP_2 && !request.body().is_end_stream();
        let unread = Arc::new(AtomicBool::new(counts));
        let shared = Arc::clone(&unread);
        (request.map(|body| Self { body, unread: shared }), unread)
    }
}

impl hyper::body::Body for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none() || self.body.is_end_stream() {
            self.unread.store(false, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Opens the port.
pub async fn bind(address: &str) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// What a connection is made of, for tests of this crate.
pub type Connection = TcpStream;
