//! Tokens of Microsoft Entra, by an application's own secret.
//!
//! Sources: Microsoft's "OAuth 2.0 client credentials flow on the Microsoft identity platform", first case (a shared
//! secret), and RFC 6749, sections 4.4 and 5.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Method, Uri};
use http_body_util::{BodyExt, Full, Limited};
use percent_encoding::utf8_percent_encode;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use steelyard_core::Timestamp;

use crate::answer::causes;
use crate::client::{HttpClient, Payload};
use crate::mask::without;
use crate::provider::ChannelError;
use crate::provider::endpoint::{Parts, SEGMENT};
use crate::provider::kept::{Kept, Lent};
use crate::spec::EntraSpec;

const AUTHORITY: &str = "https://login.microsoftonline.com";
const SCOPE: &str = "https://cognitiveservices.azure.com/.default";
/// An answer larger than this holds no token.
const MAX_ANSWER: usize = 64 << 10;
/// So many characters of an error go into the log.
const MAX_SAID: usize = 400;

/// An application that asks for tokens.
pub(super) struct Entra {
    address: Uri,
    client_id: String,
    secret: SecretString,
    scope: String,
    client: HttpClient,
    kept: Kept<HeaderValue>,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    /// Seconds.
    expires_in: u64,
}

#[derive(Deserialize)]
struct Refused {
    error: String,
    #[serde(default)]
    error_description: String,
}

impl Entra {
    pub(super) fn build(parts: &Parts<'_>, spec: &EntraSpec) -> Result<Self, ChannelError> {
        for (field, value) in [("entra.tenant", &spec.tenant), ("entra.client_id", &spec.client_id)] {
            if value.trim().is_empty() {
                return Err(parts.wrong(field, value, "is empty: give the one that Microsoft Entra shows"));
            }
        }
        let authority = spec.authority.as_deref().unwrap_or(AUTHORITY).trim_end_matches('/');
        let tenant = utf8_percent_encode(&spec.tenant, SEGMENT);
        let address = parts.url_of("entra.authority", authority, &format!("/{tenant}/oauth2/v2.0/token"))?;
        let client = parts.client(&address)?;
        Ok(Self {
            address,
            client_id: spec.client_id.clone(),
            secret: parts.fetch("entra.client_secret", &spec.client_secret)?,
            scope: spec.scope.clone().unwrap_or_else(|| SCOPE.to_owned()),
            client,
            kept: Kept::default(),
        })
    }

    /// A token that holds at `now`, as a header. Text: why there is none.
    pub(super) async fn token(&self, now: Timestamp) -> Result<HeaderValue, String> {
        let token = self.kept.get(now, || self.ask(now)).await;
        token.map_err(|why| format!("Microsoft Entra gives application {} no token: {why}", self.client_id))
    }

    /// The vendor has refused the token that was at hand at `since`: whether another is to be had.
    pub(super) async fn renew(&self, since: Instant) -> bool {
        self.kept.refused(since).await
    }

    async fn ask(&self, now: Timestamp) -> Result<Lent<HeaderValue>, String> {
        let question = self.question().map(|form| Payload::new(form).0);
        let response = self.client.request(question).await.map_err(|error| causes(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|error| format!("its answer cannot be read: {error}"))?.to_bytes();
        if !status.is_success() {
            return Err(match serde_json::from_slice::<Refused>(&body) {
                Ok(refused) => said(&refused, self.secret.expose_secret()),
                Err(_) => format!("it answers with status {}", status.as_u16()),
            });
        }
        // What the answer holds must not be shown, so neither is what is wrong with it.
        let granted: Granted =
            serde_json::from_slice(&body).map_err(|_| "its answer holds no token".to_owned())?;
        let mut value = HeaderValue::try_from(format!("Bearer {}", granted.access_token))
            .map_err(|_| "its token holds characters that no header can carry".to_owned())?;
        value.set_sensitive(true);
        Ok(Lent { value, ends: Some(now.plus(Duration::from_secs(granted.expires_in))) })
    }

    fn question(&self) -> http::Request<Full<Bytes>> {
        let encoded = |text| utf8_percent_encode(text, SEGMENT);
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}&scope={}",
            encoded(&self.client_id),
            encoded(self.secret.expose_secret()),
            encoded(&self.scope),
        );
        let mut request = http::Request::new(Full::new(form.into()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.address.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        request
    }
}

/// The first line of what Entra says, without the secret; the others are a trace and a time.
fn said(refused: &Refused, secret: &str) -> String {
    let line = refused.error_description.lines().next().unwrap_or_default();
    let said = without(format!("{}: {line}", refused.error), secret);
    said.chars().take(MAX_SAID).collect()
}
