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

#[test]
fn bytes_overhead_and_the_cap_make_the_worst_case() {
    // 976 bytes and 1024 tokens of overhead at 1 dollar a million, 100 tokens at 2 dollars a million.
    assert_eq!(sandbox().worst_case(&bound()).unwrap().to_string(), "0.0022");
    let three = CallBound { choices: 3, ..bound() };
    assert_eq!(sandbox().worst_case(&three).unwrap().to_string(), "0.0026");
    let none = CallBound { choices: 0, ..bound() };
    assert_eq!(
        sandbox().worst_case(&none),
        sandbox().worst_case(&bound()),
        "no number of answers is one answer"
    );
    let picture = CallBound { media: 1, ..bound() };
    assert_eq!(sandbox().worst_case(&picture).unwrap().to_string(), "0.0522");
}

#[test]
fn what_is_unknowable_takes_the_window_or_has_no_worst_case() {
    let unknowable = CallBound { unknowable: true, ..bound() };
    assert_eq!(sandbox().worst_case(&unknowable), None);
    let within = CallBound { context_window: Some(128_000), ..unknowable };
    assert_eq!(sandbox().worst_case(&within).unwrap().to_string(), "0.1282");
}

#[test]
fn without_a_cap_the_models_largest_answer_holds_and_without_that_nothing() {
    let open = CallBound { output_cap: None, ..bound() };
    assert_eq!(sandbox().worst_case(&open), None);
    let known = CallBound { max_output: Some(16_384), ..open };
    assert_eq!(sandbox().worst_case(&known).unwrap().to_string(), "0.034768");
    let capped = CallBound { max_output: Some(16_384), ..bound() };
    assert_eq!(sandbox().worst_case(&capped), sandbox().worst_case(&bound()));
}

#[test]
fn an_embedding_has_a_worst_case_without_a_price_of_output() {
    let offer = builtin()
        .iter()
        .find(|offer| &*offer.upstream_model == "text-embedding-3-small" && &*offer.provider == "openai");
    let version = offer.unwrap().prices.versions().last().unwrap();
    assert!(version.worst_case(&CallBound { output_cap: Some(0), ..bound() }).is_some());
    assert_eq!(version.worst_case(&bound()), None, "an answer without a price has no worst case");
}

#[test]
fn every_tier_and_geography_is_covered_unless_one_is_known() {
    let offer =
        builtin().iter().find(|offer| &*offer.upstream_model == "gpt-6-sol" && &*offer.provider == "openai");
    let version = offer.unwrap().prices.versions().last().unwrap();
    let any = version.worst_case(&bound()).unwrap();
    let standard = version.worst_case_at(&bound(), "standard", "global").unwrap();
    let priority = version.worst_case_at(&bound(), "priority", "us").unwrap();
    assert!(standard < priority && priority <= any);
    assert_eq!(version.worst_case_at(&bound(), "scale", "global"), Some(any), "an unknown tier is any tier");
}

#[test]
fn tools_whose_every_use_is_charged_have_no_worst_case() {
    let cell = |class, price| Cell {
        class,
        tier: STANDARD.into(),
        geo: ANY.into(),
        context: Context::Any,
        price: UnitPrice::from_pico(price),
    };
    let tokens = vec![cell(UsageClass::Input, 1), cell(UsageClass::Output, 2)];
    let version = |cells| PriceVersion::new("m", "test", "2026-01-01", BEGINNING, false, cells).unwrap();
    let hosted = CallBound { hosted_tools: true, ..bound() };
    let free = version(tokens.clone());
    assert_eq!(
        free.worst_case(&hosted),
        free.worst_case(&bound()),
        "a tool without a price costs tokens alone"
    );
    let charged = version([tokens, vec![cell(UsageClass::WebSearch, 10_000_000_000)]].concat());
    assert!(charged.worst_case(&bound()).is_some());
    assert_eq!(charged.worst_case(&hosted), None);
    assert_eq!(charged.worst_case_at(&hosted, STANDARD, ANY), None);
}

prop_compose! {
    fn any_bound()(
        input_bytes in prop_oneof![0..5_000_u64, 50_000..500_000_u64, any::<u64>()], media in 0..4_u64, unknowable in any::<bool>(),
        output_cap in proptest::option::of(prop_oneof![0..5_000_u64, any::<u64>()]), choices in 0..5_u64,
        context_window in proptest::option::of(1_000..2_000_000_u64), max_output in proptest::option::of(1..200_000_u64),
    ) -> CallBound {
        CallBound { input_bytes, media, unknowable, hosted_tools: false, output_cap, choices, context_window, max_output }
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
    fn no_usage_within_the_bound_costs_more_than_the_worst_case(
        bound in any_bound(), offer in any::<prop::sample::Index>(), tier in any::<prop::sample::Index>(), geo in any::<prop::sample::Index>(),
        fill in 0..=4_u64, shares in proptest::collection::vec(0..5_u64, 14), calls in 0..2_u64, order in any::<prop::sample::Index>()
    ) {
        let version = offer.get(builtin()).prices.versions().last().unwrap();
        let (Some(prompt), Some(answer)) = (bound.prompt_tokens(), bound.answer_tokens()) else {
            prop_assert_eq!(version.worst_case(&bound), None);
            return Ok(());
        };
        let has_media = bound.media > 0 || bound.unknowable;
        let mut input: Vec<UsageClass> = PROMPT_CLASSES.iter().copied().filter(|class| has_media || !is_media(*class)).collect();
        let turn = order.index(input.len());
        input.rotate_left(turn);
        let mut answers = ANSWER_CLASSES.to_vec();
        answers.rotate_left(turn % 4);
        let mut usage = Usage::ZERO;
        split(prompt / 4 * fill, &input, &shares[..10], &mut usage);
        split(answer / 4 * fill, &answers, &shares[10..], &mut usage);
        usage[UsageClass::Calls] = calls;

        let tiers: Vec<&str> = version.tiers().iter().map(AsRef::as_ref).chain(["default", "scale"]).collect();
        let geos: Vec<&str> = version.geos().iter().map(AsRef::as_ref).chain(["mars"]).collect();
        let (tier, geo) = (*tier.get(&tiers), *geo.get(&geos));
        let charge = version.rate(&usage, tier, geo);
        if let (Some(amount), Some(worst)) = (charge.amount, version.worst_case(&bound)) {
            prop_assert!(amount <= worst, "{amount} > {worst} for {usage:?} at {tier} {geo} of {}", version.id);
            let known = version.worst_case_at(&bound, tier, geo).unwrap();
            prop_assert!(amount <= known && known <= worst, "{amount} {known} {worst} at {tier} {geo} of {}", version.id);
        }
    }
}
