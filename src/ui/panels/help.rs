//! The help screen: all keys, from the table by which they are read.

use crate::ui::intent::Intent;
use crate::ui::pane::{PaneContext, PaneUi};
use crate::ui::shortcuts::{ENTRIES, Section, keys_text};
use crate::ui::theme;
use crate::ui::widgets::{Icon, icon_button, ink, question};
use egui::{Role, Sense, Ui, WidgetInfo, vec2};

const COLUMN: f32 = 320.0;
/// Space above and below a line of a list, and between a name and its keys.
const PADDING: f32 = 3.0;
const GAP: f32 = 12.0;

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
        let keys = entry.keys.iter().map(keys_text).collect::<Vec<_>>().join("  ");
        let label = format!("{}: {keys}", entry.name);
        let keys = ui.painter().layout_no_wrap(keys, theme::strong(theme::SMALL), ink.text);
        // A long name continues on a second line.
        let room = COLUMN - keys.size().x - GAP;
        let font = theme::plain(theme::SMALL);
        let name = ui.painter().layout(entry.name.to_owned(), font, ink.muted, room);
        let height = name.size().y.max(keys.size().y) + 2.0 * PADDING;
        let (rect, response) = ui.allocate_exact_size(vec2(COLUMN, height), Sense::hover());
        response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &label));
        ui.painter().galley(rect.min + vec2(0.0, PADDING), name, ink.muted);
        let at = rect.right_top() + vec2(-keys.size().x, PADDING);
        ui.painter().galley(at, keys, ink.text);
    }
}
