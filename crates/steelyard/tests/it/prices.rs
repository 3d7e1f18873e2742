//! What a call costs: exact, from the price in force, and never free for want of a price.

use serde_json::json;
use steelyard_testkit::{Config, Upstream, Wire, chat};

use crate::app::{ask, ask_stream, serve};

#[tokio::test]
async fn every_class_has_its_price_to_the_last_pico() {
    let up = Upstream::start().await;
    let config = Config::new().channel("up", &up, "").price(
        "up",
        "m",
        "0.123457",
        "3.000001",
        "cache_read = \"0.012346\"\ncache_write_5m = \"0.154321\"\nreasoning = \"7.5\"",
    );
    let server = serve(&config).await;
    up.on("m", chat().text("a").usage(1_000, 300).cached(600).cache_write(150).reasoning(200));
    for body in [ask("up/m"), ask_stream("up/m")] {
        let answer = server.admin().chat(&body).await;
        let entry = server.entry(answer.request_id()).await;
        let used =
            ["input", "cache_read", "cache_write_5m", "output", "reasoning"].map(|class| entry.used(class));
        assert_eq!(used, [250, 600, 150, 100, 200], "{entry:#?}");
        let pico = 250 * 123_457 + 600 * 12_346 + 150 * 154_321 + 100 * 3_000_001 + 200 * 7_500_000;
        assert_eq!(entry.pico(), Some(pico), "{entry:#?}");
        assert_eq!(entry.amount_usd.as_deref(), Some(format!("0.{pico:012}").trim_end_matches('0')));
        assert!(entry.attempts[0].price_version.is_some(), "{entry:#?}");
        if !body["stream"].as_bool().unwrap_or(false) {
            assert_eq!(answer.header("x-steelyard-cost-usd"), entry.amount_usd.as_deref());
        }
    }
}

#[tokio::test]
async fn a_class_without_a_price_takes_a_dearer_one_and_says_so() {
    let up = Upstream::start().await;
    let server = serve(&Config::simple(&up)).await;
    up.on("m", chat().text("a").usage(100, 50).cached(40).reasoning(20));
    let answer = server.admin().chat(&ask("m")).await;
    let entry = server.entry(answer.request_id()).await;
    assert_eq!(entry.pico(), Some(100 * 1_000_000 + 50 * 2_000_000), "{entry:#?}");
    assert!(!entry.attempts[0].flags.is_empty(), "the substitution is flagged: {entry:#?}");
}

#[tokio::test]
async fn no_price_is_null_and_never_zero() {
    let up = Upstream::start().await;
    let server = serve(&Config::new().channel("up", &up, "")).await;
    let answer = server.admin().chat(&ask("up/unpriced")).await;
    assert_eq!(answer.header("x-steelyard-cost-usd"), None);
    let entry = server.entry(answer.request_id()).await;
    assert_eq!((entry.amount_pusd.as_deref(), entry.amount_usd.as_deref()), (None, None), "{entry:#?}");
    assert_eq!((entry.used("input"), entry.used("output")), (10, 5), "usage is known all the same");
}

#[tokio::test]
async fn the_price_in_force_counts() {
    let up = Upstream::start().await;
    let dated = |from: &str, input: &str| {
        format!(
            "[[prices]]\nchannel = \"up\"\nmodel = \"m\"\ninput = \"{input}\"\noutput = \"1\"\nfrom = {from}\n"
        )
    };
    let config = Config::new()
        .channel("up", &up, "")
        .toml(&(dated("2126-01-01", "9") + &dated("2026-06-01", "3") + &dated("2026-01-01", "2")));
    let server = serve(&config).await;
    up.on("m", chat().text("a").usage(1, 1));
    let entry = server.entry(server.admin().chat(&ask("up/m")).await.request_id()).await;
    assert_eq!(entry.pico(), Some(3_000_000 + 1_000_000), "{entry:#?}");

    let later = serve(&Config::new().channel("up", &up, "").toml(&dated("2126-01-01", "9"))).await;
    let entry = later.entry(later.admin().chat(&ask("up/m")).await.request_id()).await;
    assert_eq!(entry.pico(), None, "a price that does not hold yet is no price: {entry:#?}");
}

