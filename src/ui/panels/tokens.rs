//! The token strip: question and answer as chips of whole words, the picture as one chip. The answer has a line of its
//! own, which a long prompt cannot push away: the prompt is folded to one line.
//!
//! The colour of a word is its attention on the hovered or chosen patches; without any, a line below an answer word
//! shows its probability.

use super::colors::{color_of, within};
use super::transport;
use super::words::{Word, words};
use crate::analysis::verdict::Verdict;
use crate::trace::TokenKind;
use crate::ui::document::Document;
use crate::ui::intent::{Intent, SettingsChange};
use crate::ui::pane::{PaneContext, PaneUi};
use crate::ui::theme;
use crate::ui::value_cache::range_of;
use crate::ui::verdicts::color;
use crate::ui::widgets::{Chip, Icon, ink, muted, paint_icon};
use crate::view::figure::{contrast, number, token_text};
use crate::view::{Aggregate, AxisSet, ColorMap, Command, Queries, QueryKind};
use egui::{Color32, Response, Ui};
use std::ops::Range;

/// The token strip and the transport.
#[derive(Default)]
pub struct Tokens {
    /// Heights of the chips of prompt and answer in the last pass, in points.
    prompt_height: f32,
    answer_height: f32,
    /// The queries that the answer's line was scrolled to.
    followed: Option<Queries>,
}

/// Height of a line of chips.
const LINE: f32 = 26.0;
/// Distance between lines of chips, and between chips.
const GAP: f32 = 3.0;
/// Height of the transport with the gap above it.
const TRANSPORT: f32 = 34.0;
/// Width of the names of both lines.
const NAMES: f32 = 76.0;

/// Height of so many lines of chips.
const fn lines(count: f32) -> f32 {
    count * (LINE + GAP) - GAP
}

impl PaneUi for Tokens {
    fn ui(&mut self, cx: &PaneContext<'_>, ui: &mut Ui) {
        let Some(doc) = cx.current else {
            muted(
                ui,
                "The words of question and answer appear here. Hover over one to see where it \
                attends.",
            );
            return;
        };
        ui.spacing_mut().item_spacing.y = GAP;
        let is_open = cx.settings.prompt_open;
        let words = words(doc.meta());
        let prompt = doc.meta().prompt_len;
        let (asked, said) = words.split_at(words.partition_point(|w| w.positions.start < prompt));
        let advice_height = if cx.settings.advice_seen { 0.0 } else { LINE };
        // An open prompt leaves the answer its line; the answer takes what is left.
        let room = ui.available_height() - TRANSPORT - advice_height;
        let most = (room - 2.0 * LINE - GAP).max(LINE);
        let prompt_room = if is_open { self.prompt_height.clamp(LINE, most) } else { LINE };
        let answer_room = (room - prompt_room - GAP).max(LINE);
        let coloring = Coloring::new(cx, doc);
        let mut strip = Strip { cx, doc, coloring: &coloring, follow: false };
        self.prompt_height = named_line(
            ui,
            prompt_room,
            |ui| fold_button(cx, ui),
            |ui| {
                if is_open {
                    scroll(ui, "prompt", |ui| strip.wrapped(ui, asked))
                } else {
                    strip.one_line(ui, asked);
                    LINE
                }
            },
        );
        let queries = &cx.shown.map.queries;
        strip.follow =
            self.followed.as_ref() != Some(queries) && !ui.input(|i| i.pointer.any_down());
        self.followed = Some(queries.clone());
        self.answer_height = named_line(
            ui,
            answer_room,
            |ui| {
                muted(ui, "Answer");
            },
            |ui| scroll(ui, "answer", |ui| strip.wrapped(ui, said)),
        );
        advice(cx, ui);
        transport::show(cx, ui);
        let wanted_prompt = if is_open { self.prompt_height.min(lines(5.0)) } else { LINE };
        let wanted = wanted_prompt + GAP + self.answer_height.clamp(LINE, lines(3.0));
        cx.output.tokens_height.set(Some(wanted + GAP + TRANSPORT + advice_height));
    }
}

