//! Files that commands write.

use super::usage::usage;
use crate::files;
use crate::ui::error_text::error_text;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Fails before long work if `path` cannot be written.
pub(crate) fn check_writable(path: &Path) -> anyhow::Result<()> {
    files::check_writable(path).map_err(|error| cannot_write(path, &error.into()))
}

/// An error that names the file, the cause and the remedy.
fn cannot_write(path: &Path, error: &anyhow::Error) -> anyhow::Error {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    let hint = io.map_or_else(String::new, |error| files::write_hint(error, None));
    anyhow::anyhow!("cannot write {}: {}. {hint}", path.display(), error_text(error))
}

/// Writes a file in place of an older one; the error names the file and the remedy.
pub(crate) fn replace(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    files::replace(path, write).map_err(|error| cannot_write(path, &error))
}

/// `--out` of a trace: `.vlmtrace` is added to a name without an ending.
pub(crate) fn with_trace_extension(path: &Path) -> anyhow::Result<PathBuf> {
    if path.is_dir() {
        return Err(usage(format!(
            "{} is a folder; --out names a file (with --batch a folder)",
            path.display()
        )));
    }
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("vlmtrace") => Ok(path.to_owned()),
        None => Ok(path.with_extension("vlmtrace")),
        Some(other) => Err(usage(format!(
            "--out {} ends in .{other}; a trace ends in .vlmtrace",
            path.display()
        ))),
    }
}
