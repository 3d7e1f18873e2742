use std::path::{Path, PathBuf};

use super::*;
use crate::config::origin::explain;
use crate::config::{LogFormat, Severity};

/// What a file's problems look like.
fn refused(text: &str) -> String {
    Loaded::of(text, &[]).map(|loaded| loaded.config).expect_err("the file has a mistake").to_string()
}

fn warned(text: &str, environment: &[(&str, &str)]) -> Vec<String> {
    let loaded = Loaded::of(text, environment).unwrap_or_else(|error| panic!("{error}"));
    let path = PathBuf::from(DEFAULT_FILE);
    loaded.warnings.iter().map(|warning| warning.line(Some(&path))).collect()
}

const CHANNEL: &str = "[[channels]]\nname = \"up\"\nprovider = \"compatible\"\nbase_url = \"http://up/v1\"\n";

#[test]
fn every_mistake_is_shown_with_its_line_and_a_remedy() {
    let two = format!("{CHANNEL}\n{CHANNEL}");
    let cases: &[(&str, &str)] = &[
        (
            "[server]\nlistn = \"x\"\n",
            "error: unknown field `listn`\n --> steelyard.toml:2:1\n  |\n2 | listn = …\n  | ^^^^^\n  = help: did you mean `listen`?",
        ),
        (
            "[sever]\n",
            "error: unknown section `sever`\n --> steelyard.toml:1:2\n  |\n1 | [sever]\n  |  ^^^^^\n  = help: did you mean `server`?",
        ),
        (
            "[server]\nmax_body = \"lots\"\n",
            "error: `lots` is not a number of bytes: write it as 512KiB or 64MiB\n --> steelyard.toml:2:12\n  |\n2 | max_body = \"lots\"\n  |            ^^^^^^",
        ),
        (
            "[server]\nmax_body = \"0\"\n",
            "error: 0 bytes let nothing through: write it as 512KiB or 64MiB\n --> steelyard.toml:2:12\n  |\n2 | max_body = \"0\"\n  |            ^^^",
        ),
        (
            "[[channels]]\nname = \"a\"\nprovider = \"sandbox\"\nmax_answer = 0\n",
            "error: 0 bytes let nothing through: write it as 512KiB or 64MiB\n --> steelyard.toml:4:14\n  |\n4 | max_answer = 0\n  |              ^",
        ),
        (
            "[server]\nlisten = 5\n",
            "error: an integer cannot stand here\n --> steelyard.toml:2:10\n  |\n2 | listen = 5\n  |          ^\n  = help: expected a string",
        ),
        (
            "[[prices]]\nchannel = \"sandbox\"\nmodel = \"m\"\nfrom = 2026-01-01\ninput = \"1\"\noutput = \"2\"\ncontext_window = 0\n",
            "error: a context_window of 0 leaves room for no call\n --> steelyard.toml:7:18\n  |\n7 | context_window = 0\n  |                  ^\n  = help: give the number of tokens, or leave it out",
        ),
        (
            "[[channels]]\nname = \"a\"\nprovider = \"azure\"\nbase_url = \"http://a\"\nentra = { tenant = \"\", client_id = \"i\", client_secret = \"vault:s\" }\n",
            "error: channel `a`: the tenant is empty\n --> steelyard.toml:5:20\n  |\n5 | entra = { tenant = \"\", client_id = \"i\", client_secret = \"vault:s\" }\n  |                    ^^\n  = help: give the one that Microsoft Entra shows",
        ),
        (
            "[server]\nbody_timeout = \"0s\"\n",
            "error: `0s` is not a length of time: write it as 500ms, 10s or 2m\n --> steelyard.toml:2:16\n  |\n2 | body_timeout = \"0s\"\n  |                ^^^^",
        ),
        (
            "[server]\nlisten = \"nowhere\"\n",
            "error: `nowhere` is not an address to listen on\n --> steelyard.toml:2:10\n  |\n2 | listen = \"nowhere\"\n  |          ^^^^^^^^^\n  = help: write it as 127.0.0.1:7300 or [::]:7300",
        ),
        (
            "[ledger]\ndurability = \"proces\"\n",
            "error: unknown value `proces`\n --> steelyard.toml:2:14\n  |\n2 | durability = \"proces\"\n  |              ^^^^^^^^\n  = help: did you mean `process`?",
        ),
        (
            "[channels]\nname = \"a\"\n",
            "error: `channels` is a list of tables\n --> steelyard.toml:1:1\n  |\n1 | [channels]\n  | ^^^^^^^^^^\n  = help: write `[[channels]]`, once for each",
        ),
        (
            "[[channels]]\nname = \"a\"\nprovider = \"opnai\"\n",
            "error: unknown value `opnai`\n --> steelyard.toml:3:12\n  |\n3 | provider = \"opnai\"\n  |            ^^^^^^^\n  = help: did you mean `openai`?",
        ),
        (
            "[[channels]]\nprovider = \"sandbox\"\n",
            "error: `name` is missing\n --> steelyard.toml:1:1\n  |\n1 | [[channels]]\n  | ^^^^^^^^^^^^\n  = help: give `name` here",
        ),
        (
            "[[channels]]\nname = \"a\"\nprovider = \"compatible\"\n",
            "error: channel `a` has no base_url\n --> steelyard.toml:1:1\n  |\n1 | [[channels]]\n  | ^^^^^^^^^^^^\n  = help: give the URL of the server, up to and without /chat/completions",
        ),
        (
            "[[channels]]\nname = \"a/b\"\nprovider = \"sandbox\"\n",
            "error: channel `a/b` cannot be used as a name\n --> steelyard.toml:2:8\n  |\n2 | name = \"a/b\"\n  |        ^^^^^\n  = help: use letters, digits, `-`, `_`, `.` and `:`, no `/`",
        ),
        (
            &two,
            "error: channel `up` is declared twice: the first is on line 2\n --> steelyard.toml:7:8\n  |\n7 | name = \"up\"\n  |        ^^^^\n  = help: names must be unique",
        ),
        (
            "[[routes]]\nname = \"r\"\ntargets = []\n",
            "error: route `r` has no target\n --> steelyard.toml:3:11\n  |\n3 | targets = []\n  |           ^^\n  = help: add one, such as { channel = \"openai\", model = \"gpt-6-sol\" }",
        ),
        (
            "[[routes]]\nname = \"r\"\ntargets = [{ channel = \"sanbox\", model = \"m\" }]\n",
            "error: channel `sanbox` is not declared\n --> steelyard.toml:3:24\n  |\n3 | targets = [{ channel = \"sanbox\", model = \"m\" }]\n  |                        ^^^^^^^^\n  = help: did you mean `sandbox`?",
        ),
        (
            "[[routes]]\nname = \"r\"\nstrategy = \"weighted\"\ntargets = [{ channel = \"sandbox\", model = \"m\", weight = 0 }]\n",
            "error: route `r` is weighted, but all its weights are 0\n --> steelyard.toml:4:11\n  |\n4 | targets = [{ channel = \"sandbox\", model = \"m\", weight = 0 }]\n  |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n  = help: give one target a weight above 0",
        ),
        (
            "[[prices]]\nchannel = \"sandbox\"\nmodel = \"m\"\nfrom = 2026-01-01\ninput = \"$1\"\noutput = \"-2\"\n",
            "error: `$1` is not an amount of US dollars: write digits with at most 6 decimal places, such as 0.40\n --> steelyard.toml:5:9\n  |\n5 | input = \"$1\"\n  |         ^^^^\n  = help: US dollars per million tokens\n\n\
             error: `-2` is below zero\n --> steelyard.toml:6:10\n  |\n6 | output = \"-2\"\n  |          ^^^^\n  = help: a price is 0 or more",
        ),
        (
            "[[prices]]\nfrom = \"2026-01-01\"\n",
            "error: a string cannot stand here\n --> steelyard.toml:2:8\n  |\n2 | from = \"2026-01-01\"\n  |        ^^^^^^^^^^^^\n  = help: write a date without quotes, such as 2026-01-01",
        ),
        (
            "[[routes]]\nretries = 300\n",
            "error: `300` does not fit\n --> steelyard.toml:2:11\n  |\n2 | retries = 300\n  |           ^^^\n  = help: expected a whole number from 0 to 255",
        ),
        (
            "[[channels]]\nname = \"a\"\nprovider = \"openai\"\napi_key = \" \"\n",
            "error: channel `a`: the api_key is empty\n --> steelyard.toml:4:11\n  |\n4 | api_key = …\n  |           ^\n  = help: write \"env:NAME\" or \"file:PATH\", or leave it out",
        ),
        (
            "[server]\nlisten = \"unfinished\nmax_body = 1\n",
            "error: invalid basic string, expected `\"`\n --> steelyard.toml:2:21\n  |\n2 | listen = \"unfinished\n  |                     ^",
        ),
        (
            "[server]\nlisten = \"a:1\"\nlisten = \"b:1\"\n",
            "error: duplicate key\n --> steelyard.toml:3:1\n  |\n3 | listen = \"b:1\"\n  | ^^^^^^",
        ),
    ];
    for (text, shown) in cases {
        assert_eq!(refused(text), *shown, "{text}");
    }
}

