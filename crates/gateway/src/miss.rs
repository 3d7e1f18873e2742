//! Why an attempt brought nothing, and what the caller is told.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use steelyard_core::{ApiError, ErrorCode};
use steelyard_dialect::{Dialect, UpstreamFault};

use crate::account::Passed;
use crate::call::shutting_down;
use crate::offer::Offer;
use crate::provider::Failure;

/// Why an attempt brought nothing.
pub(crate) enum Miss {
    /// Nothing was sent.
    Unreachable(String),
    /// Nothing could be sent: the channel's credentials are not to be had.
    NoCredentials(String),
    /// The vendor refused.
    Status {
        failure: Failure,
        status: StatusCode,
        fault: Option<Box<UpstreamFault>>,
        body: Bytes,
        wire: Dialect,
    },
    /// The vendor went silent after the request was sent, or did not come to an end: which limit that was, how long it
    /// is, and what had come.
    Timeout(&'static str, Duration, Box<Passed>),
    /// The answer broke off or makes no sense.
    Broken { code: ErrorCode, why: String, passed: Box<Passed> },
    /// Steelyard shuts down and waits no longer.
    Shutdown,
    /// The target cannot take the request, and strict mode asks to say so; or the request is wrong.
    Refused(ApiError),
}

impl Miss {
    /// Whether no other target is asked: none would take the request either, or there is no time.
    pub(crate) fn ends_the_call(&self) -> bool {
        matches!(self, Self::Status { failure: Failure::Caller, .. } | Self::Refused(_) | Self::Shutdown)
    }

    /// Whether the vendor refuses what lets the channel in, which may have ended before its time.
    pub(crate) fn refuses_credentials(&self) -> bool {
        matches!(self, Self::Status { failure: Failure::Credentials, status, .. } if matches!(status.as_u16(), 401 | 403))
    }

    /// The vendor's own words, where the caller can use them: it speaks the vendor's wire.
    pub(crate) fn vendor(&self, client: Dialect) -> Option<(StatusCode, Bytes)> {
        match self {
            Self::Status {
                failure: Failure::Caller | Failure::NoModel | Failure::RateLimited(_),
                status,
                body,
                wire,
                ..
            } if client.is_relayed_over(*wire) => Some((*status, body.clone())),
            Self::Status { .. }
            | Self::Unreachable(_)
            | Self::NoCredentials(_)
            | Self::Timeout(..)
            | Self::Broken { .. }
            | Self::Shutdown
            | Self::Refused(_) => None,
        }
    }

    pub(crate) fn into_error(self, offer: &Offer) -> ApiError {
        let at = format!("channel `{}`", offer.channel.name);
        match self {
            Self::Unreachable(why) => {
                ApiError::new(ErrorCode::UpstreamUnreachable, format!("no connection to {at}"))
                    .with_source(why)
            }
            Self::NoCredentials(why) => {
                let text = format!(
                    "{at} has no credentials to call its vendor with; this is for whoever runs Steelyard to mend"
                );
                ApiError::new(ErrorCode::UpstreamCredentials, text).with_source(why)
            }
            Self::Timeout(limit, after, _) => ApiError::new(
                ErrorCode::UpstreamTimeout,
                format!("{at} did not answer within {after:?} (its {limit} limit)"),
            ),
            Self::Broken { code, why, .. } => {
                let text = match code {
                    ErrorCode::UpstreamFailed => format!("{at} failed: {}", bounded(&why)),
                    ErrorCode::UpstreamCut => format!("the answer of {at} broke off"),
                    _ => format!("the answer of {at} cannot be read"),
                };
                ApiError::new(code, text).with_source(why)
            }
            Self::Shutdown => shutting_down(
                "this server is shutting down and does not wait for the vendor any longer: try again, another may take the call",
            ),
            Self::Refused(error) => error,
            Self::Status { failure, status, fault, body, wire: _ } => {
                let status = status.as_u16();
                let said = fault.as_deref().map(|fault| format!(": {}", told(fault))).unwrap_or_default();
                let error = match failure {
                    Failure::Passing(_) => ApiError::new(
                        ErrorCode::UpstreamFailed,
                        format!("{at} failed with status {status}{said}"),
                    ),
                    Failure::Overloaded(_) => ApiError::new(
                        ErrorCode::UpstreamOverloaded,
                        format!("{at} is overloaded (status {status}){said}"),
                    ),
                    Failure::TimedOut(_) => ApiError::new(
                        ErrorCode::UpstreamTimeout,
                        format!("{at} gave up for want of time (status {status}){said}"),
                    ),
                    Failure::RateLimited(_) => ApiError::new(
                        ErrorCode::UpstreamRateLimited,
                        format!("{at} limits the rate of calls"),
                    ),
                    Failure::Credentials => {
                        let text = format!(
                            "{at} refuses the credentials it is configured with; this is for whoever runs Steelyard to mend"
                        );
                        ApiError::new(ErrorCode::UpstreamCredentials, text)
                    }
                    Failure::Redirect => {
                        let text = format!(
                            "{at} answers with a redirect, which is not followed; whoever runs Steelyard must mend its base_url"
                        );
                        ApiError::new(ErrorCode::UpstreamFailed, text)
                    }
                    Failure::NoModel => {
                        let text = format!("{at} has no model `{}`", offer.upstream_model);
                        ApiError::new(ErrorCode::UnknownModel, text).with_param("model")
                    }
                    Failure::Caller => refused(&at, status, fault),
                };
                error
                    .with_retry_after(failure.wish())
                    .with_source(format!("status {status}: {}", excerpt(&body)))
            }
        }
    }

    /// The vendor's wish when to come again.
    pub(crate) fn wish(&self) -> Option<Duration> {
        match self {
            Self::Status { failure, .. } => failure.wish(),
            Self::Unreachable(_)
            | Self::NoCredentials(_)
            | Self::Timeout(..)
            | Self::Broken { .. }
            | Self::Shutdown
            | Self::Refused(_) => None,
        }
    }
}

/// The vendor's refusal in its own words, for a caller who does not speak its wire.
fn refused(at: &str, status: u16, fault: Option<Box<UpstreamFault>>) -> ApiError {
    let Some(fault) = fault else {
        let text = format!("{at} refuses the request with status {status}");
        let code = if status == 413 { ErrorCode::UpstreamTooLarge } else { ErrorCode::UpstreamRefused };
        return ApiError::new(code, text);
    };
    let code = match status {
        _ if fault.is_context_overflow() => ErrorCode::ContextTooLong,
        413 => ErrorCode::UpstreamTooLarge,
        _ => ErrorCode::UpstreamRefused,
    };
    ApiError::new(code, format!("{at} refuses the request: {}", told(&fault)))
}

/// What the vendor said, in so many words as a caller can use.
fn told(fault: &UpstreamFault) -> String {
    bounded(&fault.to_string())
}

fn bounded(text: &str) -> String {
    const MOST: usize = 2000;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn excerpt(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(500)]).into_owned()
}
