//! The real window: winit's events in, pixels on a surface out.
//!
//! Frames are drawn on request only. Requests from other threads come as events, so that an idle
//! window costs nothing and a held key leaves no backlog: all events that wait become one frame.

use super::app::{App, HostRequest};
use super::headless::{Headless, HeadlessOptions, prepare};
use super::painting::new_context;
use super::present::draw::View;
use super::present::options::PresentOptions;
use super::present::window::PresentationWindows;
use super::shortcuts::UiCommand;
use super::surface::configuration;
use super::{commands, session};
use crate::gpu::{Gpu, GpuOptions};
use crate::job;
use crate::terminal;
use anyhow::Context as _;
use egui_winit::accesskit_winit;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};
use winit::application::ApplicationHandler;
use winit::event::WindowEvent;
use winit::event_loop::{ActiveEventLoop, ControlFlow, EventLoop, EventLoopProxy};
use winit::window::{Fullscreen, Window, WindowId};

const DEFAULT_SIZE: [f32; 2] = [1600.0, 960.0];
const FAREWELL: Duration = Duration::from_secs(2);
/// Longest wait for files that are being written when the window closes.
const WRITTEN: Duration = Duration::from_secs(60);
const MIN_SIZE: [f64; 2] = [480.0, 360.0];

/// Events from outside of winit.
#[derive(Debug)]
enum Wakeup {
    /// A frame is wanted at this time.
    Frame(Instant),
    /// A frame of a window of the presentation is wanted at this time.
    Stage(View, Instant),
    /// Assistive technology.
    Accessibility(accesskit_winit::Event),
}

impl From<accesskit_winit::Event> for Wakeup {
    fn from(event: accesskit_winit::Event) -> Self {
        Self::Accessibility(event)
    }
}

/// Opens the window and runs until it is closed.
///
/// # Errors
/// If there is no display, no adapter, or the surface cannot be used.
pub fn run(options: HeadlessOptions, gpu: GpuOptions, timings: bool) -> anyhow::Result<()> {
    job::return_freed_memory();
    let timings = timings.then(Timings::default);
    let event_loop = EventLoop::<Wakeup>::with_user_event().build().context(
        "no window can be opened: is there a display (DISPLAY or WAYLAND_DISPLAY)? Without one, use `vlmscope ask` and `vlmscope render`",
    )?;
    let proxy = event_loop.create_proxy();
    let mut program = Program {
        proxy,
        gpu,
        options: Some(options),
        open: None,
        next: None,
        presentation: None,
        failure: None,
        timings,
    };
    match job::guard(|| event_loop.run_app(&mut program)) {
        Ok(ended) => {
            ended?;
            program.failure.map_or(Ok(()), Err)
        }
        Err(_) => {
            let kept = program.rescue().unwrap_or_default();
            // The panic may have left the state inconsistent: dropping it may panic or wait.
            std::mem::forget(program);
            Err(anyhow::anyhow!("the window was closed by an internal error. {kept}"))
        }
    }
}

/// Width and height in points of the screen on which the window opens; `None` if the system does not tell.
fn screen_size(event_loop: &ActiveEventLoop) -> Option<[f32; 2]> {
    let monitor =
        event_loop.primary_monitor().or_else(|| event_loop.available_monitors().next())?;
    let size = monitor.size().to_logical::<f32>(monitor.scale_factor());
    Some([size.width, size.height]).filter(|size| size.iter().all(|&side| side > 0.0))
}

/// A window size that is no larger than the screen: the remembered one may be that of another.
fn fitted(wanted: [f32; 2], screen: Option<[f32; 2]>) -> [f32; 2] {
    let Some(screen) = screen else { return wanted };
    [wanted[0].min(screen[0]), wanted[1].min(screen[1])]
}

struct Program {
    proxy: EventLoopProxy<Wakeup>,
    gpu: GpuOptions,
    options: Option<HeadlessOptions>,
    open: Option<Open>,
    presentation: Option<PresentationWindows>,
    /// When the next frame is wanted.
    next: Option<Instant>,
    failure: Option<anyhow::Error>,
    timings: Option<Timings>,
}

/// Times from the start until a window and an overlay were first on screen.
struct Timings {
    start: Instant,
    window: bool,
    overlay: bool,
}

impl Default for Timings {
    fn default() -> Self {
        Self { start: Instant::now(), window: false, overlay: false }
    }
}

