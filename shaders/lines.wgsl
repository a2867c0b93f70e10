// Straight lines with round ends, smoothed over one pixel: outlines of marked objects, edges of graphs.

struct Varying {
    @builtin(position) position: vec4f,
    @location(0) @interpolate(flat) ends: vec4f,
    @location(1) @interpolate(flat) color: vec4f,
    @location(2) @interpolate(flat) half_width: f32,
}

// `ends` are two points in pixels, `color` is linear and not premultiplied.
@vertex
fn vs(
    @builtin(vertex_index) vertex: u32,
    @location(0) ends: vec4f,
    @location(1) color: vec4f,
    @location(2) half_width: f32,
) -> Varying {
    let along = ends.zw - ends.xy;
    // A line without a length is a disc.
    let length = length(along);
    let direction = select(vec2f(1.0, 0.0), along / max(length, 1e-6), length > 1e-6);
    let forward = direction * (half_width + 1.0);
    let side = vec2f(-forward.y, forward.x);
    let start = ends.xy - forward;
    let end = ends.zw + forward;
    let at = select(start, end, (vertex & 1u) == 1u) + select(-side, side, vertex >= 2u);
    return Varying(clip_from_px(at), ends, color, half_width);
}

@fragment
fn fs(in: Varying) -> @location(0) vec4f {
    let along = in.ends.zw - in.ends.xy;
    let offset = in.position.xy - in.ends.xy;
    let t = clamp(dot(offset, along) / max(dot(along, along), 1e-6), 0.0, 1.0);
    let coverage = clamp(in.half_width - length(offset - t * along) + 0.5, 0.0, 1.0);
    let alpha = in.color.a * coverage;
    return vec4f(in.color.rgb * alpha, alpha);
}
