//! Channels that the environment makes, from the variables that providers' own tools read.

use std::collections::BTreeMap;

use steelyard_gateway::spec::{ChannelSpec, EntraSpec, ProviderKind, SecretRef};

use super::origin::Origin;
use super::problem::Problem;

/// The environment, as a map that tests can make.
pub(crate) type Environment = BTreeMap<String, String>;

/// What the environment adds.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Channels, with the variable that made each.
    pub(crate) channels: Vec<(ChannelSpec, Origin)>,
    /// What somebody may wonder about.
    pub(crate) notes: Vec<Problem>,
}

/// Keys of providers that this version has no adapter for, and the provider each belongs to.
const NO_ADAPTER_YET: [(&str, &str); 3] =
    [("MISTRAL_API_KEY", "Mistral"), ("CO_API_KEY", "Cohere"), ("COHERE_API_KEY", "Cohere")];

/// What every secret of Steelyard begins with.
const OWN_SECRET: &str = "sk-sy-";

/// What every access key id of Steelyard begins with.
const OWN_KEY_PAIR: &str = "AKSY";

/// Looks for providers. `taken` are the names of channels in the file; `own` are this server's addresses.
pub(crate) fn detect(environment: &Environment, taken: &[&str], own: &[&str]) -> Found {
    let mut found = Found::default();
    let set = |name: &str| environment.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
    if let Some(key) = set("OPENAI_API_KEY").filter(|_| !taken.contains(&"openai")) {
        let base_url = set("OPENAI_BASE_URL");
        if base_url.is_some_and(|url| own.iter().any(|listen| leads_here(url, listen))) {
            found.notes.push(Problem::note(
                "OPENAI_BASE_URL points at this server itself, so no channel `openai` is made from OPENAI_API_KEY",
            ));
        } else if base_url.is_none() && key.starts_with(OWN_SECRET) {
            found.notes.push(Problem::note(
                "OPENAI_API_KEY holds a key of Steelyard, not of OpenAI, so no channel `openai` is made from it",
            ));
        } else {
            let mut channel = bare("openai", ProviderKind::Openai);
            channel.api_key = Some(SecretRef::new("env:OPENAI_API_KEY"));
            channel.base_url = base_url.map(str::to_owned);
            channel.organization = set("OPENAI_ORG_ID").map(str::to_owned);
            channel.project = set("OPENAI_PROJECT_ID").map(str::to_owned);
            found.channels.push((channel, Origin::Environment { name: "OPENAI_API_KEY".to_owned() }));
        }
    }
    if let Some(key) = set("ANTHROPIC_API_KEY").filter(|_| !taken.contains(&"anthropic")) {
        let base_url = set("ANTHROPIC_BASE_URL");
        if base_url.is_some_and(|url| own.iter().any(|listen| leads_here(url, listen))) {
            found.notes.push(Problem::note(
                "ANTHROPIC_BASE_URL points at this server itself, so no channel `anthropic` is made from ANTHROPIC_API_KEY",
            ));
        } else if base_url.is_none() && key.starts_with(OWN_SECRET) {
            found.notes.push(Problem::note(
                "ANTHROPIC_API_KEY holds a key of Steelyard, not of Anthropic, so no channel `anthropic` is made from it",
            ));
        } else {
            let mut channel = bare("anthropic", ProviderKind::Anthropic);
            channel.api_key = Some(SecretRef::new("env:ANTHROPIC_API_KEY"));
            channel.base_url = base_url.map(str::to_owned);
            found.channels.push((channel, Origin::Environment { name: "ANTHROPIC_API_KEY".to_owned() }));
        }
    }
    if !taken.contains(&"bedrock") {
        bedrock(&set, &mut found);
    }
    if !taken.contains(&"azure") {
        azure(&set, own, &mut found);
    }
    if !taken.contains(&"gemini") {
        gemini(&set, own, &mut found);
    }
    if let Some(host) = set("OLLAMA_HOST").filter(|_| !taken.contains(&"ollama")) {
        let mut channel = bare("ollama", ProviderKind::Compatible);
        channel.base_url = Some(ollama_url(host));
        found.channels.push((channel, Origin::Environment { name: "OLLAMA_HOST".to_owned() }));
    }
    if !taken.contains(&"sandbox") {
        found.channels.push((bare("sandbox", ProviderKind::Sandbox), Origin::BuiltIn));
    }
    let mut named = Vec::new();
    for (name, provider) in NO_ADAPTER_YET {
        if set(name).is_some() && !named.contains(&provider) {
            named.push(provider);
            found.notes.push(Problem::note(format!(
                "{name} is set, but this version of Steelyard has no adapter for {provider} yet: no channel is made of it"
            )));
        }
    }
    found
}

