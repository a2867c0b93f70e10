//! The trace that an answer must be, as its prompt and its request imply: nothing of another size is fetched, and
//! numbers are checked as those of a graph in this process.

use crate::model::request::Rows;
use crate::trace::{Dtype, Trace, TraceBuilder, TraceMeta};
use half::f16;

/// Largest weight of a softmax, with room for the rounding of f16.
const MOST_WEIGHT: f32 = 1.01;

/// The limits of an answer that its request sets.
#[derive(Clone, Copy, Debug)]
pub struct Request {
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

/// What is known of an answer after its `prompt`.
#[derive(Debug)]
pub struct Expected {
    request: Request,
    prompt: TraceMeta,
    /// Names and shapes of the pictures.
    pictures: Vec<(String, Vec<usize>)>,
}

impl Expected {
    /// Of an answer that begins with this prompt.
    pub fn new(builder: &TraceBuilder, request: Request) -> Self {
        let pictures = builder.pictures();
        let pictures = pictures.map(|(name, shape, _)| (name.to_owned(), shape.to_vec())).collect();
        Self { request, prompt: builder.meta().clone(), pictures }
    }

    /// Why a trace, of which only the first ranges need to be here, cannot be the answer.
    pub fn fault_of(&self, trace: &Trace) -> Option<String> {
        let (meta, shape) = (trace.meta(), trace.shape());
        let Self { request, prompt, pictures } = self;
        let count = prompt.prompt_len();
        let is_of_prompt = meta.model == prompt.model
            && meta.spans == prompt.spans
            && meta.attention_scale == prompt.attention_scale
            && meta.prompt_len() == count
            && meta.tokens.get(..count) == prompt.tokens.get(..count);
        if !is_of_prompt {
            return Some("its trace is not that of its prompt".into());
        }
        if shape.generated == 0 || shape.generated > request.most_tokens {
            return Some(format!("its trace has {} answer tokens", shape.generated));
        }
        let first = request.rows.first(&prompt.spans);
        if !trace.rows().iter().copied().eq(first..shape.positions as u32) {
            return Some("its trace has other rows of attention than asked for".into());
        }
        for (name, _, shape, _) in trace.tensors() {
            let is_expected = match name {
                "attention.vision" => request.vision_attention,
                "answer.topk_ids" => shape.get(1).is_some_and(|&count| count <= request.topk),
                _ if name.starts_with("picture.") => {
                    pictures.iter().any(|(own, of)| own == name && of == shape)
                }
                _ => ["answer.", "attention."].iter().any(|start| name.starts_with(start)),
            };
            if !is_expected {
                return Some(format!("its trace has a tensor `{name}` that was not asked for"));
            }
        }
        let is_known = |&id: &i32| (0..request.vocab as i64).contains(&i64::from(id));
        if !trace.answer_ids().iter().all(is_known) {
            return Some("its answer has a token that the model lacks".into());
        }
        None
    }
}

/// Why the numbers of a whole trace cannot come from a model.
pub fn fault_of_numbers(trace: &Trace) -> Option<String> {
    let scale = trace.meta().attention_scale;
    let names: Vec<String> = trace.tensors().map(|(name, ..)| name.to_owned()).collect();
    names.iter().find_map(|name| {
        let tensor = trace.tensor(name)?;
        let is_sound = match tensor.dtype {
            Dtype::F16 => are_weights(&tensor.bytes, scale),
            Dtype::F32 => are_finite(&tensor.bytes),
            _ => true,
        };
        (!is_sound).then(|| format!("`{name}` {UNSOUND}"))
    })
}

/// The end of a sentence about numbers that no model returns.
pub const UNSOUND: &str = "holds numbers that are not finite, or weights that are not from 0 to 1";

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
