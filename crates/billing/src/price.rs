//! Price lists: what one model costs at one provider, by date.
//!
//! A [`PriceVersion`] is a table of cells. A cell is the price of one usage class at one service tier, in one
//! geography, for prompts of one length. A [`PriceList`] is the versions of one offer in the order of their
//! dates; a version never changes once it has an id, because entries in the ledger name it.
//!
//! Constraints: prices are whole pico-USD per unit; a version without a cell for a class says so and is never
//! taken for zero; finding a cell allocates nothing and hashes nothing.
#![deny(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::float_arithmetic)]

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use steelyard_core::money::ParseMoneyError;
use steelyard_core::{Timestamp, UnitPrice, UsageClass};

use crate::hold::Ceiling;

mod list;

pub use list::PriceList;

/// The tier that a call has unless the vendor reports another.
pub const STANDARD: &str = "standard";
/// The geography of cells that hold wherever a call is served.
pub const ANY: &str = "any";
/// Where versions begin whose vendor gave no date.
pub const BEGINNING: Timestamp = Timestamp(0);

/// No price may exceed a thousand US dollars per unit; so no sum can overflow.
pub const MAX: UnitPrice = UnitPrice::from_pico(1_000_000_000_000_000);
/// The id of a wildcard in a [`Row`].
const ANY_ID: u8 = u8::MAX;
/// The id of a tier or geography that the version does not name.
const UNKNOWN_ID: u8 = u8::MAX - 1;

/// For which prompts a cell holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Context {
    /// Prompts of any length.
    Any,
    /// Prompts of more than so many tokens, cached ones included. Crossing it prices the whole call anew.
    Over(u64),
}

impl Context {
    /// Prompts that cross no threshold.
    pub const BASE: Self = Self::Over(0);
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str(ANY),
            Self::Over(0) => f.write_str("base"),
            Self::Over(tokens) => write!(f, ">{tokens}"),
        }
    }
}

/// Why a text is not a context tier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a context tier: write base, any, or a threshold such as >200000")]
pub struct ParseContextError(String);

impl FromStr for Context {
    type Err = ParseContextError;
    fn from_str(text: &str) -> Result<Self, ParseContextError> {
        let threshold =
            text.strip_prefix('>').and_then(|tokens| tokens.parse().ok()).filter(|tokens| *tokens > 0);
        match (text, threshold) {
            (ANY, _) => Ok(Self::Any),
            ("base", _) => Ok(Self::BASE),
            (_, Some(tokens)) => Ok(Self::Over(tokens)),
            (_, None) => Err(ParseContextError(text.chars().take(80).collect())),
        }
    }
}

/// One price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// Of what.
    pub class: UsageClass,
    /// At which service tier.
    pub tier: Arc<str>,
    /// In which geography, [`ANY`] for everywhere.
    pub geo: Arc<str>,
    /// For prompts of which length.
    pub context: Context,
    /// How much for each unit.
    pub price: UnitPrice,
}

/// The classes of single uses of the vendor's own tools.
pub(crate) const TOOL_CLASSES: &[UsageClass] = &[UsageClass::WebSearch, UsageClass::MapsGrounding];

/// Whether a class counts single uses (a search, a call) and not tokens.
pub const fn is_fee(class: UsageClass) -> bool {
    matches!(class, UsageClass::WebSearch | UsageClass::MapsGrounding | UsageClass::Calls)
}

/// Reads a price as people write it: US dollars per million tokens, or per single use where a class [`is_fee`].
pub fn parse_price(class: UsageClass, text: &str) -> Result<UnitPrice, ParseMoneyError> {
    if is_fee(class) { UnitPrice::from_usd_per_unit(text) } else { UnitPrice::from_usd_per_million(text) }
}

/// Writes a price as [`parse_price`] reads it.
pub fn price_text(class: UsageClass, price: UnitPrice) -> String {
    price.times(if is_fee(class) { 1 } else { 1_000_000 }).to_string()
}

