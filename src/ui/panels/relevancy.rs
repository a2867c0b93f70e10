//! Relevancy of the answer: how much each word depends on the picture, the question and the earlier answer.
//!
//! The list is the reliance strip and the coloured answer in one: a row a word, shaded by the share of its relevancy
//! on the picture, with the shares beside it. A second panel compares the question's words with the picture for the
//! chosen words, and shows a map for every word. Missing maps are computed on the model's thread, as a task with
//! progress and a cancel button.

use super::colors::color_of;
use super::relevancy_gallery;
use crate::analysis::methods::Method;
use crate::analysis::relevancy::{
    Reliance, TextRelevancy, answer_words, mean_row, without_punctuation,
};
use crate::analysis::verdict::Evidence;
use crate::trace::{AnswerIndex, TokenKind, Trace, TraceId};
use crate::ui::document::Document;
use crate::ui::intent::{Intent, SettingsChange};
use crate::ui::pane::{PaneContext, PaneUi};
use crate::ui::relevancy::{AnswerWord, MAPS, choose, chosen_answers, is_there, missing, show_map};
use crate::ui::shortcuts::UiCommand;
use crate::ui::theme;
use crate::ui::verdicts::{Counted, WordEvidence, color as verdict_color, counted, paint_sign};
use crate::ui::widgets::{hairline, ink, muted, primary_button, text_in};
use crate::view::figure::{percent, token_text};
use crate::view::{
    Aggregate, AxisSet, ColorMap, Command, MapSource, Queries, QueryKind, SourceRule, ViewKind,
};
use egui::{Align2, Color32, Rect, Role, Sense, Ui, WidgetInfo, pos2, vec2};
use std::sync::Arc;

const ROW: f32 = 24.0;
/// Number of question words that are listed; a long prompt has hundreds.
const SHOWN: usize = 12;
/// The answer's words, computed once a trace.
fn answer(ui: &Ui, trace: &Trace) -> Arc<Vec<AnswerWord>> {
    let id = egui::Id::unique("relevancy words");
    type CachedWords = (TraceId, Arc<Vec<AnswerWord>>);
    if let Some((of, words)) = ui.data(|data| data.get_temp::<CachedWords>(id))
        && of == trace.id()
    {
        return words;
    }
    let tokens = trace.meta().answer_tokens();
    let spoken = |word: &[AnswerIndex]| {
        let mut kinds = word.iter().filter_map(|token| tokens.get(token.index()));
        kinds.any(|token| token.kind != TokenKind::Special)
    };
    let words = answer_words(trace)
        .into_iter()
        .filter(|(_, tokens)| spoken(tokens))
        .map(|(text, tokens)| {
            let spoken = without_punctuation(trace, &tokens);
            let row = mean_row(trace, Method::LLM.tensor, &spoken);
            let reliance =
                row.map_or_else(Reliance::default, |row| Reliance::from_row(&row, trace));
            AnswerWord { text: token_text(&text), tokens, spoken, reliance }
        })
        .collect();
    let words = Arc::new(words);
    ui.data_mut(|data| data.insert_temp(id, (trace.id(), Arc::clone(&words))));
    words
}

/// Shares of picture, question and earlier answer for each word of the answer.
#[derive(Default)]
pub struct Relevancy;

impl PaneUi for Relevancy {
    fn ui(&mut self, cx: &PaneContext<'_>, ui: &mut Ui) {
        let Some(doc) = cx.current else {
            muted(
                ui,
                "What each word of an answer depends on: the picture, the question, or the answer \
                before it.",
            );
            return;
        };
        egui::ScrollArea::vertical().id_salt("relevancy").show(ui, |ui| {
            let has = doc.trace.map_names().contains(&Method::LLM.tensor);
            if !has {
                invitation(cx, ui, doc);
                return;
            }
            sources(cx, ui, doc);
            let words = answer(ui, &doc.trace);
            let evidence = cx.values.evidence(doc, doc.state());
            sentence(cx, ui, doc, &evidence);
            legend(ui);
            ui.spacing_mut().item_spacing.y = 0.0;
            for (word, measured) in words.iter().zip(evidence.iter()) {
                word_row(cx, ui, doc, word, &measured.evidence);
            }
            limits(cx, ui);
        });
    }
}

