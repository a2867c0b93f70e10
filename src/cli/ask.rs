//! `vlmscope ask`: a picture and a question become an answer, a trace and an overlay.

mod args;
mod batch;
mod resume;
mod view;

pub(crate) use args::Args;

use super::common::{
    cancel_on_interrupt, check_writable, edited, human_bytes, print_json, read_picture, usage,
    with_trace_extension,
};
use crate::edit::Edits;
use crate::model::{AskRequest, ModelError};
use crate::terminal;
use crate::trace::Trace;
use args::options;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use view::{View, as_json, overlay_path, write_overlay};

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let cancel = cancel_on_interrupt();
    if let Some(batch) = &args.batch {
        return batch::run(args, batch, &cancel);
    }
    let (Some(picture), Some(question)) = (&args.picture, &args.question) else {
        return Err(usage("a picture and a question are needed; see vlmscope ask --help"));
    };
    let mut picture_data = read_picture(picture)?;
    let mut options = options(args, args.answer.clone());
    if let Some(path) = &args.edit {
        let mut edits = Edits::open(path)?;
        picture_data = edited(&picture_data, &mut edits)?;
        options.blanked = edits.blanked().collect();
    }
    let out = match &args.out {
        Some(out) => with_trace_extension(out)?,
        None => unused_name(&default_out(picture, &picture_data.name)),
    };
    check_writable(&out)?;
    let mut view = View::new(args.json);
    let mut engine = view.load(args)?;
    let request = AskRequest {
        picture: Some(picture_data),
        turns: Vec::new(),
        question: question.clone(),
        options,
    };
    let asked = view.ask(&mut engine, &request, &cancel);
    let trace = asked.map_err(|error| match error.downcast_ref() {
        Some(ModelError::ConnectionLost { .. }) => {
            error.context("the answer did not arrive in full, and no trace was written")
        }
        _ => error,
    })?;
    view.answer(&trace)?;
    let out = if args.out.is_some() {
        trace.write(&out)?;
        out
    } else {
        write_unused(&trace, out)?
    };
    // The answer is written before any work that takes long or may fail.
    let trace = view.add_relevancy(&mut engine, trace, &out, args, &cancel)?;
    let drawn = if args.no_overlay { None } else { write_overlay(&trace, &out)? };
    if args.json {
        print_json(&as_json(&trace, &out))?;
    } else {
        report(&trace, &out, drawn.as_deref());
    }
    Ok(())
}

/// Beside the picture; for a built-in sample, in the current folder.
fn default_out(picture: &Path, name: &str) -> PathBuf {
    let folder = if picture.exists() {
        picture.parent().unwrap_or_else(|| Path::new(""))
    } else {
        Path::new("")
    };
    folder.join(name).with_extension("vlmtrace")
}

/// The name itself, or name-2, name-3 … : a default must never overwrite an earlier answer.
fn unused_name(path: &Path) -> PathBuf {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    std::iter::once(path.to_owned())
        .chain((2..).map(|number: u32| path.with_file_name(format!("{stem}-{number}.vlmtrace"))))
        .find(|path| !path.exists() && !overlay_path(path).exists())
        .unwrap_or_else(|| path.to_owned())
}

/// Writes under the name, or under the next that is free: another question may have taken it while
/// this one was answered.
fn write_unused(trace: &Trace, mut path: PathBuf) -> anyhow::Result<PathBuf> {
    loop {
        match trace.write_new(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.is_taken() => path = unused_name(&path),
            Err(error) => return Err(error.into()),
        }
    }
}

fn report(trace: &Trace, out: &Path, overlay: Option<&Path>) {
    let meta = trace.meta();
    let timings = meta.timings;
    let overlay = overlay.map_or_else(String::new, |path| format!(" and {}", path.display()));
    let _ = writeln!(
        terminal::stderr(),
        "{} tokens in {:.2} s on {} · wrote {} ({}){overlay}",
        trace.shape().generated,
        timings.vision + timings.prefill + timings.decode,
        meta.provenance.provider,
        out.display(),
        human_bytes(trace.data_bytes()),
    );
}
