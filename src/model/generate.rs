//! Prefill and decode: from a built prompt to a finished trace.
//!
//! One forward pass over prompt and answer gives the same rows as a prefill and steps of one token, so a given answer
//! is scored in one call; in both cases the last id is never fed back.

use super::attention_collector::Collector;
use super::error::{ModelError, Result};
use super::event::{AskEvent, AskNotice, AskStage, Page, Progress, TokenEvent};
use super::local_engine::{AnswerContext, KeptPrefix, LocalEngine, begin};
use super::prompt::{BuiltPrompt, Labeller};
use super::request::Interventions;
use super::sampling::{Sampler, log_probability, top};
use super::session::{Bias, Call, KvCache, Provider};
use super::tokenizer::StreamDecoder;
use crate::job::CancelToken;
use crate::trace::{AnswerToken, Head, Layer, Query, Timings, Trace, TraceBuilder};
use half::f16;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

/// On a CPU, a prefill in parts computes little more than the causal half of the attention, in blocks that fit in the
/// cache: it takes a third less time than one call, and less memory.
const CPU_PREFILL_PART: usize = 128;

/// An answer that is being generated.
struct Answering<'a, 'sink> {
    run: &'a AnswerContext<'a>,
    builder: TraceBuilder,
    labeller: Labeller,
    text: StreamDecoder,
    /// Ids of the positions in `cache`.
    ids: Vec<u32>,
    cache: KvCache,
    cancel: &'a CancelToken,
    sink: &'a mut (dyn FnMut(AskEvent) + 'sink),
}

/// The outputs of a decoder call for the rows whose logits were requested.
struct CallOutput {
    /// [logit rows, V].
    logits: Vec<f32>,
    /// Pages of the call, by query.
    pages: Vec<Page>,
}

