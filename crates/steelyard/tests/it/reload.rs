//! Editing the configuration of a running server.

use steelyard_testkit::{Config, Gate, Steelyard, Upstream, chat, until};

use crate::app::{app, ask, ask_stream, refused, serve};

/// Waits until `model` leads somewhere.
pub(crate) async fn resolves(server: &Steelyard, model: &str) {
    until(&format!("`{model}` to be known"), || async {
        let answer = server.admin().get(&format!("/v1/models/{model}")).await;
        (answer.status == 200).then_some(())
    })
    .await;
}

/// Waits until the log says something.
async fn logs(server: &Steelyard, words: &[&str]) {
    let what = format!("the log to have a line with {words:?}");
    until(&what, || {
        std::future::ready(
            server.log().lines().any(|line| words.iter().all(|word| line.contains(word))).then_some(()),
        )
    })
    .await;
}

#[tokio::test]
async fn an_edit_is_picked_up() {
    let app = app().await;
    refused(&app.server.admin().chat(&ask("new")).await, 404, "SY0201");
    app.server.rewrite_config(&Config::simple(&app.up).route("new", &["up/n"], ""));
    resolves(&app.server, "new").await;
    assert_eq!(app.server.admin().chat(&ask("new")).await.status, 200);
    assert_eq!(app.up.last_request().model().as_deref(), Some("n"));
    app.server.rewrite_config(
        &Config::new().channel("up", &app.up, "").price("up", "m", "5", "6", "").route(
            "smart",
            &["up/m"],
            "",
        ),
    );
    until("the new price", || async {
        let answer = app.server.admin().chat(&ask("smart")).await;
        (answer.header("x-steelyard-cost-usd") == Some("0.00008")).then_some(())
    })
    .await;
    refused(&app.server.admin().chat(&ask("new")).await, 404, "SY0201");
}

#[tokio::test]
async fn an_edit_in_place_is_picked_up_too() {
    let app = app().await;
    let text = Config::simple(&app.up).route("new", &["up/n"], "").text();
    std::fs::write(app.server.config_path(), text).unwrap();
    resolves(&app.server, "new").await;
}

#[tokio::test]
async fn a_bad_edit_keeps_the_old_one_and_names_the_line() {
    let app = app().await;
    for (bad, words) in [
        ("[[routes]]\nname = \"new\"\ntargts = []\n", &["targts", "targets"][..]),
        ("[[routes]]\nname = \"new\"\ntargets = [{ channel = \"upp\", model = \"m\" }]\n", &["upp", "up"]),
        ("[[routes]\n", &["steelyard.toml"]),
        (
            "[[prices]]\nchannel = \"up\"\nmodel = \"m\"\ninput = \"1,5\"\noutput = \"1\"\nfrom = 2026-01-01\n",
            &["1,5"],
        ),
        ("[[channels]]\nname = \"two\"\nprovider = \"compatible\"\n", &["two", "base_url"]),
        ("[[channels]]\nname = \"up\"\nprovider = \"sandbox\"\n", &["up", "twice"]),
    ] {
        let line = Config::simple(&app.up).text().lines().count();
        app.server.rewrite_config(&Config::simple(&app.up).toml(bad));
        logs(&app.server, words).await;
        let log = app.server.log();
        let complaint = log.lines().rev().find(|line| words.iter().all(|word| line.contains(word))).unwrap();
        let numbers =
            complaint.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse::<usize>().ok());
        assert!(
            complaint.contains("steelyard.toml")
                && numbers.into_iter().any(|number| number > line && number <= line + 8),
            "file and line (after {line}) are missing for {bad}: {complaint}"
        );
        assert_eq!(app.server.admin().chat(&ask("smart")).await.status, 200, "the old one serves on");
    }
    app.server.rewrite_config(&Config::simple(&app.up).route("good", &["up/m"], ""));
    resolves(&app.server, "good").await;
}

#[tokio::test]
async fn a_call_under_way_keeps_what_it_began_with() {
    let (one, two) = (Upstream::start().await, Upstream::start().await);
    let gate = Gate::new();
    one.next(chat().text("begun").wait(&gate).text(" here").usage(999_998, 2));
    two.otherwise(chat().text("elsewhere"));
    let config = |up: &Upstream, price: &str| {
        Config::new().channel("up", up, "").price("up", "m", price, price, "").route("r", &["up/m"], "")
    };
    let server = serve(&config(&one, "1")).await;
    let mut stream = server.admin().stream(&ask_stream("r")).await;
    stream.until("begun").await;
    let id = stream.request_id();
    server.rewrite_config(&config(&two, "9"));
    until("calls to go elsewhere", || async {
        (server.admin().chat(&ask_stream("r")).await.content() == "elsewhere").then_some(())
    })
    .await;
    gate.open();
    assert_eq!(stream.finish().await.content(), "begun here");
    assert_eq!(server.entry(&id).await.amount_usd.as_deref(), Some("1"), "the price of its dispatch");
}
