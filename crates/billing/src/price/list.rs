//! The versions of one offer's prices by date, and an operator's own prices laid over them.

use std::sync::Arc;

use steelyard_core::{Timestamp, UnitPrice, UsageClass};

use super::{ANY, Cell, Context, PriceError, PriceVersion, STANDARD};

/// The versions of one offer's prices, in the order of their dates: what the catalog publishes, with the
/// operator's own prices laid over it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PriceList {
    published: Vec<Arc<PriceVersion>>,
    overrides: Vec<Override>,
    versions: Vec<Arc<PriceVersion>>,
}

/// An operator's own prices from a date.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Override {
    name: Arc<str>,
    from: Timestamp,
    cells: Vec<(UsageClass, UnitPrice)>,
}

impl PriceList {
    /// No price at any time.
    pub fn unpriced() -> Self {
        Self::default()
    }

    /// The list of `published` versions; two of one date are refused.
    pub fn published(published: Vec<PriceVersion>) -> Result<Self, PriceError> {
        let mut published: Vec<_> = published.into_iter().map(Arc::new).collect();
        published.sort_by_key(|version| version.from);
        if let Some(pair) = published.windows(2).find(|pair| pair[0].from == pair[1].from) {
            return Err(PriceError::SameDate { from: pair[0].from });
        }
        Ok(Self { versions: published.clone(), published, overrides: Vec::new() })
    }

    /// Published lists of one model put together, each with prices of its own geographies; `name` opens the ids. One
    /// list alone stays as it is.
    pub fn together(name: &str, lists: &[Arc<Self>]) -> Result<Arc<Self>, PriceError> {
        if let [only] = lists {
            return Ok(Arc::clone(only));
        }
        let mut dates: Vec<Timestamp> =
            lists.iter().flat_map(|list| &list.published).map(|version| version.from).collect();
        dates.sort_unstable();
        dates.dedup();
        let merged = dates.into_iter().map(|from| {
            let parts: Vec<&Arc<PriceVersion>> =
                lists.iter().filter_map(|list| at(&list.published, from)).collect();
            let origin: Vec<&str> = parts.iter().map(|part| &*part.id).collect();
            let day = parts.iter().map(|part| part.day()).max().unwrap_or_default();
            let assumed = parts.iter().any(|part| part.assumed);
            let cells = parts.iter().flat_map(|part| part.cells()).collect();
            PriceVersion::new(name, &origin.join(" "), day, from, assumed, cells)
        });
        Self::published(merged.collect::<Result<_, _>>()?).map(Arc::new)
    }

    /// The version that holds at `time`: the last one that has begun.
    pub fn at(&self, time: Timestamp) -> Option<&PriceVersion> {
        at(&self.versions, time).map(AsRef::as_ref)
    }

    /// Every version, in the order of their dates.
    pub fn versions(&self) -> impl Iterator<Item = &PriceVersion> {
        self.versions.iter().map(AsRef::as_ref)
    }

    /// This list with an operator's own prices from a date on; charges of earlier dates stay as they are.
    ///
    /// A class in `cells` has this price in every geography and for prompts of every length, until a later
    /// override names it again; classes that are not named keep their published price. Vendors bill reasoning
    /// as output, so an override of `output` alone takes away a published price of `reasoning`. `name` opens
    /// the id of the versions that come of it. Order does not matter; two overrides of one date are refused.
    pub fn with_override(
        &self,
        name: &str,
        from: Timestamp,
        cells: Vec<(UsageClass, UnitPrice)>,
    ) -> Result<Self, PriceError> {
        if cells.is_empty() {
            return Err(PriceError::Empty);
        }
        if self.overrides.iter().any(|other| other.from == from) {
            return Err(PriceError::SameDate { from });
        }
        let mut overrides = self.overrides.clone();
        overrides.push(Override { name: name.into(), from, cells });
        overrides.sort_by_key(|one| one.from);
        let mut dates: Vec<Timestamp> = self
            .published
            .iter()
            .map(|version| version.from)
            .chain(overrides.iter().map(|one| one.from))
            .collect();
        dates.sort_unstable();
        dates.dedup();
        let versions = dates.into_iter().map(|date| laid_over(&self.published, &overrides, date));
        Ok(Self {
            versions: versions.collect::<Result<_, _>>()?,
            published: self.published.clone(),
            overrides,
        })
    }
}

fn at(versions: &[Arc<PriceVersion>], time: Timestamp) -> Option<&Arc<PriceVersion>> {
    versions.iter().rfind(|version| version.from <= time)
}

/// The version that begins at `date` once the overrides of that date and before are laid over what is published.
fn laid_over(
    published: &[Arc<PriceVersion>],
    overrides: &[Override],
    date: Timestamp,
) -> Result<Arc<PriceVersion>, PriceError> {
    let base = at(published, date);
    let in_force = || overrides.iter().take_while(|one| one.from <= date);
    let Some(last) = in_force().last() else {
        // Dates come from the published versions and the overrides, so one of the two is there.
        return base.map(Arc::clone).ok_or(PriceError::Empty);
    };
    let mut cells: Vec<Cell> = base.map_or_else(Vec::new, |version| version.cells().collect());
    for one in in_force() {
        let named = |class: UsageClass| one.cells.iter().any(|(own, _)| *own == class);
        cells.retain(|cell| {
            let follows_output = cell.class == UsageClass::Reasoning && named(UsageClass::Output);
            !named(cell.class) && !follows_output
        });
        cells.extend(one.cells.iter().map(|(class, price)| Cell {
            class: *class,
            tier: STANDARD.into(),
            geo: ANY.into(),
            context: Context::Any,
            price: *price,
        }));
    }
    let own_only = cells.iter().all(|cell| *cell.geo == *ANY);
    let assumed = base.is_some_and(|version| version.assumed) && !own_only;
    let origin = base.map_or("", |version| &version.id);
    let day = date.to_string();
    let day = day.split('T').next().unwrap_or(&day);
    PriceVersion::new(&last.name, origin, day, date, assumed, cells).map(Arc::new)
}
