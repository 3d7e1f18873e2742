//! AWS Signature Version 4, from the side that checks it: whether a request of a Bedrock client was signed with
//! the secret of the key that it names.
//!
//! Constraints:
//! - The request is read exactly as it arrived: the raw path (never decoded, never normalised, with any prefix that
//!   routing strips), the raw query, the header map before anything is added, removed or rewritten, and the body
//!   before it is decompressed. AWS's clients sign `host`, and some `accept-encoding` and `content-length`.
//! - Nothing that a stranger sends makes this panic or costs more than its own length.
//! - No message holds the secret, or the signature that would have been right.
//!
//! Source: "AWS Signature Version 4 for API requests" in AWS's IAM user guide, and what botocore and the
//! JavaScript SDK really send, which is in `fixtures/sigv4`.

mod canonical;
mod error;
mod header;
mod key;
mod time;
mod verify;

pub use error::SigV4Error;
pub use header::{Scope, Signature, parse};
pub use key::SigningKey;

use http::{HeaderMap, Method};

/// A request as it arrived.
#[derive(Clone, Copy)]
pub struct SignedRequest<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path as it was on the wire, not decoded.
    pub path: &'a str,
    /// The query as it was on the wire, without its `?`.
    pub query: Option<&'a str>,
    /// `:authority` of HTTP/2, or the authority of an absolute URI.
    pub authority: Option<&'a str>,
    /// Every header, untouched.
    pub headers: &'a HeaderMap,
}

impl<'a> SignedRequest<'a> {
    /// From the head of a request whose URI no router has rewritten.
    pub fn of(head: &'a http::request::Parts) -> Self {
        Self {
            method: &head.method,
            path: head.uri.path(),
            query: head.uri.query(),
            authority: head.uri.authority().map(http::uri::Authority::as_str),
            headers: &head.headers,
        }
    }

    /// What the client called this server: `Host`, or what HTTP/2 has in its place.
    fn host(&self) -> Option<&'a [u8]> {
        let header = self.headers.get(http::header::HOST).map(http::HeaderValue::as_bytes);
        header.or_else(|| self.authority.map(str::as_bytes))
    }
}

#[cfg(test)]
mod tests;