impl Timings {
    /// A frame was presented.
    fn presented(&mut self, app: &App) {
        let ms = self.start.elapsed().as_millis();
        let say = |what: &str| {
            // A closed stderr is no error: nobody reads the times.
            let _ = writeln!(terminal::stderr(), "{what} after {ms} ms");
        };
        if !std::mem::replace(&mut self.window, true) {
            say("window");
        }
        if !self.overlay && app.counters.stage_draws > 0 {
            self.overlay = true;
            say("first overlay");
        }
    }
}

/// An opened window. The surface lives as long as the window that it holds.
struct Open {
    window: Arc<Window>,
    surface: wgpu::Surface<'static>,
    config: wgpu::SurfaceConfiguration,
    host: Headless,
    input: egui_winit::State,
    shown: bool,
}

impl Program {
    fn open(&mut self, event_loop: &ActiveEventLoop) -> anyhow::Result<()> {
        let Some(options) = self.options.take() else { return Ok(()) };
        let ctx = new_context();
        let prepared = prepare(&ctx, &options);
        let wanted = options.settings.window_size.unwrap_or(DEFAULT_SIZE);
        let [width, height] = fitted(wanted, screen_size(event_loop));
        let attributes = Window::default_attributes()
            .with_title("vlmscope")
            // Assistive technology must be told before the window is seen.
            .with_visible(false)
            .with_min_inner_size(winit::dpi::LogicalSize::new(MIN_SIZE[0], MIN_SIZE[1]))
            .with_inner_size(winit::dpi::LogicalSize::new(width, height));
        let window = Arc::new(event_loop.create_window(attributes)?);
        let instance =
            wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
        let surface = instance.create_surface(Arc::clone(&window)).context(
            "the window cannot be drawn to: install a Vulkan driver (on Debian: mesa-vulkan-drivers)",
        )?;
        let gpu = Gpu::open_with(instance, Some(&surface), &self.gpu)?;
        let config = configuration(&gpu, &surface, &window)?;
        surface.configure(&gpu.device, &config);
        let limit = gpu.limits().max_texture_dimension_2d as usize;
        let format = config.format;
        let host = Headless::with(ctx, prepared, gpu, format, options)?;
        let input = self.connect(&host, event_loop, &window, limit);
        self.open = Some(Open { window, surface, config, host, input, shown: false });
        self.next = Some(Instant::now());
        Ok(())
    }

    /// egui's input for this window, and the ways by which it asks for frames.
    fn connect(
        &self,
        host: &Headless,
        event_loop: &ActiveEventLoop,
        window: &Window,
        max_texture_side: usize,
    ) -> egui_winit::State {
        let proxy = self.proxy.clone();
        host.ctx.set_request_repaint_callback(move |info| {
            // A loop that has ended needs no frames.
            let _ = proxy.send_event(Wakeup::Frame(Instant::now() + info.delay));
        });
        let mut input = egui_winit::State::new(
            host.ctx.clone(),
            egui::ViewportId::ROOT,
            window,
            Some(window.scale_factor() as f32),
            window.theme(),
            Some(max_texture_side),
        );
        input.init_accesskit(event_loop, window, self.proxy.clone());
        input
    }

