//! NAME.vlmtrace: a safetensors file with the metadata as JSON under `__metadata__["vlmtrace"]`.
//!
//! Writing goes to a temporary file in the same folder, which is then renamed: a reader never sees an incomplete trace,
//! and a program that has the old file open continues to read the old file.

use super::format;
use super::source::TraceFile;
use super::tensor::{Tensor, TensorBytes, TraceId, cast};
use super::tensor_rules::check_tensor;
use super::{ModelInfo, Rect, Shape, Trace, TraceError, TraceMeta};
use crate::files::Replacement;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use std::collections::{BTreeMap, HashMap};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::Arc;

/// The major version: a reader refuses a larger one.
pub const FORMAT_MAJOR: u32 = 2;
/// The minor version: additions that an older reader may ignore.
pub const FORMAT_MINOR: u32 = 0;
/// The version of a trace that uses nothing of 2.0, which is every trace of this program's own models.
pub const FORMAT_OF_ONE_CANVAS: &str = "1.0";

const META_KEY: &str = "vlmtrace";
/// The metadata describes each position; the longest contexts need megabytes.
pub(super) const MAX_META_BYTES: usize = 64 << 20;
/// Layers × heads of a model, including the vision tower: ten times the number of the largest models.
pub const MAX_MAPS: u64 = 1 << 18;
/// Views of one question, and canvases: pictures, tiles, frames.
const MAX_SPANS: usize = 4096;
/// Entries of a page [L, H, T] where no page is kept.
const MAX_PAGE_WITHOUT_ROWS: usize = 1 << 26;
const HEADER_LENGTH_BYTES: usize = 8;
/// The longest header of a safetensors file.
const MAX_HEADER_BYTES: u64 = 100_000_000;
/// Other tensors of at least this size also stay in the file, as attention does.
const LARGE_TENSOR_BYTES: usize = 64 << 20;

impl Trace {
    /// Opens a trace file and checks that its tensors fit its metadata. Pictures, answers and maps are read at once;
    /// attention is read page by page on demand.
    ///
    /// # Errors
    /// A file that is missing, truncated, of a newer major version, or with tensors that do not fit.
    pub fn open(path: &Path) -> Result<Self, TraceError> {
        let read = |source| TraceError::Read { path: path.to_owned(), source };
        let file = Arc::new(TraceFile::open(path).map_err(read)?);
        let mut trace = Self::load(path, &file)?;
        trace.path = Some(path.to_owned());
        trace.stamp = Some(file.stamp());
        log::info!("opened {}: {:?}", path.display(), trace.shape());
        Ok(trace)
    }

    /// Reads a trace from its file. `name` identifies the file in errors.
    pub(super) fn load(name: &Path, file: &Arc<TraceFile>) -> Result<Self, TraceError> {
        let read = |source| TraceError::Read { path: name.to_owned(), source };
        let (metadata, first) = read_header(name, file)?;
        let meta = parse_meta(name, &metadata)?;
        let tensors = metadata.tensors().into_iter().map(|(name, info)| {
            let (start, end) = info.data_offsets;
            let range = first + start as u64..first + end as u64;
            let bytes = if stays_in_file(&name, &info.shape, end - start) {
                TensorBytes::File(Arc::clone(file), range)
            } else {
                TensorBytes::Owned(Arc::from(file.read(range).map_err(read)?))
            };
            Ok((name, Tensor { dtype: info.dtype, shape: info.shape.clone(), bytes }))
        });
        let mut trace = Self::assemble(Some(name), meta, tensors.collect::<Result<_, _>>()?)?;
        trace.path = None;
        Ok(trace)
    }

    /// Checks every known tensor against the metadata and finds the pages beside the attention.
    /// `path` names the file in errors.
    pub(super) fn assemble(
        path: Option<&Path>,
        meta: TraceMeta,
        tensors: BTreeMap<String, Tensor>,
    ) -> Result<Self, TraceError> {
        let mut trace = Self::assemble_attention(path, meta, tensors)?;
        trace.find_pages(path)?;
        Ok(trace)
    }

