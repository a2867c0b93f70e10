//! The window: winit and egui around the one renderer.
//!
//! What a user does becomes an [`app::Intent`], never a change made in a panel; what is seen is one
//! [`crate::view::ViewState`]. The window draws when something changed and sleeps otherwise.

mod acts;
pub mod app;
pub mod chat;
pub mod document;
pub mod exports;
mod fade;
pub mod feed;
pub mod figures;
pub mod host;
mod layout;
pub mod palette;
mod panels;
pub mod readings;
pub mod replay;
mod samples;
pub mod shortcuts;
pub mod stage;
mod start;
pub mod theme;
pub mod transport;
mod widgets;
mod window;

pub use app::{App, Start};
pub use host::{Host, HostOptions};
pub use window::run;
