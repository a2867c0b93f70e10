//! The window without a window: egui, the app and its painter on one device.
//!
//! The real window, the tests and `bench` drive the same [`Headless`]; they differ only in the source of the
//! input and the target of the pixels.

use super::app::App;
use super::intent::Intent;
use super::model_feed::Wake;
use super::painting::{AtlasLimit, Canvas, Frame, new_context};
use super::panels::Panes;
use super::session::{Found, Keeper};
use super::stage::StageRenderer;
use super::start::{self, Prepared, Start};
use super::theme;
use super::window_painter::WindowPainter;
use super::{commands, frame};
use crate::gpu::Gpu;
use crate::model::Address;
use crate::settings::Settings;
use crate::view::Theme;
use egui::{Context, Event, Key, RawInput};
use std::path::PathBuf;
use std::sync::Arc;

/// Options of a window.
#[derive(Clone, Debug, Default)]
pub struct HeadlessOptions {
    /// Content at the start.
    pub start: Start,
    /// Settings at the start.
    pub settings: Settings,
    /// File of the settings; `None` writes none.
    pub settings_path: Option<PathBuf>,
    /// Folder of all sessions; `None` keeps and opens none.
    pub sessions: Option<PathBuf>,
    /// Address of a model on another machine, and its folder there (empty: the built-in model).
    pub remote: Option<(Address, PathBuf)>,
}

/// egui, the app and the painter.
pub struct Headless {
    /// egui.
    pub ctx: Context,
    /// The app.
    pub app: App,
    panes: Panes,
    gpu: Arc<Gpu>,
    painter: WindowPainter,
    canvas: Canvas,
    format: wgpu::TextureFormat,
    atlas: AtlasLimit,
}

/// The colour between the panels, which is that of hairlines. The target stores bytes without sRGB
/// encoding, so the colour is not decoded.
fn clear_color(ctx: &Context) -> egui::Color32 {
    let dark = ctx.theme() == egui::Theme::Dark;
    let hairline = theme::ink(if dark { Theme::Dark } else { Theme::Light }).hairline;
    hairline.to_opaque()
}

impl Headless {
    /// A host whose painter draws to targets of `format` (without sRGB encoding).
    ///
    /// # Errors
    /// If the renderer cannot be built.
    pub fn new(
        gpu: Arc<Gpu>,
        format: wgpu::TextureFormat,
        options: HeadlessOptions,
    ) -> anyhow::Result<Self> {
        let ctx = new_context();
        let prepared = prepare(&ctx, &options);
        Self::with(ctx, prepared, gpu, format, options)
    }

    /// The same with a context and a model that were started before the device.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with(
        ctx: Context,
        prepared: Prepared,
        gpu: Arc<Gpu>,
        format: wgpu::TextureFormat,
        options: HeadlessOptions,
    ) -> anyhow::Result<Self> {
        let painter = WindowPainter::new(&gpu, format);
        let app = new_app(&ctx, prepared, Arc::clone(&gpu), painter.clone(), options)?;
        let atlas = AtlasLimit::new(&gpu);
        let (panes, canvas) = (Panes::default(), Canvas::default());
        Ok(Self { ctx, app, panes, gpu, painter, canvas, format, atlas })
    }

    /// The device.
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    /// Runs the app for one frame.
    pub fn frame(&mut self, mut input: RawInput) -> Frame {
        input.max_texture_side = Some(self.atlas.texture_side());
        input.events = with_joined_text(input.events);
        let (app, panes) = (&mut self.app, &mut self.panes);
        let output = self.ctx.run_ui(input, |ui| frame::pass(app, panes, ui));
        self.atlas.check(&self.ctx);
        Frame::new(&self.ctx, output)
    }

    /// Paints what a frame changes, and copies the whole window of `size` pixels to `view`.
    pub fn paint(&mut self, frame: Frame, view: &wgpu::TextureView, size: [u32; 2]) {
        self.canvas.paint(&self.gpu, &self.painter, frame, view, size, clear_color(&self.ctx));
    }

    /// Paints all of the last frame again, without use of the pixels that are there.
    pub fn paint_again(&mut self, view: &wgpu::TextureView) {
        self.canvas.paint_again(&self.gpu, &self.painter, view);
    }

    /// Share of the window that the last frame painted, from 0 to 1.
    pub const fn painted_share(&self) -> f32 {
        self.canvas.share()
    }

    /// Takes a frame that is not painted: its textures are kept for the next one.
    pub fn skip(&mut self, frame: Frame) {
        self.canvas.skip(&self.gpu, &self.painter, frame);
    }

    /// Goes on with another device, after this one was lost; everything that is seen stays.
    ///
    /// egui's own textures lived on the old device. Its context must stay, as the window, the
    /// model's thread and assistive technology hold on to it; another limit for the side of
    /// textures makes it draw every glyph anew.
    ///
    /// # Errors
    /// If the renderer cannot be built on the new device.
    pub fn rebuild(&mut self, gpu: Arc<Gpu>) -> anyhow::Result<()> {
        let painter = WindowPainter::new(&gpu, self.format);
        self.canvas.forget();
        self.app.stage.rebuild(Arc::clone(&gpu), painter.clone())?;
        self.panes.forget_textures(&self.ctx);
        self.app.forget_textures();
        self.app.what_if.forget_device();
        if let Some(editor) = &mut self.app.editor {
            editor.rebuild(Arc::clone(&gpu), painter.clone());
        }
        self.atlas.start_over(&gpu);
        (self.gpu, self.painter) = (gpu, painter);
        self.ctx.request_repaint();
        Ok(())
    }
}