#[test]
fn mistakes_in_several_places_are_shown_together() {
    let text =
        "[server]\nlistn = 1\n[[channels]]\nname = 5\n[[channels]]\nnane = \"b\"\n[[routes]]\nname = \"r\"\n";
    let shown = refused(text);
    for part in
        ["did you mean `listen`?", "expected a string", "did you mean `name`?", "`targets` is missing"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert_eq!(shown.matches("error: ").count(), 4, "{shown}");
}

#[test]
fn a_second_price_from_the_same_date_is_refused() {
    let price = "[[prices]]\nchannel = \"sandbox\"\nmodel = \"m\"\nfrom = 2026-01-01\ninput = \"1\"\noutput = \"2\"\n";
    let shown = refused(&format!("{price}{price}"));
    assert!(
        shown.contains("two prices from the same date: the first is on line 1") && shown.contains(":10:8"),
        "{shown}"
    );
    let time = price.replace("2026-01-01", "10:00:00");
    assert!(refused(&time).contains("`10:00:00` is not a date"));
}

#[test]
fn urls_that_cannot_be_meant_are_refused() {
    for (url, part) in [
        ("up:8000", "begins with http"),
        ("ftp://up", "begins with http"),
        ("https://me:secret@up/v1", "user name or a password"),
        ("https://up/v1?x=1", "has a query"),
        ("https://up/v1/chat/completions", "take /chat/completions away"),
    ] {
        let shown = refused(&CHANNEL.replace("http://up/v1", url));
        assert!(shown.contains(part) && shown.contains("steelyard.toml:4:12"), "{url}: {shown}");
    }
}

#[test]
fn headers_and_files_of_a_channel_are_checked() {
    let shown = refused(&format!("{CHANNEL}headers = {{ \"a b\" = \"x\" }}\nca_file = \"none.pem\"\n"));
    assert!(shown.contains("`a b` is not a header name") && shown.contains("there is no file"), "{shown}");
}

#[test]
fn a_secret_is_never_shown() {
    for text in [
        "[[channels]]\nname = \"a\"\nprovider = \"openai\"\napi_key = \"sk-hidden\n",
        "[[channels]]\nname = \"a\"\nprovider = \"openai\"\napi_kee = \"sk-hidden\"\n",
        "[[channels]]\nname = \"a\"\nprovider = \"openai\"\napi_key = [\"sk-hidden\"]\n",
        "[[channels]]\nname = \"a\"\nprovider = \"openai\"\nkey = \"sk-hidden\"\n",
        "[server.tls]\ncert = \"c\"\nkey = \"-----BEGIN PRIVATE KEY-----sk-hidden\"\n",
        "[[channels]]\nname = \"a\"\nprovider = \"openai\"\nheaders = { \"x y\" = \"sk-hidden\" }\n",
        "[[channels]]\nname = \"a\"\nprovider = \"openai\"\nheaders = \"sk-hidden\"\n",
        "[[channels]]\nname = \"a\"\nprovider = \"openai\"\n[channels.headers]\n\"x y\" = \"sk-hidden\"\n",
    ] {
        let shown = refused(text);
        assert!(!shown.contains("sk-hidden"), "{shown}");
    }
    let text = "[[channels]]\nname = \"a\"\nprovider = \"openai\"\napi_key = \"sk-hidden\"\nheaders = { x = \"sk-hidden\" }\n";
    let loaded = Loaded::of(text, &[]).unwrap();
    let rows = explain(&loaded.config, &loaded.origins);
    let without_headers =
        Loaded::of("[[channels]]\nname = \"a\"\nprovider = \"openai\"\napi_key = \"sk-hidden\"\n", &[]);
    let debug = format!("{without_headers:?}");
    assert!(!debug.contains("sk-hidden") && debug.contains("bytes: Some(66 bytes)"), "{debug}");
    assert!(!serde_json::to_string(&rows).unwrap().contains("sk-hidden"), "{rows:?}");
    let row = |name: &str| rows.iter().find(|row| row.name == name).unwrap();
    assert_eq!(row("channels.a.api_key").value.as_deref(), Some("(value in the configuration)"));
    assert_eq!(row("channels.a.headers.x").value.as_deref(), Some("(hidden)"));
    assert_eq!(row("channels.a.api_key").origin, Origin::File { line: 4 });
    assert_eq!(
        warned(text, &[]),
        [
            "steelyard.toml:4:11: channel `a`: the api_key itself stands in the file; write \"env:NAME\" or \"file:PATH\", so that the file can be shared"
        ]
    );
}

#[test]
fn secrets_that_cannot_be_fetched_are_warned_of() {
    let text = "[[channels]]\nname = \"a\"\nprovider = \"openai\"\napi_key = \"env:A_KEY\"\n";
    assert_eq!(warned(text, &[("A_KEY", "x")]), Vec::<String>::new());
    assert!(warned(text, &[])[0].contains(":4:11: channel `a`: environment variable A_KEY is not set"));
    assert!(
        warned(&text.replace("env:A_KEY", "file:/nowhere"), &[])[0]
            .contains("there is no secret file /nowhere")
    );
    assert!(warned("[[channels]]\nname = \"a\"\nprovider = \"openai\"\n", &[])[0].contains("has no api_key"));
}

#[test]
fn later_layers_win_and_are_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("my.toml");
    std::fs::write(
        &file,
        format!("[server]\nlisten = \"1.1.1.1:1\"\nlog = \"warn\"\nmax_body = 5\n{CHANNEL}"),
    )
    .unwrap();
    let variables = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let mut sources = Sources {
        environment: variables(&[
            ("STEELYARD_CONFIG", "my.toml"),
            ("STEELYARD_LISTEN", "2.2.2.2:2"),
            ("STEELYARD_LOG", "debug"),
            ("HOME", "/h"),
        ]),
        directory: folder.path().to_owned(),
        ..Sources::default()
    };
    let loaded = Config::load(&sources).unwrap();
    let origin = |loaded: &Loaded, name: &str| loaded.origins.of(name).to_string();
    assert_eq!(
        (loaded.config.server.listen.as_str(), loaded.config.server.log.as_str()),
        ("2.2.2.2:2", "debug")
    );
    assert_eq!(origin(&loaded, "server.listen"), "environment, STEELYARD_LISTEN");
    assert_eq!(origin(&loaded, "server.max_body"), "file, line 4");
    assert_eq!(origin(&loaded, "server.body_timeout"), "default");
    assert_eq!(origin(&loaded, "channels.up.base_url"), "file, line 8");
    assert_eq!(origin(&loaded, "channels.up.models"), "default");
    assert_eq!(origin(&loaded, "channels.sandbox.models"), "built in");
    assert_eq!(loaded.path.as_deref(), Some(Path::new("my.toml")));
    assert_eq!(loaded.data_dir.as_deref(), Some(Path::new("/h/.local/share/steelyard")));

    sources.flags = Flags {
        listen: Some("3.3.3.3:3".into()),
        data_dir: Some("d".into()),
        log_format: Some(LogFormat::Json),
        config: None,
    };
    let loaded = Config::load(&sources).unwrap();
    assert_eq!(loaded.config.server.listen, "3.3.3.3:3");
    assert_eq!(origin(&loaded, "server.listen"), "flag, --listen");
    assert_eq!(origin(&loaded, "server.log_format"), "flag, --log-format");
    assert_eq!(origin(&loaded, "data_dir"), "flag, --data-dir");

    sources.flags.listen = Some("nowhere".into());
    let error = Config::load(&sources).unwrap_err().to_string();
    assert!(
        error.starts_with("error: --listen: `nowhere` is not an address to listen on\n  = help"),
        "{error}"
    );
}

