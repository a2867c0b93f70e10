//! Functions that the parts of the table's view share.

use crate::ui::data_set::{Axis, DataSetDoc, DataSetView};
use crate::ui::intent::{DataSetCommand, Intent};
use crate::ui::pane::PaneContext;
use crate::view::figure::head_name;

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
        Axis::Column(name) => name.clone(),
        Axis::Heads => {
            let title = doc.heads_column().name();
            match doc.view().heads.as_slice() {
                [] => format!("{title} of all heads"),
                [[layer, head]] => format!("{title} of {}", head_name(*layer, *head)),
                several => format!("{title} of {} heads", several.len()),
            }
        }
    }
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
        lines.push(format!("log-probability {logprob:.2}"));
    }
    lines.push(samples.name(row).to_owned());
    if let Some(note) = doc.tiles.get(row).and_then(|tile| tile.note.as_ref()) {
        lines.push(note.clone());
    }
    lines.join("\n")
}
