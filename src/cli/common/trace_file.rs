//! The trace of a command's argument.

use super::files::with_trace_extension;
use super::usage::usage;
use crate::model::builtin;
use clap::builder::{PathBufValueParser, TypedValueParser};
use std::path::{Path, PathBuf};

/// Start of a captured sample's name.
const CAPTURED: &str = "captured:";

/// Characters of a pattern, which the shell passes on where it matches no file.
const PATTERN: [char; 3] = ['*', '?', '['];

/// Parses a path; `captured:N` (from 1) is a sample trace of this program.
pub(crate) fn trace_file() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(resolved)
}

fn resolved(path: PathBuf) -> anyhow::Result<PathBuf> {
    let Some(number) = path.to_str().and_then(|text| text.strip_prefix(CAPTURED)) else {
        let is_pattern = path.to_str().is_some_and(|text| text.contains(PATTERN));
        if is_pattern && !path.exists() {
            return Err(usage(format!("the pattern {} matches no file", path.display())));
        }
        return Ok(path);
    };
    let samples = builtin::captured()?;
    let sample =
        number.parse::<usize>().ok().and_then(|number| samples.get(number.checked_sub(1)?));
    let sample = sample.ok_or_else(|| {
        usage(format!(
            "there is no captured:{number}; there are captured:1 to captured:{}",
            samples.len()
        ))
    })?;
    Ok(builtin::captured_file(&sample.file)?)
}

/// The file to write for a command that adds to the trace at `path`: `out`, or else the trace itself.
pub(crate) fn file_to_change(path: &Path, out: Option<&Path>) -> anyhow::Result<PathBuf> {
    match out {
        Some(out) => with_trace_extension(out),
        None => {
            check_changeable(path)?;
            Ok(path.to_owned())
        }
    }
}

/// Fails for a sample trace of this program, beside which nothing is written either.
pub(crate) fn check_changeable(path: &Path) -> anyhow::Result<()> {
    if builtin::is_captured_file(path) {
        return Err(usage(
            "a sample trace of this program is never changed: name a file with --out",
        ));
    }
    Ok(())
}