/// A name at the left and a line of chips beside it; returns the height that `chips` returns.
fn named_line(
    ui: &mut Ui,
    height: f32,
    name: impl FnOnce(&mut Ui),
    chips: impl FnOnce(&mut Ui) -> f32,
) -> f32 {
    let (rect, _) =
        ui.allocate_exact_size(egui::vec2(ui.available_width(), height), egui::Sense::hover());
    let part = |ui: &mut Ui, rect: egui::Rect, layout: egui::Layout| {
        let mut child = ui.new_child(egui::UiBuilder::new().max_rect(rect).layout(layout));
        child.set_clip_rect(rect.expand(2.0).intersect(ui.clip_rect()));
        child
    };
    let centred = egui::Layout::left_to_right(egui::Align::Center);
    let first_line = egui::Rect::from_min_size(rect.min, egui::vec2(NAMES, LINE));
    name(&mut part(ui, first_line, centred));
    let rest = rect.with_min_x(rect.left() + NAMES);
    chips(&mut part(ui, rest, egui::Layout::top_down(egui::Align::Min)))
}

/// Chips that scroll if they need more height than there is; returns the height that they need.
fn scroll(ui: &mut Ui, name: &str, add: impl FnOnce(&mut Ui)) -> f32 {
    let area = egui::ScrollArea::vertical().id_salt(name).auto_shrink([false, false]);
    area.show(ui, |ui| {
        ui.spacing_mut().item_spacing = egui::vec2(GAP, GAP);
        ui.horizontal_wrapped(add);
        ui.min_rect().height()
    })
    .inner
}

/// The button that folds the prompt.
fn fold_button(cx: &PaneContext<'_>, ui: &mut Ui) {
    let is_open = cx.settings.prompt_open;
    let name = if is_open { "Fold the prompt" } else { "Show the whole prompt" };
    let (rect, response) =
        ui.allocate_exact_size(egui::vec2(NAMES - 8.0, LINE), egui::Sense::click());
    response.widget_info(|| egui::WidgetInfo::selected(egui::Role::Button, true, is_open, name));
    let ink = ink(ui);
    let color = if response.hovered() || response.has_focus() { ink.text } else { ink.muted };
    let font = theme::plain(theme::SMALL);
    let drawn =
        ui.painter().text(rect.left_center(), egui::Align2::LEFT_CENTER, "Prompt", font, color);
    let icon = if is_open { Icon::Unfolded } else { Icon::Folded };
    let place = egui::pos2(drawn.right() + 10.0, rect.center().y);
    paint_icon(ui, icon, egui::Rect::from_center_size(place, egui::Vec2::splat(12.0)), color);
    if response.on_hover_text(name).clicked() {
        cx.intents.send(Intent::Settings(SettingsChange::PromptOpen(!is_open)));
    }
}

/// The hint of the first start.
fn advice(cx: &PaneContext<'_>, ui: &mut Ui) {
    if cx.settings.advice_seen {
        return;
    }
    ui.horizontal(|ui| {
        ui.set_height(LINE - GAP);
        let text = "Hover over a word, drag across the matrix, or press W for every head at once.";
        ui.label(egui::RichText::new(text).color(ink(ui).accent));
        if ui.small_button("Got it").clicked() {
            cx.intents.send(Intent::Settings(SettingsChange::AdviceSeen));
        }
    });
}

/// Numbers that the chips are coloured by.
struct Coloring {
    /// Attention of each stored row on the active patches; empty without such patches.
    looking: std::sync::Arc<Vec<f32>>,
    range: [f32; 2],
}

impl Coloring {
    fn new(cx: &PaneContext<'_>, doc: &Document) -> Self {
        let patches = cx.active_patches();
        // While an object is being drawn the words wait: every row of the answer would be read in every frame.
        let has_object = cx.shown.chosen_object().is_some() && cx.marking.gesture.is_none();
        let looking = if patches.is_empty() && !has_object {
            Default::default()
        } else {
            cx.values.looking(doc, cx.shown, &patches)
        };
        Self { range: answer_range(doc, &looking), looking }
    }
}

/// A line of chips.
struct Strip<'a> {
    cx: &'a PaneContext<'a>,
    doc: &'a Document,
    coloring: &'a Coloring,
    /// Whether the line scrolls to the selected word.
    follow: bool,
}

