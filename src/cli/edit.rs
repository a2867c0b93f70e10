//! `vlmscope edit`: a stack of edits becomes a picture file.
//!
//! `vlmscope ask --edit` asks about the edited picture at once; this writes it, for other programs
//! and for looking at.

use super::{ask, usage};
use crate::edit::Edits;
use crate::model::{Picture, upright};
use image::RgbImage;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Carry out edits on a picture and write the result.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EDITS.toml is what the window saves, or written by hand:
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
    /// The edits.
    edits: PathBuf,
    /// Where the edited picture goes (PNG).
    #[arg(long, value_name = "FILE.png")]
    out: PathBuf,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if args.out.extension().is_none_or(|extension| !extension.eq_ignore_ascii_case("png")) {
        return Err(usage(format!(
            "--out {} does not end in .png; edited pictures are written as PNG, which loses nothing",
            args.out.display()
        )));
    }
    super::check_writable(&args.out)?;
    let picture = ask::read_picture(&args.picture)?;
    let edited = edited(&picture, &mut Edits::open(&args.edits)?)?;
    super::write_atomically(&args.out, |out| Ok(out.write_all(&edited.bytes)?))?;
    let _ = writeln!(std::io::stderr(), "wrote {}", args.out.display());
    Ok(())
}

/// The picture after the edits, as a file that loses nothing.
pub(crate) fn edited(picture: &Picture, edits: &mut Edits) -> anyhow::Result<Picture> {
    let original: Arc<RgbImage> = Arc::new(upright(picture)?);
    let flat = edits.flatten(&original)?;
    let stem = Path::new(&picture.name).file_stem().unwrap_or_default().to_string_lossy();
    Ok(Picture { name: format!("{stem}-edited.png"), bytes: crate::edit::png(&flat)?.into() })
}
