//! Panel of what-if questions: settings of the edit, comparison of both answers, and interventions in the model.

use super::patching::PatchingSection;
use crate::analysis::diff::{Alignment, Change, HeadDifference, Words, changed};
use crate::edit::Fill;
use crate::model::KnockFrom;
use crate::trace::ModelInfo;
use crate::ui::badges::Badge;
use crate::ui::chat::{answer_logprob, logprob_text};
use crate::ui::document::{Document, DocumentId};
use crate::ui::intent::Intent;
use crate::ui::pane::{PaneContext, PaneUi};
use crate::ui::shortcuts::UiCommand;
use crate::ui::theme;
use crate::ui::verdicts::{color as verdict_color, counted};
use crate::ui::what_if::{Compare, SteeredArea, Tool, ToolSettings, WhatIfCommand};
use crate::ui::widgets::{
    Mark, badge_size, capital, frame_over_data, hairline, heading, ink, muted, paint_badge,
    segments,
};
use crate::view::figure::{decimal, head_name, signed};
use crate::view::{ColorMap, Command};
use egui::text::{LayoutJob, TextFormat};
use egui::{Color32, Rect, Role, Sense, Slider, Stroke, Ui, WidgetInfo, vec2};

const LISTED: usize = 5;
/// Largest strength of the slider.
const STRONGEST: f32 = 8.0;

/// The edit's settings, both answers, changes of the model.
#[derive(Default)]
pub struct WhatIfPane {
    patching: PatchingSection,
}

impl PaneUi for WhatIfPane {
    fn ui(&mut self, cx: &PaneContext<'_>, ui: &mut Ui) {
        let Some(doc) = cx.current else {
            muted(
                ui,
                "Edit the picture, cover parts of it, or change the model, and compare the \
                answers here.",
            );
            return;
        };
        egui::ScrollArea::vertical().id_salt("probe").auto_shrink(false).show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = 6.0;
            edits(cx, ui);
            hairline(ui);
            comparison(cx, ui, doc);
            hairline(ui);
            model(cx, ui, doc);
            hairline(ui);
            maps(cx, ui, doc);
            hairline(ui);
            self.patching.show(cx, ui, doc);
        });
    }
}

fn send(cx: &PaneContext<'_>, command: WhatIfCommand) {
    cx.intents.send(Intent::WhatIf(command));
}

fn edits(cx: &PaneContext<'_>, ui: &mut Ui) {
    let tool = cx.what_if.tool;
    heading(ui, "Picture", |ui| {
        let text = if tool.is_some() { "Done" } else { "Edit" };
        if ui.button(text).on_hover_text(UiCommand::EditPicture.hint()).clicked() {
            cx.intents.act(UiCommand::EditPicture);
        }
    });
    match tool {
        Some(tool) => {
            let mut changed = cx.what_if.settings;
            settings(ui, tool, &mut changed);
            if changed != cx.what_if.settings {
                send(cx, WhatIfCommand::Settings(changed));
            }
        }
        None => {
            muted(
                ui,
                "Paint, erase an object or change its colour, and see how the answer \
                changes.",
            );
        }
    }
    let steps = cx.what_if.session.as_ref().map_or(0, |session| session.edits.steps().len());
    if steps == 0 {
        return;
    }
    ui.horizontal_wrapped(|ui| {
        let mut live = cx.what_if.live;
        if ui.checkbox(&mut live, "Ask after every edit").changed() {
            send(cx, WhatIfCommand::Live(live));
        }
        if ui.button("Ask again now").on_hover_text(UiCommand::AskEdited.hint()).clicked() {
            send(cx, WhatIfCommand::AskAgain);
        }
    });
    ui.horizontal_wrapped(|ui| {
        muted(ui, if steps == 1 { "1 edit".into() } else { format!("{steps} edits") });
        let hint = "Discard all edits. To take back single edits, use Undo.";
        if ui.button("Reset").on_hover_text(hint).clicked() {
            send(cx, WhatIfCommand::Reset);
        }
        if ui.button("Save picture…").clicked() {
            send(cx, WhatIfCommand::SavePicture);
        }
        let hint = "A text file with the edits, for vlmscope ask PICTURE QUESTION --edit FILE";
        if ui.button("Save edits…").on_hover_text(hint).clicked() {
            send(cx, WhatIfCommand::SaveEdits);
        }
    });
}

