use std::collections::{BTreeMap, BTreeSet};

use steelyard_core::{Timestamp, UnitPrice, Usage, UsageClass};

use super::*;
use crate::price::BEGINNING;

use UsageClass::{CacheRead, Output, Reasoning};

const GOOD: &str = "\
# made up
model acme/one context=1000 output=100
  offer acme one
    version assumed 2026-11-21
      price standard global base input=1 output=2
      price standard global >500 input=2 output=4
      price standard global any web_search=0.01
      source acme's price page
      note input: another says 3
    version from 2027-01-01
      price standard global base input=0.5 output=2
  offer resale acme-one context=900
    version from 2026-01-01
      price standard eu base input=1.1 output=2.2

model other/one
  offer other one-v2
    version assumed 2026-11-21
      price standard any base input=1
";

#[test]
fn names_find_models_and_offers() {
    let catalog = Catalog::parse(GOOD).unwrap();
    assert_eq!(catalog.models().map(|model| &*model.id).collect::<Vec<_>>(), ["acme/one", "other/one"]);
    assert_eq!(catalog.model("acme/one").unwrap().max_output, Some(100));
    assert_eq!(catalog.model("one"), None);
    assert_eq!(
        catalog.named("one").iter().map(|model| &*model.vendor).collect::<Vec<_>>(),
        ["acme", "other"]
    );
    assert!(catalog.named("on").is_empty());
    let resale = catalog.on("resale", "acme-one").unwrap();
    assert_eq!(
        (&*resale.model.id, resale.context_window, resale.max_output),
        ("acme/one", Some(900), Some(100))
    );
    assert_eq!(catalog.on("acme", "acme-one"), None);
    assert_eq!(catalog.offers_of("acme").count(), 1);
    assert_eq!(catalog.offers_of("nobody").count(), 0);
}

#[test]
fn versions_follow_their_dates() {
    let offer = Catalog::parse(GOOD).unwrap().on("acme", "one").unwrap();
    let at = |date: &str| offer.prices.at(Timestamp::parse(date).unwrap()).unwrap();
    assert!(at("2020-01-01").assumed && at("2020-01-01").from == BEGINNING);
    assert!(at("2026-12-31").id.starts_with("acme/one@2026-11-21#"));
    assert!(at("2027-01-01").id.starts_with("acme/one@2027-01-01#") && !at("2027-01-01").assumed);
    let usage: Usage = [(UsageClass::Input, 10), (UsageClass::WebSearch, 1)].into_iter().collect();
    let charge = at("2026-12-31").rate(&usage, "standard", "global");
    assert_eq!(charge.amount.unwrap().to_string(), "0.01001");
}

#[test]
fn errors_name_the_line_and_the_value() {
    let table = [
        ("modle a/b", 1, "`modle` is not a record"),
        ("model", 1, "lacks its id"),
        ("model ab", 1, "`ab` is not a model id"),
        ("model /b", 1, "`/b` is not a model id"),
        ("model a/b context=many", 1, "`context=many` is not a number"),
        ("model a/b output=0", 1, "`output=0` is not a number"),
        ("model a/b colour=red", 1, "`colour=red` is not a limit"),
        ("offer a b", 1, "`offer` before any `model`"),
        ("model a/b\n offer x", 2, "lacks a name"),
        ("model a/b\n version assumed 2026-11-21", 2, "`version` before any `offer`"),
        ("model a/b\n price standard global base input=1", 2, "before any `version`"),
        ("model a/b\n offer x y\n source z", 3, "before any `version`"),
        ("model a/b\n offer x y\nmodel c/d", 3, "`x y` above has no version"),
        ("model a/b\n offer x y", 2, "`x y` above has no version"),
        ("model a/b\nmodel a/b", 2, "`a/b` stands here twice"),
        ("model a/b\n offer x y\n version maybe 2026-11-21", 3, "`maybe` is not a kind"),
        ("model a/b\n offer x y\n version from soon", 3, "`soon` is not a time"),
        ("model a/b\n offer x y\n version from", 3, "a kind and a day"),
        ("model a/b\n offer x y\n version from 2026-01-01 now", 3, "a kind and a day"),
    ];
    for (text, line, problem) in table {
        let error = Catalog::parse(text).unwrap_err();
        assert!(error.line == line && error.problem.contains(problem), "{text:?}: {error}");
    }
    let priced = "model a/b\n offer x y\n version assumed 2026-11-21\n ";
    let table = [
        ("price standard global base", 4, "a price line without a price"),
        ("price standard global", 4, "a price has a place"),
        ("price any global base input=1", 4, "`any` is not a tier"),
        ("price standard global long input=1", 4, "`long` is not a context tier"),
        ("price standard global base tokens=1", 4, "`tokens` is not a usage class"),
        ("price standard global base input", 4, "`input` is not a price"),
        ("price standard global base input=1,5", 4, "`1,5` is not an amount"),
        ("price standard global base input=0.0000001", 4, "`0.0000001` is not an amount"),
        ("price standard global base input=-1", 4, "below zero"),
        ("price standard global base input=1 input=2", 4, "two prices"),
        ("note", 4, "`note` says nothing"),
        (
            "price standard global base input=1\n version assumed 2026-11-22\n price standard global base input=1",
            6,
            "two prices begin",
        ),
        ("price standard global base input=1\n offer x y", 5, "`x` sells `y` twice"),
    ];
    for (text, line, problem) in table {
        let error = Catalog::parse(&format!("{priced}{text}")).unwrap_err();
        assert!(error.line == line && error.problem.contains(problem), "{text:?}: {error}");
    }
}