/// Why prices cannot make a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PriceError {
    /// Two sets of prices for one day.
    #[error("two prices begin on {from}: keep one, or give the later one its own date")]
    SameDate {
        /// The day.
        from: Timestamp,
    },
    /// A version without a cell.
    #[error("no class has a price: name at least one, such as input")]
    Empty,
    /// Two prices for the same thing.
    #[error("`{class}` has two prices for tier {tier}, geography {geo}, context {context}: keep one")]
    Twice {
        /// The class.
        class: &'static str,
        /// The tier.
        tier: Arc<str>,
        /// The geography.
        geo: Arc<str>,
        /// The prompt length.
        context: Context,
    },
    /// A price that cannot be meant.
    #[error(
        "the price of `{class}`, {pico} pico-USD per unit, is below zero or above 1000 US dollars: correct it"
    )]
    OutOfRange {
        /// The class.
        class: &'static str,
        /// The price.
        pico: i64,
    },
    /// More tiers, geographies, thresholds or cells than a version can number.
    #[error(
        "a version holds at most 200 tiers, 200 geographies, 200 context tiers and 60000 prices: split it"
    )]
    TooMany,
}

/// The prices of one offer from one date on.
///
/// Tiers, geographies and thresholds are numbered; each row holds the cells of one (tier, geography, context).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceVersion {
    /// Stable and short: what it prices, its date, and a hash of all it says
    /// (`openai/gpt-6-sol@2026-11-21#3f9a1c07`). The same prices have the same id everywhere.
    pub id: Arc<str>,
    /// From when it holds, by the time a call is dispatched.
    pub from: Timestamp,
    /// Whether `from` is our assumption, because the source gave only the day on which the price was read.
    pub assumed: bool,
    tiers: Box<[Arc<str>]>,
    geos: Box<[Arc<str>]>,
    thresholds: Box<[u64]>,
    rows: Box<[Row]>,
    prices: Box<[(UsageClass, UnitPrice)]>,
    /// For each threshold, what a prompt that crosses it can cost at most; made once, read for every call.
    ceilings: Box<[Ceiling]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row {
    place: Place,
    start: u16,
    end: u16,
}

/// A tier, a geography and a context, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    tier: u8,
    geo: u8,
    context: u8,
}

impl Place {
    /// Whether a row placed at `row` holds here.
    fn within(self, row: Self) -> bool {
        row.tier == self.tier
            && (row.geo == self.geo || row.geo == ANY_ID)
            && (row.context == self.context || row.context == ANY_ID)
    }
}

impl PriceVersion {
    /// A version of `cells`. `name` says what it prices and opens the id; `origin` tells apart two sellers of the
    /// same thing; `date` (`2026-11-21`) is the day that the id shows.
    pub fn new(
        name: &str,
        origin: &str,
        date: &str,
        from: Timestamp,
        assumed: bool,
        mut cells: Vec<Cell>,
    ) -> Result<Self, PriceError> {
        if cells.is_empty() {
            return Err(PriceError::Empty);
        }
        cells.sort_by(|one, other| sort_key(one).cmp(&sort_key(other)));
        check(&cells)?;
        let id = format!("{name}@{date}#{}", fingerprint(name, origin, from, &cells)).into();
        let tiers = names(cells.iter().map(|cell| &cell.tier))?;
        let geos = names(cells.iter().map(|cell| &cell.geo).filter(|geo| ***geo != *ANY))?;
        let mut thresholds: Vec<u64> =
            cells.iter().filter_map(|cell| threshold(cell.context)).chain([0]).collect();
        thresholds.sort_unstable();
        thresholds.dedup();
        if thresholds.len() > 200 {
            return Err(PriceError::TooMany);
        }
        let mut version = Self {
            id,
            from,
            assumed,
            tiers,
            geos,
            thresholds: thresholds.into(),
            rows: Box::new([]),
            prices: cells.iter().map(|cell| (cell.class, cell.price)).collect(),
            ceilings: Box::new([]),
        };
        version.rows = version.make_rows(&cells)?;
        version.ceilings = version.make_ceilings();
        Ok(version)
    }

