//! AWS's own signing test suite.

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Suite {
    requests: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    method: String,
    path: String,
    query: Option<String>,
    headers: Vec<(String, String)>,
    body: String,
}

/// Signers take empty and dot segments out of these paths. For Bedrock a path is signed as it is sent, and no client of
/// it sends such a one.
const NORMALISED: [&str; 6] = [
    "get-relative-normalized",
    "get-relative-relative-normalized",
    "get-slash-dot-slash-normalized",
    "get-slash-normalized",
    "get-slash-pointless-dot-normalized",
    "get-slashes-normalized",
];

/// Headers folded over lines, which HTTP/1.1 forbids, and hyper refuses before anybody sees them.
const FOLDED: [&str; 1] = ["get-header-value-multiline"];

/// The token is added when all else is signed, which services other than Bedrock take.
const TOKEN_AFTER: &str = "post-sts-header-after";

/// The suite is signed for a service `service`, which a request for Bedrock may not be: all but that is checked.
fn of_service(authorization: &str) -> Signature<'_> {
    let part = |name: &str| {
        let (_, rest) = authorization.split_once(&format!("{name}=")).unwrap();
        rest.split(',').next().unwrap()
    };
    let (access_key_id, text) = part("Credential").split_once('/').unwrap();
    let mut hmac = [0; 32];
    hex::decode_to_slice(part("Signature"), &mut hmac).unwrap();
    Signature { access_key_id, scope: scope(text), signed_headers: part("SignedHeaders"), hmac }
}

#[test]
fn every_vector_that_applies_verifies() {
    let suite: Suite = serde_json::from_str(include_str!("../../../fixtures/sigv4/aws-suite.json")).unwrap();
    let mut left_out = vec![];
    for vector in &suite.requests {
        let name = vector.name.as_str();
        if NORMALISED.contains(&name) || FOLDED.contains(&name) {
            left_out.push(name);
            continue;
        }
        let mut arrived = Arrived {
            method: vector.method.parse().unwrap(),
            path: vector.path.clone(),
            query: vector.query.clone(),
            authority: None,
            headers: HeaderMap::new(),
            body: vector.body.clone().into(),
        };
        for (header, value) in &vector.headers {
            arrived.add(header, value);
        }
        let authorization = arrived.headers["authorization"].to_str().unwrap();
        let signature = of_service(authorization);
        let verify = |secret: &str| {
            let key = SigningKey::derive(secret, &signature.scope);
            let now = Timestamp::parse("2015-08-30T12:36:00Z").unwrap();
            signature.verify(&arrived.request(), &arrived.body, &key, now)
        };
        if name == TOKEN_AFTER {
            assert!(matches!(verify(SECRET), Err(SigV4Error::Incomplete(_))), "{name}");
            left_out.push(name);
            continue;
        }
        assert_eq!(verify(SECRET), Ok(()), "{name}");
        assert!(matches!(verify("another"), Err(SigV4Error::Mismatch { .. })), "{name}");
    }
    assert_eq!((suite.requests.len(), left_out.len()), (38, NORMALISED.len() + FOLDED.len() + 1));
}
