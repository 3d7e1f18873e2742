//! What may be written where: SQL, providers, and what is not finished.

use super::Finding;
use super::rust::Source;
use super::tree::{Tree, is_test};

/// How a statement begins, and a word that must follow it for the text to be one.
const STATEMENTS: [(&str, &str); 11] = [
    ("select ", " from "),
    ("insert ", " into "),
    ("update ", " set "),
    ("delete from ", ""),
    ("create table ", ""),
    ("create index ", ""),
    ("create unique index ", ""),
    ("alter table ", ""),
    ("drop table ", ""),
    ("pragma ", ""),
    ("begin immediate ", ""),
];

/// Makes databases for tests and takes them away again; it knows nothing of what is in them.
const MAKES_DATABASES: &str = "crates/testkit/src/postgres.rs";

/// SQL is written in the store and nowhere else.
pub(super) fn sql(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.matching("", ".rs") {
        if path.starts_with("crates/store/") || path == MAKES_DATABASES || is_test(path) || is_of_tidy(path) {
            continue;
        }
        let source = Source::new(text);
        for (line, string) in &source.strings {
            if is_statement(string) && !source.in_tests(*line) {
                findings.push(Finding::fault(
                    format!("{path}:{line}"),
                    "SQL outside the store: give crates/store/src/repo a function for it, and call that",
                ));
            }
        }
    }
    for (path, _) in tree.matching("", ".sql") {
        if !path.starts_with("crates/store/migrations/") {
            findings.push(Finding::fault(path, "SQL outside the store: move it to crates/store/migrations"));
        }
    }
    findings
}

fn is_statement(text: &str) -> bool {
    let text = text.trim_start().to_lowercase();
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ") + " ";
    STATEMENTS.iter().any(|(start, word)| text.starts_with(start) && text.contains(word))
}

/// Where it may be asked which provider it is: the adapters, the declarations, and what reads the configuration.
const KNOW_PROVIDERS: [&str; 5] = [
    "crates/gateway/src/provider/",
    "crates/gateway/src/provider.rs",
    "crates/gateway/src/spec.rs",
    "crates/steelyard/src/config/",
    "crates/steelyard/src/config.rs",
];

/// A provider is asked for by name in its own room only; elsewhere its methods are called.
pub(super) fn providers(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.matching("crates/", ".rs") {
        if KNOW_PROVIDERS.iter().any(|place| path.starts_with(place)) || is_test(path) {
            continue;
        }
        let source = Source::new(text);
        for (number, line) in source.code_lines() {
            if source.in_tests(number) {
                break;
            }
            if names_variant(line, "Provider") || names_variant(line, "ProviderKind") {
                findings.push(Finding::fault(
                    format!("{path}:{number}"),
                    "asks which provider it is: give `Provider` a method in crates/gateway/src/provider, and call that",
                ));
            }
        }
    }
    findings
}

/// Whether a line holds `Name::Variant`.
fn names_variant(line: &str, name: &str) -> bool {
    let path = format!("{name}::");
    line.match_indices(&path).any(|(at, _)| {
        let starts = !line[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_');
        starts && line[at + path.len()..].starts_with(char::is_uppercase)
    })
}

/// Nothing is left for later in silence.
pub(super) fn unfinished(tree: &Tree) -> Vec<Finding> {
    const FORMS: [(&str, &str); 4] = [
        ("todo!", "write it, or return an error that says what is missing"),
        ("unimplemented!", "write it, or return an error that says what is missing"),
        ("dbg!", "take it out, or log with `tracing`"),
        ("#[ignore]", "say why: #[ignore = \"reason\"]"),
    ];
    let mut findings = Vec::new();
    for (path, text) in tree.matching("", ".rs") {
        for (number, line) in Source::new(text).code_lines() {
            for (form, remedy) in FORMS {
                if has_form(line, form) {
                    findings.push(Finding::fault(format!("{path}:{number}"), format!("`{form}`: {remedy}")));
                }
            }
        }
    }
    findings
}

fn has_form(line: &str, form: &str) -> bool {
    line.match_indices(form)
        .any(|(at, _)| !line[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_'))
}

/// The checks must name what they look for.
fn is_of_tidy(path: &str) -> bool {
    path.starts_with("xtask/src/tidy/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(findings: &[Finding]) -> Vec<&str> {
        findings.iter().map(|finding| finding.place.as_str()).collect()
    }

    #[test]
    fn sql_is_found_outside_the_store() {
        let statement = "fn f() {}\nconst A: &str = \"\n  SELECT a\n FROM b\";";
        let tree = Tree::of(&[
            ("crates/server/src/a.rs", statement),
            ("crates/store/src/a.rs", statement),
            ("crates/steelyard/tests/it/main.rs", statement),
            ("crates/server/src/b.rs", "#[cfg(test)]\nmod tests {\n const A: &str = \"DELETE FROM a\";\n}"),
            ("crates/server/src/c.rs", "// SELECT a FROM b\nlet a = \"select a route\";"),
            ("crates/server/src/d.sql", ""),
            ("crates/store/migrations/sqlite/0001_first.sql", ""),
        ]);
        assert_eq!(places(&sql(&tree)), ["crates/server/src/a.rs:2", "crates/server/src/d.sql"]);
    }

    #[test]
    fn statements_are_told_from_sentences() {
        for statement in
            ["SELECT 1 FROM a", "insert or ignore into a values (1)", "PRAGMA journal_mode", "drop table a"]
        {
            assert!(is_statement(statement), "{statement}");
        }
        for sentence in
            ["select one of them", "update the key", "create a key with a table of its own name", ""]
        {
            assert!(!is_statement(sentence), "{sentence}");
        }
    }

    #[test]
    fn providers_are_asked_for_in_their_room_only() {
        let code = "use x::Provider;\n// Provider::OpenAi\nmatch p { ProviderKind::Openai => 1, _ => Provider::build() }";
        let tree = Tree::of(&[
            ("crates/gateway/src/dispatch.rs", code),
            ("crates/gateway/src/provider/mod.rs", code),
            ("crates/gateway/src/spec.rs", code),
            ("crates/steelyard/src/config/detect.rs", code),
            (
                "crates/server/src/a.rs",
                "MyProvider::New; Provider::new();\n#[cfg(test)]\nmod tests { Provider::OpenAi }",
            ),
        ]);
        assert_eq!(places(&providers(&tree)), ["crates/gateway/src/dispatch.rs:3"]);
    }

    #[test]
    fn what_is_unfinished_is_found() {
        let tree = Tree::of(&[
            (
                "crates/a/src/a.rs",
                "todo!();\nlet a = \"todo!\"; // dbg!\n#[ignore]\n#[ignore = \"slow\"]\nmy_dbg!(1)",
            ),
            ("crates/a/src/b.rs", "fn f() { unimplemented!(\"x\") }"),
        ]);
        let found = unfinished(&tree);
        assert_eq!(places(&found), ["crates/a/src/a.rs:1", "crates/a/src/a.rs:3", "crates/a/src/b.rs:1"]);
        assert!(found[1].text.contains("reason"), "{}", found[1]);
    }
}
