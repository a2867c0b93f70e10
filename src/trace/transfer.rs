//! Traces on their way between machines: a trace travels as its file, and parts of the file can travel first.

use super::file::{MAX_META_BYTES, stays_in_file};
use super::source::{RemoteBytes, TraceFile};
use super::tensor::owned;
use super::{Timings, Trace, TraceError, TraceMeta, format};
use safetensors::Dtype;
use std::borrow::Cow;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// A trace with the layout of its file.
#[derive(Clone, Debug)]
pub struct TraceInFile {
    trace: Trace,
    /// The length of the header, and the header.
    head: Vec<u8>,
}

impl TraceInFile {
    /// # Errors
    /// If the metadata cannot be written.
    pub fn new(trace: Trace) -> Result<Self, TraceError> {
        let header = trace.header()?;
        let mut head = (header.len() as u64).to_le_bytes().to_vec();
        head.extend(header);
        Ok(Self { trace, head })
    }

    /// The trace.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Size of the file in bytes.
    pub fn file_bytes(&self) -> u64 {
        self.head.len() as u64 + self.trace.data_bytes()
    }

    /// The head of the file, and the tensors that [`Trace::open`] reads at once: ascending ranges of the file.
    pub fn first_ranges(&self) -> Vec<Range<u64>> {
        let mut end = self.head.len() as u64;
        let mut ranges: Vec<Range<u64>> = std::iter::once(0..end).collect();
        for (name, tensor) in self.trace.in_file_order() {
            let start = end;
            end += tensor.byte_len() as u64;
            if stays_in_file(name, &tensor.shape, tensor.byte_len()) || start == end {
                continue;
            }
            match ranges.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => ranges.push(start..end),
            }
        }
        ranges
    }

    /// Bytes of the file; a range past its end is cut.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        let mut start = 0;
        let mut overlap = |length: usize| {
            let from = range.start.clamp(start, start + length as u64) - start;
            let to = range.end.clamp(start, start + length as u64) - start;
            start += length as u64;
            (from < to).then_some(from as usize..to as usize)
        };
        if let Some(part) = overlap(self.head.len()) {
            out.extend_from_slice(&self.head[part]);
        }
        for (_, tensor) in self.trace.in_file_order() {
            if let Some(part) = overlap(tensor.byte_len()) {
                tensor.append_range(part, &mut out)?;
            }
        }
        Ok(out)
    }
}

impl Trace {
    /// A trace from the content of its file. `name` identifies it in errors.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_file_bytes(name: &Path, bytes: Vec<u8>) -> Result<Self, TraceError> {
        Self::load(name, &Arc::new(TraceFile::from_memory(name, bytes)))
    }

    /// A trace whose file is on another machine. The ranges of [`TraceInFile::first_ranges`] must have arrived.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_remote(
        name: &Path,
        file_bytes: u64,
        bytes: Arc<dyn RemoteBytes>,
    ) -> Result<Self, TraceError> {
        Self::load(name, &Arc::new(TraceFile::remote(name, file_bytes, bytes)))
    }

    /// The question, pictures and answer without attention and maps: what the model needs to run again. Traces that
    /// differ in maps alone give the same bytes in their file.
    ///
    /// # Errors
    /// If the tensors do not fit the metadata.
    pub fn inputs_only(&self) -> Result<Self, TraceError> {
        let shape = self.shape();
        let kept = ["answer.", "picture.", "canvas."];
        let mut tensors = self.tensors.clone();
        tensors.retain(|name, _| kept.iter().any(|start| name.starts_with(start)));
        let weights = [0, shape.layers, shape.heads, shape.positions];
        tensors.insert("attention.rows".into(), owned(Dtype::I32, &[0], &[]));
        tensors.insert("attention.weights".into(), owned(Dtype::F16, &weights, &[]));
        let meta = TraceMeta { timings: Timings::default(), ..self.meta().clone() };
        Self::assemble(None, meta, tensors)
    }
}

/// A tensor with its name: type, shape and little-endian bytes.
pub type NamedTensor<'a> = (String, Dtype, Vec<usize>, Cow<'a, [u8]>);

impl Trace {
    /// The tensors that this trace has and `base` lacks, or has with other values.
    pub fn tensors_beyond(&self, base: &Self) -> Vec<NamedTensor<'_>> {
        let new = self.tensors.iter().filter(|(name, tensor)| {
            !base.tensors.get(*name).is_some_and(|old| old.is_shared_with(tensor))
        });
        new.filter_map(|(name, tensor)| {
            Some((name.clone(), tensor.dtype, tensor.shape.clone(), tensor.read().ok()?))
        })
        .collect()
    }

    /// A copy of the trace with tensors that were computed elsewhere: maps and pages beside the attention. Rows of a
    /// map that hold only NaN, which were not computed, keep the values that the trace has.
    ///
    /// # Errors
    /// If a tensor does not fit the metadata, or belongs to the answer itself.
    pub fn with_tensors(&self, tensors: Vec<NamedTensor<'_>>) -> Result<Self, TraceError> {
        let mut all = self.tensors.clone();
        for (name, dtype, shape, bytes) in tensors {
            if IDENTITY.iter().any(|start| name.starts_with(start)) {
                let reason = format!("`{name}` belongs to the answer and cannot be replaced");
                return Err(TraceError::Inconsistent { reason });
            }
            let mut tensor = owned(dtype, &shape, &bytes);
            if let Some(old) =
                all.get(&name).filter(|old| old.dtype == Dtype::F32 && old.shape == shape)
                && let Ok(old) = old.read()
            {
                tensor = owned(dtype, &shape, &with_old_rows(&bytes, &old, shape.get(1)));
            }
            all.insert(name, tensor);
        }
        let mut trace = Self::assemble(self.path(), self.meta().clone(), all)?;
        trace.stamp = self.stamp();
        Ok(trace)
    }
}

