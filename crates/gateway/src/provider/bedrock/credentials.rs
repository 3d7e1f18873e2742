//! Credentials for AWS: those that the channel names, or those that AWS's own chain finds (environment, profile, web
//! identity, container, instance), fetched anew before they end.

use std::time::{Duration, Instant, SystemTime};

use aws_config::Region;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use secrecy::ExposeSecret;
use steelyard_core::Timestamp;
use tokio::sync::{Mutex, OnceCell};

use crate::provider::ChannelError;
use crate::provider::endpoint::Parts;
use crate::spec::CredentialsSpec;

/// So long before their end credentials are fetched anew.
const MARGIN: Duration = Duration::from_mins(5);

/// The chain's sources may hang: a machine's own address that answers nowhere else, an endpoint that says nothing.
const PATIENCE: Duration = Duration::from_secs(10);

/// So long after the chain has failed nobody asks it again: those who wait in line would each wait as long.
const REST: Duration = Duration::from_secs(5);

/// Where credentials come from.
pub(super) enum Source {
    /// From the channel's declaration.
    Given(Credentials),
    /// From AWS's chain.
    Chain(Box<Chain>),
}

/// AWS's chain, asked when the first call needs it: what it asks may be slow, or not there at all.
pub(super) struct Chain {
    region: String,
    found: OnceCell<DefaultCredentialsChain>,
    kept: Mutex<Kept>,
}

/// What the chain said last.
#[derive(Default)]
struct Kept {
    found: Option<Credentials>,
    failed: Option<(String, Instant)>,
}

impl Source {
    pub(super) fn given(parts: &Parts<'_>, spec: &CredentialsSpec) -> Result<Self, ChannelError> {
        let id = parts.fetch(&spec.access_key_id)?;
        let secret = parts.fetch(&spec.secret_access_key)?;
        let token = spec.session_token.as_ref().map(|token| parts.fetch(token)).transpose()?;
        Ok(Self::Given(Credentials::new(
            id.expose_secret(),
            secret.expose_secret(),
            token.map(|token| token.expose_secret().to_owned()),
            None,
            "steelyard configuration",
        )))
    }

    pub(super) fn chain(region: &str) -> Self {
        let chain = Chain { region: region.to_owned(), found: OnceCell::new(), kept: Mutex::default() };
        Self::Chain(Box::new(chain))
    }

    /// Credentials that hold at `now`. Text: why there are none.
    pub(super) async fn credentials(&self, now: Timestamp) -> Result<Credentials, String> {
        match self {
            Self::Given(credentials) => Ok(credentials.clone()),
            Self::Chain(chain) => chain.credentials(now).await,
        }
    }
}

impl Chain {
    async fn credentials(&self, now: Timestamp) -> Result<Credentials, String> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_micros(u64::try_from(now.0).unwrap_or_default());
        // One at a time: others wait for its answer instead of asking too.
        let mut kept = self.kept.lock().await;
        if let Some(found) = kept.found.as_ref().filter(|found| holds(found, now + MARGIN)) {
            return Ok(found.clone());
        }
        let failed = kept.failed.as_ref().filter(|(_, at)| at.elapsed() < REST);
        let why = if let Some((why, _)) = failed {
            why.clone()
        } else {
            let asked = tokio::time::timeout(PATIENCE, self.ask()).await;
            match asked.unwrap_or_else(|_| Err(format!("it says nothing within {PATIENCE:?}"))) {
                Ok(found) => {
                    *kept = Kept { found: Some(found.clone()), failed: None };
                    return Ok(found);
                }
                Err(why) => {
                    let why = format!("AWS's credential chain finds no credentials: {why}");
                    kept.failed = Some((why.clone(), Instant::now()));
                    why
                }
            }
        };
        // Those that are about to end still serve.
        kept.found.clone().filter(|found| holds(found, now)).ok_or(why)
    }

    /// Asks the chain. Text: why it has none.
    async fn ask(&self) -> Result<Credentials, String> {
        let chain = self
            .found
            .get_or_init(|| async {
                DefaultCredentialsChain::builder().region(Region::new(self.region.clone())).build().await
            })
            .await;
        chain.provide_credentials().await.map_err(|error| crate::answer::causes(&error))
    }
}

fn holds(credentials: &Credentials, now: SystemTime) -> bool {
    credentials.expiry().is_none_or(|end| now < end)
}
