//! The picture that is edited, the steps, and the preview.

use crate::edit::{Edits, Step};
use crate::ui::document::DocumentId;
use egui::{ColorImage, Context, TextureHandle, TextureId, TextureOptions};
use image::RgbImage;
use std::sync::Arc;

/// Larger than this, the preview of the edited picture is drawn smaller.
const PREVIEW_EDGE: u32 = 1024;

/// A picture and its edits.
pub struct Session {
    /// The document whose picture it is.
    pub original: DocumentId,
    /// The document of the edited picture; `None` before the first question about it.
    pub edited: Option<DocumentId>,
    /// The steps; positions are pixels of the original as the trace keeps it.
    pub edits: Edits,
    /// The untouched picture.
    pub(in crate::ui) picture: Arc<RgbImage>,
    /// The file name of the picture.
    pub(in crate::ui) name: String,
    /// Whether the answer is older than the last step.
    pub stale: bool,
    preview: Option<TextureHandle>,
    drawn_steps: Option<Vec<Step>>,
    /// Left and upper edge of the crop that the edited document was asked with.
    pub asked_crop: [u32; 2],
}

impl Session {
    /// A session without steps; `size` is the original's in pixels.
    pub fn new(original: DocumentId, size: [u32; 2], picture: RgbImage, name: String) -> Self {
        Self {
            original,
            edited: None,
            edits: Edits::new(size),
            picture: Arc::new(picture),
            name,
            stale: false,
            preview: None,
            drawn_steps: None,
            asked_crop: [0, 0],
        }
    }

    /// Bytes of the untouched picture's pixels.
    pub fn picture_bytes(&self) -> usize {
        self.picture.as_raw().len()
    }

    /// The texture of the edited picture, not cropped.
    pub fn preview(&self) -> Option<TextureId> {
        self.preview.as_ref().map(TextureHandle::id)
    }

    /// Draws the edited picture anew if a step changed.
    pub fn draw_preview(&mut self, ctx: &Context) {
        if self.drawn_steps.as_deref() != Some(self.edits.steps()) {
            let Ok(flat) = self.edits.before_crop(&self.picture) else { return };
            let (width, height) = flat.dimensions();
            let small;
            let shown: &RgbImage = if width.max(height) > PREVIEW_EDGE {
                let scale = f64::from(PREVIEW_EDGE) / f64::from(width.max(height));
                let side = |edge: u32| ((f64::from(edge) * scale) as u32).max(1);
                small = image::imageops::thumbnail(&*flat, side(width), side(height));
                &small
            } else {
                &flat
            };
            let size = [shown.width() as usize, shown.height() as usize];
            let image = ColorImage::from_rgb(size, shown.as_raw());
            match &mut self.preview {
                Some(handle) => handle.set(image, TextureOptions::LINEAR),
                None => {
                    let handle = ctx.load_texture("edited", image, TextureOptions::LINEAR);
                    self.preview = Some(handle);
                }
            }
            self.drawn_steps = Some(self.edits.steps().to_vec());
        }
    }

    /// Drops the texture of a device that was lost.
    pub fn forget_texture(&mut self) {
        self.preview = None;
        self.drawn_steps = None;
    }

    /// The colour of the untouched picture at a point in pixels of the original.
    pub fn color_at(&self, [x, y]: [f64; 2]) -> [u8; 3] {
        let [width, height] = self.edits.size().map(f64::from);
        let (columns, rows) = self.picture.dimensions();
        let pixel = |at: f64, size: f64, count: u32| {
            ((at / size * f64::from(count)).max(0.0) as u32).min(count.saturating_sub(1))
        };
        self.picture.get_pixel(pixel(x, width, columns), pixel(y, height, rows)).0
    }
}
