//! Where a Bedrock channel without credentials of its own finds them: AWS's chain, from outside.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use steelyard_core::{Clock, Timestamp};
use steelyard_testkit::{
    Answer, Config, Gate, Reply, Request, Steelyard, Upstream, chat, eventually, status,
};

use crate::app::BINARY;

const ID: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

fn now() -> Timestamp {
    Clock::System.now()
}

/// A server whose channel `bedrock` leaves it to the chain.
async fn started(environment: &[(&str, &str)]) -> (Steelyard, Upstream) {
    let up = Upstream::start().await;
    up.otherwise(Reply::json(
        200,
        &json!({
            "output": { "message": { "role": "assistant", "content": [{ "text": "Good day." }] } },
            "stopReason": "end_turn",
            "usage": { "inputTokens": 12, "outputTokens": 4, "totalTokens": 16 },
            "metrics": { "latencyMs": 1 },
        }),
    ));
    let config = Config::new().toml(&format!(
        "[[channels]]\nname = \"bedrock\"\nprovider = \"bedrock\"\nregion = \"us-east-1\"\nbase_url = \"http://{}\"\nmodels = [\"m\"]\n",
        up.addr()
    ));
    // The machine's own address, which is asked last, is not there.
    let quiet = [("AWS_EC2_METADATA_DISABLED", "true")];
    let environment: Vec<_> = environment.iter().chain(&quiet).copied().collect();
    (Steelyard::start_with(BINARY, &config, &environment).await, up)
}

async fn call(server: &Steelyard) -> Answer {
    let body = json!({ "messages": [{ "role": "user", "content": [{ "text": "hi" }] }] });
    server.admin().post("/model/bedrock%2Fm/converse", &body).await
}

/// The request is signed by this pair, here and now.
#[track_caller]
fn is_signed(request: &Request, id: &str, secret: &str, token: Option<&str>) {
    use steelyard_dialect::sigv4::{SignedRequest, SigningKey, parse};
    let headers = request
        .headers
        .iter()
        .map(|(name, value)| (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap()))
        .collect();
    let signature = parse(&headers).unwrap().unwrap();
    assert_eq!((signature.access_key_id, signature.scope.region), (id, "us-east-1"));
    assert_eq!(request.header("x-amz-security-token"), token);
    let signed = request.header("authorization").unwrap().contains("x-amz-security-token");
    assert_eq!(signed, token.is_some(), "a token is signed");
    let arrived = SignedRequest {
        method: &http::Method::POST,
        path: &request.path,
        query: None,
        authority: None,
        headers: &headers,
    };
    let key = SigningKey::derive(secret, &signature.scope);
    signature.verify(&arrived, &request.body, &key, now()).unwrap();
}

/// The call has failed for want of credentials, clearly and soon.
async fn has_none(server: &Steelyard, answer: &Answer, begun: Instant) {
    assert!(begun.elapsed() < Duration::from_secs(14), "it took {:?}", begun.elapsed());
    assert_eq!(answer.status, 424, "{answer:?}");
    let body = answer.json();
    assert_eq!(body["steelyard"]["code"], "SY0303", "{body}");
    let said = body["message"].as_str().unwrap();
    assert!(said.contains("channel `bedrock` has no credentials"), "{said}");
    // The log comes by way of a pipe.
    eventually("the log says why", || server.log().contains("AWS's credential chain finds no credentials"))
        .await;
}

#[tokio::test]
async fn from_the_environment() {
    let pair = [("AWS_ACCESS_KEY_ID", ID), ("AWS_SECRET_ACCESS_KEY", SECRET)];
    let (server, up) = started(&pair).await;
    assert_eq!(call(&server).await.status, 200);
    is_signed(&up.last_request(), ID, SECRET, None);

    let (server, up) = started(&[&pair[..], &[("AWS_SESSION_TOKEN", "a-session")]].concat()).await;
    assert_eq!(call(&server).await.status, 200);
    is_signed(&up.last_request(), ID, SECRET, Some("a-session"));
    assert!(!server.log().contains(SECRET));
}

