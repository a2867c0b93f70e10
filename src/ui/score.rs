//! Choice of maps for the deletion and insertion test, and its results.

use super::document::{Document, DocumentId};
use crate::analysis::boxes::{answer_words, boxes_of_word};
use crate::analysis::methods::{Method, compute_mean};
use crate::analysis::reduce::Keep;
use crate::analysis::score::{Fit, fit, region_of_boxes};
use crate::model::{Curves, builtin};
use crate::trace::{AnswerIndex, TokenKind, Trace};
use crate::view::{AxisSet, MapChoice, MapSource, Queries, QueryKind, ViewError, ViewState};

/// Title of the task.
pub const TASK: &str = "Testing the map";
/// The seed of the random map.
const SEED: u64 = 0;

/// A map whose curves are drawn.
#[derive(Clone, Debug)]
pub struct Line {
    /// Name of the map.
    pub title: String,
    /// Source of the map in the trace; `None` for the control.
    pub source: Option<MapSource>,
    /// Agreement of the map with the place of the object; `None` if it is not known.
    pub fit: Option<Fit>,
}

/// Scores, complete or in progress.
#[derive(Clone, Debug)]
pub struct Scores {
    /// The document whose maps are scored.
    pub on: DocumentId,
    /// Text of the scored words.
    pub text: String,
    /// The maps: the one that was shown first, the random one last.
    pub lines: Vec<Line>,
    /// The curves so far.
    pub curves: Curves,
}

/// The answer tokens that the view selects (all tokens that carry text if it selects positions), and their text.
pub fn chosen(trace: &Trace, state: &ViewState) -> (Vec<usize>, String) {
    let answers = trace.meta().answer_tokens();
    let queries = &state.map.queries;
    let mut tokens: Vec<usize> = match queries.kind {
        QueryKind::Answer => queries.set.named().unwrap_or_default().to_vec(),
        QueryKind::Position => Vec::new(),
    }
    .into_iter()
    .map(|token| token as usize)
    .filter(|&token| token < answers.len())
    .collect();
    if tokens.is_empty() {
        let spoken = |&token: &usize| answers[token].kind != TokenKind::Special;
        tokens = (0..answers.len()).filter(spoken).collect();
    }
    let words = answer_words(trace);
    let of_tokens = words.iter().filter(|(_, word)| word.iter().any(|at| tokens.contains(at)));
    let text = of_tokens.map(|(word, _)| word.as_str()).collect::<Vec<_>>().join(" ");
    (tokens, text)
}

/// Titles and values, `[N]` each.
pub type Maps = Vec<(String, Vec<f32>)>;

/// The shown map first, then the mean attention and the trace's own maps, the control last.
///
/// # Errors
/// If the shown attention has no row for the tokens, or a method fails.
pub fn lines(doc: &Document, tokens: &[usize], text: &str) -> Result<(Vec<Line>, Maps), String> {
    let (trace, state) = (&doc.trace, doc.state());
    let answers: Vec<AnswerIndex> = tokens.iter().map(|&token| AnswerIndex(token as u32)).collect();
    let values = |source: &MapSource| {
        let choice = MapChoice {
            source: source.clone(),
            queries: Queries::answers(&answers),
            ..state.map.clone()
        };
        Ok::<_, ViewError>(choice.resolve(trace, Keep::One, state.remove_bos)?.values())
    };
    // The place of the object: what the user marked, or else the box of a built-in picture.
    let (picture, region) = match state.chosen_object() {
        Some(object) => (Some(object.picture), object.parts.clone()),
        None => (None, region_of_boxes(&boxes_of_word(&builtin::boxes_of(trace), text))),
    };
    let mut lines = Vec::new();
    let mut maps: Maps = Vec::new();
    let mut add = |title: String, source: Option<MapSource>, map: Vec<f32>| {
        let fit = (!region.is_empty()).then(|| fit(&map, &trace.meta().spans, picture, &region));
        maps.push((title.clone(), map));
        lines.push(Line { title, source, fit });
    };
    let title = |name: &str| {
        name.parse::<Method>().map_or_else(|_| name.to_owned(), |method| method.title.to_owned())
    };
    if state.map.source == MapSource::Attention {
        let map = values(&MapSource::Attention).map_err(|error| error.to_string())?;
        let set = |what: &str, set: &AxisSet| {
            set.only().map_or_else(|| format!("all {what}s"), |one| format!("{what} {one}"))
        };
        let shown = format!(
            "shown: {}, {}",
            set("layer", &state.map.layers),
            set("head", &state.map.heads)
        );
        add(shown, Some(MapSource::Attention), map);
    }
    let mean = |method: Method, seed: u64| {
        compute_mean(trace, method, seed, tokens).map_err(|error| error.to_string())
    };
    let attention = mean(Method::ATTENTION, 0)?;
    add(Method::ATTENTION.title.to_owned(), Some(MapSource::Attention), attention);
    for name in trace.map_names().into_iter().filter(|name| *name != Method::RANDOM.tensor) {
        let source = MapSource::Named(name.to_owned());
        if let Ok(map) = values(&source) {
            add(title(name), Some(source), map);
        }
    }
    add(Method::RANDOM.title.to_owned(), None, mean(Method::RANDOM, SEED)?);
    Ok((lines, maps))
}
