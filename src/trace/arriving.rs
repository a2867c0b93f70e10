//! Traces of which parts are still on another machine: what has arrived, and where the rest belongs.

use super::tensor::{Dtype, TensorBytes, TraceId, numbers, owned};
use super::{STAT_COUNT, Trace, TraceError};
use half::f16;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

impl Trace {
    /// One page with at least these maps (indices of layer × H + head); the others may be 0 where they have not arrived
    /// from another machine. `None` if one of the maps has not arrived; it is then fetched next.
    pub fn page_with_maps(&self, row: usize, maps: &[usize]) -> Option<Cow<'_, [u8]>> {
        let pages = self.tensors.get("attention.weights")?;
        let (whole, length) = (self.shape.page_len() * 2, self.shape.positions * 2);
        match &pages.bytes {
            TensorBytes::WithHoles(parts, _) => {
                for &map in maps {
                    pages.part_of_part(row, map * length, length)?;
                }
                parts.get(row).map(|part| Cow::Borrowed(&**part))
            }
            TensorBytes::File(file, _) if file.is_remote() => {
                let mut page = vec![0; whole];
                let mut is_there = true;
                // Neighbouring maps are read at once. All that is missing is asked for, not only the first.
                for run in runs(maps) {
                    let place = run.start * length..run.end * length;
                    match pages.part_of_part(row, place.start, place.len()) {
                        Some(bytes) => page.get_mut(place)?.copy_from_slice(&bytes),
                        None => is_there = false,
                    }
                }
                if !is_there {
                    return None;
                }
                Some(Cow::Owned(page))
            }
            _ => pages.part(row),
        }
    }

    /// [`Self::page_with_maps`] as numbers.
    pub fn page_of_maps(&self, row: usize, maps: &[usize]) -> Option<Cow<'_, [f16]>> {
        Some(numbers(self.page_with_maps(row, maps)?))
    }

    /// Whether parts of the attention may be on another machine still.
    pub fn has_holes(&self) -> bool {
        self.tensors.values().any(|tensor| match &tensor.bytes {
            TensorBytes::WithHoles(..) => true,
            TensorBytes::File(file, _) => !file.is_here(),
            TensorBytes::Owned(_) | TensorBytes::Parts(_) => false,
        })
    }

    /// The parts of a trace that have arrived, where the rest will not: its whole tensors, and the whole rows of its
    /// attention. Also the number of rows that are left out.
    ///
    /// # Errors
    /// If the tensors do not fit the metadata.
    pub fn as_received(&self) -> Result<(Self, usize), TraceError> {
        let by_row = ["attention.weights", "attention.stats"];
        let row_of = |row: usize| -> Option<Vec<Cow<'_, [u8]>>> {
            let there = by_row.iter().filter_map(|name| self.tensors.get(*name));
            there.map(|tensor| tensor.part(row)).collect()
        };
        let mut parts: Vec<Vec<u8>> = vec![Vec::new(); by_row.len()];
        let mut rows: Vec<i32> = Vec::new();
        for (row, &query) in self.rows.iter().enumerate() {
            let Some(found) = row_of(row) else { continue };
            rows.push(query as i32);
            for (part, bytes) in parts.iter_mut().zip(found) {
                part.extend_from_slice(&bytes);
            }
        }
        let mut tensors = BTreeMap::new();
        for (name, tensor) in &self.tensors {
            let of_rows = by_row.iter().position(|of| of == name);
            let tensor = match (of_rows, tensor.shape.split_first()) {
                (Some(at), Some((_, rest))) => {
                    let shape = [&[rows.len()], rest].concat();
                    owned(tensor.dtype, &shape, &parts[at])
                }
                _ if name == "attention.rows" => {
                    owned(Dtype::I32, &[rows.len()], bytemuck::cast_slice(&rows))
                }
                _ => match tensor.read() {
                    Ok(bytes) => owned(tensor.dtype, &tensor.shape, &bytes),
                    Err(_) => continue,
                },
            };
            tensors.insert(name.clone(), tensor);
        }
        let left_out = self.rows.len() - rows.len();
        Ok((Self::assemble(None, self.meta().clone(), tensors)?, left_out))
    }

    /// Whether parts that have not arrived never will.
    pub fn is_broken(&self) -> bool {
        self.tensors.values().any(|tensor| match &tensor.bytes {
            TensorBytes::File(file, _) => file.failure().is_some(),
            TensorBytes::Owned(_) | TensorBytes::Parts(_) | TensorBytes::WithHoles(..) => false,
        })
    }

    /// The place in the trace's file of one map of a row, `map` being layer × H + head; `None` unless the trace was
    /// opened from a file.
    pub fn place_of_map(&self, row: usize, map: usize) -> Option<Range<u64>> {
        let TensorBytes::File(_, range) = &self.tensors.get("attention.weights")?.bytes else {
            return None;
        };
        let length = self.shape.positions as u64 * 2;
        let maps = (self.shape.layers * self.shape.heads) as u64;
        let start = range.start + (row as u64 * maps + map as u64) * length;
        (start + length <= range.end).then_some(start..start + length)
    }

    /// The place in the trace's file of the overview numbers of a row; `None` unless the trace was opened from a file.
    pub fn place_of_stats(&self, row: usize) -> Option<Range<u64>> {
        let TensorBytes::File(_, range) = &self.tensors.get("attention.stats")?.bytes else {
            return None;
        };
        let length = (self.shape.layers * self.shape.heads * STAT_COUNT * 4) as u64;
        let start = range.start + row as u64 * length;
        (start + length <= range.end).then_some(start..start + length)
    }

    /// Names, types and places in the trace's file of the tensors that are read from it on demand.
    pub fn places_in_file(&self) -> impl Iterator<Item = (&str, Dtype, Range<u64>)> {
        self.tensors.iter().filter_map(|(name, tensor)| match &tensor.bytes {
            TensorBytes::File(_, range) => Some((name.as_str(), tensor.dtype, range.clone())),
            TensorBytes::Owned(_) | TensorBytes::Parts(_) | TensorBytes::WithHoles(..) => None,
        })
    }

    /// The same trace under a new identity, after more of its bytes have arrived: whatever was drawn or computed from
    /// it is made anew.
    #[must_use]
    pub fn refreshed(&self) -> Self {
        Self { id: TraceId::next(), ..self.clone() }
    }
}

