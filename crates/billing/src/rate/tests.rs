use std::sync::OnceLock;

use proptest::prelude::*;
use steelyard_core::Timestamp;

use super::*;
use crate::price::{BEGINNING, Cell, Context, PriceList};
use crate::{Catalog, CatalogOffer};

fn version(cells: &[(&str, &str, &str, UsageClass, i64)]) -> PriceVersion {
    let cells = cells.iter().map(|(tier, geo, context, class, pico)| Cell {
        class: *class,
        tier: (*tier).into(),
        geo: (*geo).into(),
        context: context.parse::<Context>().unwrap(),
        price: UnitPrice::from_pico(*pico),
    });
    PriceVersion::new("acme/one", "", "2026-11-21", BEGINNING, true, cells.collect()).unwrap()
}

fn usage(counts: &[(UsageClass, u64)]) -> Usage {
    counts.iter().copied().collect()
}

use UsageClass::{
    AudioIn, CacheRead, CacheWrite1h, CacheWrite5m, CacheWrite12h, Input, Output, Reasoning, WebSearch,
};

/// What is charged for 10 units of `class`, and how it is flagged.
fn ten(version: &PriceVersion, class: UsageClass, tier: &str, geo: &str) -> (Option<i128>, String) {
    let charge = version.rate(&usage(&[(class, 10)]), tier, geo);
    let flags: Vec<String> = charge.flags.iter().map(ToString::to_string).collect();
    (charge.amount.map(Money::pico), flags.join(" "))
}

#[test]
fn each_class_is_a_line_and_the_lines_make_the_amount() {
    let version = version(&[
        ("standard", "global", "base", Input, 100),
        ("standard", "global", "base", CacheRead, 10),
        ("standard", "global", "base", Output, 400),
    ]);
    let charge = version.rate(&usage(&[(Input, 7), (CacheRead, 5), (Output, 3)]), "default", "global");
    assert_eq!(charge.amount, Some(Money::from_pico(700 + 50 + 1200)));
    assert_eq!(charge.lines.len(), 3);
    assert!(charge.flags.is_empty(), "`default` is the standard tier");
    assert_eq!(version.rate(&Usage::ZERO, "standard", "global").amount, Some(Money::ZERO));
}

#[test]
fn a_prompt_over_a_threshold_prices_the_whole_call_anew() {
    let version = version(&[
        ("standard", "global", "base", Input, 1),
        ("standard", "global", "base", CacheRead, 1),
        ("standard", "global", "base", Output, 3),
        ("standard", "global", ">100", Input, 10),
        ("standard", "global", ">100", CacheRead, 10),
        ("standard", "global", ">100", Output, 30),
        ("standard", "global", "any", WebSearch, 5),
    ]);
    let amount = |counts: &[(UsageClass, u64)]| {
        let charge = version.rate(&usage(counts), "standard", "global");
        assert!(charge.flags.is_empty());
        charge.amount.unwrap().pico()
    };
    assert_eq!(
        amount(&[(Input, 60), (CacheRead, 40), (Output, 1)]),
        60 + 40 + 3,
        "at the threshold it is not crossed"
    );
    assert_eq!(amount(&[(Input, 61), (CacheRead, 40), (Output, 1)]), 610 + 400 + 30, "cached tokens count");
    assert_eq!(amount(&[(Input, 1), (Output, 1000)]), 1 + 3000, "the answer does not");
    assert_eq!(amount(&[(Input, 200), (WebSearch, 2)]), 2000 + 10, "a price for any length stays");
}

#[test]
fn a_class_without_a_price_takes_the_dearest_substitute() {
    let version =
        version(&[("standard", "global", "base", Input, 100), ("standard", "global", "base", Output, 400)]);
    let ten = |class| ten(&version, class, "standard", "global");
    assert_eq!(ten(CacheRead), (Some(1000), "cache_read_as_input".into()));
    assert_eq!(ten(CacheWrite5m), (Some(1000), "cache_write_5m_as_input".into()));
    assert_eq!(ten(Reasoning), (Some(4000), "reasoning_as_output".into()));
    assert_eq!(ten(AudioIn), (Some(1000), "audio_in_as_input".into()));
    assert_eq!(ten(UsageClass::ImageCacheRead), (Some(1000), "image_cache_read_as_input".into()));
    assert_eq!(ten(UsageClass::VideoIn), (Some(1000), "video_in_as_input".into()));
    assert_eq!(ten(WebSearch), (None, "web_search_unpriced".into()), "never zero");
}

#[test]
fn an_unpriced_class_leaves_the_other_lines_but_no_amount() {
    let version = version(&[("standard", "global", "base", Input, 100)]);
    let charge = version.rate(&usage(&[(Input, 2), (Output, 1)]), "standard", "global");
    assert_eq!(charge.amount, None);
    assert_eq!(charge.lines.len(), 1);
    assert_eq!(charge.flags, [Flag::Unpriced { class: Output }]);
}

