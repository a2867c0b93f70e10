//! The question before a command that would lose a walkthrough or a film.

use super::editor::NewWalkthrough;

/// Command that runs once nothing can be lost any more.
#[derive(Debug)]
pub enum AfterConfirm {
    /// Closes the walkthrough.
    CloseWalkthrough,
    /// Edits another walkthrough.
    Begin(Box<NewWalkthrough>),
    /// Closes every answer and the walkthrough.
    StartFresh,
    /// Quits, unless a film is being recorded.
    Quit,
    /// Quits, even if a film is being recorded.
    EndProgram,
}

/// An open question.
#[derive(Debug)]
pub struct Confirm {
    /// Work that would be lost.
    pub of: Lost,
    /// Command that runs after it.
    pub then: AfterConfirm,
}

/// Work that would be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Changes of the walkthrough.
    Walkthrough,
    /// A film or a pack that is being written.
    Output,
}

/// Answer to the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Save first.
    Save,
    /// Discard the changes.
    Discard,
    /// Do nothing.
    Cancel,
}