    fn make_rows(&self, cells: &[Cell]) -> Result<Box<[Row]>, PriceError> {
        let mut rows: Vec<Row> = Vec::new();
        for (index, cell) in cells.iter().enumerate() {
            let index =
                u16::try_from(index).ok().filter(|index| *index < 60_000).ok_or(PriceError::TooMany)?;
            let place = Place {
                tier: number(&self.tiers, &cell.tier),
                geo: if *cell.geo == *ANY { ANY_ID } else { number(&self.geos, &cell.geo) },
                context: threshold(cell.context).map_or(ANY_ID, |over| {
                    self.thresholds
                        .binary_search(&over)
                        .ok()
                        .and_then(|at| u8::try_from(at).ok())
                        .unwrap_or(ANY_ID)
                }),
            };
            match rows.last_mut().filter(|row| row.place == place) {
                Some(row) => row.end = index + 1,
                None => rows.push(Row { place, start: index, end: index + 1 }),
            }
        }
        Ok(rows.into())
    }

    fn make_ceilings(&self) -> Box<[Ceiling]> {
        // No version names this tier and geography, so every class takes its dearest price.
        let nowhere = |over: &u64| self.place("", "", over.saturating_add(1));
        self.thresholds.iter().map(|over| Ceiling::of(self, &[nowhere(over)].into_iter())).collect()
    }

    /// The dearest prices that a prompt of up to `prompt` tokens can meet, at any tier and in any geography.
    pub(crate) fn ceiling(&self, prompt: u64) -> Ceiling {
        self.ceilings[usize::from(self.place("", "", prompt).context)]
    }

    /// Every cell, ordered by tier, geography, context and class.
    pub fn cells(&self) -> impl Iterator<Item = Cell> + '_ {
        self.rows.iter().flat_map(move |row| {
            self.row_prices(*row).iter().map(move |(class, price)| Cell {
                class: *class,
                tier: self.tiers.get(usize::from(row.place.tier)).map_or_else(|| STANDARD.into(), Arc::clone),
                geo: self.geos.get(usize::from(row.place.geo)).map_or_else(|| ANY.into(), Arc::clone),
                context: self
                    .thresholds
                    .get(usize::from(row.place.context))
                    .map_or(Context::Any, |over| Context::Over(*over)),
                price: *price,
            })
        })
    }

    /// The day that the id shows.
    fn day(&self) -> &str {
        let (_, day) = self.id.rsplit_once('@').unwrap_or_default();
        day.split('#').next().unwrap_or_default()
    }

    /// The service tiers that have prices.
    pub fn tiers(&self) -> &[Arc<str>] {
        &self.tiers
    }

    /// The geographies that have prices of their own.
    pub fn geos(&self) -> &[Arc<str>] {
        &self.geos
    }

    /// Where a call with `prompt` tokens is priced. A vendor's tier `default` is its standard tier.
    pub(crate) fn place(&self, tier: &str, geo: &str, prompt: u64) -> Place {
        let tier = if tier == "default" { STANDARD } else { tier };
        let context = self.thresholds.iter().rposition(|over| *over < prompt).unwrap_or(0);
        Place {
            tier: number(&self.tiers, tier),
            geo: number(&self.geos, geo),
            context: u8::try_from(context).expect("a version has at most 200 thresholds"),
        }
    }

    /// The places of calls with up to `prompt` tokens, one for each threshold they can cross.
    pub(crate) fn places(
        &self,
        tier: &str,
        geo: &str,
        prompt: u64,
    ) -> impl Iterator<Item = Place> + Clone + use<> {
        let top = self.place(tier, geo, prompt);
        (0..=top.context).map(move |context| Place { context, ..top })
    }

    /// The price of `class` exactly at `place`.
    pub(crate) fn exact(&self, class: UsageClass, place: Place) -> Option<UnitPrice> {
        let rows = self.rows.iter().filter(|row| place.within(row.place));
        rows.flat_map(|row| self.row_prices(*row)).find(|(named, _)| *named == class).map(|(_, price)| *price)
    }

    /// The dearest price of `class` at any tier and geography, for prompts no longer than those at `place`.
    pub(crate) fn dearest(&self, class: UsageClass, place: Place) -> Option<UnitPrice> {
        self.tiers
            .iter()
            .zip(0..)
            .filter_map(|(_, tier)| self.dearest_in_tier(class, Place { tier, ..place }))
            .max()
    }

    /// The same at the tier of `place` alone.
    pub(crate) fn dearest_in_tier(&self, class: UsageClass, place: Place) -> Option<UnitPrice> {
        let reached = |row: &&Row| {
            row.place.tier == place.tier
                && (row.place.context == ANY_ID || row.place.context <= place.context)
        };
        let rows = self.rows.iter().filter(reached).flat_map(|row| self.row_prices(*row));
        rows.filter(|(named, _)| *named == class).map(|(_, price)| *price).max()
    }

    /// Whether `other` costs at least as much as `class` wherever this version prices both.
    pub(crate) fn never_cheaper(&self, other: UsageClass, class: UsageClass) -> bool {
        self.rows.iter().all(|row| {
            let own = self.row_prices(*row).iter().find(|(named, _)| *named == class);
            own.is_none_or(|(_, own)| self.exact(other, row.place).is_none_or(|price| price >= *own))
        })
    }

    fn row_prices(&self, row: Row) -> &[(UsageClass, UnitPrice)] {
        &self.prices[usize::from(row.start)..usize::from(row.end)]
    }
}

