//! One line above the stage with what belongs to the view that is shown, and to no other: the order
//! of the heads, the quantity of the matrix, how two maps are compared, which of several pictures and views is seen.

use crate::analysis::patching::Site;
use crate::trace::ImageSpan;
use crate::ui::document::Document;
use crate::ui::intent::Intent;
use crate::ui::pane::PaneContext;
use crate::ui::shortcuts::UiCommand;
use crate::ui::widgets::{Icon, hairline_below, icon_button, ink, muted, segments};
use crate::view::{Command, Controls, HeadOrder, Mix, PictureRule, ViewState, picture_name};
use egui::{Align, Layout, Rect, Role, Slider, Ui, UiBuilder, WidgetInfo, vec2};

const HEIGHT: f32 = 36.0;

/// Draws the line along the upper edge of `rect`, and returns the rest of `rect` for the stage.
pub fn show(cx: &PaneContext<'_>, ui: &mut Ui, rect: Rect, state: &ViewState) -> Rect {
    let rect = super::sample_bar::show(cx, ui, rect);
    type Show = fn(&PaneContext<'_>, &mut Ui, &ViewState);
    let controls: Option<Show> = match state.view.spec().controls {
        Controls::None => None,
        Controls::Mix if state.second.is_none() => None,
        Controls::Mix => Some(compare),
        Controls::HeadOrder => Some(head_order),
        Controls::Quantity => Some(quantity),
        Controls::Columns => Some(columns),
        Controls::Causal => Some(causal),
        Controls::Site => Some(site),
    };
    let several = cx.current.filter(|doc| has_choice(doc, state));
    if controls.is_none() && several.is_none() {
        return rect;
    }
    let (bar, rest) = rect.split_top_bottom_at_y(rect.top() + HEIGHT);
    ui.painter().rect_filled(bar, 0.0, ink(ui).stage);
    let layout = Layout::left_to_right(Align::Center);
    let inner = bar.shrink2(vec2(12.0, 0.0));
    let mut child = ui.new_child(UiBuilder::new().max_rect(inner).layout(layout));
    child.set_clip_rect(bar);
    if let Some(controls) = controls {
        controls(cx, &mut child, state);
    }
    if let Some(doc) = several {
        pictures(cx, &mut child, doc, state);
    }
    hairline_below(ui, bar);
    rest
}

/// Whether there are several pictures, or several views of the picture, to choose among.
fn has_choice(doc: &Document, state: &ViewState) -> bool {
    let spec = state.view.spec();
    let is_one = spec.pictures == PictureRule::Chosen;
    let several = doc.extent.picture_numbers().len() > 1 || views_of(doc, state).len() > 1;
    spec.has_maps() && is_one && several
}

/// The views of the chosen picture, as indices over all views of the trace.
fn views_of(doc: &Document, state: &ViewState) -> Vec<u32> {
    let spans = (0_u32..).zip(&doc.meta().spans);
    spans.filter(|(_, span)| span.picture == state.picture.index).map(|(at, _)| at).collect()
}

/// The choice of a picture or frame, and of one of its views.
fn pictures(cx: &PaneContext<'_>, ui: &mut Ui, doc: &Document, state: &ViewState) {
    let (meta, numbers) = (doc.meta(), doc.extent.picture_numbers());
    if numbers.len() > 1 {
        if icon_button(ui, Icon::Previous, &UiCommand::PreviousFrame.hint(), false).clicked() {
            cx.intents.act(UiCommand::PreviousFrame);
        }
        let names: Vec<(u32, String)> =
            numbers.iter().map(|&number| (number, picture_name(meta, number))).collect();
        if let Some(number) = choice(ui, "Picture or frame", state.picture.index, &names) {
            cx.intents.command(Command::SetPicture(number));
        }
        if icon_button(ui, Icon::Next, &UiCommand::NextFrame.hint(), false).clicked() {
            cx.intents.act(UiCommand::NextFrame);
        }
    }
    let views = views_of(doc, state);
    if views.len() > 1 {
        let mut names = vec![(None, format!("All {} views", views.len()))];
        let name = |view: u32| meta.spans.get(view as usize).map(ImageSpan::name);
        names.extend(views.iter().map(|&view| (Some(view), name(view).unwrap_or_default())));
        if let Some(view) = choice(ui, "Views of the picture", state.picture.view, &names) {
            cx.intents.command(Command::SetPictureView(view));
        }
    }
}

/// A list to choose from; what was chosen, if anything.
fn choice<T: Copy + PartialEq>(
    ui: &mut Ui,
    label: &str,
    now: T,
    names: &[(T, String)],
) -> Option<T> {
    let shown = names.iter().find(|(value, _)| *value == now);
    let mut chosen = None;
    egui::ComboBox::from_id_salt(label)
        .width(132.0)
        .selected_text(shown.map_or("", |(_, name)| name.as_str()))
        .show_ui(ui, |ui| {
            for (value, name) in names {
                if ui.selectable_label(*value == now, name).clicked() {
                    chosen = Some(*value);
                }
            }
        })
        .response
        .widget_info(|| WidgetInfo::labeled(Role::ComboBox, true, label));
    chosen
}

fn head_order(cx: &PaneContext<'_>, ui: &mut Ui, state: &ViewState) {
    muted(ui, "Sorted by");
    let name = |order| match order {
        HeadOrder::Index => ("Number", "By number"),
        HeadOrder::ImageShare => {
            ("Attention to picture", "Largest share of attention on the picture first")
        }
        HeadOrder::Peak => ("Peak", "Largest attention on a single patch first"),
        HeadOrder::Entropy => ("Focus", "Lowest entropy over the patches first"),
        HeadOrder::Inside => {
            ("Object", "Largest share of attention inside the marked object first")
        }
    };
    let choice = |order| (order, name(order).0, name(order).1.to_owned());
    let choices: Vec<_> = state.head_orders().into_iter().map(choice).collect();
    if let Some(order) = segments(ui, state.head_order, &choices) {
        cx.intents.command(Command::SetHeadOrder(order));
    }
}

/// Whether a picture is one column of the token matrix.
fn columns(cx: &PaneContext<'_>, ui: &mut Ui, state: &ViewState) {
    muted(ui, "Picture");
    let hint = UiCommand::ToggleEveryPatch.hint();
    let choices =
        [(false, "One column", "The sum over its patches".to_owned()), (true, "Every patch", hint)];
    if let Some(every_patch) = segments(ui, state.every_patch, &choices) {
        cx.intents.command(Command::SetEveryPatch(every_patch));
    }
}

fn quantity(cx: &PaneContext<'_>, ui: &mut Ui, state: &ViewState) {
    super::quantity::choose(cx, ui, state, f32::INFINITY);
}

/// Distance and head of the causal graph.
fn causal(cx: &PaneContext<'_>, ui: &mut Ui, state: &ViewState) {
    let Some(result) = cx.current.and_then(|doc| cx.values.causal(doc, state)) else {
        muted(ui, "Causal graph");
        return;
    };
    // Both sliders with their labels and numbers are in sight at any width of the stage.
    ui.spacing_mut().slider_width = ((ui.available_width() - 240.0) / 2.0).clamp(32.0, 160.0);
    super::causes::distance(cx, ui, state, &result);
    super::causes::head(cx, ui, state, &result);
}

/// The copied activations of the patch view: those that the trace holds of the chosen token.
fn site(cx: &PaneContext<'_>, ui: &mut Ui, state: &ViewState) {
    muted(ui, "Copied");
    let Some((doc, answer)) =
        cx.current.and_then(|doc| Some((doc, doc.extent.causal_answer(&state.map.queries).ok()?)))
    else {
        return;
    };
    let is_held =
        |site: Site| cx.values.stored_patching(doc, answer, site).is_ok_and(|held| held.is_some());
    let choices: Vec<_> = super::patching::SITES
        .into_iter()
        .filter(|(site, ..)| is_held(*site))
        .map(|(site, name, hint)| (site, name, hint.to_owned()))
        .collect();
    let shown = state.site.or(choices.first().map(|(site, ..)| *site));
    if let Some(shown) = shown
        && let Some(site) = segments(ui, shown, &choices)
    {
        cx.intents.command(Command::SetSite(site));
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
    let slider = |ui: &mut Ui, value: &mut f64, label: &str, name: &str| {
        ui.separator();
        muted(ui, label);
        let slider = Slider::new(value, 0.0..=1.0).show_value(false);
        ui.add(slider).accessible_name(name).on_hover_text(name)
    };
    let moved = match second.mix {
        Mix::Swipe { mut position } => {
            let response = slider(ui, &mut position, "Line", "Position of the swipe line");
            Some((response, Mix::Swipe { position }))
        }
        Mix::CrossFade { mut amount } => {
            let response = slider(ui, &mut amount, "Weight", "Weight of the pinned map");
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
