use std::sync::OnceLock;

use proptest::prelude::*;
use steelyard_core::{Usage, UsageClass};

use super::*;
use crate::price::{ANY, BEGINNING, Cell, Context, STANDARD};
use crate::{Catalog, CatalogOffer};

fn builtin() -> &'static [CatalogOffer] {
    static OFFERS: OnceLock<Vec<CatalogOffer>> = OnceLock::new();
    OFFERS.get_or_init(|| Catalog::builtin().unwrap().offers().cloned().collect())
}

fn sandbox() -> &'static PriceVersion {
    let offer = builtin().iter().find(|offer| *offer.provider == *"sandbox").unwrap();
    offer.prices.versions().last().unwrap()
}

fn bound() -> CallBound {
    CallBound { input_bytes: 976, output_cap: Some(100), choices: 1, ..CallBound::default() }
}

fn known(hold: Hold) -> String {
    match hold {
        Hold::Known(amount) => amount.to_string(),
        Hold::Assumed(amount) => panic!("{amount} is assumed"),
    }
}

fn assumed(hold: Hold) -> String {
    match hold {
        Hold::Assumed(amount) => amount.to_string(),
        Hold::Known(amount) => panic!("{amount} is known"),
    }
}

fn version(cells: &[(UsageClass, i64)]) -> PriceVersion {
    let cell = |(class, price): &(UsageClass, i64)| Cell {
        class: *class,
        tier: STANDARD.into(),
        geo: ANY.into(),
        context: Context::Any,
        price: UnitPrice::from_pico(*price),
    };
    PriceVersion::new("m", "test", "2026-01-01", BEGINNING, false, cells.iter().map(cell).collect()).unwrap()
}

#[test]
fn bytes_overhead_and_the_cap_make_the_worst_case() {
    // 976 bytes and 1024 tokens of overhead at 1 dollar a million, 100 tokens at 2 dollars a million.
    assert_eq!(known(sandbox().worst_case(&bound())), "0.0022");
    let three = CallBound { choices: 3, ..bound() };
    assert_eq!(known(sandbox().worst_case(&three)), "0.0026");
    let none = CallBound { choices: 0, ..bound() };
    assert_eq!(
        sandbox().worst_case(&none),
        sandbox().worst_case(&bound()),
        "no number of answers is one answer"
    );
    let picture = CallBound { media: 1, ..bound() };
    assert_eq!(known(sandbox().worst_case(&picture)), "0.0522");
}

#[test]
fn what_is_unknowable_takes_the_window_or_an_assumed_one() {
    let unknowable = CallBound { unknowable: true, ..bound() };
    assert_eq!(assumed(sandbox().worst_case(&unknowable)), "1.0502");
    let within = CallBound { context_window: Some(128_000), ..unknowable.clone() };
    assert_eq!(known(sandbox().worst_case(&within)), "0.1282");
    let long = CallBound { input_bytes: 2_000_000, ..unknowable };
    assert_eq!(assumed(sandbox().worst_case(&long)), "2.001224", "no less than what is seen");
}

#[test]
fn without_a_cap_the_models_largest_answer_holds_then_its_window_then_an_assumed_one() {
    let open = CallBound { output_cap: None, ..bound() };
    assert_eq!(assumed(sandbox().worst_case(&open)), "0.546");
    let window = CallBound { context_window: Some(32_000), ..open };
    assert_eq!(known(sandbox().worst_case(&window)), "0.066");
    let largest = CallBound { max_output: Some(16_384), ..window };
    assert_eq!(known(sandbox().worst_case(&largest)), "0.034768");
    let capped = CallBound { output_cap: Some(100), ..largest.clone() };
    assert_eq!(sandbox().worst_case(&capped), sandbox().worst_case(&bound()));
    let two = CallBound { choices: 2, ..largest };
    assert_eq!(known(sandbox().worst_case(&two)), "0.067536");
}

#[test]
fn what_is_assumed_covers_what_the_catalog_knows() {
    let catalog = Catalog::builtin().unwrap();
    let answers = catalog.models().filter(|model| model.max_output != model.context_window);
    assert_eq!(answers.filter_map(|model| model.max_output).max(), Some(ASSUMED_ANSWER_TOKENS));
    let mut windows: Vec<u64> = catalog.models().filter_map(|model| model.context_window).collect();
    windows.sort_unstable();
    assert_eq!(windows[windows.len() - 2], ASSUMED_WINDOW_TOKENS, "but for the one that is largest");
}

#[test]
fn an_embedding_has_a_worst_case_without_a_price_of_output() {
    let offer = builtin()
        .iter()
        .find(|offer| &*offer.upstream_model == "text-embedding-3-small" && &*offer.provider == "openai");
    let version = offer.unwrap().prices.versions().last().unwrap();
    let vectors = known(version.worst_case(&CallBound { output_cap: Some(0), ..bound() }));
    assert_eq!(assumed(version.worst_case(&bound())), vectors, "an answer has no price that is known");
}

