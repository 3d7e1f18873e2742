//! The one error that reaches a caller, and its closed list of codes.
//!
//! A library below the edge has its own error enum; at the edge it becomes an [`ApiError`], which the caller's
//! dialect renders. `public` is for the caller and never holds a secret; `source` is for the log.

use std::fmt;
use std::time::Duration;

/// What sort of failure it is, from which each dialect derives its status and its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The caller's request is wrong.
    InvalidRequest,
    /// No credential, or a wrong one.
    Unauthenticated,
    /// A good credential that may not do this.
    Forbidden,
    /// Nothing there by that name.
    NotFound,
    /// Another state than the caller assumed.
    Conflict,
    /// The body is larger than allowed.
    TooLarge,
    /// The request line and the headers are larger than allowed.
    HeadTooLarge,
    /// The body is not in a form that can be read.
    UnsupportedMedia,
    /// The caller was too slow to send the request.
    RequestTimeout,
    /// Too many calls, here or at the vendor.
    RateLimited,
    /// The vendor failed or answered what cannot be used.
    Upstream,
    /// The vendor did not answer in time.
    UpstreamTimeout,
    /// Steelyard cannot take the call now, or the vendor cannot.
    Unavailable,
    /// A defect of Steelyard.
    Internal,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $code:literal $kind:ident $slug:literal,)*) => {
        /// Every error a caller can get. Each has a page in `docs/errors/`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode { $($(#[$doc])* $variant,)* }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable code, `SY0001`.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// The stable word, for dialects whose `code` is one (`model_not_found`).
            pub const fn slug(self) -> &'static str {
                match self { $(Self::$variant => $slug,)* }
            }

            /// The sort of failure.
            pub const fn kind(self) -> ErrorKind {
                match self { $(Self::$variant => ErrorKind::$kind,)* }
            }
        }
    };
}

