//! One number for each layer and head, from `attention.stats`, without reading the pages (unless BOS is left out, which
//! needs one weight of each row).

use super::reduce::{Fold, sound};
use crate::trace::{STAT_COUNT, Stat, Trace};

/// The quantity in a layer × head matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeadNumber {
    /// Mean attention on a patch (LVLM-Interpret's Image-to-Answer).
    ImageMean,
    /// Mean attention on a question position (LVLM-Interpret's Question-to-Answer).
    QuestionMean,
    /// Sum of the attention on all patches.
    ImageShare,
    /// Entropy, in nats, of the attention on the patches normalised to sum 1.
    ImageEntropy,
}

/// The number of every layer and head, folded over rows: [L, H]. `None` if a row does not exist.
///
/// Without BOS every row is renormalised to sum 1; this does not change the entropy.
pub fn layer_head(
    trace: &Trace,
    number: HeadNumber,
    rows: &[u32],
    fold: Fold,
    remove_bos: bool,
) -> Option<Vec<f32>> {
    let shape = trace.shape();
    let meta = trace.meta();
    let (stat, count) = match number {
        HeadNumber::ImageMean => (Stat::ImageSum, meta.patches()),
        HeadNumber::QuestionMean => (Stat::QuestionSum, meta.question_keys().len()),
        HeadNumber::ImageShare => (Stat::ImageSum, 1),
        HeadNumber::ImageEntropy => (Stat::ImageEntropy, 1),
    };
    let renormalised = remove_bos && number != HeadNumber::ImageEntropy;
    let mut folded = vec![0.0_f32; shape.layers * shape.heads];
    for &row in rows {
        let stats = trace.stats(row as usize)?;
        let page = if renormalised { Some(trace.page(row as usize)?) } else { None };
        for (map, (sum, of_head)) in
            folded.iter_mut().zip(stats.chunks_exact(STAT_COUNT)).enumerate()
        {
            let mut value = of_head[stat as usize] / count.max(1) as f32;
            if let Some(page) = &page {
                let bos = sound(page[map * shape.positions].to_f32()) / meta.attention_scale;
                let rest = 1.0 - bos;
                value = if rest > 1e-6 { value / rest } else { 0.0 };
            }
            let value = sound(value);
            *sum = match fold {
                Fold::Mean => *sum + value / rows.len() as f32,
                Fold::Max => sum.max(value),
            };
        }
    }
    Some(folded)
}
