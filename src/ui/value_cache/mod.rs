//! Numbers that panels show, computed from the trace on the CPU and cached under a key of everything that they
//! depend on.
//!
//! The GPU draws the stage; panels need exact numbers for hovers, chips and tables. In a frame in which nothing
//! changed nothing is computed.

mod answers;
mod cached;
mod numbers;

pub use answers::{AnswerNumbers, HeadsOf, compared, mean_and_deviation};
pub use numbers::{Matrix, index_of, range_of};

use crate::analysis::causal::{CausalError, CausalResult};
use crate::analysis::overview::HeadNumber;
use crate::analysis::patching::{PatchResult, Site, StoredError};
use crate::analysis::relevancy::answer_words;
use crate::analysis::verdict::Evidence;
use crate::trace::{AnswerIndex, PatchRef, TokenKind, Trace, TraceId};
use crate::ui::document::Document;
use crate::ui::ranking::{Ranked, averaged, head_numbers, mean_ranking, ranking};
use crate::ui::verdicts::WordEvidence;
use crate::view::figure::token_text;
use crate::view::{
    AxisSet, MapChoice, MapSource, MarkedObject, Quantity, Queries, QueryKind, Second, ViewState,
};
use answers::{AnswersKey, answer_numbers};
use cached::{CachedValue, CachedValues};
use numbers::{looking, map, matrix, matrix_of, of_pages, strip, weights_inside, weights_of};
use std::sync::Arc;

type StripKey = (TraceId, AxisSet, Queries, Vec<PatchRef>, bool, Option<MarkedObject>);

/// Everything that determines a matrix.
#[derive(Debug, PartialEq)]
struct MatrixKey {
    trace: TraceId,
    second: Option<TraceId>,
    source: MapSource,
    queries: Queries,
    /// The second map, if the quantity reads one.
    other: Option<MapChoice>,
    quantity: Quantity,
    remove_bos: bool,
    /// The object, if the quantity depends on it.
    object: Option<MarkedObject>,
}

/// Key of the map: the trace, the first map, the second and its trace if it is subtracted, and whether BOS is left out.
type MapKey = (TraceId, MapChoice, Option<(Second, Option<TraceId>)>, bool);

/// Key of the attention on the chosen patches or object: trace, layers and heads, patches, object, and whether BOS is
/// left out.
type LookKey = (TraceId, MapChoice, Vec<PatchRef>, Option<MarkedObject>, bool);

/// A result that a trace holds, if it has one that can be read.
type Stored<Found, Error> = Result<Option<Arc<Found>>, Error>;

/// All cached numbers of the present document.
#[derive(Debug, Default)]
pub struct ValueCache {
    matrix: CachedValue<MatrixKey, Matrix>,
    /// The share of every head inside an object: matrix, ranking and bars read the same numbers.
    inside: CachedValue<(TraceId, Queries, MarkedObject, bool), Vec<f32>>,
    ranking: CachedValue<(TraceId, Queries, Option<MarkedObject>), Vec<Ranked>>,
    ranking_over: CachedValue<Vec<(TraceId, Option<MarkedObject>)>, Vec<Ranked>>,
    evidence: CachedValues<(TraceId, Option<MarkedObject>), Vec<WordEvidence>>,
    answers: CachedValue<AnswersKey, Vec<AnswerNumbers>>,
    map: CachedValue<MapKey, Vec<f32>>,
    looking: CachedValue<LookKey, Vec<f32>>,
    strip: CachedValue<StripKey, Vec<f32>>,
    causal: CachedValue<(TraceId, AnswerIndex), Stored<CausalResult, CausalError>>,
    patching: CachedValue<(TraceId, AnswerIndex, Site), Stored<PatchResult, StoredError>>,
}

impl ValueCache {
    /// The layer × head matrix of the state's quantity, folded over its queries. `second` is the trace of the second
    /// map, if it is another one.
    pub fn matrix(&self, doc: &Document, state: &ViewState, second: Option<&Trace>) -> Arc<Matrix> {
        let map = of_pages(&doc.trace, &state.map);
        let state = ViewState { map, ..state.clone() };
        let is_change = state.quantity == Quantity::Change;
        let other = state.second.as_ref().filter(|_| is_change);
        let key = MatrixKey {
            trace: doc.trace.shown_by(state.map.source.name()).id(),
            second: second.filter(|_| is_change).map(Trace::id),
            source: state.map.source.clone(),
            queries: state.map.queries.clone(),
            other: other.map(|other| other.map.clone()),
            quantity: state.quantity,
            remove_bos: state.remove_bos,
            object: state.chosen_object().filter(|_| state.quantity == Quantity::Inside).cloned(),
        };
        self.matrix.get(key, || {
            let is_attention = state.map.source == MapSource::Attention;
            let object = state.chosen_object();
            match object.filter(|_| is_attention && state.quantity == Quantity::Inside) {
                Some(object) => {
                    let (queries, remove_bos) = (&state.map.queries, state.remove_bos);
                    let values = self.inside(&doc.trace, queries, object, remove_bos);
                    matrix_of(&doc.trace, Quantity::Inside, Ok(values.to_vec()))
                }
                None => matrix(&doc.trace, &state, second),
            }
        })
    }

