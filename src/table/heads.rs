//! The heads table: one row for each sample, answer token, layer and head.

use super::schema::TableKind;
use super::{Result, TableError};
use crate::analysis::inside::Inside;
use crate::analysis::overview::{HeadNumber, layer_head};
use crate::analysis::reduce::{Fold, has_bos};
use crate::trace::{AnswerIndex, STAT_COUNT, Stat, Trace};
use crate::view::figure::token_names;
use arrow_array::builder::{Float32Builder, StringBuilder, UInt32Builder};
use arrow_array::{ArrayRef, RecordBatch};
use std::sync::Arc;

/// Rows of the heads table that are put together.
#[derive(Default)]
pub struct HeadsBuilder {
    sample: StringBuilder,
    index: UInt32Builder,
    token: UInt32Builder,
    token_text: StringBuilder,
    layer: UInt32Builder,
    head: UInt32Builder,
    image_share: Float32Builder,
    entropy: Float32Builder,
    focus: Float32Builder,
    peak: Float32Builder,
    peak_view: UInt32Builder,
    peak_row: UInt32Builder,
    peak_column: UInt32Builder,
    sink_share: Float32Builder,
    inside: Float32Builder,
    rows: usize,
}

/// The numbers of all heads at one row: [L, H] each.
struct Numbers {
    share: Vec<f32>,
    entropy: Vec<f32>,
    focus: Vec<f32>,
    peak: Vec<f32>,
    sink: Option<Vec<f32>>,
    inside: Option<Vec<f32>>,
}

impl Numbers {
    /// By the functions that the window's matrix and ranking use.
    fn new(trace: &Trace, row: usize, inside: Option<Inside>) -> Option<Self> {
        let of = |number: HeadNumber| layer_head(trace, &number, &[row as u32], Fold::Mean, false);
        let inside = match inside {
            Some(inside) => Some(of(HeadNumber::Inside(inside))?),
            None => None,
        };
        Some(Self {
            share: of(HeadNumber::ImageShare)?,
            entropy: of(HeadNumber::ImageEntropy)?,
            focus: of(HeadNumber::Focus)?,
            peak: of(HeadNumber::Peak)?,
            sink: has_bos(trace).then(|| of(HeadNumber::First)).flatten(),
            inside,
        })
    }

    /// The first number that no attention can have.
    fn fault(&self) -> Option<String> {
        let columns = [
            ("image_share", Some(&self.share)),
            ("entropy", Some(&self.entropy)),
            ("focus", Some(&self.focus)),
            ("peak", Some(&self.peak)),
            ("sink_share", self.sink.as_ref()),
            ("inside", self.inside.as_ref()),
        ];
        columns.into_iter().find_map(|(name, values)| {
            let range = TableKind::Heads.column(name)?.range;
            let fault = values?.iter().find_map(|value| range.fault(*value))?;
            Some(format!("{fault} as `{name}`"))
        })
    }
}

impl HeadsBuilder {
    /// Number of rows so far.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Adds the rows of a sample's trace: its spoken tokens whose row of attention was kept. `inside` is the object that
    /// a token is about, if any.
    ///
    /// # Errors
    /// If the trace's numbers cannot be read, or are outside of the ranges of their columns; nothing is added then.
    pub fn append(
        &mut self,
        (sample, index): (&str, u32),
        trace: &Trace,
        inside: &dyn Fn(AnswerIndex) -> Option<Inside>,
    ) -> Result<()> {
        let meta = trace.meta();
        let (shape, layers) = (trace.shape(), meta.model.layer_numbers());
        let texts = token_names(meta.answer_tokens());
        let mut tokens = Vec::new();
        for answer in meta.spoken_answers() {
            let Some(row) = trace.row_of_answer(answer) else { continue };
            let unread = || TableError::Trace {
                reason: format!("has no numbers of the answer token {}", answer.0),
            };
            let stats = trace.stats(row).ok_or_else(unread)?;
            let numbers = Numbers::new(trace, row, inside(answer)).ok_or_else(unread)?;
            if let Some(fault) = numbers.fault() {
                let reason = format!("{fault} of the answer token {}", answer.0);
                return Err(TableError::Trace { reason });
            }
            tokens.push((answer, stats, numbers));
        }
        for (answer, stats, numbers) in tokens {
            let text = texts.get(answer.index()).map_or("", String::as_str);
            for (at, of_head) in stats.chunks_exact(STAT_COUNT).enumerate() {
                let (layer, head) = (at / shape.heads, at % shape.heads);
                let heads = meta.model.heads_of_layer.get(layer);
                if heads.is_some_and(|&heads| head >= heads as usize) {
                    continue;
                }
                let peak = of_head[Stat::ImageArgmax as usize] as usize;
                let peak = meta.patch_at(peak);
                self.sample.append_value(sample);
                self.index.append_value(index);
                self.token.append_value(answer.0);
                self.token_text.append_value(text);
                self.layer.append_value(layers.get(layer).copied().unwrap_or(layer as u32));
                self.head.append_value(head as u32);
                self.image_share.append_value(numbers.share[at]);
                self.entropy.append_value(numbers.entropy[at]);
                self.focus.append_value(numbers.focus[at]);
                self.peak.append_value(numbers.peak[at]);
                self.peak_view.append_option(peak.map(|peak| peak.span));
                self.peak_row.append_option(peak.map(|peak| peak.row));
                self.peak_column.append_option(peak.map(|peak| peak.column));
                self.sink_share.append_option(numbers.sink.as_ref().map(|sink| sink[at]));
                self.inside.append_option(numbers.inside.as_ref().map(|inside| inside[at]));
                self.rows += 1;
            }
        }
        Ok(())
    }

    /// The rows so far; the builder is empty then.
    ///
    /// # Errors
    /// If the columns do not fit the schema, which is a fault of this program.
    pub fn take(&mut self) -> Result<RecordBatch> {
        self.rows = 0;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.sample.finish()),
            Arc::new(self.index.finish()),
            Arc::new(self.token.finish()),
            Arc::new(self.token_text.finish()),
            Arc::new(self.layer.finish()),
            Arc::new(self.head.finish()),
            Arc::new(self.image_share.finish()),
            Arc::new(self.entropy.finish()),
            Arc::new(self.focus.finish()),
            Arc::new(self.peak.finish()),
            Arc::new(self.peak_view.finish()),
            Arc::new(self.peak_row.finish()),
            Arc::new(self.peak_column.finish()),
            Arc::new(self.sink_share.finish()),
            Arc::new(self.inside.finish()),
        ];
        RecordBatch::try_new(TableKind::Heads.schema(), columns)
            .map_err(|error| TableError::Trace { reason: error.to_string() })
    }
}
