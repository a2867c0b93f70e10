//! An opened trace: metadata plus views of its tensors.
//!
//! The bytes are in memory (a question just answered) or stay in their file, from which pages are read on demand; the
//! views are the same for both.

use super::source::{FileStamp, TraceFile};
use super::tensor_rules::check_tensor;
use super::{AnswerIndex, Layer, Query, RowStats, Shape, TraceError, TraceMeta};
use half::f16;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use safetensors::Dtype;

/// The largest file that is read into memory: an answer about one picture by a 7 B model has 90 MB.
const READ_AHEAD_BYTES: u64 = 100 << 20;
/// Number of bytes that are copied from file to file at once.
const COPIED_AT_ONCE: u64 = 4 << 20;

/// The storage of a tensor's bytes.
#[derive(Clone, Debug)]
pub(super) enum TensorBytes {
    /// A range of a file that is read on demand or is in memory.
    File(Arc<TraceFile>, Range<u64>),
    Owned(Arc<[u8]>),
    /// Equal parts along the first axis: the pages of a question just answered.
    Parts(Vec<Arc<[u8]>>),
    /// As `Parts`, with whether each map of a part has arrived from another machine; `None`: all of them.
    WithHoles(Vec<Arc<[u8]>>, Arc<[Option<Arc<[bool]>>]>),
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
            TensorBytes::File(_, range) => (range.end - range.start) as usize,
            TensorBytes::Owned(bytes) => bytes.len(),
            TensorBytes::Parts(parts) | TensorBytes::WithHoles(parts, _) => {
                parts.iter().map(|part| part.len()).sum()
            }
        }
    }

    /// Whether both share the same storage.
    pub fn is_shared_with(&self, other: &Self) -> bool {
        match (&self.bytes, &other.bytes) {
            (TensorBytes::File(one, range), TensorBytes::File(other, place)) => {
                Arc::ptr_eq(one, other) && range == place
            }
            (TensorBytes::Owned(one), TensorBytes::Owned(other)) => Arc::ptr_eq(one, other),
            (TensorBytes::Parts(one), TensorBytes::Parts(other))
            | (TensorBytes::WithHoles(one, _), TensorBytes::WithHoles(other, _)) => {
                one.len() == other.len()
                    && one.iter().zip(other).all(|(one, other)| Arc::ptr_eq(one, other))
            }
            _ => false,
        }
    }

    /// All bytes, if they are in memory and contiguous.
    pub fn in_memory(&self) -> Option<&[u8]> {
        match &self.bytes {
            TensorBytes::File(file, range) => file.in_memory(range),
            TensorBytes::Owned(bytes) => Some(bytes),
            TensorBytes::Parts(_) | TensorBytes::WithHoles(..) => None,
        }
    }

    /// All bytes.
    ///
    /// # Errors
    /// If they cannot be read from the file.
    pub fn read(&self) -> io::Result<Cow<'_, [u8]>> {
        if let Some(bytes) = self.in_memory() {
            return Ok(Cow::Borrowed(bytes));
        }
        Ok(Cow::Owned(match &self.bytes {
            TensorBytes::File(file, range) => file.read(range.clone())?,
            TensorBytes::Parts(parts) => parts.concat(),
            TensorBytes::WithHoles(..) => return Err(io::ErrorKind::WouldBlock.into()),
            TensorBytes::Owned(bytes) => bytes.to_vec(),
        }))
    }

    /// Writes all bytes; bytes of a file are copied in parts, not held in memory at once.
    ///
    /// # Errors
    /// If they cannot be read from the file, or not be written.
    pub fn copy_to(&self, out: &mut impl Write) -> io::Result<()> {
        if let Some(bytes) = self.in_memory() {
            return out.write_all(bytes);
        }
        match &self.bytes {
            TensorBytes::File(file, range) => {
                let mut start = range.start;
                while start < range.end {
                    let end = range.end.min(start + COPIED_AT_ONCE);
                    out.write_all(&file.read(start..end)?)?;
                    start = end;
                }
                Ok(())
            }
            TensorBytes::Parts(parts) => parts.iter().try_for_each(|part| out.write_all(part)),
            TensorBytes::WithHoles(..) => Err(io::ErrorKind::WouldBlock.into()),
            TensorBytes::Owned(bytes) => out.write_all(bytes),
        }
    }

    /// Appends a range of the bytes to `out`.
    ///
    /// # Errors
    /// If they cannot be read from the file.
    pub fn append_range(&self, range: Range<usize>, out: &mut Vec<u8>) -> io::Result<()> {
        match &self.bytes {
            TensorBytes::Parts(parts) => {
                let mut start = 0;
                for part in parts {
                    let end = start + part.len();
                    let (from, to) = (range.start.max(start), range.end.min(end));
                    if from < to {
                        out.extend_from_slice(&part[from - start..to - start]);
                    }
                    start = end;
                }
                Ok(())
            }
            TensorBytes::WithHoles(..) => Err(io::ErrorKind::WouldBlock.into()),
            TensorBytes::Owned(bytes) => {
                out.extend_from_slice(&bytes[range]);
                Ok(())
            }
            TensorBytes::File(file, place) => {
                let start = place.start + range.start as u64;
                out.extend(file.read(start..place.start + range.end as u64)?);
                Ok(())
            }
        }
    }

    /// Part `index` of the first axis.
    pub fn part(&self, index: usize) -> Option<Cow<'_, [u8]>> {
        let count = *self.shape.first()?;
        let length = self.byte_len().checked_div(count)?;
        self.part_of_part(index, 0, length)
    }

    /// `length` bytes of part `index` of the first axis, from `offset` on.
    pub fn part_of_part(
        &self,
        index: usize,
        offset: usize,
        length: usize,
    ) -> Option<Cow<'_, [u8]>> {
        let count = *self.shape.first()?;
        let whole = self.byte_len().checked_div(count)?;
        if index >= count || offset + length > whole {
            return None;
        }
        if let TensorBytes::Parts(parts) = &self.bytes {
            return parts.get(index)?.get(offset..offset + length).map(Cow::Borrowed);
        }
        if let TensorBytes::WithHoles(parts, there) = &self.bytes {
            if let Some(there) = there.get(index)?
                && length > 0
            {
                let map = (whole / there.len().max(1)).max(1);
                let touched = there.get(offset / map..(offset + length).div_ceil(map))?;
                touched.iter().all(|&there| there).then_some(())?;
            }
            return parts.get(index)?.get(offset..offset + length).map(Cow::Borrowed);
        }
        let start = index * whole + offset;
        if let Some(bytes) = self.in_memory() {
            return bytes.get(start..start + length).map(Cow::Borrowed);
        }
        let TensorBytes::File(file, range) = &self.bytes else { return None };
        let start = range.start + start as u64;
        // The file keeps the reason; see `Trace::check`.
        file.read(start..start + length as u64).ok().map(Cow::Owned)
    }
}

