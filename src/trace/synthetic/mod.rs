//! Traces that no model made, for benches and tests: any geometry, deterministic, with the
//! structure of real attention (a sink on BOS, a register patch, local text, heads that look at
//! objects).
//!
//! Their metadata says that they are synthetic. Large ones are written page by page, so that writing a file of many
//! gigabytes needs the memory of one page; a sparse one has data in its answer rows only.

mod attention;
mod geometry;
mod scene;
mod write;

pub use geometry::Geometry;
pub use scene::SyntheticPicture;

use super::{
    AnswerToken, ImageSpan, ModelInfo, PreprocessInfo, Provenance, Query, Rect, Sampling, Timings,
    TokenInfo, TokenKind, Trace, TraceBuilder, TraceError, TraceMeta,
};
use geometry::SCALE;
use std::sync::Arc;

/// The query rows that are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RowsKept {
    /// The text and answer positions after the picture.
    #[default]
    Text,
    /// All positions.
    All,
}

/// The description of a synthetic trace, from which it is generated.
#[derive(Clone, Debug)]
pub struct Synthetic {
    geometry: Geometry,
    rows: RowsKept,
    seed: u64,
    picture: SyntheticPicture,
}

/// Alternatives that are kept for each answer token.
const TOP_K: u32 = 3;

impl Synthetic {
    /// A trace over a generated picture.
    ///
    /// # Errors
    /// If the geometry has an axis of length 0.
    pub fn new(geometry: Geometry, rows: RowsKept, seed: u64) -> Result<Self, TraceError> {
        let Geometry { layers, heads, rows: r, columns, patch_px, system_len, answer_len, .. } =
            geometry;
        if [layers, heads, r, columns, patch_px, system_len, answer_len].contains(&0) {
            let reason = format!("the geometry {} has an axis of length 0", geometry.name);
            return Err(TraceError::Inconsistent { reason });
        }
        let size = [columns * patch_px, r * patch_px];
        let picture = scene::picture(size)?;
        Ok(Self { geometry, rows, seed, picture })
    }

    /// The geometry.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The query positions that are kept.
    fn kept(&self) -> std::ops::Range<u32> {
        let first = match self.rows {
            RowsKept::Text => self.geometry.system_len + self.geometry.patches(),
            RowsKept::All => 0,
        };
        first..self.geometry.positions()
    }

    /// The whole trace in memory, with `relevancy.llm` and `map.synthetic` added.
    ///
    /// # Errors
    /// If parts do not fit together.
    pub fn trace(&self) -> Result<Trace, TraceError> {
        let mut builder = TraceBuilder::new(self.prompt_meta());
        let SyntheticPicture { original, size, rgb, .. } = &self.picture;
        builder.add_picture(0, original, *size, rgb)?;
        let model = attention::Model::new(&self.geometry, self.seed);
        let positions = self.geometry.positions() as usize;
        for query in self.kept() {
            let (page, stats) = model.page(query);
            builder.push_page(Query(query), positions, Arc::from(page), Arc::from(stats))?;
        }
        for token in self.answer() {
            builder.push_token(token);
        }
        let trace = builder.finish(ANSWER, Timings::default(), provenance())?;
        let (relevancy, map) = self.maps(&model);
        let generated = self.geometry.answer_len as usize;
        trace.with_map("relevancy.llm", &[generated, positions], &relevancy)?.with_map(
            "map.synthetic",
            &[generated, self.geometry.patches() as usize],
            &map,
        )
    }

    /// The maps `relevancy.llm` [G, T] and `map.synthetic` [G, N].
    fn maps(&self, model: &attention::Model) -> (Vec<f32>, Vec<f32>) {
        let first = self.geometry.prompt_len() - 1;
        let queries = || (0..self.geometry.answer_len).map(|answer| first + answer);
        (
            queries().flat_map(|query| model.relevancy(query)).collect(),
            queries().flat_map(|query| model.image_map(query)).collect(),
        )
    }

