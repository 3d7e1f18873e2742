//! The layers, laid one over the other.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use steelyard_gateway::spec::SecretRef;

use super::check::{check, is_fatal};
use super::document::Document;
use super::environment::{self, Environment};
use super::model::{
    Config, LedgerConfig, LogFormat, ResponsesConfig, ServerConfig, StoreConfig, TRACES_PATH, TelemetryConfig,
};
use super::origin::{Origin, Origins};
use super::problem::{ConfigError, Place, Problem};

/// The file that is read when nobody names one.
pub const DEFAULT_FILE: &str = "steelyard.toml";

/// What the command line says.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--data-dir`.
    pub data_dir: Option<PathBuf>,
    /// `--listen`.
    pub listen: Option<String>,
    /// `--log-format`.
    pub log_format: Option<LogFormat>,
}

/// Everything a configuration is made from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The command line.
    pub flags: Flags,
    /// The environment.
    pub environment: Environment,
    /// The working directory.
    pub directory: PathBuf,
}

impl Sources {
    /// Of this process. Variables that are not UTF-8 are left out.
    pub fn of_process(flags: Flags) -> Self {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self { flags, environment, directory: std::env::current_dir().unwrap_or_default() }
    }

    fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The file to read, with who named it; none when nobody did and there is no `steelyard.toml` here.
    pub(crate) fn file(&self) -> Option<(PathBuf, Origin)> {
        if let Some(path) = &self.flags.config {
            return Some((path.clone(), Origin::Flag { name: "--config".to_owned() }));
        }
        if let Some(path) = self.variable("STEELYARD_CONFIG") {
            return Some((path.into(), Origin::Environment { name: "STEELYARD_CONFIG".to_owned() }));
        }
        self.directory.join(DEFAULT_FILE).is_file().then(|| (DEFAULT_FILE.into(), Origin::Default))
    }

    /// The file's bytes.
    pub(crate) fn read(&self, path: &Path) -> std::io::Result<Vec<u8>> {
        std::fs::read(self.directory.join(path))
    }

    /// The data directory: `--data-dir`, `STEELYARD_DATA_DIR`, `$XDG_DATA_HOME/steelyard`, `~/.local/share/steelyard`.
    /// None when not even a home is known.
    pub fn data_dir(&self) -> Option<(PathBuf, Origin)> {
        if let Some(path) = &self.flags.data_dir {
            return Some((path.clone(), Origin::Flag { name: "--data-dir".to_owned() }));
        }
        if let Some(path) = self.variable("STEELYARD_DATA_DIR") {
            return Some((path.into(), Origin::Environment { name: "STEELYARD_DATA_DIR".to_owned() }));
        }
        // Relative paths are to be ignored, says the XDG Base Directory Specification.
        if let Some(path) = self.variable("XDG_DATA_HOME").map(Path::new).filter(|path| path.is_absolute()) {
            return Some((path.join("steelyard"), Origin::Environment { name: "XDG_DATA_HOME".to_owned() }));
        }
        self.variable("HOME").map(|home| (Path::new(home).join(".local/share/steelyard"), Origin::Default))
    }
}

/// A configuration that can be used.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What is in force.
    pub config: Config,
    /// Where each value came from.
    pub origins: Origins,
    /// What somebody should look at, and what they may wonder about.
    pub warnings: Vec<Problem>,
    /// The file, if there is one.
    pub path: Option<PathBuf>,
    /// The data directory; none when not even a home is known.
    pub data_dir: Option<PathBuf>,
    /// What is read at a start only, as the file has it: other layers may hide an edit of it.
    at_start: AtStart,
    /// The file's bytes, by which a change is told.
    pub(crate) bytes: Option<Bytes>,
}

/// The sections that are read at a start only.
#[derive(Debug, Clone, Serialize)]
struct AtStart {
    server: ServerConfig,
    ledger: LedgerConfig,
    telemetry: TelemetryConfig,
    store: StoreConfig,
    responses: ResponsesConfig,
}

/// The bytes of a file, which may hold secrets: they do not print themselves.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Bytes(Arc<[u8]>);

