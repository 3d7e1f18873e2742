//! Bedrock's control plane, as far as clients ask it before they call: which models and inference profiles there are.
//!
//! Source: the service model `bedrock` 2023-04-20.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use steelyard_core::{ApiError, ErrorCode};
use steelyard_dialect::{Dialect, sigv4};
use steelyard_gateway::snapshot::Snapshot;

use crate::app::App;
use crate::dialect::call::{add_own_id, authenticate, error_response, request_id};

const DIALECT: Dialect = Dialect::BedrockConverse;

/// Names of models and providers are at most so long on this wire.
const NAME: usize = 20;

/// A page of profiles has so many unless the client asks for fewer.
const PAGE: usize = 1000;

/// What AWS's filters take.
const MODALITIES: [&str; 3] = ["TEXT", "IMAGE", "EMBEDDING"];
const INFERENCE_TYPES: [&str; 2] = ["ON_DEMAND", "PROVISIONED"];
const CUSTOMIZATIONS: [&str; 3] = ["FINE_TUNING", "CONTINUED_PRE_TRAINING", "DISTILLATION"];
const PROFILE_TYPES: [&str; 2] = ["SYSTEM_DEFINED", "APPLICATION"];

/// Where AWS's names of inference profiles begin: the geographies that they route within.
const GEOGRAPHIES: [&str; 9] = ["us.", "us-gov.", "eu.", "apac.", "jp.", "au.", "ca.", "sa.", "global."];

/// What a request asks.
struct Asked {
    /// The region that its signature names.
    region: String,
    query: Vec<(String, String)>,
    /// What stands behind the collection in the path, decoded.
    item: Option<String>,
}

impl Asked {
    fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A filter, which must be one of the words that AWS knows.
    fn one_of(&self, name: &'static str, known: &[&str]) -> Result<Option<&str>, ApiError> {
        match self.query(name) {
            Some(word) if !known.contains(&word) => {
                let expected = known.join(", ");
                Err(invalid(name, &format!("is `{}`: expected one of {expected}", shown(word))))
            }
            word => Ok(word),
        }
    }

    /// The provider that is asked for, in lower case.
    fn provider(&self) -> Result<Option<String>, ApiError> {
        let Some(name) = self.query("byProvider") else { return Ok(None) };
        let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b' ');
        if name.is_empty() || name.len() > 63 || !name.bytes().all(good) {
            let text = format!("is `{}`: expected 1 to 63 letters, digits, `-` or spaces", shown(name));
            return Err(invalid("byProvider", &text));
        }
        Ok(Some(name.to_ascii_lowercase()))
    }
}

fn invalid(name: &'static str, text: &str) -> ApiError {
    ApiError::new(ErrorCode::InvalidField, format!("`{name}` {text}")).with_param(name)
}

/// What a caller wrote, as far as it is shown.
fn shown(text: &str) -> String {
    text.chars().take(120).collect()
}

pub(crate) async fn list_models(State(app): State<Arc<App>>, request: Request) -> Response {
    answer(&app, request, |snapshot, asked| {
        let provider = asked.provider()?;
        let modality = asked.one_of("byOutputModality", &MODALITIES)?;
        let inference = asked.one_of("byInferenceType", &INFERENCE_TYPES)?;
        let customization = asked.one_of("byCustomizationType", &CUSTOMIZATIONS)?;
        let fits = |model: &Value| {
            let is = |field: &str, wanted: Option<&str>| {
                wanted.is_none_or(|wanted| {
                    model[field].as_array().is_some_and(|all| all.iter().any(|one| one == wanted))
                })
            };
            let named = model["providerName"].as_str().unwrap_or_default().to_ascii_lowercase();
            provider.as_ref().is_none_or(|wanted| named == *wanted)
                && is("outputModalities", modality)
                && is("inferenceTypesSupported", inference)
                && is("customizationsSupported", customization)
        };
        let names = snapshot.listed_names();
        let models: Vec<Value> =
            names.iter().map(|name| describe(snapshot, name, &asked.region)).filter(fits).collect();
        Ok(json!({ "modelSummaries": models }))
    })
    .await
}

pub(crate) async fn get_model(State(app): State<Arc<App>>, request: Request) -> Response {
    answer(&app, request, |snapshot, asked| {
        let name = asked.item.as_deref().unwrap_or_default();
        if snapshot.resolve(name).is_none() {
            return Err(unknown("model", name));
        }
        let name = name.rsplit_once("foundation-model/").map_or(name, |(_, id)| id);
        Ok(json!({ "modelDetails": describe(snapshot, name, &asked.region) }))
    })
    .await
}