#[test]
fn what_has_no_price_of_its_main_class_is_held_for_by_what_has_one() {
    let searches = version(&[(UsageClass::Calls, 2_000_000_000)]);
    assert_eq!(assumed(searches.worst_case(&bound())), "0.002");
    let pictures = version(&[(UsageClass::ImageIn, 3_000_000), (UsageClass::Output, 2_000_000)]);
    assert_eq!(assumed(pictures.worst_case(&bound())), "0.0002");
    assert_eq!(assumed(pictures.worst_case(&CallBound { media: 1, ..bound() })), "0.1562");
}

#[test]
fn every_tier_and_geography_is_covered_unless_one_is_known() {
    let offer =
        builtin().iter().find(|offer| &*offer.upstream_model == "gpt-6-sol" && &*offer.provider == "openai");
    let version = offer.unwrap().prices.versions().last().unwrap();
    let any = version.worst_case(&bound()).amount();
    let standard = version.worst_case_at(&bound(), "standard", "global").amount();
    let priority = version.worst_case_at(&bound(), "priority", "us").amount();
    assert!(standard < priority && priority <= any);
    let unknown = version.worst_case_at(&bound(), "scale", "global");
    assert_eq!(unknown, Hold::Known(any), "an unknown tier is any tier");
}

#[test]
fn tools_that_the_vendor_runs_as_often_as_it_likes_are_assumed() {
    use UsageClass::{Input, MapsGrounding, Output, WebSearch};
    let hosted = CallBound { hosted_tools: true, ..bound() };
    let tokens = [(Input, 1_000_000), (Output, 2_000_000)];
    let free = version(&tokens);
    assert_eq!(
        assumed(free.worst_case(&hosted)),
        known(free.worst_case(&bound())),
        "a tool without a price costs tokens alone"
    );
    let tools = [(WebSearch, 10_000_000_000), (MapsGrounding, 14_000_000_000)];
    let charged = version(&[tokens, tools].concat());
    assert_eq!(charged.worst_case(&bound()), free.worst_case(&bound()), "no tool is offered");
    assert_eq!(assumed(charged.worst_case(&hosted)), "1.2022");
    assert_eq!(charged.worst_case_at(&hosted, STANDARD, ANY), charged.worst_case(&hosted));
}

prop_compose! {
    fn any_bound()(
        input_bytes in prop_oneof![0..5_000_u64, 50_000..500_000_u64, any::<u64>()], media in 0..4_u64, unknowable in any::<bool>(),
        output_cap in proptest::option::of(prop_oneof![0..5_000_u64, any::<u64>()]), choices in 0..5_u64, hosted_tools in any::<bool>(),
        context_window in proptest::option::of(1_000..2_000_000_u64), max_output in proptest::option::of(1..200_000_u64),
    ) -> CallBound {
        CallBound { input_bytes, media, unknowable, hosted_tools, output_cap, choices, context_window, max_output }
    }
}

/// Splits up to `total` among `classes` by `shares`.
fn split(total: u64, classes: &[UsageClass], shares: &[u64], usage: &mut Usage) {
    let mut left = total;
    for (class, share) in classes.iter().zip(shares) {
        let part = if *share == 0 { left } else { left / share };
        usage[*class] += part;
        left -= part;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn whatever_has_a_price_has_a_hold_and_no_usage_within_its_bounds_costs_more(
        bound in any_bound(), offer in any::<prop::sample::Index>(), tier in any::<prop::sample::Index>(), geo in any::<prop::sample::Index>(),
        fill in 0..=4_u64, shares in proptest::collection::vec(0..5_u64, 14), calls in 0..2_u64, order in any::<prop::sample::Index>()
    ) {
        let version = offer.get(builtin()).prices.versions().last().unwrap();
        let worst = version.worst_case(&bound);
        prop_assert!(worst.amount() > Money::ZERO, "{worst:?} for {bound:?} of {}", version.id);
        let (prompt, answer) = (bound.prompt_tokens(), bound.answer_tokens());
        if let Hold::Known(_) = worst {
            prop_assert!(matches!((prompt, answer), (TokenBound::Known(_), TokenBound::Known(_))) && !bound.hosted_tools);
        }
        let has_media = bound.media > 0 || bound.unknowable;
        let mut input: Vec<UsageClass> = PROMPT_CLASSES.iter().copied().filter(|class| has_media || !is_media(*class)).collect();
        let turn = order.index(input.len());
        input.rotate_left(turn);
        let mut answers = ANSWER_CLASSES.to_vec();
        answers.rotate_left(turn % 4);
        let mut usage = Usage::ZERO;
        split(prompt.tokens() / 4 * fill, &input, &shares[..10], &mut usage);
        split(answer.tokens() / 4 * fill, &answers, &shares[10..], &mut usage);
        usage[UsageClass::Calls] = calls;

        let tiers: Vec<&str> = version.tiers().iter().map(AsRef::as_ref).chain(["default", "scale"]).collect();
        let geos: Vec<&str> = version.geos().iter().map(AsRef::as_ref).chain(["mars"]).collect();
        let (tier, geo) = (*tier.get(&tiers), *geo.get(&geos));
        // Within bounds that are only assumed, the worst case covers what has a price too.
        if let Some(amount) = version.rate(&usage, tier, geo).amount {
            let (worst, at) = (worst.amount(), version.worst_case_at(&bound, tier, geo).amount());
            prop_assert!(amount <= at && at <= worst, "{amount} {at} {worst} for {usage:?} at {tier} {geo} of {}", version.id);
        }
    }
}
