//! Notices over the upper edge of the stage, where they cover neither caption nor legend: long work with its
//! progress, messages, and errors with their remedies.

use crate::ui::intent::Intent;
use crate::ui::notices::Notice;
use crate::ui::pane::{PaneContext, PaneUi};
use crate::ui::theme;
use crate::ui::widgets::{Icon, icon_button, ink, muted, progress_line};
use egui::{Align2, Frame, Rect, Sense, Ui, pos2, vec2};

const WIDTH: f32 = 560.0;
/// Messages that are in sight; earlier ones are counted.
const SHOWN: usize = 3;
/// Margins and outline of a frame, both sides.
const FRAME: f32 = 26.0;
/// Distance from the upper edge of the stage.
const TOP: f32 = 12.0;
/// Height of the line that counts earlier messages.
const EARLIER: f32 = 60.0;

/// Messages and tasks.
#[derive(Default)]
pub struct Notices {
    /// Whether messages beyond the last ones are listed.
    lists_all: bool,
}

impl PaneUi for Notices {
    fn ui(&mut self, cx: &PaneContext<'_>, ui: &mut Ui) {
        if cx.notices.is_empty() && cx.tasks.is_empty() {
            return;
        }
        let ink = ink(ui);
        let stage = cx.stage_rect.intersect(ui.ctx().content_rect());
        let width = (stage.width() - 32.0).clamp(200.0, WIDTH);
        let hidden = cx.notices.len().saturating_sub(SHOWN);
        self.lists_all &= hidden > 0;
        let (shown, earlier) = if self.lists_all {
            (cx.notices.iter().collect(), Vec::new())
        } else {
            in_sight(cx.notices)
        };
        let height = room(cx, ui, stage);
        egui::Area::new(egui::Id::unique("notices"))
            .order(egui::Order::Foreground)
            .pivot(Align2::CENTER_TOP)
            .fixed_pos(pos2(stage.center().x, stage.top() + TOP))
            .show(ui.ctx(), |ui| {
                let frame = |color| {
                    Frame::popup(ui.style())
                        .fill(ink.panel)
                        .stroke(egui::Stroke::new(1.0, color))
                        .inner_margin(12)
                };
                let (quiet, loud) = (frame(ink.hairline), frame(ink.error));
                ui.set_width(width + FRAME);
                // An area offers the height of its contents in the last frame, which may be less.
                ui.set_max_height(stage.height());
                if hidden > 0 {
                    quiet.show(ui, |ui| {
                        ui.set_width(width);
                        self.earlier(cx, ui, &earlier);
                    });
                }
                let list = |ui: &mut Ui| {
                    ui.vertical_centered(|ui| {
                        for notice in shown {
                            framed(
                                cx,
                                ui,
                                notice,
                                width,
                                if notice.is_error { loud } else { quiet },
                            );
                        }
                        if !cx.tasks.is_empty() {
                            quiet.show(ui, |ui| {
                                ui.set_width(width);
                                tasks(cx, ui);
                            });
                        }
                    });
                };
                // The last message is in sight; a list of all begins with the first.
                let scroll = egui::ScrollArea::vertical().id_salt(("notices", self.lists_all));
                scroll.stick_to_bottom(!self.lists_all).max_height(height).show(ui, list);
            });
    }
}

/// The messages in sight without a list of all, and the others: errors come before other messages, newer ones before
/// older ones. The errors in sight are last, at the end to which the list scrolls.
fn in_sight(notices: &[Notice]) -> (Vec<&Notice>, Vec<&Notice>) {
    let (errors, others): (Vec<_>, Vec<_>) = notices.iter().partition(|notice| notice.is_error);
    let mut earlier = [others, errors].concat();
    let shown = earlier.split_off(earlier.len().saturating_sub(SHOWN));
    (shown, earlier)
}

/// The height for messages: as far as the caption below the picture, which stays legible.
fn room(cx: &PaneContext<'_>, ui: &Ui, stage: Rect) -> f32 {
    /// Messages stay legible themselves.
    const LEAST: f32 = 160.0;
    let share = stage.height() * 0.7;
    let figure = cx.stage.figure().filter(|_| cx.data_set().is_none() && cx.is_view());
    let picture = figure.map(|figure| figure.visible().bottom() / ui.ctx().pixels_per_point());
    let earlier = if cx.notices.len() > SHOWN { EARLIER } else { 0.0 };
    let above_caption = picture.map_or(share, |bottom| bottom - 2.0 * TOP - earlier);
    share.min(above_caption).max(LEAST)
}

