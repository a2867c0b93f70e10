//! What does each word rest on? Relevancy of the answer: picture, question or what was said before.
//!
//! The list is the reliance strip and the coloured answer in one: a row a word, shaded by how much of
//! it rests on the picture, with the shares beside it. A second panel sets the question's words
//! against the picture for the chosen words, and shows every word's map. Maps that are not there yet are computed
//! on the model's thread, as a task with its progress and a cancel.

use super::matrix::color_of;
use super::relevancy_gallery;
use crate::analysis::methods::Method;
use crate::analysis::relevancy::{Reliance, TextRelevancy, answer_words, mean_row};
use crate::model::RelevancyRequest;
use crate::trace::{AnswerIndex, TokenKind, Trace, TraceId};
use crate::ui::app::{App, Intent};
use crate::ui::document::Document;
use crate::ui::layout::Pane;
use crate::ui::tasks::{self, Outcome};
use crate::ui::theme;
use crate::ui::widgets::{hairline, ink, muted, primary_button, text_in};
use crate::view::figure::{number, token_text};
use crate::view::{
    Aggregate, AxisSet, ColorMap, Command, MapSource, Parts, Queries, QueryKind, SourceRule,
    ViewKind,
};
use egui::{Align2, Color32, Rect, Role, Sense, Ui, WidgetInfo, pos2, vec2};
use std::sync::Arc;

const ROW: f32 = 24.0;
/// Question words that are listed; a long prompt has hundreds.
const SHOWN: usize = 12;
/// Methods that are maps over the picture, with what the buttons call them.
const MAPS: [(Method, &str, &str); 3] = [
    (Method::LLM, "Language model", "Through the language model: LVLM-Interpret's `llama`"),
    (Method::VIT, "Vision tower", "Through the vision tower alone"),
    (Method::ALL_LAYERS, "Both", "The language model's relevancy carried on through the tower"),
];

/// An answer word.
pub struct AnswerWord {
    /// What it says.
    pub text: String,
    /// Its tokens.
    pub tokens: Vec<AnswerIndex>,
    reliance: Reliance,
}

impl AnswerWord {
    /// The mean of its tokens.
    pub fn queries(&self) -> Queries {
        let tokens = self.tokens.iter().map(|token| token.0).collect();
        Queries { kind: QueryKind::Answer, set: AxisSet::of(Aggregate::Mean, tokens) }
    }

    /// Whether the view shows it.
    pub fn is_chosen(&self, queries: &Queries) -> bool {
        queries.kind == QueryKind::Answer
            && self.tokens.iter().any(|token| queries.set.contains(token.0))
    }
}

/// The answer's words, computed once a trace.
fn answer(ui: &Ui, trace: &Trace) -> Arc<Vec<AnswerWord>> {
    let id = egui::Id::unique("relevancy words");
    type Kept = (TraceId, Arc<Vec<AnswerWord>>);
    if let Some((of, words)) = ui.data(|data| data.get_temp::<Kept>(id))
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
            let row = mean_row(trace, Method::LLM.tensor, &tokens);
            let reliance = row.map_or_else(Reliance::default, |row| Reliance::of(&row, trace));
            AnswerWord { text: token_text(&text), tokens, reliance }
        })
        .collect();
    let words = Arc::new(words);
    ui.data_mut(|data| data.insert_temp(id, (trace.id(), Arc::clone(&words))));
    words
}

/// Draws the panel.
pub fn show(app: &mut App, ui: &mut Ui) {
    let Some(doc) = app.doc().cloned() else {
        muted(
            ui,
            "What each word of an answer rests on: the picture, the question, or what was said before.",
        );
        return;
    };
    egui::ScrollArea::vertical().id_salt("relevancy").show(ui, |ui| {
        let has = doc.trace.map_names().contains(&Method::LLM.tensor);
        if !has {
            invitation(app, ui, &doc);
            return;
        }
        sources(app, ui, &doc);
        let words = answer(ui, &doc.trace);
        hairline(ui);
        legend(ui);
        for word in words.iter() {
            word_row(app, ui, &doc, word);
        }
    });
}