/// Question words that a word of the answer depends on, and a map for every word.
#[derive(Default)]
pub struct WhyWord;

impl PaneUi for WhyWord {
    fn ui(&mut self, cx: &PaneContext<'_>, ui: &mut Ui) {
        let doc = cx.current;
        let has = |doc: &&Document| doc.trace.map_names().contains(&Method::LLM.tensor);
        let Some(doc) = doc.filter(has) else {
            muted(
                ui,
                "Compute relevancy to see on which words of the question a word depends, and the \
                map of every word.",
            );
            return;
        };
        egui::ScrollArea::vertical().id_salt("relevancy words").show(ui, |ui| {
            let words = answer(ui, &doc.trace);
            question(cx, ui, doc, &words);
            hairline(ui);
            relevancy_gallery::show(cx, ui, doc, &words);
        });
    }
}

fn compute(cx: &PaneContext<'_>, methods: Vec<Method>, tokens: Vec<AnswerIndex>) {
    cx.intents.send(Intent::ComputeRelevancy(methods, tokens));
}

/// The verdict about the chosen word in a sentence.
fn sentence(cx: &PaneContext<'_>, ui: &mut Ui, doc: &Document, words: &[WordEvidence]) {
    let limits = &cx.settings.verdict;
    let chosen = chosen_answers(doc);
    let is_chosen = |word: &&WordEvidence| word.tokens.iter().any(|token| chosen.contains(token));
    let mut shown = words.iter().filter(is_chosen);
    if let (Some(word), None) = (shown.next(), shown.next()) {
        let color = match word.evidence.verdict(limits) {
            Some(verdict) => verdict_color(ui, verdict),
            None => ink(ui).muted,
        };
        let text = format!("“{}”: {}", word.text, word.evidence.sentence(limits));
        ui.label(egui::RichText::new(text).size(theme::SMALL).color(color));
    }
}

/// The limits of the rule.
fn limits(cx: &PaneContext<'_>, ui: &mut Ui) {
    let mut new = cx.settings.verdict;
    hairline(ui);
    egui::CollapsingHeader::new("Limits of the verdicts").id_salt("verdict limits").show(ui, |ui| {
        muted(
            ui,
            "Without the picture: every patch has the mean colour, and the same answer is scored \
            again.",
        );
        for (value, text, hint) in [
            (
                &mut new.needs_picture,
                "grounded: keeps at most",
                "The part of its probability that a grounded word keeps without the picture",
            ),
            (
                &mut new.picture_share,
                "grounded: relevancy at least",
                "The share of its relevancy on the picture that a grounded word has",
            ),
            (
                &mut new.keeps_probability,
                "not grounded: keeps at least",
                "A word that keeps this part of its probability does not need the picture",
            ),
        ] {
            ui.horizontal(|ui| {
                let drag = egui::DragValue::new(value).range(0.0..=1.0).speed(0.005);
                ui.add(drag.max_decimals(2)).accessible_name(text).on_hover_text(hint);
                muted(ui, text);
            });
        }
    });
    if new != cx.settings.verdict {
        cx.intents.send(Intent::Settings(SettingsChange::Verdict(new)));
    }
}

fn check_button(cx: &PaneContext<'_>, ui: &mut Ui, doc: &Document) {
    let is_known = doc.trace.blank_logprobs().is_some() && missing(doc, false).is_empty();
    if is_known {
        let words = cx.values.evidence(doc, doc.state());
        let count = counted(&words, &cx.settings.verdict).map_or("Checked".into(), Counted::short);
        ui.label(theme::strong_text(count, theme::SMALL))
            .on_hover_text("Every word was checked; the limits of the verdicts are below the list");
        return;
    }
    let button = egui::Button::new("Check every word");
    let hint = "Scores the answer again without the picture, and computes relevancy where it is \
        missing";
    if ui.add_enabled(!doc.live, button).on_hover_text(hint).clicked() {
        cx.intents.act(UiCommand::CheckWords);
    }
}

