//! Undo and redo as a list of states.
//!
//! Changes of one kind between two [`Undo::settle`] calls (a drag, a held key, a typed word) are one undo step.

use super::{Bounds, Command, ViewError, ViewState};
use std::sync::atomic::{AtomicU64, Ordering};

/// Number of undo steps that are kept; a state is a few hundred bytes.
const MAX_STEPS: usize = 500;

/// The key of changes that may be merged into one step: their kind, and the index of the changed object.
pub type MergeKey = (&'static str, usize);

/// A value with its earlier and its undone values.
#[derive(Clone, Debug)]
pub struct Undo<T> {
    past: Vec<T>,
    present: T,
    future: Vec<T>,
    /// The key of the changes that may still be merged into the last step.
    open: Option<MergeKey>,
    /// Differs after every change, also from that of other values.
    revision: u64,
}

fn next_revision() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed)
}

impl<T> Undo<T> {
    /// Starts at a value.
    pub fn new(value: T) -> Self {
        Self::restored(Vec::new(), value, Vec::new())
    }

    /// A value with its earlier ones, the oldest first, and its undone ones, of which the last is the next to redo.
    pub fn restored(past: Vec<T>, present: T, future: Vec<T>) -> Self {
        Self { past, present, future, open: None, revision: next_revision() }
    }

    /// Earlier values, the oldest first.
    pub fn past(&self) -> &[T] {
        &self.past
    }

    /// Undone values; the last is the next to redo.
    pub fn future(&self) -> &[T] {
        &self.future
    }

    /// The present value.
    pub const fn present(&self) -> &T {
        &self.present
    }

    /// The present value, for a change that is not an undo step.
    pub const fn present_mut(&mut self) -> &mut T {
        &mut self.present
    }

    /// Sets a value. Consecutive values with the same key are one step; values without a key are one step each.
    pub fn put(&mut self, next: T, key: Option<MergeKey>) {
        self.revision = next_revision();
        let before = std::mem::replace(&mut self.present, next);
        if key.is_none() || key != self.open {
            self.push_past(before);
        }
        self.open = key;
        self.future.clear();
    }

    /// The pointer or key was released: the next change is a new step.
    pub const fn settle(&mut self) {
        self.open = None;
    }

    /// Undoes a step; false if there is none.
    pub fn undo(&mut self) -> bool {
        self.open = None;
        let Some(earlier) = self.past.pop() else { return false };
        self.revision = next_revision();
        self.future.push(std::mem::replace(&mut self.present, earlier));
        true
    }

    /// Redoes a step; false if there is none.
    pub fn redo(&mut self) -> bool {
        self.open = None;
        let Some(later) = self.future.pop() else { return false };
        self.revision = next_revision();
        let before = std::mem::replace(&mut self.present, later);
        self.push_past(before);
        true
    }

    /// A number that changes whenever a value is set, undone or redone; no two values of a process have the same.
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether there is something to undo.
    pub const fn can_undo(&self) -> bool {
        !self.past.is_empty()
    }

    /// Whether there is something to redo.
    pub const fn can_redo(&self) -> bool {
        !self.future.is_empty()
    }

    /// Drops the oldest steps so that `most` remain, for values that take much memory.
    pub fn keep_last(&mut self, most: usize) {
        let surplus = self.past.len().saturating_sub(most);
        self.past.drain(..surplus);
    }

    fn push_past(&mut self, before: T) {
        if self.past.len() == MAX_STEPS {
            self.past.remove(0);
        }
        self.past.push(before);
    }
}

/// The present view with its earlier and its undone views.
#[derive(Clone, Debug)]
pub struct History {
    views: Undo<ViewState>,
}

impl History {
    /// Starts at a state.
    pub fn new(state: ViewState) -> Self {
        Self { views: Undo::new(state) }
    }

    /// A view with the steps before and after it, as [`Undo::restored`] takes them.
    pub fn restored(past: Vec<ViewState>, state: ViewState, future: Vec<ViewState>) -> Self {
        Self { views: Undo::restored(past, state, future) }
    }

    /// Earlier views, the oldest first.
    pub fn past(&self) -> &[ViewState] {
        self.views.past()
    }

    /// Undone views; the last is the next to redo.
    pub fn future(&self) -> &[ViewState] {
        self.views.future()
    }

    /// The present state.
    pub const fn state(&self) -> &ViewState {
        self.views.present()
    }

    /// Applies a command; returns whether the state changed.
    ///
    /// # Errors
    /// If the command does not fit the trace; the state is then unchanged.
    pub fn apply(&mut self, command: &Command, extent: &Bounds) -> Result<bool, ViewError> {
        let next = command.apply(self.state(), extent)?;
        if next == *self.state() {
            return Ok(false);
        }
        if command.is_transient() {
            *self.views.present_mut() = next;
            return Ok(true);
        }
        // The hovered patch is not part of a step.
        self.views.present_mut().hovered = None;
        self.views.put(next, command.merges_as().map(|kind| (kind, 0)));
        Ok(true)
    }

    /// The present view and all earlier and undone ones.
    pub fn number_of_views(&self) -> usize {
        self.views.past().len() + 1 + self.views.future().len()
    }

    /// The pointer or key was released: the next command is a new step.
    pub const fn settle(&mut self) {
        self.views.settle();
    }

    /// Undoes a step; false if there is none.
    pub fn undo(&mut self) -> bool {
        self.keeping_the_hover(Undo::undo)
    }

    /// Redoes a step; false if there is none.
    pub fn redo(&mut self) -> bool {
        self.keeping_the_hover(Undo::redo)
    }

    /// A number that changes whenever a step is made, undone or redone.
    pub const fn revision(&self) -> u64 {
        self.views.revision()
    }

    /// Whether there is something to undo.
    pub const fn can_undo(&self) -> bool {
        self.views.can_undo()
    }

    /// Whether there is something to redo.
    pub const fn can_redo(&self) -> bool {
        self.views.can_redo()
    }

    fn keeping_the_hover(&mut self, step: impl FnOnce(&mut Undo<ViewState>) -> bool) -> bool {
        let hovered = self.views.present_mut().hovered.take();
        let moved = step(&mut self.views);
        self.views.present_mut().hovered = hovered;
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::Undo;

    #[test]
    fn only_the_last_steps_are_kept() {
        let mut undo = Undo::new(0);
        (1..=5).for_each(|value| undo.put(value, None));
        undo.keep_last(2);
        assert_eq!((undo.past(), *undo.present()), ([3, 4].as_slice(), 5));
        assert!(undo.undo() && undo.undo() && !undo.undo());
        assert_eq!(*undo.present(), 3);
    }
}
