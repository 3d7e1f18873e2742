//! Requests signed as AWS signs them, by AWS's own signer, against the real binary.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, SignableBody, SignableRequest, SigningParams, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use reqwest::Method;
use serde_json::json;
use steelyard_testkit::{Answer, Client, Config, Steelyard, Upstream, Wire, chat};

use super::failing::error;
use super::{World, hi, world};

/// An access key pair of a server's, and how it is used.
#[derive(Clone)]
struct Signer {
    base: String,
    id: String,
    secret: String,
    region: &'static str,
    time: SystemTime,
    token: Option<String>,
    payload: Payload,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Payload {
    /// Its hash is in the signature alone.
    Hashed,
    /// And in the header `x-amz-content-sha256`.
    Told,
    /// `UNSIGNED-PAYLOAD`.
    Unsigned,
}

impl Signer {
    async fn of(server: &Steelyard) -> Self {
        let answer = server.admin().post("/api/v1/keys", &json!({ "name": "aws", "aws": true })).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let key = answer.json();
        let text = |name: &str| key[name].as_str().unwrap_or_else(|| panic!("no {name}: {key}")).to_owned();
        Self {
            base: server.url(""),
            id: text("aws_access_key_id"),
            secret: text("aws_secret_access_key"),
            region: "us-east-1",
            time: SystemTime::now(),
            token: None,
            payload: Payload::Hashed,
        }
    }

    /// The headers that a signed request has beside those it was signed with.
    fn headers(
        &self,
        method: &str,
        path: &str,
        extra: &[(&str, &str)],
        body: &[u8],
    ) -> Vec<(String, String)> {
        let credentials = Credentials::new(&self.id, &self.secret, self.token.clone(), None, "test");
        let identity = credentials.into();
        let mut settings = SigningSettings::default();
        if self.payload != Payload::Hashed {
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        let params: SigningParams<'_> = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name("bedrock")
            .time(self.time)
            .settings(settings)
            .build()
            .unwrap()
            .into();
        let url = format!("{}{path}", self.base);
        let body = match self.payload {
            Payload::Unsigned => SignableBody::UnsignedPayload,
            Payload::Hashed | Payload::Told => SignableBody::Bytes(body),
        };
        let signable = SignableRequest::new(method, &url, extra.iter().copied(), body).unwrap();
        let (instructions, _) = sign(signable, &params).unwrap().into_parts();
        let signed = instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned()));
        extra.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).chain(signed).collect()
    }

    /// Signs and sends a POST.
    async fn post(&self, client: &Client, path: &str, body: &str) -> Answer {
        let headers = self.headers("POST", path, &[("content-type", "application/json")], body.as_bytes());
        send(client, Method::POST, path, headers, body).await
    }
}

async fn send(
    client: &Client,
    method: Method,
    path: &str,
    headers: Vec<(String, String)>,
    body: &str,
) -> Answer {
    let request = client.request(method, path).body(body.to_owned());
    client.send(headers.into_iter().fold(request, |request, (name, value)| request.header(name, value))).await
}

const PATH: &str = "/model/to-openai/converse";

async fn signing() -> (World, Signer, String) {
    let world = world().await;
    let signer = Signer::of(&world.server).await;
    (world, signer, hi(Wire::Bedrock).to_string())
}

#[track_caller]
fn refused(answer: &Answer, name: &str, words: &str) {
    assert_eq!(error(Wire::Bedrock, answer), (403, name.to_owned()), "{}", answer.text());
    assert!(answer.text().contains(words), "`{words}` expected: {}", answer.text());
}

#[tokio::test]
async fn a_right_signature_is_taken_in_every_form() {
    let (world, signer, body) = signing().await;
    let plain = world.server.stranger();
    let http2 = world.server.stranger().over_http2();
    let ago = |seconds| SystemTime::now() - Duration::from_secs(seconds);
    let forms = [
        ("as it is", signer.clone()),
        ("another region", Signer { region: "eu-central-1", ..signer.clone() }),
        ("with a token", Signer { token: Some("a-session-token".to_owned()), ..signer.clone() }),
        ("with the body's hash", Signer { payload: Payload::Told, ..signer.clone() }),
        ("without the body", Signer { payload: Payload::Unsigned, ..signer.clone() }),
        ("four minutes old", Signer { time: ago(240), ..signer.clone() }),
        ("four minutes early", Signer { time: SystemTime::now() + Duration::from_mins(4), ..signer.clone() }),
    ];
    for (name, signer) in forms {
        for (client, version) in [(&plain, "HTTP/1.1"), (&http2, "HTTP/2")] {
            for path in [PATH, "/model/to-anthropic/converse-stream", "/bedrock/model/to-bedrock/converse"] {
                let answer = signer.post(client, path, &body).await;
                assert_eq!(answer.status, 200, "{name} {version} {path}: {}", answer.text());
            }
        }
    }
    let entry = world.server.has_entries(1).await.remove(0);
    assert_eq!(entry.principal, "aws", "{entry:#?}");
}

