//! `/models`, `/channels`, `/routes`: what can be called here, and what it costs.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value, json};
use steelyard_billing::price::{ANY, is_fee};
use steelyard_billing::{Cell, Context};
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
    let prices = price.map(|price| {
        price
            .cells()
            .filter(|cell| {
                cell.tier.as_ref() == "standard" && matches!(cell.context, Context::BASE | Context::Any)
            })
            .filter(|cell| cell.geo == offer.channel.geo || cell.geo.as_ref() == ANY)
            .map(|cell| (cell.class.name().to_owned(), json!(as_printed(&cell))))
            .collect::<Map<_, _>>()
    });
    json!({
        "channel": offer.channel.name,
        "upstream_model": offer.upstream_model,
        "prices": prices,
        "price_version": price.map(|price| &price.id),
        "assumed": price.map(|price| price.assumed),
    })
}

/// US dollars per million tokens, or per single use, as vendors print them.
fn as_printed(cell: &Cell) -> String {
    cell.price.times(if is_fee(cell.class) { 1 } else { 1_000_000 }).to_string()
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
                "geo": channel.geo,
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
