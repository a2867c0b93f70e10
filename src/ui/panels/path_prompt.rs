//! Questions over the window: a path where the desktop has no dialog, and what becomes of a
//! walkthrough that is not saved.

use crate::ui::app::{App, Intent};
use crate::ui::dialogs::Want;
use crate::ui::theme;
use crate::ui::walkthrough::{Answer, Lost};
use crate::ui::widgets::{ink, muted, primary_button, question};
use egui::{Key, Modifiers, Ui, vec2};

const WIDTH: f32 = 560.0;
const COMPLETIONS: usize = 6;

/// Draws them, if there are any.
pub fn show(app: &mut App, ui: &Ui) {
    path(app, ui);
    unsaved(app, ui);
}

fn path(app: &mut App, ui: &Ui) {
    let Some(prompt) = &mut app.prompt else { return };
    let (mut accepts, mut closes) = (false, false);
    let modal = question(ui, "path", WIDTH, |ui| {
        ui.label(theme::strong_text(prompt.dialog.title, theme::LARGE));
        ui.add_space(8.0);
        let complete = ui.input_mut(|input| input.consume_key(Modifiers::NONE, Key::Tab));
        let edit = egui::TextEdit::singleline(&mut prompt.text)
            .desired_width(f32::INFINITY)
            .margin(vec2(8.0, 6.0));
        let response = ui.add(edit).accessible_name("Path");
        if response.changed() {
            prompt.replaces = None;
        }
        let enter = is_enter(ui);
        response.request_focus();
        ui.add_space(4.0);
        ui.spacing_mut().item_spacing.y = 0.0;
        let (offered, problem) = prompt.looked_up(COMPLETIONS);
        let (offered, problem) = (offered.to_vec(), problem.map(str::to_owned));
        let mut taken = offered.first().filter(|_| complete).cloned();
        for text in &offered {
            let name = text.trim_end_matches(std::path::MAIN_SEPARATOR);
            let name = name.rsplit(std::path::MAIN_SEPARATOR).next().unwrap_or(name);
            let folder = if text.ends_with(std::path::MAIN_SEPARATOR) { "/" } else { "" };
            let button = egui::Button::new(format!("{name}{folder}")).frame(false);
            if ui.add(button).clicked() {
                taken = Some(text.clone());
            }
        }
        if let Some(text) = taken {
            prompt.text = text;
            prompt.replaces = None;
            let id = response.id;
            if let Some(mut state) = egui::TextEdit::load_state(ui.ctx(), id) {
                let end = egui::text::CCursor::new(prompt.text.chars().count());
                state.cursor.set_char_range(Some(egui::text::CCursorRange::one(end)));
                state.store(ui.ctx(), id);
            }
        }
        ui.add_space(8.0);
        let replaces = prompt.replaces.is_some();
        match (&problem, replaces) {
            (Some(text), _) => muted(ui, text),
            (None, true) => {
                ui.label(egui::RichText::new("This file is there already.").color(ink(ui).error))
            }
            (None, false) => muted(ui, "Enter to go on, Tab to complete, Escape to leave."),
        };
        ui.add_space(12.0);
        ui.horizontal(|ui| {
            let name = match (&prompt.dialog.want, replaces) {
                (Want::Place(_), true) => "Replace it",
                (Want::Place(_), false) => "Save",
                (Want::Files | Want::Folder, _) => "Open",
            };
            accepts = primary_button(ui, name, problem.is_none()).clicked() || enter;
            closes = ui.button("Cancel").clicked();
        });
    });
    if accepts {
        app.send(Intent::AcceptPath);
    } else if closes || modal.should_close() {
        app.prompt = None;
    }
}

/// Enter, pressed anew: a key that is held must not answer the next question, too.
fn is_enter(ui: &Ui) -> bool {
    let is_it = |event: &egui::Event| {
        matches!(event, egui::Event::Key { key: Key::Enter, pressed: true, repeat: false, .. })
    };
    ui.input(|input| input.events.iter().any(is_it))
}

fn unsaved(app: &mut App, ui: &Ui) {
    let Some(lost) = app.confirm.as_ref().map(|confirm| confirm.of) else { return };
    if app.prompt.is_some() {
        return;
    }
    let name = app.editor.as_ref().map(|editor| editor.name()).unwrap_or_default();
    let (title, text) = match lost {
        Lost::Walkthrough => {
            ("Save the walkthrough?", format!("{name} has changes that are in no file."))
        }
        Lost::Film => {
            let kept = app.tasks.running().iter().find(|task| task.is_kept);
            let what = kept.map(|task| task.title.clone()).unwrap_or_default();
            ("Stop what is being written?", format!("{what}: nothing of it would be left."))
        }
    };
    let mut answer = None;
    let modal = question(ui, "unsaved", 400.0, |ui| {
        ui.label(theme::strong_text(title, theme::LARGE));
        ui.add_space(4.0);
        ui.label(text);
        ui.add_space(12.0);
        let enter = is_enter(ui);
        ui.horizontal(|ui| {
            let save = lost == Lost::Walkthrough;
            if save && (primary_button(ui, "Save", true).clicked() || enter) {
                answer = Some(Answer::Save);
            }
            let discard = if save { "Discard" } else { "Stop it" };
            if ui.button(discard).clicked() {
                answer = Some(Answer::Discard);
            }
            if ui.button(if save { "Cancel" } else { "Go on" }).clicked() {
                answer = Some(Answer::Cancel);
            }
        });
    });
    if modal.should_close() {
        answer = Some(Answer::Cancel);
    }
    if let Some(answer) = answer {
        app.send(Intent::Confirm(answer));
    }
}
