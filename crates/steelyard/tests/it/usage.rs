//! `GET /api/v1/usage`: sums over the ledger.

use serde_json::{Value, json};
use steelyard_testkit::{Store, chat};

use crate::app::{app_on, ask, ask_stream, on_each_store};

fn rows(answer: &Value) -> &Vec<Value> {
    answer["data"].as_array().unwrap_or_else(|| panic!("no data: {answer}"))
}

on_each_store!(sums_agree_with_the_entries,);

async fn sums_agree_with_the_entries(store: Store) {
    let Some(app) = app_on(store).await else { return };
    let admin = app.server.admin();
    let key = app.server.create_key("app").await;
    let client = app.server.client(&key.secret);
    app.up.on("m", chat().text("a").usage(100, 10).cached(40));
    app.up.on("x", chat().text("a").usage(7, 3));
    for _ in 0..3 {
        admin.chat(&ask("smart")).await;
        client.chat(&ask_stream("smart")).await;
    }
    client.chat(&ask("up/x")).await;
    let entries = app.server.has_entries(7).await;
    let total: i128 = entries.iter().filter_map(steelyard_testkit::Entry::pico).sum();

    let all = admin.get("/api/v1/usage").await.json();
    assert_eq!(rows(&all).len(), 1, "{all}");
    let row = &rows(&all)[0];
    assert_eq!((row["calls"].as_u64(), row["unpriced_calls"].as_u64()), (Some(7), Some(1)), "{row}");
    assert_eq!(row["amount_pusd"], json!(total.to_string()), "{row}");
    assert_eq!(row["usage"], json!({ "input": 6 * 60 + 7, "cache_read": 240, "output": 63 }), "{row}");

    let by_model = admin.get("/api/v1/usage?by=model,principal").await.json();
    let sums: u64 = rows(&by_model).iter().filter_map(|row| row["calls"].as_u64()).sum();
    assert_eq!((rows(&by_model).len(), sums), (3, 7), "{by_model}");
    let unpriced = rows(&by_model).iter().find(|row| row["model"] == "x").unwrap();
    assert_eq!(
        (unpriced["principal"].as_str(), unpriced["calls"].as_u64()),
        (Some("app"), Some(1)),
        "{by_model}"
    );

    assert_eq!(
        (unpriced["amount_pusd"].clone(), unpriced["amount_usd"].clone(), unpriced["unpriced_calls"].clone()),
        (json!(null), json!(null), json!(1)),
        "what is not known is not free: {unpriced}"
    );
    assert_eq!(by_model["total"]["amount_pusd"], json!(total.to_string()), "{by_model}");
    let only = admin.get("/api/v1/usage?model=x").await.json();
    assert_eq!((&only["total"]["amount_usd"], &rows(&only)[0]["amount_usd"]), (&json!(null), &json!(null)));
    let table = app.server.cli().ok(&["usage", "--by", "model"]).await.stdout;
    let line = |name: &str| {
        let line = table.lines().find(|line| line.starts_with(name));
        line.unwrap_or_else(|| panic!("{table}")).split_whitespace().collect::<Vec<_>>()
    };
    assert_eq!(
        line("MODEL")[1..],
        ["CALLS", "INPUT", "CACHE", "READ", "OUTPUT", "UNPRICED", "USD"],
        "{table}"
    );
    assert_eq!(line("x")[1..], ["1", "7", "0", "3", "1", "unknown"], "{table}");
    assert!(line("total").contains(&"≥"), "{table}");

    let by_day = admin.get("/api/v1/usage?by=day").await.json();
    let today = entries[0].time.split('T').next().unwrap().to_owned();
    assert!(rows(&by_day).iter().any(|row| row["day"] == today.as_str()), "{by_day}");

    let none = admin.get("/api/v1/usage?to=2020-01-01").await.json();
    assert!(rows(&none).iter().all(|row| row["calls"] == 0 && row["amount_pusd"] == "0"), "{none}");
    let since = admin.get(&format!("/api/v1/usage?from={today}")).await.json();
    assert_eq!(rows(&since)[0]["calls"], 7, "{since}");
    let wrong = admin.get("/api/v1/usage?by=colour").await;
    assert_eq!((wrong.status, wrong.json()["error"]["code"].as_str()), (400, Some("SY0002")), "{wrong:?}");
}
