//! A trace under construction: rows and tokens arrive while the answer is generated.
//!
//! A page is stored with the number of keys at the time it was computed; only [`TraceBuilder::finish`] has T and fills
//! the keys that a query could not see with zeros.

use super::tensor::{Tensor, TensorBytes, owned};
use super::{ModelInfo, Query, RequestInfo, STAT_COUNT, TokenInfo, Trace, TraceError, TraceMeta};
use half::f16;
use safetensors::Dtype;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One generated token.
#[derive(Clone, Debug, PartialEq)]
pub struct AnswerToken {
    /// Its vocabulary id and its text.
    pub token: TokenInfo,
    /// Log-probability under the model, before temperature.
    pub logprob: f32,
    /// The most likely ids at this step with their log-probabilities, best first.
    pub topk: Vec<(u32, f32)>,
}

/// A row of attention with the number of keys that it was computed with.
#[derive(Clone, Debug)]
struct Row {
    keys: usize,
    /// Outer axes × keys, f16 little-endian.
    weights: Arc<[f16]>,
    /// Whether each of the outer axes has its weights; `None`: all.
    there: Option<Arc<[bool]>>,
}

/// Collects a trace. Rows may arrive in any order.
#[derive(Clone, Debug)]
pub struct TraceBuilder {
    meta: TraceMeta,
    pages: BTreeMap<u32, (Row, Arc<[f32]>)>,
    head_mean: BTreeMap<u32, Row>,
    last_layer: BTreeMap<u32, Row>,
    answer: Vec<AnswerToken>,
    tensors: BTreeMap<String, Tensor>,
}

impl TraceBuilder {
    /// Starts from the metadata of the prompt: `meta.tokens` holds the P prompt positions.
    pub fn new(meta: TraceMeta) -> Self {
        Self {
            meta,
            pages: BTreeMap::new(),
            head_mean: BTreeMap::new(),
            last_layer: BTreeMap::new(),
            answer: Vec::new(),
            tensors: BTreeMap::new(),
        }
    }

    /// The metadata of the trace under construction.
    pub fn meta(&self) -> &TraceMeta {
        &self.meta
    }

    /// The tokens generated so far.
    pub fn answer(&self) -> &[AnswerToken] {
        &self.answer
    }

    /// Adds the next picture: the encoded file (already without private metadata) and the RGB
    /// pixels ([height, width, 3]) that the model saw.
    ///
    /// # Errors
    /// If the pixels do not fill the size.
    pub fn add_picture(
        &mut self,
        picture: usize,
        original: &[u8],
        [width, height]: [u32; 2],
        rgb: &[u8],
    ) -> Result<(), TraceError> {
        let shape = [height as usize, width as usize, 3];
        self.check(rgb.len() == shape.iter().product::<usize>(), || {
            format!("picture {picture} has {} bytes for {shape:?}", rgb.len())
        })?;
        self.tensors.insert(
            format!("picture.{picture}.original"),
            owned(Dtype::U8, &[original.len()], original),
        );
        self.tensors
            .insert(format!("picture.{picture}.preprocessed"), owned(Dtype::U8, &shape, rgb));
        Ok(())
    }

    /// Names, shapes and bytes of the pictures and of the pixels that the model saw.
    pub fn pictures(&self) -> impl Iterator<Item = (&str, &[usize], &[u8])> {
        let pictures = self.tensors.iter().filter(|(name, _)| name.starts_with("picture."));
        pictures.filter_map(|(name, tensor)| {
            Some((name.as_str(), tensor.shape.as_slice(), tensor.in_memory()?))
        })
    }

    /// Adds a page: [L, H, `keys`] weights times the scale, and its stats [L, H, 5].
    ///
    /// # Errors
    /// If either has the wrong length, or the query could see more than `keys`.
    pub fn push_page(
        &mut self,
        query: Query,
        keys: usize,
        weights: Arc<[f16]>,
        stats: Arc<[f32]>,
    ) -> Result<(), TraceError> {
        self.push_part_of_page(query, keys, weights, stats, None)
    }