/// A message in its frame, as wide as its text, so that centred frames are aligned below each other.
fn framed(cx: &PaneContext<'_>, ui: &mut Ui, notice: &Notice, width: f32, frame: Frame) {
    let font = theme::plain(theme::BODY);
    let line = ui.painter().layout_no_wrap(notice.text.clone(), font, ink(ui).text).size().x;
    let own = if notice.has_buttons() { width } else { line.ceil().min(width) };
    ui.allocate_ui(vec2(own + FRAME, 0.0), |ui| {
        frame.show(ui, |ui| {
            ui.set_width(own);
            one(cx, ui, notice);
        });
    });
}

impl Notices {
    /// The number of messages that are not in sight, and a button that lists them.
    fn earlier(&mut self, cx: &PaneContext<'_>, ui: &mut Ui, hidden: &[&Notice]) {
        ui.horizontal(|ui| {
            let errors = hidden.iter().filter(|notice| notice.is_error).count();
            let what = match (hidden.len(), errors) {
                (0, _) => format!("{} messages", cx.notices.len()),
                (1, _) => "1 earlier message".to_owned(),
                (all, 0) => format!("{all} earlier messages"),
                (all, errors) => format!("{all} earlier messages, {errors} of them errors"),
            };
            muted(ui, what);
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                if ui.button("Dismiss all").clicked() {
                    for notice in cx.notices {
                        cx.intents.send(Intent::Dismiss(notice.id));
                    }
                }
                let text = if self.lists_all { "Show the last" } else { "Show all" };
                if ui.button(text).clicked() {
                    self.lists_all ^= true;
                }
            });
        });
    }
}

fn tasks(cx: &PaneContext<'_>, ui: &mut Ui) {
    let mut cancelled = None;
    for task in cx.tasks {
        ui.horizontal(|ui| {
            ui.label(theme::strong_text(&task.title, theme::BODY));
            muted(ui, &task.line);
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                if ui.button("Cancel").clicked() {
                    cancelled = Some(task.id);
                }
                if let Some(share) = task.share {
                    muted(ui, format!("{:.0} %", share * 100.0));
                }
            });
        });
        let (line, _) = ui.allocate_exact_size(vec2(ui.available_width(), 2.0), Sense::hover());
        progress_line(ui, Rect::from_min_size(line.min, line.size()), task.share);
    }
    if let Some(id) = cancelled {
        cx.intents.send(Intent::CancelTask(id));
    }
}

fn one(cx: &PaneContext<'_>, ui: &mut Ui, notice: &Notice) {
    ui.horizontal_top(|ui| {
        if !notice.has_buttons() {
            ui.add(egui::Label::new(&notice.text).wrap());
            return;
        }
        let spacing = ui.spacing().item_spacing.x;
        let padding = 2.0 * ui.spacing().button_padding.x;
        let width_of = |text: &str| {
            let font = theme::plain(theme::BODY);
            let color = ink(ui).text;
            ui.painter().layout_no_wrap(text.to_owned(), font, color).size().x + padding + spacing
        };
        let copy = if notice.is_error { width_of("Copy") } else { 0.0 };
        let offers: f32 = notice.offers.iter().map(|(words, _)| width_of(words)).sum();
        let close = 32.0;
        let room = (ui.available_width() - copy - offers - close - spacing).max(80.0);
        ui.vertical(|ui| {
            ui.set_width(room);
            ui.add(egui::Label::new(&notice.text).wrap());
        });
        if notice.is_error && ui.button("Copy").clicked() {
            cx.intents.send(Intent::Copy(notice.text.clone(), "Message"));
        }
        for (words, intent) in &notice.offers {
            if ui.button(*words).clicked() {
                cx.intents.send(intent.clone());
                cx.intents.send(Intent::Dismiss(notice.id));
            }
        }
        if icon_button(ui, Icon::Close, "Dismiss", false).clicked() {
            cx.intents.send(Intent::Dismiss(notice.id));
        }
    });
}
