//! One turn: the request goes out, the answer is shown as it comes.

use std::fmt;
use std::io::IsTerminal;
use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::Value;
use steelyard_core::{Usage, UsageClass};
use steelyard_dialect::chat::{FinishReason, Message};
use steelyard_dialect::{ChatRequest, Dialect, StreamEvent, Target, WireError};

use crate::cli::output::{print_piece, rows};
use crate::client::Client;

const DIALECT: Dialect = Dialect::OpenAiChat;

/// How long the ledger is asked for a cost; it is at most one second behind.
const PATIENCE: Duration = Duration::from_millis(1500);
const PAUSE: Duration = Duration::from_millis(100);

/// What came of a turn, so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    /// What the model said.
    pub(crate) text: String,
    /// What it used; none when the stream did not say.
    pub(crate) usage: Option<Usage>,
    /// Why it stopped; none while it has not.
    pub(crate) finish: Option<FinishReason>,
    /// The call's id in the ledger.
    pub(crate) request_id: String,
}

impl Answer {
    /// Why it stopped, as a word.
    pub(crate) fn finish_name(&self) -> Option<&str> {
        self.finish.as_ref().map(|reason| match reason {
            FinishReason::Stop => "stop",
            FinishReason::StopSequence(_) => "stop_sequence",
            FinishReason::Length => "length",
            FinishReason::ContextWindow => "context_window",
            FinishReason::ToolCalls => "tool_calls",
            FinishReason::ContentFilter => "content_filter",
            FinishReason::Refusal => "refusal",
            FinishReason::Guardrail => "guardrail",
            FinishReason::Paused => "paused",
            FinishReason::MalformedToolCall => "malformed_tool_call",
            FinishReason::Other(word) => word,
        })
    }

    /// What the reader should know about the end.
    pub(crate) fn warning(&self) -> Option<&'static str> {
        match self.finish.as_ref()? {
            FinishReason::Length => Some("(the answer ends at the model's limit of tokens)"),
            FinishReason::ContextWindow => Some("(the answer ends because the model's context is full)"),
            FinishReason::ContentFilter => Some("(the vendor's filter ended the answer)"),
            FinishReason::Refusal => Some("(the model declined)"),
            FinishReason::Guardrail => Some("(a guardrail ended the answer)"),
            FinishReason::Stop
            | FinishReason::StopSequence(_)
            | FinishReason::ToolCalls
            | FinishReason::Paused
            | FinishReason::MalformedToolCall
            | FinishReason::Other(_) => None,
        }
    }
}

/// Asks, and gives each piece of the answer to `show`. What came before a failure is in `answer`.
pub(crate) async fn ask(
    client: &Client,
    model: &str,
    messages: &[Message],
    answer: &mut Answer,
    show: &mut dyn FnMut(&str) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let request = ChatRequest {
        model: model.to_owned(),
        messages: messages.to_vec(),
        stream: true,
        include_usage: true,
        ..ChatRequest::default()
    };
    let target = Target { model, max_output: None, compatible: false };
    let (body, _) = DIALECT.encode_request(&request, &target);
    let request = client
        .request(Method::POST, "/v1/chat/completions")
        .header(CONTENT_TYPE, "application/json")
        .body(body);
    let mut response = client.open(request).await?;
    let id = response.headers().get("x-steelyard-request-id").and_then(|value| value.to_str().ok());
    id.unwrap_or_default().clone_into(&mut answer.request_id);

    let mut decoder = DIALECT.stream_decoder();
    let mut events = Vec::new();
    loop {
        let chunk = response.chunk().await.map_err(|error| client.broken(&error))?;
        let read = match &chunk {
            Some(bytes) => decoder.push(bytes, &mut events),
            None => decoder.finish(&mut events),
        };
        for event in events.drain(..) {
            take(event, answer, show)?;
        }
        match read {
            Ok(()) if chunk.is_none() => return Ok(()),
            Ok(()) => {}
            // The vendor of this client is Steelyard, and its message says it all.
            Err(WireError::Upstream(fault)) => bail!("{fault}"),
            Err(error) => return Err(error).context("the answer cannot be read to its end"),
        }
    }
}

