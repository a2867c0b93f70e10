//! Activation patching under *What if*: layer × position table of the residual stream or the MLPs, layer × head matrix,
//! filled in while the model runs.

use super::colors::color_of;
use crate::analysis::patching::{PatchResult, Site};
use crate::model::BlankFill;
use crate::trace::{AnswerIndex, PatchRef};
use crate::ui::document::Document;
use crate::ui::intent::Intent;
use crate::ui::pane::PaneContext;
use crate::ui::theme;
use crate::ui::what_if::WhatIfCommand;
use crate::ui::what_if::patching::{OtherPicture, PatchAsk, TASK};
use crate::ui::widgets::{Mark, frame_over_data, heading, ink, muted, segments, text_in};
use crate::ui::wording::in_window;
use crate::view::figure::{decimal, head_name, token_name};
use crate::view::{ColorMap, Command};
use egui::{Align2, Color32, Rect, Role, Sense, Ui, WidgetInfo, pos2, vec2};
use std::sync::Arc;

const SITES: [(Site, &str, &str); 3] = [
    (Site::Residual, "Residual stream", "The input of a layer at a group of positions"),
    (Site::Mlp, "MLPs", "The output of a layer's MLP at a group of positions"),
    (Site::Heads, "Heads", "The output of a head at the last position"),
];
/// Height of a row of the table, and of the names of its columns.
const ROW: f32 = 20.0;
const NAMES: f32 = 18.0;
/// Width of the numbers of layers.
const NUMBERS: f32 = 24.0;

/// The choices of the section.
#[derive(Clone, Copy, Debug)]
pub struct PatchingSection {
    site: Site,
    /// The chosen picture; `None`: that of the comparison, or a blank.
    other: Option<OtherPicture>,
}

impl Default for PatchingSection {
    fn default() -> Self {
        Self { site: Site::Residual, other: None }
    }
}

impl PatchingSection {
    /// Draws the section.
    pub fn show(&mut self, cx: &PaneContext<'_>, ui: &mut Ui, doc: &Document) {
        heading(ui, "Copied activations", |_| ());
        let Ok(answer) = doc.extent.causal_answer(&doc.state().map.queries) else {
            muted(ui, "Choose a word of the answer.");
            return;
        };
        let word = token_name(&doc.meta().tokens, (doc.meta().prompt_len + answer.0) as usize);
        muted(
            ui,
            format!(
                "Activations of this answer are copied into the run on another picture, one place \
                at a time: how much of “{}” returns?",
                word.unwrap_or_default()
            ),
        );
        let choices = SITES.map(|(site, name, hint)| (site, name, hint.to_owned()));
        let chosen = ui.horizontal(|ui| segments(ui, self.site, &choices)).inner;
        self.site = chosen.unwrap_or(self.site);
        let running = cx.tasks.iter().any(|task| task.title == TASK);
        ui.horizontal_wrapped(|ui| {
            let other = self.other_picture(cx, ui, doc);
            let title = if running { "Copying…" } else { "Copy" };
            let enabled = !running && !doc.live;
            if ui.add_enabled(enabled, egui::Button::new(title)).clicked() {
                let ask = PatchAsk { site: self.site, other };
                cx.intents.send(Intent::WhatIf(WhatIfCommand::Patch(ask)));
            }
        });
        match table(cx, doc, answer, self.site) {
            Ok(Some(result)) => draw(cx, ui, doc, &result),
            Ok(None) => {}
            Err(reason) => {
                muted(ui, reason);
            }
        }
    }

    /// The choice of the other picture: a blank, or that of any other answer.
    fn other_picture(&mut self, cx: &PaneContext<'_>, ui: &mut Ui, doc: &Document) -> OtherPicture {
        let mut choices = vec![
            (OtherPicture::Blank(BlankFill::Mean), "Blank: mean colour".to_owned()),
            (OtherPicture::Blank(BlankFill::Blur), "Blank: blurred".to_owned()),
        ];
        for other in cx.docs.iter().filter(|other| other.id != doc.id && !other.live) {
            let file = other.meta().preprocess.first().map(|info| info.file_name.clone());
            let edited = if other.is_edited { ", edited" } else { "" };
            let name = format!("{}{edited} · {}", file.unwrap_or_default(), other.meta().answer);
            choices.push((OtherPicture::Answer(other.id), name));
        }
        let compared = cx.what_if.comparison.as_ref().filter(|both| both.first == doc.id);
        let compared = compared.map(|both| OtherPicture::Answer(both.second));
        let is_offered = |wanted: &OtherPicture| choices.iter().any(|(other, _)| other == wanted);
        let now = self.other.or(compared).filter(is_offered).unwrap_or(choices[0].0);
        let shown = choices.iter().find(|(other, _)| *other == now);
        egui::ComboBox::from_id_salt("other picture")
            .width(200.0)
            .selected_text(shown.map_or("", |(_, name)| name))
            .truncate()
            .show_ui(ui, |ui| {
                for (other, name) in &choices {
                    if ui.selectable_label(*other == now, name).clicked() {
                        self.other = Some(*other);
                    }
                }
            })
            .response
            .widget_info(|| WidgetInfo::labeled(Role::ComboBox, true, "Other picture"));
        self.other.filter(is_offered).unwrap_or(now)
    }
}