    /// The share of every head inside an object: [L, H]; empty if a row is missing.
    fn inside(
        &self,
        trace: &Trace,
        queries: &Queries,
        object: &MarkedObject,
        remove_bos: bool,
    ) -> Arc<Vec<f32>> {
        let key = (trace.id(), queries.clone(), object.clone(), remove_bos);
        self.inside.get(key, || {
            let number = HeadNumber::Inside(object.inside(trace));
            head_numbers(trace, queries, number, remove_bos)
        })
    }

    /// Heads, the most telling first: those that look at the chosen object, or else those with a high share on the
    /// picture, on few patches of it.
    pub fn ranking(&self, doc: &Document, state: &ViewState) -> Arc<Vec<Ranked>> {
        let (queries, object) = (&state.map.queries, state.chosen_object());
        let key = (doc.trace.id(), queries.clone(), object.cloned());
        self.ranking.get(key, || {
            let inside = object.map(|object| {
                let queries = averaged(queries);
                self.inside(&doc.trace, &queries, object, false).to_vec()
            });
            ranking(&doc.trace, queries, inside)
        })
    }

    /// The causal graphs of the chosen answer token that the trace holds.
    ///
    /// # Errors
    /// A stored result that cannot be read.
    pub fn stored_causal(
        &self,
        doc: &Document,
        state: &ViewState,
    ) -> Stored<CausalResult, CausalError> {
        let Ok(answer) = doc.extent.causal_answer(&state.map.queries) else { return Ok(None) };
        let found = self.causal.get((doc.trace.id(), answer), || {
            CausalResult::stored(&doc.trace, answer).map(|found| found.map(Arc::new))
        });
        (*found).clone()
    }

    /// The table of copied activations of an answer token that the trace holds.
    ///
    /// # Errors
    /// A stored table that cannot belong to the trace.
    pub fn stored_patching(
        &self,
        doc: &Document,
        answer: AnswerIndex,
        site: Site,
    ) -> Stored<PatchResult, StoredError> {
        let found = self.patching.get((doc.trace.id(), answer, site), || {
            PatchResult::stored(&doc.trace, answer, site).map(|found| found.map(Arc::new))
        });
        (*found).clone()
    }

    /// As [`Self::stored_causal`]; `None` also for a result that cannot be read.
    pub fn causal(&self, doc: &Document, state: &ViewState) -> Option<Arc<CausalResult>> {
        self.stored_causal(doc, state).ok().flatten()
    }

    /// The mean ranking over several answers of one model, each with its object if one is asked about, over all of
    /// their answer tokens: one answer proves little.
    pub fn ranking_over(&self, traces: &[(Arc<Trace>, Option<MarkedObject>)]) -> Arc<Vec<Ranked>> {
        let key = traces.iter().map(|(trace, object)| (trace.id(), object.clone())).collect();
        self.ranking_over.get(key, || mean_ranking(traces))
    }

    /// The ranking that is in use under a view of `doc`: over the chosen tokens of this answer, or over all answers of
    /// its model that [`compared`] lists.
    pub fn ranking_in_use(
        &self,
        docs: &[Document],
        doc: &Document,
        state: &ViewState,
        over_all: bool,
    ) -> Arc<Vec<Ranked>> {
        let traces = if over_all { compared(docs, doc, state) } else { Vec::new() };
        if traces.len() > 1 { self.ranking_over(&traces) } else { self.ranking(doc, state) }
    }

    /// The words of the answer that carry text, with what was measured about each.
    pub fn evidence(&self, doc: &Document, state: &ViewState) -> Arc<Vec<WordEvidence>> {
        let object = state.chosen_object();
        self.evidence.get((doc.trace.id(), object.cloned()), || evidence(&doc.trace, object))
    }