pub(crate) async fn list_profiles(State(app): State<Arc<App>>, request: Request) -> Response {
    answer(&app, request, |snapshot, asked| {
        let wants_own = asked.one_of("type", &PROFILE_TYPES)? == Some("APPLICATION");
        let ids = if wants_own { Vec::new() } else { profiles(snapshot) };
        let from = asked.query("nextToken").map_or(Ok(0), str::parse::<usize>).map_err(|_| {
            ApiError::new(ErrorCode::InvalidField, "`nextToken` is not one that was given out here")
                .with_param("nextToken")
        })?;
        let most =
            asked.query("maxResults").and_then(|text| text.parse().ok()).unwrap_or(PAGE).clamp(1, PAGE);
        let page = ids.iter().skip(from).take(most).map(|id| profile(id, &asked.region)).collect::<Vec<_>>();
        let next = from.saturating_add(page.len());
        let mut listed = json!({ "inferenceProfileSummaries": page });
        if next < ids.len() {
            listed["nextToken"] = next.to_string().into();
        }
        Ok(listed)
    })
    .await
}

pub(crate) async fn get_profile(State(app): State<Arc<App>>, request: Request) -> Response {
    answer(&app, request, |snapshot, asked| {
        let name = asked.item.as_deref().unwrap_or_default();
        let id = name.rsplit_once('/').map_or(name, |(_, id)| id);
        if profiles(snapshot).iter().any(|known| known == id) {
            Ok(profile(id, &asked.region))
        } else {
            Err(unknown("inference profile", name))
        }
    })
    .await
}

fn unknown(what: &str, name: &str) -> ApiError {
    ApiError::new(ErrorCode::UnknownModel, format!("there is no {what} `{}` here", shown(name)))
}

async fn answer(
    app: &App,
    request: Request,
    make: impl FnOnce(&Snapshot, &Asked) -> Result<Value, ApiError>,
) -> Response {
    let id = request_id(&request);
    let (head, body) = request.into_parts();
    let now = app.gateway.clock().now();
    let answered = async {
        authenticate(app, &head, body, now).await?;
        let path = head.uri.path();
        let item =
            path.strip_prefix("/bedrock").unwrap_or(path).get(1..).and_then(|path| path.split_once('/'));
        let item = item.map(|(_, item)| percent_decode_str(item).decode_utf8_lossy().into_owned());
        let region = match sigv4::parse(&head.headers) {
            Some(Ok(signature)) => signature.scope.region.to_owned(),
            Some(Err(_)) | None => "us-east-1".to_owned(),
        };
        let query = head.uri.query().unwrap_or_default();
        let query = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        make(&app.gateway.snapshot(), &Asked { region, query, item })
    };
    match answered.await {
        Ok(value) => {
            let mut response = Json(value).into_response();
            add_own_id(response.headers_mut(), DIALECT, id);
            response
        }
        Err(error) => error_response(DIALECT, &error, id),
    }
}

/// A model as this wire shows it. What it takes in is not in the catalog, so text alone is promised.
fn describe(snapshot: &Snapshot, name: &str, region: &str) -> Value {
    let route = snapshot.resolve(name);
    let offer = route.as_ref().and_then(|route| route.targets.first()).map(|target| &target.offer);
    let vendor = offer.and_then(|offer| offer.model.as_ref()).map_or("steelyard", |model| &*model.vendor);
    let embeds = offer.is_some_and(|offer| offer.embeds());
    let short = |text: &str| text.chars().take(NAME).collect::<String>();
    json!({
        "modelArn": format!("arn:aws:bedrock:{region}::foundation-model/{name}"),
        "modelId": name,
        "modelName": short(name),
        "providerName": short(vendor),
        "inputModalities": ["TEXT"],
        "outputModalities": [if embeds { "EMBEDDING" } else { "TEXT" }],
        "responseStreamingSupported": !embeds,
        "customizationsSupported": [],
        "inferenceTypesSupported": ["ON_DEMAND"],
        "modelLifecycle": { "status": "ACTIVE" },
    })
}

/// The models that are called by the name of an inference profile.
fn profiles(snapshot: &Snapshot) -> Vec<String> {
    let mut ids: Vec<String> = snapshot
        .offers()
        .iter()
        .map(|offer| offer.upstream_model.to_string())
        .filter(|id| GEOGRAPHIES.iter().any(|geography| id.starts_with(geography)))
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn profile(id: &str, region: &str) -> Value {
    let model = id.split_once('.').map_or(id, |(_, model)| model);
    json!({
        "inferenceProfileName": id,
        "inferenceProfileId": id,
        "inferenceProfileArn": format!("arn:aws:bedrock:{region}:000000000000:inference-profile/{id}"),
        "models": [{ "modelArn": format!("arn:aws:bedrock:{region}::foundation-model/{model}") }],
        "status": "ACTIVE",
        "type": "SYSTEM_DEFINED",
    })
}
