//! Ranking of heads by their attention on the picture and on few patches of it.

use crate::ui::intent::Intent;
use crate::ui::pane::{PaneContext, PaneUi};
use crate::ui::shortcuts::UiCommand;
use crate::ui::theme;
use crate::ui::value_cache::{Ranked, comparable};
use crate::ui::widgets::{ink, muted, text_in};
use crate::view::Command;
use crate::view::figure::head_name;
use egui::{Align2, Rect, Role, Sense, Ui, WidgetInfo, pos2, vec2};

const ROW: f32 = 24.0;
const SHOWN: usize = 40;

/// The heads, the most focused on the picture first.
#[derive(Default)]
pub struct Ranking;

impl PaneUi for Ranking {
    fn ui(&mut self, cx: &PaneContext<'_>, ui: &mut Ui) {
        let Some(doc) = cx.current else {
            muted(ui, "The heads that attend to the picture, the most focused first.");
            return;
        };
        let answers = comparable(cx.docs, doc).len();
        ui.horizontal(|ui| {
            if ui.button("Best head").on_hover_text(UiCommand::BestHead.hint()).clicked() {
                cx.intents.act(UiCommand::BestHead);
            }
            if ui.button("Next").on_hover_text(UiCommand::NextBestHead.hint()).clicked() {
                cx.intents.act(UiCommand::NextBestHead);
            }
            ui.add_enabled_ui(answers > 1, |ui| {
                let text = match answers {
                    0 | 1 => "over all answers".to_owned(),
                    several => format!("over {several} answers"),
                };
                let mut over_all = cx.rank_over_all;
                let response = ui.checkbox(&mut over_all, text);
                if response.changed() {
                    cx.intents.send(Intent::RankOverAll(over_all));
                }
                response
                    .on_hover_text(
                        "The mean over all open answers of this model. A single answer is weak \
                        evidence: open several traces, or drop a folder of them.",
                    )
                    .on_disabled_hover_text(
                        "A single answer is weak evidence. Ask more questions, open several \
                        traces, or drop a folder of them to see the mean over all answers.",
                    );
            });
        });
        let ranking = cx.ranking(doc);
        muted(ui, "attention to picture × (1 − entropy / ln N)");
        let best = ranking.first().map_or(1.0, |first| first.score).max(f32::MIN_POSITIVE);
        egui::ScrollArea::vertical().id_salt("ranking").show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = 0.0;
            for ranked in ranking.iter().take(SHOWN) {
                row(cx, ui, ranked, best);
            }
        });
    }
}

fn row(cx: &PaneContext<'_>, ui: &mut Ui, ranked: &Ranked, best: f32) {
    let ink = ink(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), ROW), Sense::click());
    let Ranked { layer, head, image_share, entropy, score } = *ranked;
    let name = head_name(layer, head);
    let map = &cx.shown.map;
    let on = map.layers.only() == Some(layer) && map.heads.only() == Some(head);
    response.widget_info(|| WidgetInfo::selected(Role::Button, true, on, &name));
    if !ui.is_rect_visible(rect) {
        return;
    }
    if response.hovered() {
        ui.painter().rect_filled(rect, 4.0, ink.raised);
    }
    let color = if on { ink.accent } else { ink.text };
    let column = |from: f32, to: f32| {
        let x = |share: f32| rect.left() + 4.0 + share * (rect.width() - 8.0);
        Rect::from_min_max(pos2(x(from), rect.top()), pos2(x(to), rect.bottom()))
    };
    let font = || theme::plain(theme::SMALL);
    let place = format!("{layer} · {head}");
    text_in(ui, column(0.0, 0.2), Align2::LEFT_CENTER, &place, theme::strong(theme::SMALL), color);
    let bar = column(0.2, 0.5).shrink2(vec2(0.0, 9.0));
    ui.painter().rect_filled(bar, 1.0, ink.hairline);
    let filled = Rect::from_min_size(
        bar.min,
        vec2(bar.width() * (score / best).clamp(0.0, 1.0), bar.height()),
    );
    ui.painter().rect_filled(filled, 1.0, color);
    let share = format!("{:.0} % image", image_share * 100.0);
    text_in(ui, column(0.52, 0.77), Align2::RIGHT_CENTER, &share, font(), ink.muted);
    text_in(
        ui,
        column(0.78, 1.0),
        Align2::RIGHT_CENTER,
        &format!("{entropy:.2} nats"),
        font(),
        ink.muted,
    );
    if response.clicked() {
        cx.intents.command(Command::SetLayerHead(layer, head));
    } else if response.hovered() {
        cx.preview(Command::SetLayerHead(layer, head));
    }
}
