//! The chat: picture, question, growing answer, earlier answers, model.

use crate::analysis::verdict::Evidence;
use crate::model::MAX_QUESTION_CHARACTERS;
use crate::model::builtin::is_builtin;
use crate::trace::PreprocessMode;
use crate::ui::badges::{Badge, badges};
use crate::ui::chat::{answer_logprob, logprob_text, preprocess_name};
use crate::ui::document::{Document, DocumentId};
use crate::ui::intent::{ChatCommand, Intent, SettingsChange};
use crate::ui::pane::{PaneContext, PaneUi};
use crate::ui::shortcuts::UiCommand;
use crate::ui::system_fonts::{readable, wrapped_text};
use crate::ui::theme;
use crate::ui::verdicts::{Counted, colored_answer, counted};
use crate::ui::widgets::{
    Icon, Mark, badge_size, frame_in_data, hairline, heading, icon_button, ink, muted, paint_badge,
    primary_button, text_in,
};
use crate::view::figure::number;
use egui::{Align2, Key, Modifiers, Rect, Response, Role, Sense, Ui, Vec2, WidgetInfo, pos2, vec2};
use std::path::PathBuf;

/// Largest height of the question's field, in points: six lines.
const FIELD: f32 = 116.0;
/// Lines of the question that stand above the answer.
const QUESTION_LINES: usize = 3;

/// Picture, question, answers, model.
#[derive(Default)]
pub struct ChatPane {
    /// The other answer that is being typed.
    other_answer: String,
}

impl PaneUi for ChatPane {
    fn ui(&mut self, cx: &PaneContext<'_>, ui: &mut Ui) {
        model(cx, ui);
        hairline(ui);
        egui::ScrollArea::vertical().id_salt("chat").auto_shrink([false, false]).show(ui, |ui| {
            question(cx, ui);
            error(cx, ui);
            suggestions(cx, ui);
            answer(cx, ui);
            why_not(cx, ui, &mut self.other_answer);
            history(cx, ui);
            sampling(cx, ui);
            samples(cx, ui);
            captured_samples(cx, ui);
            recent(cx, ui);
        });
    }
}

/// Name and choice of the model, with the progress of loading.
fn model(cx: &PaneContext<'_>, ui: &mut Ui) {
    let name = match (cx.chat.model_name(), cx.chat.bundle()) {
        (Some(name), _) => name.to_owned(),
        (None, Some(bundle)) => model_name(bundle),
        (None, None) => "no model".into(),
    };
    ui.horizontal(|ui| {
        muted(ui, "Model");
        egui::ComboBox::from_id_salt("model")
            .width(ui.available_width())
            .selected_text(name)
            .show_ui(ui, |ui| models(cx, ui))
            .response
            .widget_info(|| WidgetInfo::labeled(Role::ComboBox, true, "Model"));
    });
    if let Some(provider) = &cx.chat.provider {
        let short = provider.strip_suffix("ExecutionProvider").unwrap_or(provider);
        let place = cx.chat.host().map_or_else(String::new, |host| format!(" at {host}"));
        muted(ui, format!("runs on {short}{place}")).on_hover_text(provider);
    }
}

