//! The walkthrough on the stage and as small pictures, drawn by the recorder's painter, so that the preview looks
//! like the film.

use crate::gpu::{Gpu, GpuError, Target};
use crate::record::{Captions, OpenTraces, Painter};
use crate::ui::preview_texture::PreviewTexture;
use crate::ui::thumbnails::small_view;
use crate::ui::window_painter::WindowPainter;
use crate::view::figure::DESIGN_LINES;
use crate::view::timeline::{Moment, MomentContent, Said, Shot, Step, Timeline, Walkthrough};
use crate::view::{Undo, ViewState};
use egui::{Rect, TextureId, Vec2, pos2, vec2};
use std::sync::Arc;

/// Size at which small pictures are drawn; only the part with the picture is shown.
const SMALL_PIXELS: [u32; 2] = [320, 180];
/// Small pictures that are kept.
const MOST_SMALL: usize = 256;

/// State of the editor that decides what is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Whether the stage shows the preview.
    pub is_previewing: bool,
    /// Whether the play head moves by itself.
    pub is_playing: bool,
    /// Time of the play head, in seconds.
    pub at_secs: f64,
}

/// The textures of the editor: the preview and a small picture of each step.
pub struct Preview {
    gpu: Arc<Gpu>,
    egui: WindowPainter,
    canvas: PreviewTexture,
    /// The preview at half size, for a stage that is much smaller than the film.
    half: Option<Half>,
    shows_half: bool,
    /// Size of the preview in pixels, and on screen.
    wanted: [u32; 2],
    on_screen: [u32; 2],
    small: Vec<Small>,
    /// The small picture of each step, as of a revision of the walkthrough.
    small_of_step: (Option<u64>, Vec<Option<usize>>),
    /// Views that cannot be drawn.
    undrawable: Vec<ViewState>,
    small_painter: Option<Painter>,
    /// The last error: it is reported once.
    error: Option<String>,
}

/// The preview is drawn at the film's size and shown smaller, so that lines break as in the film.
fn canvas(gpu: &Arc<Gpu>, egui: &WindowPainter) -> PreviewTexture {
    let filter = wgpu::FilterMode::Linear;
    PreviewTexture::new(Arc::clone(gpu), egui.clone(), Captions::Film, filter)
}

/// The size at which a film of `size` is previewed: no larger than the layout needs, because above a certain number of
/// lines everything is scaled with the frame. Where the picture at half size is shown ([`shows_half`]) and would be
/// enlarged, the preview is drawn at twice the size that it has on screen.
fn preview_size(size: [u32; 2], on_screen: [u32; 2]) -> [u32; 2] {
    let smaller = f64::from(size[0].min(size[1]).max(1));
    let share = (f64::from(DESIGN_LINES) / smaller).min(1.0);
    let least = size.map(|side| (f64::from(side) * share).round().max(1.0) as u32);
    let double = on_screen.map(|side| 2 * side);
    let is_enlarged = shows_half(least, on_screen) && double[0] > least[0];
    if smaller >= f64::from(DESIGN_LINES) && is_enlarged { double } else { least }
}

/// Whether the preview is shown at half size: above two thirds of its size egui's own scaling is as good.
const fn shows_half(size: [u32; 2], on_screen: [u32; 2]) -> bool {
    2 * size[0] >= 3 * on_screen[0] && on_screen[0] > 0
}

/// The preview at half its size, each pixel the mean of four. egui alone would skip rows of pixels at less than half
/// size, and letters would lose lines.
struct Half {
    target: Target,
    texture: TextureId,
    blitter: wgpu::util::TextureBlitter,
}

/// A small picture of a view.
struct Small {
    state: ViewState,
    texture: TextureId,
    /// Keeps the memory of the texture alive.
    _target: Target,
    /// The part to be shown.
    part: Rect,
}

