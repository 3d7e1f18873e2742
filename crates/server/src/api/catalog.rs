//! `/models`, `/channels`, `/routes`: what can be called here, and what it costs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value, json};
use steelyard_billing::Flag;
use steelyard_billing::price::{STANDARD, price_text};
use steelyard_core::UsageClass;
use steelyard_gateway::offer::Offer;
use steelyard_gateway::spec::SecretRef;

use crate::app::App;

/// Every model that some channel offers, with its offers and their list prices of today.
pub(super) async fn models(State(app): State<Arc<App>>) -> Json<Value> {
    let snapshot = app.gateway.snapshot();
    let now = app.gateway.clock().now();
    let mut by_model: BTreeMap<Arc<str>, Vec<&Arc<Offer>>> = BTreeMap::new();
    for offer in snapshot.offers() {
        by_model.entry(Arc::clone(&offer.model_name)).or_default().push(offer);
    }
    let data: Vec<_> = by_model
        .iter()
        .map(|(name, offers)| {
            let model = offers.iter().find_map(|offer| offer.model.as_ref());
            json!({
                "id": name,
                "vendor": model.map(|model| &model.vendor),
                "name": model.map_or(name, |model| &model.name),
                "context_window": offers.iter().filter_map(|offer| offer.context_window).max(),
                "max_output": offers.iter().filter_map(|offer| offer.max_output).max(),
                "offers": offers.iter().map(|offer| show_offer(offer, now)).collect::<Vec<_>>(),
            })
        })
        .collect();
    Json(json!({ "data": data }))
}

fn show_offer(offer: &Offer, now: steelyard_core::Timestamp) -> Value {
    let price = offer.prices.at(now);
    let mut geo_assumed = false;
    let prices = price.map(|price| {
        let named: BTreeSet<UsageClass> = price.cells().map(|cell| cell.class).collect();
        let lines = named.into_iter().filter_map(|class| {
            // One unit, so that no threshold of a long prompt is crossed.
            let charge = price.rate(&[(class, 1)].into_iter().collect(), STANDARD, &offer.geo);
            match charge.flags.first() {
                None => {}
                Some(Flag::GeoAssumed { .. }) => geo_assumed = true,
                Some(Flag::Substituted { .. } | Flag::Dearest { .. } | Flag::Unpriced { .. }) => return None,
            }
            let line = charge.lines.first()?;
            Some((class.name().to_owned(), json!(price_text(class, line.price))))
        });
        lines.collect::<Map<_, _>>()
    });
    json!({
        "channel": offer.channel.name,
        "upstream_model": offer.upstream_model,
        "geo": offer.geo,
        "prices": prices,
        "price_version": price.map(|price| &price.id),
        "assumed": price.map(|price| price.assumed),
        "geo_assumed": geo_assumed,
    })
}

/// Configured accounts, without their secrets.
pub(super) async fn channels(State(app): State<Arc<App>>) -> Json<Value> {
    let snapshot = app.gateway.snapshot();
    let data: Vec<_> = snapshot
        .channels()
        .map(|channel| {
            let models = snapshot.offers().iter().filter(|offer| offer.channel.name == channel.name).count();
            json!({
                "name": channel.name,
                "provider": channel.spec.provider,
                "base_url": channel.spec.base_url,
                "geo": channel.spec.geo,
                "models": models,
                "credential": channel.spec.secrets().next().map(SecretRef::place),
                "locked": channel.provider.locked().map(ToString::to_string),
            })
        })
        .collect();
    Json(json!({ "data": data }))
}

/// Declared routes.
pub(super) async fn routes(State(app): State<Arc<App>>) -> Json<Value> {
    let snapshot = app.gateway.snapshot();
    let data: Vec<_> = snapshot
        .routes()
        .iter()
        .map(|route| {
            let targets: Vec<_> = route
                .targets
                .iter()
                .map(|target| {
                    json!({
                        "channel": target.offer.channel.name,
                        "model": target.offer.upstream_model,
                        "weight": target.weight,
                    })
                })
                .collect();
            json!({
                "name": route.name,
                "strategy": route.strategy,
                "targets": targets,
                "on_disconnect": route.on_disconnect,
                "strict": route.strict,
                "retries": route.retries,
            })
        })
        .collect();
    Json(json!({ "data": data }))
}
