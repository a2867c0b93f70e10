//! Requests of the user as plain data: sent by panels, keys and the palette, carried out by
//! [`super::commands`].

use super::causes::CausesCommand;
use super::data_set::{Brush, DataSetId, DataSetView};
use super::document::DocumentId;
use super::film::FilmOptions;
use super::layout::{Overlay, Pane};
use super::marking::MarkCommand;
use super::shortcuts::UiCommand;
use super::transport::PlayAxis;
use super::walkthrough::confirm::Answer;
use super::walkthrough::editor::WalkthroughCommand;
use super::what_if::WhatIfCommand;
use crate::analysis::methods::Method;
use crate::analysis::verdict::Thresholds;
use crate::trace::{AnswerIndex, PreprocessMode, Sampling};
use crate::view::{Command, Theme};
use std::cell::RefCell;
use std::path::PathBuf;

/// A request from a panel, a key or the palette.
#[derive(Clone, Debug)]
pub enum Intent {
    /// A change of the view.
    Command(Command),
    /// A change of the view under the pointer: never cross-faded.
    Scrub(Command),
    /// A gesture ended: the next change is an undo step of its own.
    Settle,
    /// A command without arguments.
    Ui(UiCommand),
    /// Opens a picture, a trace, a walkthrough or a model folder.
    Open(PathBuf),
    /// Reads the file of an answered question again.
    Reload(DocumentId),
    /// Opens the sessions of windows that have ended.
    OpenSessions,
    /// Deletes them.
    DiscardSessions,
    /// Forgets answers of the session whose trace files are missing, by their numbers.
    ForgetMissing(Vec<u64>),
    /// Closes everything and asks the first question again.
    StartFresh,
    /// Brings back what was closed last.
    Reopen,
    /// Asks a question.
    Ask(String),
    /// Scores another answer to the question that is shown.
    Score(String),
    /// Changes what is typed in the chat.
    Chat(ChatCommand),
    /// Opens a built-in picture and asks its first question.
    UseSample(usize),
    /// Makes the small pictures of the samples; once.
    DrawSamples,
    /// Draw the small pictures of the strip below the stage.
    DrawPictureStrip(DocumentId),
    /// Loads the model, so that the first answer need not wait for it.
    LoadModel,
    /// Shows another answered question.
    Show(DocumentId),
    /// Closes an answered question.
    Close(DocumentId),
    /// Uses a model.
    UseBundle(PathBuf),
    /// Shows or changes a bookmark.
    Bookmark(BookmarkCommand),
    /// Stops a task.
    CancelTask(u64),
    /// Learns or tests causal graphs.
    Causes(CausesCommand),
    /// Edits, compares, changes the model.
    WhatIf(WhatIfCommand),
    /// Marks objects.
    Mark(MarkCommand),
    /// Changes the walkthrough that is being made.
    Walkthrough(WalkthroughCommand),
    /// Sets how a film is recorded, or records it.
    Film(FilmCommand),
    /// Answers the question before something that would be lost.
    Confirm(Answer),
    /// Changes or takes the path that is typed.
    Path(PathCommand),
    /// Runs the deletion and insertion test on the map that is shown.
    TestMaps,
    /// Computes relevancy maps by these methods, for these answer tokens (all tokens if the list is empty).
    ComputeRelevancy(Vec<Method>, Vec<AnswerIndex>),
    /// Shows, changes or leaves an open table.
    DataSet(DataSetCommand),
    /// Measures what the verdicts about the words of these answers need.
    CheckWords(Vec<DocumentId>),
    /// Sets what [`super::transport::Transport`] plays.
    Transport(TransportCommand),
    /// Changes a setting.
    Settings(SettingsChange),
    /// Ranks heads over all open answers of the model, or over this one.
    RankOverAll(bool),
    /// Shows the chosen head in every open answer, or the ranking.
    ShowAnswers(bool),
    /// Changes a named set of heads.
    Heads(HeadsCommand),
    /// Brings a panel to the front.
    ShowPanel(Pane),
    /// Opens or closes a panel that stands over a narrow window.
    ShowOverlay(Option<Overlay>),
    /// Opens or closes the palette.
    ShowPalette(bool),
    /// Closes the help.
    CloseHelp,
    /// Closes a message.
    Dismiss(u64),
    /// Puts a text on the clipboard; the second is its name in the message.
    Copy(String, &'static str),
}

/// A change of what is typed in the chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChatCommand {
    /// Replaces the typed question.
    Question(String),
    /// The question field has received the focus.
    QuestionFocused,
    /// The next question continues the conversation, or does not.
    FollowUp(bool),
    /// Closes the error.
    DismissError,
}

