//! One file a panel. A panel reads the [`super::app::App`] and sends intents; it changes nothing
//! but what is being typed.

pub mod bookmarks;
pub mod chat;
pub mod compare_stage;
pub mod edit_stage;
pub mod film;
pub mod film_strip;
pub mod frame;
pub mod head_strip;
pub mod help;
pub mod look;
pub mod matrix;
pub mod notices;
pub mod numbers;
pub mod path_prompt;
pub mod ranking;
pub mod relevancy;
pub mod relevancy_gallery;
pub mod score;
pub mod stage;
pub mod title;
pub mod tokens;
pub mod transport;
pub mod view_bar;
pub mod walkthrough;
pub mod what_if;
