//! From CSV rows to facts in Steelyard's words: usage classes, tiers, geographies, contexts, exact prices.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;
use steelyard_billing::{Context, price};
use steelyard_core::{Timestamp, UnitPrice, UsageClass};

use super::Report;

/// A facts file.
pub(super) struct Source {
    pub(super) name: String,
    pub(super) text: String,
}

/// A row as it stands in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    model: String,
    vendor: String,
    channel: String,
    channel_model_id: String,
    region_or_geo: String,
    token_class: String,
    service_tier: String,
    context_tier: String,
    unit: String,
    price_usd: String,
    context_window: Option<u64>,
    max_output: Option<u64>,
    source: String,
    as_of: String,
    #[serde(default)]
    crosscheck: String,
    /// The day from which the vendor says the price holds, where it says so.
    #[serde(default)]
    valid_from: String,
}

/// A model as one provider sells it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OfferKey {
    /// `vendor/model`.
    pub(super) model: String,
    pub(super) provider: String,
    pub(super) upstream_model: String,
}

/// From when facts hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Day {
    /// The vendor says so.
    ValidFrom(String),
    /// Only the day on which the price was read is known.
    Read(String),
}

impl Day {
    pub(super) fn date(&self) -> &str {
        match self {
            Self::ValidFrom(date) | Self::Read(date) => date,
        }
    }
}

/// Where a price holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) tier: String,
    pub(super) geo: String,
    pub(super) context: Context,
}

/// One price.
#[derive(Debug, Clone)]
pub(super) struct Fact {
    pub(super) offer: OfferKey,
    pub(super) day: Day,
    pub(super) place: Place,
    pub(super) class: UsageClass,
    pub(super) price: UnitPrice,
    pub(super) limits: (Option<u64>, Option<u64>),
    pub(super) source: String,
    /// What a second source says, where it differs.
    pub(super) dispute: Option<String>,
    /// `file:line`, for messages.
    pub(super) at: String,
}

/// A tier or geography whose token prices are a multiple of another's.
#[derive(Debug, Clone)]
pub(super) struct Factor {
    pub(super) offer: OfferKey,
    pub(super) day: Day,
    pub(super) tier: String,
    pub(super) geo: String,
    /// In millionths.
    pub(super) millionths: i64,
    pub(super) at: String,
}

/// What the files say.
pub(super) struct Reading {
    pub(super) facts: Vec<Fact>,
    pub(super) factors: Vec<Factor>,
    pub(super) report: Report,
}

/// Service tiers, as vendors name them.
const TIERS: &[&str] = &["standard", "batch", "priority", "flex", "fast", "ultrafast", "decisions"];

/// The facts' geographies, and the short words that the catalog and channels use for them.
const GEOS: &[(&str, &str)] = &[
    ("global", "global"),
    ("us geo profile", "us"),
    ("eu geo profile", "eu"),
    ("us data zone", "us"),
    ("eu data zone", "eu"),
    ("us residency", "us"),
    ("eu residency", "eu"),
    ("us (inference_geo/fast entry)", "us"),
    // A tier of its own, not a place.
    ("fast (inference_geo/fast entry)", "global"),
    ("us in-region", "us-region"),
    ("regional endpoint residency", "regional"),
];