#[test]
fn the_data_directory_is_where_it_usually_is() {
    let dir = |pairs: &[(&str, &str)]| {
        let environment =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Sources { environment, ..Sources::default() }.data_dir().map(|(path, _)| path)
    };
    let path = |text: &str| Some(PathBuf::from(text));
    assert_eq!(dir(&[("HOME", "/h"), ("XDG_DATA_HOME", "/x"), ("STEELYARD_DATA_DIR", "s")]), path("s"));
    assert_eq!(dir(&[("HOME", "/h"), ("XDG_DATA_HOME", "/x")]), path("/x/steelyard"));
    assert_eq!(dir(&[("HOME", "/h"), ("XDG_DATA_HOME", "relative")]), path("/h/.local/share/steelyard"));
    assert_eq!(dir(&[]), None);
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut sources = Sources { directory: folder.path().to_owned(), ..Sources::default() };
    assert!(Config::load(&sources).unwrap().path.is_none(), "nobody named one");
    sources.flags.config = Some("absent.toml".into());
    let error = Config::load(&sources).unwrap_err().to_string();
    assert!(error.contains("absent.toml cannot be read") && error.contains("named by --config"), "{error}");
    std::fs::write(folder.path().join("absent.toml"), b"[server]\nlisten = \"\xff\"\n").unwrap();
    let error = Config::load(&sources).unwrap_err();
    let lines: Vec<_> = error.lines().collect();
    assert_eq!(lines, ["absent.toml:2:11: the file is not UTF-8; save it as UTF-8"], "{error}");
}

