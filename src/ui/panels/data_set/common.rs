//! Functions that the parts of the table's view share.

use crate::table::statistics::column_title;
use crate::ui::data_set::{Axis, DataSetDoc, DataSetView};
use crate::ui::intent::{DataSetCommand, Intent};
use crate::ui::pane::PaneContext;
use crate::ui::widgets::capital;
use crate::view::figure::{decimal, head_name};

/// Shows something else of the table.
pub fn change(cx: &PaneContext<'_>, doc: &DataSetDoc, change: impl FnOnce(&mut DataSetView)) {
    let mut view = doc.view().clone();
    change(&mut view);
    send(cx, DataSetCommand::View(Box::new(view)));
}

/// Sends a command for tables.
pub fn send(cx: &PaneContext<'_>, command: DataSetCommand) {
    cx.intents.send(Intent::DataSet(command));
}

/// The name of an axis.
pub fn axis_name(axis: &Axis, doc: &DataSetDoc) -> String {
    match axis {
        Axis::Column(name) => capital(column_title(name)),
        Axis::Heads => {
            let title = capital(doc.heads_column().title());
            match doc.view().heads.as_slice() {
                [] if doc.numbers().is_none() => format!("{title}, chosen head"),
                [] => format!("{title}, mean of the heads"),
                [[layer, head]] => format!("{title}, {}", head_name(*layer, *head)),
                several => format!("{title}, {} heads", several.len()),
            }
        }
    }
}

/// A list of axes to choose from. Conditions name a column as the file does: its name stands beside its title.
pub fn axes(
    ui: &mut egui::Ui,
    doc: &DataSetDoc,
    chosen: &Axis,
    offered: Vec<Axis>,
) -> Option<Axis> {
    let mut clicked = None;
    for axis in offered {
        let title = axis_name(&axis, doc);
        let mut button = egui::Button::selectable(axis == *chosen, &title);
        if let Axis::Column(name) = &axis
            && *name != title.to_lowercase()
        {
            button = button.shortcut_text(name.clone());
        }
        if ui.add(button).clicked() {
            clicked = Some(axis);
        }
    }
    clicked
}

/// A description of a sample, for a hover text.
pub fn description(doc: &DataSetDoc, row: usize) -> String {
    let samples = doc.samples();
    let text = |name: &str| samples.text(name, row).unwrap_or_default().trim().to_owned();
    let mut lines = vec![text("question"), text("answer")];
    if let Some(expected) = samples.text("expected", row) {
        let verdict = match samples.correct(row) {
            Some(true) => "right, expected: ",
            Some(false) => "wrong, expected: ",
            None => "expected: ",
        };
        lines.push(format!("{verdict}{expected}"));
    }
    let logprob = samples.number("logprob", row);
    if logprob.is_finite() {
        lines.push(format!("log-probability {}", decimal(logprob, 2)));
    }
    lines.push(samples.name(row).to_owned());
    if let Some(note) = doc.tiles.get(row).and_then(|tile| tile.note.as_ref()) {
        lines.push(note.clone());
    }
    lines.join("\n")
}
