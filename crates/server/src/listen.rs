//! One port for HTTP/1.1, HTTP/2 and HTTP/2 with prior knowledge. Every response leaves here with its request id.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use steelyard_core::RequestId;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::linger::Lingering;
use tower::ServiceExt;

/// When connections are given up.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// Until the head of a request has arrived; idle time between two requests counts.
    pub head: Duration,
    /// How long connections may take to close once shutdown has come to them.
    pub closing: Duration,
}

/// A connection buffers at most so much; it also bounds the head of a request.
const BUFFER: usize = 64 << 10;

/// Accepts connections until `stop` changes, then lets them end what they are at.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ConnectionLimits,
    mut stop: watch::Receiver<bool>,
) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.head).max_buf_size(BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(Duration::from_secs(20)))
        .max_concurrent_streams(1024)
        .adaptive_window(true);
    let graceful = GracefulShutdown::new();
    let (cut, cutting) = watch::channel(false);
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
        let (builder, watcher, service) = (builder.clone(), graceful.watcher(), service(router.clone()));
        let mut cutting = cutting.clone();
        tokio::spawn(async move {
            if !speaks(&stream, limits.head).await {
                return;
            }
            let stream = TokioIo::new(Lingering::new(stream));
            let connection = watcher.watch(builder.serve_connection(stream, service).into_owned());
            // A client that breaks off is its own business; what it had asked for settles by itself.
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(error = %error, "connection ended");
                },
                _ = cutting.changed() => {}
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(limits.closing, graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections did not close in time and are cut");
    }
    // Dropping a connection drops the calls on it, which settle by what had passed.
    cut.send_replace(true);
}

/// HTTP/2 with prior knowledge begins with this.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Whether the client begins to speak within `limit`: with a request line, whose end is then awaited under a limit of
/// its own, or with the whole of HTTP/2's preface. A client that only holds a connection is not kept.
async fn speaks(stream: &TcpStream, limit: Duration) -> bool {
    let mut begun = [0; PREFACE.len()];
    let begins = async {
        loop {
            match stream.peek(&mut begun).await {
                Ok(0) | Err(_) => return false,
                Ok(count) if count < PREFACE.len() && begun[..count] == PREFACE[..count] => {
                    // A part of the preface: more must come, and peeking does not wait for it.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Ok(_) => return true,
            }
        }
    };
    tokio::time::timeout(limit, begins).await.unwrap_or(false)
}

/// The address a listener got.
pub fn bound(listener: &TcpListener) -> std::io::Result<SocketAddr> {
    listener.local_addr()
}

fn service(
    router: Router,
) -> impl hyper::service::Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future: Send>
+ Clone {
    service_fn(move |mut request: Request<Incoming>| {
        let router = router.clone();
        async move {
            let id = RequestId::new();
            request.extensions_mut().insert(id);
            let mut response = router.oneshot(request).await?;
            let text =
                HeaderValue::try_from(id.to_string()).expect("an id is letters, digits and an underscore");
            response.headers_mut().insert("x-request-id", text.clone());
            response.headers_mut().insert("x-steelyard-request-id", text);
            Ok(response)
        }
    })
}

/// Opens the port.
pub async fn bind(address: &str) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// What a connection is made of, for tests of this crate.
pub type Connection = TcpStream;
