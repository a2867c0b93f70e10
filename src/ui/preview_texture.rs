//! One moment of a walkthrough as an egui texture: for the stage and the editor.

use super::stage;
use crate::gpu::{Gpu, GpuError, Target};
use crate::record::{Captions, OpenTraces, Painter};
use crate::view::timeline::{Moment, Walkthrough};
use egui::TextureId;
use std::sync::Arc;

/// Draws moments when they change.
pub struct PreviewTexture {
    gpu: Arc<Gpu>,
    egui: stage::Painter,
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
        egui: stage::Painter,
        captions: Captions,
        filter: wgpu::FilterMode,
    ) -> Self {
        Self { gpu, egui, captions, filter, shown: None }
    }

    /// The texture of the last moment that was drawn.
    pub fn texture(&self) -> Option<TextureId> {
        self.shown.as_ref().map(|shown| shown.texture)
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
                    let view = shown.target.gamma_view();
                    if let Some(view) = view {
                        let filter = self.filter;
                        let (device, id) = (&self.gpu.device, shown.texture);
                        let mut egui = self.egui.write();
                        egui.update_egui_texture_from_wgpu_texture(device, &view, filter, id);
                    }
                }
                if shown.painter.follow(size, walkthrough) {
                    shown.drawn = None;
                }
                shown
            }
            None => {
                let painter = Painter::new(&self.gpu, size, walkthrough, self.captions)?;
                let target = Target::offscreen(&self.gpu, size)?;
                let Some(view) = target.gamma_view() else { return Ok(false) };
                let filter = self.filter;
                let mut egui = self.egui.write();
                let texture = egui.register_native_texture(&self.gpu.device, &view, filter);
                self.shown.insert(DrawnPreview { painter, target, texture, drawn: None })
            }
        };
        if shown.drawn.as_ref() == Some(&moment) {
            return Ok(false);
        }
        shown.painter.paint(&moment, traces, &shown.target)?;
        shown.drawn = Some(moment);
        Ok(true)
    }
}

impl Drop for PreviewTexture {
    fn drop(&mut self) {
        if let Some(shown) = &self.shown {
            self.egui.write().free_texture(&shown.texture);
        }
    }
}
