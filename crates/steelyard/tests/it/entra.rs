//! A channel of provider `azure` that is let in by tokens of Microsoft Entra.

use std::time::Duration;

use serde_json::{Value, json};
use steelyard_testkit::{Answer, Config, Gate, Reply, Steelyard, Upstream, chat, eventually, status};

use crate::app::{BINARY, ask, ask_stream, refused};

const SECRET: &str = "s~e/c r&t=";

/// A server whose channel `az` asks `entra` for tokens.
async fn started(entra: &Upstream) -> (Steelyard, Upstream) {
    let up = Upstream::start().await;
    let config = Config::new().head("[server]\ndrain_timeout = \"1s\"").toml(&format!(
        "[[channels]]\nname = \"az\"\nprovider = \"azure\"\nbase_url = \"http://{}\"\nmodels = [\"m\"]\n\
         [channels.entra]\ntenant = \"hansa.example\"\nclient_id = \"an-id\"\nclient_secret = \"env:ENTRA_SECRET\"\n\
         authority = \"http://{}/\"\n",
        up.addr(),
        entra.addr(),
    ));
    (Steelyard::start_with(BINARY, &config, &[("ENTRA_SECRET", SECRET)]).await, up)
}

/// What Microsoft's token endpoint says.
fn granted(token: &str, lasts: Duration) -> Reply {
    let body = json!({
        "token_type": "Bearer", "expires_in": lasts.as_secs(), "ext_expires_in": lasts.as_secs(), "access_token": token,
    });
    Reply::json(200, &body)
}

async fn call(server: &Steelyard) -> Answer {
    server.admin().chat(&ask("az/m")).await
}

/// The call has failed for want of a token; the log says why.
async fn has_none(server: &Steelyard, answer: &Answer, why: &str) {
    refused(answer, 502, "SY0303");
    let said = answer.json()["error"]["message"].to_string();
    assert!(said.contains("channel `az` has no credentials"), "{said}");
    eventually("the log says why", || server.log().contains(why)).await;
    assert!(!server.log().contains(SECRET), "{}", server.log());
}

#[tokio::test]
async fn a_token_lets_in_for_as_long_as_it_lasts() {
    let entra = Upstream::start().await;
    entra.next(granted("token-first", Duration::from_mins(2)));
    entra.next(granted("token-second", Duration::from_hours(1)));
    entra.otherwise(status(500));
    let (server, up) = started(&entra).await;
    assert_eq!(entra.count(), 0, "it is asked when a call needs it");
    up.otherwise(chat().text("hello"));
    for (token, asked) in [("token-first", 1), ("token-second", 2), ("token-second", 2)] {
        assert_eq!(call(&server).await.content(), "hello", "{}", server.log());
        let sent = up.last_request();
        assert_eq!(sent.header("authorization"), Some(format!("Bearer {token}").as_str()));
        assert_eq!(sent.header("api-key"), None);
        assert_eq!(entra.count(), asked);
    }
    assert_eq!(server.admin().chat(&ask_stream("az/m")).await.content(), "hello");
    let asked = entra.last_request();
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("POST", "/hansa.example/oauth2/v2.0/token"));
    assert_eq!(asked.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(
        asked.text(),
        "grant_type=client_credentials&client_id=an-id&client_secret=s~e%2Fc%20r%26t%3D\
         &scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default"
    );
    let log = server.log();
    assert!(!log.contains("token-") && !log.contains(SECRET), "{log}");
}

#[tokio::test]
async fn a_token_that_is_about_to_end_serves_while_nobody_gives_a_new_one() {
    let entra = Upstream::start().await;
    entra.next(granted("token-first", Duration::from_mins(2)));
    entra.otherwise(status(503));
    let (server, up) = started(&entra).await;
    for _ in 0..3 {
        assert_eq!(call(&server).await.status, 200, "{}", server.log());
        assert_eq!(up.last_request().header("authorization"), Some("Bearer token-first"));
    }
    assert_eq!(entra.count(), 2, "it is left alone for a moment");
}

#[tokio::test]
async fn a_refusal_is_a_clear_error_and_nothing_is_sent() {
    let refusals: &[(Reply, &str)] = &[
        (
            Reply::json(
                401,
                &json!({
                    "error": "invalid_client",
                    "error_description":
                        format!("AADSTS7000215: Invalid client secret {SECRET} provided.\r\nTrace ID: 0"),
                    "error_codes": [7_000_215],
                }),
            ),
            "gives application an-id no token: invalid_client: AADSTS7000215: Invalid client secret *** provided.",
        ),
        (status(503).body("text/html", "<html>").into(), "it answers with status 503"),
        (Reply::json(200, &json!({ "token": "not-this-one" })), "its answer holds no token"),
        (granted("a\nb", Duration::from_hours(1)), "its token holds characters"),
    ];
    for (reply, why) in refusals {
        let entra = Upstream::start().await;
        entra.otherwise(reply.clone());
        let (server, up) = started(&entra).await;
        has_none(&server, &call(&server).await, why).await;
        assert_eq!(up.count(), 0);
        let asked = entra.count();
        has_none(&server, &call(&server).await, why).await;
        assert_eq!(entra.count(), asked, "it is left alone for a moment");
        let log = server.log();
        assert!(!log.contains("Trace ID") && !log.contains("not-this-one"), "{log}");
        for entry in server.has_entries(2).await {
            assert_eq!((entry.outcome.as_str(), entry.usage.len()), ("upstream_error", 0), "{entry:?}");
        }
    }
}