impl Strip<'_> {
    /// Chips in one line, which is cut at the right.
    fn one_line(&self, ui: &mut Ui, words: &[Word]) {
        let area =
            egui::ScrollArea::horizontal().id_salt("prompt line").auto_shrink([false, false]);
        area.show(ui, |ui| {
            ui.horizontal(|ui| {
                ui.spacing_mut().item_spacing = egui::vec2(GAP, 0.0);
                self.wrapped(ui, words);
            });
        });
    }

    fn wrapped(&self, ui: &mut Ui, words: &[Word]) {
        let Self { cx, doc, .. } = *self;
        let prompt = doc.meta().prompt_len;
        let mut dragged: Option<Range<u32>> = None;
        let pointer = ui.input(|input| input.pointer.interact_pos());
        let shares = cx.picture_shares(doc);
        for word in words {
            let is_answer = word.positions.start >= prompt;
            let share = word.picture.and_then(|picture| shares.get(&picture)).copied();
            let token = word.positions.start.checked_sub(prompt);
            let verdict = token.and_then(|token| cx.verdict(doc, token));
            let is_marked = cx.marked.iter().any(|position| word.positions.contains(position));
            let about = (is_answer, is_marked, verdict);
            let (response, selected) = chip(ui, doc, (word, share), self.coloring, about);
            if is_answer && pointer.is_some_and(|at| response.rect.contains(at)) {
                dragged = Some(word.positions.clone());
            }
            if self.follow && selected && is_answer {
                response.scroll_to_me(None);
            }
            act_on(cx, ui, doc, word, is_answer, &response);
        }
        if words.first().is_some_and(|word| word.positions.start >= prompt) {
            drag(cx, ui, doc, dragged);
        }
    }
}

/// The range over the spoken answer tokens, so that their colours can be compared.
fn answer_range(doc: &Document, looking: &[f32]) -> [f32; 2] {
    let rows = doc.trace.rows();
    let first = doc.meta().prompt_len.saturating_sub(1);
    let values: Vec<f32> = rows
        .iter()
        .zip(looking)
        .filter(|(row, _)| **row >= first)
        .map(|(_, value)| *value)
        .collect();
    range_of(&values)
}

/// The row of attention of a position: for an answer token the row that predicted it.
fn row_of(doc: &Document, position: u32) -> Option<usize> {
    let prompt = doc.meta().prompt_len;
    let query = if position >= prompt { position - 1 } else { position };
    doc.trace.rows().binary_search(&query).ok()
}

fn chip(
    ui: &mut Ui,
    doc: &Document,
    (word, share): (&Word, Option<f32>),
    coloring: &Coloring,
    (is_answer, is_marked, verdict): (bool, bool, Option<Verdict>),
) -> (Response, bool) {
    let ink = ink(ui);
    let state = doc.state();
    let selected = word.positions.clone().any(|position| {
        let index = position.checked_sub(doc.meta().prompt_len);
        match (state.map.queries.kind, index) {
            (QueryKind::Answer, Some(index)) => state.map.queries.set.contains(index),
            (QueryKind::Position, _) => {
                state.map.queries.set.named().is_some_and(|set| set.contains(&position))
            }
            _ => false,
        }
    });
    let text = match share {
        Some(share) => format!("{} · {:.0} %", word.text, share * 100.0),
        None => word.text.clone(),
    };
    let is_chosen = share.is_some() && word.picture == Some(state.picture.index);
    let mut chip = Chip { selected: selected || is_chosen, hot: is_marked, ..Chip::new(&text) };
    let spoken = matches!(word.kind, TokenKind::Question | TokenKind::Answer);
    if !spoken {
        chip.color = Some(ink.muted);
    }
    if word.kind == TokenKind::Image {
        chip.fill = Some(ink.raised);
    }
    let rows: Vec<usize> =
        word.positions.clone().filter_map(|position| row_of(doc, position)).collect();
    if !coloring.looking.is_empty() && spoken && is_answer {
        let values: Vec<f32> =
            rows.iter().filter_map(|&row| coloring.looking.get(row)).copied().collect();
        if !values.is_empty() {
            let value = values.iter().sum::<f32>() / values.len() as f32;
            let fill = color_of(ColorMap::Coolwarm, within(value, coloring.range));
            chip.fill = Some(fill);
            chip.color = Some(readable_on(fill));
        }
    } else if is_answer && spoken {
        chip.meter = Some(probability(doc, word));
        chip.meter_color = verdict.map(|verdict| color(ui, verdict));
    }
    let name = match word.kind {
        TokenKind::Image if share.is_some() => format!("Choose {}", word.text),
        TokenKind::Image => format!("Picture, {} patches", word.positions.len()),
        TokenKind::Answer => format!("Answer word {}", word.text),
        TokenKind::Question => format!("Question word {}", word.text),
        TokenKind::System | TokenKind::Special | TokenKind::Separator => word.text.clone(),
    };
    chip.name = &name;
    (chip.show(ui), selected)
}