#[test]
fn cache_writes_take_the_dearest_of_the_other_writes() {
    let version = version(&[
        ("standard", "global", "base", Input, 100),
        ("standard", "global", "base", CacheWrite5m, 125),
        ("standard", "global", "base", CacheWrite12h, 250),
    ]);
    let (amount, flags) = ten(&version, CacheWrite1h, "standard", "global");
    assert_eq!((amount, flags.as_str()), (Some(2500), "cache_write_1h_as_cache_write_12h"));
}

#[test]
fn a_substitute_that_is_cheaper_somewhere_is_not_taken() {
    // Sound costs more than text at the standard tier; flex prints no price for sound.
    let version = version(&[
        ("standard", "global", "base", Input, 30),
        ("standard", "global", "base", AudioIn, 100),
        ("flex", "global", "base", Input, 15),
        ("flex", "global", "base", Output, 60),
    ]);
    assert_eq!(ten(&version, AudioIn, "flex", "global"), (Some(1000), "audio_in_at_dearest".into()));
    // Where it is never cheaper it is taken: the tier's own output, not the standard tier's.
    assert_eq!(ten(&version, Reasoning, "flex", "global"), (Some(600), "reasoning_as_output".into()));
}

#[test]
fn an_unknown_tier_or_geography_is_never_a_discount() {
    let version = version(&[
        ("standard", "global", "base", Input, 100),
        ("standard", "eu", "base", Input, 110),
        ("priority", "global", "base", Input, 200),
        ("priority", "global", ">1000", Input, 900),
        ("flex", "global", "base", Input, 50),
    ]);
    assert_eq!(ten(&version, Input, "scale", "global"), (Some(2000), "input_at_dearest".into()));
    assert_eq!(ten(&version, Input, "standard", "mars"), (Some(1100), "input_geo_assumed".into()));
    assert_eq!(ten(&version, Input, "priority", "eu"), (Some(2000), "input_geo_assumed".into()));
    assert_eq!(ten(&version, Input, "flex", "mars"), (Some(500), "input_geo_assumed".into()));
    assert_eq!(ten(&version, CacheRead, "flex", "mars"), (Some(500), "cache_read_geo_assumed".into()));
    assert_eq!(ten(&version, CacheRead, "scale", "global"), (Some(2000), "cache_read_at_dearest".into()));
    assert_eq!(ten(&version, Input, "standard", "eu"), (Some(1100), String::new()));
}

#[test]
fn in_an_unknown_geography_the_calls_own_tier_holds_and_the_classs_own_price() {
    // A model that is priced in one region, called in another (`amazon.nova-pro-v1:0` in Frankfurt).
    let offer = builtin().iter().find(|offer| &*offer.upstream_model == "amazon.nova-pro-v1:0").unwrap();
    let version = offer.prices.versions().last().unwrap();
    let counts = usage(&[(Input, 10), (CacheRead, 10), (Reasoning, 10)]);
    let at = |tier: &str| version.rate(&counts, tier, "eu-central-1");
    // 10 × 0.8, 10 × 0.2 and 10 × 3.2 dollars per million; at the priority tier 1.4, 0.35 and 5.6.
    assert_eq!(at("standard").amount.unwrap().to_string(), "0.000042");
    assert_eq!(at("priority").amount.unwrap().to_string(), "0.0000735");
    let flags: Vec<String> = at("standard").flags.iter().map(ToString::to_string).collect();
    assert_eq!(flags, ["input_geo_assumed", "cache_read_geo_assumed", "reasoning_geo_assumed"]);
}

fn builtin() -> &'static [CatalogOffer] {
    static OFFERS: OnceLock<Vec<CatalogOffer>> = OnceLock::new();
    OFFERS.get_or_init(|| Catalog::builtin().unwrap().offers().cloned().collect())
}

prop_compose! {
    /// A usage with up to a dozen classes, around the thresholds of real models.
    fn any_usage()(counts in proptest::collection::vec((0..UsageClass::ALL.len(), prop_oneof![0..2_000_u64, 90_000..400_000_u64, any::<u64>()]), 0..12)) -> Usage {
        counts.into_iter().map(|(class, count)| (UsageClass::ALL[class], count)).collect()
    }
}