/// Joins the characters that were typed within one frame: a text field lays out its whole text for each event.
fn with_joined_text(events: Vec<Event>) -> Vec<Event> {
    let mut joined: Vec<Event> = Vec::with_capacity(events.len());
    // Place of the last text that only keys of characters follow.
    let mut open: Option<usize> = None;
    for event in events {
        match (&event, open.and_then(|at| joined.get_mut(at))) {
            (Event::Text(more), Some(Event::Text(text))) => {
                text.push_str(more);
                continue;
            }
            (Event::Text(_), _) => open = Some(joined.len()),
            (Event::Key { .. }, _) if is_of_character(&event) => {}
            _ => open = None,
        }
        joined.push(event);
    }
    joined
}

/// Whether a key event changes no text field by itself: the character of the key is an event of its own.
fn is_of_character(event: &Event) -> bool {
    let Event::Key { key, pressed, modifiers, .. } = event else { return false };
    let has_character = *key == Key::Space || key.symbol_or_name().chars().count() == 1;
    let is_arrow = matches!(key, Key::ArrowLeft | Key::ArrowRight | Key::ArrowUp | Key::ArrowDown);
    let is_plain = !modifiers.command && !modifiers.ctrl && !modifiers.alt;
    !pressed || (has_character && !is_arrow && is_plain)
}

/// Starts what needs no device: the model, and the first question.
pub fn prepare(ctx: &Context, options: &HeadlessOptions) -> Prepared {
    let HeadlessOptions { start, settings, sessions, remote, .. } = options;
    start::prepare(start, settings, sessions.as_deref(), remote.as_ref(), wake(ctx))
}

fn wake(ctx: &Context) -> Wake {
    let ctx = ctx.clone();
    Arc::new(move || ctx.request_repaint())
}

/// The app of a context.
///
/// # Errors
/// If the renderer cannot be built.
pub fn new_app(
    ctx: &Context,
    prepared: Prepared,
    gpu: Arc<Gpu>,
    painter: WindowPainter,
    options: HeadlessOptions,
) -> anyhow::Result<App> {
    let stage = StageRenderer::new(gpu, painter)?;
    let HeadlessOptions { settings, settings_path, sessions, .. } = options;
    let Prepared { chat, intents, preview, continues, waiting, problems } = prepared;
    let mut app = App::new(stage, chat, settings, settings_path, wake(ctx));
    intents.into_iter().for_each(|intent| app.intents.send(intent));
    app.asks_in_window = std::env::var_os("VLMSCOPE_DIALOGS").is_some_and(|how| how == "window");
    if let Some(picture) = preview {
        app.exports.preview(picture);
    }
    app.keeper = sessions.map(|root| Keeper::new(root, wake(ctx)));
    problems.into_iter().for_each(|problem| app.notify(problem, true));
    if let Some(found) = continues {
        commands::open_session(&mut app, found);
    }
    if !waiting.is_empty() {
        let content: Vec<String> = waiting.iter().map(Found::content).collect();
        let text = format!("An earlier window ended with {}.", content.join("; another with "));
        let offers = vec![("Open", Intent::OpenSessions), ("Discard", Intent::DiscardSessions)];
        app.offer(text, offers);
    }
    app.waiting = waiting;
    Ok(app)
}

#[cfg(test)]
mod tests {
    use super::*;
    use egui::Modifiers;

    fn key(key: Key, pressed: bool, modifiers: Modifiers) -> Event {
        Event::Key { key, physical_key: None, pressed, repeat: false, modifiers }
    }

    fn typed(keys: &[(Key, &str)]) -> Vec<Event> {
        let one = |&(name, text): &(Key, &str)| {
            let text = (!text.is_empty()).then(|| Event::Text(text.into()));
            let (down, up) = (Modifiers::NONE, Modifiers::NONE);
            let text = text.into_iter();
            std::iter::once(key(name, true, down)).chain(text).chain([key(name, false, up)])
        };
        keys.iter().flat_map(one).collect()
    }

    fn texts(events: Vec<Event>) -> Vec<String> {
        let text = |event| match event {
            Event::Text(text) => Some(text),
            Event::Key {
                key: Key::Backspace | Key::ArrowLeft | Key::Enter, pressed: true, ..
            } => Some("|".into()),
            _ => None,
        };
        with_joined_text(events).into_iter().filter_map(text).collect()
    }

    #[test]
    fn characters_of_one_frame_are_one_text_between_keys_that_edit() {
        let cat = [(Key::C, "c"), (Key::A, "a"), (Key::Space, " "), (Key::Period, ".")];
        assert_eq!(texts(typed(&cat)), ["ca ."]);
        for edits in [Key::Backspace, Key::ArrowLeft, Key::Enter] {
            let keys = [(Key::C, "c"), (Key::A, "a"), (edits, ""), (Key::T, "t"), (Key::S, "s")];
            assert_eq!(texts(typed(&keys)), ["ca", "|", "ts"], "{edits:?}");
        }
        // Ctrl+A between two characters selects the first one.
        let mut events = typed(&cat[..1]);
        events.push(key(Key::A, true, Modifiers::COMMAND));
        events.extend(typed(&cat[1..2]));
        assert_eq!(texts(events), ["c", "a"]);
        let pasted = [Event::Text("a".into()), Event::Paste("b".into()), Event::Text("c".into())];
        assert_eq!(texts(pasted.into()), ["a", "c"]);
    }
}
