// Planes → texture: every plane becomes a cell of an atlas, normalised to 0–1. All passes that draw
// maps sample this texture.

// A constant of the pipeline, because a branch that no one takes still costs on some devices.
override logarithmic: bool = false;

struct FillAtlas {
    // Cells of the whole atlas, and the first cell of this tile.
    cells: vec2u,
    first_cell: vec2u,
    // Columns and rows of patches in a cell, and texels a patch.
    grid: vec2u,
    texels: u32,
    // Patches of a plane, and the first one of this span.
    patches: u32,
    first_patch: u32,
    planes: u32,
    // 1: one range for all planes.
    flags: u32,
    padding: u32,
}

@group(1) @binding(0) var<uniform> params: FillAtlas;
@group(1) @binding(1) var<storage, read> planes: array<f32>;
@group(1) @binding(2) var<storage, read> ranges: array<vec2f>;

@vertex
fn vs(@builtin(vertex_index) vertex: u32) -> @builtin(position) vec4f {
    // One triangle that covers everything.
    return vec4f(f32(vertex & 1u) * 4.0 - 1.0, f32(vertex >> 1u) * 4.0 - 1.0, 0.0, 1.0);
}

struct Place {
    plane: u32,
    // Position within the cell, in texels.
    texel: vec2u,
}

fn place(position: vec4f) -> Place {
    // Floats, for dividing integers takes longer than all the rest; a texel's centre is half a
    // texel from the next cell, so that rounding never crosses over.
    let cell_texels = vec2f(params.grid * params.texels);
    let cell = floor(position.xy / cell_texels);
    let whole = vec2u(cell) + params.first_cell;
    let texel = vec2u(floor(position.xy) - cell * cell_texels);
    return Place(whole.y * params.cells.x + whole.x, texel);
}

fn range_of(plane: u32) -> vec2f {
    return ranges[select(plane, params.planes, params.flags == 1u)];
}

fn value(plane: u32, at: vec2u, range: vec2f) -> f32 {
    let index = plane * params.patches + params.first_patch + at.y * params.grid.x + at.x;
    return normalised(planes[index], range, logarithmic);
}

// One texel a patch.
@fragment
fn fs_patch(@builtin(position) position: vec4f) -> @location(0) vec4f {
    let at = place(position);
    if at.plane >= params.planes {
        return vec4f(0.0);
    }
    return vec4f(value(at.plane, at.texel, range_of(at.plane)), 0.0, 0.0, 1.0);
}

// Catmull-Rom (a = −0.5, as PIL's bicubic when it enlarges), edges repeated.
fn cubic(distance: f32) -> vec4f {
    let t = distance;
    let t2 = t * t;
    let t3 = t2 * t;
    return vec4f(
        -0.5 * t + t2 - 0.5 * t3,
        1.0 - 2.5 * t2 + 1.5 * t3,
        0.5 * t + 2.0 * t2 - 1.5 * t3,
        -0.5 * t2 + 0.5 * t3,
    );
}

// `texels` texels a patch, bicubic between patch centres.
@fragment
fn fs_bicubic(@builtin(position) position: vec4f) -> @location(0) vec4f {
    let at = place(position);
    if at.plane >= params.planes {
        return vec4f(0.0);
    }
    let point = (vec2f(at.texel) + 0.5) / f32(params.texels) - 0.5;
    let first = floor(point);
    let x = cubic(point.x - first.x);
    let y = cubic(point.y - first.y);
    let last = vec2i(params.grid) - 1;
    let range = range_of(at.plane);
    var sum = 0.0;
    for (var row = 0; row < 4; row++) {
        let v = u32(clamp(i32(first.y) + row - 1, 0, last.y));
        var line = 0.0;
        for (var column = 0; column < 4; column++) {
            let u = u32(clamp(i32(first.x) + column - 1, 0, last.x));
            line += x[column] * value(at.plane, vec2u(u, v), range);
        }
        sum += y[row] * line;
    }
    return vec4f(clamp(sum, 0.0, 1.0), 0.0, 0.0, 1.0);
}
