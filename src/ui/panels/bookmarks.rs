//! Bookmarks with their notes. Their order is the order of a walkthrough.

use crate::settings::Bookmark;
use crate::ui::intent::{BookmarkCommand, Intent};
use crate::ui::pane::{PaneContext, PaneUi};
use crate::ui::shortcuts::UiCommand;
use crate::ui::widgets::{Icon, icon_button, muted};
use egui::Ui;

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
        egui::ScrollArea::vertical().id_salt("bookmarks").show(ui, |ui| {
            for (index, bookmark) in bookmarks.iter().enumerate() {
                ui.push_id(index, |ui| row(cx, ui, index, bookmark));
            }
        });
    }
}

fn send(cx: &PaneContext<'_>, command: BookmarkCommand) {
    cx.intents.send(Intent::Bookmark(command));
}

fn row(cx: &PaneContext<'_>, ui: &mut Ui, index: usize, bookmark: &Bookmark) {
    let len = cx.settings.bookmarks.len();
    ui.horizontal(|ui| {
        let name = format!("{}", index + 1);
        let file = bookmark.trace.as_ref().map_or_else(
            || "from an answer that was not saved".to_owned(),
            |path| path.display().to_string(),
        );
        let number = ui.add_sized([28.0, 24.0], egui::Button::new(name));
        if number.on_hover_text(format!("Show this view\n{file}")).clicked() {
            send(cx, BookmarkCommand::GoTo(index));
        }
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            ui.spacing_mut().item_spacing.x = 2.0;
            if icon_button(ui, Icon::Close, "Remove the bookmark", false).clicked() {
                send(cx, BookmarkCommand::Remove(index));
            }
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
        });
    });
}