fn file_name(path: &std::path::Path) -> String {
    path.file_name()
        .map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// A model before its own name is known.
fn model_name(bundle: &std::path::Path) -> String {
    if is_builtin(bundle) { "Built-in".into() } else { file_name(bundle) }
}

fn models(cx: &PaneContext<'_>, ui: &mut Ui) {
    if ui.button("Built-in").clicked() {
        cx.intents.act(UiCommand::BuiltInModel);
        ui.close();
    }
    let recent = cx.settings.recent_bundles.iter().filter(|bundle| !is_builtin(bundle));
    for bundle in recent.cloned().collect::<Vec<PathBuf>>() {
        let button = ui.button(file_name(&bundle)).on_hover_text(bundle.display().to_string());
        if button.clicked() {
            cx.intents.send(Intent::UseBundle(bundle));
            ui.close();
        }
    }
    ui.separator();
    if ui.button("Open a model folder…").clicked() {
        cx.intents.act(UiCommand::OpenModel);
        ui.close();
    }
}

/// The question box with its button.
fn question(cx: &PaneContext<'_>, ui: &mut Ui) {
    let picture = cx.chat.picture.as_ref().map(|picture| picture.name.clone());
    heading(ui, picture.as_deref().unwrap_or("No picture yet"), |ui| {
        if ui.small_button("Open…").on_hover_text(UiCommand::OpenFile.hint()).clicked() {
            cx.intents.act(UiCommand::OpenFile);
        }
    });
    let hint = match picture {
        Some(_) => "Ask about this picture",
        None => "Open or drop a picture first",
    };
    // Enter asks; Shift+Enter makes a line.
    let id = egui::Id::unique("question");
    let focused = ui.memory(|memory| memory.has_focus(id));
    let enter = focused
        && ui.input_mut(|input| {
            !input.modifiers.shift && input.consume_key(Modifiers::NONE, Key::Enter)
        });
    let mut text = cx.chat.question.clone();
    let edit = egui::TextEdit::multiline(&mut text)
        .id(id)
        .hint_text(hint)
        .desired_rows(2)
        .desired_width(f32::INFINITY)
        .char_limit(MAX_QUESTION_CHARACTERS)
        .frame(egui::Frame::new().inner_margin(egui::Margin::symmetric(8, 6)));
    // A pasted text of many lines scrolls within its field, and the frame stays.
    let field = egui::ScrollArea::vertical().id_salt("question").max_height(FIELD);
    let frame = ui.painter().add(egui::Shape::Noop);
    let field = field.show(ui, |ui| ui.add(edit));
    let response = field.inner.accessible_name("Question");
    let look = ui.style().interact(&response);
    let stroke = if focused { ui.visuals().selection.stroke } else { look.bg_stroke };
    let (rounding, fill) = (look.corner_radius, ui.visuals().text_edit_bg_color());
    let inside = egui::StrokeKind::Inside;
    let seen = field.inner_rect.intersect(response.rect);
    let shape = egui::epaint::RectShape::new(seen, rounding, fill, stroke, inside);
    ui.painter().set(frame, shape);
    if cx.chat.focus_question {
        response.request_focus();
        cx.intents.send(Intent::Chat(ChatCommand::QuestionFocused));
    }
    if response.changed() {
        cx.intents.send(Intent::Chat(ChatCommand::Question(text.clone())));
    }
    ui.horizontal(|ui| {
        let mut follow_up = cx.chat.follow_up;
        let response = ui.checkbox(&mut follow_up, "follow-up").on_hover_text(
            "Continues the conversation: the model sees the previous question and answer.",
        );
        if response.changed() {
            cx.intents.send(Intent::Chat(ChatCommand::FollowUp(follow_up)));
        }
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            if cx.chat.asking.is_some() {
                if primary_button(ui, "Stop", true).on_hover_text(UiCommand::Stop.hint()).clicked()
                {
                    cx.intents.act(UiCommand::Stop);
                }
            } else {
                let ready = !text.trim().is_empty() && cx.chat.picture.is_some();
                if primary_button(ui, "Ask", ready).clicked() {
                    cx.intents.send(Intent::Ask(text.clone()));
                }
            }
        });
    });
    if enter && !text.trim().is_empty() {
        cx.intents.send(Intent::Ask(text));
    }
}

fn suggestions(cx: &PaneContext<'_>, ui: &mut Ui) {
    if cx.chat.suggestions.is_empty() {
        return;
    }
    let ink = ink(ui);
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing = vec2(4.0, 4.0);
        for suggestion in cx.chat.suggestions.clone() {
            let text = readable(&suggestion, &theme::plain(theme::SMALL)).into_owned();
            let label = egui::RichText::new(text).size(theme::SMALL).color(ink.text);
            let button = egui::Button::new(label).fill(ink.raised).corner_radius(12.0);
            if ui.add(button).clicked() {
                cx.intents.send(Intent::Chat(ChatCommand::Question(suggestion.clone())));
                cx.intents.send(Intent::Ask(suggestion));
            }
        }
    });
    ui.add_space(theme::GRID);
}

