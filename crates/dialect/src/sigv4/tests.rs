//! Vectors, requests that AWS's clients signed, and every way to be refused.

mod properties;
mod suite;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use steelyard_core::{ErrorCode, Timestamp};

use super::*;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const AT: &str = "2026-01-02T03:04:05Z";
const BODY: &[u8] = br#"{"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#;
const BODY_HASH: &str = "c3335e07d6e89650bf94cb98664be69f8774dbc3198df221f113db0a59ea14f0";
const ARN_PATH: &str =
    "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.x-v1%3A0/converse";

/// A request that can be changed after it was signed.
#[derive(Debug, Clone)]
struct Arrived {
    method: Method,
    path: String,
    query: Option<String>,
    authority: Option<String>,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Arrived {
    fn new(path: &str, headers: &[(&str, &str)]) -> Self {
        let mut arrived = Self {
            method: Method::POST,
            path: path.into(),
            query: None,
            authority: None,
            headers: HeaderMap::new(),
            body: BODY.into(),
        };
        for (name, value) in headers {
            arrived.add(name, value);
        }
        arrived
    }

    /// The first vector.
    fn vector() -> Self {
        let mut arrived = Self::new(
            ARN_PATH,
            &[
                ("host", "steelyard.local:8080"),
                ("content-type", "application/json"),
                ("x-amz-date", "20260102T030405Z"),
            ],
        );
        arrived.authorize(
            "content-type;host;x-amz-date",
            "2299792f4e64710eec34f19913eb017a025fd55443753fadc93badad029c65ba",
        );
        arrived
    }

    fn add(&mut self, name: &str, value: &str) {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        self.headers.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
    }

    fn set(&mut self, name: &'static str, value: &str) -> &mut Self {
        self.headers.insert(name, HeaderValue::from_str(value).expect("a value"));
        self
    }

    fn authorize(&mut self, signed_headers: &str, signature: &str) {
        let credential = "Credential=AKIDEXAMPLE/20260102/us-east-1/bedrock/aws4_request";
        let value =
            format!("AWS4-HMAC-SHA256 {credential}, SignedHeaders={signed_headers}, Signature={signature}");
        self.set("authorization", &value);
    }

    /// Signs anew with the code under test, for refusals that come after a good signature.
    fn sign(&mut self, signed_headers: &str, payload_hash: &str) {
        let scope = scope("20260102/us-east-1/bedrock/aws4_request");
        let canonical = canonical::request(&self.request(), signed_headers, payload_hash).expect("headers");
        let hash = hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &canonical));
        let text = format!("AWS4-HMAC-SHA256\n20260102T030405Z\n{}\n{hash}", scope.text);
        let parts = [scope.date, scope.region, scope.service, "aws4_request", &text];
        let hmac = parts.into_iter().fold(format!("AWS4{SECRET}").into_bytes(), |key, part| {
            let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &key);
            aws_lc_rs::hmac::sign(&key, part.as_bytes()).as_ref().to_vec()
        });
        self.authorize(signed_headers, &hex::encode(hmac));
    }

    fn request(&self) -> SignedRequest<'_> {
        SignedRequest {
            method: &self.method,
            path: &self.path,
            query: self.query.as_deref(),
            authority: self.authority.as_deref(),
            headers: &self.headers,
        }
    }

    fn verify_at(&self, now: &str, secret: &str) -> Result<(), SigV4Error> {
        let signature = parse(&self.headers).expect("a signed request")?;
        let key = SigningKey::derive(secret, &signature.scope);
        let now = Timestamp::parse(now).expect("a time");
        let before = signature.precheck(&self.request(), now);
        let after = signature.verify(&self.request(), &self.body, &key, now);
        assert!(before.is_ok() || before == after, "what is said before the body is read is said after it");
        after
    }

    fn verify(&self) -> Result<(), SigV4Error> {
        self.verify_at(AT, SECRET)
    }

    fn refused(&self, code: ErrorCode, part: &str) {
        let error = self.verify().expect_err(part);
        let text = error.to_string();
        assert_eq!(error.code(), code, "{text}");
        assert!(text.contains(part), "`{part}` in `{text}`");
        assert!(!text.contains(SECRET), "{text}");
    }
}

