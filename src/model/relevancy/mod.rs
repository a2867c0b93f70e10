//! Relevancy of answer tokens, by backward passes in ONNX Runtime.
//!
//! The definition is by Chefer et al. (arXiv 2103.15679, rules 5 and 6), as LVLM-Interpret applies it to LLaVA. Two
//! facts reduce the cost. All `llm` maps of an answer need *one* backward pass through the prompt and one through the
//! answer's rows, because with a KV cache the gradient of a later token reaches only its own row. And a map is a row of
//! a matrix product, not the product ([`crate::analysis::relevancy`]). All inputs are read from a trace, so an old
//! answer works like a new one.

pub(super) mod memory;
mod own;
mod request;

pub use memory::MemoryEstimate;
pub use request::{RelevancyRequest, RelevancyTimings};

use super::error::{ModelError, Result};
use super::event::{AskStage, Progress};
use super::local_engine::LocalEngine;
use super::session::{BackwardGraph, Call, KvCache, LayerOutputs, Seed};
use super::trace_inputs::{TraceInputs, normalised};
use crate::analysis::methods::{AnswerGradients, Computation};
use crate::job::CancelToken;
use crate::trace::{AnswerIndex, RowStats, Trace};
use half::f16;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

/// Pages [G, L, H, T] of (gradient ⊙ attention)⁺ in a trace.
pub use crate::trace::GRADIENT_ATTENTION;

/// Values that are constant while one trace is processed.
struct Pass<'a> {
    replay: TraceInputs,
    /// [1, 3, side, side]; empty without a picture.
    pixels: Vec<f32>,
    picture: Option<[u8; 32]>,
    /// [T, D].
    embeddings: Vec<f32>,
    hidden: usize,
    /// 1 / temperature: LVLM-Interpret differentiates the processed logits.
    weight: f32,
    /// Positions of the image tokens; empty without a picture.
    image: Range<usize>,
    threads: usize,
    cancel: &'a CancelToken,
    steps: Steps<'a>,
    timings: RelevancyTimings,
}

struct Steps<'a> {
    done: u32,
    total: u32,
    sink: &'a mut dyn FnMut(Progress),
}

impl Steps<'_> {
    fn advance(&mut self) {
        self.done += 1;
        self.tell();
    }

    fn tell(&mut self) {
        let (done, total) = (self.done, self.total);
        (self.sink)(Progress { stage: AskStage::Relevancy, done, total });
    }
}

impl Pass<'_> {
    /// P, the number of prompt positions.
    fn prompt_len(&self) -> usize {
        self.replay.prompt_len
    }

    /// T, the number of positions.
    fn positions(&self) -> usize {
        self.replay.fed_ids().len()
    }

    fn embeddings(&self, positions: Range<usize>) -> Vec<f32> {
        self.embeddings[positions.start * self.hidden..positions.end * self.hidden].to_vec()
    }

    fn seed(&self, answer: usize) -> Seed {
        Seed {
            position: self.prompt_len() - 1 + answer,
            id: self.replay.answer_ids()[answer],
            weight: self.weight,
        }
    }
}

/// One backward pass from a token's score.
struct Backward {
    abar: LayerOutputs,
    /// Gradient with respect to the embeddings, [T of the pass, D]; empty if it was not requested.
    inputs: Vec<f32>,
}

