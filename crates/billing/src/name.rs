//! The nearest names, for "unknown model, did you mean".

/// How alike two names must be to be worth a suggestion, from 0 (nothing in common) to 1 (equal).
const ALIKE: f64 = 0.75;

/// The names most like `wanted`, best first, at most `limit`; empty when nothing is near. Case does not matter.
pub fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>, limit: usize) -> Vec<String> {
    let wanted = wanted.to_lowercase();
    let mut scored: Vec<(f64, &str)> = names
        .map(|name| (likeness(&wanted, &name.to_lowercase()), name))
        .filter(|(score, _)| *score >= ALIKE)
        .collect();
    scored.sort_by(|one, other| other.0.total_cmp(&one.0).then_with(|| one.1.cmp(other.1)));
    scored.dedup_by(|one, other| one.1 == other.1);
    scored.into_iter().take(limit).map(|(_, name)| name.to_owned()).collect()
}

/// Spelling decides, but a name that lacks only its vendor, its version or its date is near as well.
fn likeness(wanted: &str, name: &str) -> f64 {
    let spelled = strsim::normalized_damerau_levenshtein(wanted, name);
    let bare = |text: &str| text.rsplit('/').next().map_or_else(String::new, str::to_owned);
    let bare_spelled = strsim::normalized_damerau_levenshtein(&bare(wanted), &bare(name));
    let contained = wanted.len() >= 4 && name.contains(wanted) || name.len() >= 4 && wanted.contains(name);
    let part = if contained { 0.8 } else { 0.0 };
    spelled.max(bare_spelled * 0.99).max(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 5] =
        ["openai/gpt-6-sol", "openai/gpt-6-luna", "anthropic/claude-sonnet-5-5", "smart", "openai/gpt-6-sol"];

    #[test]
    fn a_slip_finds_the_name_it_meant_once() {
        assert_eq!(nearest("gpt-6-sool", NAMES.into_iter(), 3)[0], "openai/gpt-6-sol");
        assert_eq!(nearest("GPT-6-SOL", NAMES.into_iter(), 1), ["openai/gpt-6-sol"]);
        assert_eq!(nearest("smrat", NAMES.into_iter(), 3), ["smart"]);
        assert_eq!(nearest("claude-sonnet", NAMES.into_iter(), 3), ["anthropic/claude-sonnet-5-5"]);
        let all = nearest("gpt-6-sol", NAMES.into_iter(), 9);
        assert_eq!(all.iter().filter(|name| *name == "openai/gpt-6-sol").count(), 1);
    }

    #[test]
    fn nothing_near_suggests_nothing() {
        assert!(nearest("llama-guard", NAMES.into_iter(), 3).is_empty());
        assert!(nearest("", NAMES.into_iter(), 3).is_empty());
        assert!(nearest("smart", NAMES.into_iter(), 0).is_empty());
    }
}