    /// Metadata of the prompt.
    fn prompt_meta(&self) -> TraceMeta {
        let g = &self.geometry;
        let picture = &self.picture;
        let span = ImageSpan {
            picture: 0,
            first: g.system_len,
            rows: g.rows,
            columns: g.columns,
            preprocessed_rect: Rect {
                x: 0.0,
                y: 0.0,
                width: f64::from(picture.size[0]),
                height: f64::from(picture.size[1]),
            },
            original_from_preprocessed: picture.original_from_preprocessed,
            ..ImageSpan::default()
        };
        TraceMeta {
            format_version: super::FORMAT_OF_ONE_CANVAS.to_owned(),
            model: ModelInfo {
                name: format!("synthetic {}", g.name),
                bundle_sha: String::new(),
                layers: g.layers,
                heads: g.heads,
                kv_heads: g.heads,
                vision_layers: 0,
                vision_heads: 0,
                ..ModelInfo::default()
            },
            question: QUESTION.to_owned(),
            answer: String::new(),
            sampling: Sampling::default(),
            tokens: self.prompt_tokens(),
            prompt_len: g.prompt_len(),
            spans: vec![span],
            preprocess: vec![PreprocessInfo {
                mode: picture.mode.into(),
                original_size: picture.original_size,
                preprocessed_size: picture.size,
                file_name: "synthetic.png".into(),
                original_from_preprocessed: picture.original_from_preprocessed,
                ..PreprocessInfo::default()
            }],
            attention_scale: SCALE,
            timings: Timings::default(),
            provenance: provenance(),
            ..TraceMeta::default()
        }
    }

    fn prompt_tokens(&self) -> Vec<TokenInfo> {
        let g = &self.geometry;
        let token = |id: u32, text: &str, kind: TokenKind, word: Option<u32>| TokenInfo {
            id,
            text: text.to_owned(),
            kind,
            turn: 0,
            word,
        };
        let mut word = 0;
        let mut text_tokens = |words: &str, count: u32, kind: TokenKind| -> Vec<TokenInfo> {
            let mut cycle = words.split(' ').cycle();
            (0..count)
                .map(|index| {
                    word += 1;
                    let text = format!("▁{}", cycle.next().unwrap_or_default());
                    token(100 + index, &text, kind, Some(word))
                })
                .collect()
        };
        let mut tokens = vec![token(1, "<s>", TokenKind::Special, None)];
        tokens.extend(text_tokens(SYSTEM, g.system_len - 1, TokenKind::System));
        tokens.extend((0..g.patches()).map(|_| token(32000, "<image>", TokenKind::Image, None)));
        tokens.extend(text_tokens(QUESTION, g.question_len, TokenKind::Question));
        tokens
    }

    fn answer(&self) -> Vec<AnswerToken> {
        let words: Vec<&str> = ANSWER.split(' ').collect();
        let last = self.geometry.answer_len - 1;
        (0..=last)
            .map(|index| {
                let stop = index == last;
                let text = if stop {
                    "</s>".to_owned()
                } else {
                    format!("▁{}", words[index as usize % words.len()])
                };
                let kind = if stop { TokenKind::Special } else { TokenKind::Answer };
                let word = (!stop).then_some(10_000 + index);
                // Some tokens are certain and some are not, so that the display of probabilities has something to show.
                let logprob = -0.02 - 0.9 * (index % 4) as f32;
                let id = if stop { 2 } else { 500 + index };
                let topk = (0..TOP_K).map(|k| (id + k * 1000, logprob - k as f32)).collect();
                AnswerToken { token: TokenInfo { id, text, kind, turn: 0, word }, logprob, topk }
            })
            .collect()
    }
}

const SYSTEM: &str = "A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite answers to the human's questions. USER:";
const QUESTION: &str = "What is to the left of the red circle, and what is behind it? ASSISTANT:";
const ANSWER: &str = "The yellow triangle is left of the circle.";

