//! Output of `ask`: progress, the answer, its files.

use super::args::Args;
use crate::analysis::methods::Method;
use crate::cli::common::{WHOLE_PICTURE, load_engine, progress_bar, show_progress};
use crate::cli::overlay;
use crate::job::CancelToken;
use crate::model::{AskEvent, AskRequest, AskStage, Engine, Progress};
use crate::terminal;
use crate::trace::Trace;
use anyhow::Context as _;
use indicatif::ProgressBar;
use serde_json::json;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Progress on stderr; the answer on stdout, token by token on a terminal.
pub(super) struct View {
    bar: ProgressBar,
    prints: bool,
    streams: bool,
    printed: usize,
}

impl View {
    pub fn new(json: bool) -> Self {
        let bar = progress_bar();
        Self { bar, prints: !json, streams: !json && terminal::is_interactive(), printed: 0 }
    }

    pub fn load(&self, args: &Args) -> anyhow::Result<Engine> {
        load_engine(args.model.as_deref(), &args.runtime, &mut |progress| self.progress(progress))
    }

    pub fn ask(
        &mut self,
        engine: &mut Engine,
        request: &AskRequest,
        cancel: &CancelToken,
    ) -> anyhow::Result<Trace> {
        self.printed = 0;
        let answered = engine.ask(request, cancel, &mut |event| self.event(&event));
        self.bar.finish_and_clear();
        Ok(answered?)
    }

    fn event(&mut self, event: &AskEvent) {
        match event {
            AskEvent::Progress(progress) => self.progress(*progress),
            AskEvent::Notice(notice) => self.bar.suspend(|| {
                let _ = writeln!(terminal::stderr(), "note: {}", notice.text(WHOLE_PICTURE));
            }),
            AskEvent::Prompt(_) | AskEvent::Page(_) => {}
            AskEvent::Token(token) if self.streams => {
                self.bar.finish_and_clear();
                let mut out = terminal::stdout();
                let _ = write!(out, "{}", token.text.get(self.printed..).unwrap_or_default());
                let _ = out.flush();
                self.printed = token.text.len();
            }
            AskEvent::Token(_) => {}
        }
    }

    /// Prints the part of the answer that was not streamed, and a line end.
    pub fn answer(&self, trace: &Trace) -> anyhow::Result<()> {
        if self.prints {
            writeln!(
                terminal::stdout(),
                "{}",
                trace.meta().answer.get(self.printed..).unwrap_or_default()
            )?;
        }
        Ok(())
    }

    fn progress(&self, progress: Progress) {
        if self.streams && progress.stage == AskStage::Decode {
            return;
        }
        show_progress(&self.bar, progress);
    }

    /// Adds the requested relevancy maps that the trace lacks, and writes the trace again.
    pub fn add_relevancy(
        &self,
        engine: &mut Engine,
        trace: Trace,
        path: &Path,
        args: &Args,
        cancel: &CancelToken,
    ) -> anyhow::Result<Trace> {
        let known = [trace.map_names(), trace.page_names()].concat();
        let missing: Vec<Method> = args
            .relevancy
            .iter()
            .copied()
            .filter(|method| !known.contains(&method.tensor))
            .collect();
        if missing.is_empty() {
            return Ok(trace);
        }
        let request = args.memory.request(&missing);
        let found =
            engine.relevancy(&trace, &request, cancel, &mut |progress| self.progress(progress));
        self.bar.finish_and_clear();
        let (found, _) = found.with_context(|| {
            format!("the answer was written to {}, without relevancy", path.display())
        })?;
        found.add_maps(&trace, path)?;
        Ok(found)
    }
}

pub(super) fn write_overlay(trace: &Trace, out: &Path) -> anyhow::Result<Option<PathBuf>> {
    let Some(drawn) = overlay::draw(trace)? else { return Ok(None) };
    let path = overlay_path(out);
    overlay::write(&drawn, &path)?;
    let _ = writeln!(
        terminal::stderr(),
        "layer {} attends most to the picture ({:.1} % of its attention)",
        drawn.layer,
        drawn.image_share * 100.0
    );
    Ok(Some(path))
}

/// NAME.overlay.png: a name that the picture file does not have.
pub(super) fn overlay_path(trace: &Path) -> PathBuf {
    trace.with_extension("overlay.png")
}

/// The JSON object of `--json`.
pub(super) fn as_json(trace: &Trace, out: &Path) -> serde_json::Value {
    let meta = trace.meta();
    let tokens: Vec<_> = meta
        .answer_tokens()
        .iter()
        .zip(trace.answer_logprobs().iter())
        .map(|(token, logprob)| json!({"id": token.id, "text": token.text, "logprob": logprob}))
        .collect();
    json!({
        "answer": meta.answer,
        "tokens": tokens,
        "prompt_tokens": meta.prompt_len,
        "spans": meta.spans,
        "trace": out,
        "timings_s": meta.timings,
        "provider": meta.provenance.provider,
    })
}