/// Bedrock, from the variables of AWS's own tools. Which account pays is AWS's chain to find; that there is one is
/// taken from the variables that name it.
fn bedrock<'a>(set: &impl Fn(&str) -> Option<&'a str>, found: &mut Found) {
    let names = [
        "AWS_BEARER_TOKEN_BEDROCK",
        "AWS_ACCESS_KEY_ID",
        "AWS_PROFILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ];
    let Some(name) = names.into_iter().find(|name| set(name).is_some()) else { return };
    if set("AWS_ACCESS_KEY_ID").is_some_and(|id| id.starts_with(OWN_KEY_PAIR)) && name == "AWS_ACCESS_KEY_ID"
    {
        found.notes.push(Problem::note(
            "AWS_ACCESS_KEY_ID holds a key of Steelyard, not of AWS, so no channel `bedrock` is made from it",
        ));
        return;
    }
    if name == "AWS_BEARER_TOKEN_BEDROCK" && set(name).is_some_and(|key| key.starts_with(OWN_SECRET)) {
        found.notes.push(Problem::note(
            "AWS_BEARER_TOKEN_BEDROCK holds a key of Steelyard, not of AWS, so no channel `bedrock` is made from it",
        ));
        return;
    }
    let Some(region) = set("AWS_REGION").or_else(|| set("AWS_DEFAULT_REGION")) else {
        found.notes.push(Problem::note(format!(
            "{name} is set, but neither AWS_REGION nor AWS_DEFAULT_REGION is, so no channel `bedrock` is made of it"
        )));
        return;
    };
    let mut channel = bare("bedrock", ProviderKind::Bedrock);
    channel.region = Some(region.to_owned());
    channel.base_url = set("AWS_ENDPOINT_URL_BEDROCK_RUNTIME").map(str::to_owned);
    if name == "AWS_BEARER_TOKEN_BEDROCK" {
        channel.api_key = Some(SecretRef::new("env:AWS_BEARER_TOKEN_BEDROCK"));
    }
    found.channels.push((channel, Origin::Environment { name: name.to_owned() }));
}

/// Azure OpenAI, from the variables that OpenAI's own `AzureOpenAI` client reads, or with those of an application that Azure's
/// own tools read. Which resource it is, only its address says.
fn azure<'a>(set: &impl Fn(&str) -> Option<&'a str>, own: &[&str], found: &mut Found) {
    let endpoint = set("AZURE_OPENAI_ENDPOINT");
    let mut channel = bare("azure", ProviderKind::Azure);
    let name = if set("AZURE_OPENAI_API_KEY").is_some() {
        channel.api_key = Some(SecretRef::new("env:AZURE_OPENAI_API_KEY"));
        "AZURE_OPENAI_API_KEY"
    } else {
        // Without a resource an application's variables may be meant for anything in Azure.
        channel.entra = endpoint.and_then(|_| application(set));
        if channel.entra.is_none() {
            return;
        }
        "AZURE_CLIENT_SECRET"
    };
    let Some(endpoint) = endpoint else {
        found.notes.push(Problem::note(
            "AZURE_OPENAI_API_KEY is set, but AZURE_OPENAI_ENDPOINT is not, so no channel `azure` is made of it",
        ));
        return;
    };
    if own.iter().any(|listen| leads_here(endpoint, listen)) {
        found.notes.push(Problem::note(format!(
            "AZURE_OPENAI_ENDPOINT points at this server itself, so no channel `azure` is made from {name}"
        )));
        return;
    }
    channel.base_url = Some(endpoint.to_owned());
    let version = set("AZURE_OPENAI_API_VERSION").or_else(|| set("OPENAI_API_VERSION"));
    channel.api_version = version.map(str::to_owned);
    found.channels.push((channel, Origin::Environment { name: name.to_owned() }));
}

/// An application of Microsoft Entra.
fn application<'a>(set: &impl Fn(&str) -> Option<&'a str>) -> Option<EntraSpec> {
    set("AZURE_CLIENT_SECRET")?;
    Some(EntraSpec {
        tenant: set("AZURE_TENANT_ID")?.to_owned(),
        client_id: set("AZURE_CLIENT_ID")?.to_owned(),
        client_secret: SecretRef::new("env:AZURE_CLIENT_SECRET"),
        authority: set("AZURE_AUTHORITY_HOST").map(str::to_owned),
        scope: None,
    })
}

