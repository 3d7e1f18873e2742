//! What the shape alone cannot refuse: names that clash or lead nowhere, values that fit no use.

use std::collections::HashMap;

use steelyard_billing::nearest;
use steelyard_core::{Timestamp, UnitPrice};
use steelyard_gateway::spec::{
    ChannelSpec, PriceSpec, ProviderKind, RouteSpec, SecretRef, Secrets, Strategy,
};
use steelyard_store::db::UrlHolds;

use super::document::{Document, Step};
use super::environment::Environment;
use super::model::{Config, ServerConfig, StoreConfig, TelemetryConfig, TlsConfig};
use super::origin::{Origin, Origins};
use super::problem::{Place, Problem, Severity};

use Step::{Index, Key};

/// Everything wrong with a configuration, and everything suspicious. Elements of the lists stand in the order of the
/// file; those that the file does not hold come after.
pub(crate) fn check(
    config: &Config,
    file: Option<&Document<'_>>,
    origins: &Origins,
    environment: &Environment,
) -> Vec<Problem> {
    let mut check = Check { config, file, origins, environment, problems: Vec::new() };
    check.server(&config.server);
    check.telemetry(&config.telemetry);
    check.store(&config.store);
    for (index, channel) in config.channels.iter().enumerate() {
        check.channel(index, channel);
    }
    for (index, route) in config.routes.iter().enumerate() {
        check.route(index, route);
    }
    let mut dates = HashMap::new();
    for (index, price) in config.prices.iter().enumerate() {
        check.price(index, price, &mut dates);
    }
    check.problems.sort_by_key(|problem| problem.place.as_ref().map_or(0, |place| place.line));
    check.problems
}