fn provenance() -> Provenance {
    Provenance {
        writer: format!("vlmscope {} (synthetic: no model made this)", env!("CARGO_PKG_VERSION")),
        created_unix: 0,
        provider: "none".into(),
        runtime: "none".into(),
        ..Provenance::default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::trace::{AnswerIndex, STAT_COUNT, Stat};

    fn small(rows: RowsKept) -> Synthetic {
        Synthetic::new(Geometry::named("small").unwrap(), rows, 7).unwrap()
    }

    #[test]
    fn every_row_sums_to_one_and_is_causal() {
        let trace = small(RowsKept::All).trace().unwrap();
        let shape = trace.shape();
        for (row, &query) in trace.rows().iter().enumerate() {
            for (layer, head) in [(0, 0), (1, 5), (3, 2)] {
                let weights = trace.weights(row, layer, head).unwrap();
                let sum: f32 = weights.iter().sum();
                assert!((sum - 1.0).abs() < 2e-3, "row {row}: {sum}");
                assert!(weights[query as usize + 1..].iter().all(|&weight| weight == 0.0));
            }
        }
        assert_eq!(shape.rows, shape.positions);
    }

    #[test]
    fn stats_are_those_of_the_weights() {
        let trace = small(RowsKept::Text).trace().unwrap();
        let row = trace.row_of_answer(AnswerIndex(2)).unwrap();
        let stats = trace.stats(row).unwrap().into_owned();
        let span = &trace.meta().spans[0];
        for (index, stats) in stats.chunks_exact(STAT_COUNT).enumerate() {
            let heads = trace.shape().heads;
            let weights = trace.weights(row, index / heads, index % heads).unwrap();
            let image = &weights[span.extent()];
            let sum: f32 = image.iter().sum();
            let question: f32 = weights[trace.meta().question_range()].iter().sum();
            let argmax = stats[Stat::ImageArgmax as usize] as usize;
            assert!((stats[Stat::ImageSum as usize] - sum).abs() < 2e-3);
            assert!((stats[Stat::QuestionSum as usize] - question).abs() < 2e-3);
            assert!((stats[Stat::ImageMax as usize] - image[argmax]).abs() < 1e-3);
            let entropy = stats[Stat::ImageEntropy as usize];
            assert!((0.0..=(image.len() as f32).ln() + 1e-3).contains(&entropy));
        }
    }

    #[test]
    fn a_written_file_holds_the_same_pages_as_the_trace_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.vlmtrace");
        let synthetic = small(RowsKept::Text);
        synthetic.write(&path).unwrap();
        let (file, memory) = (Trace::open(&path).unwrap(), synthetic.trace().unwrap());
        assert_eq!(file.meta(), memory.meta());
        assert_eq!(file.rows(), memory.rows());
        for row in 0..file.rows().len() {
            assert_eq!(file.page_bytes(row), memory.page_bytes(row));
            assert_eq!(file.stats(row), memory.stats(row));
        }
        assert_eq!(file.map_names(), memory.map_names());
        let answer = AnswerIndex(1);
        assert_eq!(file.map_row("relevancy.llm", answer), memory.map_row("relevancy.llm", answer));
    }

    #[test]
    fn a_sparse_file_is_large_and_takes_little_room() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sparse.vlmtrace");
        let geometry = Geometry { layers: 16, heads: 16, ..Geometry::named("small").unwrap() };
        let synthetic = Synthetic::new(geometry, RowsKept::All, 7).unwrap();
        synthetic.write_sparse(&path).unwrap();
        let trace = Trace::open(&path).unwrap();
        let last = trace.row_of_answer(AnswerIndex(0)).unwrap();
        assert!(trace.weights(last, 3, 3).unwrap().iter().sum::<f32>() > 0.99);
        assert_eq!(trace.weights(0, 0, 0).unwrap().iter().sum::<f32>(), 0.0);
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            let meta = std::fs::metadata(&path).unwrap();
            assert!(meta.blocks() * 512 < meta.len() / 2, "{} of {}", meta.blocks(), meta.len());
        }
    }
}