/// A tensor by name: for methods and tools that read tensors without an accessor of their own.
#[derive(Clone, Debug)]
pub struct TensorView<'a> {
    /// Element type.
    pub dtype: Dtype,
    /// Axes, outermost first.
    pub shape: &'a [usize],
    /// Little-endian bytes, borrowed where they are contiguous.
    pub bytes: Cow<'a, [u8]>,
}

/// The picture that the model saw, 8 bits per channel, row by row.
#[derive(Clone, Copy, Debug)]
pub struct PictureView<'a> {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// RGB, `3 × width × height` bytes.
    pub rgb: &'a [u8],
}

/// The axis of a named map's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapKeys {
    /// The N patches, spans one after another.
    Patches,
    /// The T positions of prompt and answer.
    Positions,
}

/// Distinguishes the contents of traces within this process: a cache is valid for one id.
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
    /// The file's stamp when it was read.
    pub(super) stamp: Option<FileStamp>,
    pub(super) meta: TraceMeta,
    pub(super) shape: Shape,
    pub(super) rows: Vec<u32>,
    pub(super) tensors: BTreeMap<String, Tensor>,
    /// Pages beside the attention, each as the attention of a trace of its own.
    pub(super) pages: BTreeMap<String, Arc<Trace>>,
    /// If this trace holds pages as its attention: the name of these pages.
    pub(super) own_pages: Option<String>,
}

impl Trace {
    /// The identity of the contents: clones have the same id, a trace with other maps has another.
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

    /// The file's stamp when it was read; `None` if the trace was not read from a file.
    pub fn stamp(&self) -> Option<FileStamp> {
        self.stamp
    }

