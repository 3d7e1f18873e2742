//! `steelyard serve`: its arguments. What it does is in [`crate::serve`].
#![expect(clippy::doc_markdown, reason = "clap prints doc comments as they are")]

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use crate::config::{Config, ConfigError, Flags, Loaded, LogFormat, Sources};

const AFTER: &str = "\
Keys of providers in the environment make channels named after their provider (OPENAI_API_KEY, OLLAMA_HOST); \
the model `sandbox` is always there. At the first start an admin key is made, printed once, and kept in \
admin.key in the data directory; STEELYARD_ADMIN_KEY gives one instead.

Examples:
  steelyard serve
  steelyard serve --config steelyard.toml --data-dir /var/lib/steelyard --listen 0.0.0.0:7300

SIGTERM and Ctrl-C end it: calls in flight finish, new ones are refused.";

/// What `serve` takes.
#[derive(Debug, Clone, Args)]
#[command(after_help = AFTER)]
pub struct ServeArgs {
    /// The configuration [env: STEELYARD_CONFIG] [default: ./steelyard.toml if there is one]
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where keys, ledger and spool are kept; one server at a time [env: STEELYARD_DATA_DIR] [default:
    /// $XDG_DATA_HOME/steelyard, else ~/.local/share/steelyard]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Address and port; port 0 takes a free one [env: STEELYARD_LISTEN] [default: 127.0.0.1:7300]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// How log lines look [default: auto, which is pretty at a terminal and json elsewhere]
    #[arg(long, value_enum, value_name = "FORM")]
    pub log_format: Option<LogFormat>,
}

impl ServeArgs {
    /// What the configuration is made from: these arguments over the environment of this process.
    pub fn sources(&self) -> Sources {
        Sources::of_process(Flags {
            config: self.config.clone(),
            data_dir: self.data_dir.clone(),
            listen: self.listen.clone(),
            log_format: self.log_format,
        })
    }

    /// The configuration.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        Config::load(&self.sources())
    }

    /// The data directory.
    ///
    /// # Errors
    /// When none is named and not even a home is known.
    pub fn data_dir(&self, loaded: &Loaded) -> anyhow::Result<PathBuf> {
        loaded.data_dir.clone().context("there is no place for data: set --data-dir or STEELYARD_DATA_DIR")
    }
}
