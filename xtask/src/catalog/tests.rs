use super::*;

use steelyard_core::UnitPrice;

const FACTS: &str = include_str!("../../../crates/billing/fixtures/facts.csv");
const LATER: &str = include_str!("../../../crates/billing/fixtures/facts-later.csv");
const EXPECTED: &str = include_str!("../../../crates/billing/fixtures/catalog.txt");
const SUPPLEMENT: &str = include_str!("../../../crates/billing/supplement.csv");
const COMMITTED: &str = include_str!("../../../crates/billing/catalog.txt");

const HEAD: &str = "model,vendor,channel,channel_model_id,region_or_geo,token_class,service_tier,context_tier,unit,\
                    price_usd,context_window,max_output,source,as_of,crosscheck";

fn source(name: &str, text: &str) -> Source {
    Source { name: name.to_owned(), text: text.to_owned() }
}

#[test]
fn the_sample_makes_the_expected_catalog() {
    let (text, report) = make(&[source("facts.csv", FACTS), source("facts-later.csv", LATER)]).unwrap();
    assert_eq!(text, EXPECTED, "if this is right, copy it to crates/billing/fixtures/catalog.txt:\n{text}");
    let mut swapped: Vec<&str> = FACTS.lines().skip(1).collect();
    swapped.reverse();
    let swapped = format!("{}\n{}\n", FACTS.lines().next().unwrap(), swapped.join("\n"));
    let (again, _) = make(&[source("facts-later.csv", LATER), source("facts.csv", &swapped)]).unwrap();
    assert_eq!(again, text, "the order of the facts does not matter");
    assert_eq!((report.rows, report.repeated, report.disputed, report.unchanged), (26, 1, 1, 1));
}

#[test]
fn what_stays_out_is_said_aloud() {
    let (_, report) = make(&[source("facts.csv", FACTS)]).unwrap();
    let said = report.to_string();
    for expected in [
        "20 facts → 2 models, 3 offers",
        "4 facts stay out",
        "cannot be: a price of zero where nothing else is charged\n      acme gift input=0 standard global base",
        "cannot be: writing to a cache is cheaper than plain input\n      acme one cache_write_1h=0.25 standard global base",
        "no class: priced by the picture, where the image classes count tokens\n      facts.csv:15 acme one image_output",
        "no class: pages read by character recognition\n      facts.csv:21 acme reader ocr by the page",
        "2 offers stay out because nothing of them is priced:\n  acme gift\n  acme reader",
    ] {
        assert!(said.contains(expected), "{expected:?} in\n{said}");
    }
}

#[test]
fn the_supplement_is_in_the_committed_catalog() {
    let (text, _) = make(&[source("supplement.csv", SUPPLEMENT)]).unwrap();
    let (_, sandbox) = text.split_once("model ").unwrap();
    assert!(COMMITTED.contains(sandbox), "{sandbox}");
}

/// A row of facts about `acme one`, with some columns changed.
fn row(changes: &[(&str, &str)]) -> String {
    let plain = "one,acme,acme,one,global,input,standard,base,1M tokens,3,,,price page,2026-11-21,";
    let mut values: Vec<&str> = plain.split(',').collect();
    for (column, value) in changes {
        let at = HEAD.split(',').position(|name| name == *column).unwrap();
        values[at] = value;
    }
    values.join(",")
}