/// What a row's class and unit mean here.
enum Meaning {
    /// A price per million tokens.
    Tokens(UsageClass),
    /// A price per single use.
    Use(UsageClass),
    /// A price per thousand uses.
    ThousandUses(UsageClass),
    /// A multiple of other prices.
    Factor,
    /// Nothing that a usage class counts yet.
    NoClass(&'static str),
}

fn meaning(class: &str, unit: &str) -> Option<Meaning> {
    use UsageClass::{
        AudioCacheRead, AudioIn, AudioOut, CacheRead, CacheWrite1h, CacheWrite5m, CacheWrite12h, Calls,
        ImageCacheRead, ImageIn, ImageOut, Input, MapsGrounding, Output, Reasoning, VideoIn, WebSearch,
    };
    let tokens = match class {
        "input" => Some(Input),
        "output" => Some(Output),
        "cache_read" => Some(CacheRead),
        "cache_write" | "cache_write_5m" => Some(CacheWrite5m),
        "cache_write_1h" => Some(CacheWrite1h),
        "cache_write_12h" => Some(CacheWrite12h),
        "reasoning_output" => Some(Reasoning),
        "audio_input" => Some(AudioIn),
        "audio_cache_read" => Some(AudioCacheRead),
        "audio_output" => Some(AudioOut),
        "image_input" => Some(ImageIn),
        "image_cache_read" => Some(ImageCacheRead),
        "image_output" => Some(ImageOut),
        "video_input" => Some(VideoIn),
        _ => None,
    };
    Some(match (class, unit) {
        (_, "1M tokens") if let Some(class) = tokens => Meaning::Tokens(class),
        ("web_search", "1k queries") => Meaning::ThousandUses(WebSearch),
        ("maps_grounding", "query") => Meaning::Use(MapsGrounding),
        ("query", "search_query") => Meaning::Use(Calls),
        ("all", "multiplier") => Meaning::Factor,
        ("audio_cache_write", "1M tokens") => Meaning::NoClass("no class: sound written to a cache"),
        ("image_input" | "image_output", "image") => {
            Meaning::NoClass("no class: priced by the picture, where the image classes count tokens")
        }
        ("audio_input" | "audio_output", "second") => {
            Meaning::NoClass("no class: priced by the second, where the audio classes count tokens")
        }
        ("provisioned_model_unit", _) => Meaning::NoClass("no class: provisioned capacity"),
        ("ocr" | "ocr_annotation", "page") => {
            Meaning::NoClass("no class: pages read by character recognition")
        }
        (_, "text unit (or image)") => Meaning::NoClass("no class: units of a vendor's guardrails"),
        _ => return None,
    })
}

/// Reads every file. Rows that say the same thing again are counted once; rows that contradict are refused.
pub(super) fn read(sources: &[Source]) -> anyhow::Result<Reading> {
    let mut reading = Reading { facts: Vec::new(), factors: Vec::new(), report: Report::default() };
    for Source { name, text } in sources {
        let mut csv = csv::Reader::from_reader(text.as_bytes());
        let head = csv.headers().with_context(|| format!("reading {name}"))?.clone();
        for record in csv.records() {
            let record = record.with_context(|| format!("reading {name}"))?;
            let at = format!("{name}:{}", record.position().map_or(0, csv::Position::line));
            let row: Row = record.deserialize(Some(&head)).with_context(|| at.clone())?;
            read_row(&row, &at, &mut reading)
                .with_context(|| format!("{at}: {} on {}", row.model, row.channel))?;
        }
    }
    refuse_contradictions(&mut reading)?;
    Ok(reading)
}

fn read_row(row: &Row, at: &str, reading: &mut Reading) -> anyhow::Result<()> {
    reading.report.rows += 1;
    reading.report.offers_seen.insert((row.channel.clone(), row.channel_model_id.clone()));
    let Some(meaning) = meaning(&row.token_class, &row.unit) else {
        bail!("`{}` by the `{}` is not a known class and unit: teach `meaning`", row.token_class, row.unit);
    };
    if let Meaning::NoClass(reason) = meaning {
        let what =
            format!("{at} {} {} {} by the {}", row.channel, row.channel_model_id, row.token_class, row.unit);
        reading.report.keep_out(reason, what);
        return Ok(());
    }
    for name in [&row.vendor, &row.model, &row.channel, &row.channel_model_id] {
        ensure!(
            !name.is_empty() && !name.contains(char::is_whitespace),
            "`{name}` is not a name: no blanks in it"
        );
    }
    ensure!(!row.vendor.contains('/'), "`{}` is not a vendor: no slash in it", row.vendor);
    let tier = row.service_tier.clone();
    ensure!(TIERS.contains(&tier.as_str()), "`{tier}` is not a known service tier: teach `TIERS`");
    let Some((_, geo)) = GEOS.iter().find(|(long, _)| *long == row.region_or_geo) else {
        bail!("`{}` is not a known geography: teach `GEOS`", row.region_or_geo);
    };
    let context = parse_context(&row.context_tier)?;
    let offer = OfferKey {
        model: format!("{}/{}", row.vendor, row.model),
        provider: row.channel.clone(),
        upstream_model: row.channel_model_id.clone(),
    };
    let date = if row.valid_from.is_empty() { &row.as_of } else { &row.valid_from };
    ensure!(date.len() == "2026-11-21".len(), "`{date}` is not a day: write 2026-11-21");
    Timestamp::parse(date)?;
    let day = if row.valid_from.is_empty() { Day::Read(date.clone()) } else { Day::ValidFrom(date.clone()) };
    let (class, price) = match meaning {
        Meaning::Tokens(class) | Meaning::Use(class) => (class, price::parse_price(class, &row.price_usd)?),
        Meaning::ThousandUses(class) => {
            let thousand = UnitPrice::from_usd_per_unit(&row.price_usd)?.pico();
            ensure!(thousand % 1_000 == 0, "`{}` for a thousand is not whole picos for one", row.price_usd);
            (class, UnitPrice::from_pico(thousand / 1_000))
        }
        Meaning::Factor => {
            ensure!(context == Context::Any, "a factor for context `{context}` alone cannot be expanded");
            let millionths = UnitPrice::from_usd_per_million(&row.price_usd)?.pico();
            ensure!(millionths > 0, "`{}` is not a factor: it must be above zero", row.price_usd);
            let geo = (*geo).to_owned();
            reading.factors.push(Factor { offer, day, tier, geo, millionths, at: at.to_owned() });
            return Ok(());
        }
        Meaning::NoClass(_) => return Ok(()),
    };
    ensure!(price.pico() >= 0, "`{}` is below zero", row.price_usd);
    ensure!(price <= price::MAX, "`{}` is above 1000 US dollars for one unit", row.price_usd);
    ensure!(!row.source.trim().is_empty(), "a price without a source: say where it was read");
    let dispute = row.crosscheck.contains("differs").then(|| row.crosscheck.clone());
    reading.report.disputed += usize::from(dispute.is_some());
    reading.facts.push(Fact {
        offer,
        day,
        place: Place { tier, geo: (*geo).to_owned(), context },
        class,
        price,
        limits: (row.context_window, row.max_output),
        source: one_line(&row.source),
        dispute: dispute.map(|text| one_line(&text)),
        at: at.to_owned(),
    });
    Ok(())
}

/// `base`, `any`, or a threshold in thousands, `>272k`.
fn parse_context(text: &str) -> anyhow::Result<Context> {
    let plain = match text.strip_prefix('>') {
        Some(threshold) => {
            let thousands = threshold.strip_suffix('k');
            format!(
                ">{}000",
                thousands.with_context(|| format!("`{text}` is not a context tier: write >200k"))?
            )
        }
        None => text.to_owned(),
    };
    plain.parse().with_context(|| format!("`{text}` is not a context tier"))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Keeps one of each price that is said twice, and refuses two prices for one thing or two models for one name.
fn refuse_contradictions(reading: &mut Reading) -> anyhow::Result<()> {
    let mut models: BTreeMap<(String, String), (String, String)> = BTreeMap::new();
    let mut prices: BTreeMap<_, (UnitPrice, String)> = BTreeMap::new();
    let mut kept = Vec::new();
    for fact in std::mem::take(&mut reading.facts) {
        let OfferKey { model, provider, upstream_model } = fact.offer.clone();
        let sold = (provider, upstream_model);
        let known = models.entry(sold.clone()).or_insert_with(|| (model.clone(), fact.at.clone()));
        ensure!(
            known.0 == model,
            "{}: {} sells {} as `{model}`, but {} says `{}`",
            fact.at,
            sold.0,
            sold.1,
            known.1,
            known.0
        );
        let key = (sold, fact.day.clone(), fact.place.clone(), fact.class);
        match prices.get(&key) {
            None => {
                prices.insert(key, (fact.price, fact.at.clone()));
                kept.push(fact);
            }
            Some((price, _)) if *price == fact.price => reading.report.repeated += 1,
            Some((_, at)) => bail!(
                "{}: another price of `{}` for {} {} than {at} gives",
                fact.at,
                fact.class.name(),
                fact.offer.provider,
                fact.offer.upstream_model
            ),
        }
    }
    reading.facts = kept;
    Ok(())
}