impl Bytes {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Config {
    /// Lays the sources over each other: defaults, file, environment, flags. Reads the file and nothing else; secrets
    /// stay where they are.
    pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
        let Some((path, named_by)) = sources.file() else {
            return lay(sources, None, None);
        };
        let bytes = sources.read(&path).map_err(|error| {
            let problem = Problem::error(format!("{} cannot be read: {error}", path.display()));
            let help = match &named_by {
                Origin::Flag { name } | Origin::Environment { name } => format!("it was named by {name}"),
                Origin::Default | Origin::BuiltIn | Origin::File { .. } => "check its permissions".to_owned(),
            };
            ConfigError::new(Some(path.clone()), vec![problem.help(help)])
        })?;
        let mut loaded = lay(sources, Some(path), Some(Bytes::new(bytes)))?;
        loaded.origins.set("config", named_by);
        Ok(loaded)
    }
}

fn lay(sources: &Sources, path: Option<PathBuf>, bytes: Option<Bytes>) -> Result<Loaded, ConfigError> {
    let fail = |problems| ConfigError::new(path.clone(), problems);
    let mut origins = Origins::default();
    let text = match &bytes {
        Some(Bytes(bytes)) => Some(std::str::from_utf8(bytes).map_err(|error| {
            // What comes before the fault is the same in both, so its place is too.
            let at = error.valid_up_to();
            let place = Place::of(&String::from_utf8_lossy(bytes), &(at..at + 1));
            fail(vec![Problem::error("the file is not UTF-8").help("save it as UTF-8").at(Some(place))])
        })?),
        None => None,
    };
    // A byte order mark is no part of TOML, though some editors write one.
    let text = text.map(|text| text.strip_prefix('\u{feff}').unwrap_or(text));
    let document = text.map(Document::parse).transpose().map_err(fail)?;
    let mut config = match &document {
        Some(document) => {
            for (name, line) in document.values() {
                origins.set(name, Origin::File { line });
            }
            document.config().map_err(fail)?
        }
        None => Config::default(),
    };
    if let Some(path) = &path {
        let folder = sources.directory.join(path);
        start_paths_at(&mut config, folder.parent().unwrap_or(&sources.directory));
    }

    let at_start = AtStart {
        server: config.server.clone(),
        ledger: config.ledger.clone(),
        store: config.store.clone(),
        telemetry: config.telemetry.clone(),
        responses: config.responses.clone(),
    };
    if let Some(listen) = sources.variable("STEELYARD_LISTEN") {
        listen.clone_into(&mut config.server.listen);
        origins.set("server.listen", Origin::Environment { name: "STEELYARD_LISTEN".to_owned() });
    }
    if let Some(filter) = sources.variable("STEELYARD_LOG") {
        filter.clone_into(&mut config.server.log);
        origins.set("server.log", Origin::Environment { name: "STEELYARD_LOG".to_owned() });
    }
    telemetry_of_environment(sources, &mut config.telemetry, &mut origins);
    if sources.variable("STEELYARD_STORE_URL").is_some() {
        config.store.url = Some(SecretRef::new("env:STEELYARD_STORE_URL"));
        origins.set("store.url", Origin::Environment { name: "STEELYARD_STORE_URL".to_owned() });
    }
    if let Some(listen) = &sources.flags.listen {
        config.server.listen.clone_from(listen);
        origins.set("server.listen", Origin::Flag { name: "--listen".to_owned() });
    }
    if let Some(format) = sources.flags.log_format {
        config.server.log_format = format;
        origins.set("server.log_format", Origin::Flag { name: "--log-format".to_owned() });
    }

    let taken: Vec<_> = config.channels.iter().map(|channel| channel.name.as_str()).collect();
    let tls = config.server.tls.as_ref().map(|tls| tls.listen.as_str());
    let own: Vec<_> = [Some(config.server.listen.as_str()), tls].into_iter().flatten().collect();
    let found = environment::detect(&sources.environment, &taken, &own);
    for (channel, origin) in found.channels {
        origins.set(format!("channels.{}", channel.name), origin);
        config.channels.push(channel);
    }

    let mut problems = check(&config, document.as_ref(), &origins, &sources.environment);
    if is_fatal(&problems) {
        return Err(fail(problems));
    }
    problems.extend(found.notes);
    let data_dir = sources.data_dir().map(|(path, origin)| {
        origins.set("data_dir", origin);
        path
    });
    Ok(Loaded { config, origins, warnings: problems, path, data_dir, at_start, bytes })
}

