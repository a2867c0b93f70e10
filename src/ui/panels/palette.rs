//! The list of all commands, filtered while one types, and the places that can be jumped to: heads ("L12 H5", "12.5"),
//! words of the answer, colour maps, settings, open answers, recent files. A path that is typed here is opened.

use super::quantity::title;
use super::tokens::answer_words;
use crate::trace::PreprocessMode;
use crate::ui::chat::preprocess_name;
use crate::ui::document::Document;
use crate::ui::intent::{BookmarkCommand, DataSetCommand, Intent, SettingsChange};
use crate::ui::layout::Pane;
use crate::ui::pane::{PaneContext, PaneUi};
use crate::ui::shortcuts::{ENTRIES, UiCommand};
use crate::ui::theme;
use crate::ui::view_changes::with_axes;
use crate::ui::widgets::{ink, muted, text_in};
use crate::view::figure::head_name;
use crate::view::{AxisSet, Blend, ColorMap, Command, Interpolation, Quantity, Theme};
use egui::{Align2, Key, Modifiers, Rect, Role, Sense, Ui, WidgetInfo, pos2, vec2};
use std::path::PathBuf;

/// The list of commands, over everything.
#[derive(Default)]
pub struct CommandPalette {
    was_open: bool,
    query: String,
    selected: usize,
}

const ROW: f32 = 32.0;
const WIDTH: f32 = 560.0;
const ROWS: usize = 12;

/// Rank of a name for a typed query: smaller is better, `None` for no match. A name matches if it contains the query, or
/// if the query consists of beginnings of its words in order ("nl", "nextla").
pub fn score(name: &str, query: &str) -> Option<u32> {
    let name = name.to_lowercase();
    let query = query.trim().to_lowercase();
    if query.is_empty() {
        return Some(0);
    }
    if let Some(at) = name.find(&query) {
        let at_word = at == 0 || !name[..at].ends_with(char::is_alphanumeric);
        return Some(if at_word { at as u32 } else { 100 + at as u32 });
    }
    let words: Vec<Vec<char>> = name
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| word.chars().collect())
        .collect();
    let letters: Vec<char> = query.chars().filter(|c| !c.is_whitespace()).collect();
    Some(1000 + skipped_words(&words, &letters)?)
}

/// The number of words that are passed over where `letters` are beginnings of words in order; `None` if they are not.
fn skipped_words(words: &[Vec<char>], letters: &[char]) -> Option<u32> {
    if letters.is_empty() {
        return Some(0);
    }
    let (word, rest) = words.split_first()?;
    let common = word.iter().zip(letters).take_while(|(a, b)| a == b).count();
    // The longest beginning first; fewer letters where the rest would not fit.
    (0..=common).rev().find_map(|taken| {
        let skipped = skipped_words(rest, &letters[taken..])?;
        Some(skipped + u32::from(taken == 0))
    })
}

/// Words by which a command is looked for and that its name lacks.
const OTHER_WORDS: &[(UiCommand, &str)] = &[
    (UiCommand::CheckWords, "grounded grounding verdict hallucinated hallucination"),
    (UiCommand::MarkObject, "region box rectangle lasso"),
    (UiCommand::BestHead, "ranking strongest"),
    (UiCommand::Mean, "average"),
    (UiCommand::MeanLayers, "average"),
    (UiCommand::MeanHeads, "average"),
    (UiCommand::ToggleBos, "sink"),
    (UiCommand::PinMap, "swipe cross-fade difference"),
    (UiCommand::OcclusionMap, "mask perturbation"),
    (UiCommand::HeadOff, "ablate ablation"),
    (UiCommand::EachHeadOff, "ablate ablation"),
    (UiCommand::KnockOutPatches, "knock-out knockout mask"),
    (UiCommand::ComputeRelevancy, "relevance gradient"),
    (UiCommand::TestMap, "faithfulness deletion insertion"),
    (UiCommand::SavePng, "export figure screenshot"),
    (UiCommand::SaveSvg, "export figure vector"),
    (UiCommand::SaveNumbers, "export csv"),
    (UiCommand::RecordFilm, "export video movie mp4 gif"),
    (UiCommand::Present, "slides presentation projector"),
];

