//! Relevancy of an answer: its words, which maps the trace has, and the views that show them.

use super::document::Document;
use crate::analysis::methods::Method;
use crate::analysis::relevancy::Reliance;
use crate::trace::{AnswerIndex, Trace};
use crate::view::{
    Aggregate, AxisSet, Command, MapSource, Parts, Queries, QueryKind, ViewKind, salient_token,
};

/// Methods whose maps lie over the picture, with the name and the hint of their buttons.
pub const MAPS: [(Method, &str, &str); 3] = [
    (Method::LLM, "Language model", "Through the language model: LVLM-Interpret's `llama`"),
    (Method::VIT, "Vision tower", "Through the vision tower alone"),
    (Method::ALL_LAYERS, "Both", "The vision tower's row, propagated through the language model"),
];

/// An answer word.
pub struct AnswerWord {
    /// Text of the word.
    pub text: String,
    /// Its tokens.
    pub tokens: Vec<AnswerIndex>,
    /// Its tokens without punctuation, whose map and shares are shown.
    pub spoken: Vec<AnswerIndex>,
    /// Shares of relevancy on picture, question and earlier answer.
    pub reliance: Reliance,
}

impl AnswerWord {
    /// The mean over the word's tokens as queries.
    pub fn queries(&self) -> Queries {
        let tokens = self.spoken.iter().map(|token| token.0).collect();
        Queries { kind: QueryKind::Answer, set: AxisSet::new(Aggregate::Mean, tokens) }
    }

    /// Whether the view shows it.
    pub fn is_chosen(&self, queries: &Queries) -> bool {
        queries.kind == QueryKind::Answer
            && self.tokens.iter().any(|token| queries.set.contains(token.0))
    }
}

/// Methods whose maps the trace lacks for some word: only the language model's, or every one.
pub fn missing(doc: &Document, every: bool) -> Vec<Method> {
    MAPS.iter()
        .map(|(method, ..)| *method)
        .filter(|&method| every || method == Method::LLM)
        .filter(|&method| !is_there(&doc.trace, method, &all_answers(doc)))
        .collect()
}

/// Shows a map on the stage, or in the view that is open if that can.
pub fn show_map(doc: &Document, method: Method) -> Command {
    let mut next = doc.state().clone();
    next.map.source = MapSource::Named(method.tensor.to_owned());
    if next.view.spec().parts != Parts::Patches {
        next.view = ViewKind::Overlay;
    }
    if next.map.queries.kind != QueryKind::Answer {
        next.map.queries = Queries::answer(salient_token(&doc.trace));
    }
    Command::Replace(Box::new(next))
}

/// Shows gradient × attention of every head at once.
pub fn show_pages(doc: &Document) -> Command {
    let mut next = doc.state().clone();
    let name = Method::GRADIENT_ATTENTION.tensor;
    next.map.source = MapSource::Named(name.to_owned());
    if next.map.queries.kind != QueryKind::Answer {
        next.map.queries = Queries::answer(salient_token(&doc.trace));
    }
    next.view = ViewKind::Wall;
    Command::Replace(Box::new(next))
}

/// Shows words; the source stays. `None` where they are shown already.
pub fn choose(doc: &Document, queries: Queries) -> Option<Command> {
    (doc.state().map.queries != queries).then_some(Command::SetQueries(queries))
}

fn all_answers(doc: &Document) -> Vec<AnswerIndex> {
    (0..doc.extent.answers).map(AnswerIndex).collect()
}

/// The answer tokens that the view shows.
pub fn chosen_answers(doc: &Document) -> Vec<AnswerIndex> {
    let queries = &doc.state().map.queries;
    match queries.kind {
        QueryKind::Answer => {
            queries.set.members(doc.extent.answers).into_iter().map(AnswerIndex).collect()
        }
        QueryKind::Position => all_answers(doc),
    }
}

/// Whether a map was computed for tokens.
pub fn is_there(trace: &Trace, method: Method, tokens: &[AnswerIndex]) -> bool {
    tokens.iter().all(|&token| trace.has_map_row(method.tensor, token))
}
