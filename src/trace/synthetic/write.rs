//! Writing synthetic traces directly to a file, one page at a time.

use super::super::{Trace, TraceError};
use super::{ANSWER, Synthetic, attention::Model, provenance};
use crate::files::Replacement;
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::{BufWriter, Seek as _, SeekFrom, Write as _};
use std::path::Path;

/// A tensor's place in the file.
struct TensorEntry {
    name: &'static str,
    dtype: &'static str,
    shape: Vec<u64>,
    bytes: u64,
}

impl TensorEntry {
    fn new(name: &'static str, dtype: &'static str, shape: &[u64]) -> Self {
        let element = match dtype {
            "F32" | "I32" => 4,
            "F16" => 2,
            _ => 1,
        };
        let bytes = shape.iter().product::<u64>() * element;
        Self { name, dtype, shape: shape.to_vec(), bytes }
    }
}

impl Synthetic {
    /// Writes the trace to a temporary file beside `path`, then renames it. Needs the memory of one page, whatever the
    /// size of the file.
    ///
    /// # Errors
    /// If the disk is full or the folder cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), TraceError> {
        self.write_rows(path, self.kept())
    }

    /// As [`Self::write`], with data in the answer rows only; all other pages are holes, which read as zeros and take
    /// no disk space on file systems with sparse files.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn write_sparse(&self, path: &Path) -> Result<(), TraceError> {
        let first = self.geometry.prompt_len() - 1;
        self.write_rows(path, first..self.kept().end)
    }

    fn write_rows(&self, path: &Path, filled: std::ops::Range<u32>) -> Result<(), TraceError> {
        let places = self.places();
        let header = self.header(&places)?;
        let needed_bytes =
            header.len() as u64 + places.iter().map(|place| place.bytes).sum::<u64>();
        let write = || -> std::io::Result<()> {
            let new = Replacement::begin(path)?;
            new.file().set_len(needed_bytes)?;
            self.fill(new.file(), &header, &places, filled.clone())?;
            new.keep()?;
            Ok(())
        };
        write().map_err(|source| TraceError::Write {
            path: path.to_owned(),
            needed_bytes,
            source,
        })?;
        // The reader checks the file, because this function writes its format itself.
        Trace::open(path).map(|_| ())
    }

    /// The tensors in file order: widest elements first.
    fn places(&self) -> Vec<TensorEntry> {
        let g = &self.geometry;
        let [layers, heads, positions, generated, patches] =
            [g.layers, g.heads, g.positions(), g.answer_len, g.patches()].map(u64::from);
        let rows = u64::from(self.kept().end - self.kept().start);
        let [width, height] = self.picture.size.map(u64::from);
        let k = u64::from(super::TOP_K);
        vec![
            TensorEntry::new("answer.ids", "I32", &[generated]),
            TensorEntry::new("answer.logprob", "F32", &[generated]),
            TensorEntry::new("answer.topk_ids", "I32", &[generated, k]),
            TensorEntry::new("answer.topk_logprob", "F32", &[generated, k]),
            TensorEntry::new("attention.rows", "I32", &[rows]),
            TensorEntry::new("attention.stats", "F32", &[rows, layers, heads, 5]),
            TensorEntry::new("map.synthetic", "F32", &[generated, patches]),
            TensorEntry::new("relevancy.llm", "F32", &[generated, positions]),
            TensorEntry::new("attention.weights", "F16", &[rows, layers, heads, positions]),
            TensorEntry::new("picture.0.original", "U8", &[self.picture.original.len() as u64]),
            TensorEntry::new("picture.0.preprocessed", "U8", &[height, width, 3]),
        ]
    }

    fn header(&self, places: &[TensorEntry]) -> Result<Vec<u8>, TraceError> {
        let inconsistent =
            |error: serde_json::Error| TraceError::Inconsistent { reason: error.to_string() };
        let mut meta = self.prompt_meta();
        meta.answer = ANSWER.to_owned();
        meta.tokens.extend(self.answer().into_iter().map(|answer| answer.token));
        meta.provenance = provenance();
        let meta = super::super::format::write(&meta).map_err(inconsistent)?;
        let mut object = Map::new();
        object.insert("__metadata__".into(), json!({ "vlmtrace": meta }));
        let mut offset = 0;
        for place in places {
            let end = offset + place.bytes;
            let TensorEntry { dtype, shape, .. } = place;
            let info = json!({ "dtype": dtype, "shape": shape, "data_offsets": [offset, end] });
            object.insert(place.name.into(), info);
            offset = end;
        }
        let mut json = serde_json::to_vec(&Value::Object(object)).map_err(inconsistent)?;
        json.resize(json.len().next_multiple_of(8), b' ');
        let mut header = (json.len() as u64).to_le_bytes().to_vec();
        header.extend(json);
        Ok(header)
    }

    fn fill(
        &self,
        file: &File,
        header: &[u8],
        places: &[TensorEntry],
        filled: std::ops::Range<u32>,
    ) -> std::io::Result<()> {
        let model = Model::new(&self.geometry, self.seed);
        let start_of = |name: &str| -> u64 {
            let before = places.iter().take_while(|place| place.name != name);
            header.len() as u64 + before.map(|place| place.bytes).sum::<u64>()
        };
        let mut out = BufWriter::with_capacity(1 << 20, file);
        out.write_all(header)?;
        let answer = self.answer();
        let numbers = |values: Vec<f32>| bytemuck::cast_slice::<f32, u8>(&values).to_vec();
        let ids = |values: Vec<i32>| bytemuck::cast_slice::<i32, u8>(&values).to_vec();
        let (relevancy, map) = self.maps(&model);
        let topk = || answer.iter().flat_map(|token| token.topk.iter());
        let small = [
            ("answer.ids", ids(answer.iter().map(|token| token.token.id as i32).collect())),
            ("answer.logprob", numbers(answer.iter().map(|token| token.logprob).collect())),
            ("answer.topk_ids", ids(topk().map(|&(id, _)| id as i32).collect())),
            ("answer.topk_logprob", numbers(topk().map(|&(_, logprob)| logprob).collect())),
            ("attention.rows", ids(self.kept().map(|row| row as i32).collect())),
            ("map.synthetic", numbers(map)),
            ("relevancy.llm", numbers(relevancy)),
            ("picture.0.original", self.picture.original.clone()),
            ("picture.0.preprocessed", self.picture.rgb.clone()),
        ];
        for (name, bytes) in small {
            out.seek(SeekFrom::Start(start_of(name)))?;
            out.write_all(&bytes)?;
        }
        let (weights, stats) = (start_of("attention.weights"), start_of("attention.stats"));
        let first = self.kept().start;
        for query in filled {
            let (page, row_stats) = model.page(query);
            let page: &[u8] = bytemuck::cast_slice(&page);
            let row_stats: &[u8] = bytemuck::cast_slice(&row_stats);
            let row = u64::from(query - first);
            out.seek(SeekFrom::Start(weights + row * page.len() as u64))?;
            out.write_all(page)?;
            out.seek(SeekFrom::Start(stats + row * row_stats.len() as u64))?;
            out.write_all(row_stats)?;
        }
        out.flush()
    }
}
