//! Where a model of Bedrock's runs, and by which name the catalog lists it: what its id and the region say.
//!
//! Sources: the Bedrock user guide, "Supported cross-Region inference profiles" (an id's prefix names where it may run)
//! and the forms of `modelId` in the service model `bedrock-runtime` 2023-09-30.

use steelyard_billing::{Catalog, CatalogOffer};

/// Where inference profiles run, as their ids begin.
const PROFILES: [&str; 8] = ["global", "us", "eu", "apac", "jp", "au", "ca", "us-gov"];

/// The catalog's word for any one region of the United States; the government's have prices of their own.
const US_REGION: &str = "us-region";

/// Where nobody can tell: an account's own profile, deployment or router leads to a model that its name does not say.
const UNKNOWN: &str = "unknown";

/// A model of AWS's, by its ARN.
struct Arn<'a> {
    region: &'a str,
    /// Whether it is an inference profile of AWS's, not a model in one region.
    profile: bool,
    id: &'a str,
}

impl<'a> Arn<'a> {
    /// None: it names something of an account's own, or is no ARN.
    fn read(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        let (Some("arn"), Some(_), Some("bedrock"), Some(region), Some(_), Some(resource)) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        let (kind, id) = resource.split_once('/')?;
        let profile = match kind {
            "inference-profile" => true,
            "foundation-model" => false,
            _ => return None,
        };
        Some(Self { region, profile, id })
    }
}

/// What the catalog says of a model, by its id, also where an ARN holds it. A model that is listed only by ids that run
/// elsewhere has the prices of those places, and none of its own: a charge then says that its geography is assumed.
pub(in crate::provider) fn listed(catalog: &Catalog, provider: &str, model: &str) -> Option<CatalogOffer> {
    let id = id(model);
    let elsewhere = || catalog.together(provider, id, |other| bare(other) == bare(id));
    catalog.on(provider, id).or_else(elsewhere)
}

fn id(model: &str) -> &str {
    Arn::read(model).map_or(model, |arn| arn.id)
}

/// The id of the model itself, without the prefix of an inference profile.
fn bare(id: &str) -> &str {
    profile(id).map_or(id, |prefix| &id[prefix.len() + 1..])
}

/// Where a model runs that is called in `region`, in the catalog's words where it has one: the geography of an
/// inference profile, else a region.
pub(in crate::provider) fn geo<'a>(model: &'a str, region: &'a str) -> &'a str {
    if !model.starts_with("arn:") {
        return profile(model).unwrap_or_else(|| within(region));
    }
    match Arn::read(model) {
        Some(arn) if arn.profile => profile(arn.id).unwrap_or(UNKNOWN),
        Some(arn) => within(arn.region),
        None => UNKNOWN,
    }
}

/// The geography of an inference profile, by its id.
fn profile(id: &str) -> Option<&str> {
    let (prefix, _) = id.split_once('.')?;
    PROFILES.contains(&prefix).then_some(prefix)
}

