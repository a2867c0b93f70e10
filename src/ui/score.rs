//! Choice of maps for the deletion and insertion test, and its results.

use super::document::{Document, DocumentId};
use crate::analysis::boxes::{answer_words, boxes_of_word};
use crate::analysis::methods::{Method, compute_mean};
use crate::analysis::reduce::Keep;
use crate::analysis::score::{Fit, fit, region_of_boxes};
use crate::model::{Curve, Curves, MapCurves, builtin};
use crate::trace::{AnswerIndex, TokenKind, Trace};
use crate::view::figure::head_name;
use crate::view::{AxisSet, MapChoice, MapSource, Queries, QueryKind, ViewError, ViewState};
use serde::{Deserialize, Serialize};

/// Title of the task.
pub const TASK: &str = "Testing the map";
/// The seed of the random map.
const SEED: u64 = 0;

/// A map whose curves are drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Name of the map.
    pub title: String,
    /// Source of the map in the trace; `None` for the control.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<MapSource>,
    /// Agreement of the map with the place of the object; `None` if it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
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

/// Smallest difference between two areas that counts.
const AREA_THAT_COUNTS: f64 = 0.02;

impl Scores {
    /// Whether every curve is complete.
    pub fn is_complete(&self) -> bool {
        let Curves { curves, done, total } = &self.curves;
        !curves.is_empty() && done == total
    }

    /// Checks scores that were read from a file, for a trace with so many patches.
    ///
    /// # Errors
    /// The reason, a sentence without a full stop: incomplete curves, curves of no map, or points that are none of a
    /// curve.
    pub fn check(&self, patches: usize) -> Result<(), String> {
        if !self.is_complete() {
            return Err("they are incomplete".into());
        }
        for curves in &self.curves.curves {
            if curves.map >= self.lines.len() {
                return Err(format!("there is no map {}", curves.map));
            }
            for Curve { points } in [&curves.deletion, &curves.insertion] {
                // A product of rounded probabilities may exceed 1 by a little.
                let is_point =
                    |&(count, p): &(usize, f64)| count <= patches && (0.0..1.000_01).contains(&p);
                let ascends = points.windows(2).all(|pair| pair[0].0 < pair[1].0);
                if points.is_empty() || !ascends || !points.iter().all(is_point) {
                    return Err("the points of a curve are not ascending probabilities".into());
                }
            }
        }
        Ok(())
    }

    /// One sentence about the curves of the first map beside those of the random one; `None` before they are
    /// complete.
    pub fn meaning(&self) -> Option<String> {
        let Curves { curves, done, total } = &self.curves;
        let random = self.lines.len().checked_sub(1).filter(|&last| last > 0)?;
        let of = |map: usize| curves.iter().find(|curves| curves.map == map);
        let (own, random) = (of(0)?, of(random)?);
        if done < total {
            return None;
        }
        let areas = |curves: &MapCurves| [curves.deletion.area(), curves.insertion.area()];
        let ([own_del, own_ins], [random_del, random_ins]) = (areas(own), areas(random));
        let falls = random_del - own_del > AREA_THAT_COUNTS;
        let rises = own_ins - random_ins > AREA_THAT_COUNTS;
        let verdict = match (falls, rises) {
            (true, true) => {
                "the answer depends on what this map shows: without these patches its probability falls sooner than without random ones, and with them alone it rises sooner"
            }
            (true, false) => {
                "the answer needs what this map shows, but with these patches alone its probability does not rise sooner than with random ones"
            }
            (false, true) => {
                "what this map shows is enough for the answer, but without these patches its probability does not fall sooner than without random ones"
            }
            (false, false) => {
                "this map does no better than a random one: it does not show what the answer depends on"
            }
        };
        Some(format!(
            "For “{}”, {verdict} (deletion {own_del:.2} against {random_del:.2}, insertion {own_ins:.2} against {random_ins:.2}).",
            self.text
        ))
    }
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
        let of = &state.map;
        let shown = match of.layers.only().zip(of.heads.only()) {
            Some((layer, head)) => format!("shown: {}", head_name(layer, head)),
            None => {
                format!("shown: {}, {}", set("layer", &of.layers), set("head", &of.heads))
            }
        };
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::model::BlankFill;
    use crate::trace::Trace;
    use crate::trace::synthetic::{Geometry, RowsKept, Synthetic};
    use crate::view::ViewState;
    use std::sync::Arc;

    #[test]
    fn scores_of_a_file_are_checked() {
        let geometry = Geometry::named("small").unwrap();
        let trace: Trace = Synthetic::new(geometry, RowsKept::Text, 1).unwrap().trace().unwrap();
        let doc = Document::new(Arc::new(trace), &ViewState::default());
        let curve = |points: &[(usize, f64)]| Curve { points: points.to_vec() };
        let whole = |map, points: &[(usize, f64)], done| Scores {
            on: doc.id,
            text: "fox".into(),
            lines: vec![Line { title: "shown".into(), source: None, fit: None }],
            curves: Curves {
                curves: vec![MapCurves {
                    map,
                    fill: BlankFill::Mean,
                    deletion: curve(points),
                    insertion: curve(&[(0, 0.0), (9, 1.0)]),
                }],
                done,
                total: 4,
            },
        };
        let good = [(0, 1.0), (9, 0.2)];
        assert_eq!(whole(0, &good, 4).check(9), Ok(()));
        for wrong in [
            whole(0, &good, 3),
            whole(1, &good, 4),
            whole(0, &[], 4),
            whole(0, &[(0, 1.0), (10, 0.2)], 4),
            whole(0, &[(3, 1.0), (3, 0.2)], 4),
            whole(0, &[(0, f64::NAN)], 4),
            whole(0, &[(0, 1.5)], 4),
        ] {
            assert!(wrong.check(9).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_curves_are_read_in_one_sentence() {
        let geometry = Geometry::named("small").unwrap();
        let trace: Trace = Synthetic::new(geometry, RowsKept::Text, 1).unwrap().trace().unwrap();
        let doc = Document::new(Arc::new(trace), &ViewState::default());
        let curve = |from: f64, to: f64| Curve { points: vec![(0, from), (10, to)] };
        let map = |map, deletion, insertion| MapCurves {
            map,
            fill: BlankFill::Mean,
            deletion: curve(deletion, 0.0),
            insertion: curve(0.0, insertion),
        };
        let line = |title: &str| Line { title: title.into(), source: None, fit: None };
        let meaning = |own: [f64; 2], done| {
            let curves = vec![map(0, own[0], own[1]), map(1, 0.6, 0.6)];
            let curves = Curves { curves, done, total: 4 };
            let lines = vec![line("shown"), line("random control")];
            Scores { on: doc.id, text: "fox".into(), lines, curves }.meaning()
        };
        assert_eq!(meaning([0.2, 0.9], 3), None, "incomplete");
        let good = meaning([0.2, 0.9], 4).unwrap();
        assert!(good.contains("“fox”, the answer depends on what this map shows"), "{good}");
        assert!(good.contains("deletion 0.10 against 0.30, insertion 0.45 against 0.30"), "{good}");
        for (own, words) in [
            ([0.2, 0.6], "needs what this map shows"),
            ([0.6, 0.9], "is enough for the answer"),
            ([0.61, 0.59], "no better than a random one"),
            ([0.9, 0.2], "no better than a random one"),
        ] {
            let text = meaning(own, 4).unwrap();
            assert!(text.contains(words) && text.matches(". ").count() == 0, "{text}");
        }
    }
}
