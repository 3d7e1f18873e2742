//! When a request was signed.

use std::borrow::Cow;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use jiff::fmt::rfc2822::DateTimeParser;
use steelyard_core::Timestamp;

use super::SigV4Error;
use super::error::shown;

/// How far the clocks of caller and server may be apart, as at Bedrock.
const TOLERANCE: Duration = Duration::from_mins(5);

/// The moment of a signature.
pub(super) struct SignedAt<'a> {
    /// The header that has it.
    pub(super) header: &'static str,
    /// As the string to sign has it, `20260102T030405Z`.
    pub(super) text: Cow<'a, str>,
    time: Timestamp,
}

impl<'a> SignedAt<'a> {
    /// From `X-Amz-Date`, or without that from `Date`.
    pub(super) fn of(headers: &'a HeaderMap) -> Result<Self, SigV4Error> {
        let (header, value) = match (single(headers, "x-amz-date")?, single(headers, "date")?) {
            (Some(value), _) => ("x-amz-date", value),
            (None, Some(value)) => ("date", value),
            (None, None) => {
                let text = "there is neither `X-Amz-Date` nor `Date`";
                return Err(SigV4Error::Incomplete(text.into()));
            }
        };
        let wrong = || {
            let text = format!("`{header}` is not a time such as 20260102T030405Z: `{}`", shown(value));
            SigV4Error::Incomplete(text)
        };
        let text = value.to_str().map_err(|_| wrong())?;
        if is_basic(text) {
            let time = Timestamp::parse(text).map_err(|_| wrong())?;
            return Ok(Self { header, text: text.into(), time });
        }
        if header == "x-amz-date" {
            return Err(wrong());
        }
        let instant = DateTimeParser::new().parse_timestamp(text).map_err(|_| wrong())?;
        let time = Timestamp(instant.as_microsecond());
        Ok(Self { header, text: basic(time).into(), time })
    }

    /// Neither too old nor in the future.
    pub(super) fn check(&self, now: Timestamp) -> Result<(), SigV4Error> {
        let signed = self.text.to_string();
        if now.since(self.time) > TOLERANCE {
            let limit = basic(minus(now, TOLERANCE));
            return Err(SigV4Error::Expired { signed, limit, now: basic(now) });
        }
        if self.time.since(now) > TOLERANCE {
            return Err(SigV4Error::Early { signed, limit: basic(now.plus(TOLERANCE)), now: basic(now) });
        }
        Ok(())
    }
}

/// A header that must not be there twice: which of two was meant could be read in two ways.
pub(super) fn single<'a>(
    headers: &'a HeaderMap,
    name: &'static str,
) -> Result<Option<&'a HeaderValue>, SigV4Error> {
    let mut values = headers.get_all(name).iter();
    let value = values.next();
    if values.next().is_some() {
        return Err(SigV4Error::Incomplete(format!("`{name}` was sent more than once")));
    }
    Ok(value)
}

/// Whether a text has the form `20260102T030405Z`.
fn is_basic(text: &str) -> bool {
    text.len() == 16
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 => byte == b'T',
            15 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        })
}

fn basic(time: Timestamp) -> String {
    match jiff::Timestamp::from_microsecond(time.0) {
        Ok(instant) => instant.strftime("%Y%m%dT%H%M%SZ").to_string(),
        Err(_) => time.to_string(),
    }
}

fn minus(time: Timestamp, by: Duration) -> Timestamp {
    Timestamp(time.0.saturating_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
}