#[tokio::test]
async fn a_price_of_the_operators_own_overrides_the_catalog() {
    let up = Upstream::start().await;
    let openai = format!(
        "[[channels]]\nname = \"openai\"\nprovider = \"openai\"\nbase_url = \"{}\"\napi_key = \"k\"\n",
        up.base_url()
    );
    let server = serve(&Config::new().toml(&openai)).await;
    let list = server.admin().get("/v1/models").await.json();
    let names = list["data"].as_array().unwrap().iter().filter_map(|model| model["id"].as_str());
    let name = names
        .into_iter()
        .find(|id| id.starts_with("gpt-"))
        .expect("the catalog knows OpenAI's models")
        .to_owned();
    up.on(&name, chat().text("a").usage(1_000, 1_000));
    let listed = server.entry(server.admin().chat(&ask(&name)).await.request_id()).await;

    let server = serve(&Config::new().toml(&openai).price("openai", &name, "0.000001", "0.000002", "")).await;
    let own = server.entry(server.admin().chat(&ask(&name)).await.request_id()).await;
    assert_eq!(own.pico(), Some(3_000), "{own:#?}");
    assert!(listed.pico() > own.pico(), "{listed:#?}");
    assert_ne!(own.attempts[0].price_version, listed.attempts[0].price_version);
}

/// Nobody publishes what Bedrock's optimized latency costs: the charge says so, relayed and translated, whole and streamed.
#[tokio::test]
async fn an_optimized_latency_is_no_standard_tier() {
    let up = Upstream::speaking(Wire::Bedrock).await;
    let server = serve(&Config::new().channel("aws", &up, "")).await;
    let model = "amazon.nova-pro-v1:0";
    let converse = json!({ "messages": [{ "role": "user", "content": [{ "text": "hi" }] }],
        "performanceConfig": { "latency": "optimized" } });
    for (latency, tier) in
        [("latency_optimized", Some("latency_optimized")), ("latency_standard", Some("standard"))]
    {
        up.otherwise(chat().text("a").usage(1_000, 500).tier(latency));
        let path = |operation: &str| format!("/model/aws%2F{}/{operation}", model.replace(':', "%3A"));
        let admin = server.admin();
        for answer in [
            admin.post(&path("converse"), &converse).await,
            admin.post(&path("converse-stream"), &converse).await,
            admin.chat(&ask(&format!("aws/{model}"))).await,
            admin.chat(&ask_stream(&format!("aws/{model}"))).await,
        ] {
            assert_eq!(answer.status, 200, "{answer:?}");
            let entry = server.entry(answer.request_id()).await;
            let attempt = &entry.attempts[0];
            assert_eq!(attempt.tier.as_deref(), tier, "{entry:#?}");
            let told = attempt.flags.iter().filter(|flag| flag.ends_with("_at_dearest")).count();
            assert_eq!(told, if latency == "latency_optimized" { 2 } else { 0 }, "{entry:#?}");
            assert!(entry.pico() > Some(0), "{entry:#?}");
        }
    }
}

#[tokio::test]
async fn huge_counts_do_not_overflow() {
    let up = Upstream::start().await;
    let server =
        serve(&Config::new().channel("up", &up, "").price("up", "m", "1000000", "1000000", "")).await;
    up.on("m", chat().text("a").usage(4_000_000_000, 4_000_000_000));
    let mut body = ask("up/m");
    body["max_completion_tokens"] = 10.into();
    let entry = server.entry(server.admin().chat(&body).await.request_id()).await;
    assert_eq!(entry.amount_usd.as_deref(), Some("8000000000"), "{entry:#?}");
    assert!(entry.attempts[0].flags.iter().any(|flag| flag == "overrun"), "it is above its hold: {entry:#?}");
}

