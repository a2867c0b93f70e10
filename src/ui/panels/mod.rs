//! One file a panel. A panel reads a [`super::pane::PaneContext`] and sends intents; its own fields hold only
//! state that no other panel needs.

mod answers;
mod bookmarks;
mod causes;
mod chat;
mod color_bar;
mod colors;
mod compare_stage;
mod data_set;
mod edit_stage;
mod empty_stage;
mod film;
mod film_strip;
mod head_strip;
mod help;
mod look;
mod mark_stage;
mod matrix;
mod notices;
mod numbers;
mod palette;
mod patching;
mod path_prompt;
mod picture_strip;
mod quantity;
mod ranking;
mod relevancy;
mod relevancy_gallery;
mod sample_bar;
mod score;
mod stage;
mod title;
mod tokens;
mod transport;
mod view_bar;
mod walkthrough;
mod what_if;
mod words;

use super::layout::Pane;
use super::pane::PaneUi;
pub use film_strip::HEIGHT as FILM_STRIP_HEIGHT;

/// Every panel, with its own state.
#[derive(Default)]
pub struct Panes {
    /// The title bar.
    pub title: title::Title,
    /// The table over many answers, in place of the docked panels.
    pub data_set: data_set::DataSetPane,
    /// The timeline of the walkthrough, at the bottom.
    pub film_strip: film_strip::FilmStrip,
    docked: Docked,
    over: Over,
}

/// The panels that are docked.
#[derive(Default)]
struct Docked {
    bookmarks: bookmarks::Bookmarks,
    causes: causes::CausesPane,
    chat: chat::ChatPane,
    head_strip: head_strip::HeadStrip,
    look: look::Look,
    matrix: matrix::MatrixPane,
    numbers: numbers::Numbers,
    ranking: ranking::Ranking,
    relevancy: relevancy::Relevancy,
    score: score::Score,
    stage: stage::StagePane,
    tokens: tokens::Tokens,
    walkthrough: walkthrough::WalkthroughPane,
    what_if: what_if::WhatIfPane,
    why_word: relevancy::WhyWord,
}

/// The panels that stand over the others, the topmost last.
#[derive(Default)]
struct Over {
    notices: notices::Notices,
    help: help::Help,
    film: film::FilmPane,
    path_prompt: path_prompt::PathPrompt,
    palette: palette::CommandPalette,
}

impl Panes {
    /// The implementation of a docked panel.
    pub fn docked(&mut self, pane: Pane) -> &mut dyn PaneUi {
        let docked = &mut self.docked;
        match pane {
            Pane::Chat => &mut docked.chat,
            Pane::Stage => &mut docked.stage,
            Pane::Tokens => &mut docked.tokens,
            Pane::Matrix => &mut docked.matrix,
            Pane::Relevancy => &mut docked.relevancy,
            Pane::Walkthrough => &mut docked.walkthrough,
            Pane::Ranking => &mut docked.ranking,
            Pane::HeadStrip => &mut docked.head_strip,
            Pane::Numbers => &mut docked.numbers,
            Pane::WhyWord => &mut docked.why_word,
            Pane::Look => &mut docked.look,
            Pane::Bookmarks => &mut docked.bookmarks,
            Pane::WhatIf => &mut docked.what_if,
            Pane::Score => &mut docked.score,
            Pane::Causes => &mut docked.causes,
        }
    }

    /// The implementations of panels over the docked ones, the topmost last.
    pub fn over(&mut self) -> [&mut dyn PaneUi; 5] {
        let Over { notices, help, film, path_prompt, palette } = &mut self.over;
        [notices, help, film, path_prompt, palette]
    }

    /// Drops textures of a device that was lost.
    pub fn forget_textures(&mut self, ctx: &egui::Context) {
        self.data_set.forget_texture();
        self.docked.matrix.forget_texture();
        self.docked.ranking.forget_textures();
        relevancy_gallery::forget_textures(ctx);
    }
}
