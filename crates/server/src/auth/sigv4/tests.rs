use http::{HeaderMap, HeaderValue, Method};
use steelyard_billing::Catalog;
use steelyard_core::ProjectId;
use steelyard_gateway::snapshot::Inputs;

use super::*;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const BODY: &[u8] = br#"{"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#;
/// What botocore 1.44.5 makes of this request with this secret.
const SIGNATURE: &str = "4fe5930f76a7c17c949429064193123267fee36041e7f4a06b46f7cab5fefeee";
const AT: &str = "2026-01-02T03:04:05Z";

fn snapshot(secret: &str, expires_at: Option<Timestamp>) -> Snapshot {
    let principal = Principal {
        key: None,
        name: "ci".into(),
        project: ProjectId::new(),
        project_name: "default".into(),
        admin: false,
    };
    let pair = AwsKeyRecord {
        access_key_id: "AKIDEXAMPLE".into(),
        secret: secret.to_owned().into(),
        principal: Arc::new(principal),
        expires_at,
    };
    let inputs = Inputs { aws_keys: vec![pair], ..Inputs::default() };
    Snapshot::build(&inputs, Arc::new(Catalog::builtin().unwrap()), None).unwrap()
}

fn headers() -> HeaderMap {
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260102/us-east-1/bedrock/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date, Signature={SIGNATURE}"
    );
    [
        ("host", "steelyard.local:8080"),
        ("content-type", "application/json"),
        ("x-amz-date", "20260102T030405Z"),
        ("authorization", authorization.as_str()),
    ]
    .into_iter()
    .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
    .collect()
}

/// Who called, or the code of the refusal; `None` when the request is not signed.
fn who(
    snapshot: &Snapshot,
    keys: &SigningKeys,
    headers: &HeaderMap,
    at: &str,
) -> Option<Result<String, ErrorCode>> {
    let request = SignedRequest {
        method: &Method::POST,
        path: "/model/us.x-v1:0/invoke",
        query: None,
        authority: None,
        headers,
    };
    let now = Timestamp::parse(at).unwrap();
    let who = claim(snapshot, &request, now)?.and_then(|claim| claim.prove(keys, &request, BODY, now));
    Some(who.map(|principal| principal.name.to_string()).map_err(|error| {
        assert!(!error.public.contains(SECRET), "{}", error.public);
        error.code
    }))
}

#[test]
fn the_pair_that_signed_is_who_calls() {
    let (snapshot, keys) = (snapshot(SECRET, None), SigningKeys::default());
    for _ in 0..2 {
        assert_eq!(who(&snapshot, &keys, &headers(), AT), Some(Ok("ci".into())));
        assert_eq!(keys.0.len(), 1, "one derived key serves both");
    }
    assert_eq!(who(&snapshot, &keys, &HeaderMap::new(), AT), None);
}

#[test]
fn each_refusal_has_its_code() {
    let snapshot = snapshot(SECRET, None);
    let refused = |from: &str, to: &str, at: &str| {
        let keys = SigningKeys::default();
        let mut headers = headers();
        let value = headers["authorization"].to_str().unwrap().replace(from, to);
        headers.insert("authorization", HeaderValue::from_str(&value).unwrap());
        let who = who(&snapshot, &keys, &headers, at).unwrap();
        assert_eq!(keys.0.len(), 0, "no key is kept for who has no secret");
        who.unwrap_err()
    };
    assert_eq!(refused("AKIDEXAMPLE", "AKIDOTHER", AT), ErrorCode::InvalidCredential);
    assert_eq!(refused("Signature=", "Sig=", AT), ErrorCode::IncompleteSignature);
    assert_eq!(refused("4fe5", "4fe6", AT), ErrorCode::SignatureMismatch);
    assert_eq!(refused("us-east-1", "us-east-2", AT), ErrorCode::SignatureMismatch);
    assert_eq!(refused("", "", "2026-01-02T03:09:06Z"), ErrorCode::SignatureExpired);
    assert_eq!(refused("", "", "2026-01-02T02:59:04Z"), ErrorCode::SignatureExpired);
}

#[test]
fn a_rotated_secret_is_not_served_from_the_kept_keys() {
    let keys = SigningKeys::default();
    assert_eq!(who(&snapshot(SECRET, None), &keys, &headers(), AT), Some(Ok("ci".into())));
    let rotated = snapshot("another secret", None);
    assert_eq!(who(&rotated, &keys, &headers(), AT), Some(Err(ErrorCode::SignatureMismatch)));
}

#[test]
fn only_the_owner_of_an_expired_pair_hears_that_it_expired() {
    let end = Timestamp::parse(AT).unwrap();
    let keys = SigningKeys::default();
    assert_eq!(who(&snapshot(SECRET, Some(end)), &keys, &headers(), AT), Some(Err(ErrorCode::ExpiredKey)));
    assert_eq!(
        who(&snapshot("another secret", Some(end)), &keys, &headers(), AT),
        Some(Err(ErrorCode::SignatureMismatch))
    );
    let later = Timestamp(end.0 + 1);
    assert_eq!(who(&snapshot(SECRET, Some(later)), &keys, &headers(), AT), Some(Ok("ci".into())));
}

#[test]
fn parts_of_a_name_do_not_run_into_each_other() {
    let scope = |date, region| Scope { date, region, service: "bedrock", text: "" };
    assert_ne!(name_of("A", &scope("20260102", "x"), "s"), name_of("A2", &scope("0260102", "x"), "s"));
    assert_ne!(name_of("A", &scope("20260102", "x"), "s"), name_of("A", &scope("20260102", "x"), "t"));
}