#[test]
fn paths_start_at_the_files_folder() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("etc");
    std::fs::create_dir(&inner).unwrap();
    std::fs::write(inner.join("ca.pem"), "").unwrap();
    std::fs::write(inner.join("key"), "k").unwrap();
    std::fs::write(inner.join("s.toml"), format!("{CHANNEL}api_key = \"file:key\"\nca_file = \"ca.pem\"\n"))
        .unwrap();
    let flags = Flags { config: Some("etc/s.toml".into()), ..Flags::default() };
    let loaded =
        Config::load(&Sources { flags, directory: folder.path().to_owned(), ..Sources::default() }).unwrap();
    let channel = &loaded.config.channels[0];
    assert_eq!(channel.ca_file.as_deref(), Some(inner.join("ca.pem").as_path()));
    assert_eq!(channel.api_key.as_ref().unwrap().place(), format!("file:{}", inner.join("key").display()));
    assert_eq!(loaded.warnings, []);
}

#[test]
fn a_variable_of_the_environment_that_cannot_be_used_has_no_line() {
    let error = Loaded::of("", &[("OPENAI_API_KEY", "k"), ("OPENAI_BASE_URL", "nonsense")]).unwrap_err();
    assert_eq!(error.problems[0].place, None, "{error}");
    assert!(error.to_string().contains("channel `openai`: base_url is not a URL"), "{error}");
}

