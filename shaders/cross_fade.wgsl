// Two finished frames of the target's size, mixed in linear light.

@group(1) @binding(0) var leaving: texture_2d<f32>;
@group(1) @binding(1) var coming: texture_2d<f32>;

struct Varying {
    @builtin(position) position: vec4f,
    @location(0) @interpolate(flat) share: f32,
}

@vertex
fn vs(
    @builtin(vertex_index) vertex: u32,
    @location(0) rect: vec4f,
    @location(1) share: f32,
) -> Varying {
    return Varying(clip_from_px(corner(rect, vertex)), share);
}

@fragment
fn fs(in: Varying) -> @location(0) vec4f {
    let at = vec2i(in.position.xy);
    let from_color = textureLoad(leaving, at, 0).rgb;
    let to_color = textureLoad(coming, at, 0).rgb;
    return vec4f(mix(from_color, to_color, in.share), 1.0);
}
