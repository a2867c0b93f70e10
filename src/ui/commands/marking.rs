//! Commands of marking objects.

use super::{edit_picture, view};
use crate::ui::app::App;
use crate::ui::marking::MarkCommand;
use crate::view::{Command, Parts, ViewKind};

/// Takes up the tool that was used last, or puts it down.
pub fn toggle(app: &mut App) {
    let tool = if app.marking.tool.is_some() { None } else { Some(app.marking.last) };
    apply(app, MarkCommand::Tool(tool));
}

/// Carries out a command.
pub fn apply(app: &mut App, command: MarkCommand) {
    match command {
        MarkCommand::Tool(None) => {
            (app.marking.tool, app.marking.gesture, app.marking.renaming) = (None, None, None);
        }
        MarkCommand::Tool(Some(tool)) => {
            let Some(doc) = app.doc() else {
                return app
                    .notify("Ask about a picture first; then objects in it can be marked.", false);
            };
            if doc.extent.grids.is_empty() {
                let why = doc.meta().why_no_patches();
                return app.notify(format!("This trace {why}."), false);
            }
            if doc.state().view.spec().parts != Parts::Patches {
                view::show(app, ViewKind::Overlay);
            }
            app.show_view();
            edit_picture::take_up(app, None);
            (app.marking.tool, app.marking.last) = (Some(tool), tool);
        }
        MarkCommand::Brush(size) => app.marking.brush = Some(size.clamp(1.0, 4096.0)),
        MarkCommand::Gesture(gesture) => app.marking.gesture = gesture,
        MarkCommand::Rename(name) => app.marking.renaming = name,
    }
}

/// Deletes the chosen object.
pub fn delete(app: &mut App) {
    match app.doc().and_then(|doc| doc.state().object) {
        Some(index) => view::apply(app, &Command::RemoveObject(index)),
        None => app.notify("Choose an object first: press Y and click it.", false),
    }
}

/// Chooses the next object, after the last one none.
pub fn next(app: &mut App) {
    view::change(app, |state, _| {
        let next = state.object.map_or(0, |index| index + 1);
        Command::ChooseObject(((next as usize) < state.objects.len()).then_some(next))
    });
}

/// Types a new name for the chosen object.
pub fn rename(app: &mut App) {
    let name =
        app.doc().and_then(|doc| doc.state().chosen_object()).map(|object| object.name.clone());
    match name {
        Some(name) => {
            if app.marking.tool.is_none() {
                toggle(app);
            }
            app.marking.renaming = Some(name);
        }
        None => app.notify("Choose an object first: press Y and click it.", false),
    }
}
