// Lines, outlines, panels and the legend's ramp: rectangles with edges smoothed over one pixel.

struct Varying {
    @builtin(position) position: vec4f,
    @location(0) @interpolate(flat) rect: vec4f,
    @location(1) @interpolate(flat) color: vec4f,
    // Along the ramp, 0–1.
    @location(2) along: f32,
    @location(3) @interpolate(flat) ramp: i32,
}

// `color` is linear, not premultiplied. `ramp` is a row of the LUT that runs from left to right
// (or, with `vertical`, from bottom to top), or −1 for the plain colour.
@vertex
fn vs(
    @builtin(vertex_index) vertex: u32,
    @location(0) rect: vec4f,
    @location(1) color: vec4f,
    @location(2) ramp: vec2i,
) -> Varying {
    // One pixel wider, for the smoothed edge.
    let at = corner(rect + vec4f(-1.0, -1.0, 1.0, 1.0), vertex);
    let unit = (at - rect.xy) / max(rect.zw - rect.xy, vec2f(1e-6));
    let along = select(unit.x, 1.0 - unit.y, ramp.y == 1);
    return Varying(clip_from_px(at), rect, color, along, ramp.x);
}

@fragment
fn fs(in: Varying) -> @location(0) vec4f {
    let inside = min(in.position.xy - in.rect.xy, in.rect.zw - in.position.xy) + 0.5;
    let thickness = min(in.rect.zw - in.rect.xy, vec2f(1.0));
    let coverage = min(clamp(inside, vec2f(0.0), thickness), vec2f(1.0));
    var color = in.color.rgb;
    if in.ramp >= 0 {
        color = lut_color(in.along, u32(in.ramp));
    }
    let alpha = in.color.a * coverage.x * coverage.y;
    return vec4f(color * alpha, alpha);
}