fn within(region: &str) -> &str {
    if region.starts_with("us-east-") || region.starts_with("us-west-") { US_REGION } else { region }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use steelyard_core::UsageClass;

    use super::*;

    #[test]
    fn a_models_id_then_its_region_says_where_it_runs() {
        let cases = [
            ("us.anthropic.claude-sonnet-5", "us-east-1", "us"),
            ("us.anthropic.claude-sonnet-5", "us-west-2", "us"),
            ("eu.anthropic.claude-sonnet-5", "eu-central-1", "eu"),
            ("global.anthropic.claude-sonnet-5", "eu-central-1", "global"),
            ("apac.amazon.nova-lite-v1:0", "ap-southeast-1", "apac"),
            ("jp.anthropic.claude-sonnet-4-6", "ap-northeast-1", "jp"),
            ("au.anthropic.claude-sonnet-4-6", "ap-southeast-2", "au"),
            ("ca.amazon.nova-lite-v1:0", "ca-central-1", "ca"),
            ("us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0", "us-gov-west-1", "us-gov"),
            ("amazon.nova-lite-v1:0", "us-east-1", "us-region"),
            ("openai.gpt-oss-120b-1:0", "us-west-2", "us-region"),
            ("amazon.nova-lite-v1:0", "eu-west-1", "eu-west-1"),
            ("amazon.nova-lite-v1:0", "us-gov-west-1", "us-gov-west-1"),
            ("arn:aws:bedrock:eu-west-1:1:inference-profile/eu.anthropic.claude-sonnet-5", "us-east-1", "eu"),
            ("arn:aws:bedrock:us-east-1:1:inference-profile/nowhere", "us-east-1", "unknown"),
            ("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0", "eu-west-1", "us-region"),
            ("arn:aws:bedrock:eu-west-1::foundation-model/amazon.nova-lite-v1:0", "us-east-1", "eu-west-1"),
            (
                "arn:aws:bedrock:us-east-1:1:application-inference-profile/abcdef123456",
                "us-east-1",
                "unknown",
            ),
            ("arn:aws:bedrock:us-east-1:1:provisioned-model/abcdef123456", "us-east-1", "unknown"),
            ("arn:aws:sagemaker:us-east-1:1:endpoint/mine", "us-east-1", "unknown"),
        ];
        for (model, region, expected) in cases {
            assert_eq!(geo(model, region), expected, "{model} in {region}");
        }
    }

    #[test]
    fn an_arn_of_awss_own_is_listed_by_the_id_in_it() {
        let nova = "amazon.nova-lite-v1:0";
        assert_eq!(id(nova), nova);
        assert_eq!(id("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0"), nova);
        let profile = "arn:aws-us-gov:bedrock:us-gov-west-1:1:inference-profile/us-gov.x.y-v1:0";
        assert_eq!(id(profile), "us-gov.x.y-v1:0");
        let own = "arn:aws:bedrock:us-east-1:1:application-inference-profile/abcdef123456";
        assert_eq!(id(own), own);
    }

    #[test]
    fn a_model_without_a_price_where_it_runs_has_that_of_the_dearest_place() {
        let catalog = Catalog::builtin().unwrap();
        let usage = [(UsageClass::Input, 1_000_000), (UsageClass::Output, 1_000_000)].into_iter().collect();
        let haiku = "anthropic.claude-haiku-4-5-20251001-v1:0";
        let cases = [
            // Listed by its profiles `us.` and `eu.` at 1.1 and 5.5, and `global.` at 1 and 5.
            (haiku.to_owned(), "us-east-1", Some("6.6")),
            (haiku.to_owned(), "ap-northeast-1", Some("6.6")),
            (format!("jp.{haiku}"), "ap-northeast-1", Some("6.6")),
            (format!("au.{haiku}"), "ap-southeast-2", Some("6.6")),
            // Listed by its own id alone, in a region of the United States, at 0.8 and 3.2.
            ("us.amazon.nova-pro-v1:0".to_owned(), "us-east-1", Some("4")),
            ("apac.amazon.nova-pro-v1:0".to_owned(), "ap-southeast-1", Some("4")),
            // Listed by no id at all.
            ("us.amazon.nova-none-v1:0".to_owned(), "us-east-1", None),
        ];
        for (model, region, usd) in cases {
            let offer = listed(&catalog, "bedrock", &model);
            let charge = offer.as_ref().map(|offer| {
                let version = offer.prices.versions().last().unwrap();
                version.rate(&usage, "standard", geo(&model, region))
            });
            let found = charge.as_ref().and_then(|charge| charge.amount).map(|amount| amount.to_string());
            assert_eq!(found.as_deref(), usd, "{model} in {region}");
            let flags = charge.iter().flat_map(|charge| &charge.flags).map(ToString::to_string);
            let assumed = flags.filter(|flag| flag.ends_with("_geo_assumed")).count();
            assert_eq!(assumed, if usd.is_some() { 2 } else { 0 }, "{model} in {region}");
        }
        let merged = listed(&catalog, "bedrock", haiku).unwrap();
        assert_eq!((merged.context_window, merged.max_output), (Some(200_000), Some(64_000)));
        let id = &merged.prices.versions().last().unwrap().id;
        assert!(id.starts_with("anthropic/claude-haiku-4-5@2026-11-21#"), "{id}");
    }

    #[test]
    fn whatever_is_listed_somewhere_is_priced_everywhere() {
        let catalog = Catalog::builtin().unwrap();
        for offer in catalog.offers_of("bedrock") {
            let bare = bare(&offer.upstream_model);
            for name in PROFILES.iter().map(|prefix| format!("{prefix}.{bare}")).chain([bare.to_owned()]) {
                let found = listed(&catalog, "bedrock", &name);
                assert_eq!(found.map(|found| found.model), Some(Arc::clone(&offer.model)), "{name}");
            }
        }
    }
}
