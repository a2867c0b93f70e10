// The layer × head matrix and the strip of one layer: one cell a number. The colour is looked up once a cell.

struct Style {
    lut_row: u32,
    unused: u32,
    padding: vec2u,
    // Shown where there is no number.
    gap: vec4f,
}

@group(1) @binding(0) var<uniform> style: Style;

struct Varying {
    @builtin(position) position: vec4f,
    @location(0) @interpolate(flat) color: vec3f,
}

// `value` is 0–1, or below 0 for a gap.
@vertex
fn vs(
    @builtin(vertex_index) vertex: u32,
    @location(0) rect: vec4f,
    @location(1) value: f32,
) -> Varying {
    let color = select(lut_color(value, style.lut_row), style.gap.rgb, value < 0.0);
    return Varying(clip_from_px(corner(rect, vertex)), color);
}

@fragment
fn fs(in: Varying) -> @location(0) vec4f {
    return vec4f(in.color, 1.0);
}
