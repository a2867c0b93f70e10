//! Types and shapes of the tensors in a trace, for the reader and for whoever adds a map.

use super::{STAT_COUNT, Shape, TraceMeta};
use safetensors::Dtype;

/// The change of each answer token's log-probability with one head switched off: [G, L, H] f32.
pub(super) const HEAD_EFFECTS: &str = "ablation.heads";
/// The log-probability of each answer token with every patch replaced by the picture's mean colour: `[G]` f32.
pub(super) const BLANK_LOGPROBS: &str = "blank.logprob";

/// Checks type and shape of a tensor with a known name; any other tensor is accepted.
///
/// # Errors
/// The reason without the name of the tensor, as "has type …, not …".
pub(super) fn check_tensor(
    name: &str,
    dtype: Dtype,
    found: &[usize],
    meta: &TraceMeta,
    shape: &Shape,
) -> Result<(), String> {
    if let Some((expected_dtype, expected)) = expected_tensor(name, meta, shape) {
        let fits = dtype == expected_dtype
            && found.len() == expected.len()
            && found
                .iter()
                .zip(&expected)
                .all(|(&found, want)| want.is_none_or(|want| want == found));
        if !fits {
            let axes = expected.iter().map(|axis| axis.map_or("_".into(), |axis| axis.to_string()));
            let axes = axes.collect::<Vec<String>>().join(", ");
            return Err(format!(
                "has type {dtype:?} and shape {found:?}, not {expected_dtype:?} [{axes}]"
            ));
        }
    }
    if name.starts_with("relevancy.") {
        let widths = [shape.positions, meta.patches()];
        let fits = dtype == Dtype::F32
            && matches!(*found, [tokens, width] if tokens == shape.generated && widths.contains(&width));
        if !fits {
            return Err(format!(
                "has type {dtype:?} and shape {found:?}, not F32 [{}, {} positions or {} patches]",
                shape.generated, widths[0], widths[1]
            ));
        }
    }
    Ok(())
}

/// Type and shape (`None`: any size) of the tensors that this version knows.
fn expected_tensor(
    name: &str,
    meta: &TraceMeta,
    shape: &Shape,
) -> Option<(Dtype, Vec<Option<usize>>)> {
    let (rows, layers, heads) = (Some(shape.rows), Some(shape.layers), Some(shape.heads));
    let (positions, generated) = (Some(shape.positions), Some(shape.generated));
    Some(match name {
        "attention.weights" => (Dtype::F16, vec![rows, layers, heads, positions]),
        "attention.stats" => (Dtype::F32, vec![rows, layers, heads, Some(STAT_COUNT)]),
        "attention.span_stats" => {
            (Dtype::F32, vec![rows, layers, heads, Some(meta.spans.len()), Some(STAT_COUNT)])
        }
        "attention.head_mean" => (Dtype::F16, vec![layers, positions, positions]),
        "attention.last_layer" => (Dtype::F16, vec![heads, positions, positions]),
        "attention.vision" => (
            Dtype::F16,
            vec![
                Some(meta.model.vision_layers as usize),
                Some(meta.model.vision_heads as usize),
                None,
                None,
            ],
        ),
        HEAD_EFFECTS => (Dtype::F32, vec![generated, layers, heads]),
        BLANK_LOGPROBS => (Dtype::F32, vec![generated]),
        "answer.ids" => (Dtype::I32, vec![generated]),
        "answer.logprob" => (Dtype::F32, vec![generated]),
        "answer.topk_ids" => (Dtype::I32, vec![generated, None]),
        "answer.topk_logprob" => (Dtype::F32, vec![generated, None]),
        "relevancy.llm" | "relevancy.llm_own" => (Dtype::F32, vec![generated, positions]),
        "relevancy.vit" | "relevancy.all" => (Dtype::F32, vec![generated, Some(meta.patches())]),
        _ if name.starts_with("map.") => (Dtype::F32, vec![generated, Some(meta.patches())]),
        _ if name.starts_with("picture.") && name.ends_with(".preprocessed") => {
            (Dtype::U8, vec![None, None, Some(3)])
        }
        _ if name.starts_with("canvas.") && name.ends_with(".pixels") => {
            let index = name.strip_prefix("canvas.")?.strip_suffix(".pixels")?;
            let info = meta.preprocess.get(index.parse::<usize>().ok()?)?;
            let [width, height] = info.preprocessed_size.map(|side| Some(side as usize));
            (Dtype::U8, vec![height, width, Some(3)])
        }
        _ if name.starts_with("picture.") && name.ends_with(".original") => (Dtype::U8, vec![None]),
        _ if is_json(name) => (Dtype::U8, vec![None]),
        _ => return None,
    })
}

/// Whether a name is that of a JSON document about one answer token: `causal.TOKEN`, `patch.SITE.TOKEN`.
fn is_json(name: &str) -> bool {
    let Some((kind, token)) = name.rsplit_once('.') else { return false };
    let known =
        kind == "causal" || kind.strip_prefix("patch.").is_some_and(|site| !site.contains('.'));
    known && token.parse::<u32>().is_ok()
}
