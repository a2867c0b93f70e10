//! The question before something that would lose a walkthrough or a film.

use super::editor::NewWalkthrough;

/// What is done once nothing can be lost any more.
#[derive(Debug)]
pub enum AfterConfirm {
    /// Closes the walkthrough.
    CloseWalkthrough,
    /// Edits another walkthrough.
    Begin(Box<NewWalkthrough>),
    /// Quits, unless a film is being recorded.
    Quit,
    /// Quits, whatever is being recorded.
    EndProgram,
}

/// A question that waits for its answer.
#[derive(Debug)]
pub struct Confirm {
    /// What would be lost.
    pub of: Lost,
    /// What is done then.
    pub then: AfterConfirm,
}

/// What would be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Changes of the walkthrough.
    Walkthrough,
    /// A film or a pack that is being written.
    Output,
}

/// What is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Save it first.
    Save,
    /// It may be lost.
    Discard,
    /// Rather not.
    Cancel,
}
