//! The text form of a catalog: sorted, one record a line, made to be read in a review.
//!
//! ```text
//! # a comment
//! model openai/gpt-6-sol context=1050000 output=128000
//!   offer openai gpt-6-sol
//!     version assumed 2026-11-21
//!       price standard global base input=1.25 cache_read=0.125 output=10
//!       price standard global >272000 input=2.5 cache_read=0.25 output=15
//!       price standard global any web_search=0.01
//!       source where the figures were read
//!       note what a second source says otherwise
//! ```
//!
//! `model`: its id, and the limits where known. `offer`: the provider and its own name for the model; limits that
//! differ from the model's. `version`: `assumed` with the day on which the prices were read (they count as valid
//! from before), or `from` with the day on which they begin. `price`: tier, geography, context, then
//! `class=price` in US dollars per million tokens, or per single use for fees (`web_search`, `maps_grounding`,
//! `calls`). `source` and `note` are for the reader and are not kept in memory. Indentation is for the eye.

use std::collections::HashSet;
use std::str::SplitWhitespace;
use std::sync::Arc;

use steelyard_core::{Timestamp, UsageClass};

use super::{Catalog, CatalogOffer, Model};
use crate::price::{self, ANY, BEGINNING, Cell, Context, PriceList, PriceVersion};

/// Why a text is not a catalog.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("catalog line {line}: {problem}")]
pub struct CatalogError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there, with the value.
    pub problem: String,
}

/// Reads a catalog.
pub(super) fn parse(text: &str) -> Result<Catalog, CatalogError> {
    let mut reader = Reader::default();
    let mut last = 0;
    for (index, line) in text.lines().enumerate() {
        last = index + 1;
        reader.line(line).map_err(|problem| CatalogError { line: last, problem })?;
    }
    reader.end_offer().map_err(|problem| CatalogError { line: last, problem })?;
    Ok(Catalog::new(reader.models, reader.offers))
}

type Outcome = Result<(), String>;

#[derive(Default)]
struct Reader {
    models: Vec<Arc<Model>>,
    offers: Vec<CatalogOffer>,
    /// Names seen, so that equal ones share their memory.
    names: HashSet<Arc<str>>,
    model_ids: HashSet<Arc<str>>,
    offer_names: HashSet<(Arc<str>, Arc<str>)>,
    open: Option<OpenOffer>,
}

/// An offer whose versions are still being read.
struct OpenOffer {
    provider: Arc<str>,
    upstream_model: Arc<str>,
    limits: Limits,
    versions: Vec<PriceVersion>,
    version: Option<OpenVersion>,
}

struct OpenVersion {
    day: String,
    from: Timestamp,
    assumed: bool,
    cells: Vec<Cell>,
}

#[derive(Default, Clone, Copy)]
struct Limits {
    context: Option<u64>,
    output: Option<u64>,
}

impl Reader {
    fn line(&mut self, line: &str) -> Outcome {
        let mut words = line.split_whitespace();
        match words.next() {
            None => Ok(()),
            Some(comment) if comment.starts_with('#') => Ok(()),
            Some("model") => self.model(words),
            Some("offer") => self.offer(words),
            Some("version") => self.version(words),
            Some("price") => self.price(words),
            Some("source" | "note") if words.next().is_some() => self.open_version().map(|_| ()),
            Some(word @ ("source" | "note")) => {
                Err(format!("`{word}` says nothing: write what it is, or drop it"))
            }
            Some(word) => {
                Err(format!("`{word}` is not a record: write model, offer, version, price, source or note"))
            }
        }
    }

    fn model(&mut self, mut words: SplitWhitespace<'_>) -> Outcome {
        self.end_offer()?;
        let id = words.next().ok_or("`model` lacks its id: write vendor/model")?;
        let (vendor, name) =
            id.split_once('/').ok_or_else(|| format!("`{id}` is not a model id: write vendor/model"))?;
        if vendor.is_empty() || name.is_empty() {
            return Err(format!("`{id}` is not a model id: write vendor/model"));
        }
        let limits = Limits::read(words)?;
        let (id, vendor, name) = (self.name(id), self.name(vendor), self.name(name));
        if !self.model_ids.insert(Arc::clone(&id)) {
            return Err(format!("`{id}` stands here twice: merge the two"));
        }
        let Limits { context, output } = limits;
        self.models.push(Arc::new(Model { id, vendor, name, context_window: context, max_output: output }));
        Ok(())
    }

    fn offer(&mut self, mut words: SplitWhitespace<'_>) -> Outcome {
        self.end_offer()?;
        if self.models.is_empty() {
            return Err("`offer` before any `model`: put it below the model it sells".to_owned());
        }
        let (Some(provider), Some(upstream_model)) = (words.next(), words.next()) else {
            return Err("`offer` lacks a name: write offer PROVIDER UPSTREAM-MODEL".to_owned());
        };
        let limits = Limits::read(words)?;
        let (provider, upstream_model) = (self.name(provider), self.name(upstream_model));
        if !self.offer_names.insert((Arc::clone(&provider), Arc::clone(&upstream_model))) {
            return Err(format!("`{provider}` sells `{upstream_model}` twice: merge the two"));
        }
        self.open = Some(OpenOffer { provider, upstream_model, limits, versions: Vec::new(), version: None });
        Ok(())
    }

