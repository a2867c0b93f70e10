//! Small pictures of bookmarked views, drawn once each while their answer is open.

use super::document::Document;
use super::figures::FigureJob;
use crate::gpu::Gpu;
use crate::settings::Bookmark;
use crate::view::{Camera, ViewKind, ViewState};
use egui::TextureHandle;
use std::sync::Arc;

/// Width and height in pixels.
pub const SIDE: u32 = 128;

/// The picture of a bookmarked view.
pub struct Thumbnail {
    state: ViewState,
    document: Option<u64>,
    trace: Option<std::path::PathBuf>,
    /// The picture; `None` while it is drawn, or if it cannot be.
    pub texture: Option<TextureHandle>,
}

impl Thumbnail {
    /// Of a bookmark, not drawn yet.
    pub fn new(bookmark: &Bookmark) -> Self {
        Self {
            state: bookmark.state.clone(),
            document: bookmark.document,
            trace: bookmark.trace.clone(),
            texture: None,
        }
    }

    /// Whether it shows a bookmark.
    pub fn is_of(&self, bookmark: &Bookmark) -> bool {
        self.document == bookmark.document
            && self.trace == bookmark.trace
            && self.state == bookmark.state
    }
}

/// A view as a small picture. Beside the bars of the relevancy view, a picture would be a few pixels wide: the map is
/// shown alone.
pub fn small_view(state: &ViewState) -> ViewState {
    let mut state = state.clone();
    if state.view == ViewKind::Relevancy {
        state.view = ViewKind::Overlay;
    }
    state
}

/// The figure of a bookmark's view without text, as large as a thumbnail.
pub fn job(gpu: Arc<Gpu>, bookmark: &Bookmark, doc: &Document) -> FigureJob {
    let mut state = small_view(&bookmark.state);
    (state.legend, state.caption.show) = (false, false);
    (state.hovered, state.trace, state.text_scale) = (None, None, 0.5);
    state.camera = Camera::default();
    // A comparison with another answer is shown by its first map.
    if state.second.as_ref().is_some_and(|second| second.trace.is_some()) {
        state.second = None;
    }
    let trace = Arc::clone(&doc.trace);
    FigureJob { gpu, state, trace, second: None, path: None, size: [SIDE; 2] }
}
