//! An opened trace: metadata plus views of its tensors.
//!
//! The bytes are either mapped from a file or owned (a question just answered); views are the
//! same for both, and a mapped trace touches only the pages that are looked at.

use super::{AnswerIndex, Layer, Query, TraceError, TraceMeta};
use half::f16;
use memmap2::Mmap;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use safetensors::Dtype;

/// Sizes of the axes of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// R: query rows that were kept.
    pub rows: usize,
    /// L: decoder layers.
    pub layers: usize,
    /// H: query heads.
    pub heads: usize,
    /// T = P + G − 1: attention positions.
    pub positions: usize,
    /// G: generated ids, the stop id included.
    pub generated: usize,
}

impl Shape {
    /// Weights in one page ([L, H, T]).
    pub const fn page_len(&self) -> usize {
        self.layers * self.heads * self.positions
    }

    /// Bytes of one page as f16.
    pub const fn page_bytes(&self) -> usize {
        self.page_len() * 2
    }
}

/// The overview numbers that are kept for each row, layer and head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stat {
    /// Sum of the attention on all patches.
    ImageSum = 0,
    /// Sum of the attention on the question positions.
    QuestionSum = 1,
    /// Largest attention on a patch.
    ImageMax = 2,
    /// Entropy, in nats, of the attention on the patches normalised to sum 1.
    ImageEntropy = 3,
    /// Which patch (index over all spans) holds the maximum.
    ImageArgmax = 4,
}

/// Length of the last axis of `attention.stats`.
pub const STAT_COUNT: usize = 5;

/// Where the bytes of a tensor are.
#[derive(Clone, Debug)]
pub(super) enum TensorBytes {
    Mapped(Arc<Mmap>, Range<usize>),
    Owned(Arc<[u8]>),
    /// Equal parts along the first axis: the pages of a question just answered.
    Parts(Vec<Arc<[u8]>>),
}

/// One named tensor.
#[derive(Clone, Debug)]
pub(super) struct Tensor {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub bytes: TensorBytes,
}

impl Tensor {
    pub fn byte_len(&self) -> usize {
        match &self.bytes {
            TensorBytes::Mapped(_, range) => range.len(),
            TensorBytes::Owned(bytes) => bytes.len(),
            TensorBytes::Parts(parts) => parts.iter().map(|part| part.len()).sum(),
        }
    }

    /// The bytes in order, in as few pieces as they are stored in.
    pub fn pieces(&self) -> Vec<&[u8]> {
        match &self.bytes {
            TensorBytes::Mapped(map, range) => vec![&map[range.clone()]],
            TensorBytes::Owned(bytes) => vec![bytes],
            TensorBytes::Parts(parts) => parts.iter().map(|part| &part[..]).collect(),
        }
    }

    /// Part `index` of the first axis.
    pub fn part(&self, index: usize) -> Option<&[u8]> {
        let count = *self.shape.first()?;
        if index >= count {
            return None;
        }
        if let TensorBytes::Parts(parts) = &self.bytes {
            return parts.get(index).map(|part| &part[..]);
        }
        let whole = *self.pieces().first()?;
        let len = whole.len() / count;
        whole.get(index * len..(index + 1) * len)
    }
}

/// A tensor by name: for methods and tools that the trace module knows nothing about.
#[derive(Clone, Debug)]
pub struct TensorView<'a> {
    /// Element type.
    pub dtype: Dtype,
    /// Axes, outermost first.
    pub shape: &'a [usize],
    /// Little-endian bytes, borrowed where they are contiguous.
    pub bytes: Cow<'a, [u8]>,
}

/// The picture that the model saw, 8 bits a channel, row by row.
#[derive(Clone, Copy, Debug)]
pub struct PictureView<'a> {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// RGB, `3 × width × height` bytes.
    pub rgb: &'a [u8],
}

/// What the values in a row of a named map belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapKeys {
    /// The N patches, spans one after another.
    Patches,
    /// The T positions of prompt and answer.
    Positions,
}

/// Tells the contents of traces apart within this process: a cache is valid for one id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId(u64);

impl TraceId {
    pub(super) fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed))
    }
}

/// An immutable trace.
#[derive(Clone, Debug)]
pub struct Trace {
    pub(super) id: TraceId,
    pub(super) path: Option<PathBuf>,
    pub(super) meta: TraceMeta,
    pub(super) shape: Shape,
    pub(super) rows: Vec<u32>,
    pub(super) tensors: BTreeMap<String, Tensor>,
    /// Pages beside the attention, each as a trace whose attention they are.
    pub(super) pages: BTreeMap<String, Arc<Trace>>,
    /// Which pages the attention of this trace is, where it is not the attention.
    pub(super) own_pages: Option<String>,
}