    /// As [`Self::assemble`], but without the search for pages: a trace of pages contains no further pages.
    pub(super) fn assemble_attention(
        path: Option<&Path>,
        meta: TraceMeta,
        tensors: BTreeMap<String, Tensor>,
    ) -> Result<Self, TraceError> {
        let at = path.unwrap_or_else(|| Path::new("(trace in memory)"));
        let bad = |tensor: &str, reason: String| TraceError::Tensor {
            path: at.to_owned(),
            tensor: tensor.to_owned(),
            reason,
        };
        check_meta(at, &meta)?;
        let row_tensor = tensors
            .get("attention.rows")
            .ok_or_else(|| bad("attention.rows", "is missing".into()))?;
        if row_tensor.dtype != Dtype::I32 || row_tensor.shape.len() != 1 {
            return Err(bad(
                "attention.rows",
                format!(
                    "has type {:?} and shape {:?}, not I32 [R]",
                    row_tensor.dtype, row_tensor.shape
                ),
            ));
        }
        let row_bytes =
            row_tensor.read().map_err(|source| TraceError::Read { path: at.to_owned(), source })?;
        let rows: Vec<u32> = cast::<i32>(&row_bytes)
            .iter()
            .map(|&row| u32::try_from(row).unwrap_or(u32::MAX))
            .collect();
        let shape = Shape {
            rows: rows.len(),
            layers: meta.model.layer_numbers().len(),
            heads: meta.model.heads as usize,
            positions: meta.positions(),
            generated: meta.generated(),
        };
        // Each kept row fills a page; if no row is kept, nothing in the file limits the size of a page.
        if rows.is_empty() && shape.page_len() > MAX_PAGE_WITHOUT_ROWS {
            return Err(bad(
                "attention.rows",
                format!(
                    "is empty, and {} layers × {} heads × {} positions are more than any model has",
                    shape.layers, shape.heads, shape.positions
                ),
            ));
        }
        let ascending = rows.windows(2).all(|pair| pair[0] < pair[1]);
        if !ascending || rows.iter().any(|&row| row as usize >= shape.positions) {
            return Err(bad(
                "attention.rows",
                format!("must be ascending positions below {}", shape.positions),
            ));
        }
        for (name, tensor) in &tensors {
            check_tensor(name, tensor.dtype, &tensor.shape, &meta, &shape)
                .map_err(|reason| bad(name, reason))?;
        }
        for name in ["attention.weights", "answer.ids"] {
            if !tensors.contains_key(name) {
                return Err(bad(name, "is missing".into()));
            }
        }
        if let (Some(ids), Some(probabilities)) =
            (tensors.get("answer.topk_ids"), tensors.get("answer.topk_logprob"))
            && ids.shape != probabilities.shape
        {
            return Err(bad(
                "answer.topk_logprob",
                format!("has shape {:?}, but the ids have {:?}", probabilities.shape, ids.shape),
            ));
        }
        Ok(Self {
            id: TraceId::next(),
            path: path.map(Path::to_owned),
            stamp: None,
            meta,
            shape,
            rows,
            tensors,
            pages: BTreeMap::new(),
            own_pages: None,
        })
    }

    /// Size of the file that [`Self::write`] makes, without its header.
    pub fn data_bytes(&self) -> u64 {
        self.tensors.values().map(|tensor| tensor.byte_len() as u64).sum()
    }

    /// Writes the trace in place of the file at `path`, see [`crate::files`].
    ///
    /// # Errors
    /// If the disk is full or the folder cannot be written to; the old file, if any, is untouched.
    pub fn write(&self, path: &Path) -> Result<(), TraceError> {
        let _lock = super::update::lock(path)?;
        self.write_unlocked(path)
    }

    /// As [`Self::write`], for a caller that holds the file's lock.
    pub(super) fn write_unlocked(&self, path: &Path) -> Result<(), TraceError> {
        self.write_and(path, Replacement::keep)
    }

    /// As [`Self::write`], but only where there is no file yet, even if another program makes one
    /// at the same time.
    ///
    /// # Errors
    /// As [`Self::write`]; [`TraceError::is_taken`] identifies the error of a name that is taken.
    pub fn write_new(&self, path: &Path) -> Result<(), TraceError> {
        self.write_and(path, Replacement::keep_new)
    }

    fn write_and(
        &self,
        path: &Path,
        keep: impl FnOnce(Replacement) -> std::io::Result<()>,
    ) -> Result<(), TraceError> {
        self.check()?;
        if self.has_holes() {
            return Err(TraceError::Incomplete);
        }
        let header = self.header()?;
        let needed_bytes = (HEADER_LENGTH_BYTES + header.len()) as u64 + self.data_bytes();
        let write = move || -> std::io::Result<()> {
            let new = Replacement::begin(path)?;
            let mut out = BufWriter::with_capacity(1 << 20, new.file());
            out.write_all(&(header.len() as u64).to_le_bytes())?;
            out.write_all(&header)?;
            for (_, tensor) in self.in_file_order() {
                tensor.copy_to(&mut out)?;
            }
            out.flush()?;
            drop(out);
            new.sync()?;
            keep(new)
        };
        let written = write();
        // A file that was overwritten meanwhile is the cause, whatever error the writer returned.
        self.check()?;
        written.map_err(|source| TraceError::Write { path: path.to_owned(), needed_bytes, source })
    }