impl LocalEngine {
    /// Computes relevancy maps of an answer and returns a copy of the trace with them. Rows that were computed earlier
    /// for other tokens are kept.
    ///
    /// # Errors
    /// A trace of another model, or without a picture if one is needed, a bundle without backward graphs, too little
    /// memory ([`ModelError::Memory`], before anything runs), a failure of ONNX Runtime, or [`ModelError::Cancelled`].
    pub fn relevancy(
        &mut self,
        trace: &Trace,
        request: &RelevancyRequest,
        cancel: &CancelToken,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(Trace, RelevancyTimings)> {
        let start = Instant::now();
        let replay = TraceInputs::from_trace(trace, &self.bundle)?;
        if trace.meta().provenance.model_changed {
            return Err(ModelError::Request {
                what: "relevancy of this answer".into(),
                reason: "would be that of the unchanged model: heads were switched off or attention was cut when it was given. Compute it for the answer of the whole model.".into(),
            });
        }
        if let Some(method) = request.methods.iter().find(|method| !method.is_from_backward_pass())
        {
            return Err(ModelError::Request {
                what: format!("the method `{method}`"),
                reason: "is not computed by a backward pass alone.".into(),
            });
        }
        let answers = request.answers(trace)?;
        if request.needs_picture() && replay.rgb.is_none() {
            return Err(ModelError::Request {
                what: "relevancy through the vision tower".into(),
                reason: "needs a picture, and the trace has none; `llm` works without.".into(),
            });
        }
        self.open_backward_graphs(&replay, request, progress)?;
        let open_s = start.elapsed().as_secs_f64();
        let mut run = self.start_run(trace, replay, request, &answers, cancel, progress)?;
        run.timings.open_s = open_s;

        let mut first = None;
        let mut found = trace.clone();
        if request.needs_rows() {
            let backward = self.backward(&mut run, 0, request.needs_picture())?;
            found = self.add_all_rows(&mut run, &found, request, &backward)?;
            first = Some(backward);
        }
        if request.needs_own() {
            found = self.add_own(&mut run, &found, request, &answers, first)?;
        }
        run.timings.total_s = start.elapsed().as_secs_f64();
        found.add_relevancy_time(run.timings.total_s);
        Ok((found, run.timings))
    }

    /// The memory that relevancy of a trace needs, and whether weights could be repacked.
    ///
    /// # Errors
    /// A trace of another model.
    pub fn relevancy_memory(
        &self,
        trace: &Trace,
        request: &RelevancyRequest,
    ) -> Result<MemoryEstimate> {
        let replay = TraceInputs::from_trace(trace, &self.bundle)?;
        Ok(MemoryEstimate::new(&self.bundle, &replay, request))
    }

    fn open_backward_graphs(
        &mut self,
        replay: &TraceInputs,
        request: &RelevancyRequest,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<()> {
        let estimate = MemoryEstimate::new(&self.bundle, replay, request);
        let budget = request.memory_budget.unwrap_or_else(memory::available);
        if estimate.working_bytes > budget {
            return Err(ModelError::Memory {
                positions: replay.fed_ids().len(),
                needed_bytes: estimate.working_bytes,
                budget_bytes: budget,
            });
        }
        let prepack = estimate.working_bytes + estimate.repacked_bytes <= budget;
        let wanted: Vec<BackwardGraph> =
            request.graphs().into_iter().filter(|graph| !self.sessions.is_open(*graph)).collect();
        let total = wanted.len() as u32;
        for (done, graph) in (0..).zip(wanted) {
            progress(Progress { stage: AskStage::Load, done, total });
            self.sessions.open_backward(&self.bundle, graph, prepack)?;
        }
        Ok(())
    }

    fn start_run<'a>(
        &mut self,
        trace: &Trace,
        replay: TraceInputs,
        request: &RelevancyRequest,
        answers: &[usize],
        cancel: &'a CancelToken,
        progress: &'a mut dyn FnMut(Progress),
    ) -> Result<Pass<'a>> {
        let start = Instant::now();
        let hidden = self.bundle.manifest().text.hidden;
        let total = request.steps(answers);
        let mut steps = Steps { done: 0, total, sink: progress };
        steps.tell();
        let mut pixels = Vec::new();
        let (mut picture, mut features) = (None, Arc::default());
        if let Some(rgb) = &replay.rgb {
            pixels = normalised(rgb, &self.bundle);
            let (key, found) = self.features_of(&pixels, cancel)?;
            (picture, features) = (Some(key), found);
        }
        let embeddings = self.sessions.embed(replay.fed_ids(), 1, &features, hidden, cancel)?;
        let first = replay.first_image.unwrap_or(0);
        let features = replay.first_image.map_or(0, |_| self.bundle.manifest().vision.features);
        let sampling = trace.meta().sampling;
        let greedy = sampling.is_greedy() || sampling.forced;
        let weight = if greedy { 1.0 } else { 1.0 / sampling.temperature };
        let timings =
            RelevancyTimings { inputs_s: start.elapsed().as_secs_f64(), ..Default::default() };
        Ok(Pass {
            replay,
            pixels,
            picture,
            embeddings,
            hidden,
            weight,
            image: first..first + features,
            threads: self.sessions.threads(),
            cancel,
            steps,
            timings,
        })
    }

    /// A backward pass from the score of one answer token, through the positions up to its predicting position.
    fn backward(&mut self, run: &mut Pass<'_>, answer: usize, inputs: bool) -> Result<Backward> {
        let start = Instant::now();
        let seed = run.seed(answer);
        let embeddings = run.embeddings(0..seed.position + 1);
        let (abar, inputs) =
            self.sessions.backward_prompt(embeddings, run.hidden, seed, inputs, run.cancel)?;
        run.timings.prompt_s += start.elapsed().as_secs_f64();
        run.steps.advance();
        Ok(Backward { abar, inputs })
    }