/// The rank of a command: by its name, or else by another word that begins with the query.
fn score_of(item: &Item, query: &str) -> Option<u32> {
    /// Behind names that contain the query, before names that only have its letters.
    const OTHER_WORD: u32 = 500;
    let by_name = score(&item.name, query);
    let Intent::Ui(command) = &item.intent else { return by_name };
    let typed = query.trim().to_lowercase();
    let words = OTHER_WORDS.iter().filter(|(of, _)| of == command);
    let mut words = words.flat_map(|(_, words)| words.split(' '));
    let is_other_word = !typed.is_empty() && words.any(|word| word.starts_with(&typed));
    let by_word = is_other_word.then_some(OTHER_WORD);
    by_name.into_iter().chain(by_word).min()
}

/// One line of the palette.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its name.
    pub name: String,
    /// Keyboard shortcut of the command; empty without one.
    pub keys: String,
    /// Intent that the line sends.
    pub intent: Intent,
}

/// The items of every window: the commands, then the panels.
fn items() -> impl Iterator<Item = Item> {
    let acts = ENTRIES.iter().map(|entry| Item {
        name: entry.name.to_owned(),
        keys: entry.act.keys_text(),
        intent: Intent::Ui(entry.act),
    });
    let panels = Pane::ALL.iter().filter(|&&pane| pane != Pane::Stage).map(|&pane| Item {
        name: format!("Panel: {}", pane.title()),
        keys: String::new(),
        intent: Intent::ShowPanel(pane),
    });
    acts.chain(panels)
}

/// The items that match, the best first; `jumps` are places of the present window.
pub fn matches(query: &str, jumps: Vec<Item>) -> Vec<Item> {
    let mut found: Vec<(u32, Item)> =
        items().chain(jumps).filter_map(|item| Some((score_of(&item, query)?, item))).collect();
    found.sort_by_key(|(score, _)| *score);
    found.into_iter().map(|(_, item)| item).collect()
}

/// A layer and a head as they are typed: "L12 H5", "l12h5", "12.5", "layer 12 head 5"; one of them alone with its letter.
pub fn typed_head(query: &str) -> Option<(Option<u32>, Option<u32>)> {
    let query = query.trim().to_lowercase().replace("layer", "l").replace("head", "h");
    let query: String = query.chars().filter(|c| !matches!(c, ' ' | ',' | '·')).collect();
    let number = |text: &str| text.parse::<u32>().ok();
    if let Some((layer, head)) = query.split_once('.') {
        return Some((Some(number(layer)?), Some(number(head)?)));
    }
    match (query.strip_prefix('l'), query.strip_prefix('h')) {
        (Some(rest), _) => match rest.split_once('h') {
            Some((layer, head)) => Some((Some(number(layer)?), Some(number(head)?))),
            None => Some((Some(number(rest)?), None)),
        },
        (None, Some(head)) => Some((None, Some(number(head)?))),
        (None, None) => None,
    }
}

/// The typed head, layer or column of heads; the error says which there are.
fn head_jump(doc: &Document, query: &str) -> Option<Result<Item, String>> {
    let (layer, head) = typed_head(query)?;
    let extent = &doc.extent;
    let is_there = layer.is_none_or(|layer| extent.model.layer_index(layer).is_some())
        && head.is_none_or(|head| head < extent.heads);
    if !is_there {
        let (first, last) =
            (extent.model.layer_number(0), extent.model.layer_number(extent.layers.max(1) - 1));
        let heads = extent.heads.saturating_sub(1);
        return Some(Err(format!("This model has layers {first}–{last} and heads 0–{heads}.")));
    }
    let state = doc.state();
    let (name, command) = match (layer, head) {
        (Some(layer), Some(head)) => (head_name(layer, head), Command::SetLayerHead(layer, head)),
        (Some(layer), None) => (
            format!("L{layer}: mean of its heads"),
            with_axes(state, AxisSet::single(layer), AxisSet::MEAN),
        ),
        (None, Some(head)) => (
            format!("H{head}: mean of the layers"),
            with_axes(state, AxisSet::MEAN, AxisSet::single(head)),
        ),
        (None, None) => return None,
    };
    Some(Ok(Item { name, keys: String::new(), intent: Intent::Command(command) }))
}

