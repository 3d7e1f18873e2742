//! The whole calls that `wrk` repeats, and who makes them.

use std::net::SocketAddr;

use steelyard_core::Clock;

use super::sign::{self, KeyPair};
use super::wire::{self, translated};

/// Which call is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// 1 KB, in the upstream's own wire.
    Small,
    /// 32 KB, in the upstream's own wire.
    Large,
    /// 1 KB, Anthropic Messages.
    Messages,
    /// 1 MB with 20 images, Anthropic Messages.
    Images,
    /// 1 KB, Bedrock Converse.
    Converse,
}

/// What an answer must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expected {
    /// These bytes.
    Same(String),
    /// Text with each of these in it: a translated answer has an id of its own.
    Holds(Vec<String>),
}

/// Who calls.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Login<'a> {
    /// A key, sent along.
    Key(&'a str),
    /// A key pair that signs.
    Pair(&'a KeyPair),
}

impl Call {
    /// Every call.
    pub(crate) const ALL: [Self; 5] =
        [Self::Small, Self::Large, Self::Messages, Self::Images, Self::Converse];

    /// In the names of files.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Large => "large",
            Self::Messages => "messages",
            Self::Images => "images",
            Self::Converse => "converse",
        }
    }

    /// Where it goes.
    pub(crate) fn path(self) -> String {
        match self {
            Self::Small | Self::Large => wire::CHAT_PATH.to_owned(),
            Self::Messages | Self::Images => translated::MESSAGES_PATH.to_owned(),
            Self::Converse => format!("/model/{}/converse", wire::ROUTE),
        }
    }

    /// Its body.
    pub(crate) fn body(self) -> String {
        match self {
            Self::Small => wire::small_call(),
            Self::Large => wire::large_call(),
            Self::Messages => translated::messages_call(),
            Self::Images => translated::images_call(),
            Self::Converse => translated::converse_call(),
        }
    }

    /// The answer of a proxy that translates, or of one that passes the upstream's on.
    pub(crate) fn expected(self, translates: bool) -> Expected {
        match self {
            Self::Messages | Self::Images if translates => Expected::Holds(translated::messages_answer()),
            Self::Converse if translates => Expected::Holds(translated::converse_answer()),
            Self::Small | Self::Large | Self::Messages | Self::Images | Self::Converse => {
                Expected::Same(wire::whole_answer())
            }
        }
    }
}

impl Login<'_> {
    /// The headers of a call to `target`, but for its host and length. A signature is good for five minutes.
    pub(crate) fn headers(self, target: SocketAddr, path: &str, body: &str) -> Vec<(&'static str, String)> {
        let mut headers = vec![("content-type", wire::JSON.to_owned())];
        match self {
            Self::Key(key) => headers.push(("authorization", format!("Bearer {key}"))),
            Self::Pair(pair) => {
                let now = Clock::System.now().to_string();
                headers.extend(sign::headers(pair, &now, &target.to_string(), path, body.as_bytes()));
            }
        }
        if path == translated::MESSAGES_PATH {
            headers.push(("anthropic-version", "2023-06-01".to_owned()));
        }
        headers
    }
}
