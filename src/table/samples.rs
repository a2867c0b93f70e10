//! The samples table: one row for each sample.

use super::file::TableReader;
use super::schema::{TableKind, Type};
use super::{Expected, ModelSizes, Result, TableError};
use crate::analysis::inside::Inside;
use crate::analysis::overview::{HeadNumber, layer_head};
use crate::analysis::reduce::Fold;
use crate::analysis::verdict::{Evidence, Thresholds};
use crate::trace::{AnswerIndex, Trace};
use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float32Type, Float64Type, UInt32Type};
use arrow_array::{
    Array as _, ArrayRef, BooleanArray, Float32Array, Float64Array, RecordBatch, StringArray,
    UInt32Array,
};
use std::path::Path;
use std::sync::Arc;

/// Facts about a sample that its trace does not hold.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// Its name, the same in every run.
    pub sample: String,
    /// Its place in the input, from 0.
    pub index: u32,
    /// The picture, as the input names it.
    pub picture: String,
    /// The expected answer.
    pub expected: Option<Expected>,
    /// The kind of question.
    pub category: Option<String>,
    /// The object that the question is about, and what lies inside of it.
    pub object: Option<(String, Inside)>,
    /// The file of the trace, if it was kept.
    pub trace: Option<String>,
    /// The hash of all that decides the answer.
    pub request: String,
    /// Questions before this one, each with its answer.
    pub turns: Vec<(String, String)>,
}

/// A row of the samples table. docs/tables.md describes the columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SampleRow {
    /// Name of the sample.
    pub sample: String,
    /// Place in the input, from 0.
    pub index: u32,
    /// The picture, as the input names it.
    pub picture: String,
    /// The question.
    pub question: String,
    /// The answer.
    pub answer: String,
    /// The expected answers, separated by " | ".
    pub expected: Option<String>,
    /// The rule of comparison.
    pub rule: Option<String>,
    /// Whether the answer is an expected one.
    pub correct: Option<bool>,
    /// The kind of question.
    pub category: Option<String>,
    /// The object that the question is about.
    pub object: Option<String>,
    /// Number of spoken tokens.
    pub tokens: u32,
    /// Sum of the log-probabilities of the spoken tokens.
    pub logprob: Option<f32>,
    /// Share of the attention of the answer on the picture: mean over spoken tokens, layers and heads.
    pub image_share: Option<f32>,
    /// Share of the relevancy of the answer on the picture.
    pub relevancy_share: Option<f32>,
    /// Share of the relevancy of the answer inside the object.
    pub relevancy_inside: Option<f32>,
    /// Probability of the answer with a blank picture.
    pub blank_probability: Option<f32>,
    /// Part of its probability that the answer keeps with a blank picture.
    pub kept: Option<f32>,
    /// The verdict under the default limits.
    pub verdict: Option<String>,
    /// Name of the model.
    pub model: String,
    /// Number of layers with attention.
    pub layers: u32,
    /// Number of heads.
    pub heads: u32,
    /// Number of patches.
    pub patches: u32,
    /// Seconds that the answer took.
    pub seconds: f64,
    /// The file of the trace, if it was kept.
    pub trace: Option<String>,
    /// The hash of all that decides the answer.
    pub request: String,
    /// The turns before the question as JSON, \[\[question, answer\], …\]; `None` if there are none.
    pub turns: Option<String>,
    /// Number of all decoder layers of the model, also those without attention; tables of earlier programs lack it.
    pub model_layers: Option<u32>,
}

impl SampleRow {
    /// Layers with attention, heads, and all layers of the model.
    pub(super) const fn sizes(&self) -> [Option<u32>; 3] {
        [Some(self.layers), Some(self.heads), self.model_layers]
    }