/// Places of this window that a query can name.
fn jumps(cx: &PaneContext<'_>) -> Vec<Item> {
    let item = |name: String, keys: &str, intent: Intent| Item { name, keys: keys.into(), intent };
    let mut jumps = Vec::new();
    if let Some(doc) = cx.current {
        for (text, queries) in answer_words(doc) {
            let intent = Intent::Command(Command::SetQueries(queries));
            jumps.push(item(format!("Word: {text}"), "", intent));
        }
        let looks = [
            of_all("Colour map", ColorMap::ALL, ColorMap::name, Command::SetColormap),
            of_all("Blend", Blend::ALL, Blend::name, Command::SetBlend),
            of_all(
                "Interpolation",
                Interpolation::ALL,
                Interpolation::name,
                Command::SetInterpolation,
            ),
            of_all("Matrix", Quantity::ALL, title, Command::SetQuantity),
        ];
        jumps.extend(looks.into_iter().flatten());
    }
    for doc in cx.docs {
        let name = format!("Answer: {} → {}", doc.meta().question, doc.meta().answer.trim());
        jumps.push(item(name, "", Intent::Show(doc.id)));
    }
    for table in cx.data_sets.all() {
        let intent = Intent::DataSet(DataSetCommand::Show(table.id));
        jumps.push(item(format!("Table: {}", table.name()), "", intent));
    }
    for (index, bookmark) in cx.settings.bookmarks.iter().enumerate() {
        let intent = Intent::Bookmark(BookmarkCommand::GoTo(index));
        jumps.push(item(format!("Bookmark: {}", bookmark.note), "", intent));
    }
    for path in &cx.settings.recent_files {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = format!("Open {}", name.unwrap_or_else(|| path.display().to_string()));
        jumps.push(item(name, "recent file", Intent::Open(path.clone())));
    }
    let themes = [("dark", Some(Theme::Dark)), ("light", Some(Theme::Light)), ("system", None)];
    let setting = |name: String, change| item(name, "setting", Intent::Settings(change));
    for (name, theme) in themes {
        jumps.push(setting(format!("Theme: {name}"), SettingsChange::Theme(theme)));
    }
    for (name, is_on) in [("on", true), ("off", false)] {
        jumps.push(setting(
            format!("Cross-fade between views: {name}"),
            SettingsChange::Animate(is_on),
        ));
        let change = SettingsChange::PromptOpen(is_on);
        jumps.push(setting(format!("Whole prompt in the token strip: {name}"), change));
    }
    for mode in [PreprocessMode::Default, PreprocessMode::Resize, PreprocessMode::Pad] {
        let name = format!("Fit of pictures: {}", preprocess_name(mode));
        jumps.push(setting(name, SettingsChange::Preprocess(mode)));
    }
    jumps
}

/// One item for each variant of a choice.
fn of_all<T: Copy>(
    title: &str,
    all: &[T],
    name: impl Fn(T) -> &'static str,
    command: impl Fn(T) -> Command,
) -> Vec<Item> {
    let item = |&value: &T| Item {
        name: format!("{title}: {}", name(value)),
        keys: String::new(),
        intent: Intent::Command(command(value)),
    };
    all.iter().map(item).collect()
}

fn typed_path(query: &str) -> Option<PathBuf> {
    let query = query.trim();
    let path = match query.strip_prefix("~/") {
        Some(rest) => dirs::home_dir()?.join(rest),
        None => PathBuf::from(query),
    };
    (query.contains(['/', '\\', '.']) && path.exists()).then_some(path)
}