/// Gemini, from the variables of Google's SDKs, of which the second wins there.
fn gemini<'a>(set: &impl Fn(&str) -> Option<&'a str>, own: &[&str], found: &mut Found) {
    let Some((name, key)) =
        ["GOOGLE_API_KEY", "GEMINI_API_KEY"].into_iter().find_map(|name| Some((name, set(name)?)))
    else {
        return;
    };
    let base_url = set("GOOGLE_GEMINI_BASE_URL");
    if base_url.is_some_and(|url| own.iter().any(|listen| leads_here(url, listen))) {
        found.notes.push(Problem::note(format!(
            "GOOGLE_GEMINI_BASE_URL points at this server itself, so no channel `gemini` is made from {name}"
        )));
    } else if base_url.is_none() && key.starts_with(OWN_SECRET) {
        found.notes.push(Problem::note(format!(
            "{name} holds a key of Steelyard, not of Google, so no channel `gemini` is made from it"
        )));
    } else {
        let mut channel = bare("gemini", ProviderKind::Gemini);
        channel.api_key = Some(SecretRef::new(format!("env:{name}")));
        channel.base_url = base_url.map(str::to_owned);
        found.channels.push((channel, Origin::Environment { name: name.to_owned() }));
    }
}

/// A channel with the defaults that a file would give it.
fn bare(name: &str, provider: ProviderKind) -> ChannelSpec {
    let declared = serde_json::json!({ "name": name, "provider": provider });
    serde_json::from_value(declared).expect("a channel needs a name and a provider, and has both")
}

/// `OLLAMA_HOST` as Ollama reads it: scheme and port may be missing; an address to listen on stands for this machine.
fn ollama_url(host: &str) -> String {
    let (scheme, rest) = host.split_once("://").unwrap_or(("", host));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (name, port) = match authority.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() && (!name.contains(':') || name.ends_with(']')) => {
            (name, port)
        }
        _ => (
            authority,
            match scheme {
                "http" => "80",
                "https" => "443",
                _ => "11434",
            },
        ),
    };
    let name = match name {
        "" | "0.0.0.0" | "[::]" | "::" => "127.0.0.1",
        name => name,
    };
    let name =
        if name.contains(':') && !name.starts_with('[') { format!("[{name}]") } else { name.to_owned() };
    let scheme = if scheme.is_empty() { "http" } else { scheme };
    let path = path.trim_matches('/');
    let path = if path.is_empty() { String::new() } else { format!("/{path}") };
    format!("{scheme}://{name}:{port}{path}/v1")
}