/// Ascending runs of neighbouring maps.
fn runs(maps: &[usize]) -> Vec<Range<usize>> {
    let mut sorted = maps.to_vec();
    sorted.sort_unstable();
    let mut runs: Vec<Range<usize>> = Vec::new();
    for map in sorted {
        match runs.last_mut() {
            Some(run) if map <= run.end => run.end = run.end.max(map + 1),
            _ => runs.push(map..map + 1),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::trace::synthetic::{Geometry, RowsKept, Synthetic};
    use crate::trace::{AnswerToken, Query, TraceBuilder};

    #[test]
    fn whole_rows_are_kept_of_an_answer_that_broke_off() {
        let geometry = Geometry::named("small").unwrap();
        let whole = Synthetic::new(geometry, RowsKept::Text, 1).unwrap().trace().unwrap();
        let shape = whole.shape();
        let maps = shape.layers * shape.heads;
        let mut builder = TraceBuilder::new(whole.meta().clone());
        let generated = whole.meta().answer_tokens();
        for token in generated {
            builder.push_token(AnswerToken {
                token: token.clone(),
                logprob: -1.0,
                topk: vec![(token.id, -1.0)],
            });
        }
        let count = shape.rows;
        for row in 0..count {
            let mut there = vec![true; maps];
            // A map of every second row is missing.
            there[0] = row % 2 == 0;
            let weights: Vec<f16> = whole.page(row).unwrap().to_vec();
            let stats = vec![row as f32; maps * STAT_COUNT];
            builder
                .push_part_of_page(
                    Query(whole.rows()[row]),
                    shape.positions,
                    weights.into(),
                    stats.into(),
                    (!there[0]).then(|| there.into()),
                )
                .unwrap();
        }
        let broken = builder.snapshot("an answer").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.vlmtrace");
        assert!(matches!(broken.write(&path), Err(TraceError::Incomplete)));
        let (received, left_out) = broken.as_received().unwrap();
        assert_eq!(left_out, count / 2);
        received.write(&path).unwrap();
        let read = Trace::open(&path).unwrap();
        let kept: Vec<u32> = whole.rows().iter().copied().step_by(2).collect();
        assert_eq!((read.rows(), read.meta().answer.as_str()), (&kept[..], "an answer"));
        for row in 0..kept.len() {
            assert!(read.page(row) == whole.page(2 * row), "row {row}");
        }
    }

    #[test]
    fn neighbouring_maps_are_one_run() {
        assert_eq!(runs(&[7, 3, 4, 4, 9, 8]), [3..5, 7..10]);
        assert!(runs(&[]).is_empty());
    }
}
