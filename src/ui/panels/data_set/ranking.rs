//! The heads of a table in their order, with the stability of their places.

use super::common::change;
use crate::table::statistics::{RankedHead, Ranking};
use crate::ui::data_set::DataSetDoc;
use crate::ui::data_set::statistics::Numbers;
use crate::ui::head_choice::chosen_after_click;
use crate::ui::pane::PaneContext;
use crate::ui::theme;
use crate::ui::widgets::{ink, muted, text_in};
use crate::view::LayerHead;
use crate::view::figure::head_name;
use egui::{Align2, Rect, Role, Sense, Ui, WidgetInfo, pos2, vec2};

const ROW: f32 = 24.0;
/// Columns of a row: rank, name, bar, value, stability, ranks.
const COLUMNS: [[f32; 2]; 6] =
    [[0.0, 0.08], [0.08, 0.24], [0.24, 0.46], [0.46, 0.64], [0.66, 0.84], [0.84, 1.0]];

fn column(rect: Rect, [from, to]: [f32; 2]) -> Rect {
    let x = |share: f32| rect.left() + 4.0 + share * (rect.width() - 12.0);
    Rect::from_min_max(pos2(x(from), rect.top()), pos2(x(to), rect.bottom()))
}

/// Draws the list.
pub fn ui(cx: &PaneContext<'_>, ui: &mut Ui, doc: &DataSetDoc) {
    let (Some(numbers), Some(ranking)) = (doc.numbers(), doc.ranking()) else {
        if doc.failed().is_none() {
            muted(ui, "The ranking is being computed …");
        }
        return;
    };
    if ranking.heads.is_empty() {
        muted(ui, "No head has a number to rank it by.");
        return;
    }
    titles(ui, numbers, ranking);
    let most = ranking.heads.iter().map(|head| head.value.abs()).fold(0.0, f64::max);
    let scroll = egui::ScrollArea::vertical().id_salt(("data set ranking", doc.id));
    ui.spacing_mut().item_spacing.y = 0.0;
    scroll.auto_shrink(false).show_rows(ui, ROW, ranking.heads.len(), |ui, rows| {
        for rank in rows {
            row(cx, ui, doc, numbers, (rank, ranking), most);
        }
    });
}

fn titles(ui: &mut Ui, numbers: &Numbers, ranking: &Ranking) {
    let (first, resamples) = (ranking.options.first, ranking.options.resamples);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), ROW), Sense::hover());
    let value = match (&numbers.comparison, numbers.column.is_low_first()) {
        (Some(_), _) => "difference, by size",
        (None, true) => "mean, lowest first",
        (None, false) => "mean",
    };
    let names = ["", "head", "", value, &format!("in first {first}"), "rank"];
    let labels = format!("Columns: head, {value}, in first {first}, rank");
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &labels));
    let mut places = COLUMNS;
    // The title of the numbers also stands over their bars.
    places[3][0] = COLUMNS[2][0];
    for (index, (name, place)) in names.into_iter().zip(places).enumerate() {
        let align = if index < 2 { Align2::LEFT_CENTER } else { Align2::RIGHT_CENTER };
        text_in(ui, column(rect, place), align, name, theme::plain(theme::SMALL), ink(ui).muted);
    }
    if !ranking.has_stability() {
        response.on_hover_text(
            "Too few samples for a bootstrap: the stability of the places is not known.",
        );
        return;
    }
    response.on_hover_text(format!(
        "Bootstrap: the samples were drawn {resamples} times with replacement. in first {first}: share of the draws in which the \
        head is among the first {first}. rank: from the 5 % to the 95 % quantile of its ranks."
    ));
}

