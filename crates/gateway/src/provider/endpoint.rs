//! What every HTTP provider is built from: its address, its headers, its secret and its pool of connections.

use std::collections::BTreeMap;

use http::header::{ACCEPT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};
use secrecy::{ExposeSecret, SecretString};

use crate::client::{self, HttpClient};
use crate::provider::ChannelError;
use crate::spec::{ChannelSpec, SecretRef, Secrets};

/// What a path segment carries as it is (RFC 3986, "unreserved"): for a model's name in an address.
pub(super) const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A value of the operator's own headers that has as many bytes is taken for a secret.
const SHORTEST_SECRET: usize = 8;

/// The parts of one channel.
pub(super) struct Parts<'a> {
    spec: &'a ChannelSpec,
    secrets: &'a Secrets,
}

impl<'a> Parts<'a> {
    pub(super) fn new(spec: &'a ChannelSpec, secrets: &'a Secrets) -> Self {
        Self { spec, secrets }
    }

    /// A value of the declaration that cannot be used.
    pub(super) fn wrong(&self, field: &'static str, value: &str, problem: &'static str) -> ChannelError {
        ChannelError::Field { channel: self.spec.name.clone(), field, value: value.to_owned(), problem }
    }

    /// `path` at the base URL.
    pub(super) fn url(&self, base: &str, path: &str) -> Result<Uri, ChannelError> {
        self.url_of("base_url", base, path)
    }

    /// `path` at an address that another field gives.
    pub(super) fn url_of(&self, field: &'static str, base: &str, path: &str) -> Result<Uri, ChannelError> {
        let url = format!("{}{path}", base.trim_end_matches('/'));
        url.parse::<Uri>()
            .ok()
            .filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some())
            .ok_or_else(|| self.wrong(field, base, "is not a URL that begins with http:// or https://"))
    }

    /// The headers of every request.
    #[expect(clippy::unused_self, reason = "one value to build a provider from")]
    pub(super) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // The relay forwards frames as they are, so they must not be compressed.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers
            .insert(USER_AGENT, HeaderValue::from_static(concat!("steelyard/", env!("CARGO_PKG_VERSION"))));
        headers
    }

    /// The API key, fetched.
    pub(super) fn api_key(&self) -> Result<Option<SecretString>, ChannelError> {
        self.spec.api_key.as_ref().map(|key| self.fetch("api_key", key)).transpose()
    }

    /// A field's secret, fetched.
    pub(super) fn fetch(
        &self,
        field: &'static str,
        secret: &SecretRef,
    ) -> Result<SecretString, ChannelError> {
        secret.resolve(self.secrets).map_err(|source| ChannelError::Secret {
            channel: self.spec.name.clone(),
            field,
            source,
        })
    }

    /// A header that holds a secret.
    pub(super) fn secret(&self, scheme: &str, key: &SecretString) -> Result<HeaderValue, ChannelError> {
        let mut value = HeaderValue::from_str(&format!("{scheme}{}", key.expose_secret()))
            .map_err(|_| self.wrong("api_key", "", "holds characters that no header can carry"))?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// A header's value.
    pub(super) fn value(&self, field: &'static str, value: &str) -> Result<HeaderValue, ChannelError> {
        HeaderValue::from_str(value).map_err(|_| self.wrong(field, value, "cannot be sent as a header"))
    }

    /// The headers that the operator adds.
    pub(super) fn add_own(&self, headers: &mut HeaderMap) -> Result<(), ChannelError> {
        let own: &BTreeMap<String, String> = &self.spec.headers;
        for (name, value) in own {
            let header = HeaderName::try_from(name.as_str())
                .map_err(|_| self.wrong("headers", name, "is not a header name"))?;
            let mut value = HeaderValue::from_str(value)
                .map_err(|_| self.wrong("headers", name, "has a value that no header can carry"))?;
            // Many a proxy is let in by a header of its own; which it is nobody says.
            value.set_sensitive(value.len() >= SHORTEST_SECRET);
            headers.insert(header, value);
        }
        Ok(())
    }

    /// A client with a pool of its own.
    pub(super) fn client(&self, address: &Uri) -> Result<HttpClient, ChannelError> {
        let tls = address.scheme_str() == Some("https");
        client::build(tls, self.spec.ca_file.as_deref(), self.spec.timeouts.connect.0)
            .map_err(|source| ChannelError::Client { channel: self.spec.name.clone(), source })
    }
}
