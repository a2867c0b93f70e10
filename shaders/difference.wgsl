// First planes minus second planes, in place. Twin: analysis::reduce::difference.

struct Difference {
    count: u32,
    // Workgroups in x, so that a second dimension can carry long planes.
    row: u32,
    padding: vec2u,
}

@group(1) @binding(0) var<storage, read> params: Difference;
@group(1) @binding(1) var<storage, read> second: array<f32>;
@group(1) @binding(2) var<storage, read_write> planes: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let at = id.y * params.row * 64u + id.x;
    if at < params.count {
        planes[at] = planes[at] - second[at];
    }
}
