//! What a generation of Gemini takes (Google, "Gemini thinking": the table of budgets and that of levels; "Thought
//! signatures", "Structured output", "Function calling"). A model that nobody knows is taken for one of the newest.

/// What a model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quirks {
    pub(crate) thinking: Thinks,
    /// The first call of a turn must come back with the proof of what was thought before it.
    pub(crate) signatures: bool,
    /// It can be held to a form of answer while it has tools.
    pub(crate) form_beside_tools: bool,
    /// Results of tools may hold media.
    pub(crate) media_in_results: bool,
}

/// How a model is told how hard to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thinks {
    /// Not at all: it does not think, or not to order.
    Not,
    /// In tokens, between two bounds. `off`: none at all is possible, too.
    Tokens { least: u64, most: u64, off: bool },
    /// In levels, from the least to the most.
    Levels(&'static [&'static str]),
}

const FLASH: &[&str] = &["minimal", "low", "medium", "high"];
const PRO: &[&str] = &["low", "medium", "high"];
/// The first of its generation.
const PRO_3: &[&str] = &["low", "high"];

impl Quirks {
    pub(crate) fn of(model: &str) -> Self {
        let model = model.rsplit('/').next().unwrap_or_default();
        let is = |prefix: &str| model.starts_with(prefix);
        let newest = Self {
            thinking: Thinks::Levels(if model.contains("flash") { FLASH } else { PRO }),
            signatures: true,
            form_beside_tools: true,
            media_in_results: true,
        };
        let before_3 = |thinking| Self {
            thinking,
            signatures: false,
            form_beside_tools: false,
            media_in_results: false,
        };
        let tokens = |least, most, off| Thinks::Tokens { least, most, off };
        if is("gemini-2.5") {
            return before_3(match model {
                name if name.contains("-image") || name.contains("-tts") => Thinks::Not,
                name if name.contains("-pro") => tokens(128, 32_768, false),
                name if name.contains("-lite") => tokens(512, 24_576, true),
                _ => tokens(1, 24_576, true),
            });
        }
        if is("gemini-1") || is("gemini-2.0") || is("gemma") || is("learnlm") {
            return before_3(Thinks::Not);
        }
        if is("gemini-3-pro") {
            return Self { thinking: Thinks::Levels(PRO_3), ..newest };
        }
        newest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_is_known_by_its_name() {
        let thinks = |model: &str| Quirks::of(model).thinking;
        assert_eq!(thinks("gemini-2.0-flash"), Thinks::Not);
        assert_eq!(thinks("models/gemini-2.5-pro"), Thinks::Tokens { least: 128, most: 32_768, off: false });
        assert_eq!(thinks("gemini-2.5-flash-image"), Thinks::Not);
        assert_eq!(thinks("gemini-3-pro-preview"), Thinks::Levels(PRO_3));
        assert_eq!(thinks("gemini-3.1-pro-preview"), Thinks::Levels(PRO));
        assert_eq!(thinks("gemini-3.8-flash"), Thinks::Levels(FLASH));
        assert_eq!(thinks("gemini-4-argon"), Thinks::Levels(PRO));
        assert!(Quirks::of("gemini-4-argon").signatures && !Quirks::of("gemini-2.5-pro").signatures);
    }
}