struct Check<'c> {
    config: &'c Config,
    file: Option<&'c Document<'c>>,
    origins: &'c Origins,
    environment: &'c Environment,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn place(&self, path: &[Step<'_>]) -> Option<Place> {
        self.file.and_then(|file| file.place(path))
    }

    fn error(&mut self, path: &[Step<'_>], message: String, help: &str) {
        let place = self.place(path);
        self.problems.push(Problem::error(message).help(help).at(place));
    }

    /// A field that another layer may have the last word over.
    fn layered_error(&mut self, section: &str, field: &str, message: String, help: &str) {
        let place = match self.origins.of(&format!("{section}.{field}")) {
            Origin::File { .. } => self.place(&[Key(section), Key(field)]),
            Origin::Default | Origin::BuiltIn => None,
            Origin::Environment { name } | Origin::Flag { name } => {
                let message = format!("{name}: {message}");
                return self.problems.push(Problem::error(message).help(help));
            }
        };
        self.problems.push(Problem::error(message).help(help).at(place));
    }

    fn server(&mut self, server: &ServerConfig) {
        if let Some(tls) = &server.tls {
            self.tls(tls);
        }
        if !is_address(&server.listen) {
            let message = format!("`{}` is not an address to listen on", server.listen);
            self.layered_error("server", "listen", message, "write it as 127.0.0.1:7300 or [::]:7300");
        }
        if tracing_subscriber::EnvFilter::try_new(&server.log).is_err() {
            let message = format!("`{}` does not say what to log", server.log);
            let help = "write a level such as info, or levels by target such as info,steelyard_gateway=debug";
            self.layered_error("server", "log", message, help);
        }
        if self.config.ledger.capacity == 0 {
            let message = "a ledger with a capacity of 0 refuses every call".to_owned();
            self.error(
                &[Key("ledger"), Key("capacity")],
                message,
                "give the number of calls that may wait, such as 1000000",
            );
        }
    }

    fn telemetry(&mut self, telemetry: &TelemetryConfig) {
        if let Some(url) = telemetry.traces_url() {
            let parsed = url.parse::<http::Uri>().ok();
            let usable = |uri: &http::Uri| {
                matches!(uri.scheme_str(), Some("http" | "https"))
                    && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
            };
            if !parsed.is_some_and(|uri| usable(&uri)) {
                // The URL itself may hold a password.
                let message = "this is no URL to send traces to".to_owned();
                let help = "write it as http://host:4318; credentials belong into OTEL_EXPORTER_OTLP_HEADERS";
                self.layered_error("telemetry", "otlp_endpoint", message, help);
            }
        }
        if !(0.0..=1.0).contains(&telemetry.sample_ratio) {
            let message = format!("`{}` is no share of calls", telemetry.sample_ratio);
            let path = [Key("telemetry"), Key("sample_ratio")];
            self.error(&path, message, "write a number from 0 to 1, such as 0.1");
        }
    }

    /// Files that are not there are a warning: a configuration is checked where its certificates are not.
    fn tls(&mut self, tls: &TlsConfig) {
        let at = |field| [Key("server"), Key("tls"), Key(field)];
        if !is_address(&tls.listen) {
            let message = format!("`{}` is not an address to listen on", tls.listen);
            self.error(&at("listen"), message, "write it as 127.0.0.1:7343 or [::]:7343");
        }
        match (&tls.cert, &tls.key, tls.self_signed) {
            (Some(_), Some(_), false) | (None, None, true) => {}
            (None, None, false) => self.error(
                &at("cert"),
                "the TLS listener has no certificate".to_owned(),
                "give cert and key, or self_signed = true for development",
            ),
            (Some(_), None, false) => {
                self.error(&at("cert"), "cert is given without its key".to_owned(), "add key = \"PATH\"");
            }
            (None, Some(_), false) => {
                self.error(&at("key"), "key is given without its cert".to_owned(), "add cert = \"PATH\"");
            }
            (_, _, true) => self.error(
                &at("self_signed"),
                "the certificate cannot be self-signed and given too".to_owned(),
                "keep cert and key, or self_signed",
            ),
        }
        if !tls.names.is_empty() && !tls.self_signed {
            let message = "names are those of a self-signed certificate, and none is made".to_owned();
            self.error(&at("names"), message, "take names away, or set self_signed = true");
        }
        for (index, name) in tls.names.iter().enumerate() {
            if !steelyard_server::tls::is_name(name) {
                let path = [Key("server"), Key("tls"), Key("names"), Index(index)];
                let message = format!("`{name}` is no host name and no address");
                self.error(&path, message, "write it as gateway.example or 10.0.0.7, without a port");
            }
        }
        for (field, path) in [("cert", &tls.cert), ("key", &tls.key)] {
            let Some(path) = path.as_ref().filter(|path| !path.is_file()) else { continue };
            if path.to_string_lossy().contains("-----BEGIN") {
                let message =
                    format!("server.tls.{field} holds PEM itself where the path of a file is meant");
                self.error(&at(field), message, "put it into a file and give its path");
                continue;
            }
            let problem =
                Problem::warning(format!("server.tls.{field}: there is no file {}", path.display()));
            let place = self.place(&at(field));
            self.problems.push(problem.help("`steelyard serve` does not start without it").at(place));
        }
    }

    /// Names are unique and can be told from `channel/model`.
    fn name(&mut self, list: &str, noun: &str, index: usize, name: &str, earlier: Option<usize>) {
        let path = [Key(list), Index(index), Key("name")];
        if name.is_empty() || !name.bytes().all(may_stand_in_a_name) {
            let message = format!("{noun} `{name}` cannot be used as a name");
            self.error(&path, message, "use letters, digits, `-`, `_`, `.` and `:`, no `/`");
        } else if let Some(earlier) = earlier {
            let first = self.place(&[Key(list), Index(earlier), Key("name")]);
            let first =
                first.map_or_else(String::new, |place| format!(": the first is on line {}", place.line));
            let message = format!("{noun} `{name}` is declared twice{first}");
            self.error(&path, message, "names must be unique");
        }
    }

    fn channel(&mut self, index: usize, channel: &ChannelSpec) {
        let earlier = self.config.channels[..index].iter().position(|other| other.name == channel.name);
        self.name("channels", "channel", index, &channel.name, earlier);
        let at = |field| [Key("channels"), Index(index), Key(field)];
        match &channel.base_url {
            None => {
                if let Some(help) = address_to_give(channel.provider) {
                    self.error(&at("base_url"), format!("channel `{}` has no base_url", channel.name), help);
                }
            }
            Some(url) => self.base_url(index, channel, url),
        }
        if let Some(key) = &channel.api_key {
            self.secret(&at("api_key"), &format!("channel `{}`", channel.name), key);
        }
        self.vendor_account(index, channel);
        if let Some(path) = channel.ca_file.as_ref().filter(|path| !path.is_file()) {
            let message = format!("channel `{}`: there is no file {}", channel.name, path.display());
            self.error(
                &at("ca_file"),
                message,
                "give the path of a PEM file; relative paths start at the configuration's folder",
            );
        }
        for (name, value) in &channel.headers {
            let path = [Key("channels"), Index(index), Key("headers"), Key(name)];
            if http::HeaderName::try_from(name.as_str()).is_err() {
                self.error(&path, format!("`{name}` is not a header name"), "use letters, digits and `-`");
            } else if http::HeaderValue::try_from(value.as_str()).is_err() {
                let message = format!("header `{name}` has a value that no header can carry");
                self.error(&path, message, "use one line of printable characters");
            }
        }
    }

    /// What the vendor takes as a credential, and what a channel of another vendor has no use for.
    fn vendor_account(&mut self, index: usize, channel: &ChannelSpec) {
        let at = |field| [Key("channels"), Index(index), Key(field)];
        let owner = format!("channel `{}`", channel.name);
        let keyless = match channel.provider {
            ProviderKind::Openai => Some(("OpenAI", "OPENAI_API_KEY")),
            ProviderKind::Azure => Some(("Azure", "AZURE_OPENAI_API_KEY")),
            ProviderKind::Anthropic => Some(("Anthropic", "ANTHROPIC_API_KEY")),
            ProviderKind::Gemini => Some(("Google", "GEMINI_API_KEY")),
            ProviderKind::Bedrock | ProviderKind::Compatible | ProviderKind::Sandbox => None,
        };
        if let Some((vendor, variable)) = keyless
            && channel.api_key.is_none()
            && channel.entra.is_none()
            && channel.headers.is_empty()
        {
            let place = self.place(&[Key("channels"), Index(index)]);
            let problem =
                Problem::warning(format!("{owner} has no api_key: {vendor} refuses calls without one"));
            self.problems.push(problem.help(format!("add api_key = \"env:{variable}\"")).at(place));
        }
        let own = [
            (ProviderKind::Azure, "api_version", channel.api_version.is_some()),
            (ProviderKind::Compatible, "responses", channel.responses),
            (ProviderKind::Azure, "deployments", !channel.deployments.is_empty()),
            (ProviderKind::Azure, "entra", channel.entra.is_some()),
            (ProviderKind::Bedrock, "region", channel.region.is_some()),
            (ProviderKind::Bedrock, "credentials", channel.credentials.is_some()),
        ];
        for (provider, field, given) in own {
            if given && channel.provider != provider {
                let message =
                    format!("{owner}: {field} has a meaning for provider `{}` only", provider.name());
                self.error(&at(field), message, "take it away");
            }
        }
        if channel.provider == ProviderKind::Bedrock {
            if channel.region.is_none() {
                let help = "give one of AWS's, such as region = \"us-east-1\"";
                self.error(&at("region"), format!("{owner} has no region"), help);
            }
            if channel.api_key.is_some() && channel.credentials.is_some() {
                let message = format!("{owner} has two credentials, an api_key and credentials");
                self.error(&at("credentials"), message, "keep one of the two");
            }
        }
        if let Some(entra) = &channel.entra {
            if channel.provider == ProviderKind::Azure && channel.api_key.is_some() {
                let message = format!("{owner} has two credentials, an api_key and entra");
                self.error(&at("entra"), message, "keep one of the two");
            }
            let at = |field| [Key("channels"), Index(index), Key("entra"), Key(field)];
            let named = [("tenant", &entra.tenant), ("client_id", &entra.client_id)];
            for (field, _) in named.into_iter().filter(|(_, value)| value.trim().is_empty()) {
                let message = format!("{owner}: the {field} is empty");
                self.error(&at(field), message, "give the one that Microsoft Entra shows");
            }
            self.secret(&at("client_secret"), &owner, &entra.client_secret);
        }
        if let Some(credentials) = &channel.credentials {
            let fields = [
                ("secret_access_key", Some(&credentials.secret_access_key)),
                ("session_token", credentials.session_token.as_ref()),
            ];
            for (field, secret) in fields {
                let Some(secret) = secret else { continue };
                let path = [Key("channels"), Index(index), Key("credentials"), Key(field)];
                self.secret(&path, &owner, secret);
            }
            // An id is no secret and may stand in the file.
            let id = &credentials.access_key_id;
            if !id.is_literal() || id.resolve(&Secrets::default()).is_err() {
                let path = [Key("channels"), Index(index), Key("credentials"), Key("access_key_id")];
                self.secret(&path, &owner, id);
            }
        }
    }

    fn base_url(&mut self, index: usize, channel: &ChannelSpec, url: &str) {
        let path = [Key("channels"), Index(index), Key("base_url")];
        let parsed = url.parse::<http::Uri>().ok();
        let usable =
            |uri: &http::Uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
        let Some(uri) = parsed.filter(usable) else {
            let message = format!(
                "channel `{}`: base_url is not a URL that begins with http:// or https://",
                channel.name
            );
            return self.error(&path, message, "write it as https://host/v1");
        };
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            let message = format!("channel `{}`: base_url holds a user name or a password", channel.name);
            return self.error(&path, message, "give the credential as api_key or under headers");
        }
        if uri.query().is_some() {
            let message =
                format!("channel `{}`: base_url has a query, to which no path can be added", channel.name);
            return self.error(&path, message, "give the URL up to and without /chat/completions");
        }
        if uri.path().trim_end_matches('/').ends_with("/chat/completions") {
            let message = format!("channel `{}`: base_url goes on to /chat/completions", channel.name);
            self.error(&path, message, "take /chat/completions away: Steelyard adds it");
        }
    }

    /// A secret that cannot be fetched is a warning: files are checked where their secrets are not.
    fn secret(&mut self, path: &[Step<'_>], owner: &str, secret: &SecretRef) {
        let place = self.place(path);
        let (shown, field) = (secret.place(), path.last());
        let field = if let Some(Key(field)) = field { field } else { "secret" };
        // A value in the file is fetched without looking anywhere else.
        if secret.is_literal() && secret.resolve(&Secrets::default()).is_err() {
            let problem = Problem::error(format!("{owner}: the {field} is empty"));
            return self
                .problems
                .push(problem.help("write \"env:NAME\" or \"file:PATH\", or leave it out").at(place));
        }
        let problem = if secret.is_literal() {
            Problem::warning(format!("{owner}: the {field} itself stands in the file"))
                .help("write \"env:NAME\" or \"file:PATH\", so that the file can be shared")
        } else if let Some(variable) = shown.strip_prefix("env:") {
            if self.environment.get(variable).is_some_and(|value| !value.trim().is_empty()) {
                return;
            }
            Problem::warning(format!("{owner}: environment variable {variable} is not set"))
                .help("`steelyard serve` does not start without it")
        } else if let Some(path) = shown.strip_prefix("file:") {
            if std::path::Path::new(path).is_file() {
                return;
            }
            Problem::warning(format!("{owner}: there is no secret file {path}"))
                .help("`steelyard serve` does not start without it")
        } else {
            return;
        };
        self.problems.push(problem.at(place));
    }

    fn store(&mut self, store: &StoreConfig) {
        if store.max_connections == 0 {
            let message = "a database without a connection cannot be asked anything".to_owned();
            self.error(&[Key("store"), Key("max_connections")], message, "give a number such as 8");
        }
        let Some(url) = &store.url else { return };
        let path = [Key("store"), Key("url")];
        if url.in_vault().is_some() {
            let message = "store.url cannot be in the vault, which is in the database itself".to_owned();
            return self.error(&path, message, "write \"env:NAME\" or \"file:PATH\"");
        }
        let literal = if url.is_literal() { url.resolve(&Secrets::default()).ok() } else { None };
        match literal.as_ref().map(steelyard_store::db::check_url) {
            Some(Err(error)) => {
                let help = "or leave it out: then everything is in SQLite in the data directory";
                self.error(&path, error.to_string(), help);
            }
            // Without a password there is nothing to hide.
            Some(Ok(UrlHolds::NoPassword)) => {}
            Some(Ok(UrlHolds::Password)) | None => self.secret(&path, "store", url),
        }
    }

    fn known_channel(&mut self, path: &[Step<'_>], channel: &str) {
        if self.config.channels.iter().any(|known| known.name == channel) {
            return;
        }
        let names = || self.config.channels.iter().map(|known| known.name.as_str());
        let help = match nearest(channel, names(), 1).pop() {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("declared are `{}`", names().collect::<Vec<_>>().join("`, `")),
        };
        self.error(path, format!("channel `{channel}` is not declared"), &help);
    }

    fn route(&mut self, index: usize, route: &RouteSpec) {
        let earlier = self.config.routes[..index].iter().position(|other| other.name == route.name);
        self.name("routes", "route", index, &route.name, earlier);
        let targets = [Key("routes"), Index(index), Key("targets")];
        if route.targets.is_empty() {
            let message = format!("route `{}` has no target", route.name);
            return self.error(
                &targets,
                message,
                "add one, such as { channel = \"openai\", model = \"gpt-6-sol\" }",
            );
        }
        if route.strategy == Strategy::Weighted && route.targets.iter().all(|target| target.weight == 0) {
            let message = format!("route `{}` is weighted, but all its weights are 0", route.name);
            self.error(&targets, message, "give one target a weight above 0");
        }
        for (number, target) in route.targets.iter().enumerate() {
            let at = |field| [Key("routes"), Index(index), Key("targets"), Index(number), Key(field)];
            self.known_channel(&at("channel"), &target.channel);
            if target.model.trim().is_empty() {
                self.error(
                    &at("model"),
                    format!("a target of route `{}` names no model", route.name),
                    "give the provider's name of it",
                );
            }
        }
    }

    fn price<'p>(
        &mut self,
        index: usize,
        price: &'p PriceSpec,
        dates: &mut HashMap<(&'p str, &'p str, String), usize>,
    ) {
        let at = |field| [Key("prices"), Index(index), Key(field)];
        self.known_channel(&at("channel"), &price.channel);
        let limits = [("context_window", price.context_window), ("max_output", price.max_output)];
        for (field, _) in limits.into_iter().filter(|(_, limit)| *limit == Some(0)) {
            let message = format!("a {field} of 0 leaves room for no call");
            self.error(&at(field), message, "give the number of tokens, or leave it out");
        }
        let from = price.from.to_string();
        match Timestamp::parse(&from) {
            Err(_) => self.error(&at("from"), format!("`{from}` is not a date"), "write it as 2026-01-01"),
            Ok(_) => {
                if let Some(line) = dates.insert((&price.channel, &price.model, from), index) {
                    let first = self.place(&[Key("prices"), Index(line)]).map_or(0, |place| place.line);
                    let message = format!(
                        "`{}` on channel `{}` has two prices from the same date: the first is on line {first}",
                        price.model, price.channel
                    );
                    self.error(&at("from"), message, "keep one, or give the later one its own date");
                }
            }
        }
        let amounts = [
            ("input", Some(&price.input)),
            ("output", Some(&price.output)),
            ("cache_read", price.cache_read.as_ref()),
            ("cache_write_5m", price.cache_write_5m.as_ref()),
            ("cache_write_1h", price.cache_write_1h.as_ref()),
            ("reasoning", price.reasoning.as_ref()),
        ];
        for (field, amount) in amounts {
            let Some(amount) = amount else { continue };
            match UnitPrice::from_usd_per_million(amount) {
                Ok(price) if price.pico() >= 0 => {}
                Ok(_) => self.error(&at(field), format!("`{amount}` is below zero"), "a price is 0 or more"),
                Err(error) => self.error(&at(field), error.to_string(), "US dollars per million tokens"),
            }
        }
    }
}

/// How to give the address that a provider has none of its own for.
fn address_to_give(provider: ProviderKind) -> Option<&'static str> {
    match provider {
        ProviderKind::Compatible => Some("give the URL of the server, up to and without /chat/completions"),
        ProviderKind::Azure => {
            Some("give the address of the resource, such as https://NAME.openai.azure.com")
        }
        ProviderKind::Openai
        | ProviderKind::Anthropic
        | ProviderKind::Bedrock
        | ProviderKind::Gemini
        | ProviderKind::Sandbox => None,
    }
}

/// Whether it is a host and a port to listen on.
fn is_address(text: &str) -> bool {
    let parts = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    parts.is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}

/// The same rule as the gateway's, which is the last to judge.
fn may_stand_in_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':')
}

/// Whether any of them makes the configuration unusable.
pub(crate) fn is_fatal(problems: &[Problem]) -> bool {
    problems.iter().any(|problem| problem.severity == Severity::Error)
}