    /// Reads a file of at most 100 MiB into memory: later changes of the file then have no effect on the trace.
    ///
    /// # Errors
    /// If the file was changed since it was opened, or there is no memory for it.
    pub fn read_ahead(&self) -> Result<(), TraceError> {
        let path = || self.path.clone().unwrap_or_default();
        let files = self.tensors.values().filter_map(|tensor| match &tensor.bytes {
            TensorBytes::File(file, _) => Some(file),
            _ => None,
        });
        for file in files {
            file.read_ahead(READ_AHEAD_BYTES).map_err(|source| match file.has_changed() {
                true => TraceError::ChangedOnDisk { path: path() },
                false => TraceError::Read { path: path(), source },
            })?;
        }
        Ok(())
    }

    /// Checks that all reads so far succeeded. Call it before a result of this trace is kept: if its file was
    /// overwritten, pages are missing, and everything drawn or computed from them is invalid.
    ///
    /// # Errors
    /// If the file was changed or cut while it was open, or the connection to the machine that has it was lost.
    pub fn check(&self) -> Result<(), TraceError> {
        let changed = self.tensors.values().find_map(|tensor| match &tensor.bytes {
            TensorBytes::File(file, _) if file.has_changed() => Some(file.path()),
            _ => None,
        });
        if let Some(path) = changed {
            return Err(TraceError::ChangedOnDisk { path: path.to_owned() });
        }
        let lost = self.tensors.values().find_map(|tensor| match &tensor.bytes {
            TensorBytes::File(file, _) => Some((file.path(), file.failure()?)),
            _ => None,
        });
        match lost {
            Some((path, reason)) => Err(TraceError::Lost { path: path.to_owned(), reason }),
            None => Ok(()),
        }
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
    pub fn page_bytes(&self, row: usize) -> Option<Cow<'_, [u8]>> {
        self.tensors.get("attention.weights")?.part(row)
    }