    /// As [`Self::push_page`], with whether each map [L, H] has its weights; `None`: all.
    ///
    /// # Errors
    /// As [`Self::push_page`].
    pub fn push_part_of_page(
        &mut self,
        query: Query,
        keys: usize,
        weights: Arc<[f16]>,
        stats: Arc<[f32]>,
        there: Option<Arc<[bool]>>,
    ) -> Result<(), TraceError> {
        let ModelInfo { layers, heads, .. } = self.meta.model;
        let maps = layers as usize * heads as usize;
        self.check_row("page", query, keys, weights.len(), maps)?;
        self.check(stats.len() == maps * STAT_COUNT, || {
            format!("page {query} has {} stats for {maps} heads", stats.len())
        })?;
        self.check(there.as_ref().is_none_or(|there| there.len() == maps), || {
            format!("page {query} does not say which of its {maps} maps it has")
        })?;
        self.pages.insert(query.0, (Row { keys, weights, there }, stats));
        Ok(())
    }

    /// Adds one query of the mean over heads: [L, `keys`] weights times the scale.
    ///
    /// # Errors
    /// If the length is wrong.
    pub fn push_head_mean(
        &mut self,
        query: Query,
        keys: usize,
        weights: Arc<[f16]>,
    ) -> Result<(), TraceError> {
        self.check_row("head mean", query, keys, weights.len(), self.meta.model.layers as usize)?;
        self.head_mean.insert(query.0, Row { keys, weights, there: None });
        Ok(())
    }

    /// Adds one query of the last layer: [H, `keys`] weights times the scale.
    ///
    /// # Errors
    /// If the length is wrong.
    pub fn push_last_layer(
        &mut self,
        query: Query,
        keys: usize,
        weights: Arc<[f16]>,
    ) -> Result<(), TraceError> {
        self.check_row("last layer", query, keys, weights.len(), self.meta.model.heads as usize)?;
        self.last_layer.insert(query.0, Row { keys, weights, there: None });
        Ok(())
    }

    /// Sets the attention of the vision tower: [Lv, Hv, side, side] times the scale.
    ///
    /// # Errors
    /// If the length is wrong.
    pub fn set_vision_attention(&mut self, side: usize, weights: &[f16]) -> Result<(), TraceError> {
        let shape = [
            self.meta.model.vision_layers as usize,
            self.meta.model.vision_heads as usize,
            side,
            side,
        ];
        self.check(weights.len() == shape.iter().product::<usize>(), || {
            format!("vision attention has {} weights for {shape:?}", weights.len())
        })?;
        self.tensors.insert(
            "attention.vision".into(),
            owned(Dtype::F16, &shape, bytemuck::cast_slice(weights)),
        );
        Ok(())
    }

    /// Records the request.
    pub fn set_request(&mut self, request: RequestInfo) {
        self.meta.provenance.request = Some(request);
    }

    /// Adds the next generated token.
    pub fn push_token(&mut self, token: AnswerToken) {
        self.answer.push(token);
    }

    /// The trace so far (at least one generated token).
    ///
    /// # Errors
    /// If no token was generated, or parts do not fit together.
    pub fn snapshot(&self, answer_text: &str) -> Result<Trace, TraceError> {
        // The rows themselves are shared.
        self.clone().into_trace(answer_text)
    }

    /// The finished trace.
    ///
    /// # Errors
    /// As [`Self::snapshot`].
    pub fn finish(
        mut self,
        answer_text: &str,
        timings: super::Timings,
        provenance: super::Provenance,
    ) -> Result<Trace, TraceError> {
        self.meta.timings = timings;
        self.meta.provenance = provenance;
        self.into_trace(answer_text)
    }

    /// Gives every row T keys. Each row is freed as soon as it is copied, so the rows and the tensors are never in
    /// memory in full at the same time.
    fn into_trace(self, answer_text: &str) -> Result<Trace, TraceError> {
        let Self { mut meta, pages, head_mean, last_layer, answer, mut tensors } = self;
        meta.answer = answer_text.to_owned();
        meta.tokens.truncate(meta.prompt_len());
        meta.tokens.extend(answer.iter().map(|answer| answer.token.clone()));
        let positions = meta.positions();
        let ModelInfo { layers, heads, .. } = meta.model;
        let (layers, heads) = (layers as usize, heads as usize);
        for (name, rows, maps) in [
            ("attention.head_mean", head_mean, layers),
            ("attention.last_layer", last_layer, heads),
        ] {
            if !rows.is_empty() {
                tensors.insert(name.into(), square(rows, maps, positions));
            }
        }
        let (mut rows, mut parts, mut there) = (Vec::<i32>::new(), Vec::new(), Vec::new());
        let mut all_stats = Vec::<f32>::new();
        for (query, (row, stats)) in pages {
            if (query as usize) < positions {
                rows.push(query as i32);
                there.push(row.there.clone());
                parts.push(restride(row, layers * heads, positions));
                all_stats.extend_from_slice(&stats);
            }
        }
        let bytes = match there.iter().all(Option::is_none) {
            true => TensorBytes::Parts(parts),
            false => TensorBytes::WithHoles(parts, there.into()),
        };
        let shape = vec![rows.len(), layers, heads, positions];
        tensors.insert("attention.weights".into(), Tensor { dtype: Dtype::F16, shape, bytes });
        let stats_shape = [rows.len(), layers, heads, STAT_COUNT];
        tensors.insert("attention.stats".into(), numbers(&stats_shape, &all_stats));
        tensors.insert("attention.rows".into(), ids(&[rows.len()], &rows));
        insert_answer(&mut tensors, &answer);
        Trace::assemble(None, meta, tensors)
    }

