//! Rust source told apart into code, comments and strings: enough of a lexer for the checks, and no more.

/// A source file. `code` and `comments` are as long as the source, with spaces where the other stands, so that
/// a place in one is the same place in the other.
#[derive(Debug)]
pub(super) struct Source {
    /// Without comments, strings and characters.
    pub(super) code: String,
    /// Comments alone.
    pub(super) comments: String,
    /// What strings hold, with the line they begin on.
    pub(super) strings: Vec<(usize, String)>,
    /// The line on which inline tests begin.
    tests_from: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    String,
    Character,
}

impl Source {
    pub(super) fn new(text: &str) -> Self {
        let (mut code, mut comments) = (String::with_capacity(text.len()), String::with_capacity(text.len()));
        let mut strings = Vec::new();
        let mut line = 1;
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            let (kind, length) = piece(rest);
            let piece = &rest[..length];
            blank_unless(&mut code, piece, kind == Kind::Code);
            blank_unless(&mut comments, piece, kind == Kind::Comment);
            if kind == Kind::String {
                strings.push((line, inside(piece).to_owned()));
            }
            line += piece.matches('\n').count();
            at += length;
        }
        let tests_from = inline_tests(&code);
        Self { code, comments, strings, tests_from }
    }

    /// How many lines the file has without its inline tests.
    pub(super) fn length(&self) -> usize {
        self.tests_from.map_or_else(|| self.code.lines().count(), |line| line - 1)
    }

    /// Lines of code, numbered.
    pub(super) fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// Whether a line belongs to the inline tests, which come last in a file.
    pub(super) fn in_tests(&self, line: usize) -> bool {
        self.tests_from.is_some_and(|first| line >= first)
    }
}

/// Kind and length of what comes next; at least one character.
fn piece(rest: &str) -> (Kind, usize) {
    if rest.starts_with("//") {
        return (Kind::Comment, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (Kind::Comment, block_comment(rest));
    }
    if rest.starts_with('"') {
        return (Kind::String, quoted(rest, '"'));
    }
    if let Some(length) = raw_string(rest) {
        return (Kind::String, length);
    }
    if let Some(inner) = rest.strip_prefix('\'') {
        let mut inner = inner.chars();
        let (one, two) = (inner.next(), inner.next());
        // `'a'` and `'\n'` are characters, `'a` is a lifetime.
        if one == Some('\\') || two == Some('\'') {
            return (Kind::Character, quoted(rest, '\''));
        }
    }
    // Words are taken whole, so that the end of one is not the beginning of a string.
    let word = rest.find(|character| !is_word(character)).unwrap_or(rest.len());
    let one = rest.chars().next().map_or(1, char::len_utf8);
    (Kind::Code, word.max(one))
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Comments nest.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        let here = &rest[at..];
        if here.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += here.chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return at + quote.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// `r"…"`, `r#"…"#`, `br"…"`, `cr"…"`.
fn raw_string(rest: &str) -> Option<usize> {
    let raw = ["r", "br", "cr"].iter().find_map(|prefix| rest.strip_prefix(prefix))?;
    let hashes = raw.len() - raw.trim_start_matches('#').len();
    let body = raw[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let opening = rest.len() - body.len();
    Some(body.find(&end).map_or(rest.len(), |at| opening + at + end.len()))
}

/// What stands between a string's first and last quote.
fn inside(string: &str) -> &str {
    let body = string.split_once('"').map_or(string, |(_, body)| body);
    body.rsplit_once('"').map_or(body, |(body, _)| body)
}

fn blank_unless(out: &mut String, piece: &str, keep: bool) {
    if keep {
        out.push_str(piece);
    } else {
        out.extend(piece.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
    }
}

/// The line of `#[cfg(test)]` before `mod … {`.
fn inline_tests(code: &str) -> Option<usize> {
    code.match_indices("#[cfg(test)]").find_map(|(at, attribute)| {
        let after = code[at + attribute.len()..].trim_start();
        let body = after.strip_prefix("mod ")?;
        let (brace, end) = (body.find('{')?, body.find(';').unwrap_or(usize::MAX));
        (brace < end).then(|| code[..at].matches('\n').count() + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_comments_and_strings_are_told_apart() {
        let source = Source::new(
            "let a = \"crab // y\\\" z\"; // c \"q\"\nlet b = r#\"raw \" one\"#; /* d /* e */ f */ 'g'; <'h>\nlet bar = b\"i\";",
        );
        let code: Vec<&str> = source.code.split_whitespace().collect();
        let expected = ["let", "a", "=", ";", "let", "b", "=", ";", ";", "<'h>", "let", "bar", "=", "b", ";"];
        assert_eq!(code, expected);
        assert_eq!(
            source.comments.split_whitespace().collect::<Vec<_>>().join(" "),
            "// c \"q\" /* d /* e */ f */"
        );
        let strings =
            [(1, "crab // y\\\" z"), (2, "raw \" one"), (3, "i")].map(|(line, text)| (line, text.to_owned()));
        assert_eq!(source.strings, strings);
        assert_eq!(source.code.len(), source.comments.len());
    }

    #[test]
    fn characters_are_not_lifetimes() {
        let source = Source::new("f('\"', '\\'', 'ä', b'x', \"s\")");
        assert_eq!(source.strings, [(1, "s".to_owned())]);
        assert_eq!(source.code.replace(' ', ""), "f(,,,b,)");
    }

    #[test]
    fn inline_tests_do_not_count() {
        let source = Source::new("a\nb\n#[cfg(test)]\nmod tests {\n}\n");
        assert_eq!(source.length(), 2);
        assert!(source.in_tests(3) && !source.in_tests(2));
        assert_eq!(Source::new("a\n#[cfg(test)]\nmod tests;\n").length(), 3);
        assert_eq!(Source::new("a\n#[cfg(test)]\nfn one() {}\nb").length(), 4);
    }
}
