use steelyard_core::{Principal, ProjectId};

use super::*;

#[derive(serde::Deserialize, Default)]
#[serde(default)]
struct Declared {
    channels: Vec<ChannelSpec>,
    routes: Vec<RouteSpec>,
    prices: Vec<PriceSpec>,
}

fn inputs(text: &str) -> Inputs {
    let declared: Declared = toml::from_str(text).unwrap();
    Inputs {
        channels: declared.channels,
        routes: declared.routes,
        prices: declared.prices,
        ..Inputs::default()
    }
}

fn build(text: &str) -> Result<Snapshot, String> {
    crate::install_tls_provider();
    let catalog = Arc::new(Catalog::builtin().unwrap());
    Snapshot::build(&inputs(text), catalog, None).map_err(|error| error.to_string())
}

fn targets(snapshot: &Snapshot, name: &str) -> Option<Vec<String>> {
    let route = snapshot.resolve(name)?;
    Some(route.targets.iter().map(|target| target.offer.full_name()).collect())
}

const TWO: &str = r#"
    [[channels]]
    name = "openai"
    provider = "openai"
    api_key = "sk-test"
    [[channels]]
    name = "vllm"
    provider = "compatible"
    base_url = "http://127.0.0.1:9/v1"
    models = ["our-finetune"]
"#;

#[test]
fn names_resolve_in_their_order() {
    let snapshot = build(&format!(
        r#"{TWO}
        [[routes]]
        name = "gpt-4o"
        targets = [{{ channel = "vllm", model = "our-finetune" }}]
        "#
    ))
    .unwrap();
    let name = |name: &str| targets(&snapshot, name).map(|targets| targets.join(" "));
    assert_eq!(name("gpt-4o").as_deref(), Some("vllm/our-finetune"), "a route hides the model of its name");
    assert_eq!(name("openai/gpt-4o").as_deref(), Some("openai/gpt-4o"));
    assert_eq!(name("gpt-4o-mini").as_deref(), Some("openai/gpt-4o-mini"));
    assert_eq!(name("our-finetune").as_deref(), Some("vllm/our-finetune"));
    for (arn, offer) in [
        ("arn:aws:bedrock:us-east-1::foundation-model/our-finetune", Some("vllm/our-finetune")),
        ("arn:aws:bedrock:us-east-1::foundation-model/vllm/any", Some("vllm/any")),
        ("arn:aws:bedrock:us-east-1:1:custom-model/base/our-finetune", Some("vllm/our-finetune")),
        ("arn:aws:bedrock:us-east-1::foundation-model/nobody", None),
        ("arn:x/arn:y/our-finetune", None),
        ("arn:our-finetune", None),
    ] {
        assert_eq!(name(arn).as_deref(), offer, "{arn}");
    }
    assert_eq!(name("vllm/brand-new").as_deref(), Some("vllm/brand-new"), "any model of a known channel");
    assert_eq!(name("vllm/").as_deref(), None);
    assert_eq!(name("nowhere/model"), None);
    assert_eq!(snapshot.nearest_names("our-finetun")[0], "our-finetune");
}

#[test]
fn a_model_on_two_channels_is_one_name_with_two_targets() {
    let snapshot =
        build(&format!("{TWO}\n[[channels]]\nname = \"openai-eu\"\nprovider = \"openai\"\napi_key = \"k\""))
            .unwrap();
    let both = Some(vec!["openai/gpt-4o".to_owned(), "openai-eu/gpt-4o".to_owned()]);
    assert_eq!(targets(&snapshot, "gpt-4o"), both);
    assert_eq!(targets(&snapshot, "openai-eu/gpt-4o").map(|targets| targets.len()), Some(1));
}

