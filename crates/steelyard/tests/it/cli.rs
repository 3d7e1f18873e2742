//! The command line: what it prints, and its exit codes: 0 ok, 1 failed, 2 usage.

use serde_json::{Value, json};
use steelyard_testkit::{Config, chat};

use crate::app::{app, app_with, ask, cli};

#[tokio::test]
async fn help_version_and_usage_errors() {
    let help = cli().ok(&["--help"]).await;
    for verb in ["serve", "demo", "chat", "models", "keys", "usage", "config", "completions"] {
        assert!(help.stdout.contains(verb), "`{verb}` is missing: {}", help.stdout);
    }
    assert!(cli().ok(&["--version"]).await.stdout.starts_with("steelyard "));
    for wrong in [
        &["nonsense"][..],
        &["keys", "nonsense"],
        &["serve", "--nonsense"],
        &["keys", "create"],
        &["completions", "tcsh"],
    ] {
        let run = cli().run(wrong).await;
        assert_eq!(run.code, 2, "{wrong:?}: {run:#?}");
        assert!(!run.stderr.is_empty());
    }
    for verb in ["serve", "chat", "keys", "usage", "config"] {
        assert!(cli().ok(&[verb, "--help"]).await.stdout.contains("Usage"), "{verb}");
    }
}

#[tokio::test]
async fn completions_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(cli().ok(&["completions", shell]).await.stdout.contains("steelyard"), "{shell}");
    }
}

#[tokio::test]
async fn a_pair_for_awss_sdks_is_printed_as_they_read_it() {
    let app = app().await;
    let made = app.server.cli().ok(&["keys", "create", "boto", "--aws"]).await.stdout;
    let variable = |output: &str, name: &str| {
        let line = output.lines().find_map(|line| line.trim().strip_prefix(&format!("export {name}=")));
        line.unwrap_or_else(|| panic!("no {name}: {output}")).to_owned()
    };
    let id = variable(&made, "AWS_ACCESS_KEY_ID");
    assert!(id.starts_with("AKSY"), "{made}");
    assert_eq!(variable(&made, "AWS_SECRET_ACCESS_KEY").len(), 40, "{made}");
    let rotated = app.server.cli().ok(&["keys", "rotate", "boto"]).await.stdout;
    assert_ne!(variable(&rotated, "AWS_ACCESS_KEY_ID"), id);
    let plain = app.server.cli().ok(&["keys", "create", "plain"]).await.stdout;
    assert!(!plain.contains("AWS_"), "{plain}");
}

#[tokio::test]
async fn a_server_that_is_not_there_and_a_wrong_key_fail_with_1() {
    let app = app().await;
    let away =
        cli().env("STEELYARD_URL", "http://127.0.0.1:1").env("STEELYARD_API_KEY", "x").run(&["models"]).await;
    assert_eq!(away.code, 1, "{away:#?}");
    assert!(away.stderr.contains("127.0.0.1:1"), "it names where it looked: {away:#?}");
    let wrong = cli()
        .env("STEELYARD_URL", &app.server.url(""))
        .env("STEELYARD_API_KEY", "wrong")
        .run(&["keys", "list"])
        .await;
    assert_eq!(wrong.code, 1, "{wrong:#?}");
    assert!(wrong.stderr.contains("SY0102") || wrong.stderr.contains("key"), "{wrong:#?}");
    let none = cli().env("STEELYARD_URL", &app.server.url("")).run(&["keys", "list"]).await;
    assert_ne!(none.code, 0, "{none:#?}");
    assert!(none.stderr.contains("STEELYARD_API_KEY"), "it names the remedy: {none:#?}");
}

#[tokio::test]
async fn keys_from_creation_to_revocation() {
    let app = app().await;
    let cli = app.server.cli();
    let made = cli.ok(&["keys", "create", "app", "--output", "json"]).await.json();
    let secret = made["secret"].as_str().unwrap().to_owned();
    assert_eq!(app.server.client(&secret).chat(&ask("smart")).await.status, 200);
    let table = cli.ok(&["keys", "list"]).await.stdout;
    assert!(table.contains("app") && !table.contains(&secret), "{table}");
    let list = cli.ok(&["keys", "list", "--output", "json"]).await.json();
    let keys = list.as_array().or_else(|| list["data"].as_array()).expect("a list");
    assert_eq!(keys.len(), 1);

    let rotated = cli.ok(&["keys", "rotate", "app", "--output", "json"]).await.json();
    let second = rotated["secret"].as_str().unwrap();
    assert_eq!(app.server.client(&secret).chat(&ask("smart")).await.status, 401);
    assert_eq!(app.server.client(second).chat(&ask("smart")).await.status, 200);
    cli.ok(&["keys", "revoke", "app"]).await;
    assert_eq!(app.server.client(second).chat(&ask("smart")).await.status, 401);

    let missing = cli.run(&["keys", "revoke", "nobody"]).await;
    assert_eq!(missing.code, 1, "{missing:#?}");
    assert!(missing.stderr.contains("nobody"), "{missing:#?}");
    let human = cli.ok(&["keys", "create", "web"]).await.stdout;
    assert!(human.contains("web"), "{human}");
}

