// Maps over patches → maps over the cells of a picture: each cell adds up the parts of the patches that lie on it.
// Twin: analysis::density::Density::apply.

struct Density {
    // Cells of all grids, patches of a plane, planes.
    cells: u32,
    patches: u32,
    planes: u32,
    padding: u32,
}

struct Part {
    patch_index: u32,
    share: f32,
}

@group(1) @binding(0) var<storage, read> params: Density;
@group(1) @binding(1) var<storage, read> planes: array<f32>;
// The index of the first part of each cell, then the number of all parts.
@group(1) @binding(2) var<storage, read> starts: array<u32>;
@group(1) @binding(3) var<storage, read> parts: array<Part>;
@group(1) @binding(4) var<storage, read_write> cells: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let cell = id.x;
    let plane = id.y;
    if cell >= params.cells {
        return;
    }
    var sum = 0.0;
    for (var at = starts[cell]; at < starts[cell + 1u]; at++) {
        let part = parts[at];
        sum += planes[plane * params.patches + part.patch_index] * part.share;
    }
    cells[plane * params.cells + cell] = sum;
}