#[test]
fn accounts_at_azure_are_checked() {
    let refused = |fields: &str| refused(&format!("[[channels]]\nname = \"a\"\n{fields}\n"));
    assert!(refused("provider = \"azure\"").contains("channel `a` has no base_url"));
    let entra = "entra = { tenant = \"t\", client_id = \"i\", client_secret = \"env:SECRET\" }";
    for field in ["api_version = \"2024-10-21\"", "deployments = { d = \"gpt-4o\" }", entra] {
        let shown = refused(&format!("provider = \"openai\"\n{field}"));
        assert!(shown.contains("has a meaning for provider `azure` only"), "{shown}");
        assert!(shown.contains("steelyard.toml:4:"), "{shown}");
    }
    let shown = refused("provider = \"openai\"\nresponses = true");
    assert!(shown.contains("has a meaning for provider `compatible` only"), "{shown}");
    let text =
        "[[channels]]\nname = \"a\"\nprovider = \"azure\"\nbase_url = \"https://hansa.openai.azure.com\"\n";
    assert!(warned(text, &[])[0].contains("add api_key = \"env:AZURE_OPENAI_API_KEY\""));
    let unset = warned(&format!("{text}{entra}\n"), &[]);
    assert!(unset[0].contains("environment variable SECRET is not set"), "{unset:?}");
    assert_eq!(warned(&format!("{text}{entra}\n"), &[("SECRET", "s")]), [""; 0]);
    let shown = Loaded::of(&format!("{text}api_key = \"env:K\"\n{entra}\n"), &[("K", "k")]).unwrap_err();
    assert!(shown.to_string().contains("two credentials, an api_key and entra"), "{shown}");
}

