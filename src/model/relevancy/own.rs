//! Maps that take a backward pass for each token: its own gradient throughout.

use super::{Backward, RelevancyMethod, RelevancyRequest, Run};
use crate::analysis::relevancy::{AbarRows, Mask, Start, normalise_row, propagate};
use crate::model::engine::Engine;
use crate::model::error::Result;
use crate::model::manifest::Vision;
use crate::trace::{AnswerIndex, Trace};
use std::time::Instant;

/// One map that is being filled: the rows of tokens that are not asked for stay as they were.
struct Map {
    method: RelevancyMethod,
    columns: usize,
    values: Vec<f32>,
}

impl Map {
    fn new(method: RelevancyMethod, trace: &Trace, columns: usize) -> Self {
        let generated = trace.shape().generated;
        let mut values = vec![0.0; generated * columns];
        for (answer, row) in (0..).zip(values.chunks_exact_mut(columns)) {
            let before = trace.map_row(method.map_name(), AnswerIndex(answer));
            if let Some(before) = before.filter(|before| before.len() == columns) {
                row.copy_from_slice(&before);
            }
        }
        Self { method, columns, values }
    }

    fn set(&mut self, answer: usize, row: &[f32]) {
        let place = &mut self.values[answer * self.columns..(answer + 1) * self.columns];
        place[..row.len()].copy_from_slice(row);
        place[row.len()..].fill(0.0);
    }
}

/// A row of R through the vision tower's layers, `[tokens]`.
struct Tower {
    /// What it started from.
    start: Vec<f32>,
    /// What the layers added.
    added: Vec<f32>,
}

impl Engine {
    /// Adds `llm_own`, `vit` and `all`, as far as they are wanted, of some answer tokens. `first`
    /// is the pass of token 0, where there was one.
    pub(super) fn add_own(
        &mut self,
        run: &mut Run<'_>,
        trace: &Trace,
        request: &RelevancyRequest,
        answers: &[usize],
        mut first: Option<Backward>,
    ) -> Result<Trace> {
        let patches = trace.meta().patches();
        let columns = |method| match method {
            RelevancyMethod::LlmOwn => run.positions(),
            _ => patches,
        };
        let mut maps: Vec<Map> = request
            .methods
            .iter()
            .filter(|method| method.is_own())
            .map(|&method| Map::new(method, trace, columns(method)))
            .collect();
        for &answer in answers {
            let backward = match first.take().filter(|_| answer == 0) {
                Some(backward) => backward,
                None => self.backward(run, answer, request.needs_picture())?,
            };
            let tower =
                if request.needs_picture() { Some(self.tower_row(run, &backward)?) } else { None };
            let start = Instant::now();
            let abar = backward.abar.layers()?;
            let vision = &self.bundle.manifest().vision;
            for map in &mut maps {
                let row = match (map.method, &tower) {
                    (RelevancyMethod::Vit, Some(tower)) => vit_map(vision, tower.added.clone()),
                    (RelevancyMethod::All, Some(tower)) => all_map(run, vision, &abar, tower),
                    _ => llm_own_map(run, &abar, answer),
                };
                map.set(answer, &row);
            }
            run.timings.recursion_s += start.elapsed().as_secs_f64();
        }
        let mut found = trace.clone();
        for map in maps {
            let shape = [trace.shape().generated, map.columns];
            found = found.with_map(map.method.map_name(), &shape, &map.values)?;
        }
        Ok(found)
    }

    /// The row of R through the vision tower's layers that a map is read from.
    fn tower_row(&mut self, run: &mut Run<'_>, backward: &Backward) -> Result<Tower> {
        let start = Instant::now();
        let vision = &self.bundle.manifest().vision;
        let (side, tokens) = (vision.image_size, tokens(vision));
        let start_row = start_of(vision).row(tokens);
        let range = run.image.start * run.hidden..run.image.end * run.hidden;
        let gradient = backward.inputs[range].to_vec();
        let pixels = run.pixels.clone();
        let abar = self.sessions.backward_vision(pixels, side, gradient, run.hidden, run.cancel)?;
        run.timings.vision_s += start.elapsed().as_secs_f64();
        run.steps.advance();
        let start = Instant::now();
        let abar = abar.layers()?;
        let layers: Vec<Vec<AbarRows<'_>>> = abar
            .iter()
            .map(|values| vec![AbarRows { first: 0, columns: tokens, values }])
            .collect();
        let added = propagate(&layers, Mask::Full, &start_row, tokens, 1);
        run.timings.recursion_s += start.elapsed().as_secs_f64();
        Ok(Tower { start: start_row, added })
    }
}

/// Positions of the tower.
fn tokens(vision: &Vision) -> usize {
    vision.patches + usize::from(vision.has_cls)
}

/// `vit` and `all` read the class token's row; without one, the mean of all rows.
fn start_of(vision: &Vision) -> Start {
    if vision.has_cls { Start::Position(0) } else { Start::Mean }
}

fn llm_own_map(run: &Run<'_>, abar: &[&[f32]], answer: usize) -> Vec<f32> {
    let query = run.prompt_len() - 1 + answer;
    let positions = query + 1;
    let layers: Vec<Vec<AbarRows<'_>>> =
        abar.iter().map(|values| vec![AbarRows { first: 0, columns: positions, values }]).collect();
    let start = Start::Position(query).row(positions);
    let mut row = propagate(&layers, Mask::Causal, &start, positions, 1);
    normalise_row(&mut row);
    row
}

/// Relevancy of the patches within the tower.
fn vit_map(vision: &Vision, mut row: Vec<f32>) -> Vec<f32> {
    normalise_row(&mut row);
    row.split_off(row.len() - vision.patches)
}

/// The tower's row laid on the image tokens and carried on through the language model: the row of
/// R_vision · R_llm, where R_llm is cut to the picture and the class token stays out of it.
fn all_map(run: &Run<'_>, vision: &Vision, abar: &[&[f32]], tower: &Tower) -> Vec<f32> {
    // What the language model gets: without the class token, unless that is a feature, too.
    let dropped = tower.added.len() - run.image.len();
    let positions = abar.first().map_or(0, |layer| layer.len().isqrt());
    let end = run.image.end;
    // The picture's rows see nothing behind the picture.
    let layers: Vec<Vec<AbarRows<'_>>> = abar
        .iter()
        .map(|layer| {
            vec![AbarRows { first: 0, columns: positions, values: &layer[..end * positions] }]
        })
        .collect();
    let mut start = vec![0.0; positions];
    for (place, (unit, added)) in
        start[run.image.clone()].iter_mut().zip(tower.start.iter().zip(&tower.added).skip(dropped))
    {
        *place = unit + added;
    }
    let row = propagate(&layers, Mask::Causal, &start, positions, 1);
    let mut all = tower.added.clone();
    for (sum, added) in all[dropped..].iter_mut().zip(&row[run.image.clone()]) {
        *sum += added;
    }
    vit_map(vision, all)
}