fn readable_on(fill: Color32) -> Color32 {
    let rgb = [fill.r(), fill.g(), fill.b()];
    let (dark, light) = ([0x10, 0x11, 0x12], [0xff, 0xff, 0xff]);
    theme::color(if contrast(rgb, dark) > contrast(rgb, light) { dark } else { light })
}

/// Probability of the whole word.
fn probability(doc: &Document, word: &Word) -> f32 {
    let logprobs = doc.trace.answer_logprobs();
    let prompt = doc.meta().prompt_len;
    let of = |position: u32| logprobs.get((position.checked_sub(prompt)?) as usize).copied();
    word.positions.clone().filter_map(of).sum::<f32>().exp()
}

/// The queries that a word stands for.
fn queries_of(doc: &Document, word: &Word, is_answer: bool) -> Option<Queries> {
    let prompt = doc.meta().prompt_len;
    let (kind, offset) =
        if is_answer { (QueryKind::Answer, prompt) } else { (QueryKind::Position, 0) };
    let kept: Vec<u32> = word
        .map_positions
        .iter()
        .filter(|&&position| row_of(doc, position).is_some())
        .map(|position| position - offset)
        .collect();
    let has_map = matches!(word.kind, TokenKind::Question | TokenKind::Answer | TokenKind::Special);
    (has_map && !kept.is_empty())
        .then(|| Queries { kind, set: AxisSet::new(Aggregate::Mean, kept) })
}

fn act_on(
    cx: &PaneContext<'_>,
    ui: &Ui,
    doc: &Document,
    word: &Word,
    is_answer: bool,
    response: &Response,
) {
    let several = doc.extent.picture_numbers().len() > 1;
    if let Some(picture) = word.picture.filter(|_| several) {
        if response.clicked() {
            cx.intents.command(Command::SetPicture(picture));
        } else if response.hovered() {
            cx.preview(Command::SetPicture(picture));
        }
        response.clone().on_hover_text("Its share of the map; click to choose it");
        return;
    }
    if word.kind == TokenKind::Image {
        if response.clicked() {
            cx.intents.command(Command::SetQueries(Queries {
                kind: QueryKind::Answer,
                set: AxisSet::MEAN,
            }));
        }
        response.clone().on_hover_text("Mean over all answer tokens");
        return;
    }
    let Some(queries) = queries_of(doc, word, is_answer) else {
        if response.hovered() && word.kind != TokenKind::System {
            response.clone().on_hover_text("The attention of this position was not kept.");
        }
        return;
    };
    map_menu(cx, doc, word, is_answer, response);
    if response.clicked() {
        let adds = ui.input(|input| input.modifiers.shift);
        let chosen = if adds { joined(&doc.state().map.queries, &queries) } else { queries };
        cx.intents.command(Command::SetQueries(chosen));
    } else if response.hovered() && !response.dragged() {
        cx.preview(Command::SetQueries(queries));
        hover_text(cx, doc, word, is_answer, response);
    }
}

/// Menu of a word of several tokens: the map of each, or the mean of all.
fn map_menu(
    cx: &PaneContext<'_>,
    doc: &Document,
    word: &Word,
    is_answer: bool,
    response: &Response,
) {
    if word.positions.len() < 2 {
        return;
    }
    response.context_menu(|ui| {
        let mut choose = |text: String, positions: Vec<u32>| {
            let one = Word { map_positions: positions, ..word.clone() };
            if let Some(queries) = queries_of(doc, &one, is_answer)
                && ui.button(text).clicked()
            {
                cx.intents.command(Command::SetQueries(queries));
                ui.close();
            }
        };
        for position in word.positions.clone() {
            let piece = &doc.meta().tokens[position as usize].text;
            choose(format!("Map of token {}", piece_name(piece)), vec![position]);
        }
        let all = word.positions.clone().collect();
        choose(format!("Mean of its {} tokens", word.positions.len()), all);
    });
}

