//! Colours of values.

use crate::gpu::colormap;
use crate::ui::theme;
use crate::view::ColorMap;
use egui::{Color32, Rect, Ui, pos2};

/// Paints a colour map from left to right.
pub fn ramp(ui: &Ui, map: ColorMap, rect: Rect) {
    const STEPS: usize = 32;
    let mut mesh = egui::Mesh::default();
    for step in 0..=STEPS {
        let t = step as f32 / STEPS as f32;
        let x = rect.left() + t * rect.width();
        let color = color_of(map, t);
        mesh.colored_vertex(pos2(x, rect.top()), color);
        mesh.colored_vertex(pos2(x, rect.bottom()), color);
        if step > 0 {
            let at = (step * 2) as u32;
            mesh.add_triangle(at - 2, at - 1, at);
            mesh.add_triangle(at - 1, at, at + 1);
        }
    }
    ui.painter().add(mesh);
}

/// The colour of a value of 0–1.
pub fn color_of(map: ColorMap, value: f32) -> Color32 {
    theme::color(colormap::color(map, value))
}

/// 0–1 within a range; 0 where the range is a point.
pub fn within(value: f32, [low, high]: [f32; 2]) -> f32 {
    if high > low { ((value - low) / (high - low)).clamp(0.0, 1.0) } else { 0.0 }
}
