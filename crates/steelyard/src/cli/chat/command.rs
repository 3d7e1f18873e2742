//! What a person can type instead of a prompt.

/// A line at the prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line<'l> {
    /// Nothing.
    Empty,
    /// Something to ask.
    Prompt(&'l str),
    /// `/help`.
    Help,
    /// `/model`, with a name or to be told the one in use.
    Model(Option<&'l str>),
    /// `/clear`.
    Clear,
    /// `/exit`.
    Exit,
    /// Something with a slash that is none of these.
    Unknown(&'l str),
}

/// What `/help` says.
pub(super) const HELP: &str = "\
/model NAME   ask another route or model; /model alone names the one in use
/clear        forget the conversation
/exit         end it, as does Ctrl-D
Ctrl-C        stop the answer";

/// Reads a line. A path such as `/etc/hosts is…` is a prompt: commands are single words.
pub(super) fn read(line: &str) -> Line<'_> {
    let line = line.trim();
    if line.is_empty() {
        return Line::Empty;
    }
    let Some(command) = line.strip_prefix('/') else { return Line::Prompt(line) };
    let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
    let rest = rest.trim();
    match name {
        "help" | "?" => Line::Help,
        "model" => Line::Model(Some(rest).filter(|rest| !rest.is_empty())),
        "clear" => Line::Clear,
        "exit" | "quit" => Line::Exit,
        _ if name.is_empty() || name.contains('/') || !rest.is_empty() => Line::Prompt(line),
        _ => Line::Unknown(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_commands_or_prompts() {
        let cases = [
            ("  ", Line::Empty),
            (" hello /help ", Line::Prompt("hello /help")),
            ("/help", Line::Help),
            ("/model", Line::Model(None)),
            ("/model  smart ", Line::Model(Some("smart"))),
            ("/clear", Line::Clear),
            ("/quit", Line::Exit),
            ("/exti", Line::Unknown("/exti")),
            ("/etc/hosts", Line::Prompt("/etc/hosts")),
            ("/ what is this", Line::Prompt("/ what is this")),
            ("/etc what is it", Line::Prompt("/etc what is it")),
        ];
        for (line, read_as) in cases {
            assert_eq!(read(line), read_as, "{line}");
        }
    }
}
