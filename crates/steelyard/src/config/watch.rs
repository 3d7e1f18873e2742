//! Edits of the configuration file, noticed by its content.
//!
//! The content is compared, not a date or an inode: so a file that is replaced, mounted from a volume or edited twice
//! within a second is seen, and one that is only touched is not.

use std::time::Duration;

use super::load::{Bytes, Loaded, Sources};
use super::model::Config;
use super::problem::{ConfigError, Problem};

/// How often the file is looked at.
const PERIOD: Duration = Duration::from_secs(1);

/// Looks at the file that a configuration was loaded from, or at the place where one may appear.
#[derive(Debug)]
pub struct Watch {
    sources: Sources,
    period: Duration,
    seen: Seen,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Absent,
    Bytes(Bytes),
    /// With what the system says about it.
    Unreadable(String),
}

impl Watch {
    /// Watches what `loaded` was loaded from.
    pub fn new(sources: Sources, loaded: &Loaded) -> Self {
        let seen = loaded.bytes.clone().map_or(Seen::Absent, Seen::Bytes);
        Self { sources, period: PERIOD, seen }
    }

    /// Waits for the next edit: the configuration it makes, or why it cannot be used. May be dropped while it waits.
    pub async fn changed(&mut self) -> Result<Loaded, ConfigError> {
        loop {
            tokio::time::sleep(self.period).await;
            if let Some(outcome) = self.look().await {
                return outcome;
            }
        }
    }

    async fn look(&mut self) -> Option<Result<Loaded, ConfigError>> {
        let sources = self.sources.clone();
        // The file may be on a slow mount, so the runtime's own threads do not read it.
        let now = tokio::task::spawn_blocking(move || now(&sources)).await.ok()?;
        if now == self.seen {
            return None;
        }
        let before = std::mem::replace(&mut self.seen, now);
        if self.seen == Seen::Absent {
            // Nothing in its place would mean the defaults, which nobody asked for by a deletion.
            let gone = matches!(before, Seen::Bytes(_) | Seen::Unreadable(_));
            let problem =
                Problem::error("the configuration file is gone").help("put it back, or restart without one");
            return gone.then(|| Err(ConfigError::new(None, vec![problem])));
        }
        Some(Config::load(&self.sources))
    }
}

fn now(sources: &Sources) -> Seen {
    let Some((path, _)) = sources.file() else { return Seen::Absent };
    match sources.read(&path) {
        Ok(bytes) => Seen::Bytes(Bytes::new(bytes)),
        Err(error) => Seen::Unreadable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(folder: &std::path::Path) -> Watch {
        let sources = Sources { directory: folder.to_owned(), ..Sources::default() };
        let loaded = Config::load(&sources).unwrap();
        Watch { period: Duration::from_millis(5), ..Watch::new(sources, &loaded) }
    }

    #[tokio::test]
    async fn edits_are_noticed_once_each_and_mistakes_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("steelyard.toml");
        std::fs::write(&file, "[server]\nmax_body = 1\n").unwrap();
        let mut watch = watch(folder.path());
        assert!(watch.look().await.is_none(), "nothing changed yet");

        std::fs::write(&file, "[server]\nmax_body = 2\n").unwrap();
        assert_eq!(watch.changed().await.unwrap().config.server.max_body.0, 2);
        assert!(watch.look().await.is_none());

        std::fs::write(&file, "[server]\nmax_bdy = 3\n").unwrap();
        let error = watch.changed().await.unwrap_err().to_string();
        assert!(
            error.contains("steelyard.toml:2:1") && error.contains("did you mean `max_body`?"),
            "{error}"
        );
        assert!(watch.look().await.is_none());

        std::fs::remove_file(&file).unwrap();
        assert!(watch.changed().await.unwrap_err().to_string().contains("gone"));
        assert!(watch.look().await.is_none());

        std::fs::write(&file, "").unwrap();
        assert_eq!(watch.changed().await.unwrap().config.server.max_body.0, 64 << 20);
    }

    #[tokio::test]
    async fn a_file_that_appears_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = watch(folder.path());
        assert!(watch.look().await.is_none());
        std::fs::write(folder.path().join("steelyard.toml"), "[server]\nmax_body = 9\n").unwrap();
        assert_eq!(watch.changed().await.unwrap().config.server.max_body.0, 9);
    }
}
