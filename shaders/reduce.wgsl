// One page of attention [L, H, T] → planes [plane, patch], folded into the pages before it.
// Heads are folded first, then layers, then queries. Twin: analysis::reduce::reduce.

// Key 0 is left out and every row renormalised. A constant of the pipeline: it doubles the reads.
override without_bos: bool = false;

struct Reduce {
    // N, T and H of the trace.
    patches: u32,
    positions: u32,
    heads: u32,
    // Members of `axes`: first the layers, then the heads.
    layer_count: u32,
    head_count: u32,
    // 0: one plane; 1: one a head; 2: one a layer and head.
    keep: u32,
    // Bits: 0 heads, 1 layers, 2 queries are folded by maximum (else by mean).
    maxima: u32,
    // Bits: 0 first page, 1 last page.
    flags: u32,
    query_count: u32,
    // 1 / attention_scale.
    scale: f32,
    // 1: single heads; the head at index i belongs to the layer at index i.
    pairs: u32,
    padding: u32,
}

@group(1) @binding(0) var<storage, read> params: Reduce;
// f16 pairs as in the file; an odd index is the upper half.
@group(1) @binding(1) var<storage, read> page: array<u32>;
// Key position of each patch.
@group(1) @binding(2) var<storage, read> keys: array<u32>;
@group(1) @binding(3) var<storage, read> axes: array<u32>;
@group(1) @binding(4) var<storage, read_write> planes: array<f32>;

fn weight_at(index: u32) -> f32 {
    let pair = page[index >> 1u];
    let half = select(pair & 0xffffu, pair >> 16u, (index & 1u) == 1u);
    // Infinity and NaN are damage, not attention.
    let finite = (half & 0x7c00u) != 0x7c00u;
    return select(0.0, unpack2x16float(half).x * params.scale, finite);
}

fn fold(sum: f32, value: f32, by_max: bool) -> f32 {
    return select(sum + value, max(sum, value), by_max);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let patch_index = id.x;
    // Heads along y, layers along z, as far as they are kept: no division finds them.
    let plane = id.z * params.head_count + id.y;
    if patch_index >= params.patches {
        return;
    }
    var layers = vec2u(0u, params.layer_count);
    var heads = vec2u(0u, params.head_count);
    if params.keep != 0u {
        heads = vec2u(id.y, id.y + 1u);
    }
    if params.keep == 2u {
        layers = vec2u(id.z, id.z + 1u);
    }
    let head_max = (params.maxima & 1u) != 0u;
    let layer_max = (params.maxima & 2u) != 0u;
    let query_max = (params.maxima & 4u) != 0u;
    let key = keys[patch_index];

    var over_layers = 0.0;
    for (var l = layers.x; l < layers.y; l++) {
        let layer_start = axes[l] * params.heads;
        var own = heads;
        if params.pairs != 0u {
            own = vec2u(l, l + 1u);
        }
        var over_heads = 0.0;
        for (var h = own.x; h < own.y; h++) {
            let start = (layer_start + axes[params.layer_count + h]) * params.positions;
            var weight = weight_at(start + key);
            if without_bos {
                let rest = 1.0 - weight_at(start);
                if key != 0u && rest > 1e-6 {
                    weight = weight / rest;
                } else {
                    weight = 0.0;
                }
            }
            over_heads = fold(over_heads, weight, head_max);
        }
        if !head_max {
            over_heads = over_heads / f32(own.y - own.x);
        }
        over_layers = fold(over_layers, over_heads, layer_max);
    }
    if !layer_max {
        over_layers = over_layers / f32(layers.y - layers.x);
    }

    let at = plane * params.patches + patch_index;
    var over_queries = over_layers;
    if (params.flags & 1u) == 0u {
        over_queries = fold(planes[at], over_layers, query_max);
    }
    if (params.flags & 2u) != 0u && !query_max {
        over_queries = over_queries / f32(params.query_count);
    }
    planes[at] = over_queries;
}
