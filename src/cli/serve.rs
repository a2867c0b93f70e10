//! `vlmscope serve`: one model that another program drives.

use super::common::{RuntimeFlags, engine_options, usage};
use crate::model::serve;
use crate::terminal;
use std::path::PathBuf;

/// Serve a model to another program, over standard input and output.
///
/// `vlmscope --remote` starts this command on the other machine; programs of your own can start it, too.
/// docs/serve.md describes the protocol. Nothing listens on a port.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vlmscope ask cat.jpg \"What is this?\" --remote ssh://ada@gpu-box --model /models/llava-7b
  vlmscope ask cat.jpg \"What is this?\" --remote 'exec:docker exec -i box vlmscope'")]
pub(crate) struct Args {
    /// Read requests from standard input, and write answers to standard output.
    #[arg(long, required = true)]
    stdio: bool,
    /// Model bundle written by onnx/export.py [default: the built-in model].
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    #[command(flatten)]
    runtime: RuntimeFlags,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if args.runtime.remote.is_some() {
        return Err(usage("a server runs its own model; start it on the machine of --remote"));
    }
    let options = engine_options(args.model.as_deref(), &args.runtime)?;
    // Before a library is loaded that might print.
    let output = terminal::take_stdout()?;
    Ok(serve(&options, std::io::stdin(), output)?)
}
