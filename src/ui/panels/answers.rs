//! The chosen head in every open answer: a small map for each, mean and spread of its shares, and the numbers as CSV.

use crate::trace::TraceId;
use crate::ui::document::Document;
use crate::ui::intent::Intent;
use crate::ui::pane::{PaneContext, PaneUi};
use crate::ui::small_map::{SmallPicture, map_texture};
use crate::ui::theme;
use crate::ui::value_cache::{AnswerNumbers, mean_and_deviation};
use crate::ui::widgets::{Mark, frame_in_data, heading, ink, muted, text_in};
use crate::view::figure::caption_of_heads;
use crate::view::{ColorMap, Command, MapSource, Shown, SourceRule, ViewKind, ViewState};
use egui::{Align2, Rect, Role, Sense, TextureHandle, Ui, WidgetInfo, pos2, vec2};
use std::collections::HashMap;
use std::fmt::Write as _;

const TILE: f32 = 104.0;
const LABEL: f32 = 34.0;
/// The words of an answer that the numbers are over.
pub(super) const ALL_WORDS: &str = "Over all words of each answer";
/// Why not the chosen word.
pub(super) const ALL_WORDS_HINT: &str = "Answers have different words: each number is the mean over all words of an answer, not that of \
    the word on the stage";
/// More answers are counted and exported, but not drawn.
const MOST_TILES: usize = 60;

/// The chosen head in every open answer.
#[derive(Default)]
pub struct Answers {
    pictures: HashMap<TraceId, Option<SmallPicture>>,
    /// Texture of the map, and the numbers and colours that it was made from.
    maps: HashMap<TraceId, (Vec<f32>, ColorMap, Option<TextureHandle>)>,
}

impl PaneUi for Answers {
    fn ui(&mut self, cx: &PaneContext<'_>, ui: &mut Ui) {
        let Some(doc) = cx.current else {
            muted(ui, "The chosen head in every open answer, side by side.");
            return;
        };
        let numbers = cx.values.answers(cx.docs, doc, cx.shown);
        if numbers.is_empty() {
            muted(ui, "No open answer of this model has a picture.");
            return;
        }
        let name = caption_of_heads(&cx.shown.map, doc.meta());
        let copy = heading(ui, &name, |ui| {
            let hint = "Copy the numbers of every answer as CSV";
            ui.small_button("Copy CSV").on_hover_text(hint).clicked()
        });
        if copy {
            let text = csv(cx, &numbers, &name);
            cx.intents.send(Intent::Copy(text, "The numbers of every answer"));
        }
        muted(ui, ALL_WORDS).on_hover_text(ALL_WORDS_HINT);
        summary(cx, ui, &numbers);
        let open: Vec<TraceId> = cx.docs.iter().map(|doc| doc.trace.id()).collect();
        self.pictures.retain(|trace, _| open.contains(trace));
        self.maps.retain(|trace, _| open.contains(trace));
        let most = numbers.iter().map(value).fold(0.0, f32::max);
        egui::ScrollArea::vertical().id_salt("answers").show(ui, |ui| {
            ui.horizontal_wrapped(|ui| {
                ui.spacing_mut().item_spacing = vec2(6.0, 6.0);
                for one in numbers.iter().take(MOST_TILES) {
                    if let Some(of) = cx.docs.iter().find(|doc| doc.id == one.of) {
                        self.tile(cx, ui, of, one, most);
                    }
                }
            });
            if numbers.len() > MOST_TILES {
                let more = numbers.len() - MOST_TILES;
                muted(ui, format!("{more} more answers count and are in the CSV."));
            }
        });
    }
}

/// The number that answers are compared by: the share inside the object, or else on the picture.
fn value(numbers: &AnswerNumbers) -> f32 {
    numbers.inside.unwrap_or(numbers.image_share)
}

/// "attention to the picture 71.2 % ± 12.0 (10 answers)".
fn summary(cx: &PaneContext<'_>, ui: &mut Ui, numbers: &[AnswerNumbers]) {
    let line = |what: &str, values: &[f32]| {
        let (mean, deviation) = mean_and_deviation(values);
        let spread = match deviation {
            Some(deviation) => format!(" ± {:.1}", deviation * 100.0),
            None => String::new(),
        };
        let answers = if values.len() == 1 { "answer" } else { "answers" };
        format!("{what} {:.1} %{spread} ({} {answers})", mean * 100.0, values.len())
    };
    let shares: Vec<f32> = numbers.iter().map(|one| one.image_share).collect();
    let text = line("attention to the picture", &shares);
    muted(ui, text).on_hover_text("Mean ± sample standard deviation over the answers");
    if let Some(object) = cx.shown.chosen_object() {
        let inside: Vec<f32> = numbers.iter().filter_map(|one| one.inside).collect();
        muted(ui, line(&format!("inside “{}”", object.name), &inside));
    }
    if numbers.len() < 2 {
        muted(ui, "One answer has no spread: ask more questions, or open several traces.");
    }
}

