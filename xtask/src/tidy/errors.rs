//! Every error code has a page, and every page a code.

use super::Finding;
use super::tree::Tree;

const FOLDER: &str = "docs/errors/";
const INDEX: &str = "docs/errors/README.md";

/// Sections of a page, in order.
const SECTIONS: [&str; 3] = ["## What you see", "## Why", "## What to do"];

/// `codes` are the codes with their slugs.
pub(super) fn pages(tree: &Tree, codes: &[(&str, &str)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let index = tree.text(INDEX).unwrap_or_default();
    for (code, slug) in codes {
        let path = format!("{FOLDER}{code}.md");
        let Some(text) = tree.text(&path) else {
            let text = "is missing: write it as docs/adding-an-error.md says";
            findings.push(Finding::fault(path, text));
            continue;
        };
        let title = text.lines().next().unwrap_or_default();
        if !title.starts_with(&format!("# {code} `{slug}`")) {
            findings.push(Finding::fault(
                format!("{path}:1"),
                format!("its title must begin with # {code} `{slug}`"),
            ));
        }
        let quoted = format!("\"code\": \"{code}\"");
        if !text.contains(&quoted) {
            findings.push(Finding::fault(path.as_str(), format!("its example body must hold {quoted}")));
        }
        for section in SECTIONS.iter().filter(|section| !text.lines().any(|line| line == **section)) {
            findings.push(Finding::fault(path.as_str(), format!("has no section `{section}`")));
        }
        if !index.contains(&format!("({code}.md)")) {
            findings.push(Finding::fault(INDEX, format!("does not list {code}: add its line")));
        }
    }
    for (path, _) in tree.matching(FOLDER, ".md").filter(|(path, _)| *path != INDEX) {
        let name = path.trim_start_matches(FOLDER).trim_end_matches(".md");
        if !codes.iter().any(|(code, _)| *code == name) {
            let text = "no such code in crates/core/src/error.rs: add the code, or take the page out";
            findings.push(Finding::fault(path, text));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODES: [(&str, &str); 1] = [("SY0001", "invalid_json")];
    const PAGE: &str = "# SY0001 `invalid_json`: the body is not JSON\n\n## What you see\n\
        {\"code\": \"invalid_json\", \"steelyard\": {\"code\": \"SY0001\"}}\n## Why\n## What to do\n";
    const LIST: &str = "[SY0001](SY0001.md)";

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        pages(&Tree::of(files), &CODES).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn codes_and_pages_belong_together() {
        assert!(found(&[("docs/errors/SY0001.md", PAGE), (INDEX, LIST)]).is_empty());
        assert!(found(&[(INDEX, LIST)])[0].starts_with("docs/errors/SY0001.md: is missing"));
        let found = found(&[("docs/errors/SY0001.md", PAGE), ("docs/errors/SY0002.md", PAGE), (INDEX, LIST)]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("docs/errors/SY0002.md: no such code"), "{found:?}");
    }

    #[test]
    fn a_page_names_its_code_shows_it_and_is_listed() {
        let wrong = PAGE
            .replace("invalid_json`", "bad_json`")
            .replace("\"SY0001\"", "\"SY1\"")
            .replace("## Why", "## Because");
        let found = found(&[("docs/errors/SY0001.md", &wrong), (INDEX, "")]);
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found[0].contains("title") && found[1].contains("example") && found[2].contains("`## Why`"));
        assert!(found[3].contains("does not list SY0001"), "{found:?}");
    }
}
