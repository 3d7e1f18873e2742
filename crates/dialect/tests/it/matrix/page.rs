//! `docs/fidelity.md`: the matrix, written down.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};
use steelyard_dialect::{Dialect, LossKind, Target};

use super::answers::{self, Answers};
use super::requests::{self, cell};
use super::rows::{Requests, outside};
use super::{WIRES, Wire, pairs};

const INTRODUCTION: &str = include_str!("introduction.txt");

/// What a person calls a wire.
fn title(dialect: Dialect) -> &'static str {
    match dialect.name() {
        "openai_chat" => "OpenAI Chat Completions",
        "openai_responses" => "OpenAI Responses",
        "anthropic_messages" => "Anthropic Messages",
        "bedrock_converse" => "Bedrock Converse",
        "gemini_generate" => "Gemini generateContent",
        other => panic!("{other} has no title yet"),
    }
}

fn page() -> String {
    let mut page = INTRODUCTION.replace("{efforts}", &efforts());
    page.push_str("\n# Requests\n");
    for (client, vendor) in pairs() {
        let wires: Vec<&Wire> = WIRES.iter().filter(|wire| wire.dialect == vendor).collect();
        let head = "| field | what becomes of it |\n|---|---|\n";
        write!(page, "\n## From {} to {}\n\n{head}", title(client), title(vendor)).unwrap();
        let all = Requests::of(client);
        for row in &all.rows {
            // Models of which the same is true stand together.
            let mut fates: Vec<(String, Vec<&str>)> = Vec::new();
            for wire in &wires {
                let cell =
                    cell(client, &all, row, wire).unwrap_or_else(|error| panic!("{}: {error}", row.field));
                let fate = of_request(&cell);
                match fates.iter_mut().find(|(known, _)| *known == fate) {
                    Some((_, titles)) => titles.push(wire.title),
                    None => fates.push((fate, vec![wire.title])),
                }
            }
            let told = match fates.as_slice() {
                [(fate, _)] => fate.clone(),
                fates => {
                    let each = fates.iter().map(|(fate, titles)| format!("{}: {fate}", titles.join(", ")));
                    each.collect::<Vec<_>>().join("<br>")
                }
            };
            writeln!(page, "| {} | {told} |", row.field).unwrap();
        }
    }
    page.push_str(concat!(
        "\n# Answers\n\nAn answer comes when the money is spent, so nothing of it is refused: what the client's wire has ",
        "no word for is left out, and is listed here. The ledger's entry has all usage figures, whichever wire the ",
        "client speaks.\n",
    ));
    for (client, vendor) in pairs() {
        write!(
            page,
            "\n## Answers from {} to clients of {}\n\n| field | whole | streamed |\n|---|---|---|\n",
            title(vendor),
            title(client)
        )
        .unwrap();
        let all = Answers::of(vendor);
        for row in &all.rows {
            let (whole, streamed) = answers::fates(vendor, client, &all, row)
                .unwrap_or_else(|error| panic!("{}: {error}", row.field));
            let streamed = streamed.as_ref().map_or_else(|| "not streamed".to_owned(), of_answer);
            writeln!(page, "| {} | {} | {streamed} |", row.field, of_answer(&whole)).unwrap();
        }
    }
    page
}

fn of_request(cell: &requests::Cell) -> String {
    let mut places: Vec<String> = cell.places.iter().take(3).map(|place| format!("`{place}`")).collect();
    if cell.places.len() > places.len() {
        places.push("…".to_owned());
    }
    let places = if places.is_empty() { String::new() } else { format!(": {}", places.join(", ")) };
    match &cell.fate {
        requests::Fate::Kept => format!("**kept**{places}"),
        requests::Fate::Mapped(how) => format!("**mapped**: {how}"),
        requests::Fate::Lost(LossKind::Emulated, why) => format!("*emulated*: {why}"),
        requests::Fate::Lost(LossKind::Dropped, why) => format!("*dropped*: {why}"),
        requests::Fate::Lost(LossKind::Refused, why) => format!("*refused*: {why}"),
    }
}

fn of_answer(fate: &answers::Fate) -> String {
    match fate {
        answers::Fate::Kept => "**kept**".to_owned(),
        answers::Fate::Mapped(how) => format!("**mapped**: {how}"),
        answers::Fate::Lost(why) => format!("*lost*: {why}"),
    }
}

/// A member of what a request of Chat Completions or of Messages becomes on another wire.
fn becomes(client: Dialect, body: &Value, vendor: Dialect, model: &str, place: &str) -> Value {
    let request = client.decode_request(body.to_string().as_bytes(), &outside(client, false)).unwrap();
    let target = Target { model, max_output: None, compatible: false };
    let (sent, _) = vendor.encode_request(&request, &target);
    serde_json::from_slice::<Value>(&sent).unwrap().pointer(place).cloned().unwrap_or_default()
}

/// The table between efforts and budgets, read from what the encoders do.
fn efforts() -> String {
    let mut table = "| effort | budget it becomes | budgets that become it |\n|---|---|---|\n".to_owned();
    let messages = json!([{"role": "user", "content": "Where is Kiel?"}]);
    let mut least = 1;
    for effort in ["minimal", "low", "medium", "high", "xhigh", "max"] {
        let body = json!({"model": "m", "messages": messages, "reasoning_effort": effort});
        let place = "/thinking/budget_tokens";
        let budget =
            becomes(Dialect::OpenAiChat, &body, Dialect::AnthropicMessages, "claude-sonnet-4-5", place);
        let budget = budget.as_u64().unwrap();
        for budget in [least.max(1_024), budget] {
            let thinking = json!({"type": "enabled", "budget_tokens": budget});
            let body =
                json!({"model": "m", "max_tokens": 90_000, "messages": messages, "thinking": thinking});
            let word = becomes(
                Dialect::AnthropicMessages,
                &body,
                Dialect::OpenAiChat,
                "gpt-6-sol",
                "/reasoning_effort",
            );
            // Chat Completions has no stronger word than xhigh.
            let strongest = if effort == "max" { "xhigh" } else { effort };
            assert_eq!(word, strongest, "{budget} tokens");
        }
        let range = if effort == "max" { format!("from {least}") } else { format!("{least} to {budget}") };
        writeln!(table, "| `{effort}` | {budget} | {range} |").unwrap();
        least = budget + 1;
    }
    table
}

#[test]
fn the_page_is_the_matrix() {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "..", "docs", "fidelity.md"].iter().collect();
    let page = page();
    if std::env::var_os("INSTA_UPDATE").is_some_and(|mode| mode == "always") {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/fidelity.md differs from the matrix: run `cargo xtask golden -p steelyard-dialect`"
    );
}