fn settings(ui: &mut Ui, tool: Tool, settings: &mut ToolSettings) {
    let slider = |ui: &mut Ui, value: &mut f64, range, text: &str| {
        ui.add(Slider::new(value, range).text(text)).accessible_name(text);
    };
    match tool {
        Tool::Brush | Tool::Eraser => {
            slider(ui, &mut settings.brush.size, 2.0..=400.0, "Size, pixels");
            slider(ui, &mut settings.brush.hardness, 0.0..=1.0, "Hardness");
            if tool == Tool::Brush {
                paint(ui, &mut settings.color);
            }
        }
        Tool::Fill => {
            let sigma = match settings.fill {
                Fill::Blur { sigma } => sigma,
                _ => 16.0,
            };
            let color = match settings.fill {
                Fill::Color { color } => color,
                _ => settings.color,
            };
            let choices = [
                (
                    0,
                    Fill::Surroundings,
                    "Around",
                    "The mean colour around the area: erases an \
                    object",
                ),
                (1, Fill::Mean, "Mean", "The mean colour of the picture"),
                (2, Fill::Blur { sigma }, "Blur", "The picture itself, blurred"),
                (3, Fill::Color { color }, "Colour", "One colour"),
            ];
            let kind = |fill: &Fill| match fill {
                Fill::Surroundings => 0,
                Fill::Mean => 1,
                Fill::Blur { .. } => 2,
                Fill::Color { .. } => 3,
            };
            let names = choices.map(|(index, _, name, hint)| (index, name, hint.to_owned()));
            let chosen = ui.horizontal(|ui| segments(ui, kind(&settings.fill), &names)).inner;
            if let Some(chosen) = chosen {
                settings.fill = choices[chosen].1;
            }
            match &mut settings.fill {
                Fill::Blur { sigma } => slider(ui, sigma, 1.0..=100.0, "Blur, pixels"),
                Fill::Color { color } => paint(ui, color),
                Fill::Mean | Fill::Surroundings => {}
            }
        }
        Tool::Colors => {
            slider(ui, &mut settings.adjust.hue, -180.0..=180.0, "Hue, degrees");
            slider(ui, &mut settings.adjust.saturation, 0.0..=3.0, "Saturation");
            slider(ui, &mut settings.adjust.brightness, -1.0..=1.0, "Brightness");
            slider(ui, &mut settings.adjust.contrast, -1.0..=2.0, "Contrast");
            ui.checkbox(&mut settings.only_like_middle, "Only the hue in the middle")
                .on_hover_text("Changes the object in the rectangle and leaves the background");
        }
        Tool::Patches => {
            muted(
                ui,
                "Brush over patches to fill them with the mean colour of the preprocessed \
                picture.",
            );
        }
        Tool::Crop => {
            muted(ui, "Drag the rectangle to keep. Only the last crop is used.");
        }
    }
}

fn paint(ui: &mut Ui, color: &mut [u8; 3]) {
    ui.horizontal(|ui| {
        ui.color_edit_button_srgb(color).accessible_name("Paint");
        muted(ui, "Paint");
    });
}

