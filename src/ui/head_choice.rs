//! Choosing single heads with Shift and Ctrl, in the same way in every panel that shows heads.

use crate::trace::ModelInfo;
use crate::view::{AxisSet, Command, LayerHead, ViewState};
use egui::{Id, Ui};

/// The head that was clicked last, from which a range starts.
fn anchor_id() -> Id {
    Id::unique("the head that was clicked last")
}

/// The command of a click on a head, see [`chosen_after_click`].
pub fn click(
    ui: &Ui,
    state: &ViewState,
    head: LayerHead,
    range: impl FnOnce(LayerHead) -> Vec<LayerHead>,
) -> Command {
    let heads = chosen_after_click(ui, state.map.chosen_heads(), head, range);
    if !adds(ui) {
        return Command::SetLayerHead(head[0], head[1]);
    }
    Command::SetHeadSet(heads)
}

/// The chosen heads after a click on a head: alone it chooses the head; with Ctrl it adds the head to the chosen ones or
/// takes it out; with Shift it adds all heads from the one that was clicked last to this one, which `range` lists.
pub fn chosen_after_click(
    ui: &Ui,
    chosen: Vec<LayerHead>,
    head: LayerHead,
    range: impl FnOnce(LayerHead) -> Vec<LayerHead>,
) -> Vec<LayerHead> {
    let modifiers = ui.input(|input| input.modifiers);
    let anchor = ui.data(|data| data.get_temp::<LayerHead>(anchor_id()));
    if !modifiers.shift {
        ui.data_mut(|data| data.insert_temp(anchor_id(), head));
    }
    if modifiers.shift {
        let anchor = anchor.or_else(|| chosen.last().copied()).unwrap_or(head);
        let added = range(anchor);
        return [chosen, added].concat();
    }
    if !modifiers.command {
        return vec![head];
    }
    if chosen.contains(&head) {
        chosen.into_iter().filter(|other| *other != head).collect()
    } else {
        [chosen, vec![head]].concat()
    }
}

/// A click on a head of the chosen layers chooses it in all of them. With Shift or Ctrl it adds the head of one layer: of
/// the head that was chosen last, or else of the first chosen layer.
pub fn click_in_layers(ui: &Ui, state: &ViewState, model: &ModelInfo, head: u32) -> Command {
    let last = state.map.chosen_heads().last().map(|[layer, _]| *layer);
    let first = || {
        let index = *state.map.layers.layer_indices(model).first()?;
        Some(model.layer_number(index))
    };
    match last.or_else(first).filter(|_| adds(ui)) {
        Some(layer) => click(ui, state, [layer, head], |anchor| {
            rectangle(&[layer], [layer, anchor[1]], [layer, head])
        }),
        None => Command::SetHeads(AxisSet::single(head)),
    }
}

/// Whether a modifier makes a click add to the chosen heads.
pub fn adds(ui: &Ui) -> bool {
    ui.input(|input| input.modifiers.shift || input.modifiers.command)
}

/// The heads of a rectangle of layers and heads between two corners; `layers` are the numbers of all rows.
pub fn rectangle(layers: &[u32], from: LayerHead, to: LayerHead) -> Vec<LayerHead> {
    let ordered = |a: u32, b: u32| (a.min(b), a.max(b));
    let (first_layer, last_layer) = ordered(from[0], to[0]);
    let (first_head, last_head) = ordered(from[1], to[1]);
    layers
        .iter()
        .copied()
        .filter(|layer| (first_layer..=last_layer).contains(layer))
        .flat_map(|layer| (first_head..=last_head).map(move |head| [layer, head]))
        .collect()
}
