//! Asks the question of a trace again with a change: another answer to score, heads switched off, patches hidden.
//!
//! The decision here: nothing is rendered, tokenised or resized again. The ids and the picture's pixels come from the
//! trace, so that every difference in the new trace is caused by the change, and a trace can be asked again without its
//! picture file.

use super::error::{ModelError, Result};
use super::local_engine::{AnswerContext, LocalEngine, Sink};
use super::preprocess::{Preprocessed, pixel_values};
use super::prompt::{BuiltPrompt, Labeller};
use super::request::{AskOptions, Interventions, Rows};
use super::trace_inputs::TraceInputs;
use crate::job::CancelToken;
use crate::trace::RowStats;
use crate::trace::{Timings, Trace, TraceMeta};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// Changes to a trace's question before it is asked again.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rerun {
    /// Score these ids instead of generating an answer: the ids of another trace's answer, including the stop id.
    pub answer: Option<Vec<u32>>,
    /// Changes to the model.
    pub interventions: Interventions,
    /// The rows of attention that are kept.
    pub rows: Rows,
}

impl LocalEngine {
    /// Asks the question of `trace` again with the same ids, picture, sampling and seed.
    ///
    /// # Errors
    /// A trace of another model, ids that are not in the vocabulary, or as [`Self::ask`].
    pub fn again(
        &mut self,
        trace: &Trace,
        change: &Rerun,
        cancel: &CancelToken,
        sink: &mut Sink<'_>,
    ) -> Result<Trace> {
        let replay = TraceInputs::from_trace(trace, &self.bundle)?;
        let meta = trace.meta();
        let built = built_prompt(meta)?;
        let vocabulary = self.bundle.manifest().text.vocab;
        let unknown = |id: &&u32| **id as usize >= vocabulary;
        if let Some(id) = change.answer.iter().flatten().find(unknown) {
            let reason = format!("has the id {id}; this model knows {vocabulary}.");
            return Err(ModelError::Request { what: "the answer".into(), reason });
        }
        if change.answer.as_ref().is_some_and(Vec::is_empty) {
            return Err(ModelError::EmptyAnswer);
        }
        let options = AskOptions {
            sampling: meta.sampling,
            rows: change.rows,
            preprocess: meta
                .preprocess
                .first()
                .and_then(|info| info.mode.rule())
                .unwrap_or_default(),
            interventions: change.interventions.clone(),
            ..AskOptions::default()
        };
        self.check_options(&options)?;
        self.check_length(&built, change.answer.as_deref())?;
        let start = Instant::now();
        let mut seen = self.seen(trace, &replay);
        let mut timings =
            Timings { preprocess: start.elapsed().as_secs_f64(), ..Timings::default() };
        let start = Instant::now();
        let mut key = None;
        if let Some(seen) = &mut seen {
            key = Some(self.encode_image(seen, false, cancel, sink)?);
        }
        timings.vision = start.elapsed().as_secs_f64();
        let forced = change.answer.is_some();
        let builder = self.start_trace(&built, seen.as_ref(), &options, forced)?;
        let run = AnswerContext {
            key,
            options: &options,
            row_stats: RowStats::new(
                &builder.meta().spans,
                builder.meta().question_keys(),
                builder.meta().attention_scale,
            ),
            turn: meta.tokens.last().map_or(0, |token| token.turn),
            prompt_len: built.ids.len(),
        };
        self.answer(&run, built, change.answer.clone(), builder, timings, cancel, sink)
    }

    /// The picture that the model saw, from the trace.
    fn seen(&self, trace: &Trace, replay: &TraceInputs) -> Option<Preprocessed> {
        let (rgb, span) = replay.rgb.as_ref().zip(trace.meta().spans.first())?;
        let picture = span.picture as usize;
        let info = trace.meta().preprocess.get(picture)?.clone();
        Some(Preprocessed {
            pixel_values: pixel_values(rgb, &self.bundle.manifest().preprocess),
            rgb: rgb.to_vec(),
            size: info.preprocessed_size,
            original: trace.picture_original(picture).unwrap_or_default().to_vec(),
            original_from_preprocessed: span.original_from_preprocessed,
            info,
            notices: Vec::new(),
        })
    }
}

/// The prompt of a trace, equal to the one that [`super::prompt::build`] made.
fn built_prompt(meta: &TraceMeta) -> Result<BuiltPrompt> {
    let tokens = meta.tokens.get(..meta.prompt_len()).unwrap_or_default().to_vec();
    if tokens.is_empty() {
        return Err(ModelError::EmptyQuestion);
    }
    Ok(BuiltPrompt {
        text: String::new(),
        ids: tokens.iter().map(|token| token.id).collect(),
        first_patches: meta.spans.iter().map(|span| span.first).collect(),
        question: meta.question.clone(),
        labeller: Labeller::after(&tokens),
        tokens,
    })
}