    /// The chosen heads of the state in every open answer of the document's model that has no other heads; each with
    /// the object of the same name, if one is chosen. Heads are averaged, and so are the tokens that carry text.
    pub fn answers(
        &self,
        docs: &[Document],
        doc: &Document,
        state: &ViewState,
    ) -> Arc<Vec<AnswerNumbers>> {
        let fits = |other: &&Document| {
            let same = |of: &Document| (of.extent.layers, of.extent.heads);
            same(other) == same(doc)
                && !other.live
                && !other.extent.grids.is_empty()
                && other.meta().model.name == doc.meta().model.name
        };
        let object_of = |other: &Document| {
            let chosen = state.chosen_object()?;
            let own = if other.id == doc.id { &state.objects } else { &other.state().objects };
            own.iter().find(|object| object.name == chosen.name).cloned()
        };
        let shown: Vec<&Document> = docs.iter().filter(fits).collect();
        let key = AnswersKey {
            answers: shown.iter().map(|one| (one.id, one.trace.id(), object_of(one))).collect(),
            heads: HeadsOf::new(&state.map),
            remove_bos: state.remove_bos,
        };
        self.answers.get(key, || {
            let of = |one: &&Document| answer_numbers(one, state, object_of(one).as_ref());
            shown.iter().filter_map(of).collect()
        })
    }

    /// The map on the stage at every patch of the trace, unscaled; the difference if the view shows one. Views of many
    /// maps get the one that their selection of layers and heads reduces to. `second` is the trace of the second map,
    /// if it is another one. Empty if there is no map.
    pub fn map(&self, doc: &Document, state: &ViewState, second: Option<&Trace>) -> Arc<Vec<f32>> {
        let subtracted = state.second.clone().filter(|_| state.is_difference());
        let subtracted = subtracted.map(|other| (other, second.map(Trace::id)));
        let key = (doc.trace.id(), state.map.clone(), subtracted, state.remove_bos);
        self.map.get(key, || map(&doc.trace, state, second).unwrap_or_default())
    }

    /// For each kept row of the answer the mean attention on some patches (without patches: the share inside the chosen
    /// object), over the chosen layers and heads; 0 for rows of the prompt. Empty without patches and object.
    pub fn looking(
        &self,
        doc: &Document,
        state: &ViewState,
        patches: &[PatchRef],
    ) -> Arc<Vec<f32>> {
        let queries = Queries { kind: QueryKind::Position, set: AxisSet::MEAN };
        let choice = MapChoice { source: MapSource::Attention, queries, ..state.map.clone() };
        let object = state.chosen_object().filter(|_| patches.is_empty());
        let key =
            (doc.trace.id(), choice.clone(), patches.to_vec(), object.cloned(), state.remove_bos);
        self.looking.get(key, || {
            let weights = match object {
                Some(_) => weights_inside(&doc.trace, state),
                None => weights_of(&doc.trace, patches),
            };
            looking(&doc.trace, &choice, state.remove_bos, &weights)
        })
    }

    /// One number for each head of the chosen layers: the share of the queries' attention on the picture, or inside the
    /// chosen object, or the mean attention of all answer tokens on the patches where some are given.
    pub fn strip(&self, doc: &Document, state: &ViewState, patches: &[PatchRef]) -> Arc<Vec<f32>> {
        let map = &state.map;
        let key = (
            doc.trace.id(),
            map.layers.clone(),
            map.queries.clone(),
            patches.to_vec(),
            state.remove_bos,
            state.chosen_object().filter(|_| patches.is_empty()).cloned(),
        );
        self.strip.get(key, || {
            let object = state.chosen_object().filter(|_| patches.is_empty());
            let inside = object.map(|object| {
                self.inside(&doc.trace, &state.map.queries, object, state.remove_bos)
            });
            strip(&doc.trace, state, patches, inside)
        })
    }
}

fn evidence(trace: &Trace, object: Option<&MarkedObject>) -> Vec<WordEvidence> {
    let inside = object.map(|object| object.inside(trace));
    let tokens = trace.meta().answer_tokens();
    let is_spoken = |word: &[AnswerIndex]| {
        let mut kinds = word.iter().filter_map(|token| tokens.get(token.index()));
        kinds.any(|token| token.kind != TokenKind::Special)
    };
    answer_words(trace)
        .into_iter()
        .filter(|(_, tokens)| is_spoken(tokens))
        .map(|(text, tokens)| {
            let evidence = Evidence::of_word(trace, &tokens, inside.as_ref());
            WordEvidence { text: token_text(&text), tokens, evidence }
        })
        .collect()
}
