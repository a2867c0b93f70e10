// Every layer and head at once: a quad a cell, straight from the atlas.

// Samples a pixel and side: 1 where patches are enlarged, more where they are made smaller.
override taps: u32 = 1u;
// Patches as squares, or linear between texels.
override nearest: bool = false;

// 0 first map only, 1 cross-fade, 2 swipe.
override second: u32 = 0u;

struct Style {
    lut_row: u32,
    // Cross-fade: how much of the second map; swipe: x in pixels where it begins.
    mix_at: f32,
    padding: vec2u,
}

@group(1) @binding(0) var<uniform> style: Style;
@group(2) @binding(0) var atlas: texture_2d<f32>;
@group(2) @binding(1) var second_atlas: texture_2d<f32>;

struct Varying {
    @builtin(position) position: vec4f,
    @location(0) uv: vec2f,
    // Half a texel inside the cell: filtering never reaches the neighbouring head.
    @location(1) @interpolate(flat) bounds: vec4f,
    // Strength of each map, 0–1.
    @location(2) @interpolate(flat) strength: vec2f,
}

@vertex
fn vs(
    @builtin(vertex_index) vertex: u32,
    @location(0) rect: vec4f,
    @location(1) uv: vec4f,
    @location(2) bounds: vec4f,
    @location(3) strength: vec2f,
) -> Varying {
    return Varying(clip_from_px(corner(rect, vertex)), corner(uv, vertex), bounds, strength);
}

fn sample(map: texture_2d<f32>, uv: vec2f) -> f32 {
    if nearest {
        return textureSampleLevel(map, nearest_clamp, uv, 0.0).r;
    }
    return textureSampleLevel(map, linear_clamp, uv, 0.0).r;
}

// `share` of the second map.
fn value(uv: vec2f, bounds: vec4f, strength: vec2f, share: f32) -> f32 {
    let at = clamp(uv, bounds.xy, bounds.zw);
    let first = sample(atlas, at) * strength.x;
    if second == 0u {
        return first;
    }
    return mix(first, sample(second_atlas, at) * strength.y, share);
}

@fragment
fn fs(in: Varying) -> @location(0) vec4f {
    let right = select(0.0, 1.0, in.position.x >= style.mix_at);
    let share = select(right, style.mix_at, second == 1u);
    var sum = 0.0;
    if taps == 1u {
        sum = value(in.uv, in.bounds, in.strength, share);
    } else {
        let across = dpdx(in.uv);
        let down = dpdy(in.uv);
        for (var y = 0u; y < taps; y++) {
            for (var x = 0u; x < taps; x++) {
                let offset = (vec2f(vec2u(x, y)) + 0.5) / f32(taps) - 0.5;
                let at = in.uv + offset.x * across + offset.y * down;
                sum += value(at, in.bounds, in.strength, share);
            }
        }
        sum = sum / f32(taps * taps);
    }
    return vec4f(lut_color(sum, style.lut_row), 1.0);
}