#[tokio::test]
async fn one_that_says_nothing_is_not_waited_for_by_each() {
    let entra = Upstream::start().await;
    entra.otherwise(chat().late_until(&Gate::new()));
    let (server, up) = started(&entra).await;
    let begun = std::time::Instant::now();
    let answers = futures_util::future::join_all((0..4).map(|_| call(&server))).await;
    for answer in &answers {
        has_none(&server, answer, "there is no answer within 10s").await;
    }
    assert!(begun.elapsed() < Duration::from_secs(14), "it took {:?}", begun.elapsed());
    assert_eq!(up.count(), 0);
}

#[tokio::test]
async fn another_target_takes_over_where_there_is_no_token() {
    let (entra, other) = (Upstream::start().await, Upstream::start().await);
    entra.otherwise(status(400));
    let config = Config::new().channel("other", &other, "").toml(&format!(
        "[[channels]]\nname = \"az\"\nprovider = \"azure\"\nbase_url = \"http://{}\"\n\
         [channels.entra]\ntenant = \"t\"\nclient_id = \"i\"\nclient_secret = \"s\"\nauthority = \"http://{}\"\n",
        other.addr(),
        entra.addr(),
    ));
    let server = Steelyard::start(BINARY, &config.route("r", &["az/m", "other/m"], "retries = 0")).await;
    other.otherwise(chat().text("from the other"));
    let answer = server.admin().chat(&ask("r")).await;
    assert_eq!(answer.content(), "from the other", "{answer:?}");
    let body: Value = other.only_request().json();
    assert_eq!(body["model"], "m");
}

/// A call that ends while it waits for a token, in whichever way, has sent nothing: nothing of it is on record.
#[tokio::test]
async fn what_ended_while_it_waited_for_a_token_makes_no_entry() {
    let entra = Upstream::start().await;
    entra.otherwise(chat().late_until(&Gate::new()));
    let (mut server, up) = started(&entra).await;
    let call = |server: &Steelyard| {
        let client = server.admin();
        let request = client.request(reqwest::Method::POST, "/v1/chat/completions").json(&ask("az/m"));
        tokio::spawn(request.send())
    };
    let gone = call(&server);
    entra.has_requests(1).await;
    gone.abort();
    assert_eq!(server.settled_entries().await, []);

    let killed = call(&server);
    entra.has_requests(2).await;
    server.kill().await;
    assert!(killed.await.unwrap().is_err());
    server.restart().await;
    assert_eq!(server.settled_entries().await, [], "it is charged at its hold");

    let client = server.admin();
    let cut = tokio::spawn(async move { client.chat(&ask("az/m")).await });
    entra.has_requests(3).await;
    server.terminate();
    assert!(server.ended(Duration::from_secs(8)).await.is_some());
    refused(&cut.await.unwrap(), 503, "SY0402");
    server.restart().await;
    assert_eq!(server.settled_entries().await, []);
    assert_eq!(up.count(), 0);
}

/// So long a token that the vendor refuses is taken to be as good as a new one would be.
const YOUNG: Duration = Duration::from_millis(5200);

#[tokio::test]
async fn a_token_that_the_vendor_refuses_is_fetched_anew_once() {
    let entra = Upstream::start().await;
    entra.next(granted("token-first", Duration::from_hours(1)));
    entra.next(granted("token-second", Duration::from_hours(1)));
    entra.otherwise(status(500));
    let (server, up) = started(&entra).await;
    up.next(chat().text("hello"));
    assert_eq!(call(&server).await.content(), "hello");
    tokio::time::sleep(YOUNG).await;

    // Taken back before its end, as after a change of rights.
    up.next(status(401));
    up.next(chat().text("again").usage(10, 5));
    let answer = call(&server).await;
    assert_eq!(answer.content(), "again", "{answer:?}\n{}", server.log());
    assert_eq!(up.last_request().header("authorization"), Some("Bearer token-second"));
    let entry = server.entry(answer.request_id()).await;
    assert_eq!((entry.outcome.as_str(), entry.statuses()), ("ok", vec!["http_error", "ok"]), "{entry:#?}");
    assert_eq!(entry.attempts[0].usage.len(), 0, "{entry:#?}");
    assert_eq!((entra.count(), up.count()), (2, 3));

    // Whatever the token, it is refused: neither is asked for more.
    up.otherwise(status(401));
    for _ in 0..3 {
        refused(&call(&server).await, 502, "SY0303");
    }
    assert_eq!((entra.count(), up.count()), (2, 6), "one that is new is not fetched anew");
}

#[tokio::test]
async fn a_refused_token_serves_while_nobody_gives_another() {
    let entra = Upstream::start().await;
    entra.next(granted("token-first", Duration::from_hours(1)));
    entra.otherwise(status(503));
    let (server, up) = started(&entra).await;
    up.next(chat().text("hello"));
    assert_eq!(call(&server).await.status, 200);
    tokio::time::sleep(YOUNG).await;
    // The vendor was wrong for a moment.
    up.next(status(403));
    up.otherwise(chat().text("hello"));
    for _ in 0..3 {
        assert_eq!(call(&server).await.content(), "hello", "{}", server.log());
        assert_eq!(up.last_request().header("authorization"), Some("Bearer token-first"));
    }
    assert_eq!(entra.count(), 2, "it is left alone for a moment");
}