    /// Widest elements first, so that every tensor is aligned to its element size.
    pub(super) fn in_file_order(&self) -> Vec<(&String, &Tensor)> {
        let mut tensors: Vec<_> = self.tensors.iter().collect();
        tensors.sort_by(|(left_name, left), (right_name, right)| {
            right.dtype.cmp(&left.dtype).then(left_name.cmp(right_name))
        });
        tensors
    }

    pub(super) fn header(&self) -> Result<Vec<u8>, TraceError> {
        let inconsistent = |reason: String| TraceError::Inconsistent { reason };
        let mut offset = 0;
        let infos = self
            .in_file_order()
            .into_iter()
            .map(|(name, tensor)| {
                let start = offset;
                offset += tensor.byte_len();
                (
                    name.clone(),
                    TensorInfo {
                        dtype: tensor.dtype,
                        shape: tensor.shape.clone(),
                        data_offsets: (start, offset),
                    },
                )
            })
            .collect();
        let meta = format::write(&self.meta).map_err(|error| inconsistent(error.to_string()))?;
        let metadata = Metadata::new(Some(HashMap::from([(META_KEY.to_owned(), meta)])), infos)
            .map_err(|error| inconsistent(error.to_string()))?;
        let mut header =
            serde_json::to_vec(&metadata).map_err(|error| inconsistent(error.to_string()))?;
        header.resize(header.len().next_multiple_of(HEADER_LENGTH_BYTES), b' ');
        Ok(header)
    }
}

/// The header of a safetensors file, and the offset of its data.
fn read_header(path: &Path, file: &TraceFile) -> Result<(Metadata, u64), TraceError> {
    let read = |source| TraceError::Read { path: path.to_owned(), source };
    let damaged = |reason: String| TraceError::Damaged { path: path.to_owned(), reason };
    let end = file.length_bytes();
    let start = HEADER_LENGTH_BYTES as u64;
    if end < start {
        return Err(damaged(format!("it has {end} bytes")));
    }
    let mut length = [0; HEADER_LENGTH_BYTES];
    file.read_into(0, &mut length).map_err(read)?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER_BYTES || length > end - start {
        return Err(damaged(format!("its header would have {length} of its {end} bytes")));
    }
    let first = start + length;
    let metadata: Metadata = serde_json::from_slice(&file.read(start..first).map_err(read)?)
        .map_err(|error| damaged(format!("its header cannot be read ({error})")))?;
    let data_bytes = metadata.data_len() as u64;
    if end - first != data_bytes {
        let found = end - first;
        return Err(damaged(format!("it holds {found} bytes of data, not {data_bytes}")));
    }
    Ok((metadata, first))
}

/// Whether a tensor is read only on demand: attention and other tensors with the query as first axis.
pub(super) fn stays_in_file(name: &str, shape: &[usize], bytes: usize) -> bool {
    let is_picture = name.starts_with("picture.") || name.starts_with("canvas.");
    (shape.len() > 2 && !is_picture) || bytes >= LARGE_TENSOR_BYTES
}

fn parse_meta(path: &Path, metadata: &Metadata) -> Result<TraceMeta, TraceError> {
    let damaged = |reason: String| TraceError::Damaged { path: path.to_owned(), reason };
    let text = metadata.metadata().as_ref().and_then(|map| map.get(META_KEY)).ok_or_else(|| {
        damaged(format!("it is a safetensors file without the `{META_KEY}` metadata"))
    })?;
    if text.len() > MAX_META_BYTES {
        let bytes = text.len();
        return Err(damaged(format!(
            "its metadata has {bytes} bytes; at most {MAX_META_BYTES} can be read"
        )));
    }
    // The version is checked first, so that the error for a newer file names the version.
    let loose: serde_json::Value = serde_json::from_str(text)
        .map_err(|error| damaged(format!("its metadata is not JSON ({error})")))?;
    let given = loose.get("format_version");
    let version = given.and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    let major: Option<u32> = version.split_once('.').and_then(|(major, _)| major.parse().ok());
    let meta = match major {
        None => {
            let given = given.map_or_else(|| "(missing)".to_owned(), ToString::to_string);
            return Err(damaged(format!("its format version {given} is not major.minor")));
        }
        Some(major) if major > FORMAT_MAJOR => {
            let supported = format!("{FORMAT_MAJOR}.{FORMAT_MINOR}");
            return Err(TraceError::Newer { path: path.to_owned(), found: version, supported });
        }
        Some(major) => format::read(loose, major),
    };
    meta.map_err(|error| damaged(format!("its metadata does not fit format {version} ({error})")))
}