    /// One page as numbers: [L, H, T] f16, times `attention_scale`.
    pub fn page(&self, row: usize) -> Option<Cow<'_, [f16]>> {
        Some(numbers(self.page_bytes(row)?))
    }

    /// Attention of one head in one row, unscaled: T weights.
    pub fn weights(&self, row: usize, layer: usize, head: usize) -> Option<Vec<f32>> {
        let shape = self.shape;
        if layer >= shape.layers || head >= shape.heads {
            return None;
        }
        let start = (layer * shape.heads + head) * shape.positions * 2;
        let pages = self.tensors.get("attention.weights")?;
        let bytes = pages.part_of_part(row, start, shape.positions * 2)?;
        let scale = 1.0 / self.meta.attention_scale;
        Some(cast::<f16>(&bytes).iter().map(|weight| weight.to_f32() * scale).collect())
    }

    /// Overview numbers of a row: [L, H, 5] f32, see [`super::Stat`]; computed from its page if the file has none.
    pub fn stats(&self, row: usize) -> Option<Cow<'_, [f32]>> {
        let Some(stored) = self.tensors.get("attention.stats") else {
            let of = self.row_stats();
            let page = self.page(row)?;
            let heads = page.chunks_exact(self.shape.positions.max(1));
            return Some(heads.flat_map(|weights| of.measure(weights)).collect());
        };
        Some(numbers(stored.part(row)?))
    }

    /// The computation of the overview numbers of this trace's rows.
    pub fn row_stats(&self) -> RowStats {
        let meta = &self.meta;
        RowStats::new(&meta.spans, meta.question_keys(), meta.attention_scale)
    }

    /// Mean over heads of one layer: [T, T] f16 (query, key), times `attention_scale`.
    pub fn head_mean(&self, layer: Layer) -> Option<Cow<'_, [f16]>> {
        Some(numbers(self.tensors.get("attention.head_mean")?.part(layer.index())?))
    }

    /// One head of the last layer: [T, T] f16 (query, key), times `attention_scale`.
    pub fn last_layer(&self, head: super::Head) -> Option<Cow<'_, [f16]>> {
        Some(numbers(self.tensors.get("attention.last_layer")?.part(head.index())?))
    }

    /// Attention of one query in one head of the last layer, unscaled: T weights.
    pub fn last_layer_row(&self, head: super::Head, query: Query) -> Option<Vec<f32>> {
        let positions = self.shape.positions;
        if query.index() >= positions {
            return None;
        }
        let heads = self.tensors.get("attention.last_layer")?;
        let start = query.index() * positions * 2;
        let bytes = heads.part_of_part(head.index(), start, positions * 2)?;
        let scale = 1.0 / self.meta.attention_scale;
        Some(cast::<f16>(&bytes).iter().map(|weight| weight.to_f32() * scale).collect())
    }

    /// One layer of the vision tower: [Hv, N+1, N+1] f16, times `attention_scale`.
    pub fn vision_attention(&self, layer: Layer) -> Option<Cow<'_, [f16]>> {
        Some(numbers(self.tensors.get("attention.vision")?.part(layer.index())?))
    }

    /// The generated ids: `[G]`.
    pub fn answer_ids(&self) -> Cow<'_, [i32]> {
        self.numbers("answer.ids")
    }

    /// Log-probability of each generated id under the model, before temperature: `[G]`; NaN if it is not known.
    pub fn answer_logprobs(&self) -> Cow<'_, [f32]> {
        if !self.tensors.contains_key("answer.logprob") {
            return Cow::Owned(vec![f32::NAN; self.shape.generated]);
        }
        self.numbers("answer.logprob")
    }

    /// The K most likely ids at each step and their log-probabilities, each [G, K], and K.
    pub fn answer_topk(&self) -> (Cow<'_, [i32]>, Cow<'_, [f32]>, usize) {
        let k = self.tensors.get("answer.topk_ids").map_or(0, |tensor| tensor.shape[1]);
        (self.numbers("answer.topk_ids"), self.numbers("answer.topk_logprob"), k)
    }

    /// The picture as it was given (an encoded file without its metadata).
    pub fn picture_original(&self, picture: usize) -> Option<&[u8]> {
        self.tensors.get(&format!("picture.{picture}.original"))?.in_memory()
    }

    /// A canvas: pixels that the model saw.
    pub fn canvas(&self, canvas: usize) -> Option<PictureView<'_>> {
        let names = [format!("canvas.{canvas}.pixels"), format!("picture.{canvas}.preprocessed")];
        let tensor = names.iter().find_map(|name| self.tensors.get(name))?;
        let rgb = tensor.in_memory()?;
        Some(PictureView { width: tensor.shape[1] as u32, height: tensor.shape[0] as u32, rgb })
    }

    /// Names of the maps in the trace ("relevancy.llm", "map.METHOD", …), sorted.
    pub fn map_names(&self) -> Vec<&str> {
        let is_map = |name: &&String| name.starts_with("relevancy.") || name.starts_with("map.");
        self.tensors.keys().filter(is_map).map(String::as_str).collect()
    }

    /// The axis of a map's rows; `None` if the trace has no f32 map [G, N] or [G, T] of that name.
    pub fn map_keys(&self, name: &str) -> Option<MapKeys> {
        let tensor = self.tensors.get(name).filter(|tensor| tensor.dtype == Dtype::F32)?;
        match *tensor.shape.as_slice() {
            [rows, _] if rows != self.shape.generated => None,
            [_, keys] if keys == self.meta.patches() => Some(MapKeys::Patches),
            [_, keys] if keys == self.shape.positions => Some(MapKeys::Positions),
            _ => None,
        }
    }

    /// Whether the map `name` was computed for an answer token. A row that was not computed holds NaN; in older files
    /// such rows of `relevancy.*` hold zeros.
    pub fn has_map_row(&self, name: &str, answer: AnswerIndex) -> bool {
        let zero_is_missing = name.starts_with("relevancy.");
        self.map_row(name, answer).is_some_and(|row| {
            row.iter().any(|value| value.is_finite() && !(zero_is_missing && *value == 0.0))
        })
    }

    /// Values of a map for one answer token: N patches, or all T positions (relevancy.llm).
    pub fn map_row(&self, name: &str, answer: AnswerIndex) -> Option<Cow<'_, [f32]>> {
        let tensor = self.tensors.get(name).filter(|tensor| tensor.dtype == Dtype::F32)?;
        Some(numbers(tensor.part(answer.index())?))
    }

    /// Any tensor by name.
    pub fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        let tensor = self.tensors.get(name)?;
        let bytes = tensor.read().ok()?;
        Some(TensorView { dtype: tensor.dtype, shape: &tensor.shape, bytes })
    }

    /// Names, types, shapes and sizes in bytes of all tensors, sorted by name.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, Dtype, &[usize], usize)> {
        self.tensors.iter().map(|(name, tensor)| {
            (name.as_str(), tensor.dtype, tensor.shape.as_slice(), tensor.byte_len())
        })
    }

    /// A copy of the trace with one more f32 tensor (or a replaced one); [`Self::write`] saves it.
    ///
    /// # Errors
    /// If the shape is not the one that [`Self::open`] expects of that name, if the values do not fill it, or if the name
    /// belongs to a tensor that only answering may write.
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
        check_tensor(name, Dtype::F32, shape, &self.meta, &self.shape).map_err(|reason| {
            TraceError::Inconsistent { reason: format!("map `{name}` {reason}") }
        })?;
        if shape.iter().product::<usize>() != values.len() {
            let reason = format!("map `{name}` has {} values for shape {shape:?}", values.len());
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

    /// The same trace with the causal graphs of an answer token as JSON, `causal.TOKEN`; [`Self::write`]
    /// keeps it.
    #[must_use]
    pub fn with_causal(&self, answer: AnswerIndex, json: &[u8]) -> Self {
        let mut trace = self.clone();
        trace.id = TraceId::next();
        trace.tensors.insert(causal_name(answer), owned(Dtype::U8, &[json.len()], json));
        trace
    }

    /// The causal graphs of an answer token as JSON.
    pub fn causal(&self, answer: AnswerIndex) -> Option<Cow<'_, [u8]>> {
        self.tensors.get(&causal_name(answer))?.read().ok()
    }

    /// The same trace with a result of activation patching as JSON, `patch.SITE.TOKEN`; [`Self::write`] keeps it.
    #[must_use]
    pub fn with_patching(&self, site: &str, answer: AnswerIndex, json: &[u8]) -> Self {
        let mut trace = self.clone();
        trace.id = TraceId::next();
        trace.tensors.insert(patching_name(site, answer), owned(Dtype::U8, &[json.len()], json));
        trace
    }

    /// The result of activation patching at a site for an answer token as JSON.
    pub fn patching(&self, site: &str, answer: AnswerIndex) -> Option<Cow<'_, [u8]>> {
        self.tensors.get(&patching_name(site, answer))?.read().ok()
    }

    /// Adds the time that relevancy took.
    pub(crate) fn add_relevancy_time(&mut self, seconds: f64) {
        self.meta.timings.relevancy += seconds;
    }

    fn numbers<T: bytemuck::AnyBitPattern + bytemuck::NoUninit>(&self, name: &str) -> Cow<'_, [T]> {
        self.tensors
            .get(name)
            .and_then(|tensor| tensor.read().ok())
            .map_or_else(|| Cow::Borrowed(&[][..]), numbers)
    }
}

