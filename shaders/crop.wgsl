// Parts of pictures, dimmed but for a rectangle, with a border.

// Width of the line between border and picture, in pixels.
const CASING: f32 = 1.0;

@group(1) @binding(0) var picture: texture_2d<f32>;

struct Varying {
    @builtin(position) position: vec4f,
    @location(0) uv: vec2f,
    @location(1) @interpolate(flat) rect: vec4f,
    @location(2) @interpolate(flat) lit: vec4f,
    @location(3) @interpolate(flat) border: vec4f,
    @location(4) @interpolate(flat) dim: vec4f,
}

// `border` is a linear colour and a width in pixels, `dim` a linear colour and its share in dimmed parts.
@vertex
fn vs(
    @builtin(vertex_index) vertex: u32,
    @location(0) rect: vec4f,
    @location(1) uv: vec4f,
    @location(2) lit: vec4f,
    @location(3) border: vec4f,
    @location(4) dim: vec4f,
) -> Varying {
    return Varying(clip_from_px(corner(rect, vertex)), corner(uv, vertex), rect, lit, border, dim);
}

@fragment
fn fs(in: Varying) -> @location(0) vec4f {
    let color = textureSample(picture, linear_clamp, in.uv).rgb;
    let is_lit = all(in.uv >= in.lit.xy) && all(in.uv <= in.lit.zw);
    let dimmed = mix(color, in.dim.rgb, in.dim.a);
    let inside = min(in.position.xy - in.rect.xy, in.rect.zw - in.position.xy);
    let edge = min(inside.x, inside.y);
    var shown = select(dimmed, color, is_lit);
    // A thin line inside the border sets it off from a picture of the same colour.
    if in.border.a > 0.0 && edge < in.border.a + CASING {
        shown = select(in.dim.rgb, in.border.rgb, edge < in.border.a);
    }
    return vec4f(shown, 1.0);
}
