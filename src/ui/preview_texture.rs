//! One moment of a walkthrough as an egui texture: for the stage and the editor.

use super::window_painter::WindowPainter;
use crate::gpu::{Gpu, GpuError, Target};
use crate::record::{Captions, OpenTraces, Painter};
use crate::view::figure::Figure;
use crate::view::timeline::{Moment, Walkthrough};
use egui::TextureId;
use std::sync::Arc;

/// Draws moments when they change.
pub struct PreviewTexture {
    gpu: Arc<Gpu>,
    egui: WindowPainter,
    captions: Captions,
    /// egui's filter for drawing the texture at another size.
    filter: wgpu::FilterMode,
    shown: Option<DrawnPreview>,
}

struct DrawnPreview {
    painter: Painter,
    target: Target,
    texture: TextureId,
    drawn: Option<Moment>,
}

impl PreviewTexture {
    /// Nothing is drawn yet.
    pub const fn new(
        gpu: Arc<Gpu>,
        egui: WindowPainter,
        captions: Captions,
        filter: wgpu::FilterMode,
    ) -> Self {
        Self { gpu, egui, captions, filter, shown: None }
    }

    /// The texture of the last moment that was drawn.
    pub fn texture(&self) -> Option<TextureId> {
        self.shown.as_ref().map(|shown| shown.texture)
    }

    /// The layout of the last view.
    pub fn figure(&self) -> Option<&Figure> {
        self.shown.as_ref().and_then(|shown| shown.painter.figure())
    }

    /// Says which characters no font has; see [`Painter::missing_glyphs`].
    pub fn missing_glyphs(&self) -> Option<String> {
        self.shown.as_ref().and_then(|shown| shown.painter.missing_glyphs())
    }

    /// The target of the last moment that was drawn, for tests.
    pub fn target(&self) -> Option<&Target> {
        self.shown.as_ref().map(|shown| &shown.target)
    }

    /// Brings the texture up to a moment of a walkthrough; true if it was drawn anew. The old
    /// picture stays where that fails.
    ///
    /// # Errors
    /// If the moment does not fit its trace, or the device fails.
    pub fn paint(
        &mut self,
        moment: Moment,
        walkthrough: &Walkthrough,
        traces: &OpenTraces,
        pixels: [u32; 2],
    ) -> Result<bool, GpuError> {
        let limit = self.gpu.limits().max_texture_dimension_2d;
        let size = pixels.map(|side| side.clamp(1, limit));
        let shown = match &mut self.shown {
            Some(shown) => {
                if shown.target.size() != size {
                    shown.target.resize(&self.gpu, size)?;
                    shown.drawn = None;
                    self.egui.show(&self.gpu, &shown.target, self.filter, Some(shown.texture));
                }
                if shown.painter.follow(size, walkthrough, traces) {
                    shown.drawn = None;
                }
                shown
            }
            None => {
                let mut painter = Painter::new(&self.gpu, size, walkthrough, self.captions)?;
                painter.follow(size, walkthrough, traces);
                let format = self.egui.target_format();
                let target = Target::offscreen_in(&self.gpu, size, format)?;
                let Some(texture) = self.egui.show(&self.gpu, &target, self.filter, None) else {
                    return Ok(false);
                };
                self.shown.insert(DrawnPreview { painter, target, texture, drawn: None })
            }
        };
        if shown.drawn.as_ref() == Some(&moment) {
            return Ok(false);
        }
        shown.painter.paint(&moment, traces, &shown.target)?;
        self.egui.redrawn(shown.texture);
        shown.drawn = Some(moment);
        Ok(true)
    }
}

impl Drop for PreviewTexture {
    fn drop(&mut self) {
        if let Some(shown) = &self.shown {
            self.egui.free(shown.texture);
        }
    }
}
