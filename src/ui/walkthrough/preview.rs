//! The walkthrough on the stage and as small pictures: drawn by the recorder's painter, so that
//! what is previewed is the film.

use crate::gpu::{Gpu, GpuError, Target};
use crate::record::{Captions, OpenTraces, Painter};
use crate::ui::preview_texture::PreviewTexture;
use crate::ui::stage;
use crate::view::figure::DESIGN_LINES;
use crate::view::timeline::{Moment, MomentContent, Said, Shot, Step, Timeline, Walkthrough};
use crate::view::{Undo, ViewState};
use egui::{Rect, TextureId, Vec2, pos2, vec2};
use std::sync::Arc;

/// Small pictures are drawn at this size; what is shown is the part with the picture.
const SMALL_PIXELS: [u32; 2] = [320, 180];
/// Small pictures that are kept.
const MOST_SMALL: usize = 256;

/// What of the walkthrough is seen.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Whether the stage shows the preview.
    pub is_previewing: bool,
    /// Whether the play head moves by itself.
    pub is_playing: bool,
    /// Where it is, in seconds.
    pub at_secs: f64,
}

/// What the editor draws.
pub struct Preview {
    gpu: Arc<Gpu>,
    egui: stage::Painter,
    canvas: PreviewTexture,
    /// What is shown where the preview is much smaller than the film.
    half: Option<Half>,
    shows_half: bool,
    /// Size of the preview in pixels, and on screen.
    wanted: [u32; 2],
    on_screen: [u32; 2],
    small: Vec<Small>,
    /// The small picture of each step, as of a revision of the walkthrough.
    small_of_step: (Option<u64>, Vec<Option<usize>>),
    /// Views of which none can be drawn.
    undrawable: Vec<ViewState>,
    small_painter: Option<Painter>,
    /// What went wrong last, so that it is said once.
    error: Option<String>,
}

/// It is drawn at the film's size and shown smaller: lines must break where they do in the film.
fn canvas(gpu: &Arc<Gpu>, egui: &stage::Painter) -> PreviewTexture {
    let filter = wgpu::FilterMode::Linear;
    PreviewTexture::new(Arc::clone(gpu), Arc::clone(egui), Captions::Film, filter)
}

/// A size at which a film of `size` is laid out as it will be, and drawn no larger than that needs:
/// from so many lines on, everything grows with the frame.
fn preview_size(size: [u32; 2]) -> [u32; 2] {
    let smaller = f64::from(size[0].min(size[1]).max(1));
    let share = (f64::from(DESIGN_LINES) / smaller).min(1.0);
    size.map(|side| (f64::from(side) * share).round().max(1.0) as u32)
}

/// The preview at half its size, each pixel the mean of four: shown at less than that, every other
/// line of letters would be missing.
struct Half {
    target: Target,
    texture: TextureId,
    blitter: wgpu::util::TextureBlitter,
}

/// A small picture of a view.
struct Small {
    state: ViewState,
    texture: TextureId,
    /// Keeps the texture's memory.
    _target: Target,
    /// The part to be shown.
    part: Rect,
}

impl Preview {
    /// Nothing is drawn yet.
    pub fn new(gpu: Arc<Gpu>, egui: stage::Painter) -> Self {
        let canvas = canvas(&gpu, &egui);
        let (wanted, small) = ([0, 0], Vec::new());
        Self {
            gpu,
            egui,
            canvas,
            half: None,
            shows_half: false,
            wanted,
            on_screen: [0, 0],
            small,
            small_of_step: (None, Vec::new()),
            undrawable: Vec::new(),
            small_painter: None,
            error: None,
        }
    }

    /// Says how large the film will be, and how large the preview is on screen, in pixels.
    pub fn place(&mut self, film: [u32; 2], on_screen: [u32; 2]) {
        (self.wanted, self.on_screen) = (preview_size(film), on_screen);
    }

    /// What shows the preview.
    pub fn texture(&self) -> Option<TextureId> {
        let half = self.half.as_ref().filter(|_| self.shows_half);
        half.map(|half| half.texture).or(self.canvas.texture())
    }

