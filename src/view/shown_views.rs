//! The views of a picture that are drawn, and their canvas.
//!
//! If a model sees a picture several times (tiles and a thumbnail), its views overlap on the picture. Views of one
//! canvas do not overlap, so they are drawn together. If no view is chosen, the canvas with the most patches is drawn.

use super::PictureChoice;
use crate::trace::{ImageSpan, TraceMeta};

impl PictureChoice {
    /// The canvas that is drawn; if there are no patches on the picture, the picture's first canvas.
    pub fn canvas(&self, meta: &TraceMeta) -> Option<u32> {
        if let Some(span) = self.view.and_then(|view| meta.spans.get(view as usize)) {
            return Some(span.canvas);
        }
        let mut best: Option<(u32, usize)> = None;
        for span in self.on_picture(meta) {
            let same = self.on_picture(meta).filter(|other| other.canvas == span.canvas);
            let patches: usize = same.map(ImageSpan::patches).sum();
            // The first of several equal ones.
            if best.is_none_or(|(_, most)| patches > most) {
                best = Some((span.canvas, patches));
            }
        }
        let first = || meta.preprocess.iter().position(|info| info.picture == self.index);
        best.map(|(canvas, _)| canvas).or_else(|| first().map(|canvas| canvas as u32))
    }

    /// The views that are drawn, as indices of `meta.spans`.
    pub fn spans(&self, meta: &TraceMeta) -> Vec<usize> {
        if let Some(view) = self.view {
            return (view as usize..meta.spans.len()).take(1).collect();
        }
        let canvas = self.canvas(meta);
        let drawn = |span: &ImageSpan| span.picture == self.index && Some(span.canvas) == canvas;
        (0..meta.spans.len()).filter(|&at| drawn(&meta.spans[at])).collect()
    }

    /// The name of the drawn part of a picture with several views, for the caption; `None` if no view is left out.
    pub fn part(&self, meta: &TraceMeta) -> Option<String> {
        let spans = self.spans(meta);
        let first = meta.spans.get(*spans.first()?)?;
        let all = self.on_picture(meta).count();
        if spans.len() == all && first.frame.is_none() {
            return None;
        }
        match spans.len() {
            1 => Some(first.name()),
            count => Some(format!("{count} {}s", first.kind.name())),
        }
    }

    fn on_picture<'a>(&self, meta: &'a TraceMeta) -> impl Iterator<Item = &'a ImageSpan> + use<'a> {
        let index = self.index;
        meta.spans.iter().filter(move |span| span.picture == index)
    }
}