#[tokio::test]
async fn a_signature_counts_on_every_path_and_every_method() {
    let (world, signer, _) = signing().await;
    let client = world.server.stranger();
    for (path, wire) in [("/v1/chat/completions", Wire::OpenAi), ("/v1/messages?beta=true", Wire::Anthropic)]
    {
        let mut body = hi(wire);
        body["model"] = json!("to-openai");
        let answer = signer.post(&client, path, &body.to_string()).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
    for path in [
        "/v1/models",
        "/v1/models/to-openai",
        "/foundation-models",
        "/foundation-models?byOutputModality=TEXT&byInferenceType=ON_DEMAND",
        "/foundation-models/to-openai",
        "/inference-profiles?maxResults=10",
    ] {
        let headers = signer.headers("GET", path, &[], b"");
        let answer = send(&client, Method::GET, path, headers, "").await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
    let eu = Signer { region: "eu-central-1", ..signer };
    let answer = send(
        &client,
        Method::GET,
        "/foundation-models",
        eu.headers("GET", "/foundation-models", &[], b""),
        "",
    );
    let listed = answer.await.json();
    let arn = listed["modelSummaries"][0]["modelArn"].as_str().unwrap().to_owned();
    assert!(arn.starts_with("arn:aws:bedrock:eu-central-1::"), "{arn}");
}

#[tokio::test]
async fn whoever_has_not_the_secret_is_refused() {
    let (world, signer, body) = signing().await;
    let client = world.server.stranger();
    let mismatch = ("InvalidSignatureException", "does not match");
    let wrong = Signer { secret: "wrong".to_owned(), ..signer.clone() };
    refused(&wrong.post(&client, PATH, &body).await, mismatch.0, mismatch.1);
    let unknown = Signer { id: "AKIAUNKNOWN".to_owned(), ..signer.clone() };
    refused(&unknown.post(&client, PATH, &body).await, "UnrecognizedClientException", "not known here");
    // Which is also what one that was overheard looks like when it is sent again later.
    let late = Signer { time: SystemTime::now() - Duration::from_mins(6), ..signer.clone() };
    refused(&late.post(&client, PATH, &body).await, mismatch.0, "Signature expired");
    let early = Signer { time: SystemTime::now() + Duration::from_mins(6), ..signer.clone() };
    refused(&early.post(&client, PATH, &body).await, mismatch.0, "Signature not yet current");

    let json = [("content-type", "application/json"), ("x-amz-user-agent", "mine")];
    let sign = |signer: &Signer| signer.headers("POST", PATH, &json, body.as_bytes());
    // Signed well, then changed on the way.
    let other_body = hi(Wire::Bedrock).to_string().replace("hi", "ho");
    for payload in [Payload::Hashed, Payload::Told] {
        let signer = Signer { payload, ..signer.clone() };
        let answer = send(&client, Method::POST, PATH, sign(&signer), &other_body).await;
        assert_eq!(error(Wire::Bedrock, &answer), (403, mismatch.0.to_owned()), "{}", answer.text());
    }
    let changed = |name: &str, from: &str, to: &str| {
        let mut headers = sign(&signer);
        let header = headers.iter_mut().find(|(header, _)| header == name).unwrap();
        assert!(header.1.contains(from), "{}", header.1);
        header.1 = header.1.replace(from, to);
        headers
    };
    for headers in [
        changed("x-amz-user-agent", "mine", "yours"),
        changed("authorization", "us-east-1", "us-east-2"),
        changed("authorization", "/bedrock/", "/s3/"),
    ] {
        let answer = send(&client, Method::POST, PATH, headers, &body).await;
        assert_eq!(error(Wire::Bedrock, &answer), (403, mismatch.0.to_owned()), "{}", answer.text());
    }
    let answer = send(&client, Method::POST, "/model/to-bedrock/converse", sign(&signer), &body).await;
    refused(&answer, mismatch.0, mismatch.1);
    let answer = send(&client, Method::POST, &format!("{PATH}?x=1"), sign(&signer), &body).await;
    refused(&answer, mismatch.0, mismatch.1);
    let mut gone = sign(&signer);
    gone.retain(|(name, _)| name != "x-amz-user-agent");
    refused(&send(&client, Method::POST, PATH, gone, &body).await, mismatch.0, "x-amz-user-agent");
    let mut token = sign(&signer);
    token.push(("x-amz-security-token".to_owned(), "put in on the way".to_owned()));
    let answer = send(&client, Method::POST, PATH, token, &body).await;
    refused(&answer, "IncompleteSignatureException", "`x-amz-security-token` was sent");
    let cut = changed("authorization", "SignedHeaders=", "Signed=");
    let answer = send(&client, Method::POST, PATH, cut, &body).await;
    refused(&answer, "IncompleteSignatureException", "`Signed`");

    for wire in Wire::ALL {
        assert_eq!(world.vendor(wire).count(), 0, "a request of a stranger went upstream");
    }
    let log = world.server.log();
    assert!(!log.contains(&signer.secret), "the secret is in the log");
}

#[tokio::test]
async fn a_refusal_is_in_the_shape_of_the_path() {
    let (world, signer, _) = signing().await;
    let client = world.server.stranger();
    let wrong = Signer { secret: "wrong".to_owned(), ..signer };
    for (path, wire, name) in [
        ("/v1/chat/completions", Wire::OpenAi, "invalid_request_error"),
        ("/v1/messages", Wire::Anthropic, "authentication_error"),
    ] {
        let answer = wrong.post(&client, path, &hi(wire).to_string()).await;
        assert_eq!(error(wire, &answer), (401, name.to_owned()), "{}", answer.text());
    }
}

#[tokio::test]
async fn a_revoked_or_rotated_pair_is_refused() {
    let (world, signer, body) = signing().await;
    let client = world.server.stranger();
    assert_eq!(signer.post(&client, PATH, &body).await.status, 200);
    let keys = world.server.admin().get("/api/v1/keys").await.json();
    let id = keys["data"].as_array().unwrap().iter().find(|key| key["name"] == "aws").unwrap()["id"].clone();
    let path = format!("/api/v1/keys/{}", id.as_str().unwrap());
    assert!(world.server.admin().delete(&path).await.status < 300);
    refused(&signer.post(&client, PATH, &body).await, "UnrecognizedClientException", "not known here");
}

#[tokio::test]
async fn names_in_every_writing_are_verified_and_reach_the_vendor() {
    let bedrock = Upstream::speaking(Wire::Bedrock).await;
    let arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1";
    let models = format!("models = [\"us.x-v1:0\", \"{arn}\"]");
    let server = crate::app::serve(&Config::new().channel("aws", &bedrock, &models)).await;
    let signer = Signer::of(&server).await;
    let body = hi(Wire::Bedrock).to_string();
    for client in [server.stranger(), server.stranger().over_http2()] {
        for (path, name) in [
            ("/model/us.x-v1:0/converse", "us.x-v1:0"),
            ("/model/us.x-v1%3A0/converse", "us.x-v1:0"),
            ("/model/us.x-v1%3a0/converse-stream", "us.x-v1:0"),
            ("/model/arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1/converse", arn),
            (
                "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fa1/converse",
                arn,
            ),
            ("/bedrock/model/aws%2Fus.x-v1%3A0/converse", "us.x-v1:0"),
        ] {
            bedrock.next(chat().text("a"));
            let answer = signer.post(&client, path, &body).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            assert_eq!(bedrock.last_request().model().as_deref(), Some(name), "{path}");
        }
    }
}

#[tokio::test]
async fn one_steelyard_takes_what_another_signs() {
    let world = world().await;
    let pair = Signer::of(&world.server).await;
    let config = Config::new().toml(&format!(
        "[[channels]]\nname = \"next\"\nprovider = \"bedrock\"\nregion = \"eu-west-1\"\nbase_url = \"{}\"\n\
         credentials = {{ access_key_id = \"{}\", secret_access_key = \"{}\" }}\n\
         models = [\"openai/m\", \"to-anthropic\"]\n",
        world.server.url(""),
        pair.id,
        pair.secret
    ));
    let front = crate::app::serve(&config).await;
    for model in ["next/to-anthropic", "next/openai/m"] {
        for stream in [false, true] {
            let body = json!({ "model": model, "stream": stream, "messages": [{ "role": "user", "content": "hi" }] });
            let answer = front.admin().chat(&body).await;
            assert_eq!((answer.status, answer.content().as_str()), (200, "hello"), "{}", answer.text());
        }
    }
}