/// Checks the metadata before any tensor is read.
fn check_meta(path: &Path, meta: &TraceMeta) -> Result<(), TraceError> {
    let damaged = |reason: String| Err(TraceError::Damaged { path: path.to_owned(), reason });
    let model = &meta.model;
    if model.layers == 0 || model.heads == 0 {
        return damaged("its model has no layers or heads".into());
    }
    for (layers, heads) in [(model.layers, model.heads), (model.vision_layers, model.vision_heads)]
    {
        if u64::from(layers) * u64::from(heads) > MAX_MAPS {
            return damaged(format!(
                "its model has {layers} layers × {heads} heads; at most {MAX_MAPS} in all can be read"
            ));
        }
    }
    check_layers(model).or_else(damaged)?;
    for (count, what) in [(meta.spans.len(), "image spans"), (meta.preprocess.len(), "canvases")] {
        if count > MAX_SPANS {
            return damaged(format!("it has {count} {what}; at most {MAX_SPANS} can be read"));
        }
    }
    if meta.generated() == 0 {
        return damaged(format!(
            "it has {} tokens for a prompt of {}",
            meta.tokens.len(),
            meta.prompt_len
        ));
    }
    if !meta.attention_scale.is_normal() || meta.attention_scale < 0.0 {
        return damaged(format!("its attention scale is {}", meta.attention_scale));
    }
    if meta.virtual_len >= meta.prompt_len {
        let (virtual_len, prompt_len) = (meta.virtual_len, meta.prompt_len);
        return damaged(format!(
            "it has {virtual_len} virtual positions in a prompt of {prompt_len}"
        ));
    }
    for (index, info) in meta.preprocess.iter().enumerate() {
        let is_empty = [info.preprocessed_size, info.original_size].concat().contains(&0);
        // Format 1.0 allows pictures of size 0, on which nothing is drawn.
        if info.original_from_preprocessed.inverse().is_none()
            || (is_empty && format::major(meta) > 1)
        {
            return damaged(format!(
                "its canvas {index} has no size, or does not lie on its picture"
            ));
        }
    }
    check_spans(meta).or_else(damaged)
}

/// Checks that the layers with pages are layers of the model; the error is the reason.
fn check_layers(model: &ModelInfo) -> Result<(), String> {
    let ModelInfo { layers, heads, layer_kinds, attention_layers, heads_of_layer, .. } = model;
    if !layer_kinds.is_empty() && layer_kinds.len() != *layers as usize {
        return Err(format!("it states the kind of {} of its {layers} layers", layer_kinds.len()));
    }
    let has_attention = |&layer: &u32| {
        layer < *layers && layer_kinds.get(layer as usize).is_none_or(|kind| kind.has_attention())
    };
    let ascending = attention_layers.windows(2).all(|pair| pair[0] < pair[1]);
    if !ascending || !attention_layers.iter().all(has_attention) {
        return Err("its `attention_layers` are not ascending layers that have attention".into());
    }
    let numbers = model.layer_numbers();
    if numbers.is_empty() {
        return Err("none of its layers has attention".into());
    }
    let fits = heads_of_layer.is_empty()
        || (heads_of_layer.len() == numbers.len()
            && heads_of_layer.iter().all(|count| (1..=*heads).contains(count)));
    if fits { Ok(()) } else { Err("its `heads_of_layer` do not fit its layers and heads".into()) }
}

/// Checks that the views are inside the prompt and their canvases and do not overlap; the error is the reason.
fn check_spans(meta: &TraceMeta) -> Result<(), String> {
    let prompt = u64::from(meta.prompt_len);
    for span in &meta.spans {
        let (rows, columns) = (u64::from(span.rows), u64::from(span.columns));
        // Rows × stride and then `first` stay below 2⁶⁴: each factor is below 2³².
        let last = rows.checked_sub(1).and_then(|rows| {
            (rows * u64::from(span.stride())).checked_add(u64::from(span.first) + columns)
        });
        let fits = columns > 0 && last.is_some_and(|end| end <= prompt);
        let affine = span.original_from_preprocessed;
        if !fits || !span.preprocessed_rect.has_area() || affine.inverse().is_none() {
            return Err(format!(
                "its image span at position {} does not fit the prompt of {prompt}",
                span.first
            ));
        }
        if let Some(cells) = &span.cells
            && (cells.len() != span.patches() || !cells.iter().all(Rect::has_area))
        {
            let (first, patches) = (span.first, span.patches());
            return Err(format!(
                "its image span at position {first} has {} cells with an area for {patches} patches",
                cells.len()
            ));
        }
    }
    // The rows of one span may lie between the rows of another, so keys are compared, not ends; there are at most P
    // keys.
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for span in &meta.spans {
        if runs.len() as u64 + u64::from(span.rows) > prompt {
            return Err("its image spans have more rows than the prompt has positions".into());
        }
        runs.extend(span.runs().map(|run| (run.start, run.end)));
    }
    runs.sort_unstable();
    match runs.windows(2).find(|pair| pair[0].1 > pair[1].0) {
        None => Ok(()),
        Some(pair) => {
            Err(format!("its image spans at positions {} and {} overlap", pair[0].0, pair[1].0))
        }
    }
}