/// One row an answer.
fn csv(cx: &PaneContext<'_>, numbers: &[AnswerNumbers], name: &str) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let mut text = String::from("heads,tokens,question,answer,picture,image_share,focus,inside\n");
    for one in numbers {
        let Some(doc) = cx.docs.iter().find(|doc| doc.id == one.of) else { continue };
        let meta = doc.meta();
        let picture = meta.preprocess.first().map_or("", |info| info.file_name.as_str());
        let inside = one.inside.map(|inside| inside.to_string()).unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{},mean of all answer tokens,{},{},{},{},{},{inside}",
            quoted(name),
            quoted(&meta.question),
            quoted(meta.answer.trim()),
            quoted(picture),
            one.image_share,
            one.focus
        );
    }
    text
}

/// Shows an answer with the heads that the panel shows.
fn show_with_heads(cx: &PaneContext<'_>, doc: &Document) {
    cx.intents.send(Intent::Show(doc.id));
    let Some(current) = cx.current.filter(|current| current.id != doc.id) else { return };
    let mut next = doc.state().clone();
    let from = &current.state().map;
    next.map.layers.clone_from(&from.layers);
    next.map.heads.clone_from(&from.heads);
    next.map.head_set.clone_from(&from.head_set);
    // A map without layers and heads would not show them.
    if !doc.trace.page_names().contains(&next.map.source.name()) {
        next.map.source = MapSource::Attention;
    }
    if next.view.spec().source == SourceRule::Relevancy {
        next.view = ViewKind::Overlay;
    }
    cx.intents.command(Command::Replace(Box::new(next)));
}

impl Answers {
    /// Drops the textures of a device that was lost.
    pub fn forget_textures(&mut self) {
        self.pictures.clear();
        self.maps.clear();
    }

    fn tile(
        &mut self,
        cx: &PaneContext<'_>,
        ui: &mut Ui,
        doc: &Document,
        numbers: &AnswerNumbers,
        most: f32,
    ) {
        let ink = ink(ui);
        let (trace, id) = (&doc.trace, doc.trace.id());
        let view = ViewState { picture: doc.state().picture, ..ViewState::default() };
        let shown = Shown::new(&view, trace);
        let picture = self
            .pictures
            .entry(id)
            .or_insert_with(|| SmallPicture::new(ui.ctx(), trace, shown.grids.first()?));
        let colormap = match cx.shown.colormap.is_diverging() {
            true => ColorMap::Inferno,
            false => cx.shown.colormap,
        };
        let kept = self.maps.get(&id);
        if kept.is_none_or(|(map, color, _)| *map != numbers.map || *color != colormap) {
            let texture = map_texture(ui.ctx(), trace, &shown, &numbers.map, colormap);
            self.maps.insert(id, (numbers.map.clone(), colormap, texture));
        }
        let map = self.maps.get(&id).and_then(|(_, _, texture)| texture.as_ref());
        let aspect = picture.as_ref().map_or(1.0, |picture| picture.aspect).clamp(0.5, 2.0);
        let size = vec2(TILE, TILE / aspect + LABEL);
        let (rect, response) = ui.allocate_exact_size(size, Sense::click());
        let share = format!("{:.1} %", value(numbers) * 100.0);
        let on = cx.current.is_some_and(|current| current.id == doc.id);
        let name = format!("{share}: {}", doc.meta().answer.trim());
        response.widget_info(|| WidgetInfo::selected(Role::Button, true, on, &name));
        if !ui.is_rect_visible(rect) {
            return;
        }
        let place = Rect::from_min_max(rect.min, pos2(rect.right(), rect.bottom() - LABEL));
        if let Some(picture) = picture {
            picture.paint(ui, place, map);
        }
        if let Some(mark) = Mark::of(on, &response) {
            frame_in_data(ui, place, mark);
        }
        let part = if most > 0.0 { (value(numbers) / most).clamp(0.0, 1.0) } else { 0.0 };
        let track = Rect::from_min_size(place.left_bottom() + vec2(0.0, 2.0), vec2(TILE, 3.0));
        ui.painter().rect_filled(track, 0.0, ink.hairline);
        let filled = Rect::from_min_size(track.min, vec2(track.width() * part, track.height()));
        ui.painter().rect_filled(filled, 0.0, ink.accent);
        let line = |top: f32| {
            let top = place.bottom() + 5.0 + top;
            Rect::from_min_max(pos2(rect.left(), top), pos2(rect.right(), top + 15.0))
        };
        let small = theme::strong(theme::SMALL);
        text_in(ui, line(0.0), Align2::LEFT_CENTER, &share, small, ink.text);
        let answer = doc.meta().answer.trim().to_owned();
        let font = theme::plain(11.0);
        text_in(ui, line(14.0), Align2::LEFT_CENTER, &answer, font, ink.muted);
        let hint = format!(
            "{}\n{answer}\n{share} {}, over all words of this answer",
            doc.meta().question,
            match cx.shown.chosen_object().filter(|_| numbers.inside.is_some()) {
                Some(object) => format!("inside “{}”", object.name),
                None => "on the picture".into(),
            }
        );
        if response.on_hover_text(hint).clicked() {
            show_with_heads(cx, doc);
        }
    }
}
