//! From facts to dated prices, and from those to the text form of the catalog.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::{Context as _, ensure};
use steelyard_billing::{Context, price};
use steelyard_core::{UnitPrice, UsageClass};

use super::Report;
use super::facts::{Day, Fact, Factor, OfferKey, Place};

/// One offer with everything known about it.
#[derive(Default)]
pub(super) struct Offer {
    limits: (Option<u64>, Option<u64>),
    versions: BTreeMap<Day, Version>,
}

/// The prices of one day.
#[derive(Default)]
struct Version {
    prices: BTreeMap<(Place, UsageClass), UnitPrice>,
    sources: BTreeSet<String>,
    notes: BTreeSet<String>,
}

/// The offers that facts and factors make, each with its versions.
pub(super) fn make(
    facts: Vec<Fact>,
    factors: Vec<Factor>,
    report: &mut Report,
) -> anyhow::Result<BTreeMap<OfferKey, Offer>> {
    let mut offers: BTreeMap<OfferKey, Offer> = BTreeMap::new();
    for fact in facts {
        let offer = offers.entry(fact.offer).or_default();
        offer.limits = (offer.limits.0.max(fact.limits.0), offer.limits.1.max(fact.limits.1));
        let version = offer.versions.entry(fact.day).or_default();
        if let Some(dispute) = fact.dispute {
            let Place { tier, geo, context } = &fact.place;
            version.notes.insert(format!("{} {tier} {geo} {context}: {dispute}", fact.class.name()));
        }
        version.sources.insert(fact.source);
        version.prices.insert((fact.place, fact.class), fact.price);
    }
    for (key, offer) in &mut offers {
        let what = format!("{} {}", key.provider, key.upstream_model);
        for version in offer.versions.values_mut() {
            keep_out_what_cannot_be(version, &what, report);
        }
    }
    for factor in by_order(factors) {
        let version = offers.get_mut(&factor.offer).and_then(|offer| offer.versions.get_mut(&factor.day));
        let made = version
            .context("there is no price to multiply")
            .and_then(|version| expand(version, &factor))
            .with_context(|| {
                format!("{}: the factor for {} cannot be expanded", factor.at, factor.offer.model)
            })?;
        report.expanded += made;
    }
    for offer in offers.values_mut() {
        offer.versions.retain(|_, version| !version.prices.is_empty());
        report.unchanged += drop_unchanged(&mut offer.versions);
    }
    offers.retain(|_, offer| !offer.versions.is_empty());
    let kept: BTreeSet<_> =
        offers.keys().map(|key| (key.provider.clone(), key.upstream_model.clone())).collect();
    report.offers_seen.retain(|offer| !kept.contains(offer));
    Ok(offers)
}

/// Tiers before geographies, so that a geography's factor applies to an expanded tier too.
fn by_order(mut factors: Vec<Factor>) -> Vec<Factor> {
    factors.sort_by(|one, other| {
        (&one.offer, &one.day, one.geo != "global", &one.geo, &one.tier).cmp(&(
            &other.offer,
            &other.day,
            other.geo != "global",
            &other.geo,
            &other.tier,
        ))
    });
    factors
}

/// Takes out prices that cannot be right, so that they fall back to a dearer class instead.
fn keep_out_what_cannot_be(version: &mut Version, what: &str, report: &mut Report) {
    let pays_by_call = version.prices.keys().any(|(_, class)| *class == UsageClass::Calls);
    let prices = version.prices.clone();
    version.prices.retain(|(place, class), price| {
        use UsageClass::{CacheWrite1h, CacheWrite5m, CacheWrite12h, Input};
        let reason = if price.pico() == 0 && !pays_by_call {
            "cannot be: a price of zero where nothing else is charged"
        } else if matches!(class, CacheWrite5m | CacheWrite1h | CacheWrite12h)
            && prices.get(&(place.clone(), Input)).is_some_and(|input| *price < *input)
        {
            "cannot be: writing to a cache is cheaper than plain input"
        } else {
            return true;
        };
        let Place { tier, geo, context } = place;
        let usd = price::price_text(*class, *price);
        report.keep_out(reason, format!("{what} {}={usd} {tier} {geo} {context}", class.name()));
        false
    });
}

