//! `steelyard completions`.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::Cli;
use super::output::print_piece;

const AFTER: &str = "\
Examples:
  steelyard completions bash > /etc/bash_completion.d/steelyard
  steelyard completions zsh > \"${fpath[1]}/_steelyard\"
  steelyard completions fish > ~/.config/fish/completions/steelyard.fish";

/// What `completions` takes.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script.
pub(super) fn run(args: &CompletionsArgs) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "steelyard", &mut script);
    print_piece(&String::from_utf8_lossy(&script))
}
