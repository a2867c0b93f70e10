//! A default tour of a trace: the question, the answer token by token, the layers and heads that attend to the picture,
//! all heads at once, and relevancy if the trace has it.

use super::edit::readable;
use super::spoken::{attends, sentence, told_apart, when};
use super::walkthrough::{Card, Step, Walkthrough};
use crate::analysis::methods::Method;
use crate::analysis::relevancy::without_punctuation;
use crate::trace::{AnswerIndex, ImageSpan, STAT_COUNT, Stat, TokenKind, Trace};
use crate::view::figure::token_name;
use crate::view::{
    AxisSet, Blend, HeadOrder, MapSource, Quantity, Queries, Range, Shown, ViewKind, ViewState,
    pictures, salient_token,
};
use std::path::Path;

/// Limit on the tokens that are shown one by one; of a longer answer, those with most attention on the picture.
const MOST_TOKENS: usize = 16;
/// Frames of a video that are shown one by one.
const MOST_FRAMES: usize = 24;
const LAYERS: usize = 3;
const HEADS: usize = 3;

/// The attention of each layer and head of some rows on the picture.
struct Looks {
    heads: usize,
    /// The model's own number of each layer.
    numbers: Vec<u32>,
    /// [layers × heads], means over the rows.
    share: Vec<f32>,
    peak: Vec<f32>,
}

impl Looks {
    fn from_trace(trace: &Trace, answers: &[u32]) -> Self {
        let shape = trace.shape();
        let cells = shape.layers * shape.heads;
        let (mut share, mut peak) = (vec![0.0_f32; cells], vec![0.0_f32; cells]);
        let rows = answers.iter().filter_map(|&token| trace.row_of_answer(AnswerIndex(token)));
        let mut count = 0.0_f32;
        for stats in rows.filter_map(|row| trace.stats(row)) {
            count += 1.0;
            for (cell, stat) in stats.chunks_exact(STAT_COUNT).enumerate() {
                share[cell] += stat[Stat::ImageSum as usize];
                peak[cell] += stat[Stat::ImageMax as usize];
            }
        }
        let mean = |values: Vec<f32>| values.into_iter().map(|v| v / count.max(1.0)).collect();
        let numbers = trace.meta().model.layer_numbers();
        Self { heads: shape.heads, numbers, share: mean(share), peak: mean(peak) }
    }

    /// Layers by their mean share of attention on the picture, largest first.
    fn layers(&self) -> Vec<(u32, f32)> {
        let mean = |heads: &[f32]| heads.iter().sum::<f32>() / heads.len().max(1) as f32;
        let sorted = sorted(self.share.chunks_exact(self.heads.max(1)).map(mean));
        sorted.into_iter().map(|(row, share)| (self.number(row), share)).collect()
    }

    /// The model's own number of a layer.
    fn number(&self, row: u32) -> u32 {
        self.numbers.get(row as usize).copied().unwrap_or(row)
    }

    /// Layers and heads by their strongest patch, largest first.
    fn cells(&self) -> Vec<([u32; 2], f32)> {
        let heads = self.heads.max(1) as u32;
        sorted(self.peak.iter().copied())
            .into_iter()
            .map(|(cell, _)| ([self.number(cell / heads), cell % heads], self.share[cell as usize]))
            .collect()
    }
}

fn sorted(values: impl Iterator<Item = f32>) -> Vec<(u32, f32)> {
    let mut list: Vec<(u32, f32)> = (0..).zip(values).collect();
    list.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    list
}

/// The tour of a trace; `path` is the trace's path in its steps.
pub fn tour(trace: &Trace, path: &Path) -> Walkthrough {
    Tour { trace, path }.walkthrough()
}

struct Tour<'a> {
    trace: &'a Trace,
    path: &'a Path,
}

