//! The window, driven without a display.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod captured;
mod causes;
mod chat;
mod data_set;
mod faults;
mod headless;
mod objects;
mod panels;
mod present;
mod relevancy;
mod remote;
mod score;
mod screen_saver;
mod session;
mod sizes;
mod snapshots;
mod support;
#[path = "../shared/table_damage.rs"]
mod table_damage;
mod text;
mod undo;
mod walkthrough;
mod what_if;
mod window;