/// The error of the last question, below its field.
fn error(cx: &PaneContext<'_>, ui: &mut Ui) {
    if let Some(error) = cx.chat.error.clone() {
        ui.label(egui::RichText::new(&error).color(ink(ui).error));
        ui.horizontal(|ui| {
            if ui.button("Copy").clicked() {
                cx.intents.send(Intent::Copy(error, "Message"));
            }
            if ui.button("Dismiss").clicked() {
                cx.intents.send(Intent::Chat(ChatCommand::DismissError));
            }
        });
        ui.add_space(theme::GRID);
    }
}

/// The answer that is looked at, or that is coming.
fn answer(cx: &PaneContext<'_>, ui: &mut Ui) {
    let waiting = cx
        .chat
        .asking
        .as_ref()
        .map(|asking| (asking.question.clone(), asking.line(cx.chat.host()), asking.document));
    if let Some((question, line, None)) = &waiting {
        hairline(ui);
        asked(ui, question);
        muted(ui, format!("{line} …"));
        return;
    }
    let Some(doc) = cx.current else { return };
    hairline(ui);
    let meta = doc.meta();
    asked(ui, &meta.question);
    let text = if meta.answer.trim().is_empty() { "(empty answer)" } else { meta.answer.trim() };
    let text = if doc.live { format!("{text} …") } else { text.to_owned() };
    if doc.live || !doc.trace.has_blank_logprobs() {
        words(ui, &text, &theme::plain(theme::LARGE));
    } else {
        let measured = cx.values.evidence(doc, doc.state());
        let verdict = |evidence: &Evidence| evidence.verdict(&cx.settings.verdict);
        let font = theme::plain(theme::LARGE);
        let job = colored_answer(ui, &text, &measured, verdict, font);
        ui.add(egui::Label::new(job).wrap()).on_hover_text(
            "Green: grounded in the picture. Yellow: in part. Red: as probable without the picture.",
        );
    }
    let marks = badges_of(cx, doc);
    if !marks.is_empty() {
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing = vec2(4.0, 4.0);
            for badge in marks {
                let (rect, response) =
                    ui.allocate_exact_size(badge_size(ui, badge.text()), Sense::hover());
                response.widget_info(|| WidgetInfo::labeled(Role::Label, true, badge.text()));
                paint_badge(ui, rect, badge.text());
                response.on_hover_text(badge.hint(meta));
            }
        });
    }
    for notice in cx.chat.notices.clone() {
        muted(ui, notice);
    }
    ui.horizontal(|ui| {
        if let Some((_, line, Some(_))) = &waiting {
            muted(ui, line.as_str());
            return;
        }
        let logprob = answer_logprob(&doc.trace);
        let probability = match logprob.exp() {
            p if p < 0.005 => "p < 0.01".to_owned(),
            p => format!("p = {}", number(f64::from(p), 1.0)),
        };
        muted(ui, format!("{probability} · log p = {}", logprob_text(logprob)));
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            let hint = if cx.settings.sampling.is_greedy() {
                "Sampling is greedy: the answer will be the same. Raise the temperature for other \
                answers."
            } else {
                "Another answer, with the next seed"
            };
            if ui.small_button("Again").on_hover_text(hint).clicked() {
                cx.intents.act(UiCommand::Regenerate);
            }
        });
    });
}

