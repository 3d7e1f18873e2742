//! `steelyard.toml`, written by a test.

use std::fmt::Write as _;
use std::net::SocketAddr;

use crate::{Upstream, Wire};

/// A configuration in the making. What the builders do not know goes in by [`Config::toml`].
#[derive(Debug, Clone, Default)]
pub struct Config {
    head: String,
    tables: String,
}

impl Config {
    /// An empty configuration.
    pub fn new() -> Self {
        Self::default()
    }

    /// One channel `up` to `upstream`, offering the models `m` and `e`, with a price of $1.00 per million prompt
    /// tokens and $2.00 per million completion tokens for both; and a route `smart` to `up/m` without retries.
    pub fn simple(upstream: &Upstream) -> Self {
        Self::new()
            .channel("up", upstream, r#"models = ["m", "e"]"#)
            .price("up", "m", "1.00", "2.00", "")
            .price("up", "e", "1.00", "2.00", "")
            .route("smart", &["up/m"], "retries = 0")
    }

    /// Adds a channel to a vendor, by the provider that speaks its wire, with further lines of TOML.
    #[must_use]
    pub fn channel(self, name: &str, upstream: &Upstream, more: &str) -> Self {
        let credentials = match upstream.wire() {
            Wire::OpenAi | Wire::Anthropic | Wire::Gemini => format!("api_key = \"vendor-key-{name}\""),
            Wire::Bedrock => "region = \"us-east-1\"\ncredentials = { access_key_id = \"AKIDEXAMPLE\", \
                              secret_access_key = \"vendor-secret\" }"
                .to_owned(),
        };
        let (provider, base_url) = (upstream.wire().provider(), upstream.base_url());
        self.toml(&format!(
            "[[channels]]\nname = \"{name}\"\nprovider = \"{provider}\"\nbase_url = \"{base_url}\"\n{credentials}\n{more}\n"
        ))
    }

    /// Adds a channel of provider `azure` to a vendor that speaks OpenAI's wire, on the classic surface.
    #[must_use]
    pub fn azure(self, name: &str, upstream: &Upstream, more: &str) -> Self {
        self.azure_v1(name, upstream, &format!("api_version = \"2024-10-21\"\n{more}"))
    }

    /// The same on the surface without versions.
    #[must_use]
    pub fn azure_v1(self, name: &str, upstream: &Upstream, more: &str) -> Self {
        let addr = upstream.addr();
        self.toml(&format!(
            "[[channels]]\nname = \"{name}\"\nprovider = \"azure\"\nbase_url = \"http://{addr}\"\napi_key = \"vendor-key-{name}\"\n{more}\n"
        ))
    }

    /// Adds a `compatible` channel at an address.
    #[must_use]
    pub fn channel_at(self, name: &str, addr: SocketAddr, more: &str) -> Self {
        self.toml(&format!(
            "[[channels]]\nname = \"{name}\"\nprovider = \"compatible\"\nbase_url = \"http://{addr}/v1\"\napi_key = \"vendor-key-{name}\"\n{more}\n"
        ))
    }

    /// Adds the sandbox under its own name.
    #[must_use]
    pub fn sandbox(self) -> Self {
        self.toml("[[channels]]\nname = \"sandbox\"\nprovider = \"sandbox\"\n")
    }

    /// Adds a route over `channel/model` targets, with further lines of TOML.
    #[must_use]
    pub fn route(self, name: &str, targets: &[&str], more: &str) -> Self {
        let targets: Vec<_> = targets
            .iter()
            .map(|target| target.split_once('/').expect("a target is written channel/model"))
            .map(|(channel, model)| format!("{{ channel = \"{channel}\", model = \"{model}\" }}"))
            .collect();
        self.toml(&format!("[[routes]]\nname = \"{name}\"\ntargets = [{}]\n{more}\n", targets.join(", ")))
    }

    /// Adds a price in US dollars per million tokens since 2026-01-01, with further lines of TOML.
    #[must_use]
    pub fn price(self, channel: &str, model: &str, input: &str, output: &str, more: &str) -> Self {
        self.toml(&format!(
            "[[prices]]\nchannel = \"{channel}\"\nmodel = \"{model}\"\ninput = \"{input}\"\noutput = \"{output}\"\nfrom = 2026-01-01\n{more}\n"
        ))
    }

    /// Adds lines before every table of arrays: `[server]`, `[ledger]` and the like.
    #[must_use]
    pub fn head(mut self, lines: &str) -> Self {
        writeln!(self.head, "{lines}").expect("a string takes every text");
        self
    }

    /// Adds tables as they are.
    #[must_use]
    pub fn toml(mut self, lines: &str) -> Self {
        writeln!(self.tables, "{lines}").expect("a string takes every text");
        self
    }

    /// The file's text.
    pub fn text(&self) -> String {
        format!("{}\n{}", self.head, self.tables)
    }
}
