//! The circuit breaker of an offer.

use std::time::Duration;

use steelyard_testkit::{Config, Upstream, chat, status};

use crate::app::{ask, refused, serve};

/// So many failures in a row open it.
const TRIP_AFTER: usize = 5;
/// So long it stays open.
const REST: Duration = Duration::from_secs(10);

#[tokio::test]
async fn it_opens_leaves_the_vendor_alone_and_heals() {
    let (one, two) = (Upstream::start().await, Upstream::start().await);
    one.otherwise(status(500));
    two.otherwise(chat().text("from two"));
    let config = Config::new()
        .channel("one", &one, "")
        .channel("two", &two, "")
        .route("r", &["one/a", "two/b"], "retries = 0")
        .route("alone", &["one/a"], "retries = 0");
    let server = serve(&config).await;
    let client = server.admin();
    for _ in 0..20 {
        assert_eq!(client.chat(&ask("r")).await.content(), "from two");
    }
    assert_eq!(one.count(), TRIP_AFTER, "an open circuit spares the vendor and the caller's time");

    let answer = client.chat(&ask("alone")).await;
    refused(&answer, 503, "SY0309");
    let wait: u64 = answer.header("retry-after").expect("it says when to come again").parse().unwrap();
    assert!((1..=10).contains(&wait), "{wait}");
    assert_eq!(
        client.chat(&ask("one/other")).await.status,
        502,
        "another model of the channel has its own circuit"
    );
    assert!(
        server.entries().await.iter().all(|entry| entry.request_id != answer.request_id()),
        "nothing was sent"
    );

    one.otherwise(chat().text("from one"));
    tokio::time::sleep(REST + Duration::from_millis(200)).await;
    assert_eq!(client.chat(&ask("r")).await.content(), "from one", "the first try after the rest");
    for _ in 0..5 {
        assert_eq!(client.chat(&ask("r")).await.content(), "from one");
    }
}

#[tokio::test]
async fn a_callers_mistakes_do_not_open_it() {
    let up = Upstream::start().await;
    let server = serve(&Config::new().channel("one", &up, "").route("r", &["one/a"], "retries = 0")).await;
    let client = server.admin();
    up.otherwise(status(400));
    for _ in 0..10 {
        assert_eq!(client.chat(&ask("r")).await.status, 400);
    }
    up.otherwise(status(429));
    for _ in 0..10 {
        assert_eq!(client.chat(&ask("r")).await.status, 429);
    }
    up.otherwise(chat().text("fine"));
    assert_eq!(client.chat(&ask("r")).await.status, 200);
}

#[tokio::test]
async fn a_change_of_configuration_does_not_close_it() {
    let up = Upstream::start().await;
    up.otherwise(status(500));
    let config = Config::new().channel("one", &up, "").route("r", &["one/a"], "retries = 0");
    let server = serve(&config).await;
    let client = server.admin();
    for _ in 0..TRIP_AFTER {
        assert_eq!(client.chat(&ask("r")).await.status, 502);
    }
    refused(&client.chat(&ask("r")).await, 503, "SY0309");
    server.rewrite_config(&config.route("second", &["one/a"], "retries = 0"));
    crate::reload::resolves(&server, "second").await;
    refused(&client.chat(&ask("second")).await, 503, "SY0309");
    assert_eq!(up.count(), TRIP_AFTER);
}