#[test]
fn the_committed_catalog_holds_what_the_facts_gave() {
    let catalog = Catalog::builtin().unwrap();
    let mut vendors: BTreeMap<&str, usize> = BTreeMap::new();
    for model in catalog.models() {
        *vendors.entry(&model.vendor).or_default() += 1;
    }
    assert_counts(
        &vendors,
        &[
            ("amazon", 12),
            ("anthropic", 13),
            ("cohere", 13),
            ("google", 17),
            ("meta", 10),
            ("mistral", 18),
            ("openai", 48),
            ("steelyard", 1),
        ],
    );
    let mut providers: BTreeMap<&str, usize> = BTreeMap::new();
    for offer in catalog.offers() {
        *providers.entry(&offer.provider).or_default() += 1;
    }
    assert_counts(
        &providers,
        &[
            ("anthropic", 13),
            ("azure", 63),
            ("bedrock", 103),
            ("claude-platform-on-aws", 5),
            ("cohere", 8),
            ("gemini", 17),
            ("mistral", 11),
            ("openai", 46),
            ("sandbox", 1),
            ("vertex", 34),
        ],
    );
}

fn assert_counts(counted: &BTreeMap<&str, usize>, expected: &[(&str, usize)]) {
    assert_eq!(counted.iter().map(|(name, count)| (*name, *count)).collect::<Vec<_>>(), expected);
}

#[test]
fn no_committed_price_is_zero_by_accident() {
    let catalog = Catalog::builtin().unwrap();
    let mut ids = BTreeSet::new();
    for offer in catalog.offers() {
        for version in offer.prices.versions() {
            assert!(ids.insert(version.id.clone()), "{} names two versions", version.id);
            let pays_by_call =
                version.cells().any(|cell| cell.class == UsageClass::Calls && cell.price.pico() > 0);
            for cell in version.cells() {
                assert!(cell.price.pico() > 0 || pays_by_call, "{}: {cell:?}", version.id);
                // Ten dollars for one token, or a cent for a thousand searches, is a slip of a unit.
                let plausible = if crate::price::is_fee(cell.class) {
                    100_000_000..1_000_000_000_000
                } else {
                    0..1_000_000_000
                };
                assert!(plausible.contains(&cell.price.pico()), "{}: {cell:?}", version.id);
            }
        }
    }
}

#[test]
fn well_known_prices_are_in_the_committed_catalog() {
    let catalog = Catalog::builtin().unwrap();
    let price = |provider: &str, name: &str, tier: &str, geo: &str, prompt: u64, class: UsageClass| {
        let offer = catalog.on(provider, name).unwrap();
        let version = offer.prices.at(Timestamp::parse("2026-11-22").unwrap()).unwrap();
        let usage: Usage = [(UsageClass::Input, prompt), (class, 1)].into_iter().collect();
        let charge = version.rate(&usage, tier, geo);
        charge.lines.iter().find(|line| line.class == class).map(|line| line.price).unwrap()
    };
    let usd = |text: &str| UnitPrice::from_usd_per_million(text).unwrap();
    assert_eq!(price("openai", "gpt-4o", "default", "global", 0, Output), usd("10"));
    assert_eq!(price("openai", "gpt-4o", "priority", "global", 0, CacheRead), usd("2.125"));
    assert_eq!(price("openai", "gpt-6-luna", "standard", "global", 272_000, Output), usd("0.5"));
    assert_eq!(price("openai", "gpt-6-luna", "standard", "global", 272_001, Output), usd("0.75"));
    assert_eq!(price("openai", "gpt-6-luna", "batch", "eu", 1, Output), usd("0.275"));
    assert_eq!(price("bedrock", "us.openai.gpt-6-luna", "standard", "us", 1, CacheRead), usd("0.011"));
    assert_eq!(price("sandbox", "sandbox", "standard", "global", 1, Reasoning), usd("2"));
    let sandbox = catalog.model("steelyard/sandbox").unwrap();
    assert_eq!((sandbox.context_window, sandbox.max_output), (Some(128_000), Some(16_384)));
}