/// Whether a URL names this server: a call would go round in circles.
fn leads_here(url: &str, listen: &str) -> bool {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest).split('/').next().unwrap_or_default();
    let Some((host, port)) = authority.rsplit_once(':') else { return false };
    let Some((own, own_port)) = listen.rsplit_once(':') else { return false };
    let local = |name: &str| matches!(name, "localhost" | "127.0.0.1" | "[::1]" | "0.0.0.0" | "[::]");
    port == own_port && (host == own || local(host) && local(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn found(pairs: &[(&str, &str)], taken: &[&str]) -> (Vec<ChannelSpec>, Vec<String>) {
        let found = detect(&environment(pairs), taken, &["127.0.0.1:7300", "0.0.0.0:7343"]);
        let channels = found.channels.into_iter().map(|(channel, _)| channel).collect();
        (channels, found.notes.into_iter().map(|note| note.message).collect())
    }

    #[test]
    fn the_sandbox_is_always_there_unless_its_name_is_taken() {
        let names =
            |channels: Vec<ChannelSpec>| channels.into_iter().map(|channel| channel.name).collect::<Vec<_>>();
        assert_eq!(names(found(&[], &[]).0), ["sandbox"]);
        assert!(names(found(&[], &["sandbox"]).0).is_empty());
    }

    #[test]
    fn an_openai_key_makes_a_channel() {
        let (channels, notes) = found(
            &[
                ("OPENAI_API_KEY", "sk-1"),
                ("OPENAI_BASE_URL", "https://eu.example/v1"),
                ("OPENAI_ORG_ID", "org"),
                ("OPENAI_PROJECT_ID", ""),
            ],
            &[],
        );
        let openai = &channels[0];
        assert_eq!((openai.name.as_str(), openai.provider), ("openai", ProviderKind::Openai));
        assert_eq!(openai.base_url.as_deref(), Some("https://eu.example/v1"));
        assert_eq!((openai.organization.as_deref(), openai.project.as_deref()), (Some("org"), None));
        assert_eq!(openai.api_key.as_ref().map(SecretRef::place).as_deref(), Some("env:OPENAI_API_KEY"));
        assert!(notes.is_empty());
        assert_eq!(found(&[("OPENAI_API_KEY", "sk-1")], &["openai"]).0.len(), 1, "the file's channel stays");
        assert_eq!(found(&[("OPENAI_API_KEY", " ")], &[]).0.len(), 1, "an empty variable is none");
    }

    #[test]
    fn a_key_meant_for_clients_of_this_server_makes_no_channel() {
        for pairs in [
            &[("OPENAI_API_KEY", "sk-sy-x"), ("OPENAI_BASE_URL", "http://localhost:7300/v1")][..],
            &[("OPENAI_API_KEY", "sk-1"), ("OPENAI_BASE_URL", "http://127.0.0.1:7300/v1")],
            &[("OPENAI_API_KEY", "sk-1"), ("OPENAI_BASE_URL", "https://localhost:7343/v1")],
            &[("OPENAI_API_KEY", "sk-sy-x")],
        ] {
            let (channels, notes) = found(pairs, &[]);
            assert_eq!((channels.len(), notes.len()), (1, 1), "{pairs:?}: {notes:?}");
        }
        let other = [("OPENAI_API_KEY", "sk-sy-x"), ("OPENAI_BASE_URL", "http://gate.example:7300/v1")];
        assert_eq!(found(&other, &[]).0.len(), 2, "another Steelyard is an upstream as good as any");
    }

    #[test]
    fn ollamas_address_is_read_as_ollama_reads_it() {
        for (host, url) in [
            ("192.168.1.9", "http://192.168.1.9:11434/v1"),
            ("gpu:8080", "http://gpu:8080/v1"),
            ("0.0.0.0:11434", "http://127.0.0.1:11434/v1"),
            (":9000", "http://127.0.0.1:9000/v1"),
            ("http://gpu", "http://gpu:80/v1"),
            ("https://gpu.example/", "https://gpu.example:443/v1"),
            ("https://gpu.example:1/ollama/", "https://gpu.example:1/ollama/v1"),
            ("[::1]", "http://[::1]:11434/v1"),
            ("[::1]:5", "http://[::1]:5/v1"),
            ("::1", "http://[::1]:11434/v1"),
        ] {
            let (channels, _) = found(&[("OLLAMA_HOST", host)], &[]);
            assert_eq!(channels[0].base_url.as_deref(), Some(url), "{host}");
        }
    }

    #[test]
    fn other_providers_keys_are_noticed_once_each() {
        let (channels, notes) =
            found(&[("CO_API_KEY", "a"), ("COHERE_API_KEY", "b"), ("MISTRAL_API_KEY", "c")], &[]);
        assert_eq!(channels.len(), 1);
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes[0].contains("Mistral") && notes[1].contains("Cohere"), "{notes:?}");
    }

    #[test]
    fn a_gemini_key_makes_a_channel_unless_it_is_our_own() {
        let (channels, notes) = found(&[("GEMINI_API_KEY", "a"), ("GOOGLE_API_KEY", "b")], &[]);
        assert_eq!((channels[0].name.as_str(), channels[0].provider), ("gemini", ProviderKind::Gemini));
        assert_eq!(channels[0].api_key, Some(SecretRef::new("env:GOOGLE_API_KEY")));
        assert!(notes.is_empty(), "{notes:?}");
        for variables in [
            &[("GEMINI_API_KEY", "sk-sy-1")][..],
            &[("GEMINI_API_KEY", "a"), ("GOOGLE_GEMINI_BASE_URL", "http://127.0.0.1:7300")],
        ] {
            let (channels, notes) = found(variables, &[]);
            assert_eq!((channels.len(), notes.len()), (1, 1), "{variables:?}");
        }
    }

    #[test]
    fn an_anthropic_key_makes_a_channel() {
        let (channels, notes) = found(&[("ANTHROPIC_API_KEY", "sk-ant")], &[]);
        assert_eq!((channels[0].name.as_str(), channels[0].provider), ("anthropic", ProviderKind::Anthropic));
        assert!(notes.is_empty(), "{notes:?}");
        let own = [("ANTHROPIC_API_KEY", "sk-sy-x"), ("ANTHROPIC_BASE_URL", "http://127.0.0.1:7300")];
        assert_eq!(found(&own, &[]).0.len(), 1);
    }

    #[test]
    fn azures_variables_make_a_channel_where_they_name_a_resource() {
        let key = ("AZURE_OPENAI_API_KEY", "k");
        let resource = ("AZURE_OPENAI_ENDPOINT", "https://hansa.openai.azure.com/");
        let (channels, notes) = found(&[key, resource], &[]);
        let azure = &channels[0];
        assert_eq!((azure.name.as_str(), azure.provider), ("azure", ProviderKind::Azure));
        assert_eq!(azure.base_url.as_deref(), Some("https://hansa.openai.azure.com/"));
        assert_eq!(azure.api_version, None);
        let place = azure.api_key.as_ref().map(SecretRef::place);
        assert_eq!(place.as_deref(), Some("env:AZURE_OPENAI_API_KEY"));
        assert!(notes.is_empty(), "{notes:?}");
        for name in ["AZURE_OPENAI_API_VERSION", "OPENAI_API_VERSION"] {
            let (channels, _) = found(&[key, resource, (name, "2024-10-21")], &[]);
            assert_eq!(channels[0].api_version.as_deref(), Some("2024-10-21"), "{name}");
        }
        let application =
            [("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "i"), ("AZURE_CLIENT_SECRET", "s"), resource];
        let (channels, _) = found(&application, &[]);
        let entra = channels[0].entra.as_ref().unwrap();
        assert_eq!((entra.tenant.as_str(), entra.client_id.as_str()), ("t", "i"));
        assert_eq!(entra.client_secret.place(), "env:AZURE_CLIENT_SECRET");
        assert_eq!(channels[0].api_key, None);
        let both = [&application[..], &[key]].concat();
        assert_eq!(found(&both, &[]).0[0].entra, None, "the key goes before");
        for without in 0..application.len() {
            let mut some = application.to_vec();
            some.remove(without);
            let (channels, notes) = found(&some, &[]);
            assert_eq!((channels[0].name.as_str(), notes.len()), ("sandbox", 0), "{some:?}");
        }
        assert_eq!(found(&[key, resource], &["azure"]).0.len(), 1, "the file's channel stays");
        for (pairs, why) in [
            (&[key][..], "AZURE_OPENAI_ENDPOINT is not"),
            (&[key, ("AZURE_OPENAI_ENDPOINT", "http://localhost:7300")], "points at this server itself"),
        ] {
            let (channels, notes) = found(pairs, &[]);
            assert_eq!((channels.len(), notes.len()), (1, 1), "{pairs:?}: {notes:?}");
            assert!(notes[0].contains(why), "{notes:?}");
        }
    }

    #[test]
    fn awss_variables_make_a_channel_where_they_name_a_region() {
        let (channels, _) = found(&[("AWS_PROFILE", "work"), ("AWS_REGION", "eu-west-1")], &[]);
        assert_eq!(
            (channels[0].provider, channels[0].region.as_deref()),
            (ProviderKind::Bedrock, Some("eu-west-1"))
        );
        assert!(channels[0].api_key.is_none(), "AWS's own chain finds the credentials");
        let key = [("AWS_BEARER_TOKEN_BEDROCK", "k"), ("AWS_DEFAULT_REGION", "us-east-1")];
        let (channels, _) = found(&key, &[]);
        let place = channels[0].api_key.as_ref().map(SecretRef::place);
        assert_eq!(place.as_deref(), Some("env:AWS_BEARER_TOKEN_BEDROCK"));
        let (channels, notes) = found(&[("AWS_ACCESS_KEY_ID", "AKIA")], &[]);
        assert_eq!((channels.len(), notes.len()), (1, 1), "{notes:?}");
        let own = [("AWS_ACCESS_KEY_ID", "AKSYABCDEFGHIJKLMNOP"), ("AWS_REGION", "us-east-1")];
        assert_eq!(found(&own, &[]).0.len(), 1, "a key pair of Steelyard leads nowhere");
        let own = [("AWS_BEARER_TOKEN_BEDROCK", "sk-sy-x"), ("AWS_REGION", "us-east-1")];
        let (channels, notes) = found(&own, &[]);
        assert_eq!((channels.len(), notes.len()), (1, 1), "nor does a key: {notes:?}");
    }
}
