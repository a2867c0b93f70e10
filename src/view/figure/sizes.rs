//! Sizes that several parts of a figure share, in design units.

/// Lines of the target at which a design unit is one pixel: larger frames have the same layout.
pub const DESIGN_LINES: f32 = 1080.0;
/// Type size of the legend.
pub(super) const LEGEND: f32 = 14.0;
/// Type size of labels along axes.
pub(super) const TICK: f32 = 12.0;

/// Pixels per design unit for a target: type grows with the smaller side and stays legible on small targets, which are
/// viewed from a short distance.
pub fn scale_of([width, height]: [u32; 2], text_scale: f64) -> f32 {
    let smaller = width.min(height) as f32 / DESIGN_LINES;
    let scale = if smaller < 1.0 { smaller.max(smaller.sqrt()).max(0.75) } else { smaller };
    scale * text_scale as f32
}