    fn check_row(
        &self,
        what: &str,
        query: Query,
        keys: usize,
        len: usize,
        maps: usize,
    ) -> Result<(), TraceError> {
        self.check(query.index() < keys, || format!("{what} {query} has only {keys} keys"))?;
        self.check(len == maps * keys, || {
            format!("{what} {query} has {len} weights for {maps} maps of {keys} keys")
        })
    }

    fn check(&self, holds: bool, reason: impl FnOnce() -> String) -> Result<(), TraceError> {
        if holds { Ok(()) } else { Err(TraceError::Inconsistent { reason: reason() }) }
    }
}

fn numbers(shape: &[usize], values: &[f32]) -> Tensor {
    owned(Dtype::F32, shape, bytemuck::cast_slice(values))
}

fn ids(shape: &[usize], values: &[i32]) -> Tensor {
    owned(Dtype::I32, shape, bytemuck::cast_slice(values))
}

/// The tensors answer.*; every token gets as many alternatives as the token with the fewest.
fn insert_answer(tensors: &mut BTreeMap<String, Tensor>, answer: &[AnswerToken]) {
    let generated = answer.len();
    let answer_ids: Vec<i32> = answer.iter().map(|answer| answer.token.id as i32).collect();
    let logprobs: Vec<f32> = answer.iter().map(|answer| answer.logprob).collect();
    let k = answer.iter().map(|answer| answer.topk.len()).min().unwrap_or(0);
    let topk = || answer.iter().flat_map(|answer| answer.topk.iter().take(k));
    let topk_ids: Vec<i32> = topk().map(|&(id, _)| id as i32).collect();
    let topk_logprobs: Vec<f32> = topk().map(|&(_, logprob)| logprob).collect();
    for (name, tensor) in [
        ("answer.ids", ids(&[generated], &answer_ids)),
        ("answer.logprob", numbers(&[generated], &logprobs)),
        ("answer.topk_ids", ids(&[generated, k], &topk_ids)),
        ("answer.topk_logprob", numbers(&[generated, k], &topk_logprobs)),
    ] {
        tensors.insert(name.into(), tensor);
    }
}

/// [maps, keys] → [maps, positions]: keys past the query are zero by causality.
fn restride(row: Row, maps: usize, positions: usize) -> Arc<[u8]> {
    if row.keys == positions {
        return Arc::from(bytemuck::cast_slice::<f16, u8>(&row.weights));
    }
    let mut page = vec![f16::ZERO; maps * positions];
    let keys = row.keys.min(positions);
    for (from, to) in row.weights.chunks_exact(row.keys).zip(page.chunks_exact_mut(positions)) {
        to[..keys].copy_from_slice(&from[..keys]);
    }
    Arc::from(bytemuck::cast_slice::<f16, u8>(&page))
}

/// Rows of [maps, keys] → [maps, positions, positions].
fn square(rows: BTreeMap<u32, Row>, maps: usize, positions: usize) -> Tensor {
    let mut squares = vec![vec![f16::ZERO; positions * positions]; maps];
    let inside = |(query, row): (u32, Row)| {
        let query = query as usize;
        (query < positions).then_some((query, row))
    };
    for (query, row) in rows.into_iter().filter_map(inside) {
        for (square, weights) in squares.iter_mut().zip(row.weights.chunks_exact(row.keys)) {
            let keys = row.keys.min(positions);
            square[query * positions..query * positions + keys].copy_from_slice(&weights[..keys]);
        }
    }
    let parts = squares.into_iter().map(|square| Arc::from(bytemuck::cast_slice(&square)));
    Tensor {
        dtype: Dtype::F16,
        shape: vec![maps, positions, positions],
        bytes: TensorBytes::Parts(parts.collect()),
    }
}