#[test]
fn facts_that_cannot_be_understood_are_refused_with_their_line() {
    let factor = |changes: &[(&str, &str)]| {
        let mut all = vec![
            ("token_class", "all"),
            ("unit", "multiplier"),
            ("context_tier", "any"),
            ("region_or_geo", "us residency"),
            ("price_usd", "1.1"),
        ];
        all.extend(changes);
        row(&all)
    };
    let table = [
        (row(&[("token_class", "thought")]), "`thought` by the `1M tokens` is not a known class and unit"),
        (row(&[("unit", "1k tokens")]), "`input` by the `1k tokens` is not a known class and unit"),
        (row(&[("token_class", "web_search"), ("unit", "query")]), "`web_search` by the `query`"),
        (row(&[("region_or_geo", "mars")]), "`mars` is not a known geography"),
        (row(&[("service_tier", "gold")]), "`gold` is not a known service tier"),
        (row(&[("context_tier", ">200")]), "`>200`"),
        (row(&[("context_tier", "long")]), "`long` is not a context tier"),
        (row(&[("price_usd", "-3")]), "`-3` is below zero"),
        (row(&[("price_usd", "3e-6")]), "`3e-6` is not an amount"),
        (row(&[("price_usd", "")]), "`` is not an amount"),
        (row(&[("price_usd", "0.0000001")]), "`0.0000001` is not an amount"),
        (row(&[("price_usd", "2000000000")]), "above 1000 US dollars"),
        (
            row(&[("token_class", "web_search"), ("unit", "1k queries"), ("price_usd", "0.0000000005")]),
            "is not whole picos for one",
        ),
        (row(&[("model", "the one")]), "`the one` is not a name"),
        (row(&[("vendor", "ac/me")]), "`ac/me` is not a vendor"),
        (row(&[("channel", "")]), "`` is not a name"),
        (row(&[("as_of", "yesterday")]), "`yesterday` is not a day"),
        (row(&[("as_of", "2026-13-01")]), "`2026-13-01` is not a time"),
        (row(&[("source", " ")]), "a price without a source"),
        (row(&[("context_window", "big")]), "invalid digit"),
        (row(&[("price_usd", "4")]), "another price of `input` for acme one than facts.csv:2 gives"),
        (
            row(&[("model", "two"), ("token_class", "output")]),
            "acme sells one as `acme/two`, but facts.csv:2 says `acme/one`",
        ),
        (factor(&[("channel_model_id", "three"), ("model", "three")]), "there is no price to multiply"),
        (factor(&[("region_or_geo", "global")]), "it must name one tier or one geography"),
        (factor(&[("service_tier", "fast")]), "it must name one tier or one geography"),
        (factor(&[("context_tier", "base")]), "a factor for context `base` alone"),
        (factor(&[("price_usd", "0")]), "`0` is not a factor"),
        (factor(&[("price_usd", "-1.1")]), "`-1.1` is not a factor"),
        (factor(&[("price_usd", "ten percent")]), "`ten percent` is not an amount"),
        (factor(&[("as_of", "2027-01-01")]), "there is no price to multiply"),
        (format!("{}\n{}", factor(&[]), factor(&[("price_usd", "1.2")])), "has a price of its own"),
        (format!("{}\n{}", factor(&[]), row(&[("region_or_geo", "us residency")])), "has a price of its own"),
        (row(&[]).replace("2026-11-21,", "2026-11-21,,,,"), "found record with 18 fields"),
    ];
    for (second, problem) in table {
        let text = format!("{HEAD}\n{}\n{second}\n", row(&[]));
        let error = match make(&[source("facts.csv", &text)]) {
            Ok((text, _)) => panic!("not refused: {second}\n{text}"),
            Err(error) => format!("{error:#}"),
        };
        assert!(error.contains(problem), "{second}: {error}");
        let named = ["facts.csv:3", "facts.csv:4", "line: 3"].iter().any(|line| error.contains(line));
        assert!(named, "{second}: {error}");
    }
}

#[test]
fn a_factor_without_a_global_price_and_unknown_columns_are_refused() {
    let eu = row(&[("region_or_geo", "eu residency")]);
    let all = row(&[
        ("token_class", "all"),
        ("unit", "multiplier"),
        ("context_tier", "any"),
        ("region_or_geo", "us residency"),
    ]);
    let error = format!("{:#}", make(&[source("f.csv", &format!("{HEAD}\n{eu}\n{all}\n"))]).err().unwrap());
    assert!(
        error.contains("f.csv:3: the factor for acme/one cannot be expanded: there is no global price"),
        "{error}"
    );
    let error =
        format!("{:#}", make(&[source("f.csv", &format!("{HEAD},colour\n{eu},red\n"))]).err().unwrap());
    assert!(error.contains("colour"), "{error}");
    let error = format!("{:#}", make(&[source("f.csv", "model,vendor\na,b\n")]).err().unwrap());
    assert!(error.contains("missing field"), "{error}");
}

#[test]
fn factors_round_half_to_even() {
    let times = |pico, millionths| book::times(UnitPrice::from_pico(pico), millionths).unwrap().pico();
    assert_eq!([3, 5, 15].map(|pico| times(pico, 1_500_000)), [4, 8, 22], "4.5, 7.5 and 22.5");
    assert_eq!([times(7, 1_100_000), times(4, 1_100_000)], [8, 4], "7.7 and 4.4");
    assert_eq!(times(400_000, 1_100_000), 440_000);
    assert!(book::times(UnitPrice::from_pico(i64::MAX), 2_000_000).is_err());
}
