//! The help screen: all keys, from the table by which they are read.

use crate::ui::intent::Intent;
use crate::ui::pane::{PaneContext, PaneUi};
use crate::ui::shortcuts::{ENTRIES, Section, keys_text};
use crate::ui::theme;
use crate::ui::widgets::{Icon, icon_button, ink, question, text_in};
use egui::{Align2, Rect, Sense, Ui, pos2, vec2};

const COLUMN: f32 = 320.0;
const ROW: f32 = 22.0;

/// The help screen, over everything.
#[derive(Default)]
pub struct Help;

impl PaneUi for Help {
    fn ui(&mut self, cx: &PaneContext<'_>, ui: &mut Ui) {
        if !cx.help_open {
            return;
        }
        let screen = ui.ctx().content_rect();
        let room = (screen.height() - 176.0).max(160.0);
        let columns = (((screen.width() - 80.0) / (COLUMN + 24.0)) as usize).clamp(1, 3);
        let modal = question(ui, "help", columns as f32 * (COLUMN + 24.0), |ui| {
            ui.horizontal(|ui| {
                ui.label(theme::strong_text("Keyboard", theme::TITLE));
                ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                    if icon_button(ui, Icon::Close, "Close", false).clicked() {
                        cx.intents.send(Intent::CloseHelp);
                    }
                });
            });
            ui.add_space(8.0);
            egui::ScrollArea::vertical().max_height(room).min_scrolled_height(room).show(
                ui,
                |ui| {
                    ui.horizontal_top(|ui| {
                        for sections in split(columns) {
                            ui.vertical(|ui| {
                                ui.set_width(COLUMN);
                                for section in sections {
                                    list(ui, section);
                                }
                            });
                            ui.add_space(16.0);
                        }
                    });
                },
            );
        });
        if modal.should_close() {
            cx.intents.send(Intent::CloseHelp);
        }
    }
}

/// Sections in columns of about the same length.
fn split(columns: usize) -> Vec<Vec<Section>> {
    let len = |section: &Section| {
        2 + ENTRIES.iter().filter(|e| e.section == *section && !e.keys.is_empty()).count()
    };
    let all: usize = Section::ALL.iter().map(len).sum();
    let share = all.div_ceil(columns);
    let mut out: Vec<Vec<Section>> = vec![Vec::new()];
    let mut filled = 0;
    for section in Section::ALL {
        let more = len(&section);
        if filled + more > share + 4 && out.len() < columns {
            out.push(Vec::new());
            filled = 0;
        }
        if let Some(last) = out.last_mut() {
            last.push(section);
        }
        filled += more;
    }
    out
}

fn list(ui: &mut Ui, section: Section) {
    let ink = ink(ui);
    ui.add_space(8.0);
    ui.label(theme::strong_text(section.name(), theme::BODY));
    ui.spacing_mut().item_spacing.y = 0.0;
    for entry in ENTRIES.iter().filter(|entry| entry.section == section && !entry.keys.is_empty()) {
        let (rect, _) = ui.allocate_exact_size(vec2(COLUMN, ROW), Sense::hover());
        let keys = entry.keys.iter().map(keys_text).collect::<Vec<_>>().join("  ");
        let left = Rect::from_min_max(rect.min, pos2(rect.right() - 88.0, rect.bottom()));
        let right = Rect::from_min_max(pos2(rect.right() - 84.0, rect.top()), rect.max);
        text_in(ui, left, Align2::LEFT_CENTER, entry.name, theme::plain(theme::SMALL), ink.muted);
        text_in(ui, right, Align2::RIGHT_CENTER, &keys, theme::strong(theme::SMALL), ink.text);
    }
}