    fn version(&mut self, mut words: SplitWhitespace<'_>) -> Outcome {
        self.end_version()?;
        let offer =
            self.open.as_mut().ok_or("`version` before any `offer`: put it below the offer it prices")?;
        let (Some(kind), Some(day), None) = (words.next(), words.next(), words.next()) else {
            return Err("a version has a kind and a day: write version assumed 2026-11-21".to_owned());
        };
        let date = Timestamp::parse(day).map_err(|error| error.to_string())?;
        let (from, assumed) = match kind {
            "assumed" => (BEGINNING, true),
            "from" => (date, false),
            other => return Err(format!("`{other}` is not a kind of version: write assumed or from")),
        };
        offer.version = Some(OpenVersion { day: day.to_owned(), from, assumed, cells: Vec::new() });
        Ok(())
    }

    fn price(&mut self, mut words: SplitWhitespace<'_>) -> Outcome {
        let (Some(tier), Some(geo), Some(context)) = (words.next(), words.next(), words.next()) else {
            return Err("a price has a place: write price TIER GEOGRAPHY CONTEXT CLASS=PRICE".to_owned());
        };
        if tier == ANY {
            return Err("`any` is not a tier: write one line for each tier".to_owned());
        }
        let context: Context =
            context.parse().map_err(|error: price::ParseContextError| error.to_string())?;
        let (tier, geo) = (self.name(tier), self.name(geo));
        let version = self.open_version()?;
        let before = version.cells.len();
        for word in words {
            let (class, text) = word
                .split_once('=')
                .ok_or_else(|| format!("`{word}` is not a price: write class=price, such as input=0.40"))?;
            let class: UsageClass =
                class.parse().map_err(|error: steelyard_core::usage::UnknownClass| error.to_string())?;
            let price = price::parse_price(class, text).map_err(|error| error.to_string())?;
            version.cells.push(Cell {
                class,
                tier: Arc::clone(&tier),
                geo: Arc::clone(&geo),
                context,
                price,
            });
        }
        if version.cells.len() == before {
            return Err("a price line without a price: write class=price, such as input=0.40".to_owned());
        }
        Ok(())
    }

    fn open_version(&mut self) -> Result<&mut OpenVersion, String> {
        let version = self.open.as_mut().and_then(|offer| offer.version.as_mut());
        version
            .ok_or_else(|| "a record before any `version`: put it below the version it belongs to".to_owned())
    }

    /// Closes the version being read.
    fn end_version(&mut self) -> Outcome {
        let (Some(model), Some(offer)) = (self.models.last(), self.open.as_mut()) else { return Ok(()) };
        let Some(version) = offer.version.take() else { return Ok(()) };
        let origin = format!("{} {}", offer.provider, offer.upstream_model);
        let OpenVersion { day, from, assumed, cells } = version;
        let version = PriceVersion::new(&model.id, &origin, &day, from, assumed, cells)
            .map_err(|error| format!("the version of {day} above: {error}"))?;
        offer.versions.push(version);
        Ok(())
    }

    /// Closes the offer being read.
    fn end_offer(&mut self) -> Outcome {
        self.end_version()?;
        let (Some(model), Some(offer)) = (self.models.last(), self.open.take()) else { return Ok(()) };
        let model = Arc::clone(model);
        let OpenOffer { provider, upstream_model, limits, versions, .. } = offer;
        let named = format!("the offer `{provider} {upstream_model}` above");
        if versions.is_empty() {
            return Err(format!("{named} has no version: add its prices"));
        }
        let prices = PriceList::published(versions).map_err(|error| format!("{named}: {error}"))?;
        self.offers.push(CatalogOffer {
            provider,
            upstream_model,
            context_window: limits.context.or(model.context_window),
            max_output: limits.output.or(model.max_output),
            model,
            prices: Arc::new(prices),
        });
        Ok(())
    }

    /// `text` as a shared name.
    fn name(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.names.get(text) {
            return Arc::clone(known);
        }
        let name: Arc<str> = text.into();
        self.names.insert(Arc::clone(&name));
        name
    }
}

impl Limits {
    fn read(words: SplitWhitespace<'_>) -> Result<Self, String> {
        let mut limits = Self::default();
        for word in words {
            let (name, text) = word.split_once('=').unwrap_or((word, ""));
            let limit = match name {
                "context" => &mut limits.context,
                "output" => &mut limits.output,
                _ => return Err(format!("`{word}` is not a limit: write context=N or output=N")),
            };
            let tokens = text.parse().ok().filter(|tokens: &u64| *tokens > 0);
            *limit = Some(tokens.ok_or_else(|| format!("`{word}` is not a number of tokens: write digits"))?);
        }
        Ok(limits)
    }
}