impl Tour<'_> {
    fn walkthrough(&self) -> Walkthrough {
        let meta = self.trace.meta();
        let title = Card {
            text: meta.question.trim().to_owned(),
            subtitle: format!("Where {} looked to answer", meta.model.name),
            seconds: 2.5,
        };
        let end = Card {
            text: meta.answer.trim().to_owned(),
            subtitle: "Every frame drawn from the attention of one forward pass · vlmscope".into(),
            seconds: 2.5,
        };
        let mut steps = Vec::new();
        if meta.spans.is_empty() {
            self.without_picture(&mut steps);
        } else {
            self.answer(&mut steps);
            self.layers_and_heads(&mut steps);
            self.relevancy(&mut steps);
        }
        let mut tour = Walkthrough { title: Some(title), steps, end: Some(end) };
        // A question or an answer may be longer than a walkthrough may say.
        let cards = tour.title.iter_mut().chain(&mut tour.end);
        let cards = cards.flat_map(|card| [&mut card.text, &mut card.subtitle]);
        let captions = tour.steps.iter_mut().map(|step| &mut step.caption);
        cards.chain(captions).for_each(|text| *text = readable(text));
        tour
    }

    fn look(&self) -> ViewState {
        let mut state = ViewState {
            trace: Some(self.path.to_owned()),
            text_scale: 1.25,
            ..ViewState::default()
        };
        state.picture.index = self.most_seen_picture();
        state
    }

    /// The view of one map: over all pictures, where there are several.
    fn map_view(&self) -> ViewKind {
        if pictures(self.trace.meta()).len() > 1 { ViewKind::Pictures } else { ViewKind::Overlay }
    }

    /// The picture that the answer looks at most: what a view of one picture shows.
    fn most_seen_picture(&self) -> u32 {
        let meta = self.trace.meta();
        let pictures = pictures(meta);
        let mut state = ViewState { view: ViewKind::Pictures, ..ViewState::default() };
        let spoken: Vec<AnswerIndex> = self.spoken().into_iter().map(AnswerIndex).collect();
        state.map.queries = Queries::answers(&spoken);
        let grids = Shown::new(&state, self.trace).grids;
        let values = if grids.len() > 1 {
            state.values(self.trace, None).unwrap_or_default()
        } else {
            Vec::new()
        };
        let mut rest = values.as_slice();
        let mut best = (pictures.first().copied().unwrap_or(0), f32::NEG_INFINITY);
        for grid in grids {
            let (own, others) = rest.split_at(grid.cells().min(rest.len()));
            let sum = own.iter().sum::<f32>();
            if sum > best.1 {
                best = (grid.picture, sum);
            }
            rest = others;
        }
        best.0
    }

    /// The tokens of the answer that say something: no special tokens, no punctuation.
    fn spoken(&self) -> Vec<u32> {
        let tokens = self.trace.meta().answer_tokens();
        let kept = |index: &u32| self.trace.row_of_answer(AnswerIndex(*index)).is_some();
        let all = || (0..tokens.len() as u32).filter(kept);
        let is_spoken = |index: &u32| tokens[*index as usize].kind != TokenKind::Special;
        let spoken: Vec<AnswerIndex> = all().filter(is_spoken).map(AnswerIndex).collect();
        let spoken = without_punctuation(self.trace, &spoken);
        if spoken.is_empty() { all().collect() } else { spoken.iter().map(|one| one.0).collect() }
    }

    /// The layers with the largest share of attention on the picture, with that share.
    fn best_layers(&self, tokens: &[u32]) -> Vec<(u32, f32)> {
        let mut layers = Looks::from_trace(self.trace, tokens).layers();
        layers.truncate(LAYERS);
        layers
    }

    fn answer(&self, steps: &mut Vec<Step>) {
        let meta = self.trace.meta();
        let spoken = self.spoken();
        let Some(&first) = spoken.first() else { return };
        let layer = self.best_layers(&spoken).first().map_or(0, |&(layer, _)| layer);
        let of = |token: u32| {
            let mut state = self.look();
            state.view = self.map_view();
            state.map.queries = Queries::answer(token);
            state.map.layers = AxisSet::single(layer);
            state
        };
        // The picture alone, with the question.
        let mut bare = of(first);
        bare.blend = Blend::Glow;
        bare.opacity = 0.0;
        bare.caption.text = Some(self.picture_words());
        steps.push(Step {
            notes: "The picture as the model saw it.".into(),
            ..Step::new(bare, meta.question.trim())
        });
        for token in self.most_looking(spoken) {
            steps.push(Step {
                seconds: Some(0.9),
                transition_secs: 0.4,
                notes: format!("Answer token {token}, mean over the heads of layer {layer}."),
                ..Step::new(of(token), sentence(self.trace, &[token]))
            });
        }
        self.frames(steps, layer);
    }

    /// A video frame by frame, at the word that names something.
    fn frames(&self, steps: &mut Vec<Step>, layer: u32) {
        let meta = self.trace.meta();
        let frames: Vec<&ImageSpan> =
            meta.spans.iter().filter(|span| span.frame.is_some()).collect();
        let Some(token) = self.pointing_token().filter(|_| frames.len() > 1) else { return };
        let word = token_name(meta.answer_tokens(), token as usize);
        let word = word.unwrap_or_default();
        // Of a long video as many as there is time for, evenly.
        let count = frames.len().min(MOST_FRAMES);
        for frame in (0..count).map(|at| frames[at * frames.len() / count]) {
            let mut state = self.look();
            state.map.queries = Queries::answer(token);
            state.map.layers = AxisSet::single(layer);
            state.picture.index = frame.picture;
            // One scale, so that frames can be compared.
            state.normalise.range = self.range_over_frames(&state);
            steps.push(Step {
                seconds: Some(0.9),
                transition_secs: 0.3,
                notes: "One frame of the video, on the scale of all of them.".into(),
                ..Step::new(state, format!("{}: {}", when(&word), frame.name()))
            });
        }
    }

    /// From the smallest to the largest number of a map over all frames.
    fn range_over_frames(&self, state: &ViewState) -> Range {
        let all = ViewState { view: ViewKind::Pictures, ..state.clone() };
        let values = all.values(self.trace, None).unwrap_or_default();
        let [min, max] =
            values.iter().fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], &v| {
                [low.min(v.into()), high.max(v.into())]
            });
        if min < max { Range::Fixed { min, max } } else { Range::PerMap }
    }

    /// Long enough that the line breaks at the same place as in the captions of the maps, so that the picture does not
    /// move.
    fn picture_words(&self) -> String {
        let meta = self.trace.meta();
        let pictures = pictures(meta).len();
        let [span] = meta.spans.as_slice() else {
            let (views, patches) = (meta.spans.len(), meta.patches());
            return if pictures > 1 {
                let is_video = meta.spans.iter().all(|span| span.frame.is_some());
                let what = if is_video { "frames of the video" } else { "pictures" };
                format!("the {pictures} {what} as the model saw them: {patches} patches")
            } else {
                format!("the picture, which the model saw in {views} views: {patches} patches")
            };
        };
        let info = meta.preprocess.get(span.canvas as usize);
        let [width, height] = info.map_or([0, 0], |info| info.preprocessed_size);
        let (rows, columns) = (span.rows, span.columns);
        format!(
            "the picture as the model saw it: {width} × {height} pixels in {rows} × {columns} patches"
        )
    }

    /// All tokens of a short answer; of a long one, the tokens with most attention on the picture, in order.
    fn most_looking(&self, mut tokens: Vec<u32>) -> Vec<u32> {
        if tokens.len() > MOST_TOKENS {
            let mut shares: Vec<(f32, u32)> =
                tokens.iter().map(|&token| (self.image_share(token), token)).collect();
            shares.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            tokens = shares.into_iter().map(|(_, token)| token).collect();
            tokens.truncate(MOST_TOKENS);
            tokens.sort_unstable();
        }
        tokens
    }

    fn image_share(&self, token: u32) -> f32 {
        Looks::from_trace(self.trace, &[token]).share.iter().sum()
    }

    /// The token for the rest of the tour: the word that names an object.
    fn pointing_token(&self) -> Option<u32> {
        let token = salient_token(self.trace);
        self.trace.row_of_answer(AnswerIndex(token)).map(|_| token)
    }

    fn layers_and_heads(&self, steps: &mut Vec<Step>) {
        let Some(token) = self.pointing_token() else { return };
        let meta = self.trace.meta();
        let word = token_name(meta.answer_tokens(), token as usize);
        let word = word.unwrap_or_default();
        let looks = Looks::from_trace(self.trace, &[token]);
        let of = |layers: AxisSet, heads: AxisSet| {
            let mut state = self.look();
            state.map.queries = Queries::answer(token);
            (state.map.layers, state.map.heads) = (layers, heads);
            state
        };
        let mut layers = looks.layers();
        layers.truncate(LAYERS);
        let shares: Vec<f32> = layers.iter().map(|(_, share)| *share).collect();
        let texts = told_apart(&shares);
        for (rank, &(layer, _)) in layers.iter().enumerate() {
            let attends = attends(&when(&word), &format!("layer\u{a0}{layer}"), &texts[rank]);
            // A superlative needs a number that is larger than the next one.
            let is_most = rank == 0 && texts.get(1).is_none_or(|next| *next != texts[0]);
            let caption = if is_most { format!("{attends}, the most of all") } else { attends };
            let mut state = of(AxisSet::single(layer), AxisSet::MEAN);
            state.view = self.map_view();
            steps.push(Step { notes: "Mean over heads.".into(), ..Step::new(state, caption) });
        }
        if let Some(&(layer, _)) = layers.first() {
            let mut state = of(AxisSet::single(layer), AxisSet::MEAN);
            state.view = ViewKind::Heads;
            state.head_order = HeadOrder::ImageShare;
            let heads = self.trace.shape().heads;
            let caption =
                format!("The {heads}\u{a0}heads of layer\u{a0}{layer}, each on its own scale");
            steps.push(Step::new(state, caption));
        }
        let cells: Vec<_> = looks.cells().into_iter().take(HEADS).collect();
        let texts = told_apart(&cells.iter().map(|(_, share)| *share).collect::<Vec<_>>());
        for (([layer, head], _), share) in cells.into_iter().zip(&texts) {
            let who = format!("head\u{a0}{head} of layer\u{a0}{layer}");
            let caption = attends(&when(&word), &who, share);
            let mut state = of(AxisSet::single(layer), AxisSet::single(head));
            state.view = self.map_view();
            steps.push(Step { notes: "A single head.".into(), ..Step::new(state, caption) });
        }
        let shape = self.trace.shape();
        let mut state = of(AxisSet::MEAN, AxisSet::MEAN);
        state.view = ViewKind::Wall;
        let caption = format!(
            "{}: {}\u{a0}layers down, {}\u{a0}heads across",
            when(&word),
            shape.layers,
            shape.heads
        );
        steps.push(Step { seconds: Some(3.0), ..Step::new(state, caption) });
    }

    fn relevancy(&self, steps: &mut Vec<Step>) {
        let Some(token) = self.pointing_token() else { return };
        let Some(method) = Method::best_relevancy(self.trace) else { return };
        let meta = self.trace.meta();
        let word = token_name(meta.answer_tokens(), token as usize);
        let mut state = self.look();
        state.view = ViewKind::Relevancy;
        state.map.queries = Queries::answer(token);
        state.map.source = MapSource::Named(method.tensor.to_owned());
        let caption = format!("Relevancy: what **{}** depends on", word.unwrap_or_default());
        steps.push(Step {
            notes: "Attention weighted by gradients, accumulated over the layers.".into(),
            ..Step::new(state, caption)
        });
    }

    fn without_picture(&self, steps: &mut Vec<Step>) {
        for (view, caption) in [
            (ViewKind::TokenMatrix, "What each token attends to, mean over layers and heads"),
            (ViewKind::LayerHead, "One number for each layer and head"),
        ] {
            let mut state = self.look();
            state.view = view;
            state.quantity = Quantity::QuestionShare;
            state.map.queries = Queries::answer(self.spoken().first().copied().unwrap_or(0));
            steps.push(Step { seconds: Some(3.0), ..Step::new(state, caption) });
        }
    }
}
