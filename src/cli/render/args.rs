//! The flags of `vlmscope render`.

use super::flags::Flags;
use crate::cli::common::{size, trace_file};
use std::path::PathBuf;

/// Draw a view of a trace as a figure.
///
/// The view is given by flags, by a file (--state, as the window saves it), or by both; flags take
/// precedence. With {token}, {layer} or {head} in --out, one figure is drawn for each token, layer
/// or head that the flags name (or for all of them).
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vlmscope render cat.vlmtrace --token 3 --layer 14 --head 7 --out fig.png
  vlmscope render cat.vlmtrace --view wall --token 3 --size 3840x2160 --out wall.png
  vlmscope render cat.vlmtrace --view layer-head --quantity image-share --out matrix.svg
  vlmscope render cat.vlmtrace --view causal --token 3 --out causes.svg
  vlmscope render cat.vlmtrace --view patch --token 3 --what heads --out patch.svg
  vlmscope render cat.vlmtrace --layer 14 --out 'token-{token}.png'
  vlmscope render cat.vlmtrace --state view.toml --out fig.png")]
pub(crate) struct Args {
    /// The trace, or captured:N for a sample trace; may be left out if --state names one.
    #[arg(value_parser = trace_file())]
    pub(super) trace: Option<PathBuf>,
    /// A view state as TOML.
    #[arg(long, value_name = "FILE")]
    pub(super) state: Option<PathBuf>,
    #[command(flatten)]
    pub(super) flags: Flags,
    /// Width × height in pixels, up to 16384 on a side where the adapter allows it (8K: 7680x4320).
    #[arg(long, default_value = "1920x1080", value_parser = size)]
    pub(super) size: [u32; 2],
    /// Write SVG (implied by an --out that ends in .svg).
    #[arg(long)]
    pub(super) svg: bool,
    /// Graphics adapter: part of its name (see `vlmscope doctor`).
    #[arg(long, value_name = "NAME")]
    pub(super) adapter: Option<String>,
    /// Print the GPU time of each pass.
    #[arg(long)]
    pub(super) trace_gpu: bool,
    /// Also write the view state to this file, for editing and for --state.
    #[arg(long, value_name = "FILE")]
    pub(super) write_state: Option<PathBuf>,
    /// FILE.png or FILE.svg; may contain {token}, {layer} and {head}.
    #[arg(long, value_name = "FILE")]
    pub(super) out: PathBuf,
}
