//! Everything a call reads, in one immutable value that is swapped whole.
//!
//! Constraints: building validates everything or changes nothing; what carries state (connection pools, health)
//! is handed on from the previous snapshot when its declaration did not change; a call takes the snapshot once.

mod inputs;

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use steelyard_billing::{Catalog, CatalogOffer, PriceError, PriceList};
use steelyard_core::{Timestamp, UnitPrice, UsageClass};

pub use inputs::{AwsKeyRecord, Inputs, KeyRecord, SnapshotError};

use crate::offer::{Health, Offer};
use crate::provider::Channel;
use crate::resolve::{Route, Target, Turn};
use crate::spec::{ChannelSpec, OnDisconnect, PriceSpec, RouteSpec, Secrets, Strategy, default_retries};

/// One way to name an offer.
type NameForm = fn(&Offer) -> Option<Arc<str>>;

/// What calls read.
#[derive(Debug)]
pub struct Snapshot {
    keys: HashMap<[u8; 32], KeyRecord>,
    aws_keys: HashMap<Arc<str>, AwsKeyRecord>,
    channels: HashMap<Arc<str>, Arc<Channel>>,
    /// Channels in the order of their declaration: the order of implicit routes.
    channel_order: Vec<Arc<str>>,
    offers: Vec<Arc<Offer>>,
    /// Declared routes, in order.
    routes: Vec<Arc<Route>>,
    /// Every name a client may call: routes, `channel/model`, catalog ids, bare names.
    names: HashMap<Arc<str>, Arc<Route>>,
    health: Arc<HealthBook>,
    prices: HashMap<(String, String), OwnPrice>,
    catalog: Arc<Catalog>,
}

/// What the operator says of a model on a channel.
#[derive(Debug, Clone)]
struct OwnPrice {
    list: Arc<PriceList>,
    context_window: Option<u64>,
    max_output: Option<u64>,
}

impl OwnPrice {
    /// Where the operator says nothing: what the catalog says, or nothing.
    fn published(known: Option<&CatalogOffer>) -> Self {
        Self {
            list: known.map_or_else(|| Arc::new(PriceList::unpriced()), |offer| Arc::clone(&offer.prices)),
            context_window: known.and_then(|offer| offer.context_window),
            max_output: known.and_then(|offer| offer.max_output),
        }
    }
}

/// Health by channel and model. It outlives snapshots.
#[derive(Debug, Default)]
struct HealthBook(Mutex<HashMap<(String, String), Arc<Health>>>);

/// Models that nobody declared share no memory beyond this many.
const MAX_HEALTH: usize = 10_000;

impl HealthBook {
    fn of(&self, channel: &str, model: &str) -> Arc<Health> {
        let mut book = self.0.lock();
        let key = (channel.to_owned(), model.to_owned());
        if book.len() >= MAX_HEALTH && !book.contains_key(&key) {
            return Arc::default();
        }
        Arc::clone(book.entry(key).or_default())
    }
}

fn by_hash(keys: impl IntoIterator<Item = KeyRecord>) -> HashMap<[u8; 32], KeyRecord> {
    keys.into_iter().map(|key| (key.hash, key)).collect()
}

fn by_access_key_id(keys: impl IntoIterator<Item = AwsKeyRecord>) -> HashMap<Arc<str>, AwsKeyRecord> {
    keys.into_iter().map(|key| (Arc::clone(&key.access_key_id), key)).collect()
}

impl Snapshot {
    /// Builds a snapshot, or says what is wrong and changes nothing.
    pub fn build(
        inputs: &Inputs,
        catalog: Arc<Catalog>,
        previous: Option<&Self>,
    ) -> Result<Self, SnapshotError> {
        let mut snapshot = Self {
            keys: by_hash(inputs.keys.iter().cloned()),
            aws_keys: by_access_key_id(inputs.aws_keys.iter().cloned()),
            channels: HashMap::new(),
            channel_order: Vec::new(),
            offers: Vec::new(),
            routes: Vec::new(),
            names: HashMap::new(),
            health: previous.map_or_else(Arc::default, |previous| Arc::clone(&previous.health)),
            prices: HashMap::new(),
            catalog,
        };
        for spec in &inputs.channels {
            snapshot.add_channel(spec, &inputs.secrets, previous)?;
        }
        snapshot.add_prices(&inputs.prices)?;
        snapshot.add_offers(inputs);
        for spec in &inputs.routes {
            snapshot.add_route(spec)?;
        }
        snapshot.name_offers();
        Ok(snapshot)
    }

