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

/// Completions of a typed path, and what it names.
struct Listed {
    text: String,
    completions: Vec<String>,
    /// The completion that the arrow keys have chosen.
    chosen: Option<usize>,
    problem: Option<String>,
    /// Number of traces in the folder.
    traces: Option<usize>,
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
    fn look_up(&mut self, prompt: &Prompt) -> &mut Listed {
        let listed = self.listed.take().filter(|listed| listed.text == prompt.text);
        self.listed.insert(listed.unwrap_or_else(|| Listed {
            text: prompt.text.clone(),
            completions: prompt.completions(),
            chosen: None,
            problem: prompt.problem(),
            traces: prompt.traces(),
        }))
    }

    fn path(&mut self, cx: &PaneContext<'_>, ui: &Ui, prompt: &Prompt) {
        let mut typed = prompt.clone();
        let (mut accepts, mut closes) = (false, false);
        let modal = question(ui, "path", WIDTH, |ui| {
            ui.label(theme::strong_text(prompt.dialog.title, theme::LARGE));
            ui.add_space(8.0);
            let pressed = |key| ui.input_mut(|input| input.consume_key(Modifiers::NONE, key));
            let complete = pressed(Key::Tab);
            let step = isize::from(pressed(Key::ArrowDown)) - isize::from(pressed(Key::ArrowUp));
            let edit = egui::TextEdit::singleline(&mut typed.text)
                .desired_width(f32::INFINITY)
                .margin(vec2(8.0, 6.0));
            let response = ui.add(edit).accessible_name("Path");
            if response.changed() {
                typed.replaces = None;
            }
            let mut enter = is_enter(ui);
            response.request_focus();
            ui.add_space(4.0);
            ui.spacing_mut().item_spacing.y = 0.0;
            let listed = self.look_up(&typed);
            listed.step(step);
            if let Some(text) =
                completion(ui, listed, complete || (enter && listed.chosen.is_some()))
            {
                // Enter has chosen a completion, and does not open it yet.
                enter = false;
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
                (None, false) => match listed.traces {
                    Some(1) => muted(ui, "Enter: open the trace in this folder."),
                    Some(count) => {
                        muted(ui, format!("Enter: open the {count} traces in this folder."))
                    }
                    None => muted(
                        ui,
                        "Enter: continue. Tab or ↓: complete the path. Escape: \
                        cancel.",
                    ),
                },
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

impl Listed {
    /// Chooses the next completion, or the previous one if `by` is negative; before the first is none.
    fn step(&mut self, by: isize) {
        if by == 0 {
            return;
        }
        let next = self.chosen.map_or(-1, |at| at as isize) + by;
        let last = self.completions.len() as isize - 1;
        self.chosen = usize::try_from(next.min(last)).ok();
    }
}

/// Offers completions; returns the one that was taken. `complete` takes the chosen one, or the first.
fn completion(ui: &mut Ui, listed: &Listed, complete: bool) -> Option<String> {
    let chosen = listed.chosen.unwrap_or(0);
    let mut taken = listed.completions.get(chosen).filter(|_| complete).cloned();
    // The chosen one stays in sight.
    let from = (chosen + 1).saturating_sub(COMPLETIONS);
    let shown = listed.completions.iter().enumerate().skip(from).take(COMPLETIONS);
    for (at, text) in shown {
        let name = text.trim_end_matches(std::path::MAIN_SEPARATOR);
        let name = name.rsplit(std::path::MAIN_SEPARATOR).next().unwrap_or(name);
        let folder = if text.ends_with(std::path::MAIN_SEPARATOR) { "/" } else { "" };
        let is_chosen = listed.chosen == Some(at);
        let response = ui.selectable_label(is_chosen, format!("{name}{folder}"));
        if response.on_hover_cursor(egui::CursorIcon::PointingHand).clicked() {
            taken = Some(text.clone());
        }
    }
    let rest = listed.completions.len() - listed.completions.len().min(from + COMPLETIONS);
    if rest > 0 {
        muted(ui, format!("{rest} more: type the first letters, or press ↓"));
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
