//! How hard to think: words on some wires, tokens on others. The one table between them.
//!
//! No vendor publishes a conversion. These budgets follow the order of magnitude of the vendors' own examples:
//! Anthropic takes no budget under 1,024 tokens, and names 32,000 as the point above which batch work is advised
//! (Anthropic, "Extended thinking").

/// The efforts, from the least to the most, each with the budget that stands for it.
const BUDGETS: [(&str, u64); 6] = [
    ("minimal", 1_024),
    ("low", 4_096),
    ("medium", 16_384),
    ("high", 32_768),
    ("xhigh", 49_152),
    ("max", 65_536),
];

/// The budget in tokens that stands for an effort. None for `none` and for words nobody knows.
pub(crate) fn budget_of_effort(effort: &str) -> Option<u64> {
    BUDGETS.iter().find(|(word, _)| *word == effort).map(|(_, budget)| *budget)
}

/// The effort that a budget in tokens comes nearest to without falling short of it.
pub(crate) fn effort_of_budget(budget: u64) -> &'static str {
    BUDGETS.iter().find(|(_, most)| budget <= *most).map_or("max", |(word, _)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_effort_comes_back_from_its_budget() {
        for (effort, budget) in BUDGETS {
            assert_eq!(effort_of_budget(budget), effort);
            assert_eq!(budget_of_effort(effort), Some(budget));
        }
        assert_eq!(effort_of_budget(0), "minimal");
        assert_eq!(effort_of_budget(1_025), "low");
        assert_eq!(effort_of_budget(1 << 40), "max");
        assert_eq!(budget_of_effort("none"), None);
    }
}