fn take(
    event: StreamEvent,
    answer: &mut Answer,
    show: &mut dyn FnMut(&str) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    match event {
        StreamEvent::Text { text, .. } | StreamEvent::Refusal { text, .. } => {
            answer.text.push_str(&text);
            show(&text)
        }
        StreamEvent::Finish { reason, .. } => {
            answer.finish = Some(reason);
            Ok(())
        }
        StreamEvent::Usage(usage) => {
            answer.usage = Some(usage);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The entry of a call; none when it is not there in time or may not be read.
pub(crate) async fn entry(ledger: Option<&Client>, request_id: &str) -> Option<Value> {
    let ledger = ledger.filter(|_| !request_id.is_empty())?;
    let query = [("request_id", request_id.to_owned())];
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let answer = ledger.get("/ledger/entries", &query).await.ok()?;
        if let Some(entry) = rows(&answer).first() {
            return Some(entry.clone());
        }
        if tokio::time::Instant::now() >= end {
            return None;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What a call cost, in US dollars; none when that is not known.
pub(crate) fn cost(entry: Option<&Value>) -> Option<&str> {
    entry?["amount_usd"].as_str()
}

/// `smart: 12 tokens in, 34 out, $0.00008`.
pub(crate) fn summary(model: &str, usage: Option<&Usage>, cost: Option<&str>) -> String {
    let mut summary = format!("{model}: ");
    match usage {
        Some(usage) => summary.push_str(&Tokens(usage).to_string()),
        None => summary.push_str("tokens unknown"),
    }
    if let Some(cost) = cost {
        summary.push_str(", $");
        summary.push_str(cost);
    }
    summary
}

/// Counts as a person asks for them: what went in, what came out.
pub(crate) struct Tokens<'u>(pub(crate) &'u Usage);

impl fmt::Display for Tokens<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use UsageClass::{CacheRead, CacheWrite1h, CacheWrite5m, CacheWrite12h, Input, Output, Reasoning};
        let usage = self.0;
        let cached = usage[CacheRead];
        let input = usage[Input] + cached + usage[CacheWrite5m] + usage[CacheWrite1h] + usage[CacheWrite12h];
        write!(f, "{input} tokens in")?;
        if cached > 0 {
            write!(f, " ({cached} from a cache)")?;
        }
        write!(f, ", {} out", usage[Output] + usage[Reasoning])?;
        if usage[Reasoning] > 0 {
            write!(f, " ({} reasoning)", usage[Reasoning])?;
        }
        Ok(())
    }
}

/// Shows an answer on stdout, piece by piece.
pub(crate) struct Printer {
    shows: bool,
    terminal: bool,
    open_line: bool,
}

impl Printer {
    /// A printer, or one that stays silent.
    pub(crate) fn new(shows: bool) -> Self {
        Self { shows, terminal: std::io::stdout().is_terminal(), open_line: false }
    }

    /// Shows the next piece.
    pub(crate) fn piece(&mut self, text: &str) -> anyhow::Result<()> {
        if !self.shows || text.is_empty() {
            return Ok(());
        }
        self.open_line = !text.ends_with('\n');
        if self.terminal { print_piece(&harmless(text)) } else { print_piece(text) }
    }

    /// Ends the last line.
    pub(crate) fn end(&mut self) -> anyhow::Result<()> {
        if std::mem::take(&mut self.open_line) { print_piece("\n") } else { Ok(()) }
    }
}

/// A model's answer must not steer the terminal.
fn harmless(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_names_what_is_known() {
        let usage: Usage = [(UsageClass::Input, 10), (UsageClass::CacheRead, 2), (UsageClass::Output, 5)]
            .into_iter()
            .collect();
        assert_eq!(
            summary("m", Some(&usage), Some("0.000123")),
            "m: 12 tokens in (2 from a cache), 5 out, $0.000123"
        );
        let thinking: Usage = [(UsageClass::Input, 1), (UsageClass::Reasoning, 7)].into_iter().collect();
        assert_eq!(summary("m", Some(&thinking), None), "m: 1 tokens in, 7 out (7 reasoning)");
        assert_eq!(summary("m", None, None), "m: tokens unknown");
    }

    #[test]
    fn an_answer_cannot_steer_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2Jb\tc\n\u{9b}d"), "a[2Jb\tc\nd");
    }
}