    /// The same, with other keys: what a change of keys needs.
    #[must_use]
    pub fn with_keys(&self, keys: Vec<KeyRecord>, aws_keys: Vec<AwsKeyRecord>) -> Self {
        Self {
            keys: by_hash(keys),
            aws_keys: by_access_key_id(aws_keys),
            channels: self.channels.clone(),
            channel_order: self.channel_order.clone(),
            offers: self.offers.clone(),
            routes: self.routes.clone(),
            names: self.names.clone(),
            health: Arc::clone(&self.health),
            prices: self.prices.clone(),
            catalog: Arc::clone(&self.catalog),
        }
    }

    fn add_channel(
        &mut self,
        spec: &ChannelSpec,
        secrets: &Secrets,
        previous: Option<&Self>,
    ) -> Result<(), SnapshotError> {
        check_name("channel", &spec.name)?;
        if self.channels.contains_key(spec.name.as_str()) {
            return Err(SnapshotError::Duplicate { noun: "channel", name: spec.name.clone() });
        }
        let unchanged = previous
            .and_then(|previous| previous.channels.get(spec.name.as_str()))
            .filter(|channel| channel.spec == *spec && !spec.changes_elsewhere());
        let channel = match unchanged {
            Some(channel) => Arc::clone(channel),
            None => Arc::new(Channel::build(spec, secrets)?),
        };
        for (deployment, model) in &spec.deployments {
            if self.catalog.on(channel.catalog_name(), model).is_none() {
                return Err(self.unknown_deployment(&channel, deployment, model));
            }
        }
        self.channel_order.push(Arc::clone(&channel.name));
        self.channels.insert(Arc::clone(&channel.name), channel);
        Ok(())
    }

    fn unknown_deployment(&self, channel: &Channel, deployment: &str, model: &str) -> SnapshotError {
        let sold: Vec<_> = self.catalog.offers_of(channel.catalog_name()).collect();
        let names = sold.iter().map(|offer| offer.upstream_model.as_ref());
        SnapshotError::UnknownDeployment {
            channel: channel.name.to_string(),
            deployment: deployment.to_owned(),
            model: model.to_owned(),
            nearest: steelyard_billing::nearest(model, names, 1),
        }
    }

    fn add_prices(&mut self, prices: &[PriceSpec]) -> Result<(), SnapshotError> {
        let mut ordered: Vec<_> = prices.iter().collect();
        ordered.sort_by_key(|price| price.from.to_string());
        for price in ordered {
            let wrong = |problem: String| SnapshotError::Price {
                channel: price.channel.clone(),
                model: price.model.clone(),
                problem,
            };
            let place = format!("the price of `{}`", price.model);
            let channel = self.channel(&price.channel, || place)?;
            let from = Timestamp::parse(&price.from.to_string()).map_err(|error| wrong(error.to_string()))?;
            let cells = price_cells(price).map_err(|error| wrong(error.to_string()))?;
            let key = (price.channel.clone(), price.model.clone());
            let known = channel.listed(&self.catalog, &price.model);
            // Later prices are laid over earlier ones; limits stay until they are named again.
            let base = self.prices.get(&key).cloned().unwrap_or_else(|| OwnPrice::published(known.as_ref()));
            let label = format!("{}/{}", price.channel, price.model);
            let list = base
                .list
                .with_override(&label, from, cells)
                .map_err(|error: PriceError| wrong(error.to_string()))?;
            let own = OwnPrice {
                list: Arc::new(list),
                context_window: price.context_window.or(base.context_window),
                max_output: price.max_output.or(base.max_output),
            };
            self.prices.insert(key, own);
        }
        Ok(())
    }

