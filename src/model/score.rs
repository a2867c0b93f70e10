//! Deletion and insertion curves of maps: the model runs on blanked pictures.
//!
//! All curves of a request share their end points (nothing blanked, everything blanked), and a curve's points arrive
//! one by one, so that a window can draw the curve while it grows.

use super::engine::Engine;
use super::error::{ModelError, Result};
use super::occluder::BlankFill;
use super::occlusion::only_view;
use super::rescore::{Rescored, Variant};
use super::rescorer::Rescorer;
use crate::analysis::score::{area, counts, importance_order, probability};
use crate::job::CancelToken;
use crate::trace::{ImageSpan, Trace};
use serde::{Deserialize, Serialize};

/// A request to score maps by deletion and insertion.
#[derive(Clone, Debug)]
pub struct ScoreRequest {
    /// Name and values `[N]` of each map.
    pub maps: Vec<(String, Vec<f32>)>,
    /// Indices of the answer tokens whose probability the curves follow.
    pub tokens: Vec<usize>,
    /// The fills of blanked patches; every map gets curves for each fill.
    pub fills: Vec<BlankFill>,
    /// Steps of a curve, at most [`crate::analysis::score::MAX_STEPS`].
    pub steps: usize,
}

/// p of the chosen tokens over the number of changed patches.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// (number of patches blanked or shown, p), ascending; all points once the curve is complete.
    pub points: Vec<(usize, f64)>,
}

impl Curve {
    /// Area under the curve over the fraction of patches, see [`area`].
    pub fn area(&self) -> f64 {
        area(&self.points)
    }

    fn insert(&mut self, count: usize, p: f64) {
        let place = self.points.partition_point(|&(known, _)| known < count);
        self.points.insert(place, (count, p));
    }
}

/// The curves of one map under one fill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapCurves {
    /// Index of the map in the request.
    pub map: usize,
    /// The fill of blanked patches.
    pub fill: BlankFill,
    /// The curve for blanking the most important patches first: a good map has a small area.
    pub deletion: Curve,
    /// The curve for showing them first on a blank picture: a good map has a large area.
    pub insertion: Curve,
}

/// The curves so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Curves {
    /// One for each map and fill, maps first.
    pub curves: Vec<MapCurves>,
    /// Number of forward passes done.
    pub done: usize,
    /// Total number of forward passes.
    pub total: usize,
}

/// The points of curves that a forward pass computes.
enum CurvePoint {
    /// Nothing is blanked: the start of every deletion, the end of every insertion.
    Whole,
    /// Everything is blanked with this fill.
    Blank(BlankFill),
    /// A point of the deletion curve at this place of [`Curves::curves`].
    Deletion(usize, usize),
    /// A point of the insertion curve at this place of [`Curves::curves`].
    Insertion(usize, usize),
}

