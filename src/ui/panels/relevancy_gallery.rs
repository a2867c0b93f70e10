//! Small maps of all words at once: they show how relevancy moves over the picture from word to word.
//!
//! A map of some hundred patches is a texture of as many texels, which the painter enlarges linearly over one small
//! picture. The textures are made once a trace and method.

use crate::analysis::relevancy::mean_row;
use crate::trace::TraceId;
use crate::ui::document::Document;
use crate::ui::pane::PaneContext;
use crate::ui::relevancy::{AnswerWord, choose};
use crate::ui::small_map::{SmallPicture, map_texture};
use crate::ui::theme;
use crate::ui::widgets::{Mark, frame_in_data, ink, muted, text_in};
use crate::view::{ColorMap, Command, MapSource, PictureChoice, Shown, ViewState};
use egui::{Align2, Rect, Role, Sense, TextureHandle, Ui, WidgetInfo, pos2, vec2};
use std::sync::Arc;

const TILE: f32 = 96.0;
const LABEL: f32 = 18.0;

/// Textures of the gallery, and the trace, map and colours that they were made from.
struct Gallery {
    trace: TraceId,
    map: String,
    colormap: ColorMap,
    choice: PictureChoice,
    picture: SmallPicture,
    maps: Vec<Option<TextureHandle>>,
}

/// Draws a tile a word.
pub fn show(cx: &PaneContext<'_>, ui: &mut Ui, doc: &Document, words: &[AnswerWord]) {
    let map = match &doc.state().map.source {
        MapSource::Named(name) if doc.extent.maps.contains(name) => name.clone(),
        _ => "relevancy.llm".to_owned(),
    };
    let Some(gallery) = gallery(ui, doc, words, &map) else {
        muted(ui, format!("The trace {}.", doc.meta().why_no_patches()));
        return;
    };
    ui.label(theme::strong_text("Every word", theme::SMALL));
    let size = vec2(TILE, TILE / gallery.picture.aspect.max(0.25) + LABEL);
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
    gallery.picture.paint(ui, picture, texture);
    if let Some(mark) = Mark::of(on, &response) {
        frame_in_data(ui, picture, mark);
    }
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
    let picture = SmallPicture::new(ui.ctx(), trace, shown.grids.first()?)?;
    let maps = words
        .iter()
        .map(|word| {
            let row = mean_row(trace, map, &word.tokens)?;
            map_texture(ui.ctx(), trace, &shown, &row, colormap)
        })
        .collect();
    let gallery = Arc::new(Gallery {
        trace: trace.id(),
        map: map.to_owned(),
        colormap,
        choice: doc.state().picture,
        picture,
        maps,
    });
    ui.data_mut(|data| data.insert_temp(id, Arc::clone(&gallery)));
    Some(gallery)
}