    /// One offer for each model that a channel is known to serve: from the catalog or its `deployments`, from its
    /// `models`, from prices and from routes.
    fn add_offers(&mut self, inputs: &Inputs) {
        let mut offers = Vec::new();
        for name in &self.channel_order {
            let channel = &self.channels[name];
            let mut models: Vec<String> = self
                .catalog
                .offers_of(channel.catalog_name())
                .filter(|_| channel.has_the_catalogs_models())
                .map(|offer| offer.upstream_model.to_string())
                .chain(channel.spec.deployments.keys().cloned())
                .chain(channel.spec.models.iter().cloned())
                .chain(inputs.prices.iter().filter(|p| p.channel == **name).map(|p| p.model.clone()))
                .chain(
                    inputs
                        .routes
                        .iter()
                        .flat_map(|route| &route.targets)
                        .filter(|target| target.channel == **name)
                        .map(|target| target.model.clone()),
                )
                .collect();
            let mut seen = std::collections::HashSet::new();
            models.retain(|model| seen.insert(model.clone()));
            offers.extend(models.iter().map(|model| Arc::new(self.make_offer(channel, model))));
        }
        self.offers = offers;
    }

    fn make_offer(&self, channel: &Arc<Channel>, upstream_model: &str) -> Offer {
        let known = channel.listed(&self.catalog, upstream_model);
        let own = self.prices.get(&(channel.name.to_string(), upstream_model.to_owned()));
        let own = own.cloned().unwrap_or_else(|| OwnPrice::published(known.as_ref()));
        let model = known.map(|offer| offer.model);
        Offer {
            channel: Arc::clone(channel),
            model_name: model.as_ref().map_or_else(|| upstream_model.into(), |model| Arc::clone(&model.id)),
            model,
            upstream_model: upstream_model.into(),
            geo: channel.geo(upstream_model, &own.list),
            prices: own.list,
            context_window: own.context_window,
            max_output: own.max_output,
            health: self.health.of(&channel.name, upstream_model),
        }
    }

    fn add_route(&mut self, spec: &RouteSpec) -> Result<(), SnapshotError> {
        check_name("route", &spec.name)?;
        if self.names.contains_key(spec.name.as_str()) {
            return Err(SnapshotError::Duplicate { noun: "route", name: spec.name.clone() });
        }
        if spec.targets.is_empty() {
            return Err(SnapshotError::NoTarget(spec.name.clone()));
        }
        if spec.strategy == Strategy::Weighted && spec.targets.iter().all(|target| target.weight == 0) {
            return Err(SnapshotError::NoWeight(spec.name.clone()));
        }
        let mut targets = Vec::new();
        for target in &spec.targets {
            self.channel(&target.channel, || format!("route `{}`", spec.name))?;
            let offer = self
                .offers
                .iter()
                .find(|offer| *offer.channel.name == target.channel && *offer.upstream_model == target.model)
                .expect("an offer was made for each target of a route");
            targets.push(Target { offer: Arc::clone(offer), weight: target.weight });
        }
        let route = Arc::new(Route {
            name: spec.name.as_str().into(),
            targets,
            strategy: spec.strategy,
            on_disconnect: spec.on_disconnect,
            strict: spec.strict,
            retries: spec.retries,
            turn: Turn::default(),
        });
        self.names.insert(Arc::clone(&route.name), Arc::clone(&route));
        self.routes.push(route);
        Ok(())
    }

    /// Gives every offer its names, in the order of resolution: an earlier form is never replaced by a later.
    fn name_offers(&mut self) {
        let forms: [NameForm; 4] = [
            |offer| Some(offer.full_name().into()),
            |offer| offer.model.as_ref().map(|model| Arc::clone(&model.id)),
            |offer| {
                Some(
                    offer
                        .model
                        .as_ref()
                        .map_or_else(|| Arc::clone(&offer.upstream_model), |m| Arc::clone(&m.name)),
                )
            },
            // What the provider's own clients write: a Bedrock model id, an inference profile.
            |offer| Some(Arc::clone(&offer.upstream_model)),
        ];
        for form in forms {
            let mut named: HashMap<Arc<str>, Vec<Arc<Offer>>> = HashMap::new();
            for offer in &self.offers {
                if let Some(name) = form(offer) {
                    named.entry(name).or_default().push(Arc::clone(offer));
                }
            }
            for (name, offers) in named {
                self.names.entry(Arc::clone(&name)).or_insert_with(|| Arc::new(implicit_route(name, offers)));
            }
        }
    }

