//! Activation patching under *What if*: position × layer table of the residual stream or the MLPs, layer × head matrix,
//! filled in while the model runs.

use super::colors::ramp;
use crate::analysis::patching::{PatchResult, Site};
use crate::gpu::colormap;
use crate::model::BlankFill;
use crate::trace::AnswerIndex;
use crate::ui::document::Document;
use crate::ui::intent::Intent;
use crate::ui::pane::PaneContext;
use crate::ui::theme;
use crate::ui::what_if::WhatIfCommand;
use crate::ui::what_if::patching::{OtherPicture, PatchAsk, TASK};
use crate::ui::widgets::{Mark, frame_over_data, heading, ink, muted, segments, text_in};
use crate::ui::wording::in_window;
use crate::view::figure::{Ink, decimal, labelled, step_for, text_width, token_name};
use crate::view::{ColorMap, Command, PatchTable, Theme, ViewKind};
use egui::{Align2, Rect, Role, Sense, Ui, WidgetInfo, pos2, vec2};
use std::sync::Arc;

/// The activations that can be copied, with their names.
pub const SITES: [(Site, &str, &str); 3] = [
    (Site::Residual, "Residual stream", "The input of a layer at a group of positions"),
    (Site::Mlp, "MLPs", "The output of a layer's MLP at a group of positions"),
    (Site::Heads, "Heads", "The output of a head"),
];
/// Height of a row of the table, and of the names of its columns.
const ROW: f32 = 20.0;
const NAMES: f32 = 18.0;

/// The choices of the section.
#[derive(Clone, Copy, Debug)]
pub struct PatchingSection {
    site: Site,
    /// The chosen picture; `None`: that of the comparison, or a blank.
    other: Option<OtherPicture>,
    /// Whether estimates are shown where exact values are known, too.
    shows_estimate: bool,
    /// Whether a table was asked for that is not shown yet.
    is_awaited: bool,
}

