// From a number to 0–1 along a range. Twin: analysis::normalise::Scaling::apply.

// A logarithmic scale covers four decades below the upper end.
const LOG_FLOOR: f32 = 1e-4;

fn normalised(value: f32, range: vec2f, logarithmic: bool) -> f32 {
    if logarithmic {
        let low = max(range.x, range.y * LOG_FLOOR);
        if !(low > 0.0) || !(range.y > low) {
            return 0.0;
        }
        return clamp(log(max(value, low) / low) / log(range.y / low), 0.0, 1.0);
    }
    let span = range.y - range.x;
    if !(span > 0.0) {
        return 0.0;
    }
    return clamp((value - range.x) / span, 0.0, 1.0);
}