    fn channel(&self, name: &str, place: impl FnOnce() -> String) -> Result<&Arc<Channel>, SnapshotError> {
        self.channels.get(name).ok_or_else(|| SnapshotError::UnknownChannel {
            place: place(),
            channel: name.to_owned(),
            nearest: steelyard_billing::nearest(name, self.channel_order.iter().map(AsRef::as_ref), 1),
        })
    }

    /// The key with this hash.
    pub fn key(&self, hash: &[u8; 32]) -> Option<&KeyRecord> {
        self.keys.get(hash)
    }

    /// The pair with this access key id.
    pub fn aws_key(&self, access_key_id: &str) -> Option<&AwsKeyRecord> {
        self.aws_keys.get(access_key_id)
    }

    /// Where a model name leads; names of offers that nobody declared are made on the spot.
    pub fn resolve(&self, name: &str) -> Option<Arc<Route>> {
        if let Some(route) = self.names.get(name) {
            return Some(Arc::clone(route));
        }
        if name.starts_with("arn:") {
            // What an ARN of AWS names stands behind its kind; a custom model, behind its last slash.
            let (_, id) = name.split_once('/').filter(|(_, id)| !id.starts_with("arn:"))?;
            return self.resolve(id).or_else(|| self.names.get(id.rsplit_once('/')?.1).map(Arc::clone));
        }
        let (channel, model) = name.split_once('/')?;
        let channel = self.channels.get(channel).filter(|_| !model.is_empty())?;
        let offer = Arc::new(self.make_offer(channel, model));
        Some(Arc::new(implicit_route(name.into(), vec![offer])))
    }

    /// Names like this one, for an error that helps.
    pub fn nearest_names(&self, name: &str) -> Vec<String> {
        steelyard_billing::nearest(name, self.names.keys().map(AsRef::as_ref), 3)
    }

    /// Declared routes, in order.
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// Every offer, by channel in the order of declaration.
    pub fn offers(&self) -> &[Arc<Offer>] {
        &self.offers
    }

    /// Channels, in the order of declaration.
    pub fn channels(&self) -> impl Iterator<Item = &Arc<Channel>> {
        self.channel_order.iter().map(|name| &self.channels[name])
    }

    /// Names to list to a client: routes first, then each model's shortest name.
    pub fn listed_names(&self) -> Vec<Arc<str>> {
        let mut names: Vec<Arc<str>> = self.routes.iter().map(|route| Arc::clone(&route.name)).collect();
        let mut seen: std::collections::HashSet<Arc<str>> = names.iter().cloned().collect();
        for offer in &self.offers {
            let name = offer
                .model
                .as_ref()
                .map_or_else(|| Arc::clone(&offer.upstream_model), |m| Arc::clone(&m.name));
            if seen.insert(Arc::clone(&name)) {
                names.push(name);
            }
        }
        names
    }
}

fn implicit_route(name: Arc<str>, offers: Vec<Arc<Offer>>) -> Route {
    Route {
        name,
        targets: offers.into_iter().map(|offer| Target { offer, weight: 1 }).collect(),
        strategy: Strategy::Priority,
        on_disconnect: OnDisconnect::default(),
        strict: false,
        retries: default_retries(),
        turn: Turn::default(),
    }
}

fn check_name(noun: &'static str, name: &str) -> Result<(), SnapshotError> {
    let usable = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    if name.is_empty() || !name.bytes().all(usable) {
        return Err(SnapshotError::BadName { noun, name: name.to_owned() });
    }
    Ok(())
}

fn price_cells(
    price: &PriceSpec,
) -> Result<Vec<(UsageClass, UnitPrice)>, steelyard_core::money::ParseMoneyError> {
    let given = [
        (UsageClass::Input, Some(&price.input)),
        (UsageClass::Output, Some(&price.output)),
        (UsageClass::CacheRead, price.cache_read.as_ref()),
        (UsageClass::CacheWrite5m, price.cache_write_5m.as_ref()),
        (UsageClass::CacheWrite1h, price.cache_write_1h.as_ref()),
        (UsageClass::Reasoning, price.reasoning.as_ref()),
    ];
    given
        .into_iter()
        .filter_map(|(class, text)| text.map(|text| Ok((class, UnitPrice::from_usd_per_million(text)?))))
        .collect()
}

#[cfg(test)]
mod tests;
