//! A certificate that nobody else vouches for, kept in the data directory so that clients need to be told once.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use steelyard_core::Clock;
use steelyard_store::DataDir;

use super::{TlsError, certified, is_name};

/// How long it holds. Clients refuse certificates that hold for more than a few years.
const LIFE: Duration = Duration::from_hours(365 * 24);
/// So long before its end another is made.
const RENEWAL: Duration = Duration::from_hours(30 * 24);
/// So long before it was made it begins: other machines' clocks may be behind.
const LEEWAY: Duration = Duration::from_hours(24);

/// What a self-signed certificate is made for, and where it is kept.
#[derive(Debug, Clone)]
pub struct SelfSigned {
    dir: DataDir,
    names: Vec<String>,
    clock: Clock,
}

impl SelfSigned {
    /// For `localhost`, the addresses of the loopback, this machine's name and `more`.
    pub fn new(dir: DataDir, more: &[String], clock: Clock) -> Self {
        let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let own = ["localhost", "127.0.0.1", "::1", &machine];
        let mut names: Vec<String> = Vec::new();
        for name in own.into_iter().chain(more.iter().map(String::as_str)) {
            // A machine may be called something that no certificate can hold.
            if is_name(name) && !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        Self { dir, names, clock }
    }

    pub(super) fn files(&self) -> (PathBuf, PathBuf) {
        self.dir.certificate()
    }

    /// Makes certificate and key, unless those that are there will do for some time.
    pub(super) fn prepare(&self) -> Result<(), TlsError> {
        if self.will_do() {
            return Ok(());
        }
        let made = self.make().map_err(TlsError::Make)?;
        let (cert, key) = self.files();
        // The certificate comes last: without it, or with one that the key does not fit, both are made anew.
        self.dir.write_private(&key, &made.1)?;
        self.dir.write_private(&cert, &made.0)?;
        tracing::info!(tls.certificate = %cert.display(), "a self-signed TLS certificate was made");
        Ok(())
    }

    /// Whether a client that trusts the certificate would take it for every name, now and until the next is due.
    fn will_do(&self) -> bool {
        let (cert, key) = self.files();
        let (Ok(cert_text), Ok(key_text)) = (std::fs::read(&cert), std::fs::read(&key)) else { return false };
        let text = super::Text { cert: cert_text, key: key_text };
        let Ok(certified) = certified(&text, &cert, &key) else { return false };
        [Duration::ZERO, RENEWAL].into_iter().all(|ahead| self.holds(&certified, ahead))
    }

    fn holds(&self, certified: &CertifiedKey, ahead: Duration) -> bool {
        let [only] = certified.cert.as_slice() else { return false };
        let mut roots = RootCertStore::empty();
        if roots.add(only.clone()).is_err() {
            return false;
        }
        let provider = Arc::new(default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let Ok(verifier) = verifier else { return false };
        let seconds = u64::try_from(self.clock.now().plus(ahead).seconds()).unwrap_or(0);
        let then = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        self.names.iter().all(|name| {
            let name = ServerName::try_from(name.as_str());
            name.is_ok_and(|name| verifier.verify_server_cert(only, &[], &name, &[], then).is_ok())
        })
    }

    /// Certificate and key, as PEM.
    fn make(&self) -> Result<(String, String), rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(self.names.clone())?;
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        let now = Duration::from_secs(u64::try_from(self.clock.now().seconds()).unwrap_or(0));
        params.not_before = epoch + now.saturating_sub(LEEWAY);
        params.not_after = epoch + now + LIFE;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "Steelyard, self-signed");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.self_signed(&key)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }
}
