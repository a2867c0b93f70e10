// The bare picture: one bilinear sample a pixel. The other passes are measured against its cost.

// Trilinear where the picture is made smaller; the base level where it is enlarged.
override minified: bool = false;

@group(1) @binding(0) var picture: texture_2d<f32>;

struct Varying {
    @builtin(position) position: vec4f,
    @location(0) uv: vec2f,
}

@vertex
fn vs(
    @builtin(vertex_index) vertex: u32,
    @location(0) rect: vec4f,
    @location(1) uv: vec4f,
) -> Varying {
    return Varying(clip_from_px(corner(rect, vertex)), corner(uv, vertex));
}

@fragment
fn fs(in: Varying) -> @location(0) vec4f {
    if minified {
        return vec4f(textureSample(picture, linear_clamp, in.uv).rgb, 1.0);
    }
    return vec4f(textureSampleLevel(picture, linear_clamp, in.uv, 0.0).rgb, 1.0);
}
