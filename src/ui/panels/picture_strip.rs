//! The film strip below the stage: the pictures or video frames of an answer, each with its share of the attention.

use crate::trace::TraceMeta;
use crate::ui::document::Document;
use crate::ui::intent::Intent;
use crate::ui::pane::PaneContext;
use crate::ui::picture_strip::SmallPictures;
use crate::ui::theme;
use crate::ui::widgets::{ink, on_pixels, text_in};
use crate::view::figure::percent;
use crate::view::{Command, PictureRule, picture_name};
use egui::{
    Align2, Color32, Rect, ScrollArea, Sense, Stroke, StrokeKind, Ui, UiBuilder, WidgetInfo, pos2,
    vec2,
};

/// Height of a picture where there is room, and on a low stage.
const PICTURE_HEIGHT: [f32; 2] = [52.0, 32.0];
/// Height of the stage from which pictures are large.
const TALL: f32 = 420.0;
/// Least height of the stage that has a strip.
const LEAST: f32 = 240.0;
/// Height of what is below a picture: the bar of its share, and a line of text.
const BELOW: f32 = 26.0;
const MARGIN: f32 = 8.0;
/// Least width of a cell, for its text.
const LEAST_WIDTH: f32 = 88.0;
const GAP: f32 = 10.0;

/// Draws the strip along the lower edge of `rect` and returns the rest of `rect` for the stage: all of it where there is
/// one picture only, or where the view shows no single picture.
pub fn show(cx: &PaneContext<'_>, ui: &mut Ui, rect: Rect, doc: &Document) -> Rect {
    let spec = doc.state().view.spec();
    let numbers = doc.extent.picture_numbers();
    let is_one = spec.has_maps() && spec.pictures == PictureRule::Chosen;
    if !is_one || numbers.len() < 2 || rect.height() < LEAST {
        return rect;
    }
    let Some(pictures) = cx.picture_strips.get(doc.id) else {
        cx.intents.send(Intent::DrawPictureStrip(doc.id));
        return strip(cx, ui, rect, doc, &numbers, &SmallPictures::new());
    };
    strip(cx, ui, rect, doc, &numbers, pictures)
}

fn strip(
    cx: &PaneContext<'_>,
    ui: &mut Ui,
    rect: Rect,
    doc: &Document,
    numbers: &[u32],
    pictures: &SmallPictures,
) -> Rect {
    let height = PICTURE_HEIGHT[usize::from(rect.height() < TALL)];
    let whole = height + BELOW + 2.0 * MARGIN;
    let (rest, bar) = rect.split_top_bottom_at_y(on_pixels(ui, rect).bottom() - whole);
    let ink = ink(ui);
    ui.painter().rect_filled(bar, 0.0, ink.stage);
    let line = Stroke::new(1.0, ink.hairline);
    ui.painter().hline(bar.x_range(), bar.top() + 0.5, line);
    let shares = cx.picture_shares(doc);
    let largest = shares.values().copied().fold(0.0, f32::max);
    let inner = bar.shrink2(vec2(12.0, MARGIN));
    let mut child = ui.new_child(UiBuilder::new().max_rect(inner));
    child.set_clip_rect(bar);
    let area = ScrollArea::horizontal().id_salt(("picture strip", doc.id)).auto_shrink(false);
    area.show(&mut child, |ui| {
        ui.horizontal_top(|ui| {
            ui.spacing_mut().item_spacing.x = GAP;
            for &number in numbers {
                let cell = Cell { number, height, share: shares.get(&number).copied(), largest };
                cell.show(cx, ui, doc, pictures);
            }
        });
    });
    rest
}

/// One picture of the strip.
struct Cell {
    number: u32,
    /// Height of the picture in points.
    height: f32,
    /// Its share of the attention, 0–1.
    share: Option<f32>,
    /// The largest share of all pictures, whose bar is as wide as its cell.
    largest: f32,
}