/// The question above its answer: the first lines of a long one, until it is clicked.
fn asked(ui: &mut Ui, question: &str) {
    let font = theme::strong(theme::BODY);
    let text = wrapped_text(ui, question, &font);
    let id = ui.scope_id().with("whole question");
    let is_whole = ui.data(|data| data.get_temp::<String>(id)).as_deref() == Some(question);
    let color = ink(ui).text;
    let mut job = egui::text::LayoutJob::simple(text, font, color, ui.available_width());
    job.wrap.max_rows = if is_whole { usize::MAX } else { QUESTION_LINES };
    let galley = ui.painter().layout_job(job);
    let is_cut = galley.elided;
    let sense = if is_cut || is_whole { Sense::click() } else { Sense::hover() };
    let response = ui.add(egui::Label::new(galley).sense(sense));
    if is_cut && response.clicked() {
        ui.data_mut(|data| data.insert_temp(id, question.to_owned()));
    } else if is_whole && response.clicked() {
        ui.data_mut(|data| data.remove::<String>(id));
    }
    if is_cut {
        response.on_hover_text("Show the whole question");
    }
}

/// The model's or the user's words, in as many lines as they need.
fn words(ui: &mut Ui, text: &str, font: &egui::FontId) {
    let text = wrapped_text(ui, text, font);
    ui.add(egui::Label::new(egui::RichText::new(text).font(font.clone())).wrap());
}

fn badges_of(cx: &PaneContext<'_>, doc: &Document) -> Vec<Badge> {
    let open = cx.chat.vocabulary.as_ref().map(|bundle| bundle.sha256());
    badges(doc.meta(), doc.is_edited, open)
}

/// Scores another answer to the same question.
fn why_not(cx: &PaneContext<'_>, ui: &mut Ui, other_answer: &mut String) {
    let ready = cx.current.is_some_and(|doc| !doc.live) && cx.chat.picture.is_some();
    if !ready {
        return;
    }
    ui.horizontal(|ui| {
        muted(ui, "Why not");
        let edit = egui::TextEdit::singleline(other_answer)
            .hint_text("another answer")
            .desired_width(ui.available_width() - 68.0);
        let response = ui.add(edit).accessible_name("Another answer to score");
        let enter = response.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
        let can = !other_answer.trim().is_empty();
        let clicked = ui
            .add_enabled(can, egui::Button::new("Score"))
            .on_hover_text("How probable would this answer have been?")
            .clicked();
        if can && (clicked || enter) {
            cx.intents.send(Intent::Score(other_answer.clone()));
        }
    });
}

/// Earlier answers; a click shows one.
fn history(cx: &PaneContext<'_>, ui: &mut Ui) {
    if cx.docs.is_empty() {
        return;
    }
    hairline(ui);
    heading(ui, "Answers", |_| ());
    let rows: Vec<&Document> = cx.docs.iter().rev().collect();
    let mut close: Option<DocumentId> = None;
    let several = rows.iter().any(|doc| doc.picture_name() != rows[0].picture_name());
    let mut pictures: Vec<String> = Vec::new();
    for picture in rows.iter().map(|doc| doc.picture_name()) {
        if !pictures.contains(&picture) {
            pictures.push(picture);
        }
    }
    for picture in pictures {
        if several {
            muted(ui, picture.as_str());
        }
        for doc in rows.iter().filter(|doc| doc.picture_name() == picture) {
            if history_row(cx, ui, doc) {
                close = Some(doc.id);
            }
        }
    }
    if let Some(id) = close {
        cx.intents.send(Intent::Close(id));
    }
}

