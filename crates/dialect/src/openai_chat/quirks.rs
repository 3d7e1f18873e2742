//! What a generation of OpenAI's models takes. One table, by the model's name.
//!
//! OpenAI has no page with such a table. Sources are the vendor's own refusals (`unsupported_parameter`,
//! `unsupported_value`) as users reported them: of `stop` by o4-mini and the first GPT-5, of a temperature beside 1 by these and
//! by GPT-5.6, and that GPT-5.1 takes one while it does not reason. Rows of models in between, and `stop` on those that can be
//! told not to reason, go by their neighbours: reports differ. A model that nobody knows takes everything.

/// What a model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quirks {
    /// Texts that end the answer.
    pub(crate) stop: bool,
    /// An effort of reasoning.
    pub(crate) effort: bool,
    pub(crate) sampling: Sampling,
}

/// Whether a model takes `temperature`, `top_p` and the penalties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sampling {
    Always,
    /// While it does not reason, which it does not unless it is told to.
    UntilItReasons,
    /// If it is told not to reason.
    ToldNotToReason,
    Never,
}

impl Sampling {
    /// With the effort that the call comes to.
    pub(crate) fn is_taken(self, effort: Option<&str>) -> bool {
        match self {
            Self::Always => true,
            Self::UntilItReasons => matches!(effort, None | Some("none")),
            Self::ToldNotToReason => effort == Some("none"),
            Self::Never => false,
        }
    }
}

/// It does not reason.
const PLAIN: Quirks = Quirks { effort: false, ..Quirks::ANY };

impl Quirks {
    /// Takes all that the wire can say.
    pub(crate) const ANY: Self = Self { stop: true, effort: true, sampling: Sampling::Always };

    /// Of the model by that name. A model that was tuned bears the name of its base behind `ft:`.
    pub(crate) fn of(model: &str) -> Self {
        let name = model.strip_prefix("ft:").unwrap_or(model);
        let mut words = name.split(['-', ':']);
        let reasons = |sampling| Quirks { stop: false, effort: true, sampling };
        match words.next() {
            Some("o1" | "o3" | "o4") => return reasons(Sampling::Never),
            Some("chatgpt") => return PLAIN,
            Some("gpt") => {}
            _ => return Self::ANY,
        }
        let version = words.next().unwrap_or_default();
        if version == "4" || version == "4o" || version == "4.1" || version == "3.5" {
            return PLAIN;
        }
        let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
        let (Ok(major), Ok(minor)) = (major.parse::<u32>(), minor.parse::<u32>()) else { return Self::ANY };
        let is = |variant: &str| words.clone().any(|word| word == variant);
        match (major, minor) {
            (..5, _) => Self::ANY,
            _ if is("chat") => PLAIN,
            (5, 0) => reasons(Sampling::Never),
            _ if is("codex") || is("pro") => reasons(Sampling::Never),
            (5, 1..=4) => reasons(Sampling::UntilItReasons),
            _ => reasons(Sampling::ToldNotToReason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_generation_has_its_row() {
        let sampling = |model| Quirks::of(model).sampling;
        for model in ["o1", "o3", "o3-mini", "o4-mini-2025-04-16", "gpt-5", "gpt-5-mini", "gpt-5.2-codex"] {
            let never = Quirks { stop: false, effort: true, sampling: Sampling::Never };
            assert_eq!(Quirks::of(model), never, "{model}");
        }
        for model in [
            "gpt-4o",
            "gpt-4o-mini-2024-07-18",
            "ft:gpt-4.1-mini:org::id",
            "gpt-3.5-turbo",
            "gpt-5-chat-latest",
        ] {
            assert_eq!(Quirks::of(model), PLAIN, "{model}");
        }
        assert_eq!(sampling("gpt-5.1"), Sampling::UntilItReasons);
        assert_eq!(sampling("gpt-5.6-luna"), Sampling::ToldNotToReason);
        assert_eq!(sampling("gpt-6-sol"), Sampling::ToldNotToReason);
        for model in ["gpt-oss-120b", "my-deployment", "llama-4", "gpt", ""] {
            assert_eq!(Quirks::of(model), Quirks::ANY, "{model}");
        }
        assert!(Sampling::UntilItReasons.is_taken(None) && !Sampling::UntilItReasons.is_taken(Some("low")));
        assert!(
            Sampling::ToldNotToReason.is_taken(Some("none")) && !Sampling::ToldNotToReason.is_taken(None)
        );
    }
}
