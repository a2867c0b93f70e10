//! The windows of a presentation: the stage full screen on one display, the presenter's on another.

use super::awake::Awake;
use super::theatre::{Theatre, View};
use crate::gpu::{Gpu, GpuOptions};
use crate::record::OpenTraces;
use crate::ui::host::{self, Frame};
use crate::ui::{stage, window::configuration};
use crate::view::timeline::Walkthrough;
use anyhow::Context as _;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;
use winit::application::ApplicationHandler;
use winit::event::WindowEvent;
use winit::event_loop::{ActiveEventLoop, ControlFlow, EventLoop};
use winit::monitor::MonitorHandle;
use winit::window::{Fullscreen, Window, WindowId};

const PRESENTER_SIZE: [f64; 2] = [960.0, 640.0];

/// What to present, and where.
pub struct PresentOptions {
    /// The walkthrough.
    pub walkthrough: Walkthrough,
    /// Its traces, open.
    pub traces: OpenTraces,
    /// The stop to begin with: a card or step, counted from 0.
    pub first: usize,
    /// The display of the stage, counted from 0; `None` takes the last where there are several.
    pub display: Option<usize>,
    /// Steps follow each other, over and over.
    pub loops: bool,
    /// Whether the presenter has a window even where there is one display only.
    pub presenter: bool,
    /// The graphics adapter.
    pub gpu: GpuOptions,
}

/// Asks for a frame at a time, from any thread.
pub type WakeAt = Arc<dyn Fn(Instant) + Send + Sync>;

/// A frame is wanted at this time.
#[derive(Debug)]
struct Wakeup(Instant);

/// Opens the windows and runs until the presentation is over.
///
/// # Errors
/// If there is no display or adapter, or the display that was asked for does not exist.
pub fn run(options: PresentOptions) -> anyhow::Result<()> {
    let event_loop = EventLoop::<Wakeup>::with_user_event().build().context(
        "no window can be opened: is there a display (DISPLAY or WAYLAND_DISPLAY)? Without one, use `vlmscope record`",
    )?;
    let proxy = event_loop.create_proxy();
    let wake: WakeAt = Arc::new(move |at| {
        // A loop that has ended needs no frames.
        let _ = proxy.send_event(Wakeup(at));
    });
    let mut program = Program { wake, options: Some(options), open: None, failure: None };
    event_loop.run_app(&mut program)?;
    if let Some(error) = program.open.as_ref().and_then(Presentation::error) {
        writeln!(std::io::stderr(), "vlmscope: {error}")?;
    }
    program.failure.map_or(Ok(()), Err)
}

/// The program that only presents.
struct Program {
    wake: WakeAt,
    options: Option<PresentOptions>,
    open: Option<Presentation>,
    failure: Option<anyhow::Error>,
}

/// The windows of a presentation, in whatever event loop there is.
pub struct Presentation {
    wake: WakeAt,
    theatre: Theatre,
    screens: Vec<Screen>,
    next: Option<Instant>,
    began: Instant,
    is_closed: bool,
    _awake: Awake,
}

/// One window.
struct Screen {
    view: View,
    window: Arc<Window>,
    surface: wgpu::Surface<'static>,
    config: wgpu::SurfaceConfiguration,
    ctx: egui::Context,
    input: egui_winit::State,
    painter: stage::Painter,
}

