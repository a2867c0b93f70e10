//! One number for each layer and head, from `attention.stats`, without reading the pages (unless BOS is left out, which
//! needs one weight of each row, or an object is asked about, which needs the weights of its patches).

use super::inside::Inside;
use super::reduce::{Fold, patch_keys, sound};
use crate::trace::{STAT_COUNT, Stat, Trace};

/// The quantity in a layer × head matrix.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HeadNumber {
    /// Mean attention on a patch (LVLM-Interpret's Image-to-Answer).
    ImageMean,
    /// Mean attention on a question position (LVLM-Interpret's Question-to-Answer).
    QuestionMean,
    /// Sum of the attention on all patches.
    ImageShare,
    /// Sum of the attention on the question.
    QuestionShare,
    /// Entropy, in nats, of the attention on the patches normalised to sum 1.
    ImageEntropy,
    /// Image share × (1 − entropy / ln N): 0 for an even map, the share for a single patch.
    Focus,
    /// Largest attention on a patch.
    Peak,
    /// Attention on the first position, where heads put what they do not use.
    First,
    /// Sum of the attention on the patches inside a region.
    Inside(Inside),
    /// Change of the log-probability of the answer tokens that the rows predict with the head switched off. It is the
    /// sum over these tokens, whatever the fold: the log-probability of several tokens is the sum of theirs.
    Effect,
}

/// The number of every layer and head, folded over rows: [L, H]. `None` if a row does not exist, or if the effects were
/// not measured.
///
/// Without BOS every row of attention is renormalised to sum 1; this does not change the entropy.
pub fn layer_head(
    trace: &Trace,
    number: &HeadNumber,
    rows: &[u32],
    fold: Fold,
    remove_bos: bool,
) -> Option<Vec<f32>> {
    match number {
        HeadNumber::Effect => effects(trace, rows),
        HeadNumber::Inside(inside) => sums_inside(trace, inside, rows, fold, remove_bos),
        HeadNumber::First => first_weights(trace, rows, fold),
        _ => from_stats(trace, number, rows, fold, remove_bos),
    }
}

fn from_stats(
    trace: &Trace,
    number: &HeadNumber,
    rows: &[u32],
    fold: Fold,
    remove_bos: bool,
) -> Option<Vec<f32>> {
    let shape = trace.shape();
    let meta = trace.meta();
    let (patches, questions) = (meta.patches(), meta.question_keys().len());
    let most = (patches.max(2) as f32).ln();
    let value_of = |stats: &[f32]| {
        let stat = |stat: Stat| stats[stat as usize];
        match number {
            HeadNumber::ImageMean => stat(Stat::ImageSum) / patches.max(1) as f32,
            HeadNumber::QuestionMean => stat(Stat::QuestionSum) / questions.max(1) as f32,
            HeadNumber::ImageShare => stat(Stat::ImageSum),
            HeadNumber::QuestionShare => stat(Stat::QuestionSum),
            HeadNumber::ImageEntropy => stat(Stat::ImageEntropy),
            HeadNumber::Focus => {
                stat(Stat::ImageSum) * (1.0 - stat(Stat::ImageEntropy) / most).max(0.0)
            }
            HeadNumber::Peak => stat(Stat::ImageMax),
            HeadNumber::Inside(_) | HeadNumber::Effect | HeadNumber::First => 0.0,
        }
    };
    let renormalised = remove_bos && *number != HeadNumber::ImageEntropy;
    let mut folded = vec![0.0_f32; shape.layers * shape.heads];
    for &row in rows {
        let stats = trace.stats(row as usize)?;
        let page = if renormalised { Some(trace.page(row as usize)?) } else { None };
        for (map, (sum, of_head)) in
            folded.iter_mut().zip(stats.chunks_exact(STAT_COUNT)).enumerate()
        {
            let mut value = value_of(of_head);
            if let Some(page) = &page {
                let bos = page[map * shape.positions].to_f32();
                value = without_bos(value, sound(bos) / meta.attention_scale);
            }
            add(sum, sound(value), fold, rows.len());
        }
    }
    Some(folded)
}

