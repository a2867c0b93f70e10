//! Maps that need a backward pass for each token: every row comes from the token's own gradient.

use super::{Backward, Pass, RelevancyRequest};
use crate::analysis::methods::{Computation, Method, OwnGradients, Tower};
use crate::analysis::relevancy::{AbarRows, Mask, Start, propagate};
use crate::model::error::Result;
use crate::model::local_engine::LocalEngine;
use crate::model::manifest::Vision;
use crate::trace::{AnswerIndex, Trace};
use std::time::Instant;

/// One map that is being filled: rows of tokens that were not requested keep their values.
struct Map {
    method: Method,
    columns: usize,
    values: Vec<f32>,
}

impl Map {
    fn new(method: Method, trace: &Trace) -> Self {
        let columns = method.columns(trace);
        // A row that was never computed holds NaN.
        let mut values = vec![f32::NAN; trace.shape().generated * columns];
        for (answer, row) in (0..).zip(values.chunks_exact_mut(columns)) {
            let before = trace.map_row(method.tensor, AnswerIndex(answer));
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

impl LocalEngine {
    /// Adds the requested methods that need a pass per token, for some answer tokens. `first` is the pass of token 0,
    /// if there was one.
    pub(super) fn add_own(
        &mut self,
        run: &mut Pass<'_>,
        trace: &Trace,
        request: &RelevancyRequest,
        answers: &[usize],
        mut first: Option<Backward>,
    ) -> Result<Trace> {
        let own = request.methods.iter().filter(|method| method.is_own());
        let mut maps: Vec<Map> = own.map(|&method| Map::new(method, trace)).collect();
        for &answer in answers {
            let backward = match first.take().filter(|_| answer == 0) {
                Some(backward) => backward,
                None => self.backward(run, answer, request.needs_picture())?,
            };
            let tower =
                if request.needs_picture() { Some(self.tower_row(run, &backward)?) } else { None };
            let start = Instant::now();
            let gradients = OwnGradients {
                query: run.prompt_len() - 1 + answer,
                patches: trace.meta().patches(),
                image: run.image.clone(),
                abar: &backward.abar.layers()?,
            };
            for map in &mut maps {
                let row = match (map.method.run, &tower) {
                    (Computation::OwnGradients(compute), _) => compute(&gradients),
                    (Computation::TowerGradients(compute), Some(tower)) => {
                        compute(&gradients, tower)
                    }
                    (
                        Computation::TowerGradients(_)
                        | Computation::Trace(_)
                        | Computation::Forward(_)
                        | Computation::AnswerGradients(_)
                        | Computation::GradientPages
                        | Computation::FromGradientPages(_)
                        | Computation::Command(_),
                        _,
                    ) => continue,
                };
                map.set(answer, &row);
            }
            run.timings.recursion_s += start.elapsed().as_secs_f64();
        }
        let mut found = trace.clone();
        for map in maps {
            let shape = [trace.shape().generated, map.columns];
            found = found.with_map(map.method.tensor, &shape, &map.values)?;
        }
        Ok(found)
    }

    /// The row of R through the vision tower's layers from which a map is read.
    fn tower_row(&mut self, run: &mut Pass<'_>, backward: &Backward) -> Result<Tower> {
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

/// Number of positions in the tower.
fn tokens(vision: &Vision) -> usize {
    vision.patches + usize::from(vision.has_cls)
}

/// `vit` and `all` read the class token's row; without one, the mean of all rows.
fn start_of(vision: &Vision) -> Start {
    if vision.has_cls { Start::Position(0) } else { Start::Mean }
}
