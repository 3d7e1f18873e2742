//! What stands beside the content of an answer: its sources, the probabilities of its tokens.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::chat::{Citation, CitationPlace, Logprobs, TokenLogprob, TopLogprob};
use crate::json::Object;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sources {
    /// The Gemini API's name.
    #[serde(default)]
    citation_sources: Vec<Source>,
    /// Vertex AI's.
    #[serde(default)]
    citations: Vec<Source>,
}

#[derive(Deserialize)]
struct Source {
    #[serde(default)]
    uri: Option<String>,
    #[serde(default)]
    title: Option<String>,
}

/// The pages that an answer cites (`citationMetadata`). Sources without an address, such as code with a licence, have no
/// name elsewhere.
pub(crate) fn citations(raw: &RawValue) -> Vec<Citation> {
    let Ok(sources) = serde_json::from_str::<Sources>(raw.get()) else { return Vec::new() };
    let all = sources.citation_sources.into_iter().chain(sources.citations);
    all.filter_map(|source| {
        let place = CitationPlace::Web { url: source.uri?, encrypted_index: None };
        Some(Citation { title: source.title, cited_text: None, place })
    })
    .collect()
}

/// A page that is cited, and the bytes of the answer that cite it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cited {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) url: String,
    pub(crate) title: Option<String>,
}

impl Cited {
    /// None for what is no page: the wire has no word for other sources.
    pub(crate) fn of(citation: &Citation, start: usize, end: usize) -> Option<Self> {
        let CitationPlace::Web { url, .. } = &citation.place else { return None };
        Some(Self { start, end, url: url.clone(), title: citation.title.clone() })
    }
}

pub(crate) fn write_citations(candidate: &mut Object<'_>, cited: &[Cited]) {
    if cited.is_empty() {
        return;
    }
    candidate.object("citationMetadata", |metadata| {
        metadata.objects("citationSources", cited, |source, cited| {
            source.field("startIndex", &cited.start);
            source.field("endIndex", &cited.end);
            source.field("uri", &cited.url);
            source.opt("title", cited.title.as_ref());
        });
    });
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
struct Result {
    top_candidates: Vec<Top>,
    chosen_candidates: Vec<Token>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct Top {
    candidates: Vec<Token>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
struct Token {
    token: String,
    log_probability: f64,
}

/// The probabilities of an answer's tokens (`logprobsResult`).
pub(crate) fn logprobs(raw: &RawValue) -> Option<Logprobs> {
    let result: Result = serde_json::from_str(raw.get()).ok()?;
    let mut tops = result.top_candidates.into_iter();
    let content = result.chosen_candidates.into_iter().map(|chosen| TokenLogprob {
        token: chosen.token,
        logprob: chosen.log_probability,
        bytes: None,
        top_logprobs: tops
            .next()
            .unwrap_or_default()
            .candidates
            .into_iter()
            .map(|other| TopLogprob { token: other.token, logprob: other.log_probability, bytes: None })
            .collect(),
    });
    Some(Logprobs { content: Some(content.collect()), refusal: None })
}

pub(crate) fn write_logprobs(candidate: &mut Object<'_>, logprobs: &Logprobs) {
    let tokens = logprobs.content.as_deref().unwrap_or_default();
    let result = Result {
        top_candidates: tokens
            .iter()
            .map(|token| Top {
                candidates: token
                    .top_logprobs
                    .iter()
                    .map(|other| Token { token: other.token.clone(), log_probability: other.logprob })
                    .collect(),
            })
            .collect(),
        chosen_candidates: tokens
            .iter()
            .map(|token| Token { token: token.token.clone(), log_probability: token.logprob })
            .collect(),
    };
    candidate.field("logprobsResult", &result);
}