fn scope(text: &str) -> Scope<'_> {
    let parts: Vec<&str> = text.split('/').collect();
    Scope { date: parts[0], region: parts[1], service: parts[2], text }
}

/// The first two are what botocore 1.44.5 makes of these requests, the third what `@smithy/signature-v4` 5.7.5 does.
#[test]
fn vectors() {
    assert_eq!(Arrived::vector().verify(), Ok(()));

    let mut colon = Arrived::vector();
    colon.path = "/model/us.x-v1:0/invoke".into();
    colon.authorize(
        "content-type;host;x-amz-date",
        "4fe5930f76a7c17c949429064193123267fee36041e7f4a06b46f7cab5fefeee",
    );
    assert_eq!(colon.verify(), Ok(()));

    let mut h2 = Arrived::new(
        ARN_PATH,
        &[
            ("content-type", "application/json"),
            ("x-amz-date", "20260102T030405Z"),
            ("x-amz-content-sha256", BODY_HASH),
        ],
    );
    h2.authority = Some("steelyard.local:8080".into());
    h2.authorize(
        ":authority;content-type;x-amz-content-sha256;x-amz-date",
        "cc5760e9a96f78c055b12e936d1f5fe6d9a854b38e85fe947b3e082cb1b11f31",
    );
    assert_eq!(h2.verify(), Ok(()));
}

