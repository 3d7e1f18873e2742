//! Media inside a request: data URLs, and base64 that is checked where it comes in.

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::json::{At, Fault};

/// The media type and the checked base64 of a data URL (RFC 2397). None if it is no data URL.
pub(crate) fn data_url(url: &str, at: &At<'_>) -> Result<Option<(String, String)>, Fault> {
    let Some((scheme, rest)) =
        url.split_at_checked(5).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("data:"))
    else {
        return Ok(None);
    };
    debug_assert_eq!(scheme.len(), 5);
    let Some((head, data)) = rest.split_once(',') else {
        return Err(Fault::invalid(at, format!("`{at}` is a data URL without a comma")));
    };
    let Some(media_type) = head.strip_suffix(";base64") else {
        return Err(Fault::invalid(
            at,
            format!("`{at}` must be a data URL with base64: data:TYPE;base64,DATA"),
        ));
    };
    if !media_type.contains('/') {
        return Err(Fault::invalid(at, format!("`{at}` is a data URL without a media type")));
    }
    Ok(Some((media_type.to_owned(), checked_base64(data.to_owned(), at)?)))
}

/// Padded or not, as clients write it.
pub(crate) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(crate) fn checked_base64(data: String, at: &At<'_>) -> Result<String, Fault> {
    if data.is_empty() {
        return Err(Fault::invalid(at, format!("`{at}` holds no data")));
    }
    if is_plain_base64(data.as_bytes()) {
        return Ok(data);
    }
    match BASE64.decode(&data) {
        Ok(_) => Ok(data),
        Err(error) => Err(Fault::invalid(at, format!("`{at}` is not valid base64: {}", lower(&error)))),
    }
}

/// Whether `data` is base64, padded or not, told without decoding more than its last group.
fn is_plain_base64(data: &[u8]) -> bool {
    let (groups, last) = data.split_at(data.len().saturating_sub(1) / 4 * 4);
    base64_simd::STANDARD_NO_PAD.check(groups).is_ok() && BASE64.decode(last).is_ok()
}

fn lower(error: &base64::DecodeError) -> String {
    match error {
        base64::DecodeError::InvalidByte(offset, _) => format!("a wrong byte at offset {offset}"),
        base64::DecodeError::InvalidLength(length) => format!("{length} characters cannot be base64"),
        base64::DecodeError::InvalidLastSymbol(offset, _) => {
            format!("a wrong last character at offset {offset}")
        }
        base64::DecodeError::InvalidPadding => "wrong padding".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_told_as_its_decoder_does() {
        let whole = BASE64.encode((0..=u8::MAX).collect::<Vec<_>>());
        for length in 0..=whole.len() {
            let data = &whole.as_bytes()[..length];
            assert_eq!(is_plain_base64(data), BASE64.decode(data).is_ok(), "{length} characters");
        }
        for at in [0, 5, 8, 11] {
            for byte in 0..=0x7f_u8 {
                let mut data = b"QUJDREVGR0hJ".to_vec();
                data[at] = byte;
                assert_eq!(is_plain_base64(&data), BASE64.decode(&data).is_ok(), "{byte} at {at}");
            }
        }
    }
}