fn threshold(context: Context) -> Option<u64> {
    match context {
        Context::Any => None,
        Context::Over(tokens) => Some(tokens),
    }
}

fn sort_key(cell: &Cell) -> (&str, &str, Context, UsageClass) {
    (&cell.tier, &cell.geo, cell.context, cell.class)
}

/// Refuses prices that cannot be meant, and two for the same call. `cells` are sorted.
fn check(cells: &[Cell]) -> Result<(), PriceError> {
    for cell in cells {
        if !(UnitPrice::default()..=MAX).contains(&cell.price) {
            return Err(PriceError::OutOfRange { class: cell.class.name(), pico: cell.price.pico() });
        }
        let overlaps = |other: &&Cell| {
            let same_geo = other.geo == cell.geo || *other.geo == *ANY || *cell.geo == *ANY;
            let same_context = other.context == cell.context
                || other.context == Context::Any
                || cell.context == Context::Any;
            other.class == cell.class && other.tier == cell.tier && same_geo && same_context
        };
        if cells.iter().filter(overlaps).count() > 1 {
            let Cell { class, tier, geo, context, .. } = cell.clone();
            return Err(PriceError::Twice { class: class.name(), tier, geo, context });
        }
    }
    Ok(())
}

fn names<'a>(all: impl Iterator<Item = &'a Arc<str>>) -> Result<Box<[Arc<str>]>, PriceError> {
    let mut names: Vec<Arc<str>> = Vec::new();
    for name in all {
        if !names.contains(name) {
            names.push(Arc::clone(name));
        }
    }
    if names.len() > 200 { Err(PriceError::TooMany) } else { Ok(names.into()) }
}

fn number(names: &[Arc<str>], name: &str) -> u8 {
    names.iter().position(|known| **known == *name).and_then(|at| u8::try_from(at).ok()).unwrap_or(UNKNOWN_ID)
}

fn fingerprint(name: &str, origin: &str, from: Timestamp, cells: &[Cell]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(format!("{name}\n{origin}\n{}\n", from.0).as_bytes());
    for cell in cells {
        let Cell { class, tier, geo, context, price } = cell;
        hasher.update(format!("{}\n{tier}\n{geo}\n{context}\n{}\n", class.name(), price.pico()).as_bytes());
    }
    hasher.finalize().to_hex().chars().take(8).collect()
}

#[cfg(test)]
mod tests;
