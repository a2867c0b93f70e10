//! The trace of a command's argument.

use super::usage::usage;
use crate::model::builtin;
use clap::builder::{PathBufValueParser, TypedValueParser};
use std::path::PathBuf;

/// Start of a captured sample's name.
const CAPTURED: &str = "captured:";

/// Parses a path; `captured:N` (from 1) is a sample trace of this program.
pub(crate) fn trace_file() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(resolved)
}

fn resolved(path: PathBuf) -> anyhow::Result<PathBuf> {
    let Some(number) = path.to_str().and_then(|text| text.strip_prefix(CAPTURED)) else {
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