    /// The small picture of a step and the part of it that is to be shown.
    /// Its width is the third number times its height.
    pub fn small_picture(&self, step: usize) -> Option<(TextureId, Rect, f32)> {
        let place = (*self.small_of_step.1.get(step)?)?;
        let small = self.small.get(place)?;
        let size = small.part.size() * vec2(SMALL_PIXELS[0] as f32, SMALL_PIXELS[1] as f32);
        Some((small.texture, small.part, size.x / size.y.max(1.0)))
    }

    /// Draws what changed: the preview at `at_secs` where it is seen, and one small picture a frame
    /// unless it plays. Returns whether more is to be drawn, and what went wrong.
    pub fn draw(
        &mut self,
        draft: &Undo<Walkthrough>,
        traces: &OpenTraces,
        seen: Seen,
    ) -> (bool, Option<String>) {
        let walkthrough = draft.present();
        let preview = self;
        let mut failed = None;
        // A texture that is new is shown by the next frame.
        let (mut drew, mut more) = (false, false);
        if seen.is_previewing
            && !preview.wanted.contains(&0)
            && let Some(moment) = Timeline::new(walkthrough).at(seen.at_secs)
        {
            let is_new = preview.canvas.texture().is_none();
            match preview.canvas.paint(moment, walkthrough, traces, preview.wanted) {
                Ok(now) => (drew, more) = (now, now && is_new),
                Err(error) => failed = Some(error.to_string()),
            }
            let before = (preview.shows_half, preview.half.as_ref().map(|half| half.texture));
            if let Err(error) = preview.draw_half(drew) {
                failed = Some(error.to_string());
            }
            more |= before != (preview.shows_half, preview.half.as_ref().map(|half| half.texture));
        }
        if !seen.is_playing && failed.is_none() {
            preview.sort_small(walkthrough, draft.revision());
            let places = preview.small_of_step.1.iter().take(MOST_SMALL);
            let steps = walkthrough.steps.iter().zip(places);
            let mut missing = steps.filter(|(step, place)| {
                place.is_none() && !preview.undrawable.contains(&step.state)
            });
            if let Some((step, _)) = missing.next() {
                more = true;
                // What is looked at comes first.
                if !drew {
                    let state = step.state.clone();
                    preview.small_of_step.0 = None;
                    if let Err(error) = preview.draw_small(&state, traces) {
                        preview.undrawable.push(state);
                        failed = Some(error.to_string());
                    }
                }
            }
        }
        // What failed fails again until something changes: say it once.
        let news = failed.clone().filter(|text| preview.error.as_ref() != Some(text));
        if failed.is_some() || drew {
            preview.error = failed;
        }
        (more, news)
    }

    /// Reads the preview back, for tests.
    ///
    /// # Errors
    /// If nothing was drawn, or the copy fails.
    #[cfg(feature = "testing")]
    pub fn read(&self) -> anyhow::Result<image::RgbaImage> {
        let target = self.canvas.target();
        let target = target.ok_or_else(|| anyhow::anyhow!("nothing was drawn yet"))?;
        Ok(target.read(&self.gpu)?)
    }

    /// Starts again on another device, after the old one was lost.
    pub fn rebuild(&mut self, gpu: Arc<Gpu>, egui: stage::Painter) {
        self.canvas = canvas(&gpu, &egui);
        // The textures of the previous painter are dropped with it.
        self.half = None;
        self.small.clear();
        self.small_of_step = (None, Vec::new());
        self.small_painter = None;
        (self.gpu, self.egui) = (gpu, egui);
    }

