//! The catalog: which models there are, and what each provider charges for them.
//!
//! The committed `catalog.txt` is embedded and parsed once at start; [`text`] describes its form. Where one
//! model has different limits at different providers, the model carries the largest and each offer its own.

use std::sync::Arc;

use crate::price::PriceList;

pub mod text;

pub use text::CatalogError;

/// The catalog that this build carries.
const BUILTIN: &str = include_str!("../catalog.txt");

/// A catalog entry: a model, whoever serves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// `vendor/model`, such as `openai/gpt-6-sol`.
    pub id: Arc<str>,
    /// Who made it.
    pub vendor: Arc<str>,
    /// The vendor's bare name for it.
    pub name: Arc<str>,
    /// The most tokens a prompt can have, at the provider that allows most.
    pub context_window: Option<u64>,
    /// The most tokens an answer can have, at the provider that allows most.
    pub max_output: Option<u64>,
}

/// A model as one provider sells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogOffer {
    /// The provider: `openai`, `azure`, `bedrock`, `sandbox`.
    pub provider: Arc<str>,
    /// The model.
    pub model: Arc<Model>,
    /// The name that the provider knows it by.
    pub upstream_model: Arc<str>,
    /// The most tokens a prompt can have here.
    pub context_window: Option<u64>,
    /// The most tokens an answer can have here.
    pub max_output: Option<u64>,
    /// What it costs, by date.
    pub prices: Arc<PriceList>,
}

/// Every known model and offer, for look-ups by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalog {
    /// Sorted by id.
    models: Vec<Arc<Model>>,
    /// The same models, sorted by bare name.
    by_name: Vec<Arc<Model>>,
    /// Sorted by provider and upstream name.
    offers: Vec<CatalogOffer>,
}

impl Catalog {
    /// The catalog that this build carries. Parses it: keep the result.
    pub fn builtin() -> Result<Self, CatalogError> {
        Self::parse(BUILTIN)
    }

    /// A catalog from its text form.
    pub fn parse(text: &str) -> Result<Self, CatalogError> {
        text::parse(text)
    }

    /// A catalog of models and offers that are each named once.
    fn new(mut models: Vec<Arc<Model>>, mut offers: Vec<CatalogOffer>) -> Self {
        models.sort_by(|one, other| one.id.cmp(&other.id));
        let mut by_name = models.clone();
        by_name.sort_by(|one, other| (&one.name, &one.vendor).cmp(&(&other.name, &other.vendor)));
        offers.sort_by(|one, other| offer_key(one).cmp(&offer_key(other)));
        Self { models, by_name, offers }
    }

    /// Every model, by id.
    pub fn models(&self) -> impl Iterator<Item = &Arc<Model>> {
        self.models.iter()
    }

    /// The model with the id `vendor/model`.
    pub fn model(&self, id: &str) -> Option<&Arc<Model>> {
        let at = self.models.binary_search_by(|model| (*model.id).cmp(id)).ok()?;
        self.models.get(at)
    }

    /// The models that some vendor calls `bare`, by vendor.
    pub fn named(&self, bare: &str) -> &[Arc<Model>] {
        let start = self.by_name.partition_point(|model| *model.name < *bare);
        let end = self.by_name.partition_point(|model| *model.name <= *bare);
        &self.by_name[start..end]
    }

    /// What `provider` sells as `upstream_model`.
    pub fn on(&self, provider: &str, upstream_model: &str) -> Option<CatalogOffer> {
        let at =
            self.offers.binary_search_by(|offer| offer_key(offer).cmp(&(provider, upstream_model))).ok()?;
        self.offers.get(at).cloned()
    }

    /// What `provider` sells under the names that fit, which are all of one model, as one offer named `upstream_model`:
    /// with the prices of all its geographies, and the largest limits. None if no name fits, or if two of them have a
    /// price for the same thing.
    pub fn together(
        &self,
        provider: &str,
        upstream_model: &str,
        fits: impl Fn(&str) -> bool,
    ) -> Option<CatalogOffer> {
        let found: Vec<_> = self.offers_of(provider).filter(|offer| fits(&offer.upstream_model)).collect();
        let model = Arc::clone(&found.first()?.model);
        let lists: Vec<_> = found.iter().map(|offer| Arc::clone(&offer.prices)).collect();
        Some(CatalogOffer {
            provider: provider.into(),
            upstream_model: upstream_model.into(),
            context_window: found.iter().filter_map(|offer| offer.context_window).max(),
            max_output: found.iter().filter_map(|offer| offer.max_output).max(),
            prices: PriceList::together(&model.id, &lists).ok()?,
            model,
        })
    }

    /// Everything that `provider` sells, by its own names.
    pub fn offers_of(&self, provider: &str) -> impl Iterator<Item = CatalogOffer> {
        let start = self.offers.partition_point(|offer| *offer.provider < *provider);
        let end = self.offers.partition_point(|offer| *offer.provider <= *provider);
        self.offers[start..end].iter().cloned()
    }

    /// Every offer, by provider and upstream name.
    pub fn offers(&self) -> impl Iterator<Item = &CatalogOffer> {
        self.offers.iter()
    }
}

fn offer_key(offer: &CatalogOffer) -> (&str, &str) {
    (&offer.provider, &offer.upstream_model)
}

#[cfg(test)]
mod tests;