/// Draws the panel beside it: the question's words for the chosen word, and every word's map.
pub fn show_words(app: &mut App, ui: &mut Ui) {
    let doc = app.doc().cloned();
    let has = |doc: &Document| doc.trace.map_names().contains(&Method::LLM.tensor);
    let Some(doc) = doc.filter(has) else {
        muted(
            ui,
            "Which words of the question a word rests on, and every word's map: compute relevancy first.",
        );
        return;
    };
    egui::ScrollArea::vertical().id_salt("relevancy words").show(ui, |ui| {
        let words = answer(ui, &doc.trace);
        question(app, ui, &doc, &words);
        hairline(ui);
        relevancy_gallery::show(app, ui, &doc, &words);
    });
}

fn invitation(app: &mut App, ui: &mut Ui, doc: &Document) {
    muted(
        ui,
        "Gradients of each word's score say which patches and which words of the question it rests on (Chefer et al., rules 5 and 6).",
    );
    ui.add_space(theme::GRID);
    if primary_button(ui, "Compute relevancy", !doc.live).clicked() {
        compute(app, doc, &[Method::LLM], &[]);
    }
}

/// What the stage shows, and maps that are still to be computed.
fn sources(app: &mut App, ui: &mut Ui, doc: &Document) {
    let state = doc.state();
    let chosen = chosen_answers(doc);
    ui.horizontal_wrapped(|ui| {
        let attention = state.map.source == MapSource::Attention;
        if ui.selectable_label(attention, "Attention").clicked() {
            app.command(Command::SetSource(MapSource::Attention));
        }
        for (method, name, hint) in MAPS {
            let there = is_there(&doc.trace, method, &chosen);
            let on = state.map.source == MapSource::Named(method.tensor.to_owned());
            let text = if there { name.to_owned() } else { format!("{name} …") };
            let hint = if there {
                hint.to_owned()
            } else {
                format!(
                    "{hint}. To be computed: a backward pass for each token of the chosen words."
                )
            };
            if ui.selectable_label(on, text).on_hover_text(hint).clicked() {
                if there {
                    show_map(app, doc, method);
                } else {
                    compute(app, doc, &[method], &chosen);
                }
            }
        }
    });
    ui.horizontal(|ui| {
        let missing = missing(doc, true);
        let label = "Compute all words";
        let hint = "Language model, vision tower and both, for every word of the answer";
        let enabled = !missing.is_empty() && !doc.live;
        if ui.add_enabled(enabled, egui::Button::new(label)).on_hover_text(hint).clicked() {
            compute(app, doc, &missing, &[]);
        }
        let pages = doc.trace.page_names();
        let enabled = !pages.contains(&Method::GRADIENT_ATTENTION.tensor) && !doc.live;
        let hint = "Gradient × attention of every layer and head, for the wall and the heads view";
        let button = egui::Button::new("Every head");
        if ui.add_enabled(enabled, button).on_hover_text(hint).clicked() {
            compute(app, doc, &[Method::GRADIENT_ATTENTION], &[]);
        }
    });
}

/// The maps that the trace lacks for some word: the language model's, or all.
fn missing(doc: &Document, every: bool) -> Vec<Method> {
    MAPS.iter()
        .map(|(method, ..)| *method)
        .filter(|&method| every || method == Method::LLM)
        .filter(|&method| !is_there(&doc.trace, method, &all_answers(doc)))
        .collect()
}

/// Computes what is missing, from the palette.
pub fn compute_missing(app: &mut App, every: bool) {
    let Some(doc) = app.doc().cloned().filter(|doc| !doc.live) else { return };
    let missing = missing(&doc, every);
    app.send(Intent::ShowPanel(Pane::Relevancy));
    if missing.is_empty() {
        return app.notify("All of it is there already.", false);
    }
    compute(app, &doc, &missing, &[]);
}

/// Shows a map on the stage, or in the view that is open if that can.
fn show_map(app: &mut App, doc: &Document, method: Method) {
    let mut next = doc.state().clone();
    next.map.source = MapSource::Named(method.tensor.to_owned());
    if next.view.spec().parts != Parts::Patches {
        next.view = ViewKind::Overlay;
    }
    if next.map.queries.kind != QueryKind::Answer {
        next.map.queries = Queries::answer(crate::view::salient_token(&doc.trace));
    }
    app.command(Command::Replace(Box::new(next)));
}

