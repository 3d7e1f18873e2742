//! `steelyard chat`: one prompt and its answer, or a conversation at a terminal.

mod command;
mod conversation;
pub(crate) mod turn;

use std::fs::{File, Metadata};
use std::io::{IsTerminal, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileTypeExt as _;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;
use steelyard_dialect::chat::{Message, Part, Role};

use super::output::{Output, print_json, remark, rows};
use super::server::ServerArgs;
use crate::client::Client;
use turn::{Answer, Printer};

const AFTER: &str = "\
Without a PROMPT: at a terminal a conversation begins (/help lists its commands, Ctrl-C stops an answer); otherwise \
the prompt is read from stdin. With a PROMPT stdin is not read. The answer goes to stdout, tokens and cost go to stderr. The cost is looked up in the \
ledger, for which the admin key is needed.

Examples:
  steelyard chat
  steelyard chat -m smart \"What is a steelyard?\"
  git diff | steelyard chat -m smart --system \"Write a commit message.\"";

/// What `chat` takes.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct ChatArgs {
    /// What to ask
    #[arg(value_name = "PROMPT")]
    prompt: Option<String>,
    /// The route or model to ask [default: the first declared route, else sandbox]
    #[arg(long, short, value_name = "ROUTE")]
    model: Option<String>,
    /// Standing instructions for the model
    #[arg(long, short, value_name = "TEXT")]
    system: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

/// Asks once, or talks.
pub(super) async fn run(args: ChatArgs, output: Output) -> anyhow::Result<()> {
    let client = args.server.calls()?;
    // The ledger is for administrators; others see tokens without a cost.
    let ledger = args.server.management().ok();
    let prompt = match args.prompt {
        Some(prompt) => {
            if is_piped_in() {
                remark(
                    "remark: stdin is not read, because a PROMPT is given; give that as --system to pipe the prompt in",
                );
            }
            Some(prompt)
        }
        None if std::io::stdin().is_terminal() => None,
        None => Some(read_stdin()?),
    };
    let model = match args.model {
        Some(model) => model,
        None => first_route(ledger.as_ref()).await,
    };
    let system = args.system.map(|text| message(Role::System, text));
    match prompt {
        Some(prompt) if prompt.trim().is_empty() => {
            bail!("there is nothing to ask: give a PROMPT, or pipe one in")
        }
        Some(prompt) => once(&client, ledger.as_ref(), model, system, prompt, output).await,
        None if output == Output::Json => bail!("a conversation has no JSON form: give a PROMPT"),
        None => conversation::talk(client, ledger, model, system).await,
    }
}

/// Whether something seems to wait on stdin. Nothing is read to find out: the other end of a pipe may stay open for
/// good, and what stands there may be meant for whoever called.
fn is_piped_in() -> bool {
    let stdin = std::io::stdin().as_fd().try_clone_to_owned().map(File::from);
    stdin.and_then(|file| file.metadata()).is_ok_and(|what| may_hold_text(&what))
}

/// A pipe, or a file with something in it; `/dev/null` and a terminal are neither.
fn may_hold_text(what: &Metadata) -> bool {
    what.file_type().is_fifo() || (what.is_file() && what.len() > 0)
}

fn read_stdin() -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("the prompt cannot be read from stdin")?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

/// A message of plain text.
fn message(role: Role, text: impl Into<String>) -> Message {
    Message { role, content: vec![Part::text(text)], ..Message::default() }
}

/// Whoever may not list routes gets the sandbox, which is always there.
async fn first_route(ledger: Option<&Client>) -> String {
    let sandbox = || "sandbox".to_owned();
    let Some(client) = ledger else { return sandbox() };
    let Ok(routes) = client.get("/routes", &[]).await else { return sandbox() };
    let first = rows(&routes).first().and_then(|route| route["name"].as_str());
    first.map_or_else(sandbox, str::to_owned)
}

async fn once(
    client: &Client,
    ledger: Option<&Client>,
    model: String,
    system: Option<Message>,
    prompt: String,
    output: Output,
) -> anyhow::Result<()> {
    let messages: Vec<_> = system.into_iter().chain([message(Role::User, prompt)]).collect();
    let mut answer = Answer::default();
    let mut printer = Printer::new(output == Output::Table);
    turn::ask(client, &model, &messages, &mut answer, &mut |text| printer.piece(text)).await.inspect_err(
        |_| {
            // What came is on its line, what went wrong on the next.
            let _ = printer.end();
        },
    )?;
    printer.end()?;
    let entry = turn::entry(ledger, &answer.request_id).await;
    let cost = turn::cost(entry.as_ref());
    if output == Output::Json {
        return print_json(&json!({
            "text": answer.text,
            "model": model,
            "request_id": answer.request_id,
            "finish": answer.finish_name(),
            "usage": answer.usage,
            "amount_usd": cost,
        }));
    }
    if let Some(warning) = answer.warning() {
        remark(warning);
    }
    remark(turn::summary(&model, answer.usage.as_ref(), cost));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_hold_text_is_remarked_on() {
        let of = |file: File| may_hold_text(&file.metadata().unwrap());
        let (reader, _writer) = std::io::pipe().unwrap();
        assert!(of(File::from(std::os::fd::OwnedFd::from(reader))), "a pipe");
        assert!(!of(File::open("/dev/null").unwrap()), "nothing");
        let mut file = tempfile::tempfile().unwrap();
        assert!(!of(file.try_clone().unwrap()), "an empty file");
        std::io::Write::write_all(&mut file, b"x").unwrap();
        assert!(of(file), "a file");
    }
}