impl Trace {
    /// Which contents these are: clones share it, a trace with another map does not.
    pub fn id(&self) -> TraceId {
        self.id
    }

    /// The metadata.
    pub fn meta(&self) -> &TraceMeta {
        &self.meta
    }

    /// Sizes of the axes.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The file it was read from or written to, if any.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The kept query positions, ascending.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// Index into [`Self::rows`] of a query position, `None` if it was not kept.
    pub fn row_of_query(&self, query: Query) -> Option<usize> {
        self.rows.binary_search(&query.0).ok()
    }

    /// Index into [`Self::rows`] of the row that predicts answer token `i`.
    pub fn row_of_answer(&self, answer: AnswerIndex) -> Option<usize> {
        self.row_of_query(self.meta.query_of_answer(answer))
    }

    /// One page: [L, H, T] f16, times `attention_scale`, little-endian bytes.
    pub fn page_bytes(&self, row: usize) -> Option<&[u8]> {
        self.tensors.get("attention.weights")?.part(row)
    }

    /// One page as numbers: [L, H, T] f16, times `attention_scale`.
    pub fn page(&self, row: usize) -> Option<Cow<'_, [f16]>> {
        Some(cast(self.page_bytes(row)?))
    }

    /// Attention of one head in one row, unscaled: T weights.
    pub fn weights(&self, row: usize, layer: usize, head: usize) -> Option<Vec<f32>> {
        let shape = self.shape;
        if layer >= shape.layers || head >= shape.heads {
            return None;
        }
        let start = (layer * shape.heads + head) * shape.positions * 2;
        let bytes = self.page_bytes(row)?.get(start..start + shape.positions * 2)?;
        let scale = 1.0 / self.meta.attention_scale;
        Some(cast::<f16>(bytes).iter().map(|weight| weight.to_f32() * scale).collect())
    }

    /// Overview numbers of a row: [L, H, 5] f32, see [`Stat`].
    pub fn stats(&self, row: usize) -> Option<Cow<'_, [f32]>> {
        Some(cast(self.tensors.get("attention.stats")?.part(row)?))
    }

    /// Mean over heads of one layer: [T, T] f16 (query, key), times `attention_scale`.
    pub fn head_mean(&self, layer: Layer) -> Option<Cow<'_, [f16]>> {
        Some(cast(self.tensors.get("attention.head_mean")?.part(layer.index())?))
    }

    /// One head of the last layer: [T, T] f16 (query, key), times `attention_scale`.
    pub fn last_layer(&self, head: super::Head) -> Option<Cow<'_, [f16]>> {
        Some(cast(self.tensors.get("attention.last_layer")?.part(head.index())?))
    }

    /// One layer of the vision tower: [Hv, N+1, N+1] f16, times `attention_scale`.
    pub fn vision_attention(&self, layer: Layer) -> Option<Cow<'_, [f16]>> {
        Some(cast(self.tensors.get("attention.vision")?.part(layer.index())?))
    }

    /// The generated ids: `[G]`.
    pub fn answer_ids(&self) -> Cow<'_, [i32]> {
        self.numbers("answer.ids")
    }

    /// Log-probability of each generated id under the model, before temperature: `[G]`.
    pub fn answer_logprobs(&self) -> Cow<'_, [f32]> {
        self.numbers("answer.logprob")
    }

    /// The K most likely ids at each step and their log-probabilities: two times [G, K], and K.
    pub fn answer_topk(&self) -> (Cow<'_, [i32]>, Cow<'_, [f32]>, usize) {
        let k = self.tensors.get("answer.topk_ids").map_or(0, |tensor| tensor.shape[1]);
        (self.numbers("answer.topk_ids"), self.numbers("answer.topk_logprob"), k)
    }

    /// The picture as it was given (an encoded file without its metadata).
    pub fn picture_original(&self, picture: usize) -> Option<&[u8]> {
        self.tensors.get(&format!("picture.{picture}.original"))?.pieces().first().copied()
    }

    /// The picture that the model saw.
    pub fn picture_preprocessed(&self, picture: usize) -> Option<PictureView<'_>> {
        let tensor = self.tensors.get(&format!("picture.{picture}.preprocessed"))?;
        let rgb = *tensor.pieces().first()?;
        Some(PictureView { width: tensor.shape[1] as u32, height: tensor.shape[0] as u32, rgb })
    }

    /// Names of the maps in the trace ("relevancy.llm", "map.METHOD", …), sorted.
    pub fn map_names(&self) -> Vec<&str> {
        let is_map = |name: &&String| name.starts_with("relevancy.") || name.starts_with("map.");
        self.tensors.keys().filter(is_map).map(String::as_str).collect()
    }

    /// What a map has a value for; `None` if the trace has no f32 map [G, N] or [G, T] of that name.
    pub fn map_keys(&self, name: &str) -> Option<MapKeys> {
        let tensor = self.tensors.get(name).filter(|tensor| tensor.dtype == Dtype::F32)?;
        match *tensor.shape.as_slice() {
            [rows, _] if rows != self.shape.generated => None,
            [_, keys] if keys == self.meta.patches() => Some(MapKeys::Patches),
            [_, keys] if keys == self.shape.positions => Some(MapKeys::Positions),
            _ => None,
        }
    }

    /// Whether the map `name` was computed for an answer token. A row that was not holds NaN; older
    /// files hold zeros in the rows of `relevancy.*`.
    pub fn has_map_row(&self, name: &str, answer: AnswerIndex) -> bool {
        let zero_is_missing = name.starts_with("relevancy.");
        self.map_row(name, answer).is_some_and(|row| {
            row.iter().any(|value| value.is_finite() && !(zero_is_missing && *value == 0.0))
        })
    }

    /// Values of a map for one answer token: N patches, or all T positions (relevancy.llm).
    pub fn map_row(&self, name: &str, answer: AnswerIndex) -> Option<Cow<'_, [f32]>> {
        let tensor = self.tensors.get(name).filter(|tensor| tensor.dtype == Dtype::F32)?;
        Some(cast(tensor.part(answer.index())?))
    }

    /// Any tensor by name.
    pub fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        let tensor = self.tensors.get(name)?;
        let pieces = tensor.pieces();
        let bytes = match pieces.as_slice() {
            [one] => Cow::Borrowed(*one),
            many => Cow::Owned(many.concat()),
        };
        Some(TensorView { dtype: tensor.dtype, shape: &tensor.shape, bytes })
    }

    /// Names, types, shapes and sizes in bytes of all tensors, sorted by name.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, Dtype, &[usize], usize)> {
        self.tensors.iter().map(|(name, tensor)| {
            (name.as_str(), tensor.dtype, tensor.shape.as_slice(), tensor.byte_len())
        })
    }

    /// The same trace with one more f32 tensor (or a replaced one); [`Self::write`] keeps it.
    ///
    /// # Errors
    /// If the values do not fill the shape, or the name is one that only answering can write.
    pub fn with_map(
        &self,
        name: &str,
        shape: &[usize],
        values: &[f32],
    ) -> Result<Self, TraceError> {
        if !name.starts_with("relevancy.") && !name.starts_with("map.") {
            let reason = format!("`{name}` is not a name for a map; use map.NAME");
            return Err(TraceError::Inconsistent { reason });
        }
        if shape.iter().product::<usize>() != values.len()
            || shape.first() != Some(&self.shape.generated)
        {
            let reason = format!(
                "map `{name}` has {} values for shape {shape:?}; the first axis is the {} answer tokens",
                values.len(),
                self.shape.generated
            );
            return Err(TraceError::Inconsistent { reason });
        }
        let mut trace = self.clone();
        trace.id = TraceId::next();
        trace
            .tensors
            .insert(name.to_owned(), owned(Dtype::F32, shape, bytemuck::cast_slice(values)));
        trace.find_pages(self.path.as_deref())?;
        Ok(trace)
    }

    /// Adds time that was spent on relevancy.
    pub(crate) fn add_relevancy_time(&mut self, seconds: f64) {
        self.meta.timings.relevancy += seconds;
    }

    fn numbers<T: bytemuck::AnyBitPattern + bytemuck::NoUninit>(&self, name: &str) -> Cow<'_, [T]> {
        self.tensors
            .get(name)
            .and_then(|tensor| tensor.pieces().first().copied())
            .map_or_else(|| Cow::Borrowed(&[][..]), cast)
    }
}

/// An owned tensor.
pub(super) fn owned(dtype: Dtype, shape: &[usize], bytes: &[u8]) -> Tensor {
    Tensor { dtype, shape: shape.to_vec(), bytes: TensorBytes::Owned(Arc::from(bytes)) }
}

/// Bytes as numbers; copied only where a foreign writer left them misaligned.
pub(super) fn cast<T: bytemuck::AnyBitPattern + bytemuck::NoUninit>(bytes: &[u8]) -> Cow<'_, [T]> {
    match bytemuck::try_cast_slice(bytes) {
        Ok(numbers) => Cow::Borrowed(numbers),
        Err(_) => Cow::Owned(
            bytes.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned).collect(),
        ),
    }
}
