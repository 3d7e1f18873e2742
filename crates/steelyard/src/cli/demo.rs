//! `steelyard demo`: the main job, from start to bill, on data that is thrown away.

use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};
use steelyard_dialect::chat::{Message, Part, Role};

use super::chat::turn::{self, Answer, Tokens};
use super::output::{Output, print, print_json, print_piece, rows};
use super::{ledger, usage};
use crate::client::Client;
use crate::config::{Config, Sources};
use crate::serve::{self, Running, ServeOptions};

const AFTER: &str = "\
Nothing is configured, no provider is called and nothing is left behind: the data directory is a temporary one, and \
every answer comes from the `sandbox` model, which is scripted and not a language model.";

/// What `demo` takes.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct DemoArgs {
    /// Leave the server running until Ctrl-C, to try the printed commands on it
    #[arg(long)]
    keep: bool,
    /// Address and port; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: String,
}

/// How long the ledger may take to show a call; it is at most one second behind.
const PATIENCE: Duration = Duration::from_secs(10);

/// Walks the main job.
pub(super) async fn run(args: DemoArgs, output: Output) -> anyhow::Result<()> {
    let filter = std::env::var("STEELYARD_LOG").unwrap_or_else(|_| "warn".to_owned());
    crate::telemetry::init(&filter, crate::config::LogFormat::Auto)?;
    let folder = tempfile::Builder::new()
        .prefix("steelyard-demo-")
        .tempdir()
        .context("a temporary folder cannot be made")?;
    // Neither file nor environment: the demo is the same for everyone, and calls nobody's account.
    let loaded = Config::load(&Sources { directory: folder.path().to_owned(), ..Sources::default() })?;
    let options = ServeOptions {
        loaded,
        data_dir: folder.path().join("data"),
        listen: args.listen.clone(),
        watch: None,
    };
    let running = serve::start(options).await?;
    let outcome = walk(&running, args.keep, Stage { output }).await;
    running.stop().await;
    folder.close().context("the temporary folder cannot be removed")?;
    outcome
}

/// Where the walk is shown: told to a person as it goes; to a program it is one document at the end.
#[derive(Debug, Clone, Copy)]
struct Stage {
    output: Output,
}

impl Stage {
    fn tell(self, text: impl std::fmt::Display) -> anyhow::Result<()> {
        if self.output == Output::Table { print(text) } else { Ok(()) }
    }

    fn tell_piece(self, text: &str) -> anyhow::Result<()> {
        if self.output == Output::Table { print_piece(text) } else { Ok(()) }
    }
}

async fn walk(running: &Running, keep: bool, stage: Stage) -> anyhow::Result<()> {
    let base = format!("http://{}", running.addr);
    let admin = Client::new(&base, &running.admin_key)?;
    stage.tell(format_args!("A server is running at {base}, on temporary data."))?;

    let key = admin.send(Method::POST, "/keys", &[], &json!({ "name": "demo" })).await?;
    let secret = key["secret"].as_str().context("the server made a key without a secret")?;
    let app = Client::new(&base, secret)?;
    stage.tell(format_args!("A key is made for an application: {secret}\n"))?;

    let calls = [whole(&app, stage).await?, streamed(&app, stage).await?, tool_call(&app, stage).await?];
    let (entries, usage) = bill(&admin, stage).await?;
    if stage.output == Output::Json {
        print_json(&json!({
            "url": base, "key": secret, "calls": calls, "entries": entries, "usage": usage,
        }))?;
    }
    if keep {
        stage.tell(next_steps(&base, secret))?;
        stage.tell("\nThe server keeps running until Ctrl-C.")?;
        tokio::signal::ctrl_c().await.context("Ctrl-C cannot be noticed")?;
        return Ok(());
    }
    stage.tell(
        "\nWhat to try next: start a server, make a key, and point any OpenAI client at it.\n\n  \
         steelyard serve\n  export STEELYARD_API_KEY=\"$(steelyard keys create my-app --quiet)\"",
    )?;
    stage.tell(next_steps("http://127.0.0.1:7300", "$STEELYARD_API_KEY"))?;
    stage.tell("\nOr leave this demo's server running, with its key filled in: steelyard demo --keep")
}

/// A whole answer.
async fn whole(app: &Client, stage: Stage) -> anyhow::Result<Value> {
    let prompt = "What are you?";
    stage.tell(format_args!("1. A whole answer\n   > {prompt}"))?;
    let body = json!({ "model": "sandbox", "messages": [{ "role": "user", "content": prompt }] });
    let (id, answer, cost) = call(app, &body).await?;
    let text = answer["choices"][0]["message"]["content"].as_str().unwrap_or_default();
    stage.tell(format_args!("   < {}", text.replace('\n', "\n     ")))?;
    let usage = &answer["usage"];
    stage.tell(format_args!(
        "     {} tokens in, {} out{cost}\n",
        usage["prompt_tokens"], usage["completion_tokens"]
    ))?;
    Ok(json!({ "request_id": id, "prompt": prompt, "text": text, "stream": false }))
}

