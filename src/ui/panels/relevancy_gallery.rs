//! Small maps of all words at once: they show how relevancy moves over the picture from word to word.
//!
//! A map of some hundred patches is a texture of as many texels, which the painter enlarges linearly over one small
//! picture. The textures are made once a trace and method.

use super::matrix::color_of;
use crate::analysis::density::Frame;
use crate::analysis::relevancy::mean_row;
use crate::trace::{Trace, TraceId};
use crate::ui::document::Document;
use crate::ui::pane::PaneContext;
use crate::ui::relevancy::{AnswerWord, choose};
use crate::ui::theme;
use crate::ui::widgets::{ink, muted, text_in};
use crate::view::{ColorMap, Command, MapSource, PictureChoice, Shown, ViewState};
use egui::{
    Align2, Color32, ColorImage, Rect, Role, Sense, TextureHandle, TextureOptions, Ui, WidgetInfo,
    pos2, vec2,
};
use std::sync::Arc;

const TILE: f32 = 96.0;
const LABEL: f32 = 18.0;
/// Longest side of the small picture.
const PICTURE_PX: usize = 192;

/// Textures of the gallery, and the trace, map and colours that they were made from.
struct Gallery {
    trace: TraceId,
    map: String,
    colormap: ColorMap,
    choice: PictureChoice,
    picture: TextureHandle,
    /// Width / height of the picture.
    aspect: f32,
    /// Rectangle of the patches on the picture, 0–1.
    place: Rect,
    maps: Vec<Option<TextureHandle>>,
}

/// Draws a tile a word.
pub fn show(cx: &PaneContext<'_>, ui: &mut Ui, doc: &Document, words: &[AnswerWord]) {
    let map = match &doc.state().map.source {
        MapSource::Named(name) if doc.extent.maps.contains(name) => name.clone(),
        _ => "relevancy.llm".to_owned(),
    };
    let Some(gallery) = gallery(ui, doc, words, &map) else {
        muted(ui, "The trace has no picture.");
        return;
    };
    ui.label(theme::strong_text("Every word", theme::SMALL));
    let size = vec2(TILE, TILE / gallery.aspect.max(0.25) + LABEL);
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing = vec2(6.0, 6.0);
        for (word, texture) in words.iter().zip(&gallery.maps) {
            tile(cx, ui, doc, &gallery, (word, texture.as_ref()), size);
        }
    });
}

fn tile(
    cx: &PaneContext<'_>,
    ui: &mut Ui,
    doc: &Document,
    gallery: &Gallery,
    (word, texture): (&AnswerWord, Option<&TextureHandle>),
    size: egui::Vec2,
) {
    let ink = ink(ui);
    let (rect, response) = ui.allocate_exact_size(size, Sense::click());
    let on = word.is_chosen(&doc.state().map.queries);
    let name = format!("Map of {}", word.text);
    response.widget_info(|| WidgetInfo::selected(Role::Button, true, on, &name));
    if !ui.is_rect_visible(rect) {
        return;
    }
    let picture = Rect::from_min_max(rect.min, pos2(rect.right(), rect.bottom() - LABEL));
    let whole = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
    let dim = Color32::from_gray(if texture.is_some() { 255 } else { 90 });
    ui.painter().image(gallery.picture.id(), picture, whole, dim);
    if let Some(texture) = texture {
        let at = |point: egui::Pos2| picture.min + point.to_vec2() * picture.size();
        let patches = Rect::from_min_max(at(gallery.place.min), at(gallery.place.max));
        ui.painter().image(texture.id(), patches, whole, Color32::WHITE);
    }
    let stroke = if on {
        egui::Stroke::new(1.5, ink.accent)
    } else if response.hovered() {
        egui::Stroke::new(1.0, ink.hover)
    } else {
        egui::Stroke::NONE
    };
    ui.painter().rect_stroke(picture, 2.0, stroke, egui::StrokeKind::Inside);
    let label = Rect::from_min_max(pos2(rect.left(), picture.bottom()), rect.max);
    let color = if on { ink.accent } else { ink.text };
    let font = theme::plain(theme::SMALL);
    text_in(ui, label, Align2::CENTER_CENTER, &word.text, font, color);
    if response.clicked() {
        if let Some(command) = choose(doc, word.queries()) {
            cx.intents.command(command);
        }
    } else if response.hovered() {
        cx.preview(Command::SetQueries(word.queries()));
    }
    if texture.is_none() {
        response.on_hover_text("Not computed yet: choose the word, then the method above.");
    }
}