/// OpenTelemetry's own variables (its specification, "Environment Variable Specification").
fn telemetry_of_environment(sources: &Sources, telemetry: &mut TelemetryConfig, origins: &mut Origins) {
    let mut says = |field: &str, name: &str| {
        let value = sources.variable(name)?;
        origins.set(format!("telemetry.{field}"), Origin::Environment { name: name.to_owned() });
        Some(value.to_owned())
    };
    if let Some(base) = says("otlp_endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT") {
        telemetry.otlp_endpoint = Some(format!("{}{TRACES_PATH}", base.trim_end_matches('/')));
    }
    if let Some(mut url) = says("otlp_endpoint", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") {
        if url.split_once("://").is_some_and(|(_, rest)| !rest.contains('/')) {
            url.push('/');
        }
        telemetry.otlp_endpoint = Some(url);
    }
    for (name, off) in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")] {
        if sources.variable(name).is_some_and(|value| value.eq_ignore_ascii_case(off)) {
            says("otlp_endpoint", name);
            telemetry.otlp_endpoint = None;
        }
    }
    if let Some(name) = says("service_name", "OTEL_SERVICE_NAME") {
        telemetry.service_name = name;
    }
}

/// Relative paths in the file start at its folder, wherever the process was started.
fn start_paths_at(config: &mut Config, folder: &Path) {
    if let Some(tls) = &mut config.server.tls {
        for path in [&mut tls.cert, &mut tls.key].into_iter().flatten() {
            *path = folder.join(&*path);
        }
    }
    for channel in &mut config.channels {
        if let Some(path) = &mut channel.ca_file {
            *path = folder.join(&*path);
        }
        for secret in channel.secrets_mut() {
            secret_starts_at(secret, folder);
        }
    }
    if let Some(url) = &mut config.store.url {
        secret_starts_at(url, folder);
    }
}

fn secret_starts_at(secret: &mut SecretRef, folder: &Path) {
    if let Some(path) = secret.place().strip_prefix("file:") {
        *secret = SecretRef::new(format!("file:{}", folder.join(path).display()));
    }
}

impl Loaded {
    /// What the file says differently from `started` and only a restart brings into force, by dotted name. A value that
    /// another layer overrides is there too, with that layer: whoever edited it should know.
    pub fn awaiting_restart(&self, started: &Self) -> Vec<String> {
        // Both are plain data and have a JSON form.
        let of = |loaded: &Self| serde_json::to_value(&loaded.at_start).unwrap_or_default();
        let (now, then) = (of(self), of(started));
        let mut names = Vec::new();
        for section in ["server", "ledger", "store", "telemetry", "responses"] {
            for (field, value) in now[section].as_object().into_iter().flatten() {
                let name = format!("{section}.{field}");
                // A URL that stands in the file shows only that it does, whatever it is.
                let hidden = name == "store.url" && self.at_start.store.url != started.at_start.store.url;
                if !hidden && *value == then[section].get(field).cloned().unwrap_or(Value::Null) {
                    continue;
                }
                names.push(match self.origins.of(&name) {
                    origin @ (Origin::Environment { .. } | Origin::Flag { .. }) => {
                        format!("{name} (overridden: {origin})")
                    }
                    Origin::Default | Origin::BuiltIn | Origin::File { .. } => name,
                });
            }
        }
        names
    }

    /// Sources for tests of what reads a configuration.
    #[cfg(test)]
    pub(crate) fn of(text: &str, environment: &[(&str, &str)]) -> Result<Self, ConfigError> {
        let environment =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let sources = Sources { environment, ..Sources::default() };
        lay(&sources, Some(DEFAULT_FILE.into()), Some(Bytes::new(text.into())))
    }
}

#[cfg(test)]
mod tests;
