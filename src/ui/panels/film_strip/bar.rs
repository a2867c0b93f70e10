//! The bar above the strip: playback, the clock, the view, the size of the film, undo, save.

use crate::ui::film::{SIZES, clock, size_name};
use crate::ui::intent::{FilmCommand, Intent};
use crate::ui::pane::PaneContext;
use crate::ui::shortcuts::UiCommand;
use crate::ui::theme;
use crate::ui::walkthrough::editor::{Editor, WalkthroughCommand};
use crate::ui::widgets::{Icon, icon_button, ink, segments, text_in};
use crate::view::timeline::Timeline;
use egui::{Align, Align2, Layout, Rect, Role, Sense, Ui, UiBuilder, WidgetInfo, pos2, vec2};

pub(super) fn send(cx: &PaneContext<'_>, command: WalkthroughCommand) {
    cx.intents.send(Intent::Walkthrough(command));
}

/// The controls above the strip.
pub(super) fn controls(cx: &PaneContext<'_>, ui: &mut Ui, bar: Rect, editor: &Editor) {
    let is_wide = bar.width() > 900.0;
    let mut left =
        ui.new_child(UiBuilder::new().max_rect(bar).layout(Layout::left_to_right(Align::Center)));
    left.spacing_mut().item_spacing.x = 8.0;
    let (icon, name) = if editor.is_playing() {
        (Icon::Pause, "Pause")
    } else {
        (Icon::Play, "Play the walkthrough")
    };
    if icon_button(&mut left, icon, name, editor.is_playing()).clicked() {
        // `Play` is a command of the stage; it plays the walkthrough only while that is previewed.
        if !editor.is_previewing {
            cx.intents.act(UiCommand::PreviewWalkthrough);
        }
        cx.intents.act(UiCommand::Play);
    }
    let total = Timeline::new(editor.walkthrough()).seconds();
    let clock = format!("{} / {}", clock(editor.at_secs()), clock(total));
    let (font, color) = (theme::plain(theme::BODY), ink(&left).text);
    let own = left.painter().layout_no_wrap(clock.clone(), font.clone(), color).size().x;
    // Digits have equal widths: nothing moves during playback.
    let (rect, _) = left.allocate_exact_size(vec2(own.ceil().max(104.0), 28.0), Sense::hover());
    text_in(&left, rect, Align2::LEFT_CENTER, &clock, font, color);
    let shown = [
        (true, "Preview", UiCommand::PreviewWalkthrough.hint()),
        (false, "View", UiCommand::PreviewWalkthrough.hint()),
    ];
    if segments(&mut left, editor.is_previewing, &shown).is_some() {
        cx.intents.act(UiCommand::PreviewWalkthrough);
    }
    left.spacing_mut().item_spacing.x = 8.0;
    for (act, text) in [(UiCommand::AddView, "Add view"), (UiCommand::UseView, "Use view")] {
        let enabled = !editor.is_previewing && cx.current.is_some_and(|doc| !doc.live);
        let button = left.add_enabled(enabled, egui::Button::new(text));
        let why = format!("{}: switch to the view first (J)", act.name());
        if button.on_hover_text(act.hint()).on_disabled_hover_text(why).clicked() {
            cx.intents.act(act);
        }
    }
    if is_wide {
        film_size(cx, &mut left);
    }
    let from = left.min_rect().right() + 8.0;
    let rest = Rect::from_min_max(pos2(from.min(bar.right()), bar.top()), bar.max);
    let mut right =
        ui.new_child(UiBuilder::new().max_rect(rest).layout(Layout::right_to_left(Align::Center)));
    right.set_clip_rect(rest);
    if icon_button(&mut right, Icon::Close, UiCommand::CloseWalkthrough.name(), false).clicked() {
        cx.intents.act(UiCommand::CloseWalkthrough);
    }
    more(cx, &mut right, editor);
    let save = right.add_enabled(editor.is_unsaved(), egui::Button::new("Save"));
    let hint = if editor.is_previewing {
        UiCommand::SaveTrace.keys_text()
    } else {
        UiCommand::SaveWalkthrough.keys_text()
    };
    if save.on_hover_text(format!("Save the walkthrough ({hint})")).clicked() {
        cx.intents.act(UiCommand::SaveWalkthrough);
    }
    let [can_undo, can_redo] = editor.can_undo_redo();
    for (text, can, what) in
        [("Redo", can_redo, WalkthroughCommand::Redo), ("Undo", can_undo, WalkthroughCommand::Undo)]
    {
        if is_wide && right.add_enabled(can, egui::Button::new(text)).clicked() {
            send(cx, what);
        }
    }
    if is_wide {
        let unsaved = if editor.is_unsaved() { " · not saved" } else { "" };
        let text = format!("{}{unsaved}", editor.name());
        let room = right.available_rect_before_wrap();
        let (font, color) = (theme::plain(theme::SMALL), ink(&right).muted);
        text_in(&right, room, Align2::RIGHT_CENTER, &text, font, color);
    }
}

/// The shape of the film, which is that of the preview.
fn film_size(cx: &PaneContext<'_>, ui: &mut Ui) {
    let now = cx.film_options.size;
    egui::ComboBox::from_id_salt("preview size")
        .width(168.0)
        .selected_text(size_name(now))
        .show_ui(ui, |ui| {
            for (offered, _) in SIZES {
                if ui.selectable_label(*offered == now, size_name(*offered)).clicked() {
                    cx.intents.send(Intent::Film(FilmCommand::Size(*offered)));
                }
            }
        })
        .response
        .on_hover_text("Size of the film, and shape of the preview")
        .widget_info(|| WidgetInfo::labeled(Role::ComboBox, true, "Size of the film"));
}

/// Menu of less frequent commands.
fn more(cx: &PaneContext<'_>, ui: &mut Ui, editor: &Editor) {
    let response = icon_button(ui, Icon::Menu, "More walkthrough commands", false);
    egui::Popup::menu(&response).width(360.0).show(|ui| {
        let groups: [&[UiCommand]; 4] = [
            &[
                UiCommand::DuplicateStep,
                UiCommand::RemoveStep,
                UiCommand::EarlierStep,
                UiCommand::LaterStep,
            ],
            &[UiCommand::TrimBefore, UiCommand::TrimAfter],
            &[UiCommand::AddTitle, UiCommand::AddEnd],
            &[
                UiCommand::SaveWalkthroughAs,
                UiCommand::PackWalkthrough,
                UiCommand::Present,
                UiCommand::RecordFilm,
            ],
        ];
        let walkthrough = editor.walkthrough();
        for (index, group) in groups.iter().enumerate() {
            if index > 0 {
                ui.separator();
            }
            for &act in *group {
                let is_there = match act {
                    UiCommand::AddTitle => walkthrough.title.is_some(),
                    UiCommand::AddEnd => walkthrough.end.is_some(),
                    _ => false,
                };
                let button = egui::Button::new(act.name()).shortcut_text(act.keys_text());
                if ui.add_enabled(!is_there, button).clicked() {
                    cx.intents.act(act);
                    ui.close();
                }
            }
        }
    });
}