fn comparison(cx: &PaneContext<'_>, ui: &mut Ui, doc: &Document) {
    heading(ui, "Both answers", |ui| others(cx, ui, doc));
    let Some(both) = &cx.what_if.comparison else {
        muted(ui, "Edit the picture, or choose another answer to compare this one with.");
        return;
    };
    let words = both.words.clone();
    let total: f32 = both.difference.delta_logprob.iter().sum();
    let aligned = both.difference.alignment;
    let (heads, ranked) = (both.difference.heads.clone(), both.difference.ranked());
    let neutral = both.difference.is_neutral();
    word_diff(ui, &words);
    let names = cx.what_if.names();
    let [first, second] = names.in_text;
    let docs = [both.first, both.second].map(|id| cx.docs.iter().find(|doc| doc.id == id));
    if let (true, [Some(a), Some(b)]) = (both.is_of_answers(), docs) {
        let [a, b] = [a, b].map(|doc| logprob_text(answer_logprob(&doc.trace)));
        let text = format!("log p {a} of {first}, {b} of {second}");
        ui.label(theme::strong_text(&text, theme::BODY));
    } else {
        delta_line(ui, total, &format!("of {first}"));
    }
    muted(
        ui,
        match aligned {
            Alignment::Same => "Both answers are the same, token by token.".to_owned(),
            Alignment::Scored => {
                let scored = capital(names.scored);
                format!("{scored} was scored with {first}, so that tokens align.")
            }
            Alignment::Shared => {
                "Both answer the same question about the same picture: each is shown as it was \
                given, and heads are compared at the tokens that both share."
                    .to_owned()
            }
        },
    );
    if let [Some(a), Some(b)] = docs {
        verdicts(cx, ui, [a, b]);
    }
    let swipe = format!("{} left of a line, {second} right of it", capital(first));
    let difference =
        format!("The map of {first} minus that of {second}, on a range that is symmetric about 0");
    let choices = [
        (Compare::Off, "One", "One answer alone"),
        (Compare::SideBySide, "Side by side", "Both stages, with one selection for both"),
        (Compare::Flicker, "Flicker", "Alternates between the two, which makes changes visible"),
        (Compare::Swipe, "Swipe", swipe.as_str()),
        (Compare::Difference, "Difference", difference.as_str()),
    ]
    .map(|(how, name, hint)| (how, name, hint.to_owned()));
    let chosen = ui.horizontal_wrapped(|ui| segments(ui, cx.what_if.compare, &choices)).inner;
    if let Some(how) = chosen {
        send(cx, WhatIfCommand::Compare(how));
    }
    if neutral {
        let text = match aligned {
            Alignment::Shared => "At the tokens that both share, no head differs.",
            _ => "No difference: every log-probability and every head is the same.",
        };
        muted(ui, text);
        return;
    }
    moved(cx, ui, doc, &heads);
    for head in ranked.iter().take(LISTED) {
        let text = format!(
            "{}    {:.3}    {:.2} → {:.2} to picture",
            head_name(head.layer, head.head),
            head.moved,
            head.image_share_first,
            head.image_share_second
        );
        let button = ui.add(egui::Button::new(text).frame(false));
        if button.on_hover_text("½ Σ |difference| over the patches; click to see it").clicked() {
            cx.intents.command(Command::SetLayerHead(head.layer, head.head));
        }
    }
}

/// The verdicts about the words that differ, or else all counted, and a button that measures what is missing.
fn verdicts(cx: &PaneContext<'_>, ui: &mut Ui, docs: [&Document; 2]) {
    let limits = &cx.settings.verdict;
    let evidence = docs.map(|doc| cx.values.evidence(doc, doc.state()));
    let texts = evidence
        .each_ref()
        .map(|words| -> Vec<&str> { words.iter().map(|word| word.text.as_str()).collect() });
    let counts = evidence.each_ref().map(|words| counted(words, limits));
    let names = cx.what_if.names().in_text;
    if let [Some(a), Some(b)] = counts {
        let text = format!("{}: {} · {}: {}", capital(names[0]), a.text(), names[1], b.text());
        ui.label(theme::strong_text(&text, theme::SMALL));
    } else {
        let hint = "Scores both answers again without the picture, and computes relevancy where it \
            is missing, so that each word has a verdict";
        if ui.button("Check both answers").on_hover_text(hint).clicked() {
            cx.intents.send(Intent::CheckWords(docs.map(|doc| doc.id).to_vec()));
        }
        muted(ui, "Which one is grounded in the picture?");
    }
    let differing = changed(&texts[0], &texts[1]);
    for (words, indices) in evidence.iter().zip(differing) {
        for word in indices.into_iter().filter_map(|index| words.get(index)) {
            let Some(verdict) = word.evidence.verdict(limits) else { continue };
            let text = format!("“{}”: {}", word.text, word.evidence.sentence(limits));
            let text = egui::RichText::new(text).size(theme::SMALL);
            ui.add(egui::Label::new(text.color(verdict_color(ui, verdict))).wrap());
        }
    }
}