/// A token as it is in the vocabulary: a byte by its number, anything else by its text.
fn piece_name(piece: &str) -> String {
    let bytes = piece.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
    bytes.map_or_else(|| token_text(piece), str::to_owned)
}

fn hover_text(
    cx: &PaneContext<'_>,
    doc: &Document,
    word: &Word,
    is_answer: bool,
    response: &Response,
) {
    let positions = match word.positions.len() {
        1 => format!("position {}", word.positions.start),
        _ => format!("positions {}–{}", word.positions.start, word.positions.end - 1),
    };
    let mut text = positions;
    if is_answer {
        let probability = f64::from(probability(doc, word)) * 100.0;
        text = format!("{text} · p = {} %", number(probability, 100.0));
    }
    if word.positions.len() > 1 {
        let tokens = &doc.meta().tokens[word.positions.start as usize..word.positions.end as usize];
        let pieces: Vec<String> = tokens.iter().map(|token| piece_name(&token.text)).collect();
        text = format!("{text} · tokens {}", pieces.join(" "));
    }
    if cx.active_patches().is_empty() {
        response.clone().on_hover_text(text);
    }
}

/// The words of the answer with their queries, for jumps.
pub fn answer_words(doc: &Document) -> Vec<(String, Queries)> {
    let prompt = doc.meta().prompt_len;
    let said = words(doc.meta()).into_iter().filter(|word| word.positions.start >= prompt);
    said.filter_map(|word| Some((word.text.clone(), queries_of(doc, &word, true)?))).collect()
}

/// Adds words to the chosen ones; words of the other kind replace them. Words that are
/// all chosen already are removed instead, as long as others remain.
fn joined(now: &Queries, more: &Queries) -> Queries {
    let (Some(old), Some(new)) = (now.set.named(), more.set.named()) else { return more.clone() };
    if now.kind != more.kind {
        return more.clone();
    }
    let all_in = new.iter().all(|index| old.contains(index));
    let indices: Vec<u32> = if all_in && old.len() > new.len() {
        old.iter().copied().filter(|index| !new.contains(index)).collect()
    } else {
        old.iter().chain(new).copied().collect()
    };
    let how = match now.set.aggregate() {
        Aggregate::Max => Aggregate::Max,
        _ => Aggregate::Mean,
    };
    Queries { kind: now.kind, set: AxisSet::new(how, indices) }
}

/// Dragging over answer words chooses all between the first and the present one.
fn drag(cx: &PaneContext<'_>, ui: &Ui, doc: &Document, under: Option<Range<u32>>) {
    let id = egui::Id::unique("token drag");
    let (pressed, down, released) = ui.input(|input| {
        (
            input.pointer.primary_pressed(),
            input.pointer.primary_down(),
            input.pointer.any_released(),
        )
    });
    if pressed {
        ui.data_mut(|data| match &under {
            Some(word) => {
                data.insert_temp(id, word.clone());
            }
            None => data.remove::<Range<u32>>(id),
        });
    }
    let start: Option<Range<u32>> = ui.data(|data| data.get_temp(id));
    if released {
        ui.data_mut(|data| data.remove::<Range<u32>>(id));
        return;
    }
    let (Some(start), Some(word)) = (start, under) else { return };
    if !down || start == word {
        return;
    }
    let prompt = doc.meta().prompt_len;
    let range = start.start.min(word.start) - prompt..start.end.max(word.end) - prompt;
    let kept: Vec<u32> = range.filter(|&index| row_of(doc, index + prompt).is_some()).collect();
    if !kept.is_empty() {
        let set = AxisSet::new(Aggregate::Mean, kept);
        cx.intents
            .send(Intent::Scrub(Command::SetQueries(Queries { kind: QueryKind::Answer, set })));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shift_adds_words_and_takes_them_away_again() {
        let of = |indices: &[u32]| Queries {
            kind: QueryKind::Answer,
            set: AxisSet::new(Aggregate::Mean, indices.to_vec()),
        };
        let both = joined(&of(&[1]), &of(&[3, 4]));
        assert_eq!(both, of(&[1, 3, 4]));
        assert_eq!(joined(&both, &of(&[3, 4])), of(&[1]));
        assert_eq!(joined(&of(&[1]), &of(&[1])), of(&[1]));
    }
}
