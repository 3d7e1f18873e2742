//! What a generation of Claude takes. One table, by the model's name.
//!
//! Sources: Anthropic's model and migration pages ("Adaptive thinking", "Effort", "Structured outputs", the guides for
//! Claude Opus 4.1, 4.6 and 4.7), and Amazon Bedrock's page "Adaptive thinking". A name without a known generation is
//! taken for the newest if it is Claude's, and for a model that takes everything if it is not.

/// What a model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "a row of a table")]
pub(crate) struct Quirks {
    /// `temperature`, `top_p`, `top_k`.
    pub(crate) sampling: bool,
    /// `temperature` and `top_p` in one request.
    pub(crate) both_samplings: bool,
    /// Thinking of any kind.
    pub(crate) thinking: bool,
    /// Thinking with a budget of tokens.
    pub(crate) budgets: bool,
    /// Thinking as the model sees fit.
    pub(crate) adaptive: bool,
    /// Thinking that is switched off.
    pub(crate) disabled: bool,
    /// The efforts it knows, from the least to the most.
    pub(crate) efforts: &'static [&'static str],
    /// An answer, or a tool's input, held to a JSON schema.
    pub(crate) formats: bool,
    /// A conversation that ends with words of the assistant, which the answer continues.
    pub(crate) prefill: bool,
}

const THREE: &[&str] = &["low", "medium", "high"];
const FOUR: &[&str] = &["low", "medium", "high", "max"];
const FIVE: &[&str] = &["low", "medium", "high", "xhigh", "max"];

/// Takes all that the wire can say.
const ANY: Quirks = Quirks {
    sampling: true,
    both_samplings: true,
    thinking: true,
    budgets: true,
    adaptive: true,
    disabled: true,
    efforts: FIVE,
    formats: true,
    prefill: true,
};

impl Quirks {
    /// Of the model by that name, in any vendor's spelling (`claude-opus-4-7`, `us.anthropic.claude-sonnet-4-5-20250929-v1:0`).
    pub(crate) fn of(model: &str) -> Self {
        let Some(generation) = Generation::of(model) else { return ANY };
        let Generation { version, opus, always_thinks } = generation;
        let newest = version >= (4, 7);
        Self {
            sampling: !newest,
            both_samplings: version < (4, 1),
            thinking: version >= (3, 7),
            budgets: version >= (3, 7) && !newest,
            adaptive: version >= (4, 6),
            disabled: version >= (3, 7) && !always_thinks,
            efforts: match version {
                _ if newest => FIVE,
                (4, 6) => FOUR,
                (4, 5) if opus => THREE,
                _ => &[],
            },
            formats: version >= (4, 5) || (opus && version == (4, 1)),
            prefill: version < (4, 6),
        }
    }
}

/// Where a model stands among Claude's.
struct Generation {
    version: (u32, u32),
    opus: bool,
    /// Fable and Mythos think whether they are asked to or not.
    always_thinks: bool,
}

impl Generation {
    /// None if it is no Claude.
    fn of(model: &str) -> Option<Self> {
        let model = model.to_ascii_lowercase();
        let name = &model[model.find("claude")?..];
        let words: Vec<&str> = name.split(|letter: char| !letter.is_ascii_alphanumeric()).collect();
        // A date is a number as well, but a longer one.
        let number = |word: &&str| word.parse::<u32>().ok().filter(|_| word.len() <= 2);
        let first = words.iter().position(|word| number(word).is_some());
        let version = match first {
            None => (u32::MAX, 0),
            Some(at) => {
                let minor = words.get(at + 1).and_then(number);
                (number(&words[at]).unwrap_or_default(), minor.unwrap_or_default())
            }
        };
        let is = |family: &str| words.contains(&family);
        Some(Self { version, opus: is("opus"), always_thinks: is("fable") || is("mythos") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_is_read_from_any_spelling() {
        let version = |model| Generation::of(model).unwrap().version;
        assert_eq!(version("claude-3-opus-20240229"), (3, 0));
        assert_eq!(version("claude-3-7-sonnet-20250219"), (3, 7));
        assert_eq!(version("claude-sonnet-4-20250514"), (4, 0));
        assert_eq!(version("claude-sonnet-4@20250514"), (4, 0));
        assert_eq!(version("claude-haiku-4-5"), (4, 5));
        assert_eq!(version("us.anthropic.claude-sonnet-4-5-20250929-v1:0"), (4, 5));
        assert_eq!(version("anthropic.claude-opus-5-v1:0"), (5, 0));
        assert_eq!(version("anthropic/Claude-Fable-5.2"), (5, 2));
        assert!(version("claude-mythos-preview") > (99, 0));
        assert!(Generation::of("kimi-k3").is_none());
    }

    #[test]
    fn each_generation_has_its_row() {
        let old = Quirks::of("claude-3-5-haiku-20241022");
        assert!(old.prefill);
        assert!(
            old.sampling && old.both_samplings && !old.thinking && !old.formats && old.efforts.is_empty()
        );
        let budget = Quirks::of("claude-sonnet-4-5");
        assert!(budget.sampling && !budget.both_samplings && budget.budgets && !budget.adaptive);
        assert!(budget.formats && budget.efforts.is_empty());
        assert_eq!(Quirks::of("claude-opus-4-5").efforts, THREE);
        let both = Quirks::of("claude-opus-4-6");
        assert!(both.budgets && both.adaptive && both.sampling && both.efforts == FOUR);
        let newest = Quirks::of("claude-sonnet-5-5");
        assert!(!newest.prefill && !newest.sampling && !newest.budgets && newest.adaptive && newest.disabled);
        assert!(!Quirks::of("claude-fable-5-2").disabled);
        assert_eq!(Quirks::of("glm-5"), ANY);
    }
}