#[test]
fn accounts_at_aws_and_anthropic_are_checked() {
    let refused = |fields: &str| {
        let text = format!("[[channels]]\nname = \"a\"\n{fields}\n");
        Loaded::of(&text, &[]).unwrap_err().to_string()
    };
    assert!(refused("provider = \"bedrock\"").contains("channel `a` has no region"));
    let both = "provider = \"bedrock\"\nregion = \"us-east-1\"\napi_key = \"env:K\"\n\
                credentials = { access_key_id = \"AKIA1\", secret_access_key = \"env:S\" }";
    assert!(refused(both).contains("has two credentials"));
    assert!(refused("provider = \"openai\"\nregion = \"eu-west-1\"").contains("region has a meaning for"));
    let warned = |fields: &str| warned(&format!("[[channels]]\nname = \"a\"\n{fields}\n"), &[]).join("\n");
    assert!(warned("provider = \"anthropic\"").contains("add api_key = \"env:ANTHROPIC_API_KEY\""));
    assert!(warned("provider = \"gemini\"").contains("add api_key = \"env:GEMINI_API_KEY\""));
    let pair = "provider = \"bedrock\"\nregion = \"us-east-1\"\n\
                credentials = { access_key_id = \"AKIA1\", secret_access_key = \"hush\" }";
    let warning = warned(pair);
    assert!(warning.contains("the secret_access_key itself stands in the file"), "{warning}");
    assert!(!warning.contains("hush") && !warning.contains("access_key_id itself"), "{warning}");
    assert_eq!(warned("provider = \"bedrock\"\nregion = \"us-east-1\""), "");
}

#[test]
fn notes_are_no_errors() {
    let loaded = Loaded::of("", &[("MISTRAL_API_KEY", "x")]).unwrap();
    assert_eq!(loaded.warnings[0].severity, Severity::Note);
}

