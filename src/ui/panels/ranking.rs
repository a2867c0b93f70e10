//! Ranking of heads by their attention on the picture and on few patches of it.

use super::answers::{ALL_WORDS, ALL_WORDS_HINT, Answers};
use crate::ui::document::Document;
use crate::ui::head_choice;
use crate::ui::intent::{HeadsCommand, Intent};
use crate::ui::pane::{PaneContext, PaneUi};
use crate::ui::ranking::Ranked;
use crate::ui::shortcuts::UiCommand;
use crate::ui::theme;
use crate::ui::value_cache::compared;
use crate::ui::widgets::{Icon, hairline, icon_button, ink, muted, name_field, segments, text_in};
use crate::view::figure::{head_name, percent};
use crate::view::{Command, LayerHead};
use egui::{Align2, Rect, Role, Sense, TextWrapMode, Ui, WidgetInfo, pos2, vec2};

const ROW: f32 = 24.0;
const SHOWN: usize = 40;

/// The heads, the most focused on the picture first, and the named sets of heads.
#[derive(Default)]
pub struct Ranking {
    /// The set whose name is being typed.
    renamed: Option<(usize, String)>,
    /// The chosen head in every open answer.
    answers: Answers,
}

impl PaneUi for Ranking {
    fn ui(&mut self, cx: &PaneContext<'_>, ui: &mut Ui) {
        let Some(doc) = cx.current else {
            muted(ui, "The heads that attend to the picture, the most focused first.");
            return;
        };
        let choices = [
            (false, "Ranking", "The heads of this answer, the most telling first".to_owned()),
            (true, "In every answer", UiCommand::HeadInAnswers.hint()),
        ];
        let shown = ui.horizontal(|ui| segments(ui, cx.shows_answers, &choices)).inner;
        if let Some(shows) = shown {
            cx.intents.send(Intent::ShowAnswers(shows));
        }
        if cx.shows_answers {
            self.answers.ui(cx, ui);
            return;
        }
        let answers = compared(cx.docs, doc, cx.shown).len();
        let object = cx.shown.chosen_object();
        ui.horizontal(|ui| {
            if ui.button("Best head").on_hover_text(UiCommand::BestHead.hint()).clicked() {
                cx.intents.act(UiCommand::BestHead);
            }
            if ui.button("Next").on_hover_text(UiCommand::NextBestHead.hint()).clicked() {
                cx.intents.act(UiCommand::NextBestHead);
            }
            ui.add_enabled_ui(answers > 1, |ui| {
                let text = match (answers, object) {
                    (0 | 1, _) => "over all answers".to_owned(),
                    (several, None) => format!("over {several} answers"),
                    (several, Some(object)) => {
                        format!("over {several} answers with “{}”", object.name)
                    }
                };
                // The name of the object may be long.
                ui.style_mut().wrap_mode = Some(TextWrapMode::Truncate);
                let whole = text.clone();
                let mut over_all = cx.rank_over_all;
                let response = ui.checkbox(&mut over_all, text);
                if response.changed() {
                    cx.intents.send(Intent::RankOverAll(over_all));
                }
                response
                    .on_hover_text(format!(
                        "{whole}: the mean over all open answers of this model. A single answer is \
                        weak evidence: open several traces, or drop a folder of them."
                    ))
                    .on_disabled_hover_text(
                        "A single answer is weak evidence. Ask more questions, open several \
                        traces, or drop a folder of them to see the mean over all answers. If an \
                        object is chosen: mark it under the same name in the other answers.",
                    );
            });
        });
        let ranking = cx.ranking(doc);
        if cx.rank_over_all && answers > 1 {
            muted(ui, ALL_WORDS).on_hover_text(ALL_WORDS_HINT);
        }
        self.chosen(cx, ui, doc);
        let best = ranking.first().map_or(1.0, |first| first.score).max(f32::MIN_POSITIVE);
        egui::ScrollArea::vertical().id_salt("ranking").show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = 0.0;
            self.sets(cx, ui, doc);
            heads_of_columns(ui, object.map(|object| object.name.as_str()));
            for index in 0..ranking.len().min(SHOWN) {
                row(cx, ui, &ranking, index, best);
            }
        });
    }
}

impl Ranking {
    /// Drops the textures of a device that was lost.
    pub fn forget_textures(&mut self) {
        self.answers.forget_textures();
    }

    /// The heads that are chosen one by one, if there are several.
    fn chosen(&self, cx: &PaneContext<'_>, ui: &mut Ui, doc: &Document) {
        let map = &doc.state().map;
        let Some(set) = &map.head_set else { return };
        ui.horizontal_wrapped(|ui| {
            let count = set.heads().len();
            ui.label(theme::strong_text(format!("{count} heads"), theme::SMALL))
                .on_hover_text(set.names());
            let buttons = [
                (UiCommand::KeepHeads, "Keep", "Keep these heads under a name"),
                (UiCommand::HeadOff, "Switch off", "Answer again without these heads"),
            ];
            for (act, label, hint) in buttons {
                if ui.small_button(label).on_hover_text(hint).clicked() {
                    cx.intents.act(act);
                }
            }
            if ui.small_button("Clear").on_hover_text("The mean of all heads").clicked() {
                cx.intents.command(Command::SetHeadSet(Vec::new()));
            }
        });
    }