    fn wants_frame(&mut self, at: Instant) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }

    /// Saves the session before the window ends by an error; returns a message about the outcome.
    fn rescue(&mut self) -> Option<String> {
        let app = &mut self.open.as_mut()?.host.app;
        // The app itself may be what failed.
        let _ = job::guard(|| app.keep_settings(true));
        let folder = app.keeper.as_ref()?.folder();
        let opening = folder.filter(|folder| session::is_opening(folder));
        let saved = match job::guard(|| commands::keep_session_now(app)) {
            Ok(Ok(saved)) => saved,
            Ok(Err(error)) => {
                return Some(format!("Answers that had not been saved are lost: {error}"));
            }
            Err(panicked) => return Some(format!("Its answers are lost ({}).", panicked.message)),
        };
        // The error came while the session was opened: this save must not hide it from the next start.
        opening.iter().for_each(|folder| session::mark_opening(folder));
        let mut text = match saved.answers {
            0 => String::new(),
            1 => "1 answer is kept for the next start.".into(),
            many => format!("{many} answers are kept for the next start."),
        };
        for reason in saved.failed {
            text.push_str(&format!(" Another is lost: {reason}."));
        }
        Some(text)
    }

    fn fail(&mut self, event_loop: &ActiveEventLoop, error: anyhow::Error) {
        let error = match self.rescue().filter(|kept| !kept.is_empty()) {
            Some(kept) => error.context(kept),
            None => error,
        };
        self.failure = Some(error);
        event_loop.exit();
    }

    fn present(&mut self, options: PresentOptions, event_loop: &ActiveEventLoop) {
        if let Some(presentation) = &self.presentation {
            return presentation.raise();
        }
        let proxy = self.proxy.clone();
        let wake = Arc::new(move |view, at| {
            // A loop that has ended needs no frames.
            let _ = proxy.send_event(Wakeup::Stage(view, at));
        });
        let options = PresentOptions { gpu: self.gpu.clone(), ..options };
        match PresentationWindows::open(event_loop, options, wake) {
            Ok(presentation) => self.presentation = Some(presentation),
            Err(error) => {
                if let Some(open) = &mut self.open {
                    open.host.app.notify(format!("{error:#}"), true);
                    open.host.ctx.request_repaint();
                }
            }
        }
    }

    fn draw(&mut self, event_loop: &ActiveEventLoop) {
        self.next = None;
        let Some(open) = &mut self.open else { return };
        if open.host.gpu().is_lost()
            && let Err(error) = open.recover()
        {
            return self.fail(event_loop, error);
        }
        if let Err(error) = open.draw() {
            return self.fail(event_loop, error);
        }
        if let Some(timings) = self.timings.as_mut().filter(|_| open.shown) {
            timings.presented(&open.host.app);
        }
        for request in std::mem::take(&mut open.host.app.host) {
            open.serve(request, event_loop);
        }
        if let Some(options) = open.host.app.presents.take() {
            self.present(*options, event_loop);
        }
    }
}

impl Open {
    fn draw(&mut self) -> anyhow::Result<()> {
        let input = self.input.take_egui_input(&self.window);
        let frame = self.host.frame(input);
        self.input.handle_platform_output(&self.window, frame.platform.clone());
        let [width, height] = <[u32; 2]>::from(self.window.inner_size());
        if width == 0 || height == 0 {
            self.host.skip(frame);
            return Ok(());
        }
        if [self.config.width, self.config.height] != [width, height] {
            self.resize([width, height]);
        }
        let Some(texture) = self.texture()? else {
            self.host.skip(frame);
            self.window.request_redraw();
            return Ok(());
        };
        let view = texture.texture.create_view(&wgpu::TextureViewDescriptor::default());
        self.host.paint(frame, &view, [width, height]);
        self.window.pre_present_notify();
        self.host.gpu().queue.present(texture);
        if !self.shown {
            self.shown = true;
            self.window.set_visible(true);
        }
        Ok(())
    }

    /// The next picture of the surface; `None` where there is none this time.
    fn texture(&mut self) -> anyhow::Result<Option<wgpu::SurfaceTexture>> {
        use wgpu::CurrentSurfaceTexture as Current;
        match self.surface.get_current_texture() {
            Current::Success(texture) => Ok(Some(texture)),
            Current::Suboptimal(texture) => Ok(Some(texture)),
            Current::Outdated | Current::Lost => {
                self.surface.configure(&self.host.gpu().device, &self.config);
                Ok(None)
            }
            Current::Timeout | Current::Occluded => Ok(None),
            Current::Validation => {
                self.host.gpu().check()?;
                anyhow::bail!("the window's surface was refused by the driver")
            }
        }
    }

    fn resize(&mut self, [width, height]: [u32; 2]) {
        if width == 0 || height == 0 {
            return;
        }
        (self.config.width, self.config.height) = (width, height);
        self.surface.configure(&self.host.gpu().device, &self.config);
        let scale = self.window.scale_factor() as f32;
        let size = [width as f32 / scale, height as f32 / scale];
        if !self.window.is_maximized() && self.window.fullscreen().is_none() {
            self.host.app.settings.window_size = Some(size);
        }
    }

    /// Another device after the old one was lost.
    fn recover(&mut self) -> anyhow::Result<()> {
        let instance = self.host.gpu().instance.clone();
        let gpu = self.host.gpu().reopen()?;
        self.surface = instance.create_surface(Arc::clone(&self.window))?;
        self.surface.configure(&gpu.device, &self.config);
        self.host.rebuild(gpu)
    }

