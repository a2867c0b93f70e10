//! Kept views with a note. Their order is the order of a walkthrough.

use crate::ui::app::{App, Intent};
use crate::ui::shortcuts::UiCommand;
use crate::ui::widgets::{Icon, icon_button, muted};
use egui::Ui;

/// Draws the list.
pub fn show(app: &mut App, ui: &mut Ui) {
    ui.horizontal(|ui| {
        if ui.button("Keep this view").on_hover_text(UiCommand::Bookmark.hint()).clicked() {
            app.act(UiCommand::Bookmark);
        }
        let any = !app.settings.bookmarks.is_empty();
        let make = ui.add_enabled(any, egui::Button::new("Make a walkthrough"));
        if make.on_hover_text(UiCommand::WalkthroughOfBookmarks.name()).clicked() {
            app.act(UiCommand::WalkthroughOfBookmarks);
        }
    });
    if app.settings.bookmarks.is_empty() {
        muted(ui, "A view that you keep stands here with a note; a click brings it back.");
        return;
    }
    let mut swap = None;
    let mut go = None;
    let mut remove = None;
    egui::ScrollArea::vertical().id_salt("bookmarks").show(ui, |ui| {
        let len = app.settings.bookmarks.len();
        for (index, bookmark) in app.settings.bookmarks.iter_mut().enumerate() {
            ui.push_id(index, |ui| {
                ui.horizontal(|ui| {
                    let name = format!("{}", index + 1);
                    let file = bookmark.trace.as_ref().map_or_else(
                        || "of an answer that was not saved".to_owned(),
                        |path| path.display().to_string(),
                    );
                    let number = ui.add_sized([28.0, 24.0], egui::Button::new(name));
                    let number = number.on_hover_text(format!("Show this view\n{file}"));
                    if number.clicked() {
                        go = Some(index);
                    }
                    let right = egui::Layout::right_to_left(egui::Align::Center);
                    ui.with_layout(right, |ui| {
                        ui.spacing_mut().item_spacing.x = 2.0;
                        if icon_button(ui, Icon::Close, "Remove the bookmark", false).clicked() {
                            remove = Some(index);
                        }
                        let later = ui.add_enabled(index + 1 < len, egui::Button::new("↓"));
                        if later.on_hover_text("Later").clicked() {
                            swap = Some((index, index + 1));
                        }
                        let earlier = ui.add_enabled(index > 0, egui::Button::new("↑"));
                        if earlier.on_hover_text("Earlier").clicked() {
                            swap = Some((index - 1, index));
                        }
                        ui.add_space(4.0);
                        let edit = egui::TextEdit::singleline(&mut bookmark.note)
                            .desired_width(ui.available_width());
                        let name = format!("Note of bookmark {}", index + 1);
                        let note = ui.add(edit).accessible_name(name);
                        note.on_hover_text(&bookmark.note);
                    });
                });
            });
        }
    });
    if let Some((a, b)) = swap {
        app.settings.bookmarks.swap(a, b);
    }
    if let Some(index) = go {
        app.send(Intent::GoToBookmark(index));
    }
    if let Some(index) = remove {
        app.send(Intent::RemoveBookmark(index));
    }
}
