//! The project's own tasks, run as `cargo xtask TASK`.

use clap::Parser as _;

mod bench;
mod catalog;
mod ci;
mod golden;
mod kill;
mod tidy;

#[derive(clap::Parser)]
#[command(name = "xtask", about = "The project's own tasks")]
enum Task {
    /// Check everything that must hold before a change goes in.
    Ci(ci::Args),
    /// Check the rules of the house that the compiler does not know.
    Tidy,
    /// Write the golden files anew and show what changed.
    Golden(golden::Args),
    /// Write the catalog of models and prices from price facts.
    Catalog(catalog::Args),
    /// Measure Steelyard against nginx.
    Bench(bench::Options),
    /// Kill Steelyard under load and check that its ledger lost nothing.
    Kill(kill::Options),
    #[command(hide = true, subcommand)]
    BenchPart(bench::Part),
}

fn main() -> anyhow::Result<()> {
    match Task::parse() {
        Task::Ci(args) => ci::run(&args),
        Task::Tidy => tidy::run(&ci::root()),
        Task::Golden(args) => golden::run(&args),
        Task::Catalog(args) => catalog::run(&args),
        Task::Bench(options) => options.run(),
        Task::Kill(options) => options.run(),
        Task::BenchPart(part) => part.run(),
    }
}