fn patching_name(site: &str, answer: AnswerIndex) -> String {
    format!("patch.{site}.{answer}")
}

fn causal_name(answer: AnswerIndex) -> String {
    format!("causal.{answer}")
}

/// An owned tensor.
pub(super) fn owned(dtype: Dtype, shape: &[usize], bytes: &[u8]) -> Tensor {
    Tensor { dtype, shape: shape.to_vec(), bytes: TensorBytes::Owned(Arc::from(bytes)) }
}

/// Bytes as numbers, borrowed if the bytes are.
pub(super) fn numbers<T: bytemuck::AnyBitPattern + bytemuck::NoUninit>(
    bytes: Cow<'_, [u8]>,
) -> Cow<'_, [T]> {
    match bytes {
        Cow::Borrowed(bytes) => cast(bytes),
        Cow::Owned(bytes) => Cow::Owned(cast(&bytes).into_owned()),
    }
}

/// Bytes as numbers; copied only if another program wrote them misaligned.
pub(super) fn cast<T: bytemuck::AnyBitPattern + bytemuck::NoUninit>(bytes: &[u8]) -> Cow<'_, [T]> {
    match bytemuck::try_cast_slice(bytes) {
        Ok(numbers) => Cow::Borrowed(numbers),
        Err(_) => Cow::Owned(
            bytes.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned).collect(),
        ),
    }
}