/// Commands for open tables; where none is named, for the one that is shown.
#[derive(Clone, Debug, PartialEq)]
pub enum DataSetCommand {
    /// Shows a table in place of the answer.
    Show(DataSetId),
    /// Shows the answer again.
    Hide,
    /// Closes a table.
    Close(DataSetId),
    /// Shows something else of the table.
    View(Box<DataSetView>),
    /// Selects the samples inside a rectangle of the plot, or all.
    Brush(Option<Brush>),
    /// The matrix counts the selected samples only, or all.
    CountBrush(bool),
    /// Moves to a place in the order of the samples.
    Cursor(usize),
    /// Opens the trace of a sample, or offers to ask its question again.
    Open(usize),
    /// Asks the question of a sample again.
    AskAgain(usize),
    /// Makes the small pictures of these samples.
    Tiles(Vec<usize>),
    /// Makes a table of the traces in a folder, and shows it.
    OfFolder(PathBuf),
    /// Compares with the same samples in another table, which is asked for.
    CompareTable,
    /// The field of conditions has received the focus.
    FilterFocused,
}

/// Commands for bookmarks, which are counted from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BookmarkCommand {
    /// Shows the view of a bookmark.
    GoTo(usize),
    /// Deletes a bookmark.
    Remove(usize),
    /// Exchanges two bookmarks.
    Swap(usize, usize),
    /// Draws the small picture of a bookmark, once.
    Draw(usize),
    /// Changes the note of a bookmark.
    Note(usize, String),
}

/// Commands for named sets of heads, which are counted from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeadsCommand {
    /// Deletes a set.
    Remove(usize),
    /// Changes the name of a set.
    Rename(usize, String),
}

/// Commands for films.
#[derive(Clone, Debug, PartialEq)]
pub enum FilmCommand {
    /// Sets the options in the dialog.
    Options(FilmOptions),
    /// Closes the dialog.
    Cancel,
    /// Records with the options of the dialog.
    Record,
    /// Sets width and height in pixels, which the preview follows.
    Size([u32; 2]),
}

/// Commands for the path prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathCommand {
    /// Replaces the typed path.
    Type(String),
    /// Accepts the path.
    Accept,
    /// Closes the question.
    Cancel,
}

/// Commands for playback.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TransportCommand {
    /// Through this axis.
    Axis(PlayAxis),
    /// Steps a second.
    Speed(f32),
}

/// A change of a setting.
#[derive(Clone, Debug, PartialEq)]
pub enum SettingsChange {
    /// Sampling of answers.
    Sampling(Sampling),
    /// Fit of pictures that are not square.
    Preprocess(PreprocessMode),
    /// The limits of the verdict about each word.
    Verdict(Thresholds),
    /// The window's theme; `None` follows the system.
    Theme(Option<Theme>),
    /// Whether jumps cross-fade.
    Animate(bool),
    /// Whether the token strip shows the whole prompt.
    PromptOpen(bool),
    /// The advice of the first start was read.
    AdviceSeen,
}

/// Collects intents while panels are drawn; they are carried out when all panels are.
#[derive(Debug, Default)]
pub struct IntentSender(RefCell<Vec<Intent>>);

impl IntentSender {
    /// Sends an intent.
    pub fn send(&self, intent: Intent) {
        self.0.borrow_mut().push(intent);
    }

    /// Sends a change of the view.
    pub fn command(&self, command: Command) {
        self.send(Intent::Command(command));
    }

    /// Sends a command of the table.
    pub fn act(&self, act: UiCommand) {
        self.send(Intent::Ui(act));
    }

    /// Intents since the last call, in order.
    pub fn take(&self) -> Vec<Intent> {
        self.0.take()
    }

    /// Whether no intent waits.
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }
}