#[test]
fn what_only_a_restart_brings_is_named_even_under_another_layer() {
    let load = |text: &str| Loaded::of(text, &[("STEELYARD_LISTEN", "2.2.2.2:2")]).unwrap();
    let started = load("[server]\nlisten = \"1.1.1.1:1\"\n");
    let edited = load(
        "[server]\nlisten = \"1.1.1.1:9\"\nmax_body = 5\n[ledger]\ncapacity = 7\n[[routes]]\nname = \"r\"\ntargets = [{ channel = \"sandbox\", model = \"m\" }]\n",
    );
    assert_eq!(edited.config.server.listen, started.config.server.listen, "the environment hides the edit");
    let mut names = edited.awaiting_restart(&started);
    names.sort_unstable();
    assert_eq!(
        names,
        ["ledger.capacity", "server.listen (overridden: environment, STEELYARD_LISTEN)", "server.max_body"]
    );
    assert_eq!(started.awaiting_restart(&started), Vec::<String>::new());
}

#[test]
fn every_field_of_a_section_that_cannot_be_read_is_shown_at_once() {
    let shown = refused(
        "[server]\nlisten = 5\nmax_body = \"lots\"\nlgo = \"info\"\n[[channels]]\nname = 5\nprovider = \"opnai\"\napi_kee = \"x\"\n",
    );
    for at in [":2:10", ":3:12", ":4:1", ":6:8", ":7:12", ":8:1"] {
        assert!(shown.contains(&format!("steelyard.toml{at}")), "{at}: {shown}");
    }
    assert_eq!(shown.matches("error: ").count(), 6, "no echo of a field that was named already: {shown}");
}

#[test]
fn a_tls_listener_needs_one_certificate() {
    let cases = [
        ("", "the TLS listener has no certificate"),
        ("key = \"k\"", "key is given without its cert"),
        ("cert = \"c\"", "cert is given without its key"),
        ("cert = \"c\"\nkey = \"k\"\nself_signed = true", "self-signed and given too"),
        ("cert = \"c\"\nkey = \"k\"\nnames = [\"x\"]", "names are those of a self-signed certificate"),
        ("self_signed = true\nnames = [\"https://x\"]", "`https://x` is no host name and no address"),
        ("self_signed = true\nlisten = \"7343\"", "`7343` is not an address to listen on"),
    ];
    for (lines, said) in cases {
        let text = refused(&format!("[server.tls]\n{lines}\n"));
        assert!(text.contains(said) && text.contains("steelyard.toml:"), "{said}: {text}");
    }
    let own = Loaded::of("[server.tls]\nself_signed = true\n", &[]).unwrap();
    assert_eq!(own.config.server.tls.unwrap().listen, "127.0.0.1:7343");
    let warned = warned("[server.tls]\ncert = \"/none/c.pem\"\nkey = \"/none/k.pem\"\n", &[]);
    assert_eq!(warned.len(), 2, "{warned:?}");
}