#[test]
fn what_does_not_fit_is_named_and_nothing_is_built() {
    let cases = [
        (format!("{TWO}{TWO}"), "channel `openai` is declared twice"),
        (format!("{TWO}[[routes]]\nname = \"a\"\ntargets = []"), "route `a` has no target"),
        (
            format!("{TWO}[[routes]]\nname = \"a\"\ntargets = [{{ channel = \"opnai\", model = \"m\" }}]"),
            "route `a` names channel `opnai`, which is not declared; did you mean `openai`?",
        ),
        (
            format!("{TWO}[[routes]]\nname = \"a/b\"\ntargets = [{{ channel = \"vllm\", model = \"m\" }}]"),
            "route `a/b` cannot be used as a name",
        ),
        (
            format!(
                "{TWO}[[routes]]\nname = \"a\"\nstrategy = \"weighted\"\ntargets = [{{ channel = \"vllm\", model = \"m\", weight = 0 }}]"
            ),
            "all its weights are 0",
        ),
        (
            format!(
                "{TWO}[[prices]]\nchannel = \"vllm\"\nmodel = \"m\"\nfrom = 2026-01-01\ninput = \"1e3\"\noutput = \"1\""
            ),
            "price of `m` on channel `vllm`: `1e3` is not an amount",
        ),
        ("[[channels]]\nname = \"x\"\nprovider = \"compatible\"".to_owned(), "base_url `` is missing"),
        (
            "[[channels]]\nname = \"x\"\nprovider = \"compatible\"\nbase_url = \"ftp://x\"".to_owned(),
            "is not a URL",
        ),
        (
            "[[channels]]\nname = \"x\"\nprovider = \"openai\"\napi_key = \"env:STEELYARD_TEST_NOT_SET\""
                .to_owned(),
            "channel `x`: its api_key cannot be fetched",
        ),
    ];
    for (text, message) in cases {
        let error = build(&text).unwrap_err();
        assert!(error.contains(message), "{error}\nshould say: {message}");
    }
}

#[test]
fn an_operators_price_holds_from_its_date_and_a_channel_keeps_its_state() {
    let text = format!(
        "{TWO}[[prices]]\nchannel = \"vllm\"\nmodel = \"our-finetune\"\nfrom = 2026-02-01\ninput = \"0.40\"\noutput = \"1.20\""
    );
    let first = build(&text).unwrap();
    let offer = |snapshot: &Snapshot| Arc::clone(&snapshot.resolve("our-finetune").unwrap().targets[0].offer);
    let prices = Arc::clone(&offer(&first).prices);
    assert!(prices.at(Timestamp::parse("2026-01-31").unwrap()).is_none());
    let price = prices.at(Timestamp::parse("2026-02-01").unwrap()).unwrap();
    let usage = [(UsageClass::Input, 1_000_000), (UsageClass::Output, 1_000_000)].into_iter().collect();
    assert_eq!(price.rate(&usage, "standard", "global").amount.unwrap().to_string(), "1.6");

    offer(&first).health.cool(Timestamp(0), std::time::Duration::from_secs(9));
    let catalog = Arc::new(Catalog::builtin().unwrap());
    let second = Snapshot::build(&inputs(&text), catalog, Some(&first)).unwrap();
    assert!(
        Arc::ptr_eq(&offer(&first).channel, &offer(&second).channel),
        "an unchanged channel keeps its connections"
    );
    assert!(Arc::ptr_eq(&offer(&first).health, &offer(&second).health), "health outlives a change");
}

const AZURE: &str = "[[channels]]\nname = \"az\"\nprovider = \"azure\"\napi_key = \"k\"\n\
                     base_url = \"https://hansa.openai.azure.com\"\n";

#[test]
fn a_deployment_has_the_prices_and_the_names_of_its_model() {
    let snapshot = build(&format!("{TWO}{AZURE}deployments = {{ chat-prod = \"gpt-6-sol\" }}")).unwrap();
    let name = |name: &str| targets(&snapshot, name).map(|targets| targets.join(" "));
    assert_eq!(name("chat-prod").as_deref(), Some("az/chat-prod"));
    assert_eq!(name("gpt-6-sol").as_deref(), Some("openai/gpt-6-sol az/chat-prod"));
    assert_eq!(
        name("openai/gpt-6-sol").as_deref(),
        Some("openai/gpt-6-sol"),
        "the channel's name comes first"
    );
    assert_eq!(name("gpt-4o").as_deref(), Some("openai/gpt-4o"), "it is not deployed");
    let offer = &snapshot.resolve("chat-prod").unwrap().targets[0].offer;
    let listed = snapshot.catalog.on("azure", "gpt-6-sol").unwrap();
    assert_eq!((&*offer.model_name, &*offer.upstream_model), ("openai/gpt-6-sol", "chat-prod"));
    assert_eq!(offer.prices, listed.prices);
    assert_eq!((offer.context_window, offer.max_output), (listed.context_window, listed.max_output));

    let snapshot = build(&format!(
        "{AZURE}deployments = {{ chat-prod = \"gpt-6-sol\" }}\n[[prices]]\nchannel = \"az\"\nmodel = \"chat-prod\"\n\
         from = 2026-01-01\ninput = \"1\"\noutput = \"2\""
    ))
    .unwrap();
    let offer = &snapshot.resolve("chat-prod").unwrap().targets[0].offer;
    assert_eq!(
        offer.context_window, listed.context_window,
        "a price of one's own is laid over the catalog's offer"
    );
}

