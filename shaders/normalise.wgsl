// The numbers that become 0 and 1: one range a plane, one over all planes, and the levels of
// contour lines. Twin: analysis::normalise.

struct Normalise {
    patches: u32,
    planes: u32,
    // 0: smallest and largest value; 1: `low` and `high` as given; 2: percentiles.
    kind: u32,
    // Bits: 0 the range is made symmetric about 0; 1 logarithmic; 2 one range for all planes.
    flags: u32,
    // The numbers of kind 1, or the ranks of kind 2 (counted from 0, as floats).
    low: f32,
    high: f32,
    padding: vec2u,
    // Ranks of the contour levels.
    level_ranks: vec4u,
}

@group(1) @binding(0) var<storage, read> params: Normalise;
@group(1) @binding(1) var<storage, read> planes: array<f32>;
// One range a plane, the range over all, then two pairs of contour levels a plane.
@group(1) @binding(2) var<storage, read_write> ranges: array<vec2f>;

const LANES: u32 = 64u;
var<workgroup> lows: array<f32, 64>;
var<workgroup> highs: array<f32, 64>;
var<workgroup> below: atomic<u32>;

// Orders floats as unsigned numbers.
fn ordered(value: f32) -> u32 {
    let bits = bitcast<u32>(value);
    return select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
}

fn unordered(key: u32) -> f32 {
    return bitcast<f32>(select(~key, key & 0x7fffffffu, (key & 0x80000000u) != 0u));
}

// The value of a rank, found bit by bit: the largest key with at most `rank` values below it.
fn value_of_rank(start: u32, rank: u32, lane: u32) -> f32 {
    var key = 0u;
    for (var step = 0u; step < 32u; step++) {
        let candidate = key | (0x80000000u >> step);
        if lane == 0u {
            atomicStore(&below, 0u);
        }
        workgroupBarrier();
        var count = 0u;
        for (var i = lane; i < params.patches; i += LANES) {
            count += select(0u, 1u, ordered(planes[start + i]) < candidate);
        }
        atomicAdd(&below, count);
        workgroupBarrier();
        if atomicLoad(&below) <= rank {
            key = candidate;
        }
        workgroupBarrier();
    }
    return unordered(key);
}

fn symmetric(range: vec2f) -> vec2f {
    if (params.flags & 1u) == 0u {
        return range;
    }
    // Never empty, so that 0 lies in the middle of a difference of equals.
    let reach = max(max(abs(range.x), abs(range.y)), 1e-30);
    return vec2f(-reach, reach);
}

@compute @workgroup_size(64)
fn plane_ranges(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let plane = group.x;
    let start = plane * params.patches;
    if params.kind == 1u {
        if lane == 0u {
            ranges[plane] = vec2f(params.low, params.high);
        }
        return;
    }
    if params.kind == 2u {
        let low = value_of_rank(start, u32(params.low), lane);
        let high = value_of_rank(start, u32(params.high), lane);
        if lane == 0u {
            ranges[plane] = symmetric(vec2f(low, high));
        }
        return;
    }
    var low = planes[start];
    var high = low;
    for (var i = lane; i < params.patches; i += LANES) {
        let value = planes[start + i];
        low = min(low, value);
        high = max(high, value);
    }
    lows[lane] = low;
    highs[lane] = high;
    workgroupBarrier();
    if lane == 0u {
        for (var i = 1u; i < LANES; i++) {
            low = min(low, lows[i]);
            high = max(high, highs[i]);
        }
        ranges[plane] = symmetric(vec2f(low, high));
    }
}

@compute @workgroup_size(64)
fn shared_range(@builtin(local_invocation_index) lane: u32) {
    var range = ranges[0];
    for (var plane = lane; plane < params.planes; plane += LANES) {
        let own = ranges[plane];
        range = vec2f(min(range.x, own.x), max(range.y, own.y));
    }
    lows[lane] = range.x;
    highs[lane] = range.y;
    workgroupBarrier();
    if lane == 0u {
        for (var i = 1u; i < LANES; i++) {
            range = vec2f(min(range.x, lows[i]), max(range.y, highs[i]));
        }
        ranges[params.planes] = range;
    }
}

// Contour levels of every plane, as normalised values.
@compute @workgroup_size(64)
fn levels(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let plane = group.x;
    var found: vec4f;
    for (var i = 0u; i < 4u; i++) {
        found[i] = value_of_rank(plane * params.patches, params.level_ranks[i], lane);
    }
    if lane == 0u {
        let range = ranges[select(plane, params.planes, (params.flags & 4u) != 0u)];
        let logarithmic = (params.flags & 2u) != 0u;
        for (var i = 0u; i < 4u; i++) {
            found[i] = normalised(found[i], range, logarithmic);
        }
        let first = params.planes + 1u + plane * 2u;
        ranges[first] = found.xy;
        ranges[first + 1u] = found.zw;
    }
}