fn history_row(cx: &PaneContext<'_>, ui: &mut Ui, doc: &Document) -> bool {
    let ink = ink(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 40.0), Sense::click());
    let meta = doc.meta();
    let on = cx.current.is_some_and(|current| current.id == doc.id);
    let marks = badges_of(cx, doc);
    let count = if doc.trace.has_blank_logprobs() {
        counted(&cx.values.evidence(doc, doc.state()), &cx.settings.verdict)
    } else {
        None
    };
    let count = count.map(Counted::text);
    let has_other = cx.docs.iter().any(|other| other.model_name() != doc.model_name());
    let question = match has_other {
        true => format!("{} · {}", meta.question, doc.model_name()),
        false => meta.question.clone(),
    };
    let mut name = format!("{question} {}", meta.answer);
    if let Some(count) = &count {
        name.push_str(&format!(", {count}"));
    }
    for badge in &marks {
        name.push_str(&format!(", {}", badge.text()));
    }
    response.widget_info(|| WidgetInfo::selected(Role::Button, true, on, &name));
    let hovered = ui.rect_contains_pointer(rect);
    if on || hovered {
        ui.painter().rect_filled(
            rect,
            4.0,
            if on { ink.raised } else { ink.raised.gamma_multiply(0.6) },
        );
    }
    if on {
        let line = Rect::from_min_size(rect.min + vec2(0.0, 6.0), vec2(2.0, 28.0));
        ui.painter().rect_filled(line, 1.0, ink.accent);
    }
    let inner = rect.shrink2(vec2(10.0, 3.0));
    let right = inner.right() - if hovered { 28.0 } else { 64.0 };
    let line = |top: f32, right: f32| {
        Rect::from_min_max(
            pos2(inner.left(), inner.top() + top),
            pos2(right, inner.top() + top + 17.0),
        )
    };
    // At the right end of the question, which gets the rest of the line.
    let mut free = inner.right() - if hovered { 28.0 } else { 0.0 };
    let texts = count.iter().map(String::as_str).chain(marks.iter().map(|badge| badge.text()));
    for text in texts.collect::<Vec<_>>().into_iter().rev() {
        let size = badge_size(ui, text);
        let place = Rect::from_min_size(pos2(free - size.x, inner.top()), size);
        if place.left() < inner.left() + 60.0 {
            break;
        }
        paint_badge(ui, place, text);
        free = place.left() - 4.0;
    }
    text_in(
        ui,
        line(0.0, free),
        Align2::LEFT_CENTER,
        &question,
        theme::plain(theme::SMALL),
        ink.muted,
    );
    let answer = meta.answer.trim();
    text_in(
        ui,
        line(17.0, right),
        Align2::LEFT_CENTER,
        answer,
        theme::plain(theme::BODY),
        ink.text,
    );
    let mut close = false;
    if hovered {
        let at = Rect::from_min_size(pos2(rect.right() - 32.0, rect.top() + 6.0), vec2(28.0, 28.0));
        let mut child = ui.new_child(egui::UiBuilder::new().max_rect(at));
        close = icon_button(&mut child, Icon::Close, "Close this answer", false).clicked();
    } else {
        let logprob = answer_logprob(&doc.trace);
        let text =
            if doc.live { "…".to_owned() } else { format!("log p {}", logprob_text(logprob)) };
        let place = line(17.0, inner.right());
        text_in(ui, place, Align2::RIGHT_CENTER, &text, theme::plain(11.0), ink.muted);
    }
    if response.clicked() && !close {
        cx.intents.send(Intent::Show(doc.id));
    }
    close
}

fn sampling(cx: &PaneContext<'_>, ui: &mut Ui) {
    hairline(ui);
    egui::CollapsingHeader::new("Sampling").id_salt("sampling").show(ui, |ui| {
        let (mut sampling, mut mode) = (cx.settings.sampling, cx.settings.preprocess);
        egui::Grid::new("sampling").num_columns(2).spacing([12.0, 6.0]).show(ui, |ui| {
            muted(ui, "Temperature").on_hover_text("0 always takes the most likely token");
            ui.add(egui::Slider::new(&mut sampling.temperature, 0.0..=2.0).max_decimals(2))
                .accessible_name("Temperature");
            ui.end_row();
            muted(ui, "Top-p").on_hover_text(
                "Sample from the smallest set of tokens whose total probability \
                    reaches this value",
            );
            ui.add(egui::Slider::new(&mut sampling.top_p, 0.01..=1.0).max_decimals(2))
                .accessible_name("Top-p");
            ui.end_row();
            muted(ui, "Max tokens");
            ui.add(egui::DragValue::new(&mut sampling.max_new_tokens).range(1..=4096))
                .accessible_name("Max tokens");
            ui.end_row();
            muted(ui, "Seed");
            ui.add(egui::DragValue::new(&mut sampling.seed)).accessible_name("Seed");
            ui.end_row();
            muted(ui, "Preprocess")
                .on_hover_text("How a picture that is not square is fitted to the model's input");
            egui::ComboBox::from_id_salt("preprocess")
                .selected_text(preprocess_name(mode))
                .show_ui(ui, |ui| {
                    for one in
                        [PreprocessMode::Default, PreprocessMode::Resize, PreprocessMode::Pad]
                    {
                        ui.selectable_value(&mut mode, one, preprocess_name(one));
                    }
                })
                .response
                .widget_info(|| WidgetInfo::labeled(Role::ComboBox, true, "Preprocess"));
            ui.end_row();
        });
        if sampling != cx.settings.sampling {
            cx.intents.send(Intent::Settings(SettingsChange::Sampling(sampling)));
        }
        if mode != cx.settings.preprocess {
            cx.intents.send(Intent::Settings(SettingsChange::Preprocess(mode)));
        }
    });
}