impl Default for PatchingSection {
    fn default() -> Self {
        Self { site: Site::Residual, other: None, shows_estimate: false, is_awaited: false }
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
        let is_on_stage = doc.state().view == ViewKind::Patch;
        // The table on the stage and the one in the panel are the same.
        self.site = doc.state().site.filter(|_| is_on_stage).unwrap_or(self.site);
        if let Some(site) = ui.horizontal(|ui| segments(ui, self.site, &choices)).inner {
            self.site = site;
            if is_on_stage {
                cx.intents.command(Command::SetSite(site));
            }
        }
        let found = table(cx, doc, answer, self.site);
        ui.horizontal_wrapped(|ui| {
            let other = self.other_picture(cx, ui, doc);
            let known = found.as_ref().ok().and_then(Option::as_deref);
            if let Some(is_preview) = buttons(cx, ui, doc, known) {
                let ask = PatchAsk { site: self.site, other, is_preview };
                self.is_awaited = !found.as_ref().is_ok_and(Option::is_some);
                cx.intents.send(Intent::WhatIf(WhatIfCommand::Patch(ask)));
            }
        });
        match found {
            Ok(Some(result)) => {
                agreement(ui, &result, &mut self.shows_estimate);
                let is_estimate =
                    result.done() == 0 || self.shows_estimate && !result.estimates.is_empty();
                let has_begun = std::mem::take(&mut self.is_awaited);
                draw(cx, ui, doc, &PatchTable::new(&result, is_estimate), has_begun);
                on_stage(cx, ui, doc, self.site);
            }
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
        let prompt = doc.prompt_ids();
        let fits = |other: &&Document| {
            other.id != doc.id
                && !other.live
                && other.meta().model == doc.meta().model
                && other.prompt_ids() == prompt
        };
        for other in cx.docs.iter().filter(fits) {
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

/// The button that shows the table on the stage, beside the picture.
fn on_stage(cx: &PaneContext<'_>, ui: &mut Ui, doc: &Document, site: Site) {
    let is_there = doc.state().view == ViewKind::Patch;
    let button = ui.add_enabled(!is_there, egui::Button::new("Show on the stage"));
    if button.on_hover_text("The table beside the picture, as a figure that can be saved").clicked()
    {
        cx.intents.command(Command::SetSite(site));
        cx.intents.command(Command::SetView(ViewKind::Patch));
    }
}

/// The buttons: exact values, or the first-order estimate.
fn buttons(
    cx: &PaneContext<'_>,
    ui: &mut Ui,
    doc: &Document,
    known: Option<&PatchResult>,
) -> Option<bool> {
    let running = cx.tasks.iter().any(|task| task.title == TASK);
    let is_enabled = !running && !doc.live;
    let has_begun = known.is_some_and(|known| known.done() > 0 && !known.is_complete());
    let title = match (running, has_begun) {
        (true, _) => "Copying…",
        (false, true) => "Continue",
        (false, false) => "Copy",
    };
    let mut chosen = None;
    let exact = ui.add_enabled(is_enabled, egui::Button::new(title));
    if exact.on_hover_text("Copies one place at a time; what is stopped can be continued").clicked()
    {
        chosen = Some(false);
    }
    let preview = ui.add_enabled(is_enabled, egui::Button::new("Preview"));
    let hint = "First-order estimate of every place, from one backward pass (attribution patching)";
    if preview.on_hover_text(hint).clicked() {
        chosen = Some(true);
    }
    chosen
}

/// The choice between exact values and estimates where both are known, and how well they agree.
fn agreement(ui: &mut Ui, result: &PatchResult, shows_estimate: &mut bool) {
    if result.estimates.is_empty() {
        return;
    }
    if result.done() == 0 {
        muted(
            ui,
            "First-order estimate: where the model is far from linear it is poor. Copy computes the exact values.",
        );
        return;
    }
    let choices = [
        (false, "Exact", "Measured by copying".to_owned()),
        (true, "Estimate", "First-order estimate from one backward pass".to_owned()),
    ];
    let chosen = ui.horizontal(|ui| segments(ui, *shows_estimate, &choices)).inner;
    *shows_estimate = chosen.unwrap_or(*shows_estimate);
    if let Some(correlation) = result.correlation() {
        let of = if result.is_complete() { "" } else { " so far" };
        let text = format!(
            "The first-order estimate correlates with the exact values: {}{of}",
            decimal(correlation, 2)
        );
        muted(ui, text);
    }
}

/// The meaning of the colours.
fn key(ui: &mut Ui) {
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 6.0;
        muted(ui, "−1");
        let (rect, _) = ui.allocate_exact_size(vec2(72.0, 8.0), Sense::hover());
        ramp(ui, ColorMap::Coolwarm, rect);
        muted(ui, "1 as with this picture; 0 as with the other");
    });
}

/// Place and value of a cell for a reader.
pub fn cell_text(table: &PatchTable, row: usize, column: u32) -> (String, String) {
    let value = table.value(row, column).map(|value| decimal(f64::from(value), 3));
    let text = match (value, table.is_estimate) {
        (Some(value), false) => format!("{value} of the answer returns"),
        (Some(value), true) => format!("{value} of the answer returns by estimate"),
        (None, _) => "not computed yet".to_owned(),
    };
    (table.place(row, column), text)
}

/// The pointer is on a cell: its patches are marked on the stage and its words in the strip; a click shows its layer, or
/// its head.
pub fn point(
    cx: &PaneContext<'_>,
    doc: &Document,
    table: &PatchTable,
    (row, column): (usize, u32),
    is_clicked: bool,
) {
    let Some(of_row) = table.rows.get(row) else { return };
    if !is_clicked {
        cx.mark_positions(&of_row.positions);
        cx.preview(Command::SelectPatches(of_row.patches(doc.meta())));
        return;
    }
    match of_row.layer {
        Some(layer) => {
            cx.intents.command(Command::SetLayerHead(layer, column));
            cx.intents.command(Command::SetView(ViewKind::Overlay));
        }
        None => {
            let command = WhatIfCommand::ShowPatched(table.site, column);
            cx.intents.send(Intent::WhatIf(command));
        }
    }
}

/// Draws the table; one whose run `has_begun` just now is scrolled to.
fn draw(cx: &PaneContext<'_>, ui: &mut Ui, doc: &Document, table: &PatchTable, has_begun: bool) {
    let (rows, columns) = (table.rows.len(), table.columns);
    if columns == 0 || rows == 0 {
        return;
    }
    let ink = ink(ui);
    let size = vec2(ui.available_width(), NAMES + ROW * rows as f32);
    let (whole, response) = ui.allocate_exact_size(size, Sense::click());
    if has_begun {
        ui.scroll_to_rect(whole, None);
    }
    let name = match table.site {
        Site::Heads => "Copied heads: layer × head",
        Site::Residual | Site::Mlp => "Copied activations: position × layer",
    };
    response.widget_info(|| WidgetInfo::labeled(Role::Unknown, true, name));
    let font = || theme::plain(11.0);
    let widest =
        table.rows.iter().map(|row| text_width(&row.name, false) * 11.0).fold(0.0, f32::max);
    let names = (widest + 12.0).clamp(44.0, whole.width() * 0.34);
    let width = (whole.width() - names) / columns as f32;
    let cell = |row: usize, column: u32| {
        let min = whole.min + vec2(names + width * column as f32, NAMES + ROW * row as f32);
        Rect::from_min_size(min, vec2(width, ROW)).shrink(if width > 6.0 { 0.5 } else { 0.0 })
    };
    let of = if ui.visuals().dark_mode { Theme::Dark } else { Theme::Light };
    let map = ColorMap::Coolwarm;
    let color = |ink| theme::color(of.palette().color(ink, |at| colormap::color(map, at)));
    let digits = (columns.saturating_sub(1)).to_string().len() as f32;
    for column in labelled(columns, &[], step_for(width, digits * 7.0 + 4.0)) {
        let middle = cell(0, column).center().x;
        let place = Rect::from_min_max(
            pos2(middle - 16.0, whole.top()),
            pos2(middle + 16.0, whole.top() + NAMES),
        );
        text_in(ui, place, Align2::CENTER_CENTER, &column.to_string(), font(), ink.muted);
    }
    let [of_rows, of_columns] = table.axes();
    let both = format!("{of_rows} ↓ {of_columns} →");
    let corner_text = match text_width(&both, false) * 11.0 <= names - 6.0 {
        true => both,
        false => format!("{of_columns} →"),
    };
    let corner = Rect::from_min_size(whole.min, vec2(names - 6.0, NAMES));
    text_in(ui, corner, Align2::RIGHT_CENTER, &corner_text, font(), ink.muted);
    for (row, of_row) in table.rows.iter().enumerate() {
        let label =
            Rect::from_min_size(pos2(whole.left(), cell(row, 0).top()), vec2(names - 6.0, ROW));
        text_in(ui, label, Align2::RIGHT_CENTER, &of_row.name, font(), ink.muted);
        for column in 0..columns {
            let (rect, share) = (cell(row, column), table.value(row, column));
            let shade = share.map(PatchTable::shade);
            let fill = shade.map_or(ink.raised, |shade| color(Ink::Map(shade)));
            ui.painter().rect_filled(rect, 1.0, fill);
            if let Some((share, shade)) = share.zip(shade).filter(|_| width >= 30.0) {
                let text = decimal(f64::from(share), 2);
                let color = color(Ink::OnMap(shade));
                text_in(ui, rect, Align2::CENTER_CENTER, &text, font(), color);
            }
        }
    }
    let at = response.hover_pos().map(|at| at - whole.min - vec2(names, NAMES));
    let hovered = at.filter(|at| at.x >= 0.0 && at.y >= 0.0).map(|at| {
        (((at.y / ROW) as usize).min(rows - 1), ((at.x / width) as u32).min(columns - 1))
    });
    let Some((row, column)) = hovered else {
        let numbers = table.numbers();
        let [own, other] = table.logprobs;
        let state = if numbers.done < numbers.places {
            format!("{} of {} places", numbers.done, numbers.places)
        } else {
            let [own, other] = [own, other].map(|logprob| decimal(f64::from(logprob), 2));
            format!("log p {own} here, {other} with {}", table.other)
        };
        key(ui);
        muted(ui, state);
        return;
    };
    frame_over_data(ui, cell(row, column), Mark::Hovered);
    let (place, value) = cell_text(table, row, column);
    muted(ui, format!("{place}: {value}"));
    point(cx, doc, table, (row, column), response.clicked());
}
