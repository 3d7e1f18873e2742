//! TLS towards clients: the certificate that is shown, and where it comes from.
//!
//! Constraints: a certificate is taken whole, with a key that fits, or not at all; a bad one leaves the one in force;
//! what a connection was begun with, it keeps. No message holds a byte of a key.

mod self_signed;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ResolvesServerCert, ServerConfig};
use rustls::sign::CertifiedKey;
use steelyard_store::StoreError;
use tokio_rustls::TlsAcceptor;

pub use self_signed::SelfSigned;

/// Where the certificate comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// Two PEM files that somebody else looks after.
    Files {
        /// The certificate, then those between it and an authority.
        cert: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
    /// Made here.
    SelfSigned(SelfSigned),
}

/// Why there is no certificate to show.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("the {what} {} cannot be read", path.display())]
    Read {
        /// `certificate` or `key`.
        what: &'static str,
        /// Its path.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("the {what} {} cannot be used: {why}", path.display())]
    Unusable {
        /// `certificate` or `key`.
        what: &'static str,
        /// Its path.
        path: PathBuf,
        /// What is wrong with it, and what it should be.
        why: String,
    },
    /// Each file is well by itself.
    #[error("the key {} does not belong to the certificate {}: give the two that were made together", key.display(), cert.display())]
    Mismatch {
        /// The certificate's path.
        cert: PathBuf,
        /// The key's path.
        key: PathBuf,
    },
    /// A self-signed certificate could not be made.
    #[error("no self-signed certificate could be made")]
    Make(#[source] rcgen::Error),
    /// A self-signed certificate could not be kept.
    #[error(transparent)]
    Keep(#[from] StoreError),
}

/// The certificate in force, and the way to the next.
#[derive(Debug, Clone)]
pub struct Certificates {
    source: Source,
    shown: Arc<Shown>,
    /// What was read last, whether it could be used or not.
    seen: Option<Text>,
}

/// What handshakes show.
#[derive(Debug)]
struct Shown(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // Whatever name is asked for: there is one certificate, and the client judges it.
        Some(self.0.load_full())
    }
}

/// The two files as they are.
#[derive(Clone, PartialEq, Eq)]
struct Text {
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} and {} bytes", self.cert.len(), self.key.len())
    }
}

impl Certificates {
    /// Reads the certificate, or makes it.
    pub fn open(source: Source) -> Result<Self, TlsError> {
        source.prepare()?;
        let text = source.read()?;
        let shown = Arc::new(Shown(ArcSwap::new(Arc::new(source.certified(&text)?))));
        Ok(Self { source, shown, seen: Some(text) })
    }

    /// The file that clients of a self-signed certificate must trust; none for one that was given.
    pub fn to_be_trusted(&self) -> Option<PathBuf> {
        match &self.source {
            Source::Files { .. } => None,
            Source::SelfSigned(own) => Some(own.files().0),
        }
    }

    /// What a listener accepts connections with: HTTP/2 if the client offers it, else HTTP/1.1.
    pub fn acceptor(&self) -> TlsAcceptor {
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.shown) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }

    /// Shows every new certificate from the moment it can be used; says in the log what is wrong with others. Ends
    /// when it is dropped.
    pub async fn follow(mut self) {
        let period = match &self.source {
            Source::Files { .. } => Duration::from_secs(1),
            // It changes by its age alone.
            Source::SelfSigned(_) => Duration::from_hours(1),
        };
        loop {
            tokio::time::sleep(period).await;
            // The files may be on a slow mount, so the runtime's own threads do not read them.
            let looked = tokio::task::spawn_blocking(move || {
                let outcome = self.look();
                (self, outcome)
            });
            let Ok((same, outcome)) = looked.await else { return };
            self = same;
            match outcome {
                Ok(false) => {}
                Ok(true) => tracing::info!("the new TLS certificate is in force"),
                Err(error) => {
                    let source = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::error!(
                        error = %error,
                        error.source = source,
                        "the TLS certificate cannot be taken: the old one stays in force"
                    );
                }
            }
        }
    }

    /// Whether another certificate is shown than before. What is wrong with a file is said once.
    fn look(&mut self) -> Result<bool, TlsError> {
        self.source.prepare()?;
        let text = match self.source.read() {
            Ok(text) => Some(text),
            // Said when it began.
            Err(_) if self.seen.is_none() => return Ok(false),
            Err(error) => {
                self.seen = None;
                return Err(error);
            }
        };
        if text == self.seen {
            return Ok(false);
        }
        // The two files are replaced one after the other: the second gets a moment to follow.
        std::thread::sleep(Duration::from_millis(200));
        let text = self.source.read()?;
        let certified = self.source.certified(&text);
        self.seen = Some(text);
        self.shown.0.store(Arc::new(certified?));
        Ok(true)
    }
}

impl Source {
    fn files(&self) -> (PathBuf, PathBuf) {
        match self {
            Self::Files { cert, key } => (cert.clone(), key.clone()),
            Self::SelfSigned(own) => own.files(),
        }
    }

    fn prepare(&self) -> Result<(), TlsError> {
        match self {
            Self::Files { .. } => Ok(()),
            Self::SelfSigned(own) => own.prepare(),
        }
    }

    fn read(&self) -> Result<Text, TlsError> {
        let (cert, key) = self.files();
        Ok(Text { cert: read("certificate", &cert)?, key: read("key", &key)? })
    }

    fn certified(&self, text: &Text) -> Result<CertifiedKey, TlsError> {
        let (cert, key) = self.files();
        certified(text, &cert, &key)
    }
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read { what, path: path.to_owned(), source })
}

/// The certificate with its key, checked against each other.
fn certified(text: &Text, cert: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let unusable = |what, path: &Path, why| TlsError::Unusable { what, path: path.to_owned(), why };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text.cert).collect();
    let chain = chain.map_err(|error| unusable("certificate", cert, format!("it is not PEM ({error})")))?;
    if chain.is_empty() {
        let why = "it is not PEM with a block `BEGIN CERTIFICATE`".to_owned();
        return Err(unusable("certificate", cert, why));
    }
    let private = PrivateKeyDer::from_pem_slice(&text.key).map_err(|error| {
        let why = match error {
            pem::Error::NoItemsFound => {
                "it is not PEM with a block `BEGIN PRIVATE KEY`, and none that is encrypted is read"
                    .to_owned()
            }
            error => format!("it is not PEM ({error})"),
        };
        unusable("key", key, why)
    })?;
    let provider = CryptoProvider::get_default().cloned();
    let provider = provider.unwrap_or_else(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let signer = provider
        .key_provider
        .load_private_key(private)
        .map_err(|error| unusable("key", key, format!("it is no RSA, ECDSA or Ed25519 key ({error})")))?;
    let certified = CertifiedKey::new(chain, signer);
    match certified.keys_match() {
        // Unknown: the key does not say to which certificate it belongs.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(TlsError::Mismatch { cert: cert.to_owned(), key: key.to_owned() })
        }
        Err(error) => Err(unusable("certificate", cert, error.to_string())),
    }
}

/// Whether a certificate can hold for it: a host name or an address.
pub fn is_name(text: &str) -> bool {
    ServerName::try_from(text).is_ok()
}

#[cfg(test)]
mod tests;
