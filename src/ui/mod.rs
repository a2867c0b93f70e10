//! The window: winit and egui around the one renderer.
//!
//! What a user does becomes an [`app::Intent`], never a change made in a panel; what is seen is one
//! [`crate::view::ViewState`]. The window draws when something changed and sleeps otherwise.
//!
//! Where something new goes:
//! - a panel: a file in `panels/` with `show(&mut App, &mut Ui)`, and its line in `panes!` of
//!   [`layout`]; tab, palette entry, narrow window and kept layouts follow from that line;
//! - an action: a variant and a row in [`shortcuts`] (name, section, keys), and a match arm in the
//!   file of its section in `acts/`; key, palette and help follow from the row;
//! - long work: [`tasks::start`], or [`tasks::start_on_model`] for what needs the loaded model. It
//!   reports progress, is cancelled by Escape, and hands back a change of the [`App`];
//! - a longer trace of the same answer (a map was added): [`document::Document::replace`].

pub mod app;
pub mod chat;
mod commands;
pub mod dialogs;
pub mod document;
pub mod exports;
pub mod figures;
pub mod film;
pub mod headless;
pub mod layout;
pub mod model_feed;
pub mod palette;
mod panels;
pub mod present;
pub mod preview_texture;
mod samples;
pub mod shortcuts;
pub mod stage;
mod start;
pub mod tasks;
pub mod theme;
mod transition;
pub mod transport;
pub mod value_cache;
pub mod view_recorder;
pub mod walkthrough;
pub mod what_if;
mod widgets;
mod window;
pub mod window_bench;

pub use app::{App, Start};
pub use headless::{Headless, HeadlessOptions};
pub use window::run;
