//! The list of all commands, filtered while one types. A path that is typed here is opened.

use crate::ui::intent::Intent;
use crate::ui::layout::Pane;
use crate::ui::pane::{PaneContext, PaneUi};
use crate::ui::shortcuts::ENTRIES;
use crate::ui::theme;
use crate::ui::widgets::{ink, muted, text_in};
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

/// Rank of a name for a typed query: smaller is better, `None` for no match. A name matches if it has all letters in
/// order; starts of words count more.
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
    /// Keyboard shortcut of the command; empty without one.
    pub keys: String,
    /// Intent that the line sends.
    pub intent: Intent,
}

/// All items: the commands, then the panels.
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

/// The items that match, the best first.
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
        let found = matches(&self.query);
        let path = typed_path(&self.query);
        let keys = Keys::read(ui);
        if keys.closes && !fresh {
            cx.intents.send(Intent::ShowPalette(false));
            return;
        }
        self.move_selection(&keys, found.len());
        let mut chosen = None;
        let list = self.list(ui, &found, path, &keys, &mut chosen);
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
        found: &[Item],
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
                    } else if found.is_empty() {
                        muted(ui, "No command or file matches.");
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
            .hint_text("Type a command, or a path to open")
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
