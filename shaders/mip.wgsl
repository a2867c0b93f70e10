// One level of a picture from the level above it, averaged in linear light.

@group(0) @binding(0) var above: texture_2d<f32>;
@group(0) @binding(1) var smooth_sampler: sampler;

struct Varying {
    @builtin(position) position: vec4f,
    @location(0) uv: vec2f,
}

@vertex
fn vs(@builtin(vertex_index) vertex: u32) -> Varying {
    let unit = vec2f(f32(vertex & 1u) * 2.0, f32(vertex >> 1u) * 2.0);
    return Varying(vec4f(unit.x * 2.0 - 1.0, 1.0 - unit.y * 2.0, 0.0, 1.0), unit);
}

@fragment
fn fs(in: Varying) -> @location(0) vec4f {
    return textureSampleLevel(above, smooth_sampler, in.uv, 0.0);
}
