//! Which server a verb talks to.
#![expect(clippy::doc_markdown, reason = "clap prints doc comments as they are")]

use std::path::PathBuf;

use clap::Args;

use crate::client::{Client, Process, Purpose, base_of, find_key};
use crate::config::{Flags, Sources};

/// Which server, and where its admin key may be.
#[derive(Debug, Clone, Args)]
pub struct ServerArgs {
    /// The server
    #[arg(
        long,
        env = "STEELYARD_URL",
        hide_env_values = true,
        default_value = "http://127.0.0.1:7300",
        value_name = "URL"
    )]
    pub url: String,
    /// The data directory of a server on this machine, whose admin.key is presented when neither
    /// STEELYARD_ADMIN_KEY nor STEELYARD_API_KEY is set [default: as for `serve`]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

impl ServerArgs {
    /// A client for the management API.
    pub fn management(&self) -> anyhow::Result<Client> {
        self.client(Purpose::Management)
    }

    /// A client for calls of models.
    pub fn calls(&self) -> anyhow::Result<Client> {
        self.client(Purpose::Calls)
    }

    fn client(&self, purpose: Purpose) -> anyhow::Result<Client> {
        // Before the key is looked for: where there is no server, a missing key is not the news.
        base_of(&self.url)?;
        let flags = Flags { data_dir: self.data_dir.clone(), ..Flags::default() };
        let data_dir = Sources::of_process(flags).data_dir().map(|(path, _)| path);
        let key = find_key(purpose, &self.url, data_dir.as_deref(), &Process)?;
        Client::new(&self.url, &key)
    }
}