codes! {
    /// The body is not JSON.
    MalformedJson = "SY0001" InvalidRequest "invalid_json",
    /// A field has a value that cannot be used.
    InvalidField = "SY0002" InvalidRequest "invalid_value",
    /// A required field is absent.
    MissingField = "SY0003" InvalidRequest "missing_required_parameter",
    /// The body exceeds `server.max_body`.
    BodyTooLarge = "SY0004" TooLarge "request_too_large",
    /// The content type is not one the path takes.
    UnsupportedContentType = "SY0005" UnsupportedMedia "unsupported_content_type",
    /// The content encoding cannot be decoded.
    UnsupportedEncoding = "SY0006" UnsupportedMedia "unsupported_encoding",
    /// No such path.
    UnknownPath = "SY0007" NotFound "unknown_url",
    /// The path exists, the method does not.
    MethodNotAllowed = "SY0008" InvalidRequest "method_not_allowed",
    /// The request body did not arrive in time.
    RequestTimeout = "SY0009" RequestTimeout "request_timeout",
    /// The caller broke off while sending the body.
    IncompleteBody = "SY0010" InvalidRequest "incomplete_body",
    /// The request line and the headers are too large.
    HeadTooLarge = "SY0011" HeadTooLarge "head_too_large",
    /// The request line or a header cannot be read.
    MalformedHead = "SY0012" InvalidRequest "malformed_head",

    /// No credential was sent.
    MissingCredential = "SY0101" Unauthenticated "missing_api_key",
    /// The credential is unknown or revoked.
    InvalidCredential = "SY0102" Unauthenticated "invalid_api_key",
    /// The key has expired.
    ExpiredKey = "SY0103" Unauthenticated "expired_api_key",
    /// Only the admin key may do this.
    AdminOnly = "SY0104" Forbidden "insufficient_permissions",
    /// The header of an AWS signature cannot be read, or says too little.
    IncompleteSignature = "SY0105" Unauthenticated "incomplete_signature",
    /// The AWS signature is not that of this request with this secret.
    SignatureMismatch = "SY0106" Unauthenticated "invalid_signature",
    /// The AWS signature was made too long ago, or in the future.
    SignatureExpired = "SY0107" Unauthenticated "expired_signature",

    /// No route, offer or model by that name.
    UnknownModel = "SY0201" NotFound "model_not_found",
    /// The model exists, but none of its channels can serve this endpoint.
    UnsupportedEndpoint = "SY0202" InvalidRequest "unsupported_endpoint",
    /// Strict mode: the target cannot express a field of the request.
    Loss = "SY0203" InvalidRequest "unsupported_parameter",

    /// No connection to the vendor.
    UpstreamUnreachable = "SY0301" Upstream "upstream_unreachable",
    /// The vendor did not answer in time.
    UpstreamTimeout = "SY0302" UpstreamTimeout "upstream_timeout",
    /// The vendor refused Steelyard's own credentials.
    UpstreamCredentials = "SY0303" Upstream "upstream_credentials",
    /// The vendor failed.
    UpstreamFailed = "SY0304" Upstream "upstream_error",
    /// The vendor's reply cannot be read.
    UpstreamGarbage = "SY0305" Upstream "upstream_invalid_reply",
    /// The vendor's reply broke off.
    UpstreamCut = "SY0306" Upstream "upstream_incomplete_reply",
    /// The vendor limits our rate.
    UpstreamRateLimited = "SY0307" RateLimited "rate_limit_exceeded",
    /// The vendor refused the request as wrong.
    UpstreamRefused = "SY0308" InvalidRequest "upstream_refused",
    /// Every target has failed so often that it is not tried for a while.
    CircuitOpen = "SY0309" Unavailable "no_healthy_target",
    /// The prompt is longer than the vendor's model takes.
    ContextTooLong = "SY0310" InvalidRequest "context_length_exceeded",
    /// The vendor is overloaded.
    UpstreamOverloaded = "SY0311" Unavailable "upstream_overloaded",
    /// The request is larger than the vendor takes.
    UpstreamTooLarge = "SY0312" TooLarge "upstream_request_too_large",

    /// The ledger cannot take a record, so no call is made.
    LedgerUnavailable = "SY0401" Unavailable "ledger_unavailable",
    /// The server is shutting down.
    Draining = "SY0402" Unavailable "shutting_down",
    /// The database does not answer.
    StoreUnavailable = "SY0403" Unavailable "store_unavailable",

    /// A resource by that name exists.
    AlreadyExists = "SY0501" Conflict "already_exists",
    /// No such resource.
    UnknownResource = "SY0502" NotFound "not_found",
    /// Something else is declared with it.
    InUse = "SY0503" Conflict "in_use",

    /// The answer that a call goes on from is not stored, or no longer.
    PreviousResponse = "SY0504" InvalidRequest "previous_response_not_found",
    /// Another call of the conversation is under way.
    ConversationBusy = "SY0505" InvalidRequest "conversation_locked",

    /// A defect of Steelyard.
    Internal = "SY0900" Internal "internal_error",
}

/// An error for a caller.
#[derive(Debug)]
pub struct ApiError {
    /// Which one.
    pub code: ErrorCode,
    /// What the caller reads: names the value, the place and the remedy; holds no secret.
    pub public: String,
    /// The field at fault, as the caller wrote it.
    pub param: Option<String>,
    /// When to try again.
    pub retry_after: Option<Duration>,
    /// Asking again is charged again: clients that can be told so are told not to do it by themselves.
    pub charged: bool,
    /// What happened underneath, for the log.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl ApiError {
    /// An error with its public text.
    pub fn new(code: ErrorCode, public: impl Into<String>) -> Self {
        Self { code, public: public.into(), param: None, retry_after: None, charged: false, source: None }
    }

    /// Names the field at fault.
    #[must_use]
    pub fn with_param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Says when to try again.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    /// Says that the call was charged all the same.
    #[must_use]
    pub fn but_charged(mut self) -> Self {
        self.charged = true;
        self
    }

    /// Keeps the cause for the log.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The sort of failure.
    pub fn kind(&self) -> ErrorKind {
        self.code.kind()
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.code(), self.public)
    }
}

impl std::error::Error for ApiError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_slugs_are_unique() {
        for (index, code) in ErrorCode::ALL.iter().enumerate() {
            for other in &ErrorCode::ALL[index + 1..] {
                assert_ne!(code.code(), other.code());
                assert_ne!(code.slug(), other.slug());
            }
        }
    }
}
