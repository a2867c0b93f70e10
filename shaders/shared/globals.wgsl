// Group 0: what every pass of a frame shares. It is bound once a pass and never replaced.

struct Globals {
    // Width and height of the target in pixels.
    target_px: vec2f,
    padding: vec2f,
}

@group(0) @binding(0) var<uniform> globals: Globals;
// One row a colour map, 256 linear colours each.
@group(0) @binding(1) var lut: texture_2d<f32>;
@group(0) @binding(2) var linear_clamp: sampler;
@group(0) @binding(3) var nearest_clamp: sampler;

// From pixels (origin in the upper left corner) to clip space.
fn clip_from_px(px: vec2f) -> vec4f {
    let unit = px / globals.target_px;
    return vec4f(unit.x * 2.0 - 1.0, 1.0 - unit.y * 2.0, 0.0, 1.0);
}

// The corner of a rectangle (x0, y0, x1, y1) for vertex 0–3 of a strip.
fn corner(rect: vec4f, vertex: u32) -> vec2f {
    return vec2f(select(rect.x, rect.z, (vertex & 1u) == 1u), select(rect.y, rect.w, vertex >= 2u));
}

// The colour of a value in 0–1, linear.
fn lut_color(value: f32, row: u32) -> vec3f {
    let column = i32(clamp(value, 0.0, 1.0) * 255.0 + 0.5);
    return textureLoad(lut, vec2i(column, i32(row)), 0).rgb;
}