fn invitation(cx: &PaneContext<'_>, ui: &mut Ui, doc: &Document) {
    muted(
        ui,
        "The gradients of each word's score show on which patches and which words of the question \
        it depends (Chefer et al., rules 5 and 6).",
    );
    ui.add_space(theme::GRID);
    if primary_button(ui, "Compute relevancy", !doc.live).clicked() {
        compute(cx, vec![Method::LLM], Vec::new());
    }
    ui.add_space(theme::GRID);
    muted(
        ui,
        "Checks whether each word is grounded in the picture: relevancy says how much it rests on \
        the picture, and the answer is scored again without it.",
    );
    ui.add_space(theme::GRID);
    check_button(cx, ui, doc);
}

/// Choice of the map on the stage, and what can be computed, in one line.
fn sources(cx: &PaneContext<'_>, ui: &mut Ui, doc: &Document) {
    let state = doc.state();
    let chosen = chosen_answers(doc);
    let shown = MAPS
        .iter()
        .find(|(method, ..)| state.map.source == MapSource::Named(method.tensor.to_owned()))
        .map_or("Attention", |(_, name, _)| *name);
    // In a narrow panel the buttons wrap: a line that is too long would widen everything below it.
    ui.horizontal_wrapped(|ui| {
        egui::ComboBox::from_id_salt("relevancy map")
            .width(96.0)
            .selected_text(shown)
            .show_ui(ui, |ui| maps(cx, ui, doc, &chosen))
            .response
            .on_hover_text("The map on the stage")
            .widget_info(|| WidgetInfo::labeled(Role::ComboBox, true, "Map on the stage"));
        ui.menu_button("Compute", |ui| {
            let missing = missing(doc, true);
            let hint = "Language model, vision tower and both, for every word of the answer";
            let enabled = !missing.is_empty() && !doc.live;
            let button = egui::Button::new("Compute all words");
            if ui.add_enabled(enabled, button).on_hover_text(hint).clicked() {
                compute(cx, missing, Vec::new());
            }
            let pages = doc.trace.page_names();
            let enabled = !pages.contains(&Method::GRADIENT_ATTENTION.tensor) && !doc.live;
            let hint =
                "Gradient × attention of every layer and head, for the wall and the heads view";
            let button = egui::Button::new("Every head");
            if ui.add_enabled(enabled, button).on_hover_text(hint).clicked() {
                compute(cx, vec![Method::GRADIENT_ATTENTION], Vec::new());
            }
        });
        check_button(cx, ui, doc);
    });
}

/// The maps that the stage can show; those that are missing are computed when they are chosen.
fn maps(cx: &PaneContext<'_>, ui: &mut Ui, doc: &Document, chosen: &[AnswerIndex]) {
    let state = doc.state();
    let attention = state.map.source == MapSource::Attention;
    if ui.selectable_label(attention, "Attention").clicked() {
        cx.intents.command(Command::SetSource(MapSource::Attention));
    }
    for (method, name, hint) in MAPS {
        let there = is_there(&doc.trace, method, chosen);
        let on = state.map.source == MapSource::Named(method.tensor.to_owned());
        let text = if there { name.to_owned() } else { format!("{name} (compute)") };
        let hint = if there {
            hint.to_owned()
        } else {
            format!(
                "{hint}. Not computed yet: needs one backward pass for each token of the \
                chosen words."
            )
        };
        if ui.selectable_label(on, text).on_hover_text(hint).clicked() {
            if there {
                cx.intents.command(show_map(doc, method));
            } else {
                compute(cx, vec![method], chosen.to_vec());
            }
        }
    }
}

/// Colours of the shares: the picture's is that of the data, the others are muted.
fn share_colors(ui: &Ui) -> [Color32; 3] {
    let ink = ink(ui);
    [picture_color(0.78), ink.muted, ink.muted.gamma_multiply(0.45)]
}

fn picture_color(share: f32) -> Color32 {
    color_of(ColorMap::Inferno, share)
}

/// Names of the colours.
fn legend(ui: &mut Ui) {
    let colors = share_colors(ui);
    ui.horizontal(|ui| {
        for (name, color) in ["picture", "question", "answer before"].into_iter().zip(colors) {
            let (rect, _) = ui.allocate_exact_size(vec2(8.0, 8.0), Sense::hover());
            ui.painter().rect_filled(rect, 1.0, color);
            muted(ui, name);
        }
    });
}