#[test]
fn opentelemetrys_own_variables_are_read() {
    const BASE: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://c.example/otlp/");
    const WHOLE: (&str, &str) = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c.example:4318");
    const FILE: &str = "[telemetry]\notlp_endpoint = \"http://f.example:4318\"\n";
    let cases: [(&str, &[_], _); 8] = [
        ("", &[], None),
        (FILE, &[], Some("http://f.example:4318/v1/traces")),
        (
            "[telemetry]\notlp_endpoint = \"http://f.example/own/path\"\n",
            &[],
            Some("http://f.example/own/path"),
        ),
        (FILE, &[BASE], Some("https://c.example/otlp/v1/traces")),
        (FILE, &[BASE, WHOLE], Some("http://c.example:4318/")),
        (FILE, &[BASE, ("OTEL_SDK_DISABLED", "TRUE")], None),
        (FILE, &[("OTEL_SDK_DISABLED", "false")], Some("http://f.example:4318/v1/traces")),
        (FILE, &[("OTEL_TRACES_EXPORTER", "none")], None),
    ];
    for (text, environment, url) in cases {
        let loaded = Loaded::of(text, environment).unwrap();
        assert_eq!(loaded.config.telemetry.traces_url().as_deref(), url, "{text} {environment:?}");
    }
    let loaded = Loaded::of(FILE, &[WHOLE, ("OTEL_SERVICE_NAME", "eu")]).unwrap();
    assert_eq!(loaded.config.telemetry.service_name, "eu");
    let origin = loaded.origins.of("telemetry.otlp_endpoint").to_string();
    assert_eq!(origin, "environment, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
}

#[test]
fn traces_that_could_go_nowhere_are_refused_without_showing_the_url() {
    for url in ["c.example:4318", "grpc://c.example:4317", "http://user:pass@c.example", "http://"] {
        let text = refused(&format!("[telemetry]\notlp_endpoint = \"{url}\"\n"));
        assert!(text.contains("no URL to send traces to") && text.contains("steelyard.toml:2"), "{text}");
        let error = Loaded::of("", &[("OTEL_EXPORTER_OTLP_ENDPOINT", url)]).unwrap_err().to_string();
        assert!(error.contains("OTEL_EXPORTER_OTLP_ENDPOINT: ") && !error.contains("pass"), "{error}");
    }
    for share in ["-0.1", "1.5", "nan"] {
        let text = refused(&format!("[telemetry]\nsample_ratio = {share}\n"));
        assert!(text.contains("is no share of calls"), "{text}");
    }
}

#[test]
fn a_store_is_named_in_the_file_or_in_the_environment() {
    let shown = |loaded: &Loaded| {
        let rows = explain(&loaded.config, &loaded.origins);
        let row = rows.iter().find(|row| row.name == "store.url").unwrap();
        (row.value.clone().unwrap_or_default(), row.origin.to_string())
    };
    let of = |text: &str, environment: &[(&str, &str)]| Loaded::of(text, environment).unwrap();
    let pair = |value: &str, origin: &str| (value.to_owned(), origin.to_owned());
    assert_eq!(shown(&of("", &[])), pair("", "default"));

    let text = "[store]\nurl = \"env:BOOKS\"\n";
    let named = of(text, &[("BOOKS", "postgres://sy:x@db/books")]);
    assert_eq!(
        (shown(&named), named.warnings.as_slice()),
        (pair("env:BOOKS", "file, line 2"), [].as_slice())
    );
    let missing = of(text, &[]);
    assert!(missing.warnings[0].message.contains("store: environment variable BOOKS is not set"));
    let both = of(text, &[("STEELYARD_STORE_URL", "postgres://sy:x@db/books")]);
    assert_eq!(shown(&both), pair("env:STEELYARD_STORE_URL", "environment, STEELYARD_STORE_URL"));
    assert_eq!(both.warnings, []);

    let literal = of("[store]\nurl = \"postgres://sy:hunter2@db/books\"\n", &[]);
    assert_eq!(shown(&literal).0, "(value in the configuration)");
    assert!(literal.warnings[0].message.contains("store: the url itself stands in the file"));
    let open = of("[store]\nurl = \"postgres:///books?host=/run/postgresql\"\n", &[]);
    assert_eq!(open.warnings, [], "without a password there is nothing to hide");
    assert_eq!(open.awaiting_restart(&literal), ["store.url"], "an edit of a hidden value is noticed too");

    for text in [
        "[store]\nurl = \"mysql://sy:hunter2@db/books\"\n",
        "[store]\nurl = \"postgres://sy:hunter2@db:port/books\"\n",
        "[store]\nmax_connections = 0\n",
    ] {
        let error = refused(text);
        assert!(error.contains(":2:") && !error.contains("hunter2"), "{error}");
    }
}
