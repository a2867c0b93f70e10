//! Bookmarks with a small picture, what tells them from the others, and their notes. Their order is the order of a walkthrough.

use super::title::tab_name;
use crate::settings::Bookmark;
use crate::ui::document::Document;
use crate::ui::intent::{BookmarkCommand, Intent};
use crate::ui::pane::{PaneContext, PaneUi};
use crate::ui::shortcuts::UiCommand;
use crate::ui::theme;
use crate::ui::widgets::{Icon, Mark, frame_in_data, heading, icon_button, ink, muted, text_in};
use crate::view::figure::{head_name, token_name};
use crate::view::{Aggregate, AxisSet, MapSource, QueryKind};
use egui::{Align2, Color32, Rect, Role, Sense, Ui, Vec2, WidgetInfo, pos2};

/// The bookmarks.
#[derive(Default)]
pub struct Bookmarks;

impl PaneUi for Bookmarks {
    fn ui(&mut self, cx: &PaneContext<'_>, ui: &mut Ui) {
        let bookmarks = &cx.settings.bookmarks;
        ui.horizontal(|ui| {
            if ui.button("Bookmark this view").on_hover_text(UiCommand::Bookmark.hint()).clicked() {
                cx.intents.act(UiCommand::Bookmark);
            }
            let any = !bookmarks.is_empty();
            let make = ui.add_enabled(any, egui::Button::new("Make a walkthrough"));
            if make.on_hover_text(UiCommand::WalkthroughOfBookmarks.name()).clicked() {
                cx.intents.act(UiCommand::WalkthroughOfBookmarks);
            }
        });
        if bookmarks.is_empty() {
            muted(ui, "Bookmarked views appear here with a note. Click one to return to it.");
            return;
        }
        let titles = titles(cx);
        egui::ScrollArea::vertical().id_salt("bookmarks").show(ui, |ui| {
            for (index, (bookmark, title)) in bookmarks.iter().zip(&titles).enumerate() {
                ui.push_id(index, |ui| row(cx, ui, index, bookmark, title));
            }
        });
    }
}

fn send(cx: &PaneContext<'_>, command: BookmarkCommand) {
    cx.intents.send(Intent::Bookmark(command));
}

/// The answer that a bookmark shows, if it is open.
fn doc_of<'a>(cx: &PaneContext<'a>, bookmark: &Bookmark) -> Option<&'a Document> {
    cx.docs.iter().find(|doc| doc.is_of(bookmark))
}

/// The differences of each bookmark from the others: text that all of them share is left out.
fn titles(cx: &PaneContext<'_>) -> Vec<String> {
    let bookmarks = &cx.settings.bookmarks;
    let all: Vec<Vec<String>> =
        bookmarks.iter().map(|bookmark| parts(bookmark, doc_of(cx, bookmark))).collect();
    let differs = |at: usize| all.iter().any(|parts| parts.get(at) != all[0].get(at));
    let title = |parts: &Vec<String>| {
        let differing = parts.iter().enumerate().filter(|(at, _)| differs(*at));
        let told: Vec<&str> = differing.map(|(_, part)| part.as_str()).collect();
        let told = if told.is_empty() { parts.iter().map(String::as_str).collect() } else { told };
        told.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ")
    };
    all.iter().map(title).collect()
}

