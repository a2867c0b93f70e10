//! The table over many answers: heads on the left, samples on the right.

mod bar;
mod common;
mod heads;
mod plot;
mod ranking;
mod sheet;

pub use common::description;

use crate::ui::data_set::DataSetDoc;
use crate::ui::pane::{PaneContext, PaneUi};
use crate::ui::theme;
use crate::ui::widgets::{ink, segments};
use egui::{Rect, Ui, pos2};

/// Below this width, one part is shown at a time.
const LEAST_WIDTH: f32 = 860.0;
const MARGIN: f32 = 3.0 * theme::GRID;

/// The table over many answers.
#[derive(Default)]
pub struct DataSetPane {
    bar: bar::Bar,
    heads: heads::Heads,
    plot: plot::Plot,
    sheet: sheet::Sheet,
    /// The part that a narrow window shows.
    part: Part,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Samples,
    Heads,
    Ranking,
    Plot,
}

impl PaneUi for DataSetPane {
    fn ui(&mut self, cx: &PaneContext<'_>, ui: &mut Ui) {
        let Some(doc) = cx.data_set() else { return };
        let (whole, colors) = (ui.max_rect(), ink(ui));
        let height = self.bar.height(ui, whole.width() - 2.0 * MARGIN);
        let bar = Rect::from_min_max(whole.min, pos2(whole.right(), whole.top() + height));
        part(ui, bar, colors.panel, |ui| self.bar.ui(cx, ui, doc));
        let below = Rect::from_min_max(pos2(whole.left(), bar.bottom() + 1.0), whole.max);
        // Messages leave the bar free.
        cx.output.data_set_rect.set(Some(below));
        if whole.width() < LEAST_WIDTH {
            return self.narrow(cx, ui, doc, below);
        }
        // Wide enough for the names of heads with their bars; the rest is for pictures.
        let left = (below.width() * 0.36).clamp(330.0, 1400.0);
        let x = below.left() + left.round();
        let heads = (below.height() * 0.58).round().min(heads::wanted_height(doc));
        let y = below.top() + heads;
        let plot = below.top() + (below.height() * 0.36).round();
        let at = |min: [f32; 2], max: [f32; 2]| Rect::from_min_max(min.into(), max.into());
        let [l, t, r, b] = [below.left(), below.top(), below.right(), below.bottom()];
        part(ui, at([l, t], [x, y]), colors.panel, |ui| self.heads.ui(cx, ui, doc));
        part(ui, at([l, y + 1.0], [x, b]), colors.panel, |ui| ranking::ui(cx, ui, doc));
        part(ui, at([x + 1.0, t], [r, plot]), colors.panel, |ui| self.plot.ui(cx, ui, doc));
        part(ui, at([x + 1.0, plot + 1.0], [r, b]), colors.panel, |ui| self.sheet.ui(cx, ui, doc));
    }
}

impl DataSetPane {
    /// Drops textures of a device that was lost.
    pub fn forget_texture(&mut self) {
        self.heads.forget_texture();
    }

    fn narrow(&mut self, cx: &PaneContext<'_>, ui: &mut Ui, doc: &DataSetDoc, rect: Rect) {
        let choices = [
            (Part::Samples, "Samples", "The samples as a contact sheet".to_owned()),
            (Part::Heads, "Heads", "One cell for each head of each layer".to_owned()),
            (Part::Ranking, "Ranking", "The heads in their order".to_owned()),
            (Part::Plot, "Plot", "The samples as points".to_owned()),
        ];
        part(ui, rect, ink(ui).panel, |ui| {
            let chosen = ui.horizontal(|ui| segments(ui, self.part, &choices)).inner;
            self.part = chosen.unwrap_or(self.part);
            match self.part {
                Part::Samples => self.sheet.ui(cx, ui, doc),
                Part::Heads => self.heads.ui(cx, ui, doc),
                Part::Ranking => ranking::ui(cx, ui, doc),
                Part::Plot => self.plot.ui(cx, ui, doc),
            }
        });
    }
}

/// Draws a part of the window on its surface.
fn part(ui: &mut Ui, rect: Rect, fill: egui::Color32, add: impl FnOnce(&mut Ui)) {
    ui.painter().rect_filled(rect, 0.0, fill);
    let layout = egui::Layout::top_down(egui::Align::Min);
    let builder = egui::UiBuilder::new().max_rect(rect.shrink(MARGIN)).layout(layout);
    let mut child = ui.new_child(builder);
    child.spacing_mut().item_spacing = egui::vec2(8.0, 4.0);
    child.set_clip_rect(rect.intersect(ui.clip_rect()));
    add(&mut child);
}
