// Picture and map in one: the colour map is applied for every output pixel, in linear light.
// The modes are pipeline constants, so that no pixel branches on them.

// 0 glow, 1 flat, 2 multiply, 3 spotlight, 4 contours.
override blend: u32 = 0u;
// 0 first map only, 1 cross-fade, 2 swipe.
override second: u32 = 0u;
// Trilinear where the picture is made smaller; the base level where it is enlarged.
override minified: bool = false;
// Patches as squares, or linear between texels.
override nearest: bool = false;

struct Style {
    opacity: f32,
    // Cross-fade: how much of the second map; swipe: x in pixels where it begins.
    mix_at: f32,
    lut_row: u32,
    // 1 where 0.5 is the neutral value: opacity follows the distance from it.
    diverging: u32,
    // Width of contour lines in pixels.
    line_px: f32,
    // First contour level in `levels` and in `second_levels`.
    first_level: u32,
    second_first_level: u32,
    padding: f32,
    // Colours of the contour lines, linear.
    line_colors: array<vec4f, 4>,
}

@group(1) @binding(0) var<uniform> style: Style;
@group(2) @binding(0) var picture: texture_2d<f32>;
@group(2) @binding(1) var second_picture: texture_2d<f32>;
@group(3) @binding(0) var first_map: texture_2d<f32>;
@group(3) @binding(1) var second_map: texture_2d<f32>;
// Ranges that are not read here, then two pairs of normalised contour levels a plane.
@group(3) @binding(2) var<storage, read> levels: array<vec2f>;
@group(3) @binding(3) var<storage, read> second_levels: array<vec2f>;

struct Varying {
    @builtin(position) position: vec4f,
    @location(0) picture_uv: vec2f,
    @location(1) map_uv: vec2f,
    // Half a texel inside the cell: filtering never reaches the neighbouring head.
    @location(2) @interpolate(flat) map_bounds: vec4f,
    @location(3) @interpolate(flat) plane: u32,
    // Strength of the glow of each map, 0–1.
    @location(4) @interpolate(flat) strength: vec2f,
}

@vertex
fn vs(
    @builtin(vertex_index) vertex: u32,
    @location(0) rect: vec4f,
    @location(1) picture_uv: vec4f,
    @location(2) map_uv: vec4f,
    @location(3) map_bounds: vec4f,
    @location(4) plane: u32,
    @location(5) strength: vec2f,
) -> Varying {
    return Varying(
        clip_from_px(corner(rect, vertex)),
        corner(picture_uv, vertex),
        corner(map_uv, vertex),
        map_bounds,
        plane,
        strength,
    );
}

fn map_value(map: texture_2d<f32>, uv: vec2f) -> f32 {
    if nearest {
        return textureSampleLevel(map, nearest_clamp, uv, 0.0).r;
    }
    return textureSampleLevel(map, linear_clamp, uv, 0.0).r;
}

fn picture_color(texture: texture_2d<f32>, uv: vec2f) -> vec3f {
    if minified {
        return textureSample(texture, linear_clamp, uv).rgb;
    }
    return textureSampleLevel(texture, linear_clamp, uv, 0.0).rgb;
}

// Brightness of patches without attention in spotlight mode, as a share of the picture's own.
const DIM: f32 = 0.06;

fn contours(base: vec3f, value: f32, slope: f32, steps: vec4f) -> vec3f {
    var color = base;
    // A plateau has no contour.
    if slope > 1e-5 {
        for (var i = 0; i < 4; i++) {
            let level = steps[i];
            if level > 0.004 {
                let distance = abs(value - level) / slope;
                let casing = clamp(style.line_px * 0.5 + 2.5 - distance, 0.0, 1.0) * 0.9;
                let line = clamp(style.line_px * 0.5 + 0.5 - distance, 0.0, 1.0);
                color = mix(color, vec3f(0.0), casing * style.opacity);
                color = mix(color, style.line_colors[i].rgb, line * style.opacity);
            }
        }
    }
    return color;
}

@fragment
fn fs(in: Varying) -> @location(0) vec4f {
    let uv = clamp(in.map_uv, in.map_bounds.xy, in.map_bounds.zw);
    var base = picture_color(picture, in.picture_uv);
    var value = map_value(first_map, uv);
    var strength = in.strength.x;
    if second == 1u {
        base = mix(base, picture_color(second_picture, in.picture_uv), style.mix_at);
        value = mix(value, map_value(second_map, uv), style.mix_at);
        strength = mix(strength, in.strength.y, style.mix_at);
    }
    if second == 2u {
        let right = in.position.x >= style.mix_at;
        base = select(base, picture_color(second_picture, in.picture_uv), right);
        value = select(value, map_value(second_map, uv), right);
        strength = select(strength, in.strength.y, right);
    }
    if blend == 4u {
        let at = style.first_level + in.plane * 2u;
        var steps = vec4f(levels[at], levels[at + 1u]);
        if second != 0u {
            let other = style.second_first_level + in.plane * 2u;
            let second_steps = vec4f(second_levels[other], second_levels[other + 1u]);
            let right = select(0.0, 1.0, in.position.x >= style.mix_at);
            steps = mix(steps, second_steps, select(right, style.mix_at, second == 1u));
        }
        return vec4f(contours(base, value, fwidth(value), steps), 1.0);
    }
    let distance = select(value, abs(value * 2.0 - 1.0), style.diverging == 1u);
    if blend == 3u {
        return vec4f(base * mix(1.0, mix(DIM, 1.0, distance), style.opacity), 1.0);
    }
    let color = lut_color(value, style.lut_row);
    if blend == 2u {
        return vec4f(base * mix(vec3f(1.0), color, style.opacity), 1.0);
    }
    if blend == 1u {
        return vec4f(mix(base, color, style.opacity), 1.0);
    }
    // Steeper in the middle: the dark end of a colour map must not lie on the picture as smoke.
    let glow = distance * distance * (3.0 - 2.0 * distance) * strength;
    return vec4f(mix(base, color, style.opacity * glow), 1.0);
}