impl Cell {
    fn show(&self, cx: &PaneContext<'_>, ui: &mut Ui, doc: &Document, pictures: &SmallPictures) {
        let ink = ink(ui);
        let texture = pictures.get(&self.number);
        let aspect = texture.map_or(1.5, |texture| texture.aspect_ratio());
        let width = (self.height * aspect).min(self.height * 2.5);
        let size = vec2(width.max(LEAST_WIDTH), self.height + BELOW);
        let (rect, response) = ui.allocate_exact_size(size, Sense::click());
        let is_chosen = doc.state().picture.index == self.number;
        let name = picture_name(doc.meta(), self.number);
        let share = self.share.map(|share| percent(f64::from(share), 1));
        let label = match &share {
            Some(share) => format!("Choose {name}, {share} of the attention"),
            None => format!("Choose {name}"),
        };
        response.widget_info(|| WidgetInfo::selected(egui::Role::Button, true, is_chosen, &label));
        let top = Rect::from_min_size(rect.min, vec2(rect.width(), self.height));
        let place = Rect::from_center_size(top.center(), vec2(width, width / aspect));
        let place = on_pixels(ui, place);
        if ui.is_rect_visible(rect) {
            match texture {
                Some(texture) => {
                    let uv = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
                    ui.painter().image(texture.id(), place, uv, Color32::WHITE);
                }
                None => _ = ui.painter().rect_filled(place, 0.0, ink.raised),
            }
            let stroke = if is_chosen {
                Stroke::new(2.0, ink.accent)
            } else if response.hovered() || response.has_focus() {
                Stroke::new(1.0, ink.hover)
            } else {
                Stroke::NONE
            };
            ui.painter().rect_stroke(place.expand(1.0), 1.0, stroke, StrokeKind::Outside);
            self.below(
                ui,
                Rect::from_min_max(pos2(rect.left(), top.bottom()), rect.max),
                doc,
                is_chosen,
            );
        }
        if response.clicked() {
            cx.intents.command(Command::SetPicture(self.number));
        }
        let is_new = ui.data_mut(|data| {
            let last = data.get_temp_mut_or_default::<Option<u32>>(ui.scope_id().with("chosen"));
            is_chosen && last.replace(self.number) != Some(self.number)
        });
        if is_new {
            response.scroll_to_me(None);
        }
        response.on_hover_text(hint(doc.meta(), self.number, &name, share.as_deref()));
    }

    /// The bar of the share, its number, and the short name.
    fn below(&self, ui: &Ui, rect: Rect, doc: &Document, is_chosen: bool) {
        let ink = ink(ui);
        let bar = Rect::from_min_size(rect.min + vec2(0.0, 6.0), vec2(rect.width(), 3.0));
        let line = Rect::from_min_max(pos2(rect.left(), bar.bottom() + 2.0), rect.max);
        let color = if is_chosen { ink.text } else { ink.muted };
        let font = theme::plain(theme::SMALL);
        if let Some(share) = self.share {
            ui.painter().rect_filled(bar, 1.5, ink.hairline);
            let part =
                if self.largest > 0.0 { (share / self.largest).clamp(0.0, 1.0) } else { 0.0 };
            let filled = Rect::from_min_size(bar.min, vec2(bar.width() * part, bar.height()));
            ui.painter().rect_filled(filled, 1.5, if is_chosen { ink.accent } else { ink.muted });
            let text = percent(f64::from(share), 1);
            text_in(ui, line, Align2::RIGHT_CENTER, &text, font.clone(), color);
        }
        let name = short_name(doc.meta(), self.number);
        text_in(ui, line, Align2::LEFT_CENTER, &name, font, color);
    }
}

/// The time of a frame, or the number of a picture.
fn short_name(meta: &TraceMeta, number: u32) -> String {
    let span = meta.spans.iter().find(|span| span.picture == number);
    match span.and_then(|span| span.frame) {
        Some(frame) => match frame.seconds {
            Some(seconds) => format!("{seconds:.1} s"),
            None => frame.index.to_string(),
        },
        None => number.to_string(),
    }
}

/// Name, file and share.
fn hint(meta: &TraceMeta, number: u32, name: &str, share: Option<&str>) -> String {
    let canvas = meta.preprocess.iter().find(|canvas| canvas.picture == number);
    let file = canvas.map(|canvas| canvas.file_name.as_str()).filter(|file| !file.is_empty());
    let share = share.map(|share| format!("{share} of the attention of the present selection"));
    let lines = [Some(name.to_owned()), file.map(str::to_owned), share];
    lines.into_iter().flatten().collect::<Vec<_>>().join("\n")
}