impl LocalEngine {
    /// Answers a built prompt.
    #[expect(clippy::too_many_arguments, reason = "the parts of one question, made by `ask`")]
    pub(super) fn answer(
        &mut self,
        run: &AnswerContext<'_>,
        built: BuiltPrompt,
        forced: Option<Vec<u32>>,
        mut builder: TraceBuilder,
        mut timings: Timings,
        cancel: &CancelToken,
        sink: &mut (dyn FnMut(AskEvent) + '_),
    ) -> Result<Trace> {
        let start = Instant::now();
        let mut sequence = built.ids;
        if let Some(ids) = &forced {
            sequence.extend_from_slice(&ids[..ids.len().saturating_sub(1)]);
        }
        let past = self.past(run, &sequence, &mut builder)?;
        let mut answering = Answering {
            run,
            builder,
            labeller: built.labeller,
            text: StreamDecoder::default(),
            ids: sequence[..past.positions()].to_vec(),
            cache: past,
            cancel,
            sink,
        };
        let outcome = self.prefill(&mut answering, &sequence)?;
        timings.prefill = start.elapsed().as_secs_f64();

        let start = Instant::now();
        let result = match &forced {
            Some(ids) => self.score(&mut answering, ids, outcome),
            None => self.generate(&mut answering, outcome),
        };
        timings.decode = if forced.is_some() { 0.0 } else { start.elapsed().as_secs_f64() };
        let Answering { builder, text, ids, cache, .. } = answering;
        if let Err(error) = result {
            // After a cancellation, the next question should not compute the prompt again: keep the results.
            if matches!(error, ModelError::Cancelled)
                && let Ok(trace) = builder.snapshot("")
            {
                self.keep(run, ids, cache, trace);
            }
            return Err(error);
        }
        let answer = text.finish(self.bundle().tokenizer())?;
        let provenance = builder.meta().provenance.clone();
        let trace = builder.finish(&answer, timings, provenance)?;
        self.keep(run, ids, cache, trace.clone());
        Ok(trace)
    }

    fn keep(&mut self, run: &AnswerContext<'_>, ids: Vec<u32>, cache: KvCache, trace: Trace) {
        let interventions = run.options.interventions.clone();
        self.prefix = Some(KeptPrefix { picture: run.key, interventions, ids, cache, trace });
    }

    /// The cache of the longest prefix in common with the question before; the attention rows of this prefix are added
    /// to the trace. Empty if there is no such prefix.
    fn past(
        &mut self,
        run: &AnswerContext<'_>,
        sequence: &[u32],
        builder: &mut TraceBuilder,
    ) -> Result<KvCache> {
        let reused = self.prefix.as_ref().map_or(0, |kept| {
            let same = kept.picture == run.key && kept.interventions == run.options.interventions;
            let equal = kept.ids.iter().zip(sequence).take_while(|(kept, new)| kept == new);
            // At least two new positions: for a single row, the matrix products use another code path, and the last
            // digits of the result would depend on the question before.
            let common = equal.count().min(run.prompt_len.saturating_sub(2));
            let rows_are_kept = run
                .page_queries(builder, 0..common)
                .iter()
                .all(|&query| kept.trace.row_of_query(Query(query)).is_some());
            if same && rows_are_kept { common } else { 0 }
        });
        let Some(kept) = self.prefix.as_ref().filter(|_| reused > 0) else {
            // A prefix that cannot be reused only occupies memory.
            self.prefix = None;
            return self.sessions.empty_cache(1);
        };
        copy_rows(&kept.trace, reused, &run.page_queries(builder, 0..reused), builder)?;
        let cache = self.sessions.cache_prefix(&kept.cache, reused, 1)?;
        self.counters.reused_positions += reused as u64;
        Ok(cache)
    }

    /// Runs the decoder on the positions that the cache does not hold yet, one part after the other: the queries of a
    /// part are never compared with keys of a later part.
    fn prefill(
        &mut self,
        answering: &mut Answering<'_, '_>,
        sequence: &[u32],
    ) -> Result<CallOutput> {
        let first = answering.cache.positions();
        let total = (sequence.len() - first) as u32;
        begin(answering.sink, AskStage::Prefill, total);
        let answer_from = answering.run.prompt_len - 1;
        let mut all = CallOutput { logits: Vec::new(), pages: Vec::new() };
        let mut done = 0;
        for part in prefill_parts(first..sequence.len(), self.prefill_part()) {
            let (start, end) = (part.start, part.end);
            let logit_rows = answer_from.max(start).min(end) - start..end - start;
            let outcome = self.forward(answering, &sequence[part], logit_rows)?;
            all.logits.extend(outcome.logits);
            all.pages.extend(outcome.pages);
            self.counters.prefill_positions += (end - start) as u64;
            done += (end - start) as u32;
            let progress = Progress { stage: AskStage::Prefill, done, total };
            (answering.sink)(AskEvent::Progress(progress));
        }
        Ok(all)
    }

    /// Approximate number of positions that go through the decoder at once.
    fn prefill_part(&self) -> usize {
        match self.sessions.provider() {
            Provider::Cpu => CPU_PREFILL_PART,
            // A GPU computes the causal half that is discarded faster than it launches more kernels.
            Provider::Cuda => usize::MAX,
        }
    }

    /// Runs the decoder on the next `ids` and collects their attention.
    fn forward(
        &mut self,
        answering: &mut Answering<'_, '_>,
        ids: &[u32],
        logit_rows: Range<usize>,
    ) -> Result<CallOutput> {
        let text = self.bundle.manifest().text.clone();
        let first = answering.cache.positions();
        let queries = first as u32..(first + ids.len()) as u32;
        let embeddings = self.embed(answering, ids, text.hidden)?;
        let page_queries = answering
            .run
            .page_queries(&answering.builder, queries.start as usize..queries.end as usize);
        let all: Vec<i64> = (0..ids.len() as i64).collect();
        let call = Call {
            rows: page_queries.iter().map(|&query| i64::from(query) - first as i64).collect(),
            logit_rows: logit_rows.map(|row| row as i64).collect(),
            mean_rows: all.clone(),
            last_rows: all,
            ..interventions(
                &answering.run.options.interventions,
                [text.layers, text.heads],
                queries.clone(),
            )
        };
        let mut collector = Collector::new(
            &answering.run.row_stats,
            [text.layers, text.heads],
            queries.end as usize,
            queries,
            &page_queries,
        );
        let (logits, cache) = self.sessions.decode(
            embeddings,
            text.hidden,
            &answering.cache,
            call,
            answering.cancel,
            &mut |part| {
                collector.take(part);
                Ok(())
            },
        )?;
        answering.cache = cache;
        answering.ids.extend_from_slice(ids);
        if let Some(sum) = collector.wrong_row_sum() {
            return Err(ModelError::Manifest {
                path: self.bundle.manifest_path(),
                field: "attention.scale".into(),
                reason: format!(
                    "is {}, but then the attention of a query adds up to {sum}, not to 1",
                    self.bundle.manifest().attention.scale
                ),
            });
        }
        let pages = collector.finish(&mut answering.builder)?;
        Ok(CallOutput { logits, pages })
    }

    /// Embeddings of the next ids; the image tokens among them get the picture's features.
    fn embed(
        &mut self,
        answering: &Answering<'_, '_>,
        ids: &[u32],
        hidden: usize,
    ) -> Result<Vec<f32>> {
        let is_image = |id: &&u32| self.bundle.tokenizer().is_image(**id);
        let before = answering.ids.iter().filter(is_image).count();
        let here = ids.iter().filter(is_image).count();
        let features = match &self.picture {
            Some(kept) if here > 0 => Arc::clone(&kept.features),
            _ => Arc::default(),
        };
        let wanted = before * hidden..(before + here) * hidden;
        let features = if here == 0 { Some(&[][..]) } else { features.get(wanted) };
        let features = features.ok_or_else(|| ModelError::Request {
            what: "the picture".into(),
            reason: format!("has no features for {here} image tokens."),
        })?;
        self.sessions.embed(ids, 1, features, hidden, answering.cancel)
    }

    /// Chooses tokens until a stop id or the limit is reached.
    fn generate(
        &mut self,
        answering: &mut Answering<'_, '_>,
        mut outcome: CallOutput,
    ) -> Result<()> {
        let sampling = answering.run.options.sampling;
        let mut sampler = Sampler::new(sampling);
        let max_positions = self.bundle.manifest().text.max_positions;
        // The last id needs no position.
        let room = max_positions - answering.run.prompt_len + 1;
        let limit = (sampling.max_new_tokens as usize).min(room);
        let eos_ids = self.bundle.manifest().text.eos_ids.clone();
        begin(answering.sink, AskStage::Decode, limit as u32);
        for index in 0..limit {
            let id = sampler.next(&outcome.logits);
            self.accept(answering, index, id, &outcome.logits, outcome.pages.pop())?;
            if eos_ids.contains(&id) {
                return Ok(());
            }
            if index + 1 < limit {
                outcome = self.forward(answering, &[id], 0..1)?;
                self.counters.decode_steps += 1;
            }
        }
        if limit == room {
            (answering.sink)(AskEvent::Notice(AskNotice::Text(format!(
                "The answer was stopped at the model's limit of {max_positions} positions."
            ))));
        }
        Ok(())
    }

    /// Reads the log-probabilities of a given answer from the logits.
    fn score(
        &mut self,
        answering: &mut Answering<'_, '_>,
        ids: &[u32],
        mut outcome: CallOutput,
    ) -> Result<()> {
        let vocabulary = self.bundle.manifest().text.vocab;
        let logits = std::mem::take(&mut outcome.logits);
        for (index, (&id, logits)) in ids.iter().zip(logits.chunks_exact(vocabulary)).enumerate() {
            let query = (answering.run.prompt_len - 1 + index) as u32;
            let page = outcome.pages.iter().find(|page| page.query.0 == query).cloned();
            self.accept(answering, index, id, logits, page)?;
        }
        Ok(())
    }

    /// Adds an answer token to the trace and sends the event.
    fn accept(
        &mut self,
        answering: &mut Answering<'_, '_>,
        index: usize,
        id: u32,
        logits: &[f32],
        page: Option<Page>,
    ) -> Result<()> {
        let tokenizer = self.bundle.tokenizer();
        let token = AnswerToken {
            token: answering.labeller.label_answer(tokenizer, id, answering.run.turn),
            logprob: log_probability(logits, id),
            topk: top(logits, answering.run.options.topk),
        };
        answering.builder.push_token(token.clone());
        let text = answering.text.push(tokenizer, id)?.to_owned();
        if let Some(page) = page {
            let event = TokenEvent { index: index as u32, token, text, page: Some(page) };
            (answering.sink)(AskEvent::Token(Box::new(event)));
        }
        Ok(())
    }
}

impl AnswerContext<'_> {
    /// The positions of `queries` that get a page.
    fn page_queries(&self, builder: &TraceBuilder, queries: Range<usize>) -> Vec<u32> {
        let first = self.options.rows.first(&builder.meta().spans) as usize;
        (queries.start.max(first)..queries.end).map(|query| query as u32).collect()
    }
}