impl PaneUi for CommandPalette {
    fn ui(&mut self, cx: &PaneContext<'_>, ui: &mut Ui) {
        let was_open = std::mem::replace(&mut self.was_open, cx.palette_open);
        if !cx.palette_open {
            return;
        }
        // Opened in this frame, by a key or a click that must not close it again.
        let fresh = !was_open;
        if fresh {
            self.query.clear();
            self.selected = 0;
        }
        let typed = !self.query.trim().is_empty();
        let mut found = matches(&self.query, if typed { jumps(cx) } else { Vec::new() });
        let path = typed_path(&self.query);
        let mut hint = None;
        match cx.current.and_then(|doc| head_jump(doc, &self.query)) {
            Some(Ok(item)) => found.insert(0, item),
            Some(Err(text)) => hint = Some(text),
            None => {}
        }
        let keys = Keys::read(ui);
        if keys.closes && !fresh {
            cx.intents.send(Intent::ShowPalette(false));
            return;
        }
        self.move_selection(&keys, found.len());
        let mut chosen = None;
        let list = self.list(ui, (&found, hint), path, &keys, &mut chosen);
        let outside = !fresh
            && ui.input(|input| {
                input.pointer.any_pressed()
                    && input.pointer.interact_pos().is_some_and(|at| !list.contains(at))
            });
        if outside || chosen.is_some() {
            cx.intents.send(Intent::ShowPalette(false));
        }
        if let Some(intent) = chosen {
            cx.intents.send(intent);
        }
    }
}

/// The keys that the palette takes for itself.
struct Keys {
    down: bool,
    up: bool,
    enter: bool,
    closes: bool,
}

impl Keys {
    fn read(ui: &mut Ui) -> Self {
        ui.input_mut(|input| {
            let mut pressed = |modifiers, key| input.consume_key(modifiers, key);
            let escape = pressed(Modifiers::NONE, Key::Escape);
            let again = pressed(Modifiers::COMMAND, Key::P);
            Self {
                down: pressed(Modifiers::NONE, Key::ArrowDown),
                up: pressed(Modifiers::NONE, Key::ArrowUp),
                enter: pressed(Modifiers::NONE, Key::Enter),
                closes: escape || again,
            }
        })
    }
}

impl CommandPalette {
    fn move_selection(&mut self, keys: &Keys, len: usize) {
        if len == 0 {
            return;
        }
        let at = self.selected.min(len - 1);
        self.selected = match (keys.down, keys.up) {
            (true, _) => (at + 1) % len,
            (false, true) => (at + len - 1) % len,
            (false, false) => at,
        };
    }

    /// Draws the text field and the matching items; returns their rectangle.
    fn list(
        &mut self,
        ui: &Ui,
        (found, hint): (&[Item], Option<String>),
        path: Option<PathBuf>,
        keys: &Keys,
        chosen: &mut Option<Intent>,
    ) -> Rect {
        let screen = ui.ctx().content_rect();
        let width = WIDTH.min(screen.width() - 32.0);
        let top = screen.top() + (screen.height() * 0.12).min(120.0);
        let at = pos2(screen.center().x - width / 2.0, top);
        let area = egui::Area::new(egui::Id::unique("palette"))
            .order(egui::Order::Foreground)
            .fixed_pos(at)
            .show(ui.ctx(), |ui| {
                egui::Frame::window(ui.style()).inner_margin(8).show(ui, |ui| {
                    ui.set_width(width - 18.0);
                    self.edit(ui);
                    ui.add_space(4.0);
                    if let Some(path) = &path {
                        let text = format!("Open {}", path.display());
                        let button = egui::Button::new(text);
                        let clicked = ui.add_sized([ui.available_width(), ROW], button).clicked();
                        if clicked || keys.enter {
                            *chosen = Some(Intent::Open(path.clone()));
                        }
                    } else if let Some(hint) = &hint {
                        muted(ui, hint);
                    } else if found.is_empty() {
                        muted(ui, "No command, place or file matches.");
                    }
                    let height = ROW * ROWS as f32;
                    egui::ScrollArea::vertical().max_height(height).show(ui, |ui| {
                        ui.spacing_mut().item_spacing.y = 0.0;
                        for (index, item) in found.iter().enumerate() {
                            let on = index == self.selected && path.is_none();
                            if row(ui, item, on, keys.down || keys.up) || (on && keys.enter) {
                                *chosen = Some(item.intent.clone());
                            }
                        }
                    });
                });
            });
        area.response.rect
    }