impl Engine {
    /// Computes the curves of `request` for the answer of `trace`; `each` receives the curves as they grow.
    ///
    /// # Errors
    /// Maps or tokens that do not fit the trace, a trace of another model, a failure of ONNX Runtime,
    /// or [`ModelError::Cancelled`].
    pub fn score_maps(
        &mut self,
        trace: &Trace,
        request: &ScoreRequest,
        cancel: &CancelToken,
        each: &mut dyn FnMut(&Curves),
    ) -> Result<Curves> {
        let span = check(trace, request)?;
        let orders: Vec<Vec<usize>> = request.maps.iter().map(|(_, map)| ranks(map)).collect();
        let patches = trace.meta().patches();
        let places = places(request, &counts(patches, request.steps));
        let mut curves = Curves { total: places.len(), ..Curves::default() };
        for map in 0..request.maps.len() {
            curves.curves.extend(request.fills.iter().map(|&fill| MapCurves {
                map,
                fill,
                deletion: Curve::default(),
                insertion: Curve::default(),
            }));
        }
        let kinds: Vec<(usize, BlankFill)> =
            curves.curves.iter().map(|curves| (curves.map, curves.fill)).collect();
        let picture = |fill: BlankFill, blank: &dyn Fn(usize) -> bool| {
            let blanked: Vec<[u32; 2]> = (0..patches)
                .filter(|&patch| blank(patch))
                .map(|patch| [patch as u32 / span.columns, patch as u32 % span.columns])
                .collect();
            Variant::blanked(fill, Some(blanked))
        };
        let variants = places.iter().map(|place| match *place {
            CurvePoint::Whole => Variant::default(),
            CurvePoint::Blank(fill) => picture(fill, &|_| true),
            CurvePoint::Deletion(index, count) => {
                let (map, fill) = kinds[index];
                picture(fill, &|patch| orders[map][patch] < count)
            }
            CurvePoint::Insertion(index, count) => {
                let (map, fill) = kinds[index];
                picture(fill, &|patch| orders[map][patch] >= count)
            }
        });
        let mut rescorer = Rescorer::new(self, trace)?;
        let mut take = |number: usize, scored: &Rescored| {
            let p = probability(&scored.logprobs, &request.tokens);
            put(&mut curves.curves, &places[number], patches, p);
            curves.done = number + 1;
            each(&curves);
        };
        rescorer.score(self, variants, cancel, &mut take)?;
        Ok(curves)
    }
}

/// The view of the picture, after a check that the request fits the trace.
fn check<'a>(trace: &'a Trace, request: &ScoreRequest) -> Result<&'a ImageSpan> {
    let bad = |what: &str, reason: String| ModelError::Request { what: what.into(), reason };
    let (patches, generated) = (trace.meta().patches(), trace.shape().generated);
    let span = only_view(trace, "blanked")?;
    if let Some((name, map)) = request.maps.iter().find(|(_, map)| map.len() != patches) {
        let reason = format!("has {} values; the picture has {patches} patches.", map.len());
        return Err(bad(&format!("the map `{name}`"), reason));
    }
    if let Some(token) = request.tokens.iter().find(|&&token| token >= generated) {
        let reason = format!("does not exist; the answer has tokens 0 to {}.", generated - 1);
        return Err(bad(&format!("answer token {token}"), reason));
    }
    if request.tokens.is_empty() || request.fills.is_empty() {
        return Err(bad("the request", "names no answer token or no fill.".into()));
    }
    Ok(span)
}

/// The rank of each patch in the map's order of importance.
fn ranks(map: &[f32]) -> Vec<usize> {
    let mut ranks = vec![0; map.len()];
    for (rank, patch) in importance_order(map).into_iter().enumerate() {
        ranks[patch as usize] = rank;
    }
    ranks
}

fn places(request: &ScoreRequest, counts: &[usize]) -> Vec<CurvePoint> {
    let mut places = vec![CurvePoint::Whole];
    places.extend(request.fills.iter().map(|&fill| CurvePoint::Blank(fill)));
    let inner = &counts[1..counts.len() - 1];
    for index in 0..request.maps.len() * request.fills.len() {
        places.extend(inner.iter().map(|&count| CurvePoint::Deletion(index, count)));
        places.extend(inner.iter().map(|&count| CurvePoint::Insertion(index, count)));
    }
    places
}

fn put(curves: &mut [MapCurves], place: &CurvePoint, patches: usize, p: f64) {
    match *place {
        CurvePoint::Whole => {
            for curves in curves {
                curves.deletion.insert(0, p);
                curves.insertion.insert(patches, p);
            }
        }
        CurvePoint::Blank(fill) => {
            for curves in curves.iter_mut().filter(|curves| curves.fill == fill) {
                curves.deletion.insert(patches, p);
                curves.insertion.insert(0, p);
            }
        }
        CurvePoint::Deletion(index, count) => curves[index].deletion.insert(count, p),
        CurvePoint::Insertion(index, count) => curves[index].insertion.insert(count, p),
    }
}