/// Cases of AWS's published test suite (`aws-sig-v4-test-suite`), by their names there. They are for a service
/// named `service`, which is refused here, so their parts are put together without the header.
///
/// Left out, because for them the suite leaves empty and dot segments out of the path, or encodes it once, as S3
/// alone does: `get-relative`, `get-relative-relative`, `get-slash`, `get-slash-dot-slash`, `get-slash-pointless-dot`,
/// `get-slashes`, `get-space`, `get-utf8`. Left out, because no HTTP library lets them in: the folded lines of
/// `get-header-value-multiline`. Left out, because they test the signer alone: `post-sts-token`.
#[test]
fn cases_of_the_published_suite() {
    type Case = (
        &'static str,
        &'static str,
        &'static str,
        &'static [(&'static str, &'static str)],
        &'static str,
        &'static str,
    );
    let cases: &[Case] = &[
        (
            "get-vanilla",
            "GET",
            "/",
            &[],
            "",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            "get-vanilla-query-order-key-case",
            "GET",
            "/?Param2=value2&Param1=value1",
            &[],
            "",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (
            "get-vanilla-utf8-query",
            "GET",
            "/?ሴ=bar",
            &[],
            "",
            "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
        ),
        (
            "get-unreserved",
            "GET",
            "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
            &[],
            "",
            "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
        ),
        (
            "get-header-key-duplicate",
            "GET",
            "/",
            &[("my-header1", "value2"), ("my-header1", "value2"), ("my-header1", "value1")],
            "",
            "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
        ),
        (
            "get-header-value-order",
            "GET",
            "/",
            &[
                ("my-header1", "value4"),
                ("my-header1", "value1"),
                ("my-header1", "value3"),
                ("my-header1", "value2"),
            ],
            "",
            "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01",
        ),
        (
            "get-header-value-trim",
            "GET",
            "/",
            &[("my-header1", " value1"), ("my-header2", " \"a   b   c\"")],
            "",
            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
        ),
        (
            "post-vanilla",
            "POST",
            "/",
            &[],
            "",
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        ),
        (
            "post-x-www-form-urlencoded",
            "POST",
            "/",
            &[("content-type", "application/x-www-form-urlencoded")],
            "Param1=value1",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
    ];
    for (name, method, target, headers, body, hmac) in cases {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut arrived = Arrived::new(path, headers);
        arrived.query = Some(query.into());
        arrived.method = method.parse().expect("a method");
        arrived.add("host", "example.amazonaws.com");
        arrived.add("x-amz-date", "20150830T123600Z");
        let mut names: Vec<&str> = arrived.headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        let scope = scope("20150830/us-east-1/service/aws4_request");
        let mut bytes = [0; 32];
        hex::decode_to_slice(hmac, &mut bytes).expect("hexadecimal");
        let signature =
            Signature { access_key_id: "AKIDEXAMPLE", scope, signed_headers: &names.join(";"), hmac: bytes };
        let key = SigningKey::derive("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", &scope);
        let now = Timestamp::parse("2015-08-30T12:36:00Z").expect("a time");
        assert_eq!(signature.verify(&arrived.request(), body.as_bytes(), &key, now), Ok(()), "{name}");
    }
}

#[derive(serde::Deserialize)]
struct Captured {
    now: String,
    access_key_id: String,
    secret_access_key: String,
    requests: Vec<CapturedRequest>,
}

#[derive(serde::Deserialize)]
struct CapturedRequest {
    name: String,
    method: String,
    path: String,
    query: Option<String>,
    authority: Option<String>,
    headers: Vec<(String, String)>,
    body_base64: String,
}

impl CapturedRequest {
    fn arrived(&self) -> Arrived {
        use base64::Engine as _;
        let headers: Vec<_> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut arrived = Arrived::new(&self.path, &headers);
        arrived.method = self.method.parse().expect("a method");
        arrived.query.clone_from(&self.query);
        arrived.authority.clone_from(&self.authority);
        arrived.body = base64::engine::general_purpose::STANDARD.decode(&self.body_base64).expect("base64");
        arrived
    }
}

#[test]
fn requests_of_real_clients_verify_and_changed_ones_do_not() {
    let files = [
        (include_str!("../../fixtures/sigv4/botocore.json"), 28),
        (include_str!("../../fixtures/sigv4/javascript.json"), 16),
    ];
    for (text, count) in files {
        let captured: Captured = serde_json::from_str(text).expect("a fixture");
        assert_eq!(captured.requests.len(), count);
        for request in &captured.requests {
            let name = &request.name;
            let arrived = request.arrived();
            let verify = |arrived: &Arrived| arrived.verify_at(&captured.now, &captured.secret_access_key);
            assert_eq!(verify(&arrived), Ok(()), "{name}");
            let signature = parse(&arrived.headers).expect("signed").expect("well formed");
            assert_eq!(signature.access_key_id, captured.access_key_id, "{name}");

            let wrong = arrived.verify_at(&captured.now, "another secret");
            assert!(matches!(wrong, Err(SigV4Error::Mismatch { .. })), "{name}: {wrong:?}");
            let mut changed = arrived.clone();
            changed.body.push(b' ');
            assert_eq!(verify(&changed).is_ok(), name.contains("UNSIGNED-PAYLOAD"), "{name}: body");
            let mut changed = arrived.clone();
            changed.path.push('/');
            assert!(verify(&changed).is_err(), "{name}: path");
            let mut changed = arrived.clone();
            changed.query = Some(format!("{}&x=", changed.query.unwrap_or_default()));
            assert!(verify(&changed).is_err(), "{name}: query");
            for header in signature.signed_headers.split(';').filter(|header| !header.starts_with(':')) {
                let mut changed = arrived.clone();
                changed.headers.remove(header);
                assert!(verify(&changed).is_err(), "{name}: without {header}");
            }
        }
    }
}

#[test]
fn only_signed_requests_have_a_signature() {
    assert!(parse(&HeaderMap::new()).is_none());
    for other in ["Bearer AWS4-HMAC-SHA256", "Basic QQ==", "AWS AKIDEXAMPLE:c2lnbmF0dXJl"] {
        let arrived = Arrived::new("/", &[("authorization", other)]);
        assert!(parse(&arrived.headers).is_none(), "{other}");
    }
    // A bearer key beside a signature is not its business.
    let mut both = Arrived::vector();
    both.add("authorization", "Bearer sy_key");
    assert_eq!(both.verify(), Ok(()));
}

#[test]
fn a_comma_needs_no_space() {
    let mut arrived = Arrived::vector();
    let value = arrived.headers["authorization"].to_str().expect("ASCII").replace(", ", ",");
    assert_eq!(arrived.set("authorization", &value).verify(), Ok(()));
}

#[test]
fn malformed_headers_are_named() {
    let good = "Credential=AKIDEXAMPLE/20260102/us-east-1/bedrock/aws4_request, SignedHeaders=host;x-amz-date, Signature=";
    let hex = "2299792f4e64710eec34f19913eb017a025fd55443753fadc93badad029c65ba";
    let with = |from: &str, to: &str| format!("AWS4-HMAC-SHA256 {good}{hex}").replace(from, to);
    let cases = [
        (with("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), "algorithm `AWS4-ECDSA-P256-SHA256`"),
        ("AWS4-HMAC-SHA256".into(), "``, which is not a parameter"),
        ("AWS4-".into(), "algorithm `AWS4-`"),
        (with("Signature=", "Sig="), "has `Sig`"),
        (with("Signature=", "x=1, Signature="), "has `x`"),
        (with(&format!(", Signature={hex}"), ""), "lacks `Signature`"),
        (with("SignedHeaders=host;x-amz-date, ", ""), "lacks `SignedHeaders`"),
        (with("SignedHeaders=host;x-amz-date", "SignedHeaders="), "lacks `SignedHeaders`"),
        (with("SignedHeaders", "Signature=1, SignedHeaders"), "`Signature` twice"),
        (with("AKIDEXAMPLE/", ""), "`Credential` is not KEY/YYYYMMDD"),
        (with("AKIDEXAMPLE", ""), "`Credential` is not KEY/YYYYMMDD"),
        (with("us-east-1", ""), "`Credential` is not KEY/YYYYMMDD"),
        (with("20260102", "2026-01-02"), "`Credential` is not KEY/YYYYMMDD"),
        (with("aws4_request", "aws4_request/x"), "`Credential` is not KEY/YYYYMMDD"),
        (with("aws4_request", "aws4"), "`Credential` is not KEY/YYYYMMDD"),
        (with("host;x-amz-date", "host;x-amz-date;"), "not a list of lower-case names"),
        (with("host;x-amz-date", "Host;x-amz-date"), "not a list of lower-case names"),
        (with("host;x-amz-date", "x-amz-date;host"), "not a list of lower-case names"),
        (with("host;x-amz-date", "host;host;x-amz-date"), "not a list of lower-case names"),
        (with(hex, &hex[1..]), "64 hexadecimal digits"),
        (with(hex, &hex.to_uppercase()), "64 hexadecimal digits"),
        (with(hex, &hex.replace('2', "g")), "64 hexadecimal digits"),
        (with("host;x-amz-date", "x-amz-date"), "neither `host` nor `:authority`"),
        (with("host;x-amz-date", "host"), "lacks `x-amz-date`"),
    ];
    for (header, part) in cases {
        Arrived::vector().set("authorization", &header).refused(ErrorCode::IncompleteSignature, part);
    }
    let mut twice = Arrived::vector();
    twice.add("authorization", &with("", ""));
    twice.refused(ErrorCode::IncompleteSignature, "more than once");
    let mut foreign = Arrived::vector();
    foreign.headers.insert("authorization", HeaderValue::from_bytes(b"AWS4-\xff").expect("a value"));
    foreign.refused(ErrorCode::IncompleteSignature, "outside of ASCII");
}

#[test]
fn another_service_or_day_is_another_scope() {
    let mut arrived = Arrived::vector();
    let value = arrived.headers["authorization"].to_str().expect("ASCII").to_owned();
    arrived.set("authorization", &value.replace("/bedrock/", "/s3/"));
    arrived.refused(ErrorCode::SignatureMismatch, "service `s3`");
    arrived.set("authorization", &value.replace("20260102", "20260103"));
    arrived.refused(ErrorCode::SignatureMismatch, "it is of 20260103, and the request of 20260102T030405Z");
}

#[test]
fn clocks_may_be_five_minutes_apart() {
    let arrived = Arrived::vector();
    for good in ["2026-01-02T02:59:05Z", "2026-01-02T03:09:05Z"] {
        assert_eq!(arrived.verify_at(good, SECRET), Ok(()), "{good}");
    }
    let late = arrived.verify_at("2026-01-02T03:09:05.000001Z", SECRET).expect_err("too late");
    assert_eq!(late.code(), ErrorCode::SignatureExpired);
    let text = "Signature expired: 20260102T030405Z is now earlier than 20260102T030405Z (20260102T030905Z - 5 min.)";
    assert!(late.to_string().starts_with(text), "{late}");
    let early = arrived.verify_at("2026-01-02T02:59:04Z", SECRET).expect_err("too early");
    assert_eq!(early.code(), ErrorCode::SignatureExpired);
    let text = "Signature not yet current: 20260102T030405Z is still later than 20260102T030404Z (20260102T025904Z + 5 min.)";
    assert!(early.to_string().starts_with(text), "{early}");
}

#[test]
fn the_time_must_be_there_once_and_be_signed() {
    let mut arrived = Arrived::vector();
    for wrong in
        ["2026-01-02T03:04:05Z", "20260102T030405", "20260102T250405Z", "20260230T030405Z", "", "soon"]
    {
        arrived.set("x-amz-date", wrong).refused(ErrorCode::IncompleteSignature, "not a time such as");
    }
    arrived.headers.remove("x-amz-date");
    arrived.refused(ErrorCode::IncompleteSignature, "neither `X-Amz-Date` nor `Date`");
    // Without `X-Amz-Date`, `Date` counts; here it is not signed.
    arrived.set("date", "Fri, 02 Jan 2026 03:04:05 GMT");
    arrived.refused(ErrorCode::IncompleteSignature, "lacks `date`");
    arrived.set("date", "20260102T030405Z").sign("date;host", BODY_HASH);
    assert_eq!(arrived.verify(), Ok(()));
    arrived.set("date", "yesterday").refused(ErrorCode::IncompleteSignature, "`date` is not a time");

    let mut twice = Arrived::vector();
    twice.add("x-amz-date", "20260102T030405Z");
    twice.refused(ErrorCode::IncompleteSignature, "`x-amz-date` was sent more than once");
}

#[test]
fn the_payload_header_must_say_what_the_body_is() {
    let names = "host;x-amz-content-sha256;x-amz-date";
    let mut arrived = Arrived::vector();
    arrived.set("x-amz-content-sha256", BODY_HASH).sign(names, BODY_HASH);
    assert_eq!(arrived.verify(), Ok(()));
    // It is part of what is hashed also when it is not among the signed headers.
    arrived.sign("host;x-amz-date", BODY_HASH);
    assert_eq!(arrived.verify(), Ok(()));
    arrived.body.pop();
    arrived.refused(ErrorCode::SignatureMismatch, BODY_HASH);

    let other = BODY_HASH.replace('c', "d");
    arrived.set("x-amz-content-sha256", &other).refused(ErrorCode::SignatureMismatch, "does not match");

    let streaming = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
    arrived.set("x-amz-content-sha256", streaming).refused(ErrorCode::IncompleteSignature, streaming);
    for wrong in ["", "unsigned-payload", "abc", &BODY_HASH.to_uppercase()] {
        arrived.set("x-amz-content-sha256", wrong);
        arrived.refused(ErrorCode::IncompleteSignature, "neither a SHA-256 in lower-case");
    }
    arrived.add("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
    arrived.refused(ErrorCode::IncompleteSignature, "more than once");
}

#[test]
fn a_session_token_must_be_signed_and_is_passed_over() {
    let mut arrived = Arrived::vector();
    arrived.set("x-amz-security-token", "whatever");
    arrived.refused(ErrorCode::IncompleteSignature, "`SignedHeaders` lacks it");
    arrived.sign("host;x-amz-date;x-amz-security-token", BODY_HASH);
    assert_eq!(arrived.verify(), Ok(()), "signed: covered");
    arrived.set("x-amz-security-token", "other").refused(ErrorCode::SignatureMismatch, "does not match");
}

#[test]
fn a_mismatch_says_what_it_was_calculated_from_and_nothing_secret() {
    let mut arrived = Arrived::vector();
    arrived.query = Some("key=sy_credential".into());
    arrived.set("host", "10.0.0.1:80");
    let text = arrived.verify().expect_err("another host").to_string();
    for part in [
        "`AKIDEXAMPLE`",
        "POST `/model/arn%253Aaws%253A",
        "host `10.0.0.1:80`",
        "signed headers `content-type;host;x-amz-date`",
    ] {
        assert!(text.contains(part), "`{part}` in `{text}`");
    }
    assert!(!text.contains("sy_credential"), "{text}");
    // The signature that would be right is that of a request signed anew.
    arrived.sign("content-type;host;x-amz-date", BODY_HASH);
    assert_eq!(arrived.verify(), Ok(()));
    let right =
        arrived.headers["authorization"].to_str().expect("ASCII").rsplit_once('=').expect("a value").1;
    assert!(!text.contains(right), "{text}");

    arrived.headers.remove("content-type");
    arrived.refused(ErrorCode::SignatureMismatch, "header `content-type` was signed and did not arrive");
    arrived.path = "/".repeat(100_000);
    arrived.add("content-type", "application/json");
    assert!(arrived.verify().expect_err("another path").to_string().len() < 1_000);
    let key = SigningKey::derive(SECRET, &scope("20260102/us-east-1/bedrock/aws4_request"));
    assert_eq!(format!("{key:?}"), "SigningKey");
}

#[test]
fn host_and_authority_stand_in_for_each_other() {
    let names = "host;x-amz-date";
    let mut arrived = Arrived::vector();
    arrived.sign(names, BODY_HASH);
    let host = arrived.headers.remove("host").expect("a host");
    arrived.refused(ErrorCode::SignatureMismatch, "header `host` was signed and did not arrive");
    arrived.authority = Some("steelyard.local:8080".into());
    assert_eq!(arrived.verify(), Ok(()), "a client of HTTP/2 that signs `host`");
    arrived.sign(":authority;x-amz-date", BODY_HASH);
    arrived.authority = None;
    arrived.refused(ErrorCode::SignatureMismatch, "header `:authority` was signed and did not arrive");
    arrived.headers.insert("host", host);
    assert_eq!(arrived.verify(), Ok(()), "a client of HTTP/2 behind a terminator that speaks HTTP/1.1");
    arrived.authority = Some("elsewhere".into());
    arrived.refused(ErrorCode::SignatureMismatch, "does not match");
}

#[test]
fn canonical_paths_and_queries() {
    for (raw, canonical) in [
        ("", "/"),
        ("/", "/"),
        ("/a%3Ab:c", "/a%253Ab%3Ac"),
        ("/a//b/../c/./", "/a//b/../c/./"),
        ("/é+*~", "/%C3%A9%2B%2A~"),
    ] {
        assert_eq!(canonical::path(raw), canonical);
    }
    for (raw, canonical) in [
        ("", ""),
        ("b&a", "a=&b="),
        ("a=2&a=1&a", "a=&a=1&a=2"),
        ("a=b+c&a=b%20d", "a=b%20c&a=b%20d"),
        ("a=b=c", "a=b%3Dc"),
        ("%c3%a9=%2f~", "%C3%A9=%2F~"),
        ("a=%ff&a=%FE", "a=%FE&a=%FF"),
        ("a=%zz%", "a=%25zz%25"),
        ("&&a=1&", "a=1"),
        ("ab=1&a-b=1&a=1", "a=1&a-b=1&ab=1"),
    ] {
        let mut arrived = Arrived::new("/", &[]);
        arrived.query = Some(raw.into());
        arrived.add("host", "h");
        let whole = canonical::request(&arrived.request(), "host", "hash").expect("a host");
        assert_eq!(
            String::from_utf8(whole).expect("UTF-8"),
            format!("POST\n/\n{canonical}\nhost:h\n\nhost\nhash")
        );
    }
}
