//! Bedrock's Converse. Its fixtures and its snapshots are checked against botocore by `fixtures/bedrock/oracle.py`.

mod errors;
mod pictures;
pub(crate) mod properties;
mod refusals;
mod replies;
mod requests;
pub(crate) mod streams;

use steelyard_dialect::{Dialect, Outside, ReplyContext, Target};

const DIALECT: Dialect = Dialect::BedrockConverse;
/// A model of Anthropic's that thinks by a budget.
const CLAUDE: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
/// One that thinks as it sees fit.
const CLAUDE_ADAPTIVE: &str = "global.anthropic.claude-opus-4-6-v1";

fn path(model: &str) -> Outside<'_> {
    Outside { model: Some(model), stream: false, version: None, headers: None }
}

fn target(model: &str) -> Target<'_> {
    Target { model, max_output: None, compatible: false }
}

fn context() -> ReplyContext {
    ReplyContext {
        id: "unused".into(),
        model: "smart".into(),
        created: 7,
        include_usage: true,
        elapsed_ms: 812,
        echo: None,
    }
}