/// The documents that this one can be compared with.
fn others(cx: &PaneContext<'_>, ui: &mut Ui, doc: &Document) {
    let others: Vec<_> = cx
        .docs
        .iter()
        .filter(|other| other.id != doc.id && !other.live)
        .map(|other| {
            let (question, answer) = (&other.meta().question, other.meta().answer.trim());
            let mut name = format!("{} · {question} → {answer}", other.picture_name());
            if other.model_name() != doc.model_name() {
                name.push_str(&format!(" · {}", other.model_name()));
            }
            (other.id, name)
        })
        .collect();
    ui.add_enabled_ui(!others.is_empty(), |ui| {
        ui.menu_button("Compare with…", |ui| {
            for (id, name) in others {
                if ui.button(name).clicked() {
                    send(cx, WhatIfCommand::CompareWith(id));
                    ui.close();
                }
            }
        });
    });
}

/// Words that stayed, were removed and were added.
fn word_diff(ui: &mut Ui, words: &[Words]) {
    let ink = ink(ui);
    let mut job = LayoutJob::default();
    job.wrap.max_width = ui.available_width();
    let mut said = String::new();
    for run in words {
        let (color, strike, underline) = match run.change {
            Change::Same => (ink.text, Stroke::NONE, Stroke::NONE),
            Change::Removed => (ink.error, Stroke::new(1.5, ink.error), Stroke::NONE),
            Change::Added => (ink.accent, Stroke::NONE, Stroke::new(1.5, ink.accent)),
        };
        let format = TextFormat {
            font_id: theme::plain(theme::LARGE),
            color,
            strikethrough: strike,
            underline,
            ..TextFormat::default()
        };
        let text = run.text.trim();
        let space = if said.is_empty() { 0.0 } else { 5.0 };
        job.append(text, space, format);
        said.push_str(match run.change {
            Change::Same => " ",
            Change::Removed => " not ",
            Change::Added => " but ",
        });
        said.push_str(text);
    }
    let response = ui.label(job);
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, format!("Answer:{said}")));
}

fn delta_line(ui: &mut Ui, total: f32, of: &str) {
    let text = format!("Δ log p {} {of}", signed(f64::from(total), 2));
    ui.label(theme::strong_text(&text, theme::BODY));
}

fn model(cx: &PaneContext<'_>, ui: &mut Ui, doc: &Document) {
    heading(ui, "Model", |_| ());
    let choices = [
        (KnockFrom::Answer, "Answer", "Block attention from the rows that predict the answer"),
        (KnockFrom::Text, "Question too", "Block attention from every position after the picture"),
    ]
    .map(|(from, name, hint)| (from, name, hint.to_owned()));
    ui.horizontal(|ui| {
        muted(ui, "Attention from");
        if let Some(from) = segments(ui, cx.what_if.from, &choices) {
            send(cx, WhatIfCommand::From(from));
        }
    });
    let chosen = doc.state().selected.len();
    let map = &doc.state().map;
    let head = map.layers.only().zip(map.heads.only());
    ui.horizontal_wrapped(|ui| {
        let can = chosen > 0;
        let hint = "Click or brush over the picture to choose patches";
        for act in [UiCommand::KnockOutPatches, UiCommand::KeepOnlyPatches] {
            let text = if act == UiCommand::KnockOutPatches { "Knock out" } else { "Keep only" };
            let name = match chosen {
                1 => format!("{text} 1 patch"),
                _ => format!("{text} {chosen} patches"),
            };
            let button = ui.add_enabled(can, egui::Button::new(name));
            if button.on_hover_text(act.hint()).on_disabled_hover_text(hint).clicked() {
                cx.intents.act(act);
            }
        }
        let text = head.map_or_else(
            || "Switch off a head".into(),
            |(layer, head)| format!("Switch off {}", head_name(layer, head)),
        );
        let button = ui.add_enabled(head.is_some(), egui::Button::new(text));
        let hint = "Choose one layer and one head in the matrix";
        if button.on_hover_text(UiCommand::HeadOff.hint()).on_disabled_hover_text(hint).clicked() {
            cx.intents.act(UiCommand::HeadOff);
        }
    });
    steering(cx, ui, doc);
    if let Some(done) = cx.what_if.intervened.as_ref().filter(|done| done.on == doc.id) {
        let (what, words, total) = (done.what.clone(), done.words.clone(), done.effect.total());
        let is_steered = done.is_steered;
        ui.horizontal_wrapped(|ui| {
            if is_steered {
                let size = badge_size(ui, Badge::Steered.text());
                let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
                paint_badge(ui, rect, Badge::Steered.text());
                response.on_hover_text(Badge::Steered.hint(doc.meta()));
            }
            muted(ui, what);
        });
        word_diff(ui, &words);
        delta_line(ui, total, "of the answer");
    }
}