fn gallery_id() -> egui::Id {
    egui::Id::unique("relevancy gallery")
}

/// Drops the textures of a device that was lost.
pub fn forget_textures(ctx: &egui::Context) {
    ctx.data_mut(|data| data.remove::<Arc<Gallery>>(gallery_id()));
}

/// The textures, made anew if the trace, the map or the colours changed.
fn gallery(ui: &Ui, doc: &Document, words: &[AnswerWord], map: &str) -> Option<Arc<Gallery>> {
    let id = gallery_id();
    let colormap = doc.state().colormap;
    let colormap = if colormap.is_diverging() { ColorMap::Inferno } else { colormap };
    if let Some(kept) = ui.data(|data| data.get_temp::<Arc<Gallery>>(id))
        && kept.trace == doc.trace.id()
        && kept.map == map
        && kept.colormap == colormap
        && kept.choice == doc.state().picture
    {
        return Some(kept);
    }
    let trace = &doc.trace;
    let state = ViewState { picture: doc.state().picture, ..ViewState::default() };
    let shown = Shown::new(&state, trace);
    let grid = *shown.grids.first()?;
    let (picture, [width, height]) = small_picture(trace, grid.frame)?;
    let load = |name: String, image| ui.ctx().load_texture(name, image, TextureOptions::LINEAR);
    let maps = words
        .iter()
        .map(|word| {
            let row = mean_row(trace, map, &word.tokens)?;
            let values = shown.values_of(trace, &row);
            let image = glow(&values, [grid.columns, grid.rows], colormap)?;
            Some(load(format!("relevancy of {}", word.text), image))
        })
        .collect();
    let (rect, whole) = (grid.rect(trace.meta()), grid.frame.size(trace.meta()));
    let at = |x: f64, y: f64| pos2((x / whole[0]) as f32, (y / whole[1]) as f32);
    let place =
        Rect::from_min_max(at(rect.x, rect.y), at(rect.x + rect.width, rect.y + rect.height));
    let gallery = Arc::new(Gallery {
        trace: trace.id(),
        map: map.to_owned(),
        colormap,
        choice: doc.state().picture,
        picture: load("relevancy picture".into(), picture),
        aspect: width as f32 / height as f32,
        place,
        maps,
    });
    ui.data_mut(|data| data.insert_temp(id, Arc::clone(&gallery)));
    Some(gallery)
}

/// The picture beneath a map, reduced to every few pixels, and its full size.
fn small_picture(trace: &Trace, frame: Frame) -> Option<(ColorImage, [u32; 2])> {
    let original;
    let (size, rgb): ([u32; 2], &[u8]) = match frame {
        Frame::Canvas(canvas) => {
            let view = trace.canvas(canvas as usize)?;
            ([view.width, view.height], view.rgb)
        }
        Frame::Original(picture) => {
            let bytes = trace.picture_original(picture as usize)?;
            original = image::load_from_memory(bytes).ok()?.into_rgb8();
            ([original.width(), original.height()], original.as_raw())
        }
    };
    let [width, height] = size.map(|side| side as usize);
    let step = width.max(height).div_ceil(PICTURE_PX).max(1);
    let mut pixels = Vec::new();
    for y in (0..height).step_by(step) {
        for x in (0..width).step_by(step) {
            pixels.extend_from_slice(rgb.get((y * width + x) * 3..)?.get(..3)?);
        }
    }
    Some((ColorImage::from_rgb([width.div_ceil(step), height.div_ceil(step)], &pixels), size))
}

/// A map whose opacity follows its value; `None` if it has no positive value.
fn glow(values: &[f32], [columns, rows]: [u32; 2], colormap: ColorMap) -> Option<ColorImage> {
    let largest = values.iter().copied().fold(0.0, f32::max);
    if largest <= 0.0 || values.len() != columns as usize * rows as usize {
        return None;
    }
    let pixels = values
        .iter()
        .map(|value| {
            let share = (value / largest).clamp(0.0, 1.0);
            color_of(colormap, share).gamma_multiply(share)
        })
        .collect();
    Some(ColorImage::new([columns as usize, rows as usize], pixels))
}