/// A word, shaded by its picture share, and its shares.
fn word_row(
    cx: &PaneContext<'_>,
    ui: &mut Ui,
    doc: &Document,
    word: &AnswerWord,
    evidence: &Evidence,
) {
    let ink = ink(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), ROW), Sense::click());
    let on = word.is_chosen(&doc.state().map.queries);
    let name = format!("Relevancy of {}", word.text);
    response.widget_info(|| WidgetInfo::selected(Role::Button, true, on, &name));
    if !ui.is_rect_visible(rect) {
        return;
    }
    if response.hovered() {
        ui.painter().rect_filled(rect, 4.0, ink.raised);
    }
    let x = |share: f32| rect.left() + 4.0 + share * (rect.width() - 8.0);
    let column = |from: f32, to: f32| {
        Rect::from_min_max(pos2(x(from), rect.top()), pos2(x(to), rect.bottom()))
    };
    let Reliance { picture, question, answer, other } = word.reliance;
    let limits = &cx.settings.verdict;
    let verdict = evidence.verdict(limits);
    // With a verdict, its two probabilities and its sign stand at the right.
    let ends = if verdict.is_some() { [0.28, 0.56, 0.69] } else { [0.32, 0.84, 1.0] };
    let place = column(0.0, ends[0]);
    let shade = Rect::from_min_max(
        place.min + vec2(-4.0, 2.0),
        pos2(place.right() - 4.0, place.bottom() - 2.0),
    );
    ui.painter().rect_filled(shade, 3.0, picture_color(0.78).gamma_multiply(picture * 0.55));
    if on {
        let stroke = egui::Stroke::new(1.5, ink.accent);
        ui.painter().rect_stroke(shade, 3.0, stroke, egui::StrokeKind::Inside);
    }
    text_in(ui, place, Align2::LEFT_CENTER, &word.text, theme::strong(theme::SMALL), ink.text);
    let track = column(ends[0] + 0.02, ends[1]).shrink2(vec2(0.0, 8.0));
    ui.painter().rect_filled(track, 1.0, ink.hairline);
    let mut left = track.left();
    for (share, color) in [picture, question, answer].into_iter().zip(share_colors(ui)) {
        let width = track.width() * share;
        let part = Rect::from_min_size(pos2(left, track.top()), vec2(width, track.height()));
        ui.painter().rect_filled(part, 0.0, color);
        left += width;
    }
    let percent = |share: f32| percent(f64::from(share), 0);
    let font = theme::plain(theme::SMALL);
    let shown = column(ends[1], ends[2]);
    text_in(ui, shown, Align2::RIGHT_CENTER, &percent(picture), font.clone(), ink.text);
    if let (Some(verdict), Some(before), Some(blank)) =
        (verdict, evidence.probability, evidence.blank_probability)
    {
        let text = format!("{before:.2} → {blank:.2}");
        text_in(ui, column(0.7, 0.92), Align2::RIGHT_CENTER, &text, font, ink.muted);
        paint_sign(ui, verdict, column(0.93, 1.0).center(), 4.5);
    }
    if response.clicked() {
        if let Some(command) = choose(doc, word.queries()) {
            cx.intents.command(command);
        }
    } else if response.hovered() {
        cx.preview(Command::SetQueries(word.queries()));
    }
    response.on_hover_text(format!(
        "{}\npicture {} · question {} · answer before {} · template and system {}",
        evidence.sentence(limits),
        percent(picture),
        percent(question),
        percent(answer),
        percent(other)
    ));
}