    /// The row of a trace, by the functions that `inspect` and the window use.
    pub fn new(trace: &Trace, given: &Given) -> Self {
        let (meta, shape) = (trace.meta(), trace.shape());
        let spoken = meta.spoken_answers();
        let inside = given.object.as_ref().map(|(_, inside)| inside);
        let evidence = Evidence::of_word(trace, &spoken, inside);
        let logprobs = trace.answer_logprobs();
        let of =
            |token: &AnswerIndex| logprobs.get(token.index()).copied().filter(|p| p.is_finite());
        let timings = meta.timings;
        let expected = given.expected.as_ref();
        Self {
            sample: given.sample.clone(),
            index: given.index,
            picture: given.picture.clone(),
            question: meta.question.clone(),
            answer: meta.answer.clone(),
            expected: expected.map(Expected::text),
            rule: expected.map(|expected| expected.rule().to_string()),
            correct: expected.map(|expected| expected.accepts(&meta.answer)),
            category: given.category.clone(),
            object: given.object.as_ref().map(|(name, _)| name.clone()),
            tokens: spoken.len() as u32,
            logprob: spoken.iter().map(of).sum(),
            image_share: image_share(trace, &spoken),
            relevancy_share: evidence.picture_share,
            relevancy_inside: evidence.object_share,
            blank_probability: evidence.blank_probability,
            kept: evidence.kept(),
            verdict: evidence.verdict(&Thresholds::default()).map(|one| one.name().to_owned()),
            model: meta.model.name.clone(),
            layers: shape.layers as u32,
            heads: shape.heads as u32,
            patches: meta.patches() as u32,
            seconds: timings.preprocess + timings.vision + timings.prefill + timings.decode,
            trace: given.trace.clone(),
            request: given.request.clone(),
            turns: (!given.turns.is_empty()).then(|| serde_json::json!(given.turns).to_string()),
            model_layers: Some(meta.model.layers),
        }
    }
}

impl ModelSizes {
    /// Adds the answer of a trace.
    ///
    /// # Errors
    /// Other sizes than in an earlier answer of the same model.
    pub fn add_answer(&mut self, row: &SampleRow) -> Result<()> {
        self.add(&row.model, row.sizes(), 0).map_err(|other| TableError::Trace {
            reason: format!(
                "has {} in the column `{}`, and an earlier one of the same model `{}` has {}: write a table for each",
                other.number, other.column, row.model, other.before
            ),
        })
    }
}

/// The share of the attention of some answer tokens on the picture: mean over them, layers and heads; `None` where no
/// row was kept.
fn image_share(trace: &Trace, spoken: &[AnswerIndex]) -> Option<f32> {
    let rows: Vec<u32> = spoken
        .iter()
        .filter_map(|&answer| trace.row_of_answer(answer))
        .map(|row| row as u32)
        .collect();
    if rows.is_empty() {
        return None;
    }
    let shares = layer_head(trace, &HeadNumber::ImageShare, &rows, Fold::Mean, false)?;
    Some(shares.iter().sum::<f32>() / shares.len().max(1) as f32)
}

/// Rows as a batch of the samples table.
///
/// # Errors
/// If the columns do not fit the schema, which is a fault of this program.
pub fn samples_batch(rows: &[SampleRow]) -> Result<RecordBatch> {
    let text = |of: fn(&SampleRow) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(of)))
    };
    let maybe = |of: fn(&SampleRow) -> Option<&str>| -> ArrayRef {
        Arc::new(rows.iter().map(of).collect::<StringArray>())
    };
    let number = |of: fn(&SampleRow) -> u32| -> ArrayRef {
        Arc::new(UInt32Array::from_iter_values(rows.iter().map(of)))
    };
    let float = |of: fn(&SampleRow) -> Option<f32>| -> ArrayRef {
        Arc::new(rows.iter().map(of).collect::<Float32Array>())
    };
    let columns: Vec<ArrayRef> = vec![
        text(|row| &row.sample),
        number(|row| row.index),
        text(|row| &row.picture),
        text(|row| &row.question),
        text(|row| &row.answer),
        maybe(|row| row.expected.as_deref()),
        maybe(|row| row.rule.as_deref()),
        Arc::new(rows.iter().map(|row| row.correct).collect::<BooleanArray>()),
        maybe(|row| row.category.as_deref()),
        maybe(|row| row.object.as_deref()),
        number(|row| row.tokens),
        float(|row| row.logprob),
        float(|row| row.image_share),
        float(|row| row.relevancy_share),
        float(|row| row.relevancy_inside),
        float(|row| row.blank_probability),
        float(|row| row.kept),
        maybe(|row| row.verdict.as_deref()),
        text(|row| &row.model),
        number(|row| row.layers),
        number(|row| row.heads),
        number(|row| row.patches),
        Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.seconds))),
        maybe(|row| row.trace.as_deref()),
        text(|row| &row.request),
        maybe(|row| row.turns.as_deref()),
        Arc::new(rows.iter().map(|row| row.model_layers).collect::<UInt32Array>()),
    ];
    RecordBatch::try_new(TableKind::Samples.schema(), columns)
        .map_err(|error| TableError::Trace { reason: error.to_string() })
}