/// Adds the prices of a tier or a geography that are multiples of the standard tier's or of the global ones.
/// Vendors' factors are about tokens; what is paid by use costs the same (Anthropic, "Pricing", data residency
/// and fast mode; `OpenAI`, "Pricing", regional processing).
fn expand(version: &mut Version, factor: &Factor) -> anyhow::Result<usize> {
    let Factor { tier, geo, millionths, .. } = factor;
    ensure!(
        (tier == "standard") != (geo == "global"),
        "tier {tier} in geography {geo}: it must name one tier or one geography, not both and not neither"
    );
    let is_base = |place: &Place| place.geo == "global" && (geo != "global" || place.tier == "standard");
    let base: Vec<_> = version
        .prices
        .iter()
        .filter(|((place, _), _)| is_base(place))
        .map(|(key, price)| (key.clone(), *price))
        .collect();
    ensure!(!base.is_empty(), "there is no global price to multiply");
    for ((place, class), price) in &base {
        let tier = if geo == "global" { tier } else { &place.tier };
        let place = Place { tier: tier.clone(), geo: geo.clone(), context: place.context };
        let price = if price::is_fee(*class) { *price } else { times(*price, *millionths)? };
        let before = version.prices.insert((place, *class), price);
        ensure!(
            before.is_none(),
            "`{}` for tier {tier} in geography {geo} has a price of its own",
            class.name()
        );
    }
    Ok(base.len())
}

/// `price` × `millionths` / 10⁶, rounded half to even to whole picos.
pub(super) fn times(price: UnitPrice, millionths: i64) -> anyhow::Result<UnitPrice> {
    let product = i128::from(price.pico()) * i128::from(millionths);
    let (whole, rest) = (product.div_euclid(1_000_000), product.rem_euclid(1_000_000));
    let up = rest > 500_000 || rest == 500_000 && whole % 2 == 1;
    let pico = i64::try_from(whole + i128::from(up)).context("the product is too large for a price")?;
    Ok(UnitPrice::from_pico(pico))
}

/// Takes out readings that say what the one before said, and returns how many.
fn drop_unchanged(versions: &mut BTreeMap<Day, Version>) -> usize {
    let before = versions.len();
    let mut days: Vec<Day> = versions.keys().cloned().collect();
    days.sort_by(|one, other| one.date().cmp(other.date()));
    let mut last: Option<BTreeMap<_, _>> = None;
    for day in days {
        let prices = versions.get(&day).map(|version| version.prices.clone());
        if last.is_some() && last == prices {
            versions.remove(&day);
        } else {
            last = prices;
        }
    }
    before - versions.len()
}

const HEAD: &str = "\
# What models cost, by provider and date. Written by `cargo xtask catalog`: change the facts, not this file.
# US dollars per million tokens; web_search, maps_grounding and calls in US dollars per single use.
# `version assumed DAY`: the price was read on that day, and counts as valid from before.
";

/// The text form, sorted by model, provider, upstream name and day.
pub(super) fn write(offers: &BTreeMap<OfferKey, Offer>) -> String {
    let mut limits: BTreeMap<&str, (Option<u64>, Option<u64>)> = BTreeMap::new();
    for (key, offer) in offers {
        let model = limits.entry(&key.model).or_default();
        *model = (model.0.max(offer.limits.0), model.1.max(offer.limits.1));
    }
    let mut text = HEAD.to_owned();
    let mut model = "";
    for (key, offer) in offers {
        let largest = limits[key.model.as_str()];
        if key.model != model {
            model = &key.model;
            line(&mut text, &format!("\nmodel {model}{}", limits_text(largest, (None, None))));
        }
        let own = limits_text(offer.limits, largest);
        line(&mut text, &format!("  offer {} {}{own}", key.provider, key.upstream_model));
        let mut days: Vec<_> = offer.versions.iter().collect();
        days.sort_by(|one, other| one.0.date().cmp(other.0.date()));
        for (index, (day, version)) in days.into_iter().enumerate() {
            let kind = if index == 0 && matches!(day, Day::Read(_)) { "assumed" } else { "from" };
            line(&mut text, &format!("    version {kind} {}", day.date()));
            write_version(&mut text, version);
        }
    }
    text
}

fn write_version(text: &mut String, version: &Version) {
    let order = |place: &Place| {
        (place.tier != "standard", place.tier.clone(), place.geo != "global", place.geo.clone())
    };
    let mut lines: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for ((place, class), price) in &version.prices {
        let Place { tier, geo, context } = place;
        // `any` comes last: it holds what the other lines do not.
        let key = (order(place), *context == Context::Any, *context, format!("{tier} {geo} {context}"));
        lines.entry(key).or_default().push(format!("{}={}", class.name(), price::price_text(*class, *price)));
    }
    for ((.., place), prices) in lines {
        line(text, &format!("      price {place} {}", prices.join(" ")));
    }
    version.sources.iter().for_each(|source| line(text, &format!("      source {source}")));
    version.notes.iter().for_each(|note| line(text, &format!("      note {note}")));
}

/// The limits that are known and not the same as `beside`.
fn limits_text(limits: (Option<u64>, Option<u64>), beside: (Option<u64>, Option<u64>)) -> String {
    let one = |name: &str, limit: Option<u64>, beside: Option<u64>| {
        limit.filter(|_| limit != beside).map_or_else(String::new, |tokens| format!(" {name}={tokens}"))
    };
    one("context", limits.0, beside.0) + &one("output", limits.1, beside.1)
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a String takes every line");
}