/// Shares of the question's words and of the picture, for the chosen words.
fn question(cx: &PaneContext<'_>, ui: &mut Ui, doc: &Document, words: &[AnswerWord]) {
    let shown = cx.shown.map.queries.clone();
    let tokens: Vec<AnswerIndex> =
        shown.set.members(doc.extent.answers).into_iter().map(AnswerIndex).collect();
    let row = (shown.kind == QueryKind::Answer)
        .then(|| mean_row(&doc.trace, Method::LLM.tensor, &tokens))
        .flatten();
    let Some(row) = row else {
        muted(ui, "Choose a word of the answer to see on which words of the question it depends.");
        return;
    };
    let chosen: Vec<&str> =
        words.iter().filter(|word| word.is_chosen(&shown)).map(|word| word.text.as_str()).collect();
    let of = if chosen.len() == words.len() { "the answer".into() } else { chosen.join(" ") };
    ui.label(theme::strong_text(format!("What “{of}” depends on"), theme::SMALL));
    sums(ui, &Reliance::from_row(&row, &doc.trace));
    let text = TextRelevancy::from_row(&row, &doc.trace);
    let order = text.words_by_share();
    let strongest = text.share(text.patch_max);
    let largest = order.first().map_or(strongest, |first| first.1.max(strongest));
    ui.add_space(theme::GRID);
    muted(ui, "In detail")
        .on_hover_text("Shares of the same total as above; these bars have their own scale");
    let one = "strongest patch";
    let place = Bar { value: strongest, largest, is_image: true, is_button: false };
    bar(ui, one, &format!("Relevancy of the {one}"), place);
    for &(index, value) in order.iter().take(SHOWN) {
        let word = &text.words[index];
        let shown = token_text(&word.text);
        let place = Bar { value, largest, is_image: false, is_button: true };
        let response = bar(ui, &shown, &format!("Relevancy of question word {shown}"), place);
        let kept: Vec<u32> = word
            .keys
            .iter()
            .map(|&key| key as u32)
            .filter(|key| doc.extent.rows.contains(key))
            .collect();
        let response = response.on_hover_text("Click to see the map of this word of the question");
        if response.clicked() && !kept.is_empty() {
            let mut next = doc.state().clone();
            next.map.source = MapSource::Attention;
            if next.view.spec().source == SourceRule::Relevancy {
                next.view = ViewKind::Overlay;
            }
            let set = AxisSet::new(Aggregate::Mean, kept);
            next.map.queries = Queries { kind: QueryKind::Position, set };
            cx.intents.command(Command::Replace(Box::new(next)));
        }
    }
}

/// The shares of picture, question, earlier answer and everything else, which add up to the whole.
fn sums(ui: &mut Ui, reliance: &Reliance) {
    for (index, (name, value)) in reliance.named().into_iter().enumerate() {
        let is_image = index == 0;
        let place = Bar { value, largest: 1.0, is_image, is_button: false };
        bar(ui, name, &format!("Share of relevancy, {name}"), place);
    }
}

/// The quantity that a bar shows.
struct Bar {
    /// A share of the whole relevancy, 0–1.
    value: f32,
    /// The share that fills the bar.
    largest: f32,
    /// Whether it concerns the picture.
    is_image: bool,
    /// Whether a click does something.
    is_button: bool,
}

fn bar(ui: &mut Ui, name: &str, label: &str, place: Bar) -> egui::Response {
    let Bar { value, largest, is_image, is_button } = place;
    let ink = ink(ui);
    let sense = if is_button { Sense::click() } else { Sense::hover() };
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), ROW - 4.0), sense);
    let text = percent(f64::from(value), if value < 0.1 { 1 } else { 0 });
    let label = format!("{label}: {text}");
    response.widget_info(|| {
        WidgetInfo::labeled(if is_button { Role::Button } else { Role::Label }, true, &label)
    });
    if response.hovered() && is_button {
        ui.painter().rect_filled(rect, 4.0, ink.raised);
    }
    let x = |share: f32| rect.left() + 4.0 + share * (rect.width() - 8.0);
    let column = |from: f32, to: f32| {
        Rect::from_min_max(pos2(x(from), rect.top()), pos2(x(to), rect.bottom()))
    };
    let color = if is_image { picture_color(0.78) } else { ink.muted };
    let font = theme::plain(theme::SMALL);
    text_in(ui, column(0.0, 0.45), Align2::LEFT_CENTER, name, font.clone(), ink.text);
    let track = column(0.46, 0.84).shrink2(vec2(0.0, 6.0));
    ui.painter().rect_filled(track, 1.0, ink.hairline);
    let share = if largest > 0.0 { (value / largest).clamp(0.0, 1.0) } else { 0.0 };
    let filled = Rect::from_min_size(track.min, vec2(track.width() * share, track.height()));
    ui.painter().rect_filled(filled, 1.0, color);
    text_in(ui, column(0.84, 1.0), Align2::RIGHT_CENTER, &text, font, ink.muted);
    response
}
