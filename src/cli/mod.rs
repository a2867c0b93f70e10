//! The command line: one file a subcommand.
//!
//! stdout carries only results, stderr carries progress and errors, so that every command can be used in a pipe.
//! Exit codes: 0 done, 1 failed, 2 wrong usage, 130 ended by a signal.

mod ablate;
mod ask;
mod bench;
mod causal;
mod common;
mod diff;
mod doctor;
mod edit;
mod export;
mod inspect;
mod memory_limit;
mod npy;
mod objects;
mod occlusion;
mod overlay;
mod pack;
mod patch;
mod places;
mod present;
mod record;
mod relevancy;
mod render;
mod report;
mod score;
mod selection;
mod serve;
mod steer;
mod table;
mod template;
mod trace_model;
mod walkthrough;
mod window;

use crate::terminal;
use crate::ui::error_text::error_text;
use crate::{crash, logging};
use clap::{CommandFactory as _, Parser, Subcommand};
use common::{UsageError, end_if_interrupted, listen_for_signals};
use std::io::Write as _;
use std::process::ExitCode;

/// A native microscope for vision-language models.
#[derive(Debug, Parser)]
#[command(name = "vlmscope", version, max_term_width = 100)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Examples:
  vlmscope                                        the window, with the built-in model
  vlmscope cat.jpg                                ask about a picture in the window
  vlmscope ask cat.jpg \"What is this?\"            answer, trace and overlay beside the picture
  vlmscope inspect cat.vlmtrace                   what is in a trace
  vlmscope relevancy cat.vlmtrace                 what each word of the answer depends on
  vlmscope export cat.vlmtrace --token 2 --out map.npy
                                                  the numbers behind a figure

Help for a command: vlmscope ask --help")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    window: window::Args,
}

#[derive(Debug, Subcommand)]
enum Command {
    Ask(Box<ask::Args>),
    Inspect(inspect::Args),
    Relevancy(Box<relevancy::Args>),
    Export(Box<export::Args>),
    Doctor(doctor::Args),
    Edit(edit::Args),
    Ablate(Box<ablate::Args>),
    Occlusion(occlusion::Args),
    Causal(Box<causal::Args>),
    Patch(Box<patch::Args>),
    Steer(Box<steer::Args>),
    Diff(diff::Args),
    Render(Box<render::Args>),
    Score(Box<score::Args>),
    Serve(serve::Args),
    Table(table::Args),
    Report(report::Args),
    Bench(bench::Args),
    Record(record::Args),
    Walkthrough(walkthrough::Args),
    Pack(pack::Args),
    Present(present::Args),
    /// Render chat templates from standard input.
    #[command(hide = true)]
    RenderTemplates,
}

/// Parses the command line, runs the command and turns its outcome into an exit code.
pub fn run() -> ExitCode {
    logging::init();
    crash::install();
    let cli = Cli::parse();
    template::use_own_process();
    let (version, os, arch) =
        (env!("CARGO_PKG_VERSION"), std::env::consts::OS, std::env::consts::ARCH);
    log::info!("vlmscope {version} on {os} {arch}");
    let outcome = listen_for_signals().and_then(|()| execute(&cli));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = if error.is::<UsageError>() { 2 } else { 1 };
            let _ = writeln!(terminal::stderr(), "vlmscope: {}", error_text(&error));
            end_if_interrupted();
            ExitCode::from(code)
        }
    }
}

fn execute(cli: &Cli) -> anyhow::Result<()> {
    match &cli.command {
        None => window::run(&cli.window, |name| Cli::command().find_subcommand(name).is_some()),
        Some(Command::Ask(args)) => ask::run(args),
        Some(Command::Doctor(args)) => doctor::run(args),
        Some(Command::Edit(args)) => edit::run(args),
        Some(Command::Ablate(args)) => ablate::run(args),
        Some(Command::Occlusion(args)) => occlusion::run(args),
        Some(Command::Causal(args)) => causal::run(args),
        Some(Command::Patch(args)) => patch::run(args),
        Some(Command::Steer(args)) => steer::run(args),
        Some(Command::Diff(args)) => diff::run(args),
        Some(Command::Inspect(args)) => inspect::run(args),
        Some(Command::Relevancy(args)) => relevancy::run(args),
        Some(Command::Export(args)) => export::run(args),
        Some(Command::Render(args)) => render::run(args),
        Some(Command::Score(args)) => score::run(args),
        Some(Command::Serve(args)) => serve::run(args),
        Some(Command::Table(args)) => table::run(args),
        Some(Command::Report(args)) => report::run(args),
        Some(Command::Bench(args)) => bench::run(args),
        Some(Command::Record(args)) => record::run(args),
        Some(Command::Walkthrough(args)) => walkthrough::run(args),
        Some(Command::Pack(args)) => pack::run(args),
        Some(Command::Present(args)) => present::run(args),
        Some(Command::RenderTemplates) => template::run(),
    }
}