#[tokio::test]
async fn models_and_usage() {
    let app = app_with(Config::sandbox).await;
    let cli = app.server.cli();
    let table = cli.ok(&["models"]).await.stdout;
    assert!(table.contains("sandbox") && table.contains('m'), "{table}");
    let json = cli.ok(&["models", "--output", "json"]).await.json();
    assert!(json.to_string().contains("sandbox"), "{json}");

    app.up.on("m", chat().text("a").usage(1_000_000, 500_000));
    for _ in 0..3 {
        app.server.admin().chat(&ask("smart")).await;
    }
    app.server.has_entries(3).await;
    let table = cli.ok(&["usage", "--by", "model"]).await.stdout;
    assert!(table.contains('m') && table.contains('6'), "three calls at $2: {table}");
    let json = cli.ok(&["usage", "--by", "model", "--output", "json"]).await.json();
    let rows = json.as_array().or_else(|| json["data"].as_array()).expect("rows");
    assert_eq!(
        (rows[0]["model"].as_str(), rows[0]["calls"].as_u64(), rows[0]["amount_usd"].as_str()),
        (Some("m"), Some(3), Some("6")),
        "{json}"
    );
}

#[tokio::test]
async fn chat_asks_once_and_prints_the_answer() {
    let app = app().await;
    app.up.on("m", chat().texts(["Good ", "day ", "to you"]));
    let cli = app.server.cli();
    let run = cli.ok(&["chat", "-m", "smart", "hello there"]).await;
    assert_eq!(run.stdout.trim(), "Good day to you");
    assert_eq!(app.up.last_request().json()["messages"][0]["content"], "hello there");
    assert!(app.up.last_request().wants_stream());
    let unknown = cli.run(&["chat", "-m", "smrat", "hello"]).await;
    assert_eq!(unknown.code, 1, "{unknown:#?}");
    assert!(unknown.stderr.contains("smart"), "it suggests the nearest name: {unknown:#?}");
    app.up.on("m", chat().texts(["half", "way"]).cut_after(2, steelyard_testkit::End::Reset));
    let broken = cli.run(&["chat", "-m", "smart", "hello"]).await;
    assert_eq!(broken.code, 1, "a broken answer is a failure: {broken:#?}");
}

#[tokio::test]
async fn chat_reads_several_turns_from_a_pipe() {
    let app = app().await;
    app.up.on("m", chat().text("yes"));
    let run = app.server.cli().input("first\nsecond\n").run(&["chat", "-m", "smart"]).await;
    assert_eq!(run.code, 0, "{run:#?}");
    let last = app.up.last_request().json();
    let messages = last["messages"].as_array().unwrap();
    let texts: Vec<_> = messages.iter().filter_map(|message| message["content"].as_str()).collect();
    // Either one prompt of both lines, or two turns with the first answer between them.
    assert!(
        texts == ["first", "yes", "second"] || texts == ["first\nsecond"] || texts == ["first\nsecond\n"],
        "{texts:?}"
    );
}

#[tokio::test]
async fn config_check_schema_and_explain() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("steelyard.toml");
    let file = path.to_str().unwrap();
    std::fs::write(&path, Config::new().sandbox().route("r", &["sandbox/sandbox"], "").text()).unwrap();
    cli().ok(&["config", "check", "--config", file]).await;
    std::fs::write(&path, "[[channels]]\nname = \"a\"\nprovidr = \"sandbox\"\n").unwrap();
    let bad = cli().run(&["config", "check", "--config", file]).await;
    assert_eq!(bad.code, 1, "{bad:#?}");
    let complaint = format!("{}{}", bad.stdout, bad.stderr);
    for word in ["steelyard.toml", "3", "providr", "provider"] {
        assert!(complaint.contains(word), "`{word}` is missing: {complaint}");
    }
    let absent = cli().run(&["config", "check", "--config", "/nowhere/steelyard.toml"]).await;
    assert_eq!(absent.code, 1, "{absent:#?}");

    let schema: Value = cli().ok(&["config", "schema"]).await.json();
    for table in ["server", "channels", "routes", "prices", "ledger"] {
        assert!(!schema["properties"][table].is_null(), "`{table}` is missing");
    }
    assert_eq!(schema["additionalProperties"], json!(false));

    std::fs::write(&path, "[server]\nlisten = \"127.0.0.1:7444\"\n[[channels]]\nname = \"a\"\nprovider = \"compatible\"\nbase_url = \"http://x/v1\"\napi_key = \"very-secret\"\n").unwrap();
    let explained = cli()
        .env("STEELYARD_LISTEN", "127.0.0.1:7555")
        .ok(&["config", "explain", "--config", file])
        .await
        .stdout;
    assert!(
        explained.contains("7555") && explained.contains("STEELYARD_LISTEN"),
        "the environment beats the file: {explained}"
    );
    assert!(!explained.contains("very-secret"), "{explained}");
}

#[tokio::test]
async fn keys_in_the_environment_make_channels() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("steelyard.toml");
    std::fs::write(&path, "").unwrap();
    let explained = cli()
        .env("OPENAI_API_KEY", "sk-from-env")
        .ok(&["config", "explain", "--config", path.to_str().unwrap()])
        .await
        .stdout;
    assert!(explained.contains("openai") && explained.contains("OPENAI_API_KEY"), "{explained}");
    assert!(!explained.contains("sk-from-env"), "{explained}");
    let server = steelyard_testkit::Steelyard::start_with(
        crate::app::BINARY,
        &Config::new(),
        &[("OPENAI_API_KEY", "sk-from-env")],
    )
    .await;
    let channels = server.admin().get("/api/v1/channels").await.json();
    assert!(
        channels["data"].as_array().unwrap().iter().any(|channel| channel["name"] == "openai"),
        "{channels}"
    );
}

#[tokio::test]
async fn demo_walks_the_main_job_and_prints_the_bill() {
    let run = cli().ok(&["demo"]).await;
    assert!(run.stdout.contains("sandbox"), "{run:#?}");
    assert!(
        run.stdout.contains('$') || run.stdout.to_lowercase().contains("usd"),
        "the bill is missing: {run:#?}"
    );
}
