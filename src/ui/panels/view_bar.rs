//! One line above the stage with controls that belong to the present view only: the order of the heads, the
//! quantity of the matrix, the comparison of two maps.

use super::matrix::quantity_name;
use crate::ui::intent::Intent;
use crate::ui::pane::PaneContext;
use crate::ui::shortcuts::UiCommand;
use crate::ui::widgets::{hairline_below, ink, muted, segments};
use crate::view::{Command, Controls, HeadOrder, Mix, Quantity, ViewState};
use egui::{Align, Layout, Rect, Slider, Ui, UiBuilder, vec2};

const HEIGHT: f32 = 36.0;

/// Draws the line along the upper edge of `rect`, and returns the rest of `rect` for the stage.
pub fn show(cx: &PaneContext<'_>, ui: &mut Ui, rect: Rect, state: &ViewState) -> Rect {
    let controls = match state.view.spec().controls {
        Controls::None => return rect,
        Controls::Mix if state.second.is_none() => return rect,
        Controls::Mix => compare,
        Controls::HeadOrder => head_order,
        Controls::Quantity => quantity,
    };
    let (bar, rest) = rect.split_top_bottom_at_y(rect.top() + HEIGHT);
    ui.painter().rect_filled(bar, 0.0, ink(ui).stage);
    let layout = Layout::left_to_right(Align::Center);
    let inner = bar.shrink2(vec2(12.0, 0.0));
    let mut child = ui.new_child(UiBuilder::new().max_rect(inner).layout(layout));
    child.set_clip_rect(bar);
    controls(cx, &mut child, state);
    hairline_below(ui, bar);
    rest
}

fn head_order(cx: &PaneContext<'_>, ui: &mut Ui, state: &ViewState) {
    muted(ui, "Sorted by");
    let name = |order| match order {
        HeadOrder::Index => ("Number", "By number"),
        HeadOrder::ImageShare => ("Image share", "Largest share of attention on the picture first"),
        HeadOrder::Peak => ("Peak", "Largest attention on a single patch first"),
        HeadOrder::Entropy => ("Focus", "Lowest entropy over the patches first"),
    };
    let choices: Vec<_> = HeadOrder::ALL
        .iter()
        .map(|&order| (order, name(order).0, name(order).1.to_owned()))
        .collect();
    if let Some(order) = segments(ui, state.head_order, &choices) {
        cx.intents.command(Command::SetHeadOrder(order));
    }
}

fn quantity(cx: &PaneContext<'_>, ui: &mut Ui, state: &ViewState) {
    let choices: Vec<_> = Quantity::ALL
        .iter()
        .map(|&quantity| (quantity, quantity_name(quantity), UiCommand::NextQuantity.hint()))
        .collect();
    if let Some(quantity) = segments(ui, state.quantity, &choices) {
        cx.intents.command(Command::SetQuantity(quantity));
    }
}

fn compare(cx: &PaneContext<'_>, ui: &mut Ui, state: &ViewState) {
    let Some(second) = &state.second else { return };
    let hint = UiCommand::NextMix.hint();
    let kind = match second.mix {
        Mix::Swipe { .. } => 0,
        Mix::CrossFade { .. } => 1,
        Mix::Difference => 2,
    };
    let choices =
        [(0, "Swipe", hint.clone()), (1, "Cross-fade", hint.clone()), (2, "Difference", hint)];
    if let Some(kind) = segments(ui, kind, &choices) {
        cx.intents.command(Command::SetMix(match kind {
            0 => Mix::Swipe { position: 0.5 },
            1 => Mix::CrossFade { amount: 0.5 },
            _ => Mix::Difference,
        }));
    }
    ui.spacing_mut().item_spacing.x = 8.0;
    let slider = |ui: &mut Ui, value: &mut f64, name: &str| {
        ui.add(Slider::new(value, 0.0..=1.0).show_value(false)).accessible_name(name)
    };
    let moved = match second.mix {
        Mix::Swipe { mut position } => {
            let response = slider(ui, &mut position, "Position of the swipe line");
            Some((response, Mix::Swipe { position }))
        }
        Mix::CrossFade { mut amount } => {
            let response = slider(ui, &mut amount, "Weight of the pinned map");
            Some((response, Mix::CrossFade { amount }))
        }
        Mix::Difference => None,
    };
    if let Some((response, mix)) = moved {
        if response.changed() {
            cx.intents.send(Intent::Scrub(Command::SetMix(mix)));
        }
        if response.drag_stopped() {
            cx.intents.send(Intent::Settle);
        }
    }
    if ui.button("Unpin").on_hover_text(UiCommand::PinMap.hint()).clicked() {
        cx.intents.act(UiCommand::PinMap);
    }
}
