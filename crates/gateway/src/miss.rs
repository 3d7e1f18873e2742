//! Why an attempt brought nothing, and what the caller is told.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use steelyard_core::{ApiError, ErrorCode};
use steelyard_dialect::{Dialect, UpstreamFault};

use crate::account::Passed;
use crate::offer::Offer;
use crate::provider::Failure;

/// Why an attempt brought nothing.
pub(crate) enum Miss {
    /// Nothing was sent.
    Unreachable(String),
    /// Nothing was sent, because the account's credentials were not to be had.
    NoCredentials(String),
    /// The vendor refused.
    Status { failure: Failure, status: StatusCode, fault: Option<UpstreamFault>, body: Bytes, wire: Dialect },
    /// The vendor went silent after the request was sent.
    Timeout(&'static str, Duration),
    /// The answer broke off or makes no sense.
    Broken { code: ErrorCode, why: String, passed: Box<Passed> },
    /// The target cannot take the request, and strict mode asks to say so; or the request is wrong.
    Refused(ApiError),
}

impl Miss {
    /// Whether no other target would take the request either.
    pub(crate) fn is_the_callers(&self) -> bool {
        matches!(self, Self::Status { failure: Failure::Caller, .. } | Self::Refused(_))
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
            } if *wire == client => Some((*status, body.clone())),
            Self::Status { .. }
            | Self::Unreachable(_)
            | Self::NoCredentials(_)
            | Self::Timeout(..)
            | Self::Broken { .. }
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
            Self::Timeout(limit, after) => ApiError::new(
                ErrorCode::UpstreamTimeout,
                format!("{at} did not answer within {after:?} (its {limit} limit)"),
            ),
            Self::Broken { code, why, .. } => {
                let text = match code {
                    ErrorCode::UpstreamFailed => format!("{at} failed"),
                    ErrorCode::UpstreamCut => format!("the answer of {at} broke off"),
                    _ => format!("the answer of {at} cannot be read"),
                };
                ApiError::new(code, text).with_source(why)
            }
            Self::Refused(error) => error,
            Self::Status { failure, status, fault, body, wire: _ } => {
                let error = match failure {
                    Failure::Passing(wait) => {
                        ApiError::new(ErrorCode::UpstreamFailed, format!("{at} failed with status {status}"))
                            .with_retry_after(wait)
                    }
                    Failure::RateLimited(wait) => ApiError::new(
                        ErrorCode::UpstreamRateLimited,
                        format!("{at} limits the rate of calls"),
                    )
                    .with_retry_after(wait),
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
                error.with_source(format!("status {status}: {}", excerpt(&body)))
            }
        }
    }

    /// The vendor's wish when to come again.
    pub(crate) fn wish(&self) -> Option<Duration> {
        match self {
            Self::Status { failure: Failure::Passing(wait) | Failure::RateLimited(wait), .. } => *wait,
            Self::Status { .. }
            | Self::Unreachable(_)
            | Self::NoCredentials(_)
            | Self::Timeout(..)
            | Self::Broken { .. }
            | Self::Refused(_) => None,
        }
    }
}

/// The vendor's refusal in its own words, for a caller who does not speak its wire.
fn refused(at: &str, status: StatusCode, fault: Option<UpstreamFault>) -> ApiError {
    let Some(fault) = fault else {
        let text = format!("{at} refuses the request with status {status}");
        return ApiError::new(ErrorCode::UpstreamRefused, text);
    };
    let code =
        if fault.is_context_overflow() { ErrorCode::ContextTooLong } else { ErrorCode::UpstreamRefused };
    ApiError::new(code, format!("{at} refuses the request: {fault}"))
}

fn excerpt(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(500)]).into_owned()
}
