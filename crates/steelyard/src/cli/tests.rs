use clap::CommandFactory as _;

use super::*;

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

/// The help of every verb, in one file, so that a change of words is seen.
#[test]
fn help_of_every_verb() {
    let mut command = Cli::command().term_width(100);
    command.build();
    let mut text = String::new();
    gather(&mut command, "steelyard", &mut text);
    insta::assert_snapshot!("help", text);
}

fn gather(command: &mut clap::Command, path: &str, text: &mut String) {
    use std::fmt::Write as _;
    let help = command.render_long_help().to_string();
    let lines: Vec<_> = help.lines().map(str::trim_end).collect();
    writeln!(text, "$ {path} --help\n{}\n", lines.join("\n")).unwrap();
    for inner in command.get_subcommands_mut().filter(|inner| inner.get_name() != "help") {
        let path = format!("{path} {}", inner.get_name());
        gather(inner, &path, text);
    }
}

#[test]
fn wrong_usage_exits_with_2() {
    for wrong in [
        &["nonsense"][..],
        &["keys", "create"],
        &["keys", "update", "k"],
        &["usage", "--by", "colour"],
        &["usage", "--from", "soon"],
    ] {
        let error = Cli::try_parse_from(std::iter::once(&"steelyard").chain(wrong)).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{wrong:?}");
    }
}