    fn serve(&mut self, request: HostRequest, event_loop: &ActiveEventLoop) {
        match request {
            HostRequest::ToggleFullScreen => {
                let full = self.window.fullscreen().is_none();
                self.window.set_fullscreen(full.then_some(Fullscreen::Borderless(None)));
            }
            HostRequest::Quit => event_loop.exit(),
            HostRequest::PastePicture => match self.input.clipboard_image() {
                Some(pixels) => self.host.app.exports.read_pixels(pixels),
                None => self.host.app.notify("There is no picture on the clipboard.", false),
            },
        }
    }
}

impl ApplicationHandler<Wakeup> for Program {
    fn resumed(&mut self, event_loop: &ActiveEventLoop) {
        if let Err(error) = self.open(event_loop) {
            self.fail(event_loop, error);
        }
    }

    fn user_event(&mut self, _event_loop: &ActiveEventLoop, event: Wakeup) {
        match event {
            Wakeup::Frame(at) => self.wants_frame(at),
            Wakeup::Stage(view, at) => {
                if let Some(presentation) = &mut self.presentation {
                    presentation.wants_frame(view, at);
                }
            }
            Wakeup::Accessibility(event) => {
                if let Some(open) = &mut self.open
                    && let accesskit_winit::WindowEvent::ActionRequested(request) =
                        event.window_event
                {
                    open.input.on_accesskit_action_request(request);
                }
                self.wants_frame(Instant::now());
            }
        }
    }

    fn window_event(&mut self, event_loop: &ActiveEventLoop, id: WindowId, event: WindowEvent) {
        if let Some(presentation) = &mut self.presentation
            && presentation.window_event(id, &event)
        {
            return;
        }
        let Some(open) = &mut self.open else { return };
        let answer = open.input.on_window_event(&open.window, &event);
        match event {
            WindowEvent::RedrawRequested => self.draw(event_loop),
            // Unsaved work makes the command ask first.
            WindowEvent::CloseRequested => {
                open.host.app.intents.act(UiCommand::Quit);
                self.wants_frame(Instant::now());
            }
            _ if answer.repaint => self.wants_frame(Instant::now()),
            _ => {}
        }
    }

    fn exiting(&mut self, _event_loop: &ActiveEventLoop) {
        // Windows must be dropped before the event loop, which holds Wayland's connection.
        self.presentation = None;
        let Some(mut open) = self.open.take() else { return };
        open.host.app.keep_settings(true);
        if let Err(error) = commands::keep_session_now(&mut open.host.app) {
            let _ = writeln!(terminal::stderr(), "vlmscope: {error}");
        }
        open.host.app.tasks.end(FAREWELL);
        open.host.app.exports.end(WRITTEN);
        // Loading a model cannot be interrupted: the wait for it is limited.
        if let Some(ended) = open.host.app.chat.close() {
            let _ = ended.recv_timeout(FAREWELL);
        }
    }

    fn about_to_wait(&mut self, event_loop: &ActiveEventLoop) {
        if let Some(over) = self.presentation.take_if(|presentation| presentation.is_over())
            && let Some(open) = &mut self.open
        {
            if let Some(error) = over.error() {
                open.host.app.notify(error, true);
            }
            open.window.focus_window();
            open.host.ctx.request_repaint();
        }
        let stage = self.presentation.as_mut().and_then(PresentationWindows::about_to_wait);
        let flow = match (self.next, &self.open) {
            (Some(at), Some(open)) if at <= Instant::now() => {
                open.window.request_redraw();
                // Wayland draws when it is ready; asking again later is harmless.
                ControlFlow::WaitUntil(Instant::now() + Duration::from_millis(250))
            }
            (Some(at), _) => ControlFlow::WaitUntil(at),
            (None, _) => ControlFlow::Wait,
        };
        let flow = match (flow, stage) {
            (ControlFlow::WaitUntil(own), Some(stage)) => ControlFlow::WaitUntil(own.min(stage)),
            (_, Some(stage)) => ControlFlow::WaitUntil(stage),
            (flow, None) => flow,
        };
        event_loop.set_control_flow(flow);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_that_was_larger_than_this_screen_fits_it() {
        assert_eq!(fitted([3840.0, 2160.0], Some([1280.0, 800.0])), [1280.0, 800.0]);
        assert_eq!(fitted([1600.0, 960.0], Some([1920.0, 900.0])), [1600.0, 900.0]);
        assert_eq!(fitted([1600.0, 960.0], Some([1920.0, 1080.0])), [1600.0, 960.0]);
        assert_eq!(fitted([3840.0, 2160.0], None), [3840.0, 2160.0]);
    }
}
