//! One HTTP client per channel, so that a slow vendor cannot starve another. TLS by rustls, with the machine's
//! own trust store (where companies put theirs), the bundled one where the machine has none, and a channel's
//! own authorities beside it.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tower::Service;

/// The client of a channel.
pub(crate) type HttpClient = Client<Patient<HttpsConnector<HttpConnector>>, Payload>;

/// Connections are given up before vendors drop them (most keep them for a minute or more).
const IDLE: Duration = Duration::from_secs(50);

/// A connection reads into so much at a time: hundreds of streams must fit into little memory.
const BUFFER: usize = 8 << 10;

/// Why a client could not be built.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The file of certificate authorities cannot be used.
    #[error("ca_file {path} holds no usable certificate")]
    CaFile {
        /// Its path.
        path: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A client with its own pool.
pub(crate) fn build(tls: bool, ca_file: Option<&Path>, connect: Duration) -> Result<HttpClient, ClientError> {
    let mut roots = rustls::RootCertStore::empty();
    if tls {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
    }
    if let Some(path) = ca_file {
        add_file(&mut roots, path)
            .map_err(|source| ClientError::CaFile { path: path.display().to_string(), source })?;
    }
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    tcp.enforce_http(false);
    tcp.set_keepalive(Some(Duration::from_secs(30)));
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(tcp);
    Ok(Client::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE)
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .http2_keep_alive_interval(Some(Duration::from_secs(20)))
        .http2_adaptive_window(true)
        .http1_read_buf_exact_size(BUFFER)
        .build(Patient { inner: https, limit: connect }))
}

/// The body of a request, of which is known whether any of it can have left this process. A connection asks for it once
/// it stands (TCP, TLS, the stream of HTTP/2) and has written the head; one that gives the request back has not asked.
pub(crate) struct Payload {
    bytes: Full<Bytes>,
    departure: Departure,
}

/// Whether a [`Payload`] has left, or never will: one or the other for good, so that what is settled as unsent cannot be
/// sent after all.
#[derive(Debug, Clone, Default)]
pub(crate) struct Departure(Arc<AtomicU8>);

const WAITS: u8 = 0;
const LEFT: u8 = 1;
const WITHDRAWN: u8 = 2;

/// What a connection is told that asks for a body which was withdrawn.
#[derive(Debug, thiserror::Error)]
#[error("the request was withdrawn before it was sent")]
pub(crate) struct Withdrawn;

impl Departure {
    /// Keeps the body back. Whether that is possible: nothing of it has left.
    pub(crate) fn withdraw(&self) -> bool {
        self.become_now(WITHDRAWN)
    }

    /// Lets the body go. Whether it may.
    fn leave(&self) -> bool {
        self.become_now(LEFT)
    }

    fn become_now(&self, state: u8) -> bool {
        let before = self.0.compare_exchange(WAITS, state, Ordering::AcqRel, Ordering::Acquire);
        before.map_or_else(|already| already == state, |_| true)
    }
}

impl Payload {
    pub(crate) fn new(bytes: Full<Bytes>) -> (Self, Departure) {
        let departure = Departure::default();
        if bytes.is_end_stream() {
            // A head alone, for which nobody would ask here.
            departure.leave();
        }
        (Self { bytes, departure: departure.clone() }, departure)
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Withdrawn;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Withdrawn>>> {
        if !self.departure.leave() {
            return Poll::Ready(Some(Err(Withdrawn)));
        }
        Pin::new(&mut self.bytes).poll_frame(cx).map_err(|never| match never {})
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.bytes.size_hint()
    }
}

fn add_file(
    roots: &mut rustls::RootCertStore,
    path: &Path,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut added = 0;
    for certificate in CertificateDer::pem_file_iter(path)? {
        roots.add(certificate?)?;
        added += 1;
    }
    if added == 0 { Err("the file has no CERTIFICATE block".into()) } else { Ok(()) }
}

/// A connector with one limit on all of connecting: name, TCP and TLS.
#[derive(Clone)]
pub(crate) struct Patient<C> {
    inner: C,
    limit: Duration,
}

impl<C> Service<Uri> for Patient<C>
where
    C: Service<Uri>,
    C::Future: Send + 'static,
    C::Response: 'static,
    C::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = C::Response;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.inner.call(uri);
        let limit = self.limit;
        Box::pin(async move {
            match tokio::time::timeout(limit, connecting).await {
                Ok(connected) => connected.map_err(Into::into),
                Err(_) => Err(format!("no connection within {limit:?}").into()),
            }
        })
    }
}

/// The TLS provider, installed once per process before the first channel is built.
pub fn install_tls_provider() {
    // A second call in one process (tests, the demo) finds it installed: that is the wanted state.
    let _ = Arc::new(rustls::crypto::aws_lc_rs::default_provider()).as_ref().clone().install_default();
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn a_body_leaves_or_is_withdrawn_and_never_both() {
        let (mut body, departure) = Payload::new(Full::from("{}"));
        assert_eq!(body.size_hint().exact(), Some(2));
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "{}");
        assert!(!departure.withdraw() && !departure.withdraw(), "it has left");

        let (mut body, departure) = Payload::new(Full::from("{}"));
        assert!(departure.withdraw() && departure.withdraw());
        assert!(body.frame().await.unwrap().is_err(), "it would be sent after all");
    }

    #[tokio::test]
    async fn a_head_alone_counts_as_sent() {
        let (body, departure) = Payload::new(Full::default());
        assert!(body.is_end_stream() && !departure.withdraw());
    }
}
