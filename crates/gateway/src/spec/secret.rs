//! Secrets of a declaration: where they are, and how they are fetched.

use std::collections::HashMap;
use std::fmt;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize, Serializer};

/// A secret, by where it is: `env:NAME`, `file:PATH`, `vault:NAME`, or the value itself. Never shown.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct SecretRef(String);

/// Where a secret is.
#[derive(Clone, Copy)]
enum Place<'a> {
    Environment(&'a str),
    File(&'a str),
    Vault(&'a str),
    Here(&'a str),
}

/// What the vault holds for channels, by name, in clear.
#[derive(Clone, Default)]
pub struct Secrets(HashMap<String, SecretString>);

impl Secrets {
    /// Puts one in, in the place of what has its name.
    pub fn insert(&mut self, name: String, value: SecretString) {
        self.0.insert(name, value);
    }
}

impl FromIterator<(String, SecretString)> for Secrets {
    fn from_iter<T: IntoIterator<Item = (String, SecretString)>>(secrets: T) -> Self {
        Self(secrets.into_iter().collect())
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl SecretRef {
    /// From the text of the configuration.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    fn at(&self) -> Place<'_> {
        let text = self.0.as_str();
        match text.split_once(':') {
            Some(("env", name)) => Place::Environment(name),
            Some(("file", path)) => Place::File(path),
            Some(("vault", name)) => Place::Vault(name),
            _ => Place::Here(text),
        }
    }

    /// Whether the secret itself stands in the configuration.
    pub fn is_literal(&self) -> bool {
        matches!(self.at(), Place::Here(_))
    }

    /// Whether the secret can change while the declaration does not.
    pub fn changes_elsewhere(&self) -> bool {
        matches!(self.at(), Place::File(_) | Place::Vault(_))
    }

    /// The name under which the vault has it.
    pub fn in_vault(&self) -> Option<&str> {
        match self.at() {
            Place::Vault(name) => Some(name),
            Place::Environment(_) | Place::File(_) | Place::Here(_) => None,
        }
    }

    /// Fetches the secret; surrounding white space is not part of it.
    pub fn resolve(&self, secrets: &Secrets) -> Result<SecretString, SecretError> {
        let value = match self.at() {
            Place::Environment(name) => {
                std::env::var(name).map_err(|_| SecretError::NoVariable { name: name.to_owned() })?
            }
            Place::File(path) => std::fs::read_to_string(path)
                .map_err(|source| SecretError::Unreadable { path: path.to_owned(), source })?,
            Place::Vault(name) => {
                let found = secrets.0.get(name).cloned();
                return found.ok_or_else(|| SecretError::NotInVault { name: name.to_owned() });
            }
            Place::Here(value) => value.to_owned(),
        };
        let value = value.trim();
        if value.is_empty() {
            return Err(SecretError::Empty { place: self.place() });
        }
        Ok(value.to_owned().into())
    }

    /// Where it is, without what it is.
    pub fn place(&self) -> String {
        if self.is_literal() { "(value in the configuration)".to_owned() } else { self.0.clone() }
    }
}

impl fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place())
    }
}

impl Serialize for SecretRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.place())
    }
}

/// Why a secret could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// No such environment variable.
    #[error("environment variable {name} is not set")]
    NoVariable {
        /// Its name.
        name: String,
    },
    /// The file cannot be read.
    #[error("secret file {path} cannot be read")]
    Unreadable {
        /// Its path.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The vault has none of that name.
    #[error("the vault holds no secret `{name}`: put it there with `steelyard secrets set {name}`")]
    NotInVault {
        /// Its name.
        name: String,
    },
    /// There is nothing in it.
    #[error("the secret at {place} is empty")]
    Empty {
        /// Where.
        place: String,
    },
}