/// A streamed answer, shown as it comes.
async fn streamed(app: &Client, stage: Stage) -> anyhow::Result<Value> {
    let prompt = "Say that again, piece by piece.";
    stage.tell(format_args!("2. A streamed answer\n   > {prompt}"))?;
    stage.tell_piece("   < ")?;
    let message = Message { role: Role::User, content: vec![Part::text(prompt)], ..Message::default() };
    let mut answer = Answer::default();
    let mut pieces = 0_u32;
    turn::ask(app, "sandbox", &[message], &mut answer, &mut |text| {
        pieces += 1;
        stage.tell_piece(&text.replace('\n', "\n     "))
    })
    .await?;
    let tokens = answer.usage.as_ref().map_or_else(String::new, |usage| format!("{}, ", Tokens(usage)));
    stage.tell(format_args!("\n     {tokens}in {pieces} pieces\n"))?;
    Ok(json!({
        "request_id": answer.request_id, "prompt": prompt, "text": answer.text, "stream": true, "pieces": pieces,
    }))
}

/// A call of a tool.
async fn tool_call(app: &Client, stage: Stage) -> anyhow::Result<Value> {
    let prompt = "Please call get_weather for Visby.";
    stage.tell(format_args!("3. A tool call\n   > {prompt}"))?;
    let body = json!({
        "model": "sandbox",
        "messages": [{ "role": "user", "content": prompt }],
        "tools": [{ "type": "function", "function": {
            "name": "get_weather",
            "description": "The weather in a city",
            "parameters": {
                "type": "object",
                "properties": { "city": { "type": "string" }, "unit": { "enum": ["celsius", "fahrenheit"] } },
                "required": ["city", "unit"],
            },
        } }],
    });
    let (id, answer, cost) = call(app, &body).await?;
    let calls = answer["choices"][0]["message"]["tool_calls"].as_array().map_or(&[][..], Vec::as_slice);
    if calls.is_empty() {
        bail!("the sandbox did not call the tool: {answer}");
    }
    for call in calls {
        let function = &call["function"];
        let text = |field: &str| function[field].as_str().unwrap_or_default().to_owned();
        stage.tell(format_args!("   < {}({}){cost}", text("name"), text("arguments")))?;
    }
    Ok(json!({ "request_id": id, "prompt": prompt, "tool_calls": calls, "stream": false }))
}

/// A call that is not streamed: its id, its answer, and what it cost; the first and the last come in headers.
async fn call(app: &Client, body: &Value) -> anyhow::Result<(String, Value, String)> {
    let response = app.open(app.request(Method::POST, "/v1/chat/completions").json(body)).await?;
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let id = header("x-steelyard-request-id").unwrap_or_default().to_owned();
    let cost = header("x-steelyard-cost-usd").map_or_else(String::new, |cost| format!(", ${cost}"));
    let answer = response.json().await.map_err(|error| app.broken(&error))?;
    Ok((id, answer, cost))
}

/// The ledger and what it adds up to.
async fn bill(admin: &Client, stage: Stage) -> anyhow::Result<(Value, Value)> {
    let end = tokio::time::Instant::now() + PATIENCE;
    let entries = loop {
        let entries = admin.get("/ledger/entries", &[]).await?;
        if rows(&entries).len() >= 3 {
            break entries;
        }
        if tokio::time::Instant::now() > end {
            bail!("the ledger does not show the three calls after {PATIENCE:?}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    stage.tell("\nThe ledger (steelyard ledger)\n")?;
    stage.tell(ledger::table(rows(&entries)))?;
    let by = ["model".to_owned()];
    let sums = admin.get("/usage", &[("by", by.join(","))]).await?;
    stage.tell("\nThe bill (steelyard usage --by model); the sandbox's price is nominal\n")?;
    stage.tell(usage::bill(&sums, &by))?;
    Ok((entries["data"].clone(), sums))
}

/// What works as printed once the key is set.
pub(crate) fn next_steps(base: &str, secret: &str) -> String {
    let in_python = match secret.strip_prefix('$') {
        Some(variable) => format!("os.environ[\"{variable}\"]"),
        None => format!("\"{secret}\""),
    };
    let import = if secret.starts_with('$') { "import os\n  " } else { "" };
    format!(
        "
With curl:

  curl {base}/v1/chat/completions \\
    -H \"Authorization: Bearer {secret}\" -H \"Content-Type: application/json\" \\
    -d '{{\"model\": \"sandbox\", \"messages\": [{{\"role\": \"user\", \"content\": \"hello\"}}]}}'

With the OpenAI SDK for Python (pip install openai):

  {import}from openai import OpenAI
  client = OpenAI(base_url=\"{base}/v1\", api_key={in_python})
  answer = client.chat.completions.create(model=\"sandbox\", messages=[{{\"role\": \"user\", \"content\": \"hello\"}}])
  print(answer.choices[0].message.content)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_steps_have_the_key_filled_in() {
        let steps = next_steps("http://127.0.0.1:4711", "sk-sy-1");
        assert!(
            steps.contains("Bearer sk-sy-1\"")
                && steps.contains("api_key=\"sk-sy-1\")")
                && !steps.contains("import os")
        );
        let steps = next_steps("http://127.0.0.1:7300", "$STEELYARD_API_KEY");
        assert!(
            steps.contains("api_key=os.environ[\"STEELYARD_API_KEY\"])")
                && steps.contains("import os\n  from")
        );
    }
}