/// Splits `positions` into parts of about `part`, none of a single position: for one row, the matrix products use
/// another code path, and the last digits of the result would depend on the split.
fn prefill_parts(positions: Range<usize>, part: usize) -> impl Iterator<Item = Range<usize>> {
    let count = positions.len().div_ceil(part).max(1);
    let bound = move |index: usize| positions.start + positions.len() * index / count;
    (0..count).map(move |index| bound(index)..bound(index + 1))
}

/// The decoder's inputs for interventions on the positions `queries`; without interventions, no inputs.
pub(super) fn interventions(
    given: &Interventions,
    [layers, heads]: [usize; 2],
    queries: Range<u32>,
) -> Call {
    let mut call = Call { head_scale: given.head_scale.clone(), ..Call::default() };
    if !given.knock_layers.is_empty() {
        let layers = 0..layers as u32;
        call.knock_layers =
            layers.map(|layer| f32::from(u8::from(given.knock_layers.contains(&layer)))).collect();
        call.knock_key = marks(0..queries.end, &given.knock_keys);
        call.knock_query = marks(queries.clone(), &given.knock_queries);
    }
    if let Some(steering) = given.steering.as_ref().filter(|steering| !steering.is_neutral()) {
        let keys: Vec<f32> = marks(0..queries.end, &steering.keys);
        let strength = |layer: usize, head: usize| {
            let steered = |pair: &[u32; 2]| pair.map(|at| at as usize) == [layer, head];
            let all = steering.heads.is_empty();
            if all || steering.heads.iter().any(steered) { steering.strength } else { 0.0 }
        };
        let strengths =
            (0..layers).flat_map(|layer| (0..heads).map(move |head| strength(layer, head)));
        call.bias = Some(Bias {
            heads,
            keys: keys.len(),
            values: strengths.flat_map(|by| keys.iter().map(move |key| by * key)).collect(),
            queries: marks(queries, &steering.queries),
        });
    }
    call
}

