//! The exact values: the strongest patches, the answer token's alternatives.

use crate::trace::{AnswerIndex, PatchRef, Trace};
use crate::ui::document::Document;
use crate::ui::intent::Intent;
use crate::ui::pane::{PaneContext, PaneUi};
use crate::ui::shortcuts::UiCommand;
use crate::ui::theme;
use crate::ui::value_cache::{index_of, range_of};
use crate::ui::widgets::{heading, ink, muted, text_in};
use crate::view::figure::{decimal, number, percent, range_text, token_name, token_text};
use crate::view::{Command, QueryKind, Shown, patch_name};
use egui::{Align2, Rect, Role, Sense, Ui, WidgetInfo, pos2, vec2};

const TOP_PATCHES: usize = 8;
const ROW: f32 = 20.0;

/// The exact values.
#[derive(Default)]
pub struct Numbers;

impl PaneUi for Numbers {
    fn ui(&mut self, cx: &PaneContext<'_>, ui: &mut Ui) {
        let Some(doc) = cx.current else {
            muted(ui, "Exact values of the map on the stage.");
            return;
        };
        egui::ScrollArea::vertical().id_salt("numbers").show(ui, |ui| {
            patches(cx, ui, doc);
            ui.add_space(2.0 * theme::GRID);
            alternatives(cx, ui, doc);
        });
    }
}

fn patches(cx: &PaneContext<'_>, ui: &mut Ui, doc: &Document) {
    let copy = heading(ui, "Strongest patches", |ui| {
        ui.small_button("Copy CSV").on_hover_text(UiCommand::CopyNumbers.name()).clicked()
    });
    if copy {
        cx.intents.act(UiCommand::CopyNumbers);
    }
    let shown = cx.shown;
    let values = cx.map(doc);
    if values.is_empty() {
        let text = match cx.stage.is_waiting() {
            true => "Waiting for attention from the other machine.".to_owned(),
            false => format!("This trace {}.", doc.meta().why_no_patches()),
        };
        muted(ui, text);
        return;
    }
    // Of the views that are shown; indices count over all views.
    let views = Shown::new(shown, &doc.trace).views;
    let mut order: Vec<usize> = Vec::new();
    let mut first = 0;
    for (view, span) in doc.meta().spans.iter().enumerate() {
        let end = (first + span.patches()).min(values.len());
        if views.contains(&view) {
            order.extend(first..end);
        }
        first = end;
    }
    let total: f32 = order.iter().map(|&index| values[index]).sum();
    let seen: Vec<f32> = order.iter().map(|&index| values[index]).collect();
    let [low, high] = range_of(&seen).map(f64::from);
    // Of values with two signs, the strongest is the one that is furthest from 0.
    let is_signed = low < 0.0;
    let strength = |index: usize| if is_signed { values[index].abs() } else { values[index] };
    let most = if is_signed { low.abs().max(high.abs()) } else { high };
    muted(
        ui,
        format!(
            "{} · sum {} · {} patches",
            range_text([low, high]),
            number(f64::from(total), f64::from(total)),
            order.len()
        ),
    );
    if let Some(index) = shown.hovered.and_then(|patch| index_of(&doc.trace, patch))
        && let (Some(value), Some(patch)) = (values.get(index), shown.hovered)
    {
        patch_row(cx, ui, doc, (patch, *value), most as f32, true);
    }
    let count = TOP_PATCHES.min(order.len());
    if count < order.len() {
        order.select_nth_unstable_by(count, |&a, &b| strength(b).total_cmp(&strength(a)));
    }
    order.truncate(count);
    order.sort_by(|&a, &b| strength(b).total_cmp(&strength(a)).then(a.cmp(&b)));
    for index in order {
        if let Some(patch) = doc.meta().patch_at(index) {
            patch_row(cx, ui, doc, (patch, values[index]), most as f32, false);
        }
    }
}

fn patch_row(
    cx: &PaneContext<'_>,
    ui: &mut Ui,
    doc: &Document,
    (patch, value): (PatchRef, f32),
    high: f32,
    hovered: bool,
) {
    let name = patch_name(doc.meta(), patch);
    let on = cx.shown.selected.contains(&patch);
    let share = if high > 0.0 { value.abs() / high } else { 0.0 };
    let text = number(f64::from(value), f64::from(high));
    let response = bar_row(ui, &name, &text, share, on, hovered).on_hover_text(&name);
    if response.clicked() {
        cx.intents.command(Command::SelectPatches(vec![patch]));
    } else if response.hovered() && cx.shown.hovered != Some(patch) {
        cx.intents.command(Command::Hover(Some(patch)));
    }
}

