//! When a vendor wishes to be asked again.

use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue};

/// When the vendor wishes to be asked again: `retry-after-ms`, else `retry-after` in seconds or as a date.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let seconds =
        |text: &str| text.trim().parse::<f64>().ok().and_then(|s| Duration::try_from_secs_f64(s).ok());
    if let Some(wait) = text(HeaderName::from_static("retry-after-ms")).and_then(seconds) {
        return Some(wait / 1000);
    }
    let value = text(RETRY_AFTER)?;
    seconds(value).or_else(|| {
        // The wait is reckoned from the vendor's own Date, so that a skewed clock here does not matter.
        let at = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
        let now = jiff::fmt::rfc2822::parse(text(http::header::DATE)?).ok()?.timestamp();
        Duration::try_from(at.duration_since(now)).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Case = (&'static [(&'static str, &'static str)], Option<Duration>);

    #[test]
    fn every_form_of_retry_after_is_understood() {
        let seconds = Duration::from_secs;
        let cases: &[Case] = &[
            (&[], None),
            (&[("retry-after", "7")], Some(seconds(7))),
            (&[("retry-after", "0.5")], Some(Duration::from_millis(500))),
            (&[("retry-after", "7"), ("retry-after-ms", "250")], Some(Duration::from_millis(250))),
            (&[("retry-after", "-1")], None),
            (&[("retry-after", "soon")], None),
            (
                &[
                    ("retry-after", "Wed, 21 Oct 2026 07:28:30 GMT"),
                    ("date", "Wed, 21 Oct 2026 07:28:00 GMT"),
                ],
                Some(seconds(30)),
            ),
        ];
        for (pairs, wait) in cases {
            let map = pairs
                .iter()
                .map(|(n, v)| {
                    (HeaderName::from_bytes(n.as_bytes()).unwrap(), HeaderValue::from_str(v).unwrap())
                })
                .collect();
            assert_eq!(retry_after(&map), *wait, "{pairs:?}");
        }
    }
}
