//! Saving a walkthrough, and not losing one.

use crate::ui::app::App;
use crate::ui::dialogs::{self, Dialog, Want};
use crate::ui::exports::{Kind, WRITES};
use crate::ui::tasks;
use std::path::PathBuf;

/// What is done when something is saved or given up.
type Then = Box<dyn FnOnce(&mut App) + Send>;

/// A question before something that would lose a walkthrough.
pub struct Confirm {
    /// What would be lost.
    pub of: Lost,
    then: Then,
}

/// What would be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Changes of the walkthrough.
    Walkthrough,
    /// A film or a pack that is being written.
    Film,
}

/// What is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Save it first.
    Save,
    /// It may be lost.
    Discard,
    /// Rather not.
    Cancel,
}

/// Does something that would lose the walkthrough: at once if it is saved, else after asking.
pub fn unless_unsaved(app: &mut App, then: impl FnOnce(&mut App) + Send + 'static) {
    if app.confirm.is_some() {
        app.notify("Answer the question first, then try again.", false);
    } else if app.editor.as_ref().is_some_and(super::Editor::is_unsaved) {
        app.confirm = Some(Confirm { of: Lost::Walkthrough, then: Box::new(then) });
    } else {
        then(app);
    }
}

/// Does something that would end a recording: at once if there is none, else after asking.
pub fn unless_recording(app: &mut App, then: impl FnOnce(&mut App) + Send + 'static) {
    if app.tasks.running().iter().any(|task| task.is_kept) {
        app.confirm = Some(Confirm { of: Lost::Film, then: Box::new(then) });
    } else {
        then(app);
    }
}

/// Goes on as was answered.
pub fn answer(app: &mut App, answer: Answer) {
    let Some(Confirm { then, .. }) = app.confirm.take() else { return };
    match answer {
        Answer::Save => save(app, Some(then)),
        Answer::Discard => then(app),
        Answer::Cancel => {}
    }
}

/// Saves the walkthrough to its file, or where the user says; then does something.
pub fn save(app: &mut App, then: Option<Then>) {
    match app.editor.as_ref().and_then(|editor| editor.path.clone()) {
        Some(path) => write(app, path, then),
        None => save_as(app, then),
    }
}

/// Saves the walkthrough where the user says; then does something.
pub fn save_as(app: &mut App, then: Option<Then>) {
    let Some(editor) = &app.editor else { return };
    let id = editor.id;
    let dialog = match editor.path.clone() {
        Some(path) => Dialog {
            want: Want::Place(path),
            ..Kind::Toml.dialog("Save the walkthrough under another name", "")
        },
        None => Kind::Toml.dialog("Save the walkthrough", "walkthrough"),
    };
    dialogs::ask_place(app, dialog, move |app, path| {
        // The place was chosen for this one.
        if app.editor.as_ref().is_some_and(|editor| editor.id == id) {
            write(app, path, then);
        }
    });
}

/// Packs the walkthrough with its traces where the user says.
pub fn pack(app: &mut App) {
    let Some(editor) = &app.editor else { return };
    let (walkthrough, traces) = (editor.walkthrough().clone(), editor.cast.traces.clone());
    let stem = editor.name().trim_end_matches(".toml").replace(' ', "-");
    let dialog = Dialog {
        title: "Pack the walkthrough with its traces",
        want: Want::Place(format!("{stem}.zip").into()),
        filters: &[("Pack", &["zip"])],
    };
    dialogs::ask_place(app, dialog, move |app, path| {
        tasks::start_kept(app, "Pack the walkthrough", move |_, _| {
            let packed = crate::record::pack(&walkthrough, &traces, &path)?;
            let megabytes = packed.bytes as f64 / 1e6;
            let text = format!("Packed {} ({megabytes:.1} MB).", path.display());
            Ok(Box::new(move |app: &mut App| app.notify(text, false)))
        });
    });
}

fn write(app: &mut App, path: PathBuf, then: Option<Then>) {
    let Some(editor) = &app.editor else { return };
    let (walkthrough, cast, id) = (editor.walkthrough().clone(), editor.cast.clone(), editor.id);
    app.exports.run_change(WRITES, move || {
        let written = cast.save(&walkthrough, &path)?;
        Ok(Some(Box::new(move |app: &mut App| {
            let traces = written.len();
            // Another one may have been opened meanwhile.
            if let Some(editor) = app.editor.as_mut().filter(|editor| editor.id == id) {
                editor.cast.remember(written);
                editor.saved = Some(walkthrough);
                editor.path = Some(path.clone());
            }
            app.settings.remember_file(&path);
            let beside = match traces {
                0 => String::new(),
                1 => ", with its answer beside it".into(),
                count => format!(", with its {count} answers beside it"),
            };
            app.notify(format!("Saved {}{beside}.", path.display()), false);
            // What was changed while it was written is asked about once more.
            if app.editor.as_ref().is_some_and(|editor| editor.id == id)
                && let Some(then) = then
            {
                unless_unsaved(app, then);
            }
        })))
    });
}