/// A name, a bar, a number.
fn bar_row(
    ui: &mut Ui,
    name: &str,
    value: &str,
    share: f32,
    on: bool,
    hot: bool,
) -> egui::Response {
    let ink = ink(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), ROW), Sense::click());
    response
        .widget_info(|| WidgetInfo::selected(Role::Button, true, on, format!("{name}: {value}")));
    if response.hovered() {
        ui.painter().rect_filled(rect, 4.0, ink.raised);
    }
    let color = if on {
        ink.accent
    } else if hot {
        ink.hover
    } else {
        ink.text
    };
    let column = |from: f32, to: f32| {
        let x = |share: f32| rect.left() + 4.0 + share * (rect.width() - 8.0);
        Rect::from_min_max(pos2(x(from), rect.top()), pos2(x(to), rect.bottom()))
    };
    // Names that say the picture or view take more room.
    let split = if name.chars().count() > 18 { 0.62 } else { 0.42 };
    text_in(ui, column(0.0, split), Align2::LEFT_CENTER, name, theme::plain(theme::SMALL), color);
    let bar = column(split + 0.02, 0.78).shrink2(vec2(0.0, 8.0));
    ui.painter().rect_filled(bar, 1.0, ink.hairline);
    let filled =
        Rect::from_min_size(bar.min, vec2(bar.width() * share.clamp(0.0, 1.0), bar.height()));
    ui.painter().rect_filled(filled, 1.0, if on { ink.accent } else { ink.muted });
    text_in(ui, column(0.8, 1.0), Align2::RIGHT_CENTER, value, theme::plain(theme::SMALL), color);
    response
}

/// The most probable alternatives to the chosen token.
fn alternatives(cx: &PaneContext<'_>, ui: &mut Ui, doc: &Document) {
    let queries = &cx.shown.map.queries;
    let answer = (queries.kind == QueryKind::Answer).then(|| queries.set.only()).flatten();
    let Some(answer) = answer else {
        heading(ui, "Alternatives", |_| ());
        muted(ui, "Choose one answer token to see the most probable alternatives.");
        return;
    };
    let trace = &doc.trace;
    let (ids, logprobs, k) = trace.answer_topk();
    let from = answer as usize * k;
    let (Some(ids), Some(logprobs)) = (ids.get(from..from + k), logprobs.get(from..from + k))
    else {
        heading(ui, "Alternatives", |_| ());
        muted(ui, "The trace contains no alternatives.");
        return;
    };
    let copy = heading(ui, "Alternatives", |ui| {
        ui.small_button("Copy CSV").on_hover_text("Copy the alternatives of this token").clicked()
    });
    if copy {
        let text = alternatives_csv(cx, trace, ids, logprobs);
        cx.intents.send(Intent::Copy(text, "Alternatives"));
    }
    let chosen = trace.answer_ids().get(answer as usize).copied();
    for (id, logprob) in ids.iter().zip(logprobs) {
        let probability = logprob.exp();
        let text = piece(cx, trace, *id as u32);
        let value = percent(f64::from(probability), 1);
        bar_row(ui, &text, &value, probability, Some(*id) == chosen, false);
    }
    if chosen.is_some_and(|id| !ids.contains(&id))
        && let Some(logprob) = trace.answer_logprobs().get(answer as usize)
    {
        let text = token_name(doc.meta().answer_tokens(), answer as usize);
        let value = percent(f64::from(logprob.exp()), 1);
        bar_row(ui, &text.unwrap_or_default(), &value, logprob.exp(), true, false);
    }
    let logprob = trace.answer_logprobs().get(answer as usize).copied().unwrap_or(0.0);
    muted(
        ui,
        format!(
            "log-probability {} · token {}",
            decimal(f64::from(logprob), 3),
            AnswerIndex(answer)
        ),
    );
}

fn alternatives_csv(cx: &PaneContext<'_>, trace: &Trace, ids: &[i32], logprobs: &[f32]) -> String {
    let mut text = "id,text,logprob,probability\n".to_owned();
    for (id, logprob) in ids.iter().zip(logprobs) {
        let piece = piece(cx, trace, *id as u32).replace('"', "\"\"");
        text.push_str(&format!("{id},\"{piece}\",{logprob},{}\n", logprob.exp()));
    }
    text
}

/// The text of a vocabulary id: from the model where it is at hand, else from the trace.
fn piece(cx: &PaneContext<'_>, trace: &Trace, id: u32) -> String {
    let meta = trace.meta();
    let bundle =
        cx.chat.vocabulary.as_ref().filter(|bundle| bundle.sha256() == meta.model.bundle_sha);
    if let Some(bundle) = bundle {
        return token_text(&bundle.tokenizer().piece(id));
    }
    meta.piece(id).map_or_else(|| format!("token {id}"), token_text)
}