    fn draw_small(&mut self, state: &ViewState, traces: &OpenTraces) -> Result<(), GpuError> {
        let bare = Walkthrough::default();
        let painter = match &mut self.small_painter {
            Some(painter) => painter,
            None => self.small_painter.insert(Painter::new(
                &self.gpu,
                SMALL_PIXELS,
                &bare,
                Captions::Beside,
            )?),
        };
        let target = Target::offscreen(&self.gpu, SMALL_PIXELS)?;
        let shown = MomentContent::One(Shot::View(Box::new(state.clone())));
        let moment = Moment { shown, said: Said::default(), step: None, is_passing: false };
        painter.paint(&moment, traces, &target)?;
        let [width, height] = SMALL_PIXELS.map(|side| side as f32);
        let part = painter.content().map_or(
            Rect::from_min_size(pos2(0.0, 0.0), Vec2::splat(1.0)),
            |rect| {
                Rect::from_min_size(
                    pos2(rect.x / width, rect.y / height),
                    vec2(rect.width / width, rect.height / height),
                )
            },
        );
        let Some(view) = target.gamma_view() else { return Ok(()) };
        let filter = wgpu::FilterMode::Linear;
        let texture = self.egui.write().register_native_texture(&self.gpu.device, &view, filter);
        self.small.push(Small { state: state.clone(), texture, _target: target, part });
        Ok(())
    }

    /// Brings the half up to what the canvas shows, if it is to be seen.
    fn draw_half(&mut self, is_new: bool) -> Result<(), GpuError> {
        let Some(whole) = self.canvas.target() else { return Ok(()) };
        // While it was not seen, it was not kept up to date.
        let was_shown = self.shows_half;
        // Between the two, what egui does itself is as good.
        self.shows_half = 2 * whole.size()[0] >= 3 * self.on_screen[0] && self.on_screen[0] > 0;
        if !self.shows_half {
            return Ok(());
        }
        let size = whole.size().map(|side| side.div_ceil(2));
        let device = &self.gpu.device;
        let is_stale = self.half.as_ref().is_none_or(|half| half.target.size() != size);
        if is_stale {
            let target = Target::offscreen(&self.gpu, size)?;
            let Some((view, format)) = target.text_view() else { return Ok(()) };
            let blitter = wgpu::util::TextureBlitterBuilder::new(device, format)
                .sample_type(wgpu::FilterMode::Linear)
                .build();
            let mut egui = self.egui.write();
            let texture = egui.register_native_texture(device, view, wgpu::FilterMode::Linear);
            if let Some(old) = self.half.replace(Half { target, texture, blitter }) {
                egui.free_texture(&old.texture);
            }
        }
        if let Some(half) = self.half.as_ref().filter(|_| is_stale || is_new || !was_shown)
            && let (Some((from, _)), Some((to, _))) = (whole.text_view(), half.target.text_view())
        {
            let mut encoder = device
                .create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("half") });
            half.blitter.copy(device, &mut encoder, from, to);
            self.gpu.queue.submit([encoder.finish()]);
        }
        Ok(())
    }

    /// Finds the small picture of each step, and lets go of those of views that are no more; only
    /// when the walkthrough has changed, since views are compared.
    fn sort_small(&mut self, walkthrough: &Walkthrough, revision: u64) {
        if self.small_of_step.0 == Some(revision) {
            return;
        }
        self.forget_small(walkthrough);
        let place = |step: &Step| self.small.iter().position(|small| small.state == step.state);
        let places = walkthrough.steps.iter().map(place).collect();
        self.small_of_step = (Some(revision), places);
    }

    fn forget_small(&mut self, walkthrough: &Walkthrough) {
        let egui = &self.egui;
        self.small.retain(|small| {
            let is_shown = walkthrough.steps.iter().any(|step| step.state == small.state);
            if !is_shown {
                egui.write().free_texture(&small.texture);
            }
            is_shown
        });
    }
}

impl Drop for Preview {
    fn drop(&mut self) {
        let mut egui = self.egui.write();
        let half = self.half.iter().map(|half| &half.texture);
        for texture in self.small.iter().map(|small| &small.texture).chain(half) {
            egui.free_texture(texture);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_is_as_large_as_the_layout_needs() {
        assert_eq!(preview_size([3840, 2160]), [1920, 1080]);
        assert_eq!(preview_size([1080, 1920]), [1080, 1920]);
        assert_eq!(preview_size([1280, 720]), [1280, 720]);
        assert_eq!(preview_size([160, 90]), [160, 90]);
    }
}