impl Preview {
    /// Nothing is drawn yet.
    pub fn new(gpu: Arc<Gpu>, egui: WindowPainter) -> Self {
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

    /// Sets the size of the film and the size of the preview on screen, in pixels.
    pub fn place(&mut self, film: [u32; 2], on_screen: [u32; 2]) {
        (self.wanted, self.on_screen) = (preview_size(film, on_screen), on_screen);
    }

    /// Texture of the preview, at the size that fits the screen best.
    pub fn texture(&self) -> Option<TextureId> {
        let half = self.half.as_ref().filter(|_| self.shows_half);
        half.map(|half| half.texture).or(self.canvas.texture())
    }

    /// Says which characters of the preview no font has.
    pub fn missing_glyphs(&self) -> Option<String> {
        self.canvas.missing_glyphs()
    }

    /// The small picture of a step, the part of it to show, and the ratio of width to height of that part.
    pub fn small_picture(&self, step: usize) -> Option<(TextureId, Rect, f32)> {
        let place = (*self.small_of_step.1.get(step)?)?;
        let small = self.small.get(place)?;
        let size = small.part.size() * vec2(SMALL_PIXELS[0] as f32, SMALL_PIXELS[1] as f32);
        Some((small.texture, small.part, size.x / size.y.max(1.0)))
    }

    /// Draws what changed: the preview at `at_secs` while it is shown, and one small picture a frame unless the
    /// walkthrough plays. Returns whether more is to be drawn, and an error text.
    pub fn draw(
        &mut self,
        draft: &Undo<Walkthrough>,
        traces: &OpenTraces,
        seen: Seen,
    ) -> (bool, Option<String>) {
        let walkthrough = draft.present();
        let preview = self;
        let mut failed = None;
        // A new texture is shown in the next frame only.
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
                // The preview has priority over small pictures.
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
        // The same state would fail again: the error is reported once.
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

    /// Drops all textures and starts again, on a device that may be another one.
    pub fn rebuild(&mut self, gpu: Arc<Gpu>, egui: WindowPainter) {
        let (wanted, on_screen) = (self.wanted, self.on_screen);
        *self = Self::new(gpu, egui);
        (self.wanted, self.on_screen) = (wanted, on_screen);
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
        let shown = MomentContent::One(Shot::View(Box::new(small_view(state))));
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
        let filter = wgpu::FilterMode::Linear;
        let Some(texture) = self.egui.show(&self.gpu, &target, filter, None) else {
            return Ok(());
        };
        self.small.push(Small { state: state.clone(), texture, _target: target, part });
        Ok(())
    }

    /// Updates the preview at half size from the canvas, if it is to be shown.
    fn draw_half(&mut self, is_new: bool) -> Result<(), GpuError> {
        let Some(whole) = self.canvas.target() else { return Ok(()) };
        // It is not updated while it is not shown.
        let was_shown = self.shows_half;
        self.shows_half = shows_half(whole.size(), self.on_screen);
        if !self.shows_half {
            return Ok(());
        }
        let size = whole.size().map(|side| side.div_ceil(2));
        let device = &self.gpu.device;
        let is_stale = self.half.as_ref().is_none_or(|half| half.target.size() != size);
        if is_stale {
            let target = Target::offscreen_in(&self.gpu, size, self.egui.target_format())?;
            let Some((_, format)) = target.text_view() else { return Ok(()) };
            let blitter = wgpu::util::TextureBlitterBuilder::new(device, format)
                .sample_type(wgpu::FilterMode::Linear)
                .build();
            let filter = wgpu::FilterMode::Linear;
            let Some(texture) = self.egui.show(&self.gpu, &target, filter, None) else {
                return Ok(());
            };
            if let Some(old) = self.half.replace(Half { target, texture, blitter }) {
                self.egui.free(old.texture);
            }
        }
        if let Some(half) = self.half.as_ref().filter(|_| is_stale || is_new || !was_shown)
            && let (Some((from, _)), Some((to, _))) = (whole.text_view(), half.target.text_view())
        {
            let mut encoder = device
                .create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("half") });
            half.blitter.copy(device, &mut encoder, from, to);
            self.gpu.queue.submit([encoder.finish()]);
            self.egui.redrawn(half.texture);
        }
        Ok(())
    }

    /// Assigns small pictures to steps and drops those of views that are gone; only after a change of the walkthrough,
    /// because comparing views takes time.
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
                egui.free(small.texture);
            }
            is_shown
        });
    }
}

impl Drop for Preview {
    fn drop(&mut self) {
        let half = self.half.iter().map(|half| half.texture);
        for texture in self.small.iter().map(|small| small.texture).chain(half) {
            self.egui.free(texture);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_is_as_large_as_the_layout_needs() {
        let large = [1800, 1012];
        assert_eq!(preview_size([3840, 2160], large), [1920, 1080]);
        assert_eq!(preview_size([1080, 1920], large), [1080, 1920]);
        assert_eq!(preview_size([1280, 720], large), [1280, 720]);
        assert_eq!(preview_size([160, 90], large), [160, 90]);
    }

    #[test]
    fn a_preview_at_half_size_is_not_enlarged() {
        for on_screen in
            [[480, 270], [960, 540], [1100, 619], [1226, 690], [1279, 719], [1500, 844]]
        {
            let size = preview_size([1920, 1080], on_screen);
            assert!(size[1] >= 1080, "lines break as in the film: {size:?}");
            if shows_half(size, on_screen) {
                assert!(size[0] / 2 >= on_screen[0], "{size:?} for {on_screen:?}");
            }
        }
    }
}
