// Query × key of one head. Where several weights fall on a pixel, the largest is shown: thin lines must
// stay visible.

// A constant of the pipeline, because a branch that no one takes still costs on some devices.
override logarithmic: bool = false;

struct Style {
    // The numbers that become 0 and 1.
    range: vec2f,
    lut_row: u32,
    // Bit 0: key 0 is left out. Bit 1: queries see later keys. Bit 2: a column may be the sum over several keys.
    flags: u32,
    // Shown where a row was not kept, and where a query cannot see.
    gap: vec4f,
    unseen: vec4f,
    // First query and first key of the texture, and positions a texel.
    first: vec2f,
    pooled: f32,
    padding: f32,
}

@group(1) @binding(0) var<uniform> style: Style;
// x key, y query; -1 where the row was not kept, -2 where the keys of a column lie after the query.
@group(2) @binding(0) var weights: texture_2d<f32>;

const MOST_TAPS: i32 = 8;

struct Varying {
    @builtin(position) position: vec4f,
    // Key and query in texels.
    @location(0) texel: vec2f,
}

@vertex
fn vs(
    @builtin(vertex_index) vertex: u32,
    @location(0) rect: vec4f,
    @location(1) texels: vec4f,
) -> Varying {
    return Varying(clip_from_px(corner(rect, vertex)), corner(texels, vertex));
}

@fragment
fn fs(in: Varying) -> @location(0) vec4f {
    let footprint = vec2f(abs(dpdx(in.texel.x)), abs(dpdy(in.texel.y)));
    let last = vec2i(textureDimensions(weights)) - 1;
    let low = clamp(vec2i(floor(in.texel - footprint * 0.5 + 1e-3)), vec2i(0), last);
    let high = clamp(vec2i(floor(in.texel + footprint * 0.5 - 1e-3)), low, last);
    let step = max((high - low) / MOST_TAPS, vec2i(1));
    var largest = -2.0;
    for (var y = low.y; y <= high.y; y += step.y) {
        for (var x = low.x; x <= high.x; x += step.x) {
            largest = max(largest, textureLoad(weights, vec2i(x, y), 0).r);
        }
    }
    if largest < -1.5 {
        return vec4f(style.unseen.rgb, 1.0);
    }
    if largest < 0.0 {
        return vec4f(style.gap.rgb, 1.0);
    }
    let position = (vec2f(vec2i(low.x, high.y)) + style.first) * style.pooled;
    let dropped = (style.flags & 1u) != 0u && high.x == 0 && style.first.x == 0.0;
    let folded = (style.flags & 4u) != 0u;
    let later = !folded && position.x > position.y + style.pooled - 1.0;
    // If prompt positions attend in both directions, later keys without weight are not seen either.
    if dropped || (later && ((style.flags & 2u) == 0u || largest == 0.0)) {
        return vec4f(style.unseen.rgb, 1.0);
    }
    let value = normalised(largest, style.range, logarithmic);
    return vec4f(lut_color(value, style.lut_row), 1.0);
}