impl Presentation {
    /// Opens the windows.
    ///
    /// # Errors
    /// If there is no adapter, or the display that was asked for does not exist.
    pub fn open(
        event_loop: &ActiveEventLoop,
        options: PresentOptions,
        wake: WakeAt,
    ) -> anyhow::Result<Self> {
        let displays: Vec<MonitorHandle> = event_loop.available_monitors().collect();
        let chosen = match options.display {
            Some(number) if number >= displays.len() && !displays.is_empty() => {
                anyhow::bail!(
                    "display {number} does not exist: there are displays 0 to {}",
                    displays.len() - 1
                );
            }
            Some(number) => number,
            None => displays.len().saturating_sub(1),
        };
        let mut on_stage = Window::default_attributes()
            .with_title("vlmscope")
            .with_fullscreen(Some(Fullscreen::Borderless(displays.get(chosen).cloned())));
        if let Some(display) = displays.get(chosen) {
            // Where no window manager grants full screen (a kiosk without one).
            on_stage = on_stage.with_inner_size(display.size()).with_position(display.position());
        }
        let window = Arc::new(event_loop.create_window(on_stage)?);
        let instance =
            wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
        let surface = instance.create_surface(Arc::clone(&window)).context(
            "the window cannot be drawn to: install a Vulkan driver (on Debian: mesa-vulkan-drivers)",
        )?;
        let gpu = Gpu::open_with(instance, Some(&surface), &options.gpu)?;
        let stage = Screen::new(&wake, &gpu, event_loop, View::Stage, window, surface)?;
        let painter = Arc::clone(&stage.painter);
        let mut screens = vec![stage];
        if displays.len() > 1 || options.presenter {
            let other = displays.iter().enumerate().find(|(number, _)| *number != chosen);
            let [width, height] = PRESENTER_SIZE;
            let mut attributes = Window::default_attributes()
                .with_title("vlmscope · presenter")
                .with_inner_size(winit::dpi::LogicalSize::new(width, height));
            if let Some((_, display)) = other {
                attributes = attributes.with_position(display.position());
            }
            let window = Arc::new(event_loop.create_window(attributes)?);
            let surface = gpu.instance.create_surface(Arc::clone(&window))?;
            screens.push(Screen::new(&wake, &gpu, event_loop, View::Presenter, window, surface)?);
        }
        let PresentOptions { walkthrough, traces, loops, first, .. } = options;
        let mut theatre = Theatre::new(walkthrough, traces, gpu, painter, loops);
        theatre.begin_at(first);
        let name = displays.get(chosen).and_then(MonitorHandle::name).unwrap_or_default();
        theatre.display = format!("stage on display {chosen} {name}");
        let now = Instant::now();
        let _awake = Awake::hold();
        let next = Some(now);
        Ok(Self { wake, theatre, screens, next, began: now, is_closed: false, _awake })
    }

    /// What went wrong last.
    pub fn error(&self) -> Option<&str> {
        self.theatre.error.as_deref()
    }

    /// Whether it was ended or one of its windows closed.
    pub fn is_over(&self) -> bool {
        self.is_closed || self.theatre.is_over
    }

    /// A frame is wanted at a time.
    pub fn wants_frame(&mut self, at: Instant) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }

    /// Takes an event, if it is one of these windows'.
    pub fn window_event(&mut self, id: WindowId, event: &WindowEvent) -> bool {
        let screen = self.screens.iter_mut().find(|screen| screen.window.id() == id);
        let Some(screen) = screen else { return false };
        let answer = screen.input.on_window_event(&screen.window, event);
        match event {
            WindowEvent::RedrawRequested => {
                let now = self.began.elapsed().as_secs_f64();
                // The stage keeps its last picture; the presenter is told.
                if let Err(error) = screen.draw(&mut self.theatre, now) {
                    self.theatre.error = Some(format!("{error:#}"));
                }
            }
            WindowEvent::CloseRequested => self.is_closed = true,
            // What is asked for in one window shows in both.
            _ if answer.repaint => self.wants_frame(Instant::now()),
            _ => {}
        }
        if self.is_over() {
            // The loop looks at it before it rests.
            (self.wake)(Instant::now());
        }
        true
    }

    /// Asks for the frames that are due; when the next ones are.
    pub fn about_to_wait(&mut self) -> Option<Instant> {
        let now = Instant::now();
        if self.next.is_some_and(|at| at <= now) {
            self.next = None;
            for screen in &self.screens {
                screen.window.request_redraw();
            }
        }
        self.next
    }
}