prop_compose! {
    /// A published version, with a tier and a geography that it knows or does not know.
    fn any_place()(offer in any::<prop::sample::Index>(), tier in any::<prop::sample::Index>(), geo in any::<prop::sample::Index>())
        -> (&'static PriceVersion, String, String)
    {
        let version = offer.get(builtin()).prices.versions().last().unwrap();
        let tiers = version.tiers().iter().map(AsRef::as_ref).chain(["default", "scale"]).collect::<Vec<_>>();
        let geos = version.geos().iter().map(AsRef::as_ref).chain(["mars"]).collect::<Vec<_>>();
        (version, (*tier.get(&tiers)).to_owned(), (*geo.get(&geos)).to_owned())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_charge_is_the_sum_of_its_lines_and_says_all_that_was_used(usage in any_usage(), (version, tier, geo) in any_place()) {
        let charge = version.rate(&usage, &tier, &geo);
        for line in &charge.lines {
            prop_assert_eq!(line.amount, line.price.times(line.units), "no rounding");
            prop_assert_eq!(line.units, usage[line.class]);
        }
        let unpriced: Vec<UsageClass> = charge.flags.iter().filter_map(|flag| match flag {
            Flag::Unpriced { class } => Some(*class),
            Flag::Substituted { .. } | Flag::GeoAssumed { .. } | Flag::Dearest { .. } => None,
        }).collect();
        let mut said: Vec<UsageClass> = charge.lines.iter().map(|line| line.class).chain(unpriced.iter().copied()).collect();
        said.sort_unstable();
        prop_assert_eq!(said, usage.counted().map(|(class, _)| class).collect::<Vec<_>>());
        let sum = unpriced.is_empty().then(|| charge.lines.iter().map(|line| line.amount).sum::<Money>());
        prop_assert_eq!(charge.amount, sum);
        prop_assert_eq!(version.rate(&usage, &tier, &geo), charge, "a charge can be made again");
    }

    #[test]
    fn a_price_that_is_not_the_classs_own_is_flagged_and_never_below_it(usage in any_usage(), (version, tier, geo) in any_place()) {
        for line in version.rate(&usage, &tier, &geo).lines {
            let own = version.exact(line.class, version.place(&tier, &geo, prompt_tokens(&usage)));
            let charge = version.rate(&usage, &tier, &geo);
            let flagged = charge.flags.iter().any(|flag| match flag {
                Flag::Substituted { class, .. } | Flag::GeoAssumed { class } | Flag::Dearest { class } | Flag::Unpriced { class } => *class == line.class,
            });
            prop_assert_eq!(own.is_none(), flagged);
            if let Some(own) = own {
                prop_assert_eq!((own, line.class), (line.price, line.priced_as));
            }
        }
    }

    #[test]
    fn more_use_never_costs_less_while_the_prompt_crosses_no_threshold(
        usage in any_usage(), class in 0..UsageClass::ALL.len(), more in 1..1_000_000_u64, (version, tier, geo) in any_place()
    ) {
        let mut larger = usage;
        let class = UsageClass::ALL[class];
        larger[class] = larger[class].saturating_add(more);
        prop_assume!(version.place(&tier, &geo, prompt_tokens(&usage)) == version.place(&tier, &geo, prompt_tokens(&larger)));
        let (less, more) = (version.rate(&usage, &tier, &geo), version.rate(&larger, &tier, &geo));
        if let (Some(less), Some(more)) = (less.amount, more.amount) {
            prop_assert!(more >= less);
        }
        prop_assert!(less.amount.is_some() || more.amount.is_none(), "more use never makes a price known");
    }

    #[test]
    fn an_override_never_changes_a_charge_of_an_earlier_date(
        usage in any_usage(), (version, tier, geo) in any_place(), from in 1..1_000_i64, before in 1..1_000_i64,
        prices in proptest::collection::btree_map(0..UsageClass::ALL.len(), 0..1_000_000_000_i64, 1..6)
    ) {
        let list = PriceList::published(vec![version.clone()]).unwrap();
        let cells = prices.into_iter().map(|(class, pico)| (UsageClass::ALL[class], UnitPrice::from_pico(pico)));
        let own = list.with_override("own/model", Timestamp(from), cells.collect()).unwrap();
        let early = Timestamp(from - before);
        let charge = |list: &PriceList| list.at(early).map(|version| (version.id.clone(), version.rate(&usage, &tier, &geo)));
        prop_assert_eq!(charge(&own), charge(&list));
    }
}

/// In the committed prices no longer prompt makes a token cheaper, so a larger use never costs less at all.
#[test]
fn published_prices_never_fall_with_the_length_of_the_prompt() {
    for offer in builtin() {
        for version in offer.prices.versions() {
            for cell in version.cells() {
                let Context::Over(over) = cell.context else { continue };
                let place = version.place(&cell.tier, &cell.geo, over);
                let shorter = version.exact(cell.class, place);
                assert!(shorter.is_none_or(|price| price <= cell.price), "{} {cell:?}", version.id);
            }
        }
    }
}