/// The strength by which attention is turned towards the chosen area; the answer follows it.
fn steering(cx: &PaneContext<'_>, ui: &mut Ui, doc: &Document) {
    let area = SteeredArea::of(doc.meta(), doc.state());
    let is_own = |(of, _): &&(DocumentId, f32)| *of == doc.id;
    let mut strength = cx.what_if.steering.as_ref().filter(is_own).map_or(0.0, |(_, by)| *by);
    let name = area.as_ref().map_or_else(
        || "Steer attention".to_owned(),
        |area| format!("Steer attention to {}", area.name),
    );
    muted(ui, name);
    let slider = Slider::new(&mut strength, -STRONGEST..=STRONGEST)
        .step_by(0.5)
        .custom_formatter(|value, _| decimal(value, 1))
        .custom_parser(|text| text.replace('−', "-").parse().ok())
        .text("Strength");
    let response = ui
        .add_enabled(area.is_some(), slider)
        .accessible_name("Strength of steering")
        .on_hover_text(
            "Added to the attention scores of the area, in the chosen heads or, without any, in all; \
            +1 multiplies attention by 2.7. The model answers again.",
        )
        .on_disabled_hover_text("Click or brush over the picture to choose patches, or choose an object");
    if response.changed() {
        send(cx, WhatIfCommand::Steer(strength));
    }
}

fn maps(cx: &PaneContext<'_>, ui: &mut Ui, doc: &Document) {
    heading(ui, "Effect of each part", |_| ());
    ui.horizontal_wrapped(|ui| {
        if ui.button("Occlusion map").on_hover_text(UiCommand::OcclusionMap.hint()).clicked() {
            cx.intents.act(UiCommand::OcclusionMap);
        }
        if ui.button("Switch off every head").on_hover_text(UiCommand::EachHeadOff.hint()).clicked()
        {
            cx.intents.act(UiCommand::EachHeadOff);
        }
    });
    effects(cx, ui, doc);
}

/// Δ log p of the answer with each head off: one cell a head, 0 neutral.
fn effects(cx: &PaneContext<'_>, ui: &mut Ui, doc: &Document) {
    let Some(heads) = cx.what_if.heads.as_ref().filter(|heads| heads.on == doc.id) else { return };
    let grid = Grid {
        size: [doc.extent.layers.max(1), doc.extent.heads.max(1)],
        model: &doc.extent.model,
        values: heads.totals.clone(),
        marked: heads.changed.clone(),
        is_signed: true,
        name: "Effect of each head: click to choose it",
    };
    let changed = grid.marked.iter().filter(|changed| **changed).count();
    match grid.show(cx, ui) {
        Some((layer, head)) => {
            let index = (layer * grid.size[1] + head) as usize;
            let total = grid.values.get(index).copied().flatten();
            let text = total
                .map_or_else(|| "not computed yet".into(), |total| signed(f64::from(total), 2));
            let flips = if grid.marked.get(index) == Some(&true) { ", another answer" } else { "" };
            let layer = grid.model.layer_number(layer);
            muted(ui, format!("{} off: Δ log p {text}{flips}", head_name(layer, head)));
        }
        None => {
            let range = format!("±{:.2}", grid.high());
            muted(ui, format!("Δ log p of the answer, {range}; ● another answer ({changed})"));
        }
    }
}

