//! Runs every target without a fuzzer: the golden fixtures as they are, then cut short, spliced and with changed bytes, for
//! so many seconds each, or so many times. `cargo run --release --no-default-features --bin plain -- SECONDS|TIMESx [SEED]`
//!
//! No coverage guides it, so it finds less than a fuzzer does; it runs where none can.

use std::path::Path;
use std::time::{Duration, Instant};
use std::{env, fs};

type Target = (&'static str, fn(&[u8]), &'static [&'static str]);

const TARGETS: [Target; 11] = [
    ("peek", steelyard_fuzz::peek, &["openai_chat/requests", "openai_chat/replies"]),
    ("sse", steelyard_fuzz::sse, &["openai_chat/streams"]),
    (
        "responses_request",
        steelyard_fuzz::responses_request,
        &["openai_responses/requests", "openai_responses/replies"],
    ),
    ("responses_stream", steelyard_fuzz::responses_stream, &["openai_responses/streams"]),
    ("anthropic_request", steelyard_fuzz::anthropic_request, &["anthropic/requests", "anthropic/replies"]),
    ("anthropic_stream", steelyard_fuzz::anthropic_stream, &["anthropic/streams"]),
    ("converse", steelyard_fuzz::converse, &["bedrock/requests", "bedrock/replies"]),
    ("gemini_request", steelyard_fuzz::gemini_request, &["gemini/requests", "gemini/replies"]),
    ("gemini_stream", steelyard_fuzz::gemini_stream, &["gemini/streams"]),
    ("event_stream", steelyard_fuzz::event_stream, &["bedrock/streams"]),
    ("sigv4", steelyard_fuzz::sigv4, &["sigv4"]),
];

/// Numbers that look random (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides.max(1) as u64).unwrap_or_default()
    }
}

/// Bytes that mean something to the readers.
const WORDS: [&[u8]; 16] = [
    b"{", b"}", b"[", b"]", b"\"", b",", b":", b"null", b"0", b"-1", b"1e99", b"\n\n", b"\r", b"data: ",
    b"\\ud800", b"\xff",
];

fn mutated(dice: &mut Dice, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut body = seeds[dice.roll(seeds.len())].clone();
    for _ in 0..=dice.roll(4) {
        let at = dice.roll(body.len() + 1);
        match dice.roll(6) {
            0 => body.truncate(at),
            1 if at < body.len() => body[at] = u8::try_from(dice.roll(256)).unwrap_or_default(),
            2 => {
                let word = WORDS[dice.roll(WORDS.len())];
                body.splice(at..at, word.iter().copied());
            }
            3 => {
                let to = (at + dice.roll(32)).min(body.len());
                body.drain(at..to);
            }
            4 => {
                // A piece of another fixture.
                let other = &seeds[dice.roll(seeds.len())];
                let from = dice.roll(other.len() + 1);
                let to = (from + dice.roll(200)).min(other.len());
                body.splice(at..at, other[from..to].iter().copied());
            }
            _ => {
                // A piece twice.
                let to = (at + dice.roll(64)).min(body.len());
                let piece = body[at..to].to_vec();
                body.splice(at..at, piece);
            }
        }
    }
    body
}

fn seeds(folders: &[&str]) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/dialect/fixtures");
    let mut seeds = vec![Vec::new()];
    for folder in folders {
        for entry in fs::read_dir(root.join(folder)).expect("the fixtures are there") {
            let path = entry.expect("a folder can be read").path();
            if path.is_file() {
                seeds.push(fs::read(path).expect("a fixture can be read"));
            }
        }
    }
    seeds
}

fn main() {
    let mut arguments = env::args().skip(1);
    let asked = arguments.next().unwrap_or_else(|| "10".to_owned());
    let times: Option<usize> = asked.strip_suffix('x').map(|times| times.parse().expect("so many times"));
    let seconds = if times.is_some() { 0 } else { asked.parse().expect("so many seconds") };
    let seed = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(0x5EED);
    for (name, target, folders) in TARGETS {
        let seeds = seeds(folders);
        let mut dice = Dice(seed);
        let until = Instant::now() + Duration::from_secs(seconds);
        let mut runs = 0;
        while runs < seeds.len() + times.unwrap_or(0) || Instant::now() < until {
            let body = seeds.get(runs).cloned().unwrap_or_else(|| mutated(&mut dice, &seeds));
            let survived = std::panic::catch_unwind(|| target(&body));
            if survived.is_err() {
                let path = env::temp_dir().join(format!("steelyard-{name}.bin"));
                fs::write(&path, &body).expect("the find can be written");
                eprintln!("{name}: after {runs} runs: {}", path.display());
                std::process::exit(1);
            }
            runs += 1;
        }
        println!("{name}: {runs} runs, {} seeds, nothing found", seeds.len());
    }
}