/// The parts of a view by which it is told from others: word, head, view, map, look, answer.
fn parts(bookmark: &Bookmark, doc: Option<&Document>) -> Vec<String> {
    let state = &bookmark.state;
    let map = &state.map;
    let word = match (map.queries.set.only(), map.queries.kind) {
        (Some(token), QueryKind::Answer) => doc
            .and_then(|doc| token_name(doc.meta().answer_tokens(), token as usize))
            .unwrap_or_else(|| format!("token {token}")),
        (Some(position), QueryKind::Position) => format!("position {position}"),
        (None, _) => match map.queries.set.named() {
            Some(tokens) => format!("{} tokens", tokens.len()),
            None => "all words".into(),
        },
    };
    let over = |set: &AxisSet| match set.aggregate() {
        Aggregate::Max => "maximum",
        _ => "mean",
    };
    let head = match (map.layers.only(), map.heads.only()) {
        (Some(layer), Some(head)) => head_name(layer, head),
        (Some(layer), None) => format!("L{layer}, {} of the heads", over(&map.heads)),
        (None, Some(head)) => format!("H{head}, {} of the layers", over(&map.layers)),
        (None, None) => format!("{} of all heads", over(&map.heads)),
    };
    let source = match &map.source {
        MapSource::Attention => String::new(),
        MapSource::Named(name) => name.clone(),
    };
    let compared = if state.second.is_some() { "compared" } else { "" };
    let answer = match (doc, &bookmark.trace) {
        (Some(doc), _) => doc.meta().question.trim().to_owned(),
        (None, Some(path)) => {
            path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
        }
        (None, None) => "an answer that was not saved".into(),
    };
    let look = state.colormap.name().to_owned();
    vec![word, head, tab_name(state.view).into(), source, compared.into(), look, answer]
}

/// Height of a row and of its picture.
const ROW: f32 = 60.0;
const PICTURE: f32 = 56.0;

fn row(cx: &PaneContext<'_>, ui: &mut Ui, index: usize, bookmark: &Bookmark, title: &str) {
    ui.horizontal(|ui| {
        ui.set_height(ROW);
        picture(cx, ui, index, bookmark, title);
        ui.vertical(|ui| {
            heading(ui, title, |ui| {
                if icon_button(ui, Icon::Close, "Remove the bookmark", false).clicked() {
                    send(cx, BookmarkCommand::Remove(index));
                }
            });
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                note(cx, ui, index, bookmark);
            });
        });
    });
}

/// The picture of the view, or its number; a click shows the view.
fn picture(cx: &PaneContext<'_>, ui: &mut Ui, index: usize, bookmark: &Bookmark, title: &str) {
    let (rect, response) = ui.allocate_exact_size(Vec2::splat(PICTURE), Sense::click());
    let name = format!("Show bookmark {}: {title}", index + 1);
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &name));
    let ink = ink(ui);
    let drawn = cx.thumbnails.iter().find(|own| own.is_of(bookmark));
    if let Some(texture) = drawn.and_then(|own| own.texture.as_ref()) {
        let uv = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
        ui.painter().image(texture.id(), rect, uv, Color32::WHITE);
    } else {
        ui.painter().rect_filled(rect, 4.0, ink.raised);
        let number = (index + 1).to_string();
        text_in(ui, rect, Align2::CENTER_CENTER, &number, theme::strong(theme::LARGE), ink.muted);
        if drawn.is_none() && doc_of(cx, bookmark).is_some() {
            send(cx, BookmarkCommand::Draw(index));
        }
    }
    if response.hovered() || response.has_focus() {
        frame_in_data(ui, rect, Mark::Hovered);
    }
    let file = bookmark.trace.as_ref().map_or_else(
        || "from an answer that was not saved".to_owned(),
        |path| path.display().to_string(),
    );
    if response.on_hover_text(format!("Show this view\n{file}")).clicked() {
        send(cx, BookmarkCommand::GoTo(index));
    }
}

/// The note and the place in the list.
fn note(cx: &PaneContext<'_>, ui: &mut Ui, index: usize, bookmark: &Bookmark) {
    let len = cx.settings.bookmarks.len();
    ui.spacing_mut().item_spacing.x = 2.0;
    let later = ui.add_enabled(index + 1 < len, egui::Button::new("↓"));
    if later.on_hover_text("Move down").clicked() {
        send(cx, BookmarkCommand::Swap(index, index + 1));
    }
    let earlier = ui.add_enabled(index > 0, egui::Button::new("↑"));
    if earlier.on_hover_text("Move up").clicked() {
        send(cx, BookmarkCommand::Swap(index - 1, index));
    }
    ui.add_space(4.0);
    let mut note = bookmark.note.clone();
    let edit = egui::TextEdit::singleline(&mut note).desired_width(ui.available_width());
    let name = format!("Note of bookmark {}", index + 1);
    let response = ui.add(edit).accessible_name(name);
    if response.changed() {
        send(cx, BookmarkCommand::Note(index, note));
    }
    response.on_hover_text(&bookmark.note);
}
