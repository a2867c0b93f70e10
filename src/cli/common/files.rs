//! Files that commands write.

use super::usage::usage;
use crate::trace::write_hint;
use crate::ui::tasks::error_text;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Fails before long work if the folder of `path` does not exist or cannot be written.
pub(crate) fn check_writable(path: &Path) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    tempfile::Builder::new()
        .prefix(".vlmscope-")
        .suffix(".part")
        .tempfile_in(folder)
        .map_err(|error| cannot_write(path, &error.into()))?;
    Ok(())
}

/// Names the file, the cause and what helps.
fn cannot_write(path: &Path, error: &anyhow::Error) -> anyhow::Error {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    let hint = io.map_or_else(String::new, |error| write_hint(error, None));
    anyhow::anyhow!("cannot write {}: {}. {hint}", path.display(), error_text(error))
}

/// Writes a file beside its place and renames it, so that a full disk or a crash leaves the old one.
pub(crate) fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    let replace = || -> anyhow::Result<()> {
        let temporary =
            tempfile::Builder::new().prefix(".vlmscope-").suffix(".part").tempfile_in(folder)?;
        let mut out = BufWriter::new(temporary.as_file());
        write(&mut out)?;
        out.flush()?;
        drop(out);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let shared = std::fs::Permissions::from_mode(0o644);
            temporary.as_file().set_permissions(shared)?;
        }
        temporary.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    replace().map_err(|error| cannot_write(path, &error))
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