    fn edit(&mut self, ui: &mut Ui) {
        let edit = egui::TextEdit::singleline(&mut self.query)
            .hint_text("A command, a head (L4 H1), a word, a file …")
            .font(theme::plain(theme::LARGE))
            .desired_width(f32::INFINITY)
            .margin(vec2(8.0, 8.0));
        let response = ui.add(edit);
        response.widget_info(|| WidgetInfo::labeled(Role::TextInput, true, "Command"));
        response.request_focus();
        if response.changed() {
            self.selected = 0;
        }
    }
}

fn row(ui: &mut Ui, item: &Item, on: bool, moved: bool) -> bool {
    let ink = ink(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), ROW), Sense::click());
    response.widget_info(|| WidgetInfo::selected(Role::Button, true, on, &item.name));
    if on && moved {
        response.scroll_to_me(None);
    }
    if on || response.hovered() {
        ui.painter().rect_filled(rect, 4.0, if on { ink.raised_hover } else { ink.raised });
    }
    let inner = rect.shrink2(vec2(8.0, 0.0));
    text_in(ui, inner, Align2::LEFT_CENTER, &item.name, theme::plain(theme::BODY), ink.text);
    let right = Rect::from_min_max(pos2(inner.right() - 120.0, inner.top()), inner.max);
    text_in(ui, right, Align2::RIGHT_CENTER, &item.keys, theme::plain(theme::SMALL), ink.muted);
    response.clicked()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn the_best_fit_comes_first() {
        let matches = |query: &str| matches(query, Vec::new());
        let first = |query: &str| match matches(query)[0].intent {
            Intent::Ui(act) => Some(act),
            _ => None,
        };
        assert_eq!(first("wall"), Some(UiCommand::ShowWall));
        assert_eq!(first("svg"), Some(UiCommand::SaveSvg));
        assert_eq!(first("lvlm"), Some(UiCommand::LvlmInterpretLook));
        for word in ["grounded", "verdict", "hallucination"] {
            assert_eq!(first(word), Some(UiCommand::CheckWords), "{word}");
        }
        assert_eq!(first("faithfulness"), None, "the panel of this name");
        assert!(matches("").len() > ENTRIES.len(), "panels are there too");
        assert!(matches!(matches("panel: display")[0].intent, Intent::ShowPanel(Pane::Look)));
        assert!(matches("zzzz").is_empty());
        assert!(score("Next layer", "nl").unwrap() > score("Next layer", "layer").unwrap());
        assert!(score("Next answer token", "neto").is_some());
        assert_eq!(score("Pack the walkthrough with its traces…", "caus"), None);
        assert_eq!(score("Block attention to all but the selected patches", "caus"), None);
    }

    #[test]
    fn heads_are_typed_in_several_ways() {
        for text in ["L12 H5", "l12h5", " 12.5 ", "layer 12 head 5", "Layer 12, head 5", "L12·H5"]
        {
            assert_eq!(typed_head(text), Some((Some(12), Some(5))), "{text}");
        }
        assert_eq!(typed_head("L3"), Some((Some(3), None)));
        assert_eq!(typed_head("h7"), Some((None, Some(7))));
        for text in ["", "12", "look", "heads", "1.2.3", "l", "-1.5", "99999999999.1", "fox"] {
            assert_eq!(typed_head(text), None, "{text}");
        }
    }
}