/// The attention on the patches inside a region. Only the weights of these patches are read.
fn sums_inside(
    trace: &Trace,
    inside: &Inside,
    rows: &[u32],
    fold: Fold,
    remove_bos: bool,
) -> Option<Vec<f32>> {
    let shape = trace.shape();
    let keys = patch_keys(trace);
    let patches: Vec<(usize, f32)> = inside
        .patches()
        .filter_map(|(patch, part)| Some((*keys.get(patch)? as usize, part)))
        .filter(|(key, _)| *key < shape.positions)
        .collect();
    let scale = 1.0 / trace.meta().attention_scale;
    let mut folded = vec![0.0_f32; shape.layers * shape.heads];
    for &row in rows {
        let page = trace.page(row as usize)?;
        for (sum, weights) in folded.iter_mut().zip(page.chunks_exact(shape.positions.max(1))) {
            let of = |&(key, part): &(usize, f32)| sound(weights[key].to_f32()) * part;
            let mut value = patches.iter().map(of).sum::<f32>() * scale;
            if remove_bos {
                value = without_bos(value, sound(weights[0].to_f32()) * scale);
            }
            add(sum, value, fold, rows.len());
        }
    }
    Some(folded)
}

/// The weight of the first key.
fn first_weights(trace: &Trace, rows: &[u32], fold: Fold) -> Option<Vec<f32>> {
    let shape = trace.shape();
    let scale = 1.0 / trace.meta().attention_scale;
    let mut folded = vec![0.0_f32; shape.layers * shape.heads];
    for &row in rows {
        let page = trace.page(row as usize)?;
        for (sum, weights) in folded.iter_mut().zip(page.chunks_exact(shape.positions.max(1))) {
            add(sum, sound(weights[0].to_f32()) * scale, fold, rows.len());
        }
    }
    Some(folded)
}

/// The effects of the heads on the answer tokens that the rows predict: their sum.
fn effects(trace: &Trace, rows: &[u32]) -> Option<Vec<f32>> {
    let shape = trace.shape();
    let of_tokens = trace.head_effects()?;
    let count = shape.layers * shape.heads;
    let first = trace.meta().prompt_len.saturating_sub(1);
    let mut sums = vec![0.0; count];
    for &row in rows {
        let query = *trace.rows().get(row as usize)?;
        let Some(token) = query.checked_sub(first).map(|token| token as usize) else { continue };
        let Some(own) = of_tokens.get(token * count..(token + 1) * count) else { continue };
        sums.iter_mut().zip(own).for_each(|(sum, &value)| *sum += sound(value));
    }
    Some(sums)
}

fn without_bos(value: f32, bos: f32) -> f32 {
    let rest = 1.0 - bos;
    if rest > 1e-6 { value / rest } else { 0.0 }
}

