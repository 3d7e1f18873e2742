//! How a model's name leads to a target.

use serde_json::json;
use steelyard_testkit::{Config, Upstream, Wire, chat};

use crate::app::{app, ask, refused, serve};

#[tokio::test]
async fn route_channel_model_and_bare_name() {
    let app = app().await;
    for (name, upstream, route) in [
        ("smart", "m", "smart"),
        ("up/m", "m", "up/m"),
        ("m", "m", "m"),
        ("up/other", "other", "up/other"),
        ("up/org/deep", "org/deep", "up/org/deep"),
    ] {
        let answer = app.server.admin().chat(&ask(name)).await;
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
        assert_eq!(app.up.last_request().model().as_deref(), Some(upstream), "{name}");
        let entry = app.server.entry(answer.request_id()).await;
        assert_eq!(
            (entry.route.as_str(), entry.attempts[0].upstream_model.as_str()),
            (route, upstream),
            "{name}"
        );
        assert_eq!(entry.amount_pusd.is_some(), upstream == "m", "only `m` has a price: {entry:#?}");
    }
}

#[tokio::test]
async fn a_route_comes_before_a_model_of_the_same_name() {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    let config = Config::new()
        .channel("one", &first, r#"models = ["m"]"#)
        .channel("two", &second, r#"models = ["m"]"#)
        .route("m", &["two/m"], "");
    let server = serve(&config).await;
    assert_eq!(server.admin().chat(&ask("m")).await.status, 200);
    assert_eq!((first.count(), second.count()), (0, 1));
    assert_eq!(server.admin().chat(&ask("one/m")).await.status, 200);
    assert_eq!((first.count(), second.count()), (1, 1));
}

#[tokio::test]
async fn a_bare_name_leads_to_every_channel_that_has_it() {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    first.otherwise(steelyard_testkit::status(500));
    second.otherwise(chat().text("from two"));
    let config = Config::new().channel("one", &first, r#"models = ["shared"]"#).channel(
        "two",
        &second,
        r#"models = ["shared"]"#,
    );
    let server = serve(&config).await;
    let answer = server.admin().chat(&ask("shared")).await;
    assert_eq!(answer.content(), "from two", "{answer:?}");
    assert_eq!(first.count(), 1, "channels are tried in the order of their declaration");
}

#[tokio::test]
async fn catalog_id_and_vendors_bare_name_lead_to_the_vendors_channel() {
    let up = Upstream::start().await;
    let server = serve(&Config::new().toml(&format!(
        "[[channels]]\nname = \"openai\"\nprovider = \"openai\"\nbase_url = \"{}\"\napi_key = \"k\"\n",
        up.base_url()
    )))
    .await;
    let list = server.admin().get("/v1/models").await.json();
    let names = list["data"].as_array().unwrap().iter().filter_map(|model| model["id"].as_str());
    let name = names
        .into_iter()
        .find(|id| id.starts_with("gpt-"))
        .expect("the catalog knows a model of OpenAI's")
        .to_owned();
    for called in [name.clone(), format!("openai/{name}")] {
        let answer = server.admin().chat(&ask(&called)).await;
        assert_eq!(answer.status, 200, "{called}: {answer:?}");
        assert_eq!(up.last_request().model().as_deref(), Some(name.as_str()));
        let entry = server.entry(answer.request_id()).await;
        assert_eq!(entry.model.as_deref(), Some(format!("openai/{name}").as_str()), "{entry:#?}");
        assert!(entry.pico().is_some_and(|pico| pico > 0), "the price book has a price: {entry:#?}");
    }
}

#[tokio::test]
async fn an_arn_that_nothing_says_anything_of_is_answered_with_how_it_is_called() {
    let bedrock = Upstream::speaking(Wire::Bedrock).await;
    let server = serve(&Config::new().channel("aws", &bedrock, "")).await;
    let arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2";
    let answer = server.admin().chat(&ask(arn)).await;
    refused(&answer, 404, "SY0201");
    for hint in ["the `models` of a channel of provider `bedrock`", "`CHANNEL/arn:…`"] {
        assert!(answer.text().contains(hint), "`{hint}` in {}", answer.text());
    }
    assert_eq!(server.admin().chat(&ask(&format!("aws/{arn}"))).await.status, 200);
    assert_eq!(bedrock.last_request().model().as_deref(), Some(arn));
    let declared = Config::new().channel("aws", &bedrock, &format!("models = [\"{arn}\"]"));
    assert_eq!(serve(&declared).await.admin().chat(&ask(arn)).await.status, 200);
}

#[tokio::test]
async fn an_unknown_name_is_answered_with_the_nearest() {
    let app = app().await;
    for (name, near) in [("smrat", "smart"), ("Smart", "smart"), ("upp/m", "up/m")] {
        let answer = app.server.admin().chat(&ask(name)).await;
        refused(&answer, 404, "SY0201");
        let error = &answer.json()["error"];
        assert_eq!(
            (error["code"].as_str(), error["param"].as_str()),
            (Some("model_not_found"), Some("model")),
            "{error}"
        );
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(name) && message.contains(near), "{message}");
    }
    let far = app.server.admin().chat(&ask(&"z".repeat(3000))).await;
    refused(&far, 404, "SY0201");
    assert!(far.text().len() < 1500, "a long name is not repeated whole");
    let strange = app.server.admin().chat(&json!({ "model": "\u{0}\r\nx: y", "messages": [] })).await;
    refused(&strange, 404, "SY0201");
    let empty = app.server.admin().chat(&ask("")).await;
    assert!([400, 404].contains(&empty.status), "{empty:?}");
    assert_eq!(app.up.count(), 0);
    assert_eq!(app.server.settled_entries().await, []);
}
