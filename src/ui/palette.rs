//! The list of everything that can be done, filtered while one types. A path typed here is opened.

use super::app::{App, Intent};
use super::layout::Pane;
use super::shortcuts::ENTRIES;
use super::theme;
use super::widgets::{ink, text_in};
use egui::{Align2, Key, Modifiers, Rect, Role, Sense, Ui, WidgetInfo, pos2, vec2};
use std::path::PathBuf;

/// The state of the palette.
#[derive(Clone, Debug, Default)]
pub struct Palette {
    open: bool,
    /// Opened in this very frame, by keys that must not close it again.
    fresh: bool,
    query: String,
    selected: usize,
}

const ROW: f32 = 32.0;
const WIDTH: f32 = 560.0;
const ROWS: usize = 12;

impl Palette {
    /// Opens or closes it.
    pub fn toggle(&mut self) {
        self.open = !self.open;
        self.fresh = self.open;
        self.query.clear();
        self.selected = 0;
    }

    /// Whether it is open.
    pub const fn is_open(&self) -> bool {
        self.open
    }
}

/// How well a name fits what was typed: smaller is better, `None` not at all. All letters in order;
/// starts of words count more.
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
    let mut rest = name.chars();
    let mut gaps = 0;
    for wanted in query.chars() {
        let mut skipped = 0;
        loop {
            match rest.next() {
                Some(found) if found == wanted => break,
                Some(_) => skipped += 1,
                None => return None,
            }
        }
        gaps += skipped;
    }
    Some(1000 + gaps)
}

/// One line of the palette.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its name.
    pub name: String,
    /// The keys that do the same; empty where there are none.
    pub keys: String,
    /// What it does.
    pub intent: Intent,
}

/// Everything that can be done: the actions, then the panels.
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

/// The items that fit, the best first.
pub fn matches(query: &str) -> Vec<Item> {
    let mut found: Vec<(u32, Item)> =
        items().filter_map(|item| Some((score(&item.name, query)?, item))).collect();
    found.sort_by_key(|(score, _)| *score);
    found.into_iter().map(|(_, item)| item).collect()
}

fn typed_path(query: &str) -> Option<PathBuf> {
    let query = query.trim();
    let path = match query.strip_prefix("~/") {
        Some(rest) => dirs::home_dir()?.join(rest),
        None => PathBuf::from(query),
    };
    (query.contains(['/', '\\', '.']) && path.exists()).then_some(path)
}

/// Draws the palette over everything, if it is open.
pub fn show(app: &mut App, ui: &mut Ui) {
    if !app.palette.open {
        return;
    }
    let found = matches(&app.palette.query);
    let path = typed_path(&app.palette.query);
    let len = found.len();
    let (down, up, enter, escape) = ui.input_mut(|input| {
        let mut pressed = |key| input.consume_key(Modifiers::NONE, key);
        (pressed(Key::ArrowDown), pressed(Key::ArrowUp), pressed(Key::Enter), pressed(Key::Escape))
    });
    let fresh = std::mem::take(&mut app.palette.fresh);
    let close_again = ui.input_mut(|input| input.consume_key(Modifiers::COMMAND, Key::P));
    if (escape || close_again) && !fresh {
        app.palette.toggle();
        return;
    }
    if len > 0 {
        let at = app.palette.selected.min(len - 1);
        app.palette.selected = if down {
            (at + 1) % len
        } else if up {
            (at + len - 1) % len
        } else {
            at
        };
    }
    let mut chosen = None;
    let screen = ui.ctx().content_rect();
    let width = WIDTH.min(screen.width() - 32.0);
    let at =
        pos2(screen.center().x - width / 2.0, screen.top() + (screen.height() * 0.12).min(120.0));
    let modal = egui::Area::new(egui::Id::unique("palette"))
        .order(egui::Order::Foreground)
        .fixed_pos(at)
        .show(ui.ctx(), |ui| {
            egui::Frame::window(ui.style()).inner_margin(8).show(ui, |ui| {
                ui.set_width(width - 18.0);
                let edit = egui::TextEdit::singleline(&mut app.palette.query)
                    .hint_text("Type a command, or a path to open")
                    .font(theme::plain(theme::LARGE))
                    .desired_width(f32::INFINITY)
                    .margin(vec2(8.0, 8.0));
                let response = ui.add(edit);
                response.widget_info(|| WidgetInfo::labeled(Role::TextInput, true, "Command"));
                response.request_focus();
                if response.changed() {
                    app.palette.selected = 0;
                }
                ui.add_space(4.0);
                if let Some(path) = &path {
                    let text = format!("Open {}", path.display());
                    if ui.add_sized([ui.available_width(), ROW], egui::Button::new(text)).clicked()
                        || enter
                    {
                        chosen = Some(Intent::Open(path.clone()));
                    }
                } else if found.is_empty() {
                    super::widgets::muted(ui, "Nothing is called that.");
                }
                let height = ROW * ROWS as f32;
                egui::ScrollArea::vertical().max_height(height).show(ui, |ui| {
                    ui.spacing_mut().item_spacing.y = 0.0;
                    for (index, item) in found.iter().enumerate() {
                        let on = index == app.palette.selected && path.is_none();
                        if row(ui, item, on, down || up) || (on && enter) {
                            chosen = Some(item.intent.clone());
                        }
                    }
                });
            });
        });
    let outside = !fresh
        && ui.input(|input| {
            input.pointer.any_pressed()
                && input.pointer.interact_pos().is_some_and(|at| !modal.response.rect.contains(at))
        });
    if outside {
        app.palette.toggle();
    }
    if let Some(intent) = chosen {
        app.palette.toggle();
        app.send(intent);
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
    use crate::ui::shortcuts::UiCommand;

    #[test]
    fn the_best_fit_comes_first() {
        let first = |query: &str| match matches(query)[0].intent {
            Intent::Ui(act) => Some(act),
            _ => None,
        };
        assert_eq!(first("wall"), Some(UiCommand::ShowWall));
        assert_eq!(first("svg"), Some(UiCommand::SaveSvg));
        assert_eq!(first("lvlm"), Some(UiCommand::LvlmInterpretLook));
        assert!(matches("").len() > ENTRIES.len(), "panels are there too");
        assert!(matches!(matches("panel: look")[0].intent, Intent::ShowPanel(Pane::Look)));
        assert!(matches("zzzz").is_empty());
        assert!(score("Next layer", "nl").unwrap() > score("Next layer", "layer").unwrap());
    }
}