#[tokio::test]
async fn from_a_profile() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("credentials");
    let text = format!(
        "[default]\naws_access_key_id = AKIADEFAULT\naws_secret_access_key = d\n\n\
         [work]\naws_access_key_id = {ID}\naws_secret_access_key = {SECRET}\naws_session_token = of-work\n"
    );
    std::fs::write(&file, text).unwrap();
    let place = ("AWS_SHARED_CREDENTIALS_FILE", file.to_str().unwrap());
    let (server, up) = started(&[place, ("AWS_PROFILE", "work")]).await;
    assert_eq!(call(&server).await.status, 200);
    is_signed(&up.last_request(), ID, SECRET, Some("of-work"));
    let (server, up) = started(&[place]).await;
    assert_eq!(call(&server).await.status, 200);
    is_signed(&up.last_request(), "AKIADEFAULT", "d", None);
    let (server, _up) = started(&[place, ("AWS_PROFILE", "nobody")]).await;
    let begun = Instant::now();
    has_none(&server, &call(&server).await, begun).await;
}

/// What a container's endpoint says.
fn pair(id: &str, lasts: Duration) -> Reply {
    let end = Timestamp(now().0 + i64::try_from(lasts.as_micros()).unwrap());
    let body: Value = json!({ "AccessKeyId": id, "SecretAccessKey": SECRET, "Token": "of-a-container", "Expiration": end.to_string() });
    Reply::json(200, &body)
}

const HOUR: Duration = Duration::from_hours(1);

#[tokio::test]
async fn from_a_containers_endpoint_once_for_as_long_as_they_last() {
    let endpoint = Upstream::start().await;
    let url = format!("http://{}/creds", endpoint.addr());
    let from = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str());
    endpoint.next(pair(ID, HOUR));
    let (server, up) = started(&[from, ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Basic open-sesame")]).await;
    assert_eq!(endpoint.count(), 0, "it is asked when a call needs it");
    for _ in 0..3 {
        assert_eq!(call(&server).await.status, 200);
        is_signed(&up.last_request(), ID, SECRET, Some("of-a-container"));
    }
    let asked = endpoint.only_request();
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("GET", "/creds"));
    assert_eq!(asked.header("authorization"), Some("Basic open-sesame"));

    // Those that are about to end are fetched anew; while nobody gives new ones, they serve to their end.
    let endpoint = Upstream::start().await;
    let url = format!("http://{}/creds", endpoint.addr());
    endpoint.next(pair("AKIAFIRST", Duration::from_mins(2)));
    endpoint.next(pair("AKIASECOND", Duration::from_mins(2)));
    endpoint.otherwise(status(404));
    let (server, up) = started(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url)]).await;
    for id in ["AKIAFIRST", "AKIASECOND", "AKIASECOND"] {
        assert_eq!(call(&server).await.status, 200);
        is_signed(&up.last_request(), id, SECRET, Some("of-a-container"));
    }
}

#[tokio::test]
async fn an_endpoint_that_fails_or_says_nothing_is_a_clear_error_and_soon() {
    let endpoint = Upstream::start().await;
    let url = format!("http://{}/creds", endpoint.addr());
    endpoint.otherwise(status(404));
    let (server, up) = started(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url)]).await;
    let begun = Instant::now();
    has_none(&server, &call(&server).await, begun).await;
    let asked = endpoint.count();
    let begun = Instant::now();
    has_none(&server, &call(&server).await, begun).await;
    assert_eq!(endpoint.count(), asked, "it is left alone for a moment");

    let deaf = Upstream::start().await;
    let url = format!("http://{}/creds", deaf.addr());
    deaf.otherwise(chat().late_until(&Gate::new()));
    let (silent, silent_up) = started(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url)]).await;
    let begun = Instant::now();
    // Those who wait in line do not each wait as long.
    let answers = futures_util::future::join_all((0..4).map(|_| call(&silent))).await;
    for answer in &answers {
        has_none(&silent, answer, begun).await;
    }
    assert_eq!((up.count(), silent_up.count()), (0, 0), "nothing was sent");
    for entry in silent.has_entries(4).await {
        assert_eq!((entry.outcome.as_str(), entry.statuses()), ("upstream_error", vec!["connect_error"]));
        assert_eq!(entry.usage.len(), 0, "{entry:?}");
    }
}

#[tokio::test]
async fn nothing_at_all_is_a_clear_error_too() {
    let (server, up) = started(&[]).await;
    let begun = Instant::now();
    has_none(&server, &call(&server).await, begun).await;
    assert_eq!(up.count(), 0);
}