fn add(sum: &mut f32, value: f32, fold: Fold, rows: usize) {
    *sum = match fold {
        Fold::Mean => *sum + value / rows as f32,
        Fold::Max => sum.max(value),
    };
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::analysis::outline::{Outline, RegionPart};
    use crate::trace::synthetic::{Geometry, RowsKept, Synthetic};

    fn a_trace() -> Trace {
        let geometry = Geometry::named("small").unwrap();
        Synthetic::new(geometry, RowsKept::Text, 3).unwrap().trace().unwrap()
    }

    fn answer_rows(trace: &Trace) -> Vec<u32> {
        let first = trace.meta().prompt_len - 1;
        let rows = trace.rows().iter().enumerate().filter(|(_, query)| **query >= first);
        rows.map(|(row, _)| row as u32).collect()
    }

    #[test]
    fn everything_inside_is_the_share_of_the_image_with_bos_and_without() {
        let trace = a_trace();
        let whole = [RegionPart::new(Outline::All)];
        let inside = Inside::new(&trace.meta().spans, None, &whole);
        let rows = answer_rows(&trace);
        for (fold, remove_bos) in [(Fold::Mean, false), (Fold::Max, false), (Fold::Mean, true)] {
            let of = |number: HeadNumber| layer_head(&trace, &number, &rows, fold, remove_bos);
            let shares = of(HeadNumber::ImageShare).unwrap();
            let found = of(HeadNumber::Inside(inside.clone())).unwrap();
            for (found, share) in found.iter().zip(&shares) {
                assert!((found - share).abs() < 1e-4, "{found} {share}");
            }
        }
    }

    #[test]
    fn a_part_of_the_picture_holds_the_weights_of_its_patches() {
        let trace = a_trace();
        let span = trace.meta().spans[0].clone();
        let map = span.original_from_preprocessed;
        let [first, second] = [(0, 0), (1, 2)].map(|(row, column)| {
            let rect = map.apply_rect(span.preprocessed_from_patch(row, column));
            RegionPart::new(Outline::Rectangle { rect })
        });
        let inside = Inside::new(&trace.meta().spans, Some(0), &[first, second]);
        let rows = [answer_rows(&trace)[0]];
        let found =
            layer_head(&trace, &HeadNumber::Inside(inside), &rows, Fold::Mean, false).unwrap();
        let keys = [span.key(0, 0).unwrap(), span.key(1, 2).unwrap()];
        for (at, found) in found.iter().enumerate() {
            let shape = trace.shape();
            let weights =
                trace.weights(rows[0] as usize, at / shape.heads, at % shape.heads).unwrap();
            let expected: f32 = keys.iter().map(|key| weights[key.index()]).sum();
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
    }

    #[test]
    fn the_first_key_has_the_weight_that_is_renormalised_away() {
        let trace = a_trace();
        let rows = [answer_rows(&trace)[0]];
        let of = |number: HeadNumber, remove_bos: bool| {
            layer_head(&trace, &number, &rows, Fold::Mean, remove_bos).unwrap()
        };
        let (first, with, without) = (
            of(HeadNumber::First, false),
            of(HeadNumber::ImageShare, false),
            of(HeadNumber::ImageShare, true),
        );
        assert!(first.iter().any(|&weight| weight > 0.05), "the synthetic sink");
        for ((first, with), without) in first.iter().zip(&with).zip(&without) {
            assert!((with / (1.0 - first) - without).abs() < 1e-4);
        }
    }

    #[test]
    fn focus_is_the_share_of_a_head_that_looks_at_one_patch() {
        let trace = a_trace();
        let rows = [answer_rows(&trace)[0]];
        let of =
            |number: &HeadNumber| layer_head(&trace, number, &rows, Fold::Mean, false).unwrap();
        let most = (trace.meta().patches() as f32).ln();
        let (share, entropy) = (of(&HeadNumber::ImageShare), of(&HeadNumber::ImageEntropy));
        for ((focus, share), entropy) in of(&HeadNumber::Focus).iter().zip(&share).zip(&entropy) {
            assert!((focus - share * (1.0 - entropy / most)).abs() < 1e-6);
        }
    }

    #[test]
    fn effects_of_several_tokens_add_up() {
        let trace = a_trace();
        let shape = trace.shape();
        let (rows, heads) = (answer_rows(&trace), shape.layers * shape.heads);
        assert!(layer_head(&trace, &HeadNumber::Effect, &rows, Fold::Mean, false).is_none());
        let values: Vec<f32> =
            (0..shape.generated * heads).map(|at| (at / heads + 1) as f32 * -0.5).collect();
        let trace = trace.with_head_effects(&values).unwrap();
        let found = layer_head(&trace, &HeadNumber::Effect, &rows[..2], Fold::Mean, false).unwrap();
        assert_eq!(found, vec![-1.5; heads]);
    }
}