/// Change of each head's attention on the picture between the two answers.
fn moved(cx: &PaneContext<'_>, ui: &mut Ui, doc: &Document, heads: &[HeadDifference]) {
    let grid = Grid {
        size: [doc.extent.layers.max(1), doc.extent.heads.max(1)],
        model: &doc.extent.model,
        values: heads.iter().map(|head| Some(head.moved)).collect(),
        marked: Vec::new(),
        is_signed: false,
        name: "Change of each head: click to choose it",
    };
    match grid.show(cx, ui) {
        Some((layer, head)) => {
            let Some(found) = heads.get((layer * grid.size[1] + head) as usize) else { return };
            let (first, second) = (found.image_share_first, found.image_share_second);
            let text =
                format!("{:.3} moved, attention to picture {first:.2} → {second:.2}", found.moved);
            let layer = grid.model.layer_number(layer);
            muted(ui, format!("{}: {text}", head_name(layer, head)));
        }
        None => {
            let high = grid.high();
            muted(ui, format!("Attention that moved to other patches, 0–{high:.2} of 1"));
        }
    }
}

/// One cell for each head.
struct Grid<'a> {
    /// Layers and heads.
    size: [u32; 2],
    /// The model, which numbers its layers.
    model: &'a ModelInfo,
    /// [L, H]; `None` for heads without a result so far.
    values: Vec<Option<f32>>,
    /// Cells with a dot.
    marked: Vec<bool>,
    /// Blue below 0, red above, 0 in the middle; else from 0 up.
    is_signed: bool,
    name: &'static str,
}

impl Grid<'_> {
    /// The largest absolute value.
    fn high(&self) -> f32 {
        self.values.iter().flatten().fold(0.0, |high: f32, value| high.max(value.abs()))
    }

    fn color(&self, value: Option<f32>, high: f32, unknown: Color32) -> Color32 {
        let Some(value) = value else { return unknown };
        let share = if high > 0.0 { value / high } else { 0.0 };
        if self.is_signed {
            super::colors::color_of(ColorMap::Coolwarm, 0.5 + 0.5 * share)
        } else {
            super::colors::color_of(ColorMap::Inferno, share)
        }
    }

    /// Draws it; a click chooses a head. Returns the head under the pointer.
    fn show(&self, cx: &PaneContext<'_>, ui: &mut Ui) -> Option<(u32, u32)> {
        let [layers, heads] = self.size;
        let (ink, high) = (ink(ui), self.high());
        let side = (ui.available_width() / heads as f32).clamp(4.0, 28.0);
        let cell_size = vec2(side, side.min(22.0));
        let size = vec2(cell_size.x * heads as f32, cell_size.y * layers as f32);
        let (place, response) = ui.allocate_exact_size(size, Sense::click());
        response.widget_info(|| WidgetInfo::labeled(Role::Unknown, true, self.name));
        let cell = |layer: u32, head: u32| {
            let at = cell_size * vec2(head as f32, layer as f32);
            Rect::from_min_size(place.min + at, cell_size).shrink(0.5)
        };
        for (index, value) in (0_u32..).zip(&self.values) {
            let rect = cell(index / heads, index % heads);
            ui.painter().rect_filled(rect, 1.0, self.color(*value, high, ink.raised));
            if self.marked.get(index as usize) == Some(&true) {
                ui.painter().circle_filled(rect.center(), 2.0, Color32::BLACK);
            }
        }
        let at = response.hover_pos().or(response.interact_pointer_pos())?;
        let share = (at - place.min) / size;
        let index =
            |share: f32, count: u32| ((share * count as f32).max(0.0) as u32).min(count - 1);
        let (layer, head) = (index(share.y, layers), index(share.x, heads));
        frame_over_data(ui, cell(layer, head), Mark::Hovered);
        if response.clicked() {
            cx.intents.command(Command::SetLayerHead(self.model.layer_number(layer), head));
        }
        Some((layer, head))
    }
}
