//! The window: winit and egui around the one renderer.
//!
//! A user's action becomes an [`intent::Intent`], never a change made in a panel; the stage shows
//! one [`crate::view::ViewState`]. The window draws when something changed and sleeps otherwise.
//! one [`crate::view::ViewState`]. The window draws when something changed and sleeps otherwise.
//!
//! Files depend on each other in this order: theme, widgets and state (documents, what-if,
//! walkthrough editor, tasks, dialogs); [`intent`]; [`pane`]; panels. [`app`] holds the state,
//! `commands` change it, [`frame`] draws panels and runs commands, [`headless`] drives frames.
//!
//! To add something:
//! - a panel: a file in `panels/` that implements [`pane::PaneUi`], its line in `panes!` of
//!   [`layout`], and its field in `panels/mod.rs`; tab, palette entry, narrow window and kept
//!   layouts follow from that line;
//! - a command without arguments: a row in `command_table` with its function; keys, palette and
//!   help follow from the row. One with arguments: a variant of an enum in [`intent`];
//! - long work: [`tasks::Tasks::start`], or [`tasks::Tasks::start_on_model`] for what needs the
//!   loaded model. It reports progress, is cancelled by Escape, and hands back a
//!   [`task_result::TaskResult`];
//! - a longer trace of the same answer (a map was added): [`document::Document::replace`].

pub mod app;
pub mod badges;
pub mod causes;
pub mod chat;
pub mod closed;
mod command_table;
pub mod commands;
mod damage;
pub mod data_set;
pub mod dialogs;
pub mod document;
pub mod documents;
pub mod error_text;
pub mod exports;
pub mod figures;
pub mod film;
pub mod frame;
mod head_choice;
pub mod headless;
pub mod intent;
pub mod layout;
pub mod marking;
pub mod model_feed;
pub mod notices;
pub mod painting;
pub mod pane;
pub mod panels;
pub mod picture_strip;
pub mod present;
pub mod preview_texture;
pub mod python_line;
pub mod ranking;
pub mod relevancy;
pub mod samples;
pub mod score;
pub mod session;
pub mod shortcuts;
mod small_map;
pub mod stage;
pub mod start;
pub mod surface;
pub mod system_fonts;
pub mod task_result;
pub mod tasks;
pub mod theme;
pub mod thumbnails;
pub mod transition;
pub mod transport;
pub mod value_cache;
pub mod verdicts;
pub mod view_changes;
pub mod view_recorder;
pub mod walkthrough;
pub mod what_if;
mod widgets;
mod window;
pub mod window_bench;
pub mod window_painter;
pub mod wording;

pub use app::App;
pub use headless::{Headless, HeadlessOptions};
pub use session::folder as session_folder;
pub use start::Start;
pub use window::run;