/// One column's value in one row.
enum Value {
    Text(Option<String>),
    Number(Option<u32>),
    Float(Option<f32>),
    Double(Option<f64>),
    Bool(Option<bool>),
}

impl Value {
    fn text(self) -> Option<String> {
        if let Self::Text(text) = self { text } else { None }
    }

    fn number(self) -> Option<u32> {
        if let Self::Number(number) = self { number } else { None }
    }

    fn float(self) -> Option<f32> {
        if let Self::Float(float) = self { float } else { None }
    }

    fn double(self) -> f64 {
        if let Self::Double(Some(double)) = self { double } else { 0.0 }
    }

    fn bool(self) -> Option<bool> {
        if let Self::Bool(bool) = self { bool } else { None }
    }
}

/// The rows of a samples table, in the order of the file.
///
/// # Errors
/// A damaged or foreign file.
pub fn read_samples(path: &Path) -> Result<Vec<SampleRow>> {
    let mut rows = Vec::new();
    for batch in TableReader::open_kind(path, TableKind::Samples)?.batches()? {
        let batch = batch?;
        for row in 0..batch.num_rows() {
            rows.push(sample_row(&batch, row));
        }
    }
    Ok(rows)
}

fn value(batch: &RecordBatch, name: &str, row: usize) -> Value {
    let (Some(column), Some(array)) = (TableKind::Samples.column(name), batch.column_by_name(name))
    else {
        return Value::Text(None);
    };
    let is_there = !array.is_null(row);
    match column.of {
        Type::Text => Value::Text(is_there.then(|| array.as_string::<i32>().value(row).to_owned())),
        Type::Number => {
            Value::Number(is_there.then(|| array.as_primitive::<UInt32Type>().value(row)))
        }
        Type::Float => {
            Value::Float(is_there.then(|| array.as_primitive::<Float32Type>().value(row)))
        }
        Type::Double => {
            Value::Double(is_there.then(|| array.as_primitive::<Float64Type>().value(row)))
        }
        Type::Bool => Value::Bool(is_there.then(|| array.as_boolean().value(row))),
    }
}

fn sample_row(batch: &RecordBatch, row: usize) -> SampleRow {
    let of = |name: &str| value(batch, name, row);
    let text = |name: &str| of(name).text().unwrap_or_default();
    let number = |name: &str| of(name).number().unwrap_or_default();
    SampleRow {
        sample: text("sample"),
        index: number("index"),
        picture: text("picture"),
        question: text("question"),
        answer: text("answer"),
        expected: of("expected").text(),
        rule: of("rule").text(),
        correct: of("correct").bool(),
        category: of("category").text(),
        object: of("object").text(),
        tokens: number("tokens"),
        logprob: of("logprob").float(),
        image_share: of("image_share").float(),
        relevancy_share: of("relevancy_share").float(),
        relevancy_inside: of("relevancy_inside").float(),
        blank_probability: of("blank_probability").float(),
        kept: of("kept").float(),
        verdict: of("verdict").text(),
        model: text("model"),
        layers: number("layers"),
        heads: number("heads"),
        patches: number("patches"),
        seconds: of("seconds").double(),
        trace: of("trace").text(),
        request: text("request"),
        turns: of("turns").text(),
        model_layers: of("model_layers").number(),
    }
}
