//! Methods that read gradients: relevancy (Chefer et al., arXiv 2103.15679, rules 5 and 6) and the
//! mean of gradient × attention.
//!
//! The engine runs the backward passes; `inputs.rs` describes their results, and each method is a function of these.

use super::super::reduce::patch_keys;
use super::super::relevancy::{AbarRows, Mask, Start, normalise_row, propagate};
use super::inputs::{AnswerGradients, Missing, OwnGradients, Tower};
use super::rows::each_answer;
use crate::trace::Trace;

/// LVLM-Interpret's `llama`, [G, T]: the prompt's rows of Ā come from the first token's score, each
/// later row from its own token's.
pub(super) fn llm(run: &AnswerGradients<'_>) -> Vec<f32> {
    let (prompt_len, positions) = (run.prompt_len, run.positions);
    let first_query = prompt_len - 1;
    let layers: Vec<Vec<AbarRows<'_>>> = run
        .prompt
        .iter()
        .zip(run.rows)
        .map(|(prompt, rows)| {
            let before = &prompt[..first_query * prompt_len];
            vec![
                AbarRows { first: 0, columns: prompt_len, values: before },
                AbarRows { first: first_query, columns: positions, values: rows },
            ]
        })
        .collect();
    let starts: Vec<f32> = (0..run.answers)
        .flat_map(|answer| Start::Position(first_query + answer).row(positions))
        .collect();
    let mut maps = propagate(&layers, Mask::Causal, &starts, positions, run.threads);
    maps.chunks_exact_mut(positions).for_each(normalise_row);
    maps
}

/// Relevancy of one token from its own gradient: `[q + 1]`.
pub(super) fn llm_own(run: &OwnGradients<'_>) -> Vec<f32> {
    let positions = run.query + 1;
    let layers: Vec<Vec<AbarRows<'_>>> = run
        .abar
        .iter()
        .map(|values| vec![AbarRows { first: 0, columns: positions, values }])
        .collect();
    let start = Start::Position(run.query).row(positions);
    let mut row = propagate(&layers, Mask::Causal, &start, positions, 1);
    normalise_row(&mut row);
    row
}

/// Relevancy of the patches within the tower: `[N]`.
pub(super) fn vit(run: &OwnGradients<'_>, tower: &Tower) -> Vec<f32> {
    patches_of(tower.added.clone(), run.patches)
}

/// The tower's row placed on the image tokens and propagated through the language model: the row of R_vision · R_llm,
/// where R_llm is restricted to the picture and the class token is left out. `[N]`.
pub(super) fn all(run: &OwnGradients<'_>, tower: &Tower) -> Vec<f32> {
    // The language model receives the tower's tokens without the class token, unless the class token is a feature, too.
    let dropped = tower.added.len() - run.image.len();
    let positions = run.query + 1;
    let end = run.image.end;
    // The picture's rows attend to no position after the picture.
    let layers: Vec<Vec<AbarRows<'_>>> = run
        .abar
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
    patches_of(all, run.patches)
}

fn patches_of(mut row: Vec<f32>, patches: usize) -> Vec<f32> {
    normalise_row(&mut row);
    row.split_off(row.len() - patches)
}

/// Mean over layers and heads of gradient × attention at the patches: [G, N].
pub(super) fn mean_of_pages(pages: &Trace) -> Result<Vec<f32>, Missing> {
    let (shape, keys) = (pages.shape(), patch_keys(pages));
    let factor = 1.0 / (pages.meta().attention_scale * (shape.layers * shape.heads) as f32);
    each_answer(pages, |_, row| {
        let lacks = || Missing("the pages of gradient × attention".into());
        let page = pages.page(row).ok_or_else(lacks)?;
        let mean = |&key: &u32| {
            let heads = page.iter().skip(key as usize).step_by(shape.positions);
            heads.map(|weight| weight.to_f32()).sum::<f32>() * factor
        };
        Ok(keys.iter().map(mean).collect())
    })
}