impl Screen {
    fn new(
        wake: &WakeAt,
        gpu: &Arc<Gpu>,
        event_loop: &ActiveEventLoop,
        view: View,
        window: Arc<Window>,
        surface: wgpu::Surface<'static>,
    ) -> anyhow::Result<Self> {
        let config = configuration(gpu, &surface, &window)?;
        surface.configure(&gpu.device, &config);
        let ctx = host::new_context();
        ctx.set_theme(egui::Theme::Dark);
        let wake = Arc::clone(wake);
        ctx.set_request_repaint_callback(move |info| wake(Instant::now() + info.delay));
        let input = egui_winit::State::new(
            ctx.clone(),
            egui::ViewportId::ROOT,
            event_loop,
            Some(window.scale_factor() as f32),
            Some(winit::window::Theme::Dark),
            Some(gpu.limits().max_texture_dimension_2d as usize),
        );
        let painter = host::painter(gpu, config.format);
        Ok(Self { view, window, surface, config, ctx, input, painter })
    }

    fn draw(&mut self, theatre: &mut Theatre, now: f64) -> anyhow::Result<()> {
        let size = <[u32; 2]>::from(self.window.inner_size());
        let input = self.input.take_egui_input(&self.window);
        let output = self.ctx.run_ui(input, |ui| theatre.frame(self.view, ui, size, now));
        let frame = Frame::new(&self.ctx, output);
        self.input.handle_platform_output(&self.window, frame.platform.clone());
        let gpu = Arc::clone(theatre.gpu());
        if size.contains(&0) {
            host::skip(&gpu, &self.painter, frame);
            return Ok(());
        }
        if self.view == View::Stage {
            self.window.set_cursor_visible(theatre.shows_pointer(now));
        }
        if [self.config.width, self.config.height] != size {
            [self.config.width, self.config.height] = size;
            self.surface.configure(&gpu.device, &self.config);
        }
        use wgpu::CurrentSurfaceTexture as Current;
        match self.surface.get_current_texture() {
            Current::Success(texture) | Current::Suboptimal(texture) => {
                let view = texture.texture.create_view(&wgpu::TextureViewDescriptor::default());
                host::paint(&gpu, &self.painter, frame, &view, size, wgpu::Color::BLACK);
                self.window.pre_present_notify();
                gpu.queue.present(texture);
            }
            Current::Outdated | Current::Lost => {
                host::skip(&gpu, &self.painter, frame);
                self.surface.configure(&gpu.device, &self.config);
                self.window.request_redraw();
            }
            Current::Timeout | Current::Occluded => host::skip(&gpu, &self.painter, frame),
            Current::Validation => {
                host::skip(&gpu, &self.painter, frame);
                gpu.check()?;
                anyhow::bail!("the window's surface was refused by the driver");
            }
        }
        Ok(())
    }
}

impl ApplicationHandler<Wakeup> for Program {
    fn resumed(&mut self, event_loop: &ActiveEventLoop) {
        let Some(options) = self.options.take() else { return };
        match Presentation::open(event_loop, options, Arc::clone(&self.wake)) {
            Ok(open) => self.open = Some(open),
            Err(error) => {
                self.failure = Some(error);
                event_loop.exit();
            }
        }
    }

    fn user_event(&mut self, _event_loop: &ActiveEventLoop, Wakeup(at): Wakeup) {
        if let Some(open) = &mut self.open {
            open.wants_frame(at);
        }
    }

    fn window_event(&mut self, _event_loop: &ActiveEventLoop, id: WindowId, event: WindowEvent) {
        if let Some(open) = &mut self.open {
            open.window_event(id, &event);
        }
    }

    fn about_to_wait(&mut self, event_loop: &ActiveEventLoop) {
        let Some(open) = &mut self.open else { return };
        if open.is_over() {
            return event_loop.exit();
        }
        let flow = open.about_to_wait().map_or(ControlFlow::Wait, ControlFlow::WaitUntil);
        event_loop.set_control_flow(flow);
    }
}