    /// Adds the methods that one pass through the answer's rows computes for all tokens.
    fn add_all_rows(
        &mut self,
        run: &mut Pass<'_>,
        trace: &Trace,
        request: &RelevancyRequest,
        prompt: &Backward,
    ) -> Result<Trace> {
        let past = self.prompt_cache(run)?;
        let start = Instant::now();
        let prompt_len = run.prompt_len();
        let embeddings = run.embeddings(prompt_len - 1..run.positions());
        let wants_gradients = request.needs_pages();
        let (rows, gradients) = self.sessions.backward_rows(
            embeddings,
            run.hidden,
            &past,
            run.replay.answer_ids(),
            run.weight,
            wants_gradients,
            run.cancel,
        )?;
        drop(past);
        run.timings.rows_s = start.elapsed().as_secs_f64();
        run.steps.advance();
        let mut found = trace.clone();
        for method in &request.methods {
            let Computation::AnswerGradients(compute) = method.run else { continue };
            let start = Instant::now();
            let answers = run.replay.answer_ids().len();
            let map = compute(&AnswerGradients {
                prompt_len: run.prompt_len(),
                positions: run.positions(),
                answers,
                threads: run.threads,
                prompt: &prompt.abar.layers()?,
                rows: &rows.layers()?,
            });
            found = found.with_map(method.tensor, &[answers, method.columns(trace)], &map)?;
            run.timings.recursion_s += start.elapsed().as_secs_f64();
        }
        if wants_gradients {
            found = add_gradient_pages(run, &found, &gradients.layers()?)?;
        }
        Ok(found)
    }

    /// Keys and values of the positions before the first predicting position: from the question that was answered last,
    /// or by a forward pass.
    fn prompt_cache(&mut self, run: &mut Pass<'_>) -> Result<KvCache> {
        let start = Instant::now();
        let wanted = run.prompt_len() - 1;
        let kept = self.prefix.as_ref().filter(|kept| {
            kept.picture == run.picture
                && kept.interventions.is_neutral()
                && kept.ids.get(..wanted) == run.replay.ids.get(..wanted)
        });
        let cache = match kept {
            Some(kept) => self.sessions.cache_prefix(&kept.cache, wanted, 1)?,
            None if wanted == 0 => self.sessions.empty_cache(1)?,
            None => {
                let empty = self.sessions.empty_cache(1)?;
                let embeddings = run.embeddings(0..wanted);
                let call = Call::default();
                let nothing = &mut |_: super::session::DecoderPart<'_>| Ok(());
                let (_, cache) = self
                    .sessions
                    .decode(embeddings, run.hidden, &empty, call, run.cancel, nothing)?;
                cache
            }
        };
        run.timings.forward_s = start.elapsed().as_secs_f64();
        run.steps.advance();
        Ok(cache)
    }
}

/// Gradient ⊙ attention of all layers, [H, G, T] each, as pages [L, H, T] of the positive part.
fn add_gradient_pages(run: &Pass<'_>, trace: &Trace, layers: &[&[f32]]) -> Result<Trace> {
    let (positions, answers) = (run.positions(), run.replay.answer_ids().len());
    let largest = layers.iter().flat_map(|layer| layer.iter()).copied().fold(0.0, f32::max);
    let scale = page_scale(largest);
    let meta = trace.meta();
    let stats_of = RowStats::new(&meta.spans, meta.question_keys(), scale);
    let mut pages = Vec::with_capacity(answers);
    let mut stats = Vec::new();
    for answer in 0..answers {
        let mut page: Vec<f16> = Vec::with_capacity(trace.shape().page_len());
        for layer in layers {
            for head in layer.chunks_exact(answers * positions) {
                let row = &head[answer * positions..(answer + 1) * positions];
                let first = page.len();
                page.extend(row.iter().map(|value| f16::from_f32(value.max(0.0) * scale)));
                stats.extend(stats_of.measure(&page[first..]));
            }
        }
        pages.push(page.into());
    }
    let rows: Vec<u32> =
        (0..answers as u32).map(|answer| meta.query_of_answer(AnswerIndex(answer)).0).collect();
    Ok(trace.with_pages(GRADIENT_ATTENTION, &rows, scale, pages, &stats)?)
}

/// The power of two that scales `largest` to just below 2^14: far from f16's subnormals and from its largest number.
fn page_scale(largest: f32) -> f32 {
    if !(largest.is_normal() && largest > 0.0) {
        return 1.0;
    }
    let exponent = (14 - largest.log2().ceil() as i32).clamp(-100, 100);
    2.0_f32.powi(exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_is_a_power_of_two_that_fills_half_floats() {
        for largest in [1e-12_f32, 3e-4, 0.5, 1.0, 77.0, 1e9] {
            let scale = page_scale(largest);
            assert_eq!(scale.log2().fract(), 0.0);
            let scaled = largest * scale;
            assert!((8192.0..=16384.0).contains(&scaled), "{largest}: {scaled}");
        }
        assert_eq!(page_scale(0.0), 1.0);
    }
}
