//! Credentials for AWS: those that the channel names, or those that AWS's own chain finds (environment, profile, web
//! identity, container, instance), fetched anew before they end.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use aws_config::Region;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use secrecy::ExposeSecret;
use steelyard_core::Timestamp;
use tokio::sync::OnceCell;

use crate::provider::ChannelError;
use crate::provider::endpoint::Parts;
use crate::provider::kept::{Kept, Lent};
use crate::spec::CredentialsSpec;

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
    kept: Kept<Credentials>,
}

impl Source {
    pub(super) fn given(parts: &Parts<'_>, spec: &CredentialsSpec) -> Result<Self, ChannelError> {
        let id = parts.fetch("credentials.access_key_id", &spec.access_key_id)?;
        let secret = parts.fetch("credentials.secret_access_key", &spec.secret_access_key)?;
        let token = spec.session_token.as_ref();
        let token = token.map(|token| parts.fetch("credentials.session_token", token)).transpose()?;
        Ok(Self::Given(Credentials::new(
            id.expose_secret(),
            secret.expose_secret(),
            token.map(|token| token.expose_secret().to_owned()),
            None,
            "steelyard configuration",
        )))
    }

    pub(super) fn chain(region: &str) -> Self {
        let chain = Chain { region: region.to_owned(), found: OnceCell::new(), kept: Kept::default() };
        Self::Chain(Box::new(chain))
    }

    /// Credentials that hold at `now`. Text: why there are none.
    pub(super) async fn credentials(&self, now: Timestamp) -> Result<Credentials, String> {
        match self {
            Self::Given(credentials) => Ok(credentials.clone()),
            Self::Chain(chain) => chain.credentials(now).await,
        }
    }

    /// AWS has refused the credentials that were at hand at `since`: whether others are to be had.
    pub(super) async fn renew(&self, since: Instant) -> bool {
        match self {
            Self::Given(_) => false,
            Self::Chain(chain) => chain.kept.refused(since).await,
        }
    }
}

impl Chain {
    async fn credentials(&self, now: Timestamp) -> Result<Credentials, String> {
        let found = self.kept.get(now, || self.ask()).await;
        found.map_err(|why| format!("AWS's credential chain finds no credentials: {why}"))
    }

    /// Asks the chain. Text: why it has none.
    async fn ask(&self) -> Result<Lent<Credentials>, String> {
        let chain = self
            .found
            .get_or_init(|| async {
                DefaultCredentialsChain::builder().region(Region::new(self.region.clone())).build().await
            })
            .await;
        let found = chain.provide_credentials().await.map_err(|error| crate::answer::causes(&error))?;
        Ok(Lent { ends: found.expiry().map(timestamp), value: found })
    }
}

fn timestamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
