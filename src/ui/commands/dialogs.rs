//! Asking for paths: with the desktop's dialog, or in the window.

use crate::ui::app::App;
use crate::ui::dialogs::{Dialog, Prompt, Want, ask_desktop, has_desktop_dialogs};
use crate::ui::task_result::{PathPurpose, PathQuestion, TaskResult};
use std::path::PathBuf;

/// Asks for paths; they arrive between two frames as [`TaskResult::Paths`]. Closing a dialog without a choice sends
/// nothing.
pub fn ask(app: &mut App, dialog: Dialog, purpose: PathPurpose) {
    if app.asks_in_window {
        return ask_in_window(app, PathQuestion { dialog, purpose, chosen: None });
    }
    let asked = ask_desktop(&dialog);
    app.exports.run("dialog", move || {
        if !has_desktop_dialogs() {
            let question = PathQuestion { dialog, purpose, chosen: None };
            return Ok(TaskResult::AskInWindow(Box::new(question)));
        }
        let Some(paths) = asked().filter(|paths| !paths.is_empty()) else {
            return Ok(TaskResult::Nothing);
        };
        let completed: Vec<PathBuf> =
            paths.iter().map(|path| dialog.completed(path.clone())).collect();
        // The desktop asked about the path without its ending, not about this file.
        let other = completed.iter().zip(&paths).find(|(to, chosen)| to != chosen && to.exists());
        if let Some((to, _)) = other {
            let chosen = Some(to.clone());
            let question = PathQuestion { dialog, purpose, chosen };
            return Ok(TaskResult::AskInWindow(Box::new(question)));
        }
        Ok(TaskResult::Paths(Box::new(purpose), completed))
    });
}

/// Asks in the window; for a path that was chosen already it asks whether to replace the file.
pub fn ask_in_window(app: &mut App, question: PathQuestion) {
    let PathQuestion { dialog, purpose, chosen } = question;
    let mut prompt = Prompt::new(dialog);
    if let Some(chosen) = chosen {
        prompt.text = chosen.display().to_string();
        prompt.replaces = Some(chosen);
    }
    (app.prompt, app.prompt_purpose) = (Some(prompt), Some(purpose));
}

/// Closes the question.
pub fn cancel(app: &mut App) -> bool {
    app.prompt_purpose = None;
    app.prompt.take().is_some()
}

/// Sets the typed path.
pub fn type_path(app: &mut App, text: String) {
    if let Some(prompt) = &mut app.prompt {
        prompt.text = text;
        prompt.replaces = None;
    }
}

/// Accepts the typed path if it is valid; for a file that exists it asks first.
pub fn accept(app: &mut App) -> Option<(PathPurpose, PathBuf)> {
    let prompt = app.prompt.as_mut()?;
    if prompt.problem().is_some() {
        return None;
    }
    let path = prompt.path();
    let is_place = matches!(prompt.dialog.want, Want::Place(_));
    if is_place && path.exists() && prompt.replaces.as_ref() != Some(&path) {
        prompt.replaces = Some(path);
        return None;
    }
    app.prompt = None;
    Some((app.prompt_purpose.take()?, path))
}
