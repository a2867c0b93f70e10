//! Changes of a view that panels and commands share.

use crate::view::{AxisSet, Command, ViewState};

/// Both axes of the attention in one step of the history.
pub fn with_axes(state: &ViewState, layers: AxisSet, heads: AxisSet) -> Command {
    let mut next = state.clone();
    next.map.layers = layers;
    next.map.heads = heads;
    next.map.head_set = None;
    next.show_attention();
    next.hovered = None;
    Command::Replace(Box::new(next))
}

/// The entry after `current` in a list, after the last the first.
pub fn next_of<T: Copy + PartialEq>(all: &[T], current: T) -> T {
    let at = all.iter().position(|&one| one == current).unwrap_or(0);
    all.get((at + 1) % all.len().max(1)).copied().unwrap_or(current)
}
