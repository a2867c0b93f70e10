//! The trace that an answer must be, as its prompt and its request imply: nothing of another size is fetched, and
//! numbers are checked as those of a graph in this process.

use crate::model::request::Rows;
use crate::trace::{Dtype, ROW_SUM_TOLERANCE, Trace, TraceBuilder, TraceMeta};
use half::f16;

/// Largest weight of a softmax, with room for the rounding of f16.
const MOST_WEIGHT: f32 = 1.0 + ROW_SUM_TOLERANCE;

/// The limits that its request sets to an answer.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most tokens of the answer.
    pub most_tokens: usize,
    /// The rows of attention that are kept.
    pub rows: Rows,
    /// Whether the attention of the vision tower is part of the trace.
    pub vision_attention: bool,
    /// Most alternatives of a token.
    pub topk: usize,
    /// Size of the vocabulary.
    pub vocab: usize,
}

/// An answer as far as its `prompt` tells it.
#[derive(Debug)]
pub struct Expected {
    limits: Limits,
    prompt: TraceMeta,
    /// Names and shapes of the pictures.
    pictures: Vec<(String, Vec<usize>)>,
}

impl Expected {
    /// Of an answer that begins with this prompt.
    pub fn new(builder: &TraceBuilder, limits: Limits) -> Self {
        let pictures = builder.pictures();
        let pictures = pictures.map(|(name, shape, _)| (name.to_owned(), shape.to_vec())).collect();
        Self { limits, prompt: builder.meta().clone(), pictures }
    }

    /// Of an answer to the question of a trace, which has no `prompt` of its own.
    pub fn again(trace: &Trace, limits: Limits) -> Self {
        let original = ("picture.0.original".to_owned(), vec![0]);
        let pictures = trace.tensors().filter(|(name, ..)| name.starts_with("picture."));
        let mut pictures: Vec<(String, Vec<usize>)> =
            pictures.map(|(name, _, shape, _)| (name.to_owned(), shape.to_vec())).collect();
        // The file of the picture may have been left out; it is then empty.
        if pictures.iter().all(|(name, _)| *name != original.0) {
            pictures.push(original);
        }
        Self { limits, prompt: trace.meta().clone(), pictures }
    }

    /// Why a trace, of which only the first ranges need to be here, cannot be the answer.
    pub fn fault_of(&self, trace: &Trace) -> Option<String> {
        let (meta, shape) = (trace.meta(), trace.shape());
        let Self { limits, prompt, pictures } = self;
        let count = prompt.prompt_len();
        let model = |meta: &TraceMeta| {
            let model = &meta.model;
            (
                model.bundle_sha.clone(),
                model.layer_numbers().len(),
                model.heads,
                model.vision_layers,
            )
        };
        let places = |meta: &TraceMeta| -> Vec<[u32; 3]> {
            meta.spans.iter().map(|span| [span.first, span.rows, span.columns]).collect()
        };
        let is_of_prompt = model(meta) == model(prompt)
            && places(meta) == places(prompt)
            && meta.attention_scale == prompt.attention_scale
            && meta.prompt_len() == count
            && meta.tokens.get(..count) == prompt.tokens.get(..count);
        if !is_of_prompt {
            return Some("its trace is not that of its prompt".into());
        }
        if shape.generated == 0 || shape.generated > limits.most_tokens {
            return Some(format!("its trace has {} answer tokens", shape.generated));
        }
        let first = limits.rows.first(&prompt.spans);
        if !trace.rows().iter().copied().eq(first..shape.positions as u32) {
            return Some("its trace has other rows of attention than asked for".into());
        }
        for (name, _, shape, _) in trace.tensors() {
            let is_expected = match name {
                "attention.vision" => limits.vision_attention,
                "answer.topk_ids" => shape.get(1).is_some_and(|&count| count <= limits.topk),
                _ if name.starts_with("picture.") => {
                    pictures.iter().any(|(own, of)| own == name && of == shape)
                }
                _ => ["answer.", "attention."].iter().any(|start| name.starts_with(start)),
            };
            if !is_expected {
                return Some(format!("its trace has a tensor `{name}` that was not asked for"));
            }
        }
        let is_known = |&id: &i32| (0..limits.vocab as i64).contains(&i64::from(id));
        if !trace.answer_ids().iter().all(is_known) {
            return Some("its answer has a token that the model lacks".into());
        }
        None
    }
}

/// Why numbers of a trace cannot come from a model; those that are read on demand are left out.
pub fn fault_of_small_numbers(trace: &Trace) -> Option<String> {
    let on_demand: Vec<&str> = trace.places_in_file().map(|(name, ..)| name).collect();
    let mut small = trace.tensors().filter(|(name, ..)| !on_demand.contains(name));
    small.find_map(|(name, ..)| fault_of_tensor(trace, name))
}

/// Why the numbers of a whole trace cannot come from a model.
pub fn fault_of_numbers(trace: &Trace) -> Option<String> {
    trace.tensors().find_map(|(name, ..)| match name {
        // One row after the other: they may be most of the memory.
        "attention.weights" => {
            let is_sound = |row: usize| {
                let page = trace.page_bytes(row);
                let (keys, scale) = (trace.shape().positions, trace.meta().attention_scale);
                page.is_some_and(|page| are_rows(&page, keys, scale))
            };
            let all = (0..trace.rows().len()).all(is_sound);
            (!all).then(|| format!("`{name}` {UNSOUND}"))
        }
        _ => fault_of_tensor(trace, name),
    })
}

fn fault_of_tensor(trace: &Trace, name: &str) -> Option<String> {
    let tensor = trace.tensor(name)?;
    let is_sound = match tensor.dtype {
        Dtype::F16 => are_weights(&tensor.bytes, trace.meta().attention_scale),
        Dtype::F32 => are_finite(&tensor.bytes),
        _ => true,
    };
    (!is_sound).then(|| format!("`{name}` {UNSOUND}"))
}

/// The end of a sentence about numbers that no model returns.
pub const UNSOUND: &str = "holds numbers that no model returns: not finite, no weights from 0 to 1, or weights of a head whose sum is not 1";

/// Whether little-endian f16 numbers are attention weights times `scale`, the weights of each query and head over `keys` keys one
/// after the other: each is the output of a softmax, as the last query of a graph in this process is checked to be.
pub fn are_rows(bytes: &[u8], keys: usize, scale: f32) -> bool {
    let is_one = |row: &[u8]| {
        let weights = row.chunks_exact(size_of::<f16>());
        let weights = weights.map(|bytes| bytemuck::pod_read_unaligned::<f16>(bytes).to_f32());
        (weights.sum::<f32>() / scale - 1.0).abs() <= ROW_SUM_TOLERANCE
    };
    let row_bytes = (keys * size_of::<f16>()).max(1);
    are_weights(bytes, scale) && bytes.chunks(row_bytes).all(is_one)
}

/// Whether little-endian f16 numbers are attention weights times `scale`.
pub fn are_weights(bytes: &[u8], scale: f32) -> bool {
    let most = scale * MOST_WEIGHT;
    let mut numbers = bytes.chunks_exact(size_of::<f16>());
    numbers.all(|bytes| (0.0..=most).contains(&bytemuck::pod_read_unaligned::<f16>(bytes).to_f32()))
}

/// Whether little-endian f32 numbers are finite.
pub fn are_finite(bytes: &[u8]) -> bool {
    let mut numbers = bytes.chunks_exact(size_of::<f32>());
    numbers.all(|bytes| bytemuck::pod_read_unaligned::<f32>(bytes).is_finite())
}