/// Shows gradient × attention of every head at once.
fn show_pages(app: &mut App, doc: &Document) {
    let mut next = doc.state().clone();
    let name = Method::GRADIENT_ATTENTION.tensor;
    next.map.source = MapSource::Named(name.to_owned());
    if next.map.queries.kind != QueryKind::Answer {
        next.map.queries = Queries::answer(crate::view::salient_token(&doc.trace));
    }
    next.view = ViewKind::Wall;
    app.command(Command::Replace(Box::new(next)));
}

/// Computes maps on the model's thread and shows the first of them.
pub fn compute(app: &mut App, doc: &Document, methods: &[Method], tokens: &[AnswerIndex]) {
    let (trace, id) = (Arc::clone(&doc.trace), doc.id);
    let request = RelevancyRequest {
        tokens: tokens.to_vec(),
        ..RelevancyRequest::of(methods.iter().copied())
    };
    let (first, methods_asked) = (methods.first().copied(), methods.len());
    tasks::start_on_model(app, "Relevancy", move |engine, reporter, cancel| {
        let (found, _) = engine.relevancy(&trace, &request, cancel, &mut |progress| {
            reporter.say(progress.stage.to_string());
            reporter.progress(progress.done as usize, progress.total as usize);
        })?;
        // Where the answer has a file, the maps belong into it.
        if let Some(path) = found.path() {
            found.write_maps(&trace, path)?;
        }
        let found = Arc::new(found);
        Ok(Box::new(move |app: &mut App| {
            let Some(doc) = app.docs.iter_mut().find(|doc| doc.id == id) else { return };
            let path = doc.path.take();
            doc.replace(found, false);
            doc.path = path.or(doc.path.take());
            let doc = doc.clone();
            if app.doc().is_none_or(|shown| shown.id != id) {
                return;
            }
            if first == Some(Method::GRADIENT_ATTENTION) {
                show_pages(app, &doc);
                return;
            }
            app.send(Intent::ShowPanel(Pane::WhyWord));
            // What is looked at stays, unless it is something else than relevancy.
            let is_map = MAPS.iter().find(|(method, ..)| Some(*method) == first);
            let asked_for_one =
                methods_asked == 1 || doc.state().map.source == MapSource::Attention;
            if let (Some((method, ..)), true) = (is_map, asked_for_one) {
                show_map(app, &doc, *method);
            }
        }) as Outcome)
    });
}

fn all_answers(doc: &Document) -> Vec<AnswerIndex> {
    (0..doc.extent.answers).map(AnswerIndex).collect()
}

/// The answer tokens that the view shows.
fn chosen_answers(doc: &Document) -> Vec<AnswerIndex> {
    let queries = &doc.state().map.queries;
    match queries.kind {
        QueryKind::Answer => {
            queries.set.members(doc.extent.answers).into_iter().map(AnswerIndex).collect()
        }
        QueryKind::Position => all_answers(doc),
    }
}

/// Whether a map was computed for tokens.
fn is_there(trace: &Trace, method: Method, tokens: &[AnswerIndex]) -> bool {
    tokens.iter().all(|&token| trace.has_map_row(method.tensor, token))
}

/// Colours of the shares: the picture's is the data's, the others step back.
fn share_colors(ui: &Ui) -> [Color32; 3] {
    let ink = ink(ui);
    [picture_color(0.78), ink.muted, ink.muted.gamma_multiply(0.45)]
}

fn picture_color(share: f32) -> Color32 {
    color_of(ColorMap::Inferno, share)
}

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

