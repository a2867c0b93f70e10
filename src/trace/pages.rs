//! Pages beside the attention: other values per query row, layer, head and key, which every view of attention can show.
//!
//! They are stored like attention (query first, f16 times a power of two), under their own name. To be shown they are
//! wrapped as the attention of a *trace of their own*: code that draws, folds, exports or prints attention then works
//! on them unchanged.

use super::tensor::{Tensor, TensorBytes, cast, owned};
use super::{STAT_COUNT, Trace, TraceError, TraceId};
use half::f16;
use safetensors::Dtype;
use std::sync::Arc;

/// Positive part of gradient ⊙ attention, one row an answer token.
pub const GRADIENT_ATTENTION: &str = "gradient_attention";

/// The parts of a set of pages, as suffixes of its name.
const PARTS: [&str; 3] = ["rows", "weights", "stats"];
const SCALE: &str = "scale";
/// One set for each method that keeps pages; each set costs a copy of the metadata.
const MAX_PAGE_SETS: usize = 16;
/// Attention tensors without a counterpart in other pages.
const ATTENTION_ONLY: [&str; 5] = [
    "attention.head_mean",
    "attention.last_layer",
    "attention.span_stats",
    "attention.stats",
    "attention.vision",
];

impl Trace {
    /// Names of the pages beside the attention.
    pub fn page_names(&self) -> Vec<&str> {
        self.own_pages.iter().chain(self.pages.keys()).map(String::as_str).collect()
    }

    /// The trace whose attention is shown for the source `name`: the pages of that name, or this trace itself.
    pub fn shown_by(&self, name: &str) -> &Self {
        self.pages_as_attention(name).unwrap_or(self)
    }

    /// The pages `name` as the attention of a trace of their own; everything else in that trace is the same.
    pub fn pages_as_attention(&self, name: &str) -> Option<&Self> {
        self.pages.get(name).map(|trace| &**trace)
    }

    /// A copy of the trace with pages of the query positions `rows` (ascending): [L, H, T] of f16 per row, times
    /// `scale`, and stats [rows, L, H, 5].
    ///
    /// # Errors
    /// If sizes do not fit.
    pub fn with_pages(
        &self,
        name: &str,
        rows: &[u32],
        scale: f32,
        pages: Vec<Arc<[f16]>>,
        stats: &[f32],
    ) -> Result<Self, TraceError> {
        let shape = self.shape;
        let maps = rows.len() * shape.layers * shape.heads;
        let fits = pages.len() == rows.len()
            && pages.iter().all(|page| page.len() == shape.page_len())
            && stats.len() == maps * STAT_COUNT;
        if !fits || name.contains('.') {
            let reason = format!("pages `{name}` do not fit their {} rows", rows.len());
            return Err(TraceError::Inconsistent { reason });
        }
        let parts = pages.iter().map(|page| Arc::from(bytemuck::cast_slice::<f16, u8>(page)));
        let weights = Tensor {
            dtype: Dtype::F16,
            shape: vec![rows.len(), shape.layers, shape.heads, shape.positions],
            bytes: TensorBytes::Parts(parts.collect()),
        };
        let stats_shape = [rows.len(), shape.layers, shape.heads, STAT_COUNT];
        let rows: Vec<i32> = rows.iter().map(|&row| row as i32).collect();
        let mut trace = self.clone();
        trace.id = TraceId::next();
        for (part, tensor) in [
            ("rows", owned(Dtype::I32, &[rows.len()], bytemuck::cast_slice(&rows))),
            ("weights", weights),
            ("stats", owned(Dtype::F32, &stats_shape, bytemuck::cast_slice(stats))),
            (SCALE, owned(Dtype::F32, &[1], bytemuck::cast_slice(&[scale]))),
        ] {
            trace.tensors.insert(format!("{name}.{part}"), tensor);
        }
        trace.find_pages(trace.path.clone().as_deref())?;
        Ok(trace)
    }

    /// Finds pages among the tensors and prepares a trace for each.
    pub(super) fn find_pages(&mut self, path: Option<&std::path::Path>) -> Result<(), TraceError> {
        self.pages.clear();
        let names: Vec<String> = self
            .tensors
            .keys()
            .filter_map(|tensor| tensor.strip_suffix(&format!(".{SCALE}")))
            .map(str::to_owned)
            .collect();
        if names.len() > MAX_PAGE_SETS {
            let path = path.unwrap_or_else(|| std::path::Path::new("(trace in memory)"));
            let reason = format!(
                "it has {} sets of pages; at most {MAX_PAGE_SETS} can be read",
                names.len()
            );
            return Err(TraceError::Damaged { path: path.to_owned(), reason });
        }
        for name in names {
            let mut tensors = self.tensors.clone();
            ATTENTION_ONLY.iter().for_each(|tensor| drop(tensors.remove(*tensor)));
            for part in PARTS {
                if let Some(tensor) = tensors.remove(&format!("{name}.{part}")) {
                    tensors.insert(format!("attention.{part}"), tensor);
                }
            }
            let scale = tensors.remove(&format!("{name}.{SCALE}"));
            let scale = scale.filter(|scale| scale.dtype == Dtype::F32);
            let scale = scale.and_then(|scale| cast::<f32>(&scale.read().ok()?).first().copied());
            let Some(scale) = scale else {
                let file = path.unwrap_or(std::path::Path::new("a trace in memory"));
                log::warn!(
                    "{}: {name}.{SCALE} is not one f32; its pages are ignored",
                    file.display()
                );
                continue;
            };
            let mut meta = self.meta.clone();
            meta.attention_scale = scale;
            let mut trace = Self::assemble_attention(path, meta, tensors)?;
            trace.own_pages = Some(name.clone());
            self.pages.insert(name, Arc::new(trace));
        }
        Ok(())
    }
}