    /// The named sets of this model.
    fn sets(&mut self, cx: &PaneContext<'_>, ui: &mut Ui, doc: &Document) {
        let model = doc.model_key();
        let own = cx.settings.head_sets.iter().enumerate().filter(|(_, set)| set.model == model);
        let own: Vec<_> = own.collect();
        if own.is_empty() {
            return;
        }
        for (index, set) in own {
            ui.horizontal(|ui| {
                if let Some((_, name)) = self.renamed.as_mut().filter(|(of, _)| *of == index) {
                    let response = name_field(ui, name, "Name of the set");
                    if response.lost_focus() {
                        let name = name.trim().to_owned();
                        self.renamed = None;
                        if !name.is_empty() {
                            cx.intents.send(Intent::Heads(HeadsCommand::Rename(index, name)));
                        }
                    }
                } else {
                    let on = doc.state().map.head_set.as_ref() == Some(&set.heads);
                    let label = ui.selectable_label(on, &set.name).on_hover_text(format!(
                        "{}. Click to show their mean, double-click to rename.",
                        set.heads.names()
                    ));
                    if label.double_clicked() {
                        self.renamed = Some((index, set.name.clone()));
                    } else if label.clicked() {
                        let heads = set.heads.heads().to_vec();
                        cx.intents.command(Command::SetHeadSet(heads));
                    }
                }
                muted(ui, format!("{} heads", set.heads.heads().len()));
                ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                    if icon_button(ui, Icon::Close, "Delete this set", false).clicked() {
                        cx.intents.send(Intent::Heads(HeadsCommand::Remove(index)));
                    }
                });
            });
        }
        hairline(ui);
    }
}

/// Columns of a row: the name, the bar, its number, two more numbers.
const COLUMNS: [[f32; 2]; 5] = [[0.0, 0.2], [0.2, 0.42], [0.42, 0.58], [0.58, 0.79], [0.79, 1.0]];

fn column(rect: Rect, [from, to]: [f32; 2]) -> Rect {
    let x = |share: f32| rect.left() + 4.0 + share * (rect.width() - 12.0);
    Rect::from_min_max(pos2(x(from), rect.top()), pos2(x(to), rect.bottom()))
}

/// The names of the columns.
fn heads_of_columns(ui: &mut Ui, object: Option<&str>) {
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), ROW), Sense::hover());
    let (names, hint) = match object {
        Some(object) => (
            ["inside", "on picture", "of it"],
            format!(
                "inside: share of the attention inside “{object}”, by which heads are sorted. on picture: share on the whole picture. of it: the part of that inside the object."
            ),
        ),
        None => (
            ["focus", "on picture", "entropy"],
            "focus: attention to picture × (1 − entropy / ln N), by which heads are sorted. on picture: share of the attention on the picture. entropy: spread over the patches in nats; 0 is a single patch.".into(),
        ),
    };
    let labels = format!("Columns: {}", names.join(", "));
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &labels));
    let muted = ink(ui).muted;
    for (name, place) in names.into_iter().zip(&COLUMNS[2..]) {
        let font = theme::plain(theme::SMALL);
        text_in(ui, column(rect, *place), Align2::RIGHT_CENTER, name, font, muted);
    }
    response.on_hover_text(hint);
}

fn row(cx: &PaneContext<'_>, ui: &mut Ui, ranking: &[Ranked], index: usize, best: f32) {
    let ink = ink(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), ROW), Sense::click());
    let Ranked { layer, head, image_share, entropy, inside, score } = ranking[index];
    let name = head_name(layer, head);
    let map = &cx.shown.map;
    let on = map.chosen_heads().contains(&[layer, head]);
    response.widget_info(|| WidgetInfo::selected(Role::Button, true, on, &name));
    if !ui.is_rect_visible(rect) {
        return;
    }
    if response.hovered() {
        ui.painter().rect_filled(rect, 4.0, ink.raised);
    }
    let color = if on { ink.accent } else { ink.text };
    let [of_name, of_bar, of_numbers @ ..] = COLUMNS.map(|place| column(rect, place));
    let font = || theme::plain(theme::SMALL);
    text_in(ui, of_name, Align2::LEFT_CENTER, &name, theme::strong(theme::SMALL), color);
    let bar = of_bar.shrink2(vec2(0.0, 9.0));
    ui.painter().rect_filled(bar, 1.0, ink.hairline);
    let filled = Rect::from_min_size(
        bar.min,
        vec2(bar.width() * (score / best).clamp(0.0, 1.0), bar.height()),
    );
    ui.painter().rect_filled(filled, 1.0, color);
    let share = |share: f32, decimals| percent(f64::from(share), decimals);
    let texts = match inside {
        Some(inside) => {
            let of = if image_share > 0.0 { inside / image_share } else { 0.0 };
            [share(inside, 1), share(image_share, 1), share(of, 0)]
        }
        None => [format!("{score:.2}"), share(image_share, 1), format!("{entropy:.2}")],
    };
    for (text, place) in texts.iter().zip(of_numbers) {
        text_in(ui, place, Align2::RIGHT_CENTER, text, font(), ink.muted);
    }
    if response.clicked() {
        // A range goes along the list.
        let range = |anchor: LayerHead| {
            let at = ranking.iter().position(|one| [one.layer, one.head] == anchor);
            let at = at.unwrap_or(index);
            let between = &ranking[at.min(index)..=at.max(index)];
            between.iter().map(|one| [one.layer, one.head]).collect()
        };
        cx.intents.command(head_choice::click(ui, cx.shown, [layer, head], range));
    } else if response.hovered() {
        cx.preview(Command::SetLayerHead(layer, head));
    }
}