/// Bedrock prices a model by where it runs, which its name tells, or the region; the operator may know better.
#[tokio::test]
async fn the_price_is_that_of_where_a_model_runs() {
    let up = Upstream::speaking(Wire::Bedrock).await;
    up.otherwise(chat().text("a").usage(1_000, 500).cached(400));
    let elsewhere = format!(
        "[[channels]]\nname = \"eu\"\nprovider = \"bedrock\"\nbase_url = \"{}\"\nregion = \"eu-west-1\"\napi_key = \"k\"\n",
        up.base_url()
    );
    let own = elsewhere.replace("name = \"eu\"", "name = \"own\"\ngeo = \"us-region\"");
    let server = serve(&Config::new().channel("aws", &up, "").toml(&elsewhere).toml(&own)).await;
    let sum = |input: i128, cached: i128, output: i128| Some(600 * input + 400 * cached + 500 * output);
    let us = sum(3_300_000, 330_000, 16_500_000);
    let nova = sum(60_000, 15_000, 240_000);
    let arn = "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-sonnet-4-6";
    let cases = [
        ("aws/us.anthropic.claude-sonnet-4-6".to_owned(), "us", us),
        ("eu/us.anthropic.claude-sonnet-4-6".to_owned(), "us", us),
        (format!("eu/{arn}"), "us", us),
        ("aws/global.anthropic.claude-sonnet-4-6".to_owned(), "global", sum(3_000_000, 300_000, 15_000_000)),
        ("aws/amazon.nova-lite-v1:0".to_owned(), "us-region", nova),
        ("own/amazon.nova-lite-v1:0".to_owned(), "us-region", nova),
    ];
    for (model, geo, amount) in cases {
        for body in [ask(&model), ask_stream(&model)] {
            let entry = server.entry(server.admin().chat(&body).await.request_id()).await;
            assert_eq!((entry.pico(), entry.attempts[0].geo.as_deref()), (amount, Some(geo)), "{entry:#?}");
            assert!(entry.attempts[0].flags.is_empty(), "{entry:#?}");
        }
    }
    let entry = server.admin().chat(&ask("eu/amazon.nova-lite-v1:0")).await;
    let entry = server.entry(entry.request_id()).await;
    assert_eq!(entry.attempts[0].geo.as_deref(), Some("eu-west-1"), "{entry:#?}");
    // The region has no price: that of the call's own tier elsewhere is taken, not the priority tier's.
    assert_eq!(entry.pico(), nova, "{entry:#?}");
    assert!(entry.attempts[0].flags.iter().any(|flag| flag == "input_geo_assumed"), "{entry:#?}");
    // Neither of these ids is in the catalog, which has the models under others.
    for (model, amount) in [
        ("aws/us.amazon.nova-lite-v1:0", nova),
        ("eu/anthropic.claude-haiku-4-5-20251001-v1:0", sum(1_100_000, 110_000, 5_500_000)),
    ] {
        let entry = server.entry(server.admin().chat(&ask(model)).await.request_id()).await;
        assert_eq!(entry.pico(), amount, "{entry:#?}");
        assert!(entry.attempts[0].flags.iter().any(|flag| flag == "input_geo_assumed"), "{entry:#?}");
    }

    let models = server.admin().get("/api/v1/models").await.json();
    let shown = |channel: &str, model: &str| {
        let data = models["data"].as_array().unwrap();
        let mut offers = data.iter().flat_map(|model| model["offers"].as_array().unwrap());
        let offer =
            offers.find(|offer| offer["channel"] == channel && offer["upstream_model"] == model).unwrap();
        (offer["geo"].clone(), offer["prices"]["input"].clone(), offer["geo_assumed"].clone())
    };
    let claude = shown("aws", "us.anthropic.claude-sonnet-4-6");
    assert_eq!(claude, (json!("us"), json!("3.3"), json!(false)));
    let nova = shown("eu", "amazon.nova-lite-v1:0");
    assert_eq!(nova, (json!("eu-west-1"), json!("0.06"), json!(true)), "what a call is charged");
    let table = server.cli().ok(&["models", "nova-lite"]).await;
    assert!(table.stdout.contains("0.06?*") && table.stdout.contains("0.06*"), "{table:#?}");
    assert!(table.stderr.contains("? the price where the model runs is not known"), "{table:#?}");
}

#[tokio::test]
async fn where_the_vendor_says_it_served_a_translated_call_counts() {
    let up = Upstream::speaking(Wire::Anthropic).await;
    let server = serve(&Config::new().channel("ant", &up, "")).await;
    for (geo, input, output) in [("us", 3_300_000, 16_500_000), ("global", 3_000_000, 15_000_000)] {
        up.otherwise(chat().text("a").usage(1_000, 500).geo(geo));
        for body in [ask("ant/claude-sonnet-4-6"), ask_stream("ant/claude-sonnet-4-6")] {
            let entry = server.entry(server.admin().chat(&body).await.request_id()).await;
            assert_eq!(entry.pico(), Some(1_000 * input + 500 * output), "{entry:#?}");
            assert_eq!(entry.attempts[0].geo.as_deref(), Some(geo), "{entry:#?}");
        }
    }
}
