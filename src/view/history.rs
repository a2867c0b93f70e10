//! Undo and redo as a list of states.
//!
//! An undo point is where the view came to rest: commands of one kind between two [`History::settle`]
//! calls (a drag, a held key) are one step.

use super::{Command, Extent, ViewError, ViewState};

/// How many steps are kept; a state is a few hundred bytes.
const MAX_STEPS: usize = 500;

/// The present state with what came before and what was undone.
#[derive(Clone, Debug)]
pub struct History {
    past: Vec<ViewState>,
    present: ViewState,
    future: Vec<ViewState>,
    /// The kind of command that the last step is still open for.
    open: Option<&'static str>,
}

impl History {
    /// Starts at a state.
    pub fn new(state: ViewState) -> Self {
        Self { past: Vec::new(), present: state, future: Vec::new(), open: None }
    }

    /// The present state.
    pub fn state(&self) -> &ViewState {
        &self.present
    }

    /// Applies a command; returns whether the state changed.
    ///
    /// # Errors
    /// If the command does not fit the trace; the state is then unchanged.
    pub fn apply(&mut self, command: &Command, extent: &Extent) -> Result<bool, ViewError> {
        let next = command.apply(&self.present, extent)?;
        if next == self.present {
            return Ok(false);
        }
        if command.is_transient() {
            self.present = next;
            return Ok(true);
        }
        let kind = command.merges_as();
        if kind.is_none() || kind != self.open {
            self.push_past();
        }
        self.open = kind;
        self.future.clear();
        self.present = next;
        Ok(true)
    }

    /// The pointer or key was released: the next command is a new step.
    pub fn settle(&mut self) {
        self.open = None;
    }

    /// Steps back; false at the start.
    pub fn undo(&mut self) -> bool {
        self.open = None;
        let Some(mut earlier) = self.past.pop() else { return false };
        earlier.hovered = self.present.hovered;
        let mut later = std::mem::replace(&mut self.present, earlier);
        later.hovered = None;
        self.future.push(later);
        true
    }

    /// Steps forward again; false at the end.
    pub fn redo(&mut self) -> bool {
        self.open = None;
        let Some(mut later) = self.future.pop() else { return false };
        later.hovered = self.present.hovered;
        self.push_past();
        self.present = later;
        true
    }

    /// Whether there is something to undo.
    pub fn can_undo(&self) -> bool {
        !self.past.is_empty()
    }

    /// Whether there is something to redo.
    pub fn can_redo(&self) -> bool {
        !self.future.is_empty()
    }

    fn push_past(&mut self) {
        if self.past.len() == MAX_STEPS {
            self.past.remove(0);
        }
        self.past.push(ViewState { hovered: None, ..self.present.clone() });
    }
}
