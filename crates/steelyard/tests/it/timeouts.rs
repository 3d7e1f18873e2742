//! Time limits towards a vendor.

use std::time::{Duration, Instant};

use steelyard_testkit::{Config, End, Reply, Steelyard, Upstream, chat, fault};

use crate::app::{ask, ask_stream, broke_off, refused, serve};

async fn limited(up: &Upstream, limits: &str) -> Steelyard {
    let config = Config::new()
        .channel("up", up, &format!("timeouts = {{ {limits} }}"))
        .price("up", "m", "1.00", "2.00", "")
        .route("r", &["up/m"], "retries = 0");
    serve(&config).await
}

#[tokio::test]
async fn connecting() {
    let up = Upstream::deaf().await;
    let server = limited(&up, r#"connect = "400ms", first_byte = "20s""#).await;
    let begun = Instant::now();
    let answer = server.admin().chat(&ask("r")).await;
    assert!(begun.elapsed() < Duration::from_secs(12), "after {:?}", begun.elapsed());
    refused(&answer, 502, "SY0301");
    let entry = server.only_entry().await;
    assert_eq!(entry.statuses(), ["connect_error"], "{entry:#?}");
    assert_eq!(entry.pico(), Some(0), "nothing was sent");
}

#[tokio::test]
async fn first_byte() {
    let up = Upstream::start().await;
    let server = limited(&up, r#"first_byte = "400ms""#).await;
    for (body, reply) in [
        (ask("r"), fault::hang_before_head()),
        (ask_stream("r"), fault::hang_before_head()),
        (ask_stream("r"), Reply::from(chat().cut_after(0, End::Hang))),
    ] {
        up.next(reply.clone());
        let begun = Instant::now();
        let answer = server.admin().chat(&body).await;
        assert!(begun.elapsed() < Duration::from_secs(12), "after {:?}", begun.elapsed());
        refused(&answer, 504, "SY0302");
        let entry = server.entry(answer.request_id()).await;
        assert_eq!((entry.outcome.as_str(), entry.statuses()), ("timeout", vec!["timeout"]), "{reply:?}");
        assert!(entry.pico() > Some(0), "it was sent and may have been done: {entry:#?}");
        assert_ne!(entry.basis.as_deref(), Some("reported"));
        up.is_idle(0).await;
    }
}

#[tokio::test]
async fn between_two_pieces() {
    let up = Upstream::start().await;
    let server = limited(&up, r#"idle = "1500ms", first_byte = "20s""#).await;
    up.next(fault::hang_in_body());
    let answer = server.admin().chat(&ask("r")).await;
    refused(&answer, 504, "SY0302");
    assert_eq!(server.entry(answer.request_id()).await.outcome, "timeout");

    up.next(chat().texts(["a", "b"]).cut_after(3, End::Hang));
    let begun = Instant::now();
    let answer = server.admin().chat(&ask_stream("r")).await;
    assert!(begun.elapsed() < Duration::from_secs(12), "after {:?}", begun.elapsed());
    broke_off(&answer, "SY0302");
    assert_eq!(answer.content(), "ab");
    let entry = server.entry(answer.request_id()).await;
    assert_eq!((entry.outcome.as_str(), entry.basis.as_deref()), ("timeout", Some("counted")), "{entry:#?}");
    assert!(entry.used("output") > 0 && entry.used("input") > 0, "{entry:#?}");
    up.is_idle(0).await;
}

#[tokio::test]
async fn what_the_vendor_told_before_it_went_silent_is_charged() {
    let up = Upstream::start().await;
    let server = limited(&up, r#"idle = "1s", first_byte = "20s""#).await;
    up.next(fault::hang_after(
        200,
        r#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150}}"#,
    ));
    let answer = server.admin().chat(&ask("r")).await;
    refused(&answer, 504, "SY0302");
    let entry = server.entry(answer.request_id()).await;
    assert_eq!((entry.outcome.as_str(), entry.basis.as_deref()), ("timeout", Some("reported")), "{entry:#?}");
    assert_eq!((entry.used("input"), entry.used("output")), (100, 50), "{entry:#?}");
}

#[tokio::test]
async fn a_sign_of_life_does_not_suspend_the_limits() {
    let up = Upstream::start().await;
    for limits in [r#"idle = "1s", first_byte = "20s""#, r#"total = "1500ms", first_byte = "20s""#] {
        let server = limited(&up, limits).await;
        up.next(fault::hang_after_comment());
        let begun = Instant::now();
        let answer = server.admin().chat(&ask_stream("r")).await;
        assert!(begun.elapsed() < Duration::from_secs(12), "after {:?}", begun.elapsed());
        refused(&answer, 504, "SY0302");
        assert_eq!(server.only_entry().await.outcome, "timeout");
    }
}

#[tokio::test]
async fn slow_but_steady_is_fine() {
    let up = Upstream::start().await;
    let server = limited(&up, r#"idle = "2s""#).await;
    up.next(chat().texts(["a", "b", "c", "d", "e", "f"]).pace(Duration::from_millis(400)).usage(4, 6));
    let answer = server.admin().chat(&ask_stream("r")).await;
    assert_eq!(answer.content(), "abcdef");
    assert_eq!(answer.events().last().map(String::as_str), Some("[DONE]"));
}

#[tokio::test]
async fn comments_alone_do_not_keep_a_stream_alive_for_ever() {
    let up = Upstream::start().await;
    let server = limited(&up, r#"total = "1500ms", idle = "1s""#).await;
    let forever = (0..100).fold(chat().text("a"), |chat, _| chat.comment("ping"));
    up.next(forever.text("b").pace(Duration::from_millis(100)));
    let begun = Instant::now();
    let answer = server.admin().chat(&ask_stream("r")).await;
    assert!(begun.elapsed() < Duration::from_secs(8), "after {:?}", begun.elapsed());
    broke_off(&answer, "SY0302");
}

#[tokio::test]
async fn the_whole_attempt() {
    let up = Upstream::start().await;
    let server = limited(&up, r#"total = "2s", idle = "1500ms""#).await;
    up.next(chat().texts((0..50).map(|_| "x")).pace(Duration::from_millis(200)));
    let begun = Instant::now();
    let answer = server.admin().chat(&ask_stream("r")).await;
    assert!(
        begun.elapsed() >= Duration::from_millis(1900) && begun.elapsed() < Duration::from_secs(8),
        "after {:?}",
        begun.elapsed()
    );
    broke_off(&answer, "SY0302");
    assert!(answer.content().len() >= 2, "what came in time went out");
    assert_eq!(server.entry(answer.request_id()).await.outcome, "timeout");
    up.is_idle(0).await;
}