#[test]
fn without_declared_deployments_models_are_called_by_their_own_names() {
    let snapshot = build(AZURE).unwrap();
    assert_eq!(targets(&snapshot, "gpt-6-sol"), Some(vec!["az/gpt-6-sol".to_owned()]));
    let mistaken = build(&format!("{AZURE}deployments = {{ chat-prod = \"gpt-6-sil\" }}")).unwrap_err();
    assert!(mistaken.contains("deployment `chat-prod` is of `gpt-6-sil`"), "{mistaken}");
    assert!(mistaken.contains("did you mean `gpt-6-sol`?"), "{mistaken}");
}

#[test]
fn a_pair_is_found_by_its_id_until_it_is_taken_away() {
    let principal = Arc::new(Principal {
        key: None,
        name: "boto".into(),
        project: ProjectId::new(),
        project_name: "default".into(),
        admin: false,
    });
    let pair = AwsKeyRecord {
        access_key_id: "AKSYABCDEFGHIJKLMNOP".into(),
        secret: "hunter2".to_owned().into(),
        principal,
        expires_at: Some(Timestamp(5)),
    };
    let inputs = Inputs { aws_keys: vec![pair], ..Inputs::default() };
    let snapshot = Snapshot::build(&inputs, Arc::new(Catalog::builtin().unwrap()), None).unwrap();
    let found = snapshot.aws_key("AKSYABCDEFGHIJKLMNOP").unwrap();
    assert_eq!((&*found.principal.name, found.expires_at), ("boto", Some(Timestamp(5))));
    assert!(snapshot.aws_key("AKSYAAAAAAAAAAAAAAAA").is_none());
    assert!(!format!("{snapshot:?}").contains("hunter2"));
    let without = snapshot.with_keys(Vec::new(), Vec::new());
    assert!(without.aws_key("AKSYABCDEFGHIJKLMNOP").is_none());
}

#[test]
fn an_offers_geography_follows_the_account_unless_the_operator_gives_one() {
    let openai = |address: &str, more: &str| {
        let base = format!("base_url = \"https://{address}/v1\"\n{more}");
        format!("[[channels]]\nname = \"o\"\nprovider = \"openai\"\napi_key = \"k\"\n{base}\n")
    };
    let cases = [
        (openai("api.openai.com", ""), "gpt-6-sol", "global"),
        (openai("us.api.openai.com", ""), "gpt-6-sol", "us"),
        (openai("mtls-eu.api.openai.com:443", ""), "gpt-6-sol", "eu"),
        (openai("mtls.api.openai.com", ""), "gpt-6-sol", "global"),
        (openai("ae.api.openai.com", ""), "gpt-6-sol", "ae"),
        (openai("us.api.openai.com", ""), "gpt-4o", "global"),
        (openai("us.api.openai.com", "geo = \"eu\""), "gpt-6-sol", "eu"),
        (openai("us.api.openai.com.example", ""), "gpt-6-sol", "global"),
        (TWO.to_owned(), "our-finetune", "global"),
    ];
    for (text, model, geo) in cases {
        let offer = Arc::clone(&build(&text).unwrap().resolve(model).unwrap().targets[0].offer);
        assert_eq!(&*offer.geo, geo, "{model} of {text}");
    }
}
