//! Credentials for AWS: those that the channel names, or those that AWS's own chain finds (environment, profile, web
//! identity, container, instance), fetched anew before they end.

use std::time::{Duration, SystemTime};

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
    kept: Mutex<Option<Credentials>>,
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
        let chain = Chain { region: region.to_owned(), found: OnceCell::new(), kept: Mutex::new(None) };
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
        if let Some(credentials) = kept.as_ref().filter(|found| holds(found, now)) {
            return Ok(credentials.clone());
        }
        let chain = self
            .found
            .get_or_init(|| async {
                DefaultCredentialsChain::builder().region(Region::new(self.region.clone())).build().await
            })
            .await;
        let found = chain.provide_credentials().await.map_err(|error| {
            let why = crate::answer::causes(&error);
            format!("AWS's credential chain finds no credentials: {why}")
        })?;
        Ok(kept.insert(found).clone())
    }
}

fn holds(credentials: &Credentials, now: SystemTime) -> bool {
    credentials.expiry().is_none_or(|end| now + MARGIN < end)
}