/// The table that is being filled in, or the one that the trace holds.
fn table(
    cx: &PaneContext<'_>,
    doc: &Document,
    answer: AnswerIndex,
    site: Site,
) -> Result<Option<Arc<PatchResult>>, String> {
    let own = cx.what_if.patching.as_ref().filter(|patching| {
        let result = &patching.result;
        patching.of == doc.id && (result.token, result.site) == (answer.0, site)
    });
    let own = own.map(|patching| Arc::clone(&patching.result));
    let is_running = cx.tasks.iter().any(|task| task.title == TASK);
    if is_running && own.is_some() {
        return Ok(own);
    }
    // A table that was stopped stands back behind one that the trace holds.
    let stored = cx.values.stored_patching(doc, answer, site);
    stored.map(|stored| stored.or(own)).map_err(|error| in_window(&error.to_string()).0)
}

/// The colour of a share: 0 is neutral, 1 red, less than 0 blue.
fn color(share: Option<f32>, unknown: Color32) -> Color32 {
    share.map_or(unknown, |share| color_of(ColorMap::Coolwarm, 0.5 + 0.5 * share.clamp(-1.0, 1.0)))
}

fn draw(cx: &PaneContext<'_>, ui: &mut Ui, doc: &Document, result: &PatchResult) {
    let is_heads = result.site == Site::Heads;
    let columns = if is_heads { result.heads as usize } else { result.groups.len() };
    let rows = result.layers as usize;
    if columns == 0 || rows == 0 {
        return;
    }
    let ink = ink(ui);
    let size = vec2(ui.available_width(), NAMES + ROW * rows as f32);
    let (whole, response) = ui.allocate_exact_size(size, Sense::click());
    let name = if is_heads {
        "Copied heads: layer × head"
    } else {
        "Copied activations: layer × position"
    };
    response.widget_info(|| WidgetInfo::labeled(Role::Unknown, true, name));
    let width = (whole.width() - NUMBERS) / columns as f32;
    let cell = |row: usize, column: usize| {
        let min = whole.min + vec2(NUMBERS + width * column as f32, NAMES + ROW * row as f32);
        Rect::from_min_size(min, vec2(width, ROW)).shrink(0.5)
    };
    let index = |row: usize, column: usize| {
        let (group, head) = if is_heads { (0, column as u32) } else { (column, 0) };
        result.cell(group, row as u32, head)
    };
    let share = |row, column| index(row, column).and_then(|cell| result.restored(cell));
    let font = || theme::plain(11.0);
    for column in 0..columns {
        let place = Rect::from_min_size(cell(0, column).min - vec2(0.0, NAMES), vec2(width, NAMES));
        let number = column.to_string();
        let text = if is_heads { &number } else { &result.groups[column].name };
        text_in(ui, place, Align2::CENTER_CENTER, text, font(), ink.muted);
    }
    for row in 0..rows {
        let label =
            Rect::from_min_size(pos2(whole.left(), cell(row, 0).top()), vec2(NUMBERS - 4.0, ROW));
        text_in(ui, label, Align2::RIGHT_CENTER, &row.to_string(), font(), ink.muted);
        for column in 0..columns {
            let (rect, share) = (cell(row, column), share(row, column));
            ui.painter().rect_filled(rect, 1.0, color(share, ink.raised));
            if let Some(share) = share.filter(|_| width >= 30.0) {
                let strong = share.abs() > 0.6;
                let color = if strong { Color32::WHITE } else { Color32::from_gray(30) };
                let text = decimal(f64::from(share), 2);
                text_in(ui, rect, Align2::CENTER_CENTER, &text, font(), color);
            }
        }
    }
    let at = response.hover_pos().map(|at| at - whole.min - vec2(NUMBERS, NAMES));
    let hovered = at.filter(|at| at.x >= 0.0 && at.y >= 0.0).map(|at| {
        (((at.y / ROW) as usize).min(rows - 1), ((at.x / width) as usize).min(columns - 1))
    });
    let Some((row, column)) = hovered else {
        let state = if result.done() < result.patched.len() {
            format!("{} of {} places", result.done(), result.patched.len())
        } else {
            format!(
                "log p {:.2} here, {:.2} with {}",
                result.logprob_a, result.logprob_b, result.other
            )
        };
        muted(ui, format!("0 as with the other picture, 1 as with this one · {state}"));
        return;
    };
    frame_over_data(ui, cell(row, column), Mark::Hovered);
    let value = share(row, column)
        .map_or_else(|| "not computed yet".into(), |share| decimal(f64::from(share), 3));
    if is_heads {
        muted(
            ui,
            format!("{}: {value} of the answer returns", head_name(row as u32, column as u32)),
        );
        if response.clicked() {
            cx.intents.command(Command::SetLayerHead(row as u32, column as u32));
        }
        return;
    }
    let group = &result.groups[column];
    muted(ui, format!("layer {row}, {}: {value} of the answer returns", group.name));
    if response.clicked() {
        let command = WhatIfCommand::ShowPatched(result.site, row as u32);
        cx.intents.send(Intent::WhatIf(command));
    } else {
        let patches: Vec<PatchRef> =
            group.positions.iter().filter_map(|&key| doc.meta().patch_of_key(key)).collect();
        cx.preview(Command::SelectPatches(patches));
    }
}
