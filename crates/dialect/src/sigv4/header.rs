//! The `Authorization` header of a signed request.
//!
//! `AWS4-HMAC-SHA256 Credential=AKID/20260102/us-east-1/bedrock/aws4_request, SignedHeaders=a;b, Signature=HEX`,
//! with or without the space after a comma.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::SigV4Error;
use super::error::shown;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// Bedrock's runtime and control plane, and its newer endpoints in the shapes of `OpenAI` and Anthropic.
const SERVICES: [&str; 2] = ["bedrock", "bedrock-mantle"];

/// What a client says about its signature, borrowed from its headers. Nothing of it is proven until
/// [`verify`](Signature::verify) has said so.
pub struct Signature<'a> {
    /// The public half of the key pair.
    pub access_key_id: &'a str,
    /// For what the signing key was derived.
    pub scope: Scope<'a>,
    /// Names of the signed headers, as sent: lower case, ascending, joined by `;`.
    pub signed_headers: &'a str,
    /// The signature, decoded.
    pub(super) hmac: [u8; 32],
}

/// For what a signing key was derived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope<'a> {
    /// The day, `20260102`.
    pub date: &'a str,
    /// The region that the client is set to. Any is taken: it says nothing about where a call is served.
    pub region: &'a str,
    /// `bedrock` or `bedrock-mantle`.
    pub service: &'a str,
    /// All of it with its terminator, `20260102/us-east-1/bedrock/aws4_request`.
    pub text: &'a str,
}

/// The signature of a request; `None` when it has no `AWS4-…` authorization.
pub fn parse(headers: &HeaderMap) -> Option<Result<Signature<'_>, SigV4Error>> {
    let mut signed =
        headers.get_all(AUTHORIZATION).iter().filter(|value| value.as_bytes().starts_with(b"AWS4-"));
    let value = signed.next()?;
    if signed.next().is_some() {
        return Some(Err(incomplete("`Authorization` was sent more than once")));
    }
    let text = value.to_str().map_err(|_| incomplete("`Authorization` has characters outside of ASCII"));
    Some(text.and_then(authorization))
}

fn authorization(text: &str) -> Result<Signature<'_>, SigV4Error> {
    let (algorithm, parameters) = text.split_once(' ').unwrap_or((text, ""));
    if algorithm != ALGORITHM {
        return Err(incomplete(format!("algorithm `{}` is not `{ALGORITHM}`", shown(algorithm))));
    }
    let (mut credential, mut signed_headers, mut signature) = (None, None, None);
    for parameter in parameters.split(',').map(str::trim) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let place = match name {
            "Credential" => &mut credential,
            "SignedHeaders" => &mut signed_headers,
            "Signature" => &mut signature,
            _ => {
                let text = format!("`Authorization` has `{}`, which is not a parameter of it", shown(name));
                return Err(incomplete(text));
            }
        };
        if place.replace(value).is_some() {
            return Err(incomplete(format!("`Authorization` has `{name}` twice")));
        }
    }
    let (access_key_id, scope) = self::credential(given(credential, "Credential")?)?;
    let signed_headers = ascending(given(signed_headers, "SignedHeaders")?)?;
    let hmac = digest(given(signature, "Signature")?)?;
    Ok(Signature { access_key_id, scope, signed_headers, hmac })
}

fn given<'a>(value: Option<&'a str>, name: &str) -> Result<&'a str, SigV4Error> {
    value
        .filter(|value| !value.is_empty())
        .ok_or_else(|| incomplete(format!("`Authorization` lacks `{name}`")))
}

/// `AKID/20260102/us-east-1/bedrock/aws4_request`.
fn credential(text: &str) -> Result<(&str, Scope<'_>), SigV4Error> {
    let wrong = || {
        let text = shown(text);
        incomplete(format!("`Credential` is not KEY/YYYYMMDD/REGION/SERVICE/aws4_request: `{text}`"))
    };
    let (access_key_id, scope) = text.split_once('/').ok_or_else(wrong)?;
    let parts: Vec<&str> = scope.splitn(5, '/').collect();
    let [date, region, service, "aws4_request"] = parts[..] else { return Err(wrong()) };
    let is_day = date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit());
    if access_key_id.is_empty() || region.is_empty() || !is_day {
        return Err(wrong());
    }
    if !SERVICES.contains(&service) {
        let text = format!("it was made for service `{}`, and this is `bedrock`", shown(service));
        return Err(SigV4Error::Scope(text));
    }
    Ok((access_key_id, Scope { date, region, service, text: scope }))
}

/// Names in lower case and in ascending order, each once, as every signer writes them. So a long list of one long
/// header cannot make a canonical request that is larger than what was sent.
fn ascending(names: &str) -> Result<&str, SigV4Error> {
    let usable = |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase();
    let well_formed = names.split(';').all(|name| !name.is_empty() && name.bytes().all(usable));
    if !well_formed || !names.split(';').is_sorted_by(|one, next| one < next) {
        let text = format!("`SignedHeaders` is not a list of lower-case names in order: `{}`", shown(names));
        return Err(incomplete(text));
    }
    Ok(names)
}

fn digest(text: &str) -> Result<[u8; 32], SigV4Error> {
    let mut bytes = [0; 32];
    let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    if !lower || hex::decode_to_slice(text, &mut bytes).is_err() {
        return Err(incomplete("`Signature` is not 64 hexadecimal digits in lower case"));
    }
    Ok(bytes)
}

fn incomplete(problem: impl Into<String>) -> SigV4Error {
    SigV4Error::Incomplete(problem.into())
}
