//! A conversation at a terminal.

use anyhow::Context as _;
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use steelyard_core::{Money, Usage};
use steelyard_dialect::chat::{Message, Role};

use super::command::{HELP, Line, read};
use super::message;
use super::turn::{self, Answer, Printer, Tokens};
use crate::cli::output::remark;
use crate::client::Client;

/// A conversation, and what it has used.
struct Conversation {
    client: Client,
    model: String,
    system: Option<Message>,
    messages: Vec<Message>,
    usage: Usage,
    calls: Vec<String>,
}

/// Talks until the person leaves.
pub(super) async fn talk(
    client: Client,
    ledger: Option<Client>,
    model: String,
    system: Option<Message>,
) -> anyhow::Result<()> {
    let mut talk =
        Conversation { client, model, system, messages: Vec::new(), usage: Usage::ZERO, calls: Vec::new() };
    remark(format_args!("{} at {}; /help lists the commands", talk.model, talk.client.base()));
    let mut editor = DefaultEditor::new().context("the terminal cannot be used")?;
    loop {
        // Reading blocks, and the connection has to be looked after meanwhile.
        let (back, line) = tokio::task::spawn_blocking(move || {
            let line = editor.readline("> ");
            (editor, line)
        })
        .await
        .context("the terminal cannot be read")?;
        editor = back;
        let line = match line {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error).context("the terminal cannot be read"),
        };
        // Memory alone keeps the history: prompts may be confidential.
        let _ = editor.add_history_entry(&line);
        match read(&line) {
            Line::Empty => {}
            Line::Help => remark(HELP),
            Line::Model(None) => remark(&talk.model),
            Line::Model(Some(name)) => name.clone_into(&mut talk.model),
            Line::Clear => {
                talk.messages.clear();
                remark("the conversation is forgotten");
            }
            Line::Exit => break,
            Line::Unknown(word) => remark(format_args!("there is no command `{word}`: /help lists them")),
            Line::Prompt(prompt) => talk.turn(prompt).await?,
        }
    }
    talk.bill(ledger.as_ref()).await;
    Ok(())
}

impl Conversation {
    async fn turn(&mut self, prompt: &str) -> anyhow::Result<()> {
        let before = self.messages.len();
        self.messages.push(message(Role::User, prompt));
        let all: Vec<_> = self.system.iter().chain(&self.messages).cloned().collect();
        let mut answer = Answer::default();
        let mut printer = Printer::new(true);
        let mut show = |text: &str| printer.piece(text);
        let outcome = tokio::select! {
            outcome = turn::ask(&self.client, &self.model, &all, &mut answer, &mut show) => Some(outcome),
            _ = tokio::signal::ctrl_c() => None,
        };
        printer.end()?;
        if !answer.request_id.is_empty() {
            self.calls.push(answer.request_id.clone());
        }
        match outcome {
            Some(Ok(())) => {
                if let Some(warning) = answer.warning() {
                    remark(warning);
                }
                remark(turn::summary(&self.model, answer.usage.as_ref(), None));
            }
            Some(Err(error)) => {
                // The person may try again, perhaps with another model.
                remark(format_args!("error: {error:#}"));
                self.messages.truncate(before);
                return Ok(());
            }
            None => remark("(stopped)"),
        }
        if let Some(usage) = answer.usage {
            self.usage += usage;
        }
        if answer.text.is_empty() {
            self.messages.truncate(before);
        } else {
            self.messages.push(message(Role::Assistant, answer.text));
        }
        Ok(())
    }

    /// Tokens and cost of it all: as the ledger has them, which also knows what a stopped answer used; else the
    /// tokens that the answers reported.
    async fn bill(&self, ledger: Option<&Client>) {
        if self.calls.is_empty() {
            return;
        }
        let calls = self.calls.len();
        let calls = if calls == 1 { "1 call".to_owned() } else { format!("{calls} calls") };
        let mut usage = Usage::ZERO;
        let mut total = Some(Money::ZERO);
        for call in &self.calls {
            let Some(entry) = turn::entry(ledger, call).await else {
                return remark(format_args!("{calls}: {}", Tokens(&self.usage)));
            };
            usage += serde_json::from_value(entry["usage"].clone()).unwrap_or_default();
            let cost = turn::cost(Some(&entry)).and_then(|text| Money::from_usd(text).ok());
            total = total.zip(cost).map(|(total, cost)| total + cost);
        }
        let cost = total.map_or_else(|| ", cost unknown".to_owned(), |total| format!(", ${total}"));
        remark(format_args!("{calls}: {}{cost}", Tokens(&usage)));
    }
}