/// Tensors that only answering makes.
const IDENTITY: [&str; 4] = ["answer.", "attention.", "picture.", "canvas."];

/// f32 rows; those that hold only NaN are taken from `old`.
fn with_old_rows(new: &[u8], old: &[u8], columns: Option<&usize>) -> Vec<u8> {
    let width = columns.copied().unwrap_or(1).max(1) * size_of::<f32>();
    let is_nan =
        |number: &[u8]| <[u8; 4]>::try_from(number).is_ok_and(|n| f32::from_le_bytes(n).is_nan());
    let rows = new.chunks(width).zip(old.chunks(width));
    let kept = rows.map(|(new, old)| if new.chunks(4).all(is_nan) { old } else { new });
    kept.flatten().copied().collect()
}

impl TraceMeta {
    /// The metadata as in a file.
    ///
    /// # Errors
    /// If a number has no JSON form.
    pub fn to_json(&self) -> Result<String, TraceError> {
        format::write(self).map_err(|error| TraceError::Inconsistent { reason: error.to_string() })
    }

    /// Reads metadata of this version's own format.
    ///
    /// # Errors
    /// If it is not such metadata.
    pub fn from_json(text: &[u8]) -> Result<Self, TraceError> {
        let wrong = |reason: String| TraceError::Inconsistent {
            reason: format!("its metadata cannot be read ({reason})"),
        };
        if text.len() > MAX_META_BYTES {
            return Err(wrong(format!("it has {} bytes, at most {MAX_META_BYTES}", text.len())));
        }
        let loose: serde_json::Value =
            serde_json::from_slice(text).map_err(|error| wrong(error.to_string()))?;
        let version = loose.get("format_version").and_then(serde_json::Value::as_str);
        let major = version.and_then(|version| version.split('.').next()?.parse().ok());
        format::read(loose, major.unwrap_or(1)).map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::trace::synthetic::{Geometry, RowsKept, Synthetic};

    fn trace() -> Trace {
        let geometry = Geometry::named("small").unwrap();
        Synthetic::new(geometry, RowsKept::Text, 1).unwrap().trace().unwrap()
    }

    #[test]
    fn the_ranges_of_a_trace_are_those_of_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.vlmtrace");
        trace().write(&path).unwrap();
        let file = std::fs::read(&path).unwrap();
        for trace in [Trace::open(&path).unwrap(), trace()] {
            let trace = TraceInFile::new(trace).unwrap();
            assert_eq!(trace.file_bytes(), file.len() as u64);
            assert_eq!(trace.read(0..u64::MAX).unwrap(), file);
            for (start, end) in [(0, 1), (7, 9), (100, 70_000), (file.len() - 3, file.len() + 9)] {
                let part = trace.read(start as u64..end as u64).unwrap();
                assert_eq!(part, file[start..end.min(file.len())]);
            }
        }
    }

    #[test]
    fn a_trace_opens_when_its_first_ranges_are_there() {
        #[derive(Debug)]
        struct First(Vec<u8>, Vec<Range<u64>>);
        impl RemoteBytes for First {
            fn read_into(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
                let end = offset + bytes.len() as u64;
                if !self.1.iter().any(|range| range.start <= offset && end <= range.end) {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                bytes.copy_from_slice(&self.0[offset as usize..end as usize]);
                Ok(())
            }
            fn is_complete(&self) -> bool {
                false
            }
            fn failure(&self) -> Option<String> {
                None
            }
        }
        let whole = TraceInFile::new(trace()).unwrap();
        let first = First(whole.read(0..u64::MAX).unwrap(), whole.first_ranges());
        let sent: u64 = first.1.iter().map(|range| range.end - range.start).sum();
        assert!(sent < whole.file_bytes());
        let name = Path::new("(a trace)");
        let opened = Trace::from_remote(name, whole.file_bytes(), Arc::new(first)).unwrap();
        assert_eq!(opened.meta(), whole.trace().meta());
        assert!(opened.page(0).is_none() && opened.weights(0, 0, 0).is_none());
        assert_eq!(opened.path(), None);
    }

    #[test]
    fn inputs_do_not_depend_on_maps() {
        let plain = trace();
        let shape = [plain.shape().generated, plain.meta().patches()];
        let with = plain.with_map("map.x", &shape, &vec![1.0; shape[0] * shape[1]]).unwrap();
        let bytes = |trace: &Trace| {
            let inputs = TraceInFile::new(trace.inputs_only().unwrap()).unwrap();
            inputs.read(0..u64::MAX).unwrap()
        };
        assert_eq!(bytes(&plain), bytes(&with));
        let read = Trace::from_file_bytes(Path::new("a"), bytes(&plain)).unwrap();
        assert_eq!(read.answer_ids(), plain.answer_ids());
        assert!(read.canvas(0).is_some() && read.rows().is_empty());
    }
}