/// The built-in pictures; a click opens one and asks about it.
fn samples(cx: &PaneContext<'_>, ui: &mut Ui) {
    let header = egui::CollapsingHeader::new("Sample pictures").id_salt("samples");
    header.default_open(true).show_unindented(ui, |ui| {
        let Some(samples) = cx.samples else {
            cx.intents.send(Intent::DrawSamples);
            return;
        };
        let samples: Vec<(egui::TextureId, String)> =
            samples.iter().map(|(texture, sample)| (texture.id(), sample.title.clone())).collect();
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing = vec2(4.0, 4.0);
            for (index, (texture, title)) in samples.into_iter().enumerate() {
                let label = format!("Sample: {title}");
                let response = small_picture(ui, texture, vec2(62.0, 62.0), &label);
                if response.on_hover_text(title).clicked() {
                    cx.intents.send(Intent::UseSample(index));
                }
            }
        });
    });
}

/// Traces of another model; a click opens one.
fn captured_samples(cx: &PaneContext<'_>, ui: &mut Ui) {
    if cx.captured_samples.is_empty() {
        return;
    }
    let header = egui::CollapsingHeader::new("Captured from a tiny Qwen3-VL").id_salt("captured");
    header.default_open(true).show_unindented(ui, |ui| {
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing = vec2(4.0, 4.0);
            for (texture, sample) in cx.captured_samples {
                let size = texture.size_vec2() * (62.0 / texture.size_vec2().y);
                let size = size * (ui.max_rect().width() / size.x).min(1.0);
                let title = format!("Captured: {}", sample.title);
                if small_picture(ui, texture.id(), size, &title)
                    .on_hover_text(&sample.title)
                    .clicked()
                {
                    cx.intents.send(Intent::Open(sample.path.clone()));
                }
            }
        });
    });
}

/// A small picture as a button.
fn small_picture(ui: &mut Ui, texture: egui::TextureId, size: Vec2, title: &str) -> Response {
    let (rect, response) = ui.allocate_exact_size(size, Sense::click());
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, title));
    let uv = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
    let image = egui::epaint::RectShape::filled(rect, 4.0, egui::Color32::WHITE);
    ui.painter().add(image.with_texture(texture, uv));
    if response.hovered() || response.has_focus() {
        frame_in_data(ui, rect, Mark::Hovered);
    }
    response
}

fn recent(cx: &PaneContext<'_>, ui: &mut Ui) {
    if cx.settings.recent_files.is_empty() {
        return;
    }
    egui::CollapsingHeader::new("Recent files").id_salt("recent").show(ui, |ui| {
        for path in cx.settings.recent_files.clone() {
            let button = egui::Button::new(file_name(&path)).frame(false);
            if ui.add(button).on_hover_text(path.display().to_string()).clicked() {
                cx.intents.send(Intent::Open(path));
            }
        }
    });
}
