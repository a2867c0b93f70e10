//! `vlmscope edit`: a stack of edits becomes a picture file.
//!
//! `vlmscope ask --edit` asks about the edited picture at once; this command writes it, for other programs and for
//! viewing.

use super::common::{check_writable, edited, read_picture, replace, usage};
use crate::edit::Edits;
use crate::terminal;
use std::io::Write as _;
use std::path::PathBuf;

/// Apply edits to a picture and write the result.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EDITS.toml is saved by the window or written by hand:
  version = 1
  size = [640, 480]              # width and height of the picture that positions refer to
  [[step]]
  tool = \"adjust\"                # stroke, erase, fill, adjust, blank or crop
  area = { outline = { shape = \"rectangle\", rect = { x = 378, y = 24, width = 134, height = 192 } } }
  by = { hue = 240 }

Examples:
  vlmscope edit cat.jpg edits.toml --out edited.png
  vlmscope ask cat.jpg \"What colour is it?\" --edit edits.toml      ask about the edited picture")]
pub(crate) struct Args {
    /// A picture file, or sample:N for a built-in one.
    picture: PathBuf,
    /// TOML file with the edits.
    edits: PathBuf,
    /// PNG file to write.
    #[arg(long, value_name = "FILE.png")]
    out: PathBuf,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if args.out.extension().is_none_or(|extension| !extension.eq_ignore_ascii_case("png")) {
        return Err(usage(format!(
            "--out {} does not end in .png; edited pictures are written as PNG, which is lossless",
            args.out.display()
        )));
    }
    check_writable(&args.out)?;
    let picture = read_picture(&args.picture)?;
    let edited = edited(&picture, &mut Edits::open(&args.edits)?)?;
    replace(&args.out, |out| Ok(out.write_all(&edited.bytes)?))?;
    let _ = writeln!(terminal::stderr(), "wrote {}", args.out.display());
    Ok(())
}