fn row(
    cx: &PaneContext<'_>,
    ui: &mut Ui,
    doc: &DataSetDoc,
    numbers: &Numbers,
    (rank, ranking): (usize, &Ranking),
    most: f64,
) {
    let heads = &ranking.heads;
    let head = &heads[rank];
    let Some(this) = numbers.cube.head_of(head.cell) else { return };
    let colors = ink(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), ROW), Sense::click());
    let name = head_name(this[0], this[1]);
    let on = doc.view().heads.contains(&this);
    response.widget_info(|| {
        WidgetInfo::selected(Role::Button, true, on, format!("Rank {}: {name}", rank + 1))
    });
    if response.hovered() {
        ui.painter().rect_filled(rect, 4.0, colors.raised);
    }
    let color = if on { colors.accent } else { colors.text };
    let [of_rank, of_name, of_bar, of_value, of_stability, of_ranks] =
        COLUMNS.map(|place| column(rect, place));
    let small = || theme::plain(theme::SMALL);
    text_in(ui, of_rank, Align2::LEFT_CENTER, &(rank + 1).to_string(), small(), colors.muted);
    text_in(ui, of_name, Align2::LEFT_CENTER, &name, theme::strong(theme::SMALL), color);
    let share = (head.value / most.max(f64::MIN_POSITIVE)) as f32;
    match numbers.comparison.is_some() {
        true => signed_bar(ui, of_bar, share, color),
        false => bar(ui, of_bar, share, color),
    }
    let unit = match numbers.comparison.is_some() {
        true => numbers.column.difference_unit(),
        false => numbers.column.unit(),
    };
    let value = unit.text(head.value, most);
    text_in(ui, of_value, Align2::RIGHT_CENTER, &value, small(), colors.muted);
    let (track, text) = of_stability.split_left_right_at_fraction(0.45);
    let track = track.with_max_x(track.right() - 6.0);
    let [low, high] = head.ranks.map(f64::round);
    let (share, ranks) = match ranking.has_stability() {
        true => {
            bar(ui, track, head.stability as f32, colors.muted);
            let ranks = if low < high { format!("{low}–{high}") } else { low.to_string() };
            (format!("{:.0} %", head.stability * 100.0), ranks)
        }
        false => ("–".to_owned(), "–".to_owned()),
    };
    text_in(ui, text, Align2::RIGHT_CENTER, &share, small(), colors.muted);
    text_in(ui, of_ranks, Align2::RIGHT_CENTER, &ranks, small(), colors.muted);
    if response.clicked() {
        // A range goes along the list.
        let range = |anchor: LayerHead| {
            let of = |head: &RankedHead| numbers.cube.head_of(head.cell);
            let at = heads.iter().position(|one| of(one) == Some(anchor)).unwrap_or(rank);
            heads[at.min(rank)..=at.max(rank)].iter().filter_map(of).collect()
        };
        let mut chosen = chosen_after_click(ui, doc.view().heads.clone(), this, range);
        chosen.sort_unstable();
        chosen.dedup();
        change(cx, doc, |view| view.heads = chosen);
    }
}

/// A bar from the middle, to the left for a negative number.
fn signed_bar(ui: &Ui, place: Rect, share: f32, color: egui::Color32) {
    let track = place.shrink2(vec2(2.0, 9.0));
    ui.painter().rect_filled(track, 1.0, ink(ui).hairline);
    ui.painter().rect_filled(from_middle(track, share), 1.0, color);
    ui.painter().vline(
        track.center().x,
        place.shrink(6.0).y_range(),
        egui::Stroke::new(1.0, ink(ui).muted),
    );
}

/// The part of a track from its middle to the place of `share`, −1 to 1.
fn from_middle(track: Rect, share: f32) -> Rect {
    let (middle, length) = (track.center().x, share.clamp(-1.0, 1.0) * track.width() / 2.0);
    let end = middle + length;
    Rect::from_x_y_ranges(middle.min(end)..=middle.max(end), track.y_range())
}

fn bar(ui: &Ui, place: Rect, share: f32, color: egui::Color32) {
    let track = place.shrink2(vec2(2.0, 9.0));
    ui.painter().rect_filled(track, 1.0, ink(ui).hairline);
    let size = vec2(track.width() * share.clamp(0.0, 1.0), track.height());
    ui.painter().rect_filled(Rect::from_min_size(track.min, size), 1.0, color);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_of_two_signs_begin_in_the_middle() {
        let track = Rect::from_min_max(pos2(100.0, 10.0), pos2(200.0, 16.0));
        let ends = [(-2.0, [100.0, 150.0]), (-0.5, [125.0, 150.0]), (0.0, [150.0; 2])];
        for (share, [left, right]) in ends.into_iter().chain([(0.5, [150.0, 175.0])]) {
            let bar = from_middle(track, share);
            assert_eq!([bar.left(), bar.right()], [left, right], "{share}");
            assert_eq!(bar.y_range(), track.y_range());
        }
    }
}