/// A word, shaded by its picture share, and what it rests on.
fn word_row(app: &mut App, ui: &mut Ui, doc: &Document, word: &AnswerWord) {
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
    let place = column(0.0, 0.32);
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
    let track = column(0.34, 0.84).shrink2(vec2(0.0, 8.0));
    ui.painter().rect_filled(track, 1.0, ink.hairline);
    let mut left = track.left();
    for (share, color) in [picture, question, answer].into_iter().zip(share_colors(ui)) {
        let width = track.width() * share;
        let part = Rect::from_min_size(pos2(left, track.top()), vec2(width, track.height()));
        ui.painter().rect_filled(part, 0.0, color);
        left += width;
    }
    let percent = |share: f32| format!("{:.0} %", share * 100.0);
    let font = theme::plain(theme::SMALL);
    text_in(ui, column(0.84, 1.0), Align2::RIGHT_CENTER, &percent(picture), font, ink.text);
    if response.clicked() {
        choose(app, doc, word.queries());
    } else if response.hovered() {
        app.preview = Some(Command::SetQueries(word.queries()));
    }
    response.on_hover_text(format!(
        "picture {} · question {} · answer before {} · template and system {}",
        percent(picture),
        percent(question),
        percent(answer),
        percent(other)
    ));
}

/// Shows words; the source stays.
pub fn choose(app: &mut App, doc: &Document, queries: Queries) {
    if doc.state().map.queries != queries {
        app.command(Command::SetQueries(queries));
    }
}

/// The question's words against the picture, for the chosen words.
fn question(app: &mut App, ui: &mut Ui, doc: &Document, words: &[AnswerWord]) {
    let shown = app.shown.map.queries.clone();
    let tokens: Vec<AnswerIndex> =
        shown.set.members(doc.extent.answers).into_iter().map(AnswerIndex).collect();
    let row = (shown.kind == QueryKind::Answer)
        .then(|| mean_row(&doc.trace, Method::LLM.tensor, &tokens))
        .flatten();
    let Some(row) = row else {
        muted(ui, "Choose a word of the answer to see which words of the question it rests on.");
        return;
    };
    let chosen: Vec<&str> =
        words.iter().filter(|word| word.is_chosen(&shown)).map(|word| word.text.as_str()).collect();
    let of = if chosen.len() == words.len() { "the answer".into() } else { chosen.join(" ") };
    ui.label(theme::strong_text(format!("What “{of}” rests on"), theme::SMALL));
    let text = TextRelevancy::of(&row, &doc.trace);
    let largest = text.words.iter().map(|word| word.value).fold(text.patch_max, f32::max);
    bar(ui, "picture, strongest patch", text.patch_max, largest, true);
    let mut order: Vec<usize> = (0..text.words.len()).collect();
    order.sort_by(|&a, &b| text.words[b].value.total_cmp(&text.words[a].value));
    for &index in order.iter().take(SHOWN) {
        let word = &text.words[index];
        let response = bar(ui, &token_text(&word.text), word.value, largest, false);
        let kept: Vec<u32> = word
            .keys
            .iter()
            .map(|&key| key as u32)
            .filter(|key| doc.extent.rows.contains(key))
            .collect();
        let response = response.on_hover_text("Click: what this word of the question looked at");
        if response.clicked() && !kept.is_empty() {
            let mut next = doc.state().clone();
            next.map.source = MapSource::Attention;
            if next.view.spec().source == SourceRule::Relevancy {
                next.view = ViewKind::Overlay;
            }
            let set = AxisSet::of(Aggregate::Mean, kept);
            next.map.queries = Queries { kind: QueryKind::Position, set };
            app.command(Command::Replace(Box::new(next)));
        }
    }
    let sum = format!(
        "all patches together {} · all question words {}",
        number(f64::from(text.patch_sum), 1.0),
        number(
            f64::from(text.words.iter().map(|w| w.value * w.keys.len() as f32).sum::<f32>()),
            1.0
        ),
    );
    muted(ui, sum);
}

fn bar(ui: &mut Ui, name: &str, value: f32, largest: f32, is_image: bool) -> egui::Response {
    let ink = ink(ui);
    let sense = if is_image { Sense::hover() } else { Sense::click() };
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), ROW - 4.0), sense);
    let label = format!("Relevancy of question word {name}");
    response.widget_info(|| {
        WidgetInfo::labeled(if is_image { Role::Label } else { Role::Button }, true, &label)
    });
    if response.hovered() && !is_image {
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
    let text = number(f64::from(value), f64::from(largest));
    text_in(ui, column(0.84, 1.0), Align2::RIGHT_CENTER, &text, font, ink.muted);
    response
}
