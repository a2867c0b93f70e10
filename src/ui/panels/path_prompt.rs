//! Questions over the window: for a path if the desktop has no dialog, and about unsaved changes of a
//! walkthrough.

use crate::ui::dialogs::{Prompt, Want};
use crate::ui::intent::{Intent, PathCommand};
use crate::ui::pane::{PaneContext, PaneUi};
use crate::ui::theme;
use crate::ui::walkthrough::confirm::{Answer, Lost};
use crate::ui::widgets::{ink, muted, primary_button, question};
use egui::{Key, Modifiers, Ui, vec2};

const WIDTH: f32 = 560.0;
const COMPLETIONS: usize = 6;

/// Questions over the window.
#[derive(Default)]
pub struct PathPrompt {
    /// Cached completions and problem of a text, so that the folder is not read in every frame.
    listed: Option<Listed>,
}

/// Completions of a typed path, and its problem.
struct Listed {
    text: String,
    completions: Vec<String>,
    problem: Option<String>,
}

impl PaneUi for PathPrompt {
    fn ui(&mut self, cx: &PaneContext<'_>, ui: &mut Ui) {
        match cx.prompt {
            Some(prompt) => self.path(cx, ui, prompt),
            None => {
                self.listed = None;
                unsaved(cx, ui);
            }
        }
    }
}

impl PathPrompt {
    fn look_up(&mut self, prompt: &Prompt) -> &Listed {
        let listed = self.listed.take().filter(|listed| listed.text == prompt.text);
        self.listed.insert(listed.unwrap_or_else(|| Listed {
            text: prompt.text.clone(),
            completions: prompt.completions(COMPLETIONS),
            problem: prompt.problem(),
        }))
    }

    fn path(&mut self, cx: &PaneContext<'_>, ui: &Ui, prompt: &Prompt) {
        let mut typed = prompt.clone();
        let (mut accepts, mut closes) = (false, false);
        let modal = question(ui, "path", WIDTH, |ui| {
            ui.label(theme::strong_text(prompt.dialog.title, theme::LARGE));
            ui.add_space(8.0);
            let complete = ui.input_mut(|input| input.consume_key(Modifiers::NONE, Key::Tab));
            let edit = egui::TextEdit::singleline(&mut typed.text)
                .desired_width(f32::INFINITY)
                .margin(vec2(8.0, 6.0));
            let response = ui.add(edit).accessible_name("Path");
            if response.changed() {
                typed.replaces = None;
            }
            let enter = is_enter(ui);
            response.request_focus();
            ui.add_space(4.0);
            ui.spacing_mut().item_spacing.y = 0.0;
            let listed = self.look_up(&typed);
            if let Some(text) = completion(ui, listed, complete) {
                typed.text = text;
                typed.replaces = None;
                put_cursor_at_end(ui, response.id, &typed.text);
            }
            ui.add_space(8.0);
            let replaces = typed.replaces.is_some();
            match (&listed.problem, replaces) {
                (Some(text), _) => muted(ui, text),
                (None, true) => {
                    let text = egui::RichText::new("This file already exists.");
                    ui.label(text.color(ink(ui).error))
                }
                (None, false) => muted(
                    ui,
                    "Enter: continue. Tab: complete the path. Escape: \
                    cancel.",
                ),
            };
            ui.add_space(12.0);
            ui.horizontal(|ui| {
                let name = match (&prompt.dialog.want, replaces) {
                    (Want::Place(_), true) => "Replace",
                    (Want::Place(_), false) => "Save",
                    (Want::Files | Want::Folder, _) => "Open",
                };
                accepts = primary_button(ui, name, listed.problem.is_none()).clicked() || enter;
                closes = ui.button("Cancel").clicked();
            });
        });
        if typed.text != prompt.text {
            cx.intents.send(Intent::Path(PathCommand::Type(typed.text)));
        }
        if accepts {
            cx.intents.send(Intent::Path(PathCommand::Accept));
        } else if closes || modal.should_close() {
            cx.intents.send(Intent::Path(PathCommand::Cancel));
        }
    }
}

/// Offers completions; returns the one that was taken. `complete` takes the first.
fn completion(ui: &mut Ui, listed: &Listed, complete: bool) -> Option<String> {
    let mut taken = listed.completions.first().filter(|_| complete).cloned();
    for text in &listed.completions {
        let name = text.trim_end_matches(std::path::MAIN_SEPARATOR);
        let name = name.rsplit(std::path::MAIN_SEPARATOR).next().unwrap_or(name);
        let folder = if text.ends_with(std::path::MAIN_SEPARATOR) { "/" } else { "" };
        let button = egui::Button::new(format!("{name}{folder}")).frame(false);
        if ui.add(button).clicked() {
            taken = Some(text.clone());
        }
    }
    taken
}

fn put_cursor_at_end(ui: &Ui, id: egui::Id, text: &str) {
    if let Some(mut state) = egui::TextEdit::load_state(ui.ctx(), id) {
        let end = egui::text::CCursor::new(text.chars().count());
        state.cursor.set_char_range(Some(egui::text::CCursorRange::one(end)));
        state.store(ui.ctx(), id);
    }
}

/// Whether Enter was pressed anew: a held key must not answer the next question, too.
fn is_enter(ui: &Ui) -> bool {
    let is_it = |event: &egui::Event| {
        matches!(event, egui::Event::Key { key: Key::Enter, pressed: true, repeat: false, .. })
    };
    ui.input(|input| input.events.iter().any(is_it))
}

fn unsaved(cx: &PaneContext<'_>, ui: &Ui) {
    let Some(lost) = cx.confirm else { return };
    let name = cx.editor.map(|editor| editor.name()).unwrap_or_default();
    let writes = cx.tasks.iter().find_map(|task| task.writes).unwrap_or("writing");
    let (title, text, discard, cancel) = match lost {
        Lost::Walkthrough => (
            "Save the walkthrough?".to_owned(),
            format!("{name} has unsaved changes."),
            "Discard".to_owned(),
            "Cancel".to_owned(),
        ),
        Lost::Output => (
            format!("Stop {writes}?"),
            "The unfinished file will be deleted.".to_owned(),
            format!("Stop {writes}"),
            format!("Keep {writes}"),
        ),
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
            if ui.button(discard).clicked() {
                answer = Some(Answer::Discard);
            }
            if ui.button(cancel).clicked() {
                answer = Some(Answer::Cancel);
            }
        });
    });
    if modal.should_close() {
        answer = Some(Answer::Cancel);
    }
    if let Some(answer) = answer {
        cx.intents.send(Intent::Confirm(answer));
    }
}