/// 1 for each position inside of a range, 0 for the others.
fn marks(positions: Range<u32>, ranges: &[Range<u32>]) -> Vec<f32> {
    let marked = |position| ranges.iter().any(|range| range.contains(&position));
    positions.map(|position| f32::from(u8::from(marked(position)))).collect()
}

/// Copies the attention of the first `positions` queries from the trace of the question before.
fn copy_rows(
    from: &Trace,
    positions: usize,
    page_queries: &[u32],
    builder: &mut TraceBuilder,
) -> Result<()> {
    let shape = from.shape();
    let missing = || ModelError::Request {
        what: "the trace of the question before".into(),
        reason: "lacks rows of attention.".into(),
    };
    // Keys past a query are zero, so the row is cut to the length of the prefix.
    let cut = |maps: &[f16]| -> Vec<f16> {
        maps.chunks_exact(shape.positions).flat_map(|map| &map[..positions]).copied().collect()
    };
    for &query in page_queries {
        let row = from.row_of_query(Query(query)).ok_or_else(missing)?;
        let (page, stats) = from.page(row).zip(from.stats(row)).ok_or_else(missing)?;
        builder.push_page(Query(query), positions, cut(&page).into(), Arc::from(&*stats))?;
    }
    let layers = (0..shape.layers).map(|layer| from.head_mean(Layer(layer as u32)));
    let layers: Option<Vec<_>> = layers.collect();
    let heads = (0..shape.heads).map(|head| from.last_layer(Head(head as u32)));
    let heads: Option<Vec<_>> = heads.collect();
    let (layers, heads) = layers.zip(heads).ok_or_else(missing)?;
    for query in 0..positions {
        let row = query * shape.positions..query * shape.positions + positions;
        let of = |maps: &[std::borrow::Cow<'_, [f16]>]| -> Arc<[f16]> {
            maps.iter().flat_map(|map| &map[row.clone()]).copied().collect()
        };
        let position = Query(query as u32);
        builder.push_head_mean(position, positions, of(&layers))?;
        builder.push_last_layer(position, positions, of(&heads))?;
    }
    Ok(())
}
