//! `vlmscope [FILES]`: the window.

use super::common::{trace_file, usage};
use crate::gpu::GpuOptions;
use crate::model::Address;
use crate::settings::Settings;
use crate::terminal;
use crate::ui::{self, HeadlessOptions, Start};
use std::io::Write as _;
use std::path::PathBuf;

/// Open the window.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Pictures, .vlmtrace files, folders of traces, tables (.parquet), a walkthrough (.toml, .zip), a model folder, or
    /// captured:N for a sample trace [default: the built-in model and a sample picture].
    #[arg(value_name = "FILES", value_parser = trace_file())]
    files: Vec<PathBuf>,
    /// Use the model of another machine: ssh://USER@HOST:PORT/PATH/TO/vlmscope (only HOST is needed), or exec:PROGRAM
    /// (docs/serve.md).
    #[arg(long, value_name = "ADDRESS")]
    remote: Option<Address>,
    /// Model bundle on the machine of --remote [default: the built-in model].
    #[arg(long, value_name = "DIR", requires = "remote")]
    model: Option<PathBuf>,
    /// Graphics adapter: part of its name (see `vlmscope doctor`).
    #[arg(long, value_name = "NAME")]
    adapter: Option<String>,
    /// Start with default settings and without the last session, and save neither.
    #[arg(long)]
    fresh: bool,
    /// Print start-up timings to stderr.
    #[arg(long)]
    timings: bool,
}

/// `is_command` says whether a word is the name of a command.
pub(crate) fn run(args: &Args, is_command: impl Fn(&str) -> bool) -> anyhow::Result<()> {
    if let Some(file) = args.files.iter().find(|file| !file.exists()) {
        if let Some(name) = file.to_str().filter(|name| is_command(name)) {
            return Err(usage(format!(
                "{name} is a command, and a command comes first: options and files of the window cannot precede it. \
                 Write `vlmscope {name} …`; `vlmscope {name} --help` lists its options"
            )));
        }
        return Err(usage(format!(
            "{} is neither a file nor a command; `vlmscope --help` lists the commands",
            file.display()
        )));
    }
    let path = if args.fresh { None } else { Settings::path() };
    let (settings, problem) = path.as_deref().map_or_else(Default::default, Settings::load);
    if let Some(problem) = problem {
        writeln!(terminal::stderr(), "vlmscope: {problem}")?;
    }
    let start = match args.files.as_slice() {
        [] => Start::BuiltIn,
        files => Start::Files(files.to_vec()),
    };
    let sessions = if args.fresh { None } else { ui::session_folder() };
    let remote = args.remote.clone();
    let remote = remote.map(|address| (address, args.model.clone().unwrap_or_default()));
    let options = HeadlessOptions { start, settings, settings_path: path, sessions, remote };
    let gpu = GpuOptions { adapter: args.adapter.clone(), ..GpuOptions::default() };
    ui::run(options, gpu, args.timings)
}
