//! Results of an earlier run of a batch: traces and rows that answer the same request.

use super::args::Args;
use crate::analysis::mask::NamedMask;
use crate::model::{AskRequest, Engine, WRITER, hex};
use crate::table::input::InputRow;
use crate::terminal;
use crate::trace::Trace;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::io::Write as _;
use std::path::Path;

/// The hash of all that decides an answer and the numbers of its rows.
pub(super) fn request_key(
    request: &AskRequest,
    row: &InputRow,
    masks: &[NamedMask],
    engine: &Engine,
    args: &Args,
) -> anyhow::Result<String> {
    let methods: Vec<&str> = args.relevancy.iter().map(|method| method.name).collect();
    let all = json!({
        "request": request.info(),
        "question": request.question,
        "sampling": request.options.sampling,
        "model": engine.info().model.bundle_sha,
        "writer": WRITER,
        "relevancy": methods,
        "verdict": args.data.verdict,
        "object": row.object,
        "boxes": row.boxes,
        "masks": masks,
    });
    Ok(hex(&Sha256::digest(serde_json::to_vec(&all)?)))
}

/// The trace at `path`, if it answers this request; else prints the reason why not.
pub(super) fn there_already(path: &Path, request: &AskRequest, engine: &Engine) -> Option<Trace> {
    if !path.exists() {
        return None;
    }
    let stale = match Trace::open(path) {
        Ok(trace) => {
            let stale = stale(&trace, request, &engine.info().model.bundle_sha);
            if stale.is_empty() {
                return Some(trace);
            }
            format!("{} changed", stale.join(", "))
        }
        Err(error) => error.to_string(),
    };
    let _ = writeln!(terminal::stderr(), "answering {} again: {stale}", path.display());
    None
}

/// Inputs of the answer that differ between the request and the trace.
fn stale(trace: &Trace, request: &AskRequest, bundle_sha: &str) -> Vec<&'static str> {
    let meta = trace.meta();
    let wanted = request.info();
    let Some(found) = &meta.provenance.request else {
        return vec!["the version of vlmscope"];
    };
    let mut changed = vec![
        ("the picture", found.picture_sha256 != wanted.picture_sha256),
        ("the question", meta.question != request.question),
        ("the earlier turns", found.turns != wanted.turns),
        ("the given answer", found.answer != wanted.answer),
        ("the sampling", meta.sampling != request.options.sampling),
        ("--preprocess", found.preprocess != wanted.preprocess),
        ("--rows", found.all_rows != wanted.all_rows),
        ("--vision-attention", found.vision_attention != wanted.vision_attention),
        ("the model", meta.model.bundle_sha != bundle_sha),
        ("the version of vlmscope", meta.provenance.writer != WRITER),
    ];
    let rest = found.topk != wanted.topk || found.is_altered != wanted.is_altered;
    changed.push(("an edit of the picture or the model", rest));
    changed.into_iter().filter(|(_, changed)| *changed).map(|(what, _)| what).collect()
}
