//! Where a Bedrock channel without credentials of its own finds them: AWS's chain, from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
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
    // The machine's own address, which is asked last, is not there unless a test says where.
    let quiet = [("AWS_EC2_METADATA_DISABLED", "true")];
    let environment: Vec<_> = quiet.iter().chain(environment).copied().collect();
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

fn in_time(lasts: Duration) -> String {
    Timestamp(now().0 + i64::try_from(lasts.as_micros()).unwrap()).to_string()
}

/// What a container's endpoint says.
fn pair(id: &str, lasts: Duration) -> Reply {
    let body: Value = json!({ "AccessKeyId": id, "SecretAccessKey": SECRET, "Token": "of-a-container", "Expiration": in_time(lasts) });
    Reply::json(200, &body)
}

const HOUR: Duration = Duration::from_hours(1);

/// What AWS's STS says to a token of somebody it trusts (the API's reference, `AssumeRoleWithWebIdentity`).
fn assumed(id: &str, lasts: Duration) -> Reply {
    let body = format!(
        "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
         <AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{id}</AccessKeyId>\
         <SecretAccessKey>{SECRET}</SecretAccessKey><SessionToken>of-a-role</SessionToken>\
         <Expiration>{}</Expiration></Credentials><AssumedRoleUser><AssumedRoleId>AROA:s</AssumedRoleId>\
         <Arn>arn:aws:sts::123456789012:assumed-role/gateway/s</Arn></AssumedRoleUser>\
         </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>",
        in_time(lasts)
    );
    status(200).body("text/xml", body).into()
}

#[tokio::test]
async fn from_a_web_identity_anew_before_they_end() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("token");
    std::fs::write(&file, "first-token").unwrap();
    let sts = Upstream::start().await;
    let url = format!("http://{}", sts.addr());
    let role = "arn:aws:iam::123456789012:role/gateway";
    sts.next(assumed("ASIAFIRST", Duration::from_mins(2)));
    sts.next(assumed("ASIASECOND", HOUR));
    sts.otherwise(status(400));
    let (server, up) = started(&[
        ("AWS_WEB_IDENTITY_TOKEN_FILE", file.to_str().unwrap()),
        ("AWS_ROLE_ARN", role),
        ("AWS_ENDPOINT_URL_STS", &url),
    ])
    .await;
    assert_eq!(sts.count(), 0, "it is asked when a call needs it");
    for (id, token, asked) in
        [("ASIAFIRST", "first-token", 1), ("ASIASECOND", "second-token", 2), ("ASIASECOND", "", 2)]
    {
        // As Kubernetes does, which changes the file under the pod.
        std::fs::write(&file, token).unwrap();
        assert_eq!(call(&server).await.status, 200);
        is_signed(&up.last_request(), id, SECRET, Some("of-a-role"));
        assert_eq!(sts.count(), asked);
        if !token.is_empty() {
            let form = sts.last_request().text();
            for part in ["Action=AssumeRoleWithWebIdentity", &format!("WebIdentityToken={token}"), "gateway"]
            {
                assert!(form.contains(part), "`{part}` in {form}");
            }
        }
    }
    let log = server.log();
    assert!(!log.contains("second-token") && !log.contains(SECRET), "{log}");
}

#[tokio::test]
async fn a_web_identity_that_is_not_trusted_is_a_clear_error() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("token");
    std::fs::write(&file, "a-token").unwrap();
    let sts = Upstream::start().await;
    let url = format!("http://{}", sts.addr());
    let body = "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
                <Code>InvalidIdentityToken</Code><Message>nobody knows it</Message></Error></ErrorResponse>";
    sts.otherwise(status(400).body("text/xml", body));
    let (server, up) = started(&[
        ("AWS_WEB_IDENTITY_TOKEN_FILE", file.to_str().unwrap()),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/gateway"),
        ("AWS_ENDPOINT_URL_STS", &url),
    ])
    .await;
    let begun = Instant::now();
    has_none(&server, &call(&server).await, begun).await;
    eventually("the log says what STS said", || server.log().contains("nobody knows it")).await;
    assert!(!server.log().contains("a-token"), "{}", server.log());
    assert_eq!(up.count(), 0);
}

/// The machine's own address (IMDSv2): a token by PUT, without which it says nothing; then the role, then its keys.
#[tokio::test]
async fn from_the_machine_anew_before_they_end() {
    let imds = Upstream::start().await;
    let given = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&given);
    imds.otherwise(Reply::by(move |request| {
        let text = |text: &str| status(200).body("text/plain", text.to_owned());
        match (request.method.as_str(), request.bare_path()) {
            ("PUT", "/latest/api/token") => {
                text("a-ticket").header("x-aws-ec2-metadata-token-ttl-seconds", "21600").into()
            }
            _ if request.header("x-aws-ec2-metadata-token") != Some("a-ticket") => status(401).into(),
            ("GET", "/latest/meta-data/iam/security-credentials/") => text("gateway-role").into(),
            ("GET", "/latest/meta-data/iam/security-credentials/gateway-role") => {
                let (id, lasts) = match count.fetch_add(1, Ordering::SeqCst) {
                    0 => ("ASIAFIRST", Duration::from_mins(2)),
                    _ => ("ASIASECOND", HOUR),
                };
                Reply::json(
                    200,
                    &json!({
                        "Code": "Success", "LastUpdated": in_time(Duration::ZERO), "Type": "AWS-HMAC",
                        "AccessKeyId": id, "SecretAccessKey": SECRET, "Token": "of-a-machine",
                        "Expiration": in_time(lasts),
                    }),
                )
            }
            _ => status(404).into(),
        }
    }));
    let url = format!("http://{}", imds.addr());
    let (server, up) =
        started(&[("AWS_EC2_METADATA_DISABLED", "false"), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url)]).await;
    for (id, asked) in [("ASIAFIRST", 1), ("ASIASECOND", 2), ("ASIASECOND", 2)] {
        assert_eq!(call(&server).await.status, 200, "{}", server.log());
        is_signed(&up.last_request(), id, SECRET, Some("of-a-machine"));
        assert_eq!(given.load(Ordering::SeqCst), asked);
    }
}

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
async fn what_aws_refuses_is_fetched_anew_once() {
    let endpoint = Upstream::start().await;
    let url = format!("http://{}/creds", endpoint.addr());
    endpoint.next(pair("AKIAFIRST", HOUR));
    endpoint.next(pair("AKIASECOND", HOUR));
    endpoint.otherwise(status(404));
    let (server, up) = started(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url)]).await;
    assert_eq!(call(&server).await.status, 200);
    // What is newer than five seconds is taken to be as good as a new one.
    tokio::time::sleep(Duration::from_millis(5200)).await;
    up.next(status(403).header("x-amzn-errortype", "ExpiredTokenException"));
    let answer = call(&server).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    is_signed(&up.last_request(), "AKIASECOND", SECRET, Some("of-a-container"));
    let entry = server.entry(answer.request_id()).await;
    assert_eq!((entry.outcome.as_str(), entry.statuses()), ("ok", vec!["http_error", "ok"]), "{entry:#?}");
    assert_eq!((endpoint.count(), up.count()), (2, 3));
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
