//! The list of the docked panels.

use serde::{Deserialize, Serialize};

/// Initial place of a panel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PanePlacement {
    /// It fills a place of its own and has no tab.
    Bare,
    /// In the upper tabs of the inspector.
    Upper,
    /// In the middle tabs, which are the lowest while they show the bars of the heads.
    Middle,
    /// In the lower tabs.
    Lower,
}

/// Declares the panels: name, initial place, title of the tab. A new panel is one line here and one in
/// `panels/mod.rs`, which names its struct; a stored layout without the panel gains it at that place, and
/// the palette lists it as "Panel: title".
macro_rules! panes {
    ($($(#[$doc:meta])* $pane:ident $place:ident $title:literal),+ $(,)?) => {
        /// A panel.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Pane {
            $($(#[$doc])* $pane),+
        }

        impl Pane {
            /// Every panel.
            pub const ALL: &[Self] = &[$(Self::$pane),+];

            /// The tab's title.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$pane => $title),+ }
            }

            /// Initial place of the panel.
            pub const fn place(self) -> PanePlacement {
                match self { $(Self::$pane => PanePlacement::$place),+ }
            }
        }
    };
}

panes! {
    /// Picture, questions, answers.
    Chat Bare "Ask",
    /// The view.
    Stage Bare "Stage",
    /// Tokens and transport.
    Tokens Bare "Tokens",
    /// Layer × head matrix.
    Matrix Upper "Layers × heads",
    /// Shares of picture, question and earlier answer in each word of the answer.
    Relevancy Upper "Relevancy",
    /// Fields of the selected step of the walkthrough.
    Walkthrough Upper "Walkthrough",
    /// Heads ranked by their attention on the picture.
    Ranking Upper "Best heads",
    /// Causal graphs of an answer token.
    Causes Upper "Causes",
    /// One bar for each head of the layer.
    HeadStrip Middle "Heads of the layer",
    /// Exact values.
    Numbers Lower "Values",
    /// Question words that an answer word depends on, and a map for each answer word.
    WhyWord Middle "What this word depends on",
    /// Controls for drawing the map.
    Look Lower "Display",
    /// Bookmarks.
    Bookmarks Lower "Bookmarks",
    /// Edits, comparisons, changes to the model.
    #[serde(alias = "Probe")]
    WhatIf Lower "What if",
    /// Deletion and insertion curves of the shown map.
    Score Lower "Faithfulness",
}

impl Pane {
    /// The panels of a place.
    pub(super) fn at(place: PanePlacement) -> Vec<Self> {
        Self::ALL.iter().copied().filter(|pane| pane.place() == place).collect()
    }

    pub(super) const fn is_bare(self) -> bool {
        matches!(self.place(), PanePlacement::Bare)
    }
}
