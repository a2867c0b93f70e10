//! The windows of a presentation: the stage full screen on one display, the presenter's on another.
//!
//! Both are full screen because that is the only way in which every platform lets a program choose the display of a
//! window. Both are placed again when a display is connected or removed, because window managers then move windows.

use super::displays::{self, Displays, default_display};
use super::draw::{View, draw};
use super::options::PresentOptions;
use super::playback::Playback;
use super::sleep_inhibitor::SleepInhibitor;
use crate::gpu::Gpu;
use crate::terminal;
use crate::ui::painting::{self, AtlasLimit, Canvas};
use crate::ui::surface::configuration;
use crate::ui::window_painter::WindowPainter;
use crate::ui::wording::in_window;
use anyhow::Context as _;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;
use winit::application::ApplicationHandler;
use winit::event::WindowEvent;
use winit::event_loop::{ActiveEventLoop, ControlFlow, EventLoop};
use winit::monitor::MonitorHandle;
use winit::window::{Fullscreen, Window, WindowId, WindowLevel};

const PRESENTER_SIZE: [f64; 2] = [960.0, 640.0];

/// The size of the presenter's window on a display, whose type is as large as that of the main window there.
fn presenter_size(display: Option<&MonitorHandle>) -> winit::dpi::LogicalSize<f64> {
    let height =
        display.map_or(0.0, |display| f64::from(display.size().height) / display.scale_factor());
    let [width, height] = PRESENTER_SIZE.map(|side| side * (height / 1080.0).clamp(1.0, 4.0));
    winit::dpi::LogicalSize::new(width, height)
}

/// Asks for a frame of a window at a time, from any thread.
pub type WakeAt = Arc<dyn Fn(View, Instant) + Send + Sync>;

/// A frame of a window is wanted at this time.
#[derive(Debug)]
struct Wakeup(View, Instant);

/// Opens the windows and runs until the presentation is over.
///
/// # Errors
/// If there is no display or adapter, or the display that was asked for does not exist.
pub fn run(options: PresentOptions) -> anyhow::Result<()> {
    let event_loop = EventLoop::<Wakeup>::with_user_event().build().context(
        "no window can be opened: is there a display (DISPLAY or WAYLAND_DISPLAY)? Without one, use `vlmscope record`",
    )?;
    let proxy = event_loop.create_proxy();
    let wake: WakeAt = Arc::new(move |view, at| {
        // A loop that has ended needs no frames.
        let _ = proxy.send_event(Wakeup(view, at));
    });
    let mut program =
        Program { wake, options: Some(options), open: None, failure: None, unseen: None };
    event_loop.run_app(&mut program)?;
    if let Some(error) = program.unseen {
        writeln!(terminal::stderr(), "vlmscope: {error}")?;
    }
    program.failure.map_or(Ok(()), Err)
}

/// The program that only presents.
struct Program {
    wake: WakeAt,
    options: Option<PresentOptions>,
    open: Option<PresentationWindows>,
    failure: Option<anyhow::Error>,
    /// The presentation's last error: the stage shows none, so that it is reported at the end.
    unseen: Option<String>,
}

/// The windows of a presentation, in any event loop.
pub struct PresentationWindows {
    wake: WakeAt,
    playback: Playback,
    /// The stage, and the presenter's window unless it was closed.
    screens: Vec<Screen>,
    displays: Displays,
    /// Whether the user asked for the presenter's window even on the stage's display.
    may_cover: bool,
    /// Whether that window must still be raised above the stage.
    must_raise: bool,
    began: Instant,
    is_closed: bool,
    _awake: SleepInhibitor,
}

/// One window.
struct Screen {
    view: View,
    window: Arc<Window>,
    surface: wgpu::Surface<'static>,
    config: wgpu::SurfaceConfiguration,
    ctx: egui::Context,
    input: egui_winit::State,
    painter: WindowPainter,
    canvas: Canvas,
    /// Largest side of egui's own textures.
    atlas: AtlasLimit,
    /// When the next frame is wanted. Each window has its own: the presenter's clock must not make
    /// an 8K stage draw.
    next: Option<Instant>,
}

impl PresentationWindows {
    /// Opens the windows.
    ///
    /// # Errors
    /// If there is no adapter, or the display that was asked for does not exist.
    pub fn open(
        event_loop: &ActiveEventLoop,
        options: PresentOptions,
        wake: WakeAt,
    ) -> anyhow::Result<Self> {
        let there: Vec<MonitorHandle> = event_loop.available_monitors().collect();
        let chosen = choose(options.display, &there, event_loop.primary_monitor().as_ref())?;
        let places = Displays::new(&there, chosen);
        let mut on_stage = Window::default_attributes()
            .with_title("vlmscope")
            .with_fullscreen(Some(Fullscreen::Borderless(there.get(chosen).cloned())));
        if let Some(display) = there.get(chosen) {
            // Size and position for systems without a window manager to grant full screen (as in a kiosk).
            on_stage = on_stage.with_inner_size(display.size()).with_position(display.position());
        }
        let window = Arc::new(event_loop.create_window(on_stage)?);
        displays::hear_of_changes(&window);
        let instance =
            wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
        let surface = instance.create_surface(Arc::clone(&window)).context(
            "the window cannot be drawn to: install a Vulkan driver (on Debian: mesa-vulkan-drivers)",
        )?;
        let gpu = Gpu::open_with(instance, Some(&surface), &options.gpu)?;
        let stage = Screen::new(&wake, &gpu, event_loop, View::Stage, window, surface)?;
        let painter = stage.painter.clone();
        let mut screens = vec![stage];
        if places.other().is_some() || options.presenter {
            let mut attributes = Window::default_attributes()
                .with_title("vlmscope · presenter")
                .with_inner_size(presenter_size(there.get(chosen)));
            attributes = match places.other() {
                Some(display) => attributes
                    .with_fullscreen(Some(Fullscreen::Borderless(Some(display.clone()))))
                    .with_inner_size(display.size())
                    .with_position(display.position()),
                // The presenter's window shares the stage's display and must stay above the stage.
                None => attributes.with_window_level(WindowLevel::AlwaysOnTop),
            };
            let window = Arc::new(event_loop.create_window(attributes)?);
            let surface = gpu.instance.create_surface(Arc::clone(&window))?;
            screens.push(Screen::new(&wake, &gpu, event_loop, View::Presenter, window, surface)?);
        }
        let PresentOptions { walkthrough, traces, loops, first, presenter: may_cover, .. } =
            options;
        let mut playback = Playback::new(walkthrough, traces, gpu, painter, loops);
        playback.begin_at(first);
        playback.display = places.words();
        Ok(Self {
            wake,
            playback,
            screens,
            must_raise: places.other().is_none(),
            displays: places,
            may_cover,
            began: Instant::now(),
            is_closed: false,
            _awake: SleepInhibitor::hold(),
        })
    }

    /// Text of the last error.
    pub fn error(&self) -> Option<&str> {
        self.playback.error.as_deref()
    }

    /// Whether the presentation was ended or its stage closed.
    pub fn is_over(&self) -> bool {
        self.is_closed || self.playback.is_over
    }

    /// Asks for a frame of a window at a time.
    pub fn wants_frame(&mut self, view: View, at: Instant) {
        for screen in self.screens.iter_mut().filter(|screen| screen.view == view) {
            screen.wants_frame(at);
        }
    }

    fn wants_frames(&mut self) {
        let now = Instant::now();
        self.screens.iter_mut().for_each(|screen| screen.wants_frame(now));
    }

    /// Brings its windows before the others.
    pub fn raise(&self) {
        for screen in &self.screens {
            screen.window.focus_window();
        }
    }

    /// Handles an event of one of these windows; returns whether it was one.
    pub fn window_event(&mut self, id: WindowId, event: &WindowEvent) -> bool {
        let screen = self.screens.iter_mut().find(|screen| screen.window.id() == id);
        let Some(screen) = screen else { return false };
        let view = screen.view;
        let answer = screen.input.on_window_event(&screen.window, event);
        match event {
            WindowEvent::RedrawRequested => {
                if self.playback.gpu().is_lost()
                    && let Err(error) = self.recover()
                {
                    self.playback.error = Some(in_window(&format!("{error:#}")).0);
                    return true;
                }
                let Some(screen) = self.screens.iter_mut().find(|s| s.view == view) else {
                    return true;
                };
                let now = self.began.elapsed().as_secs_f64();
                let before = self.playback.asked();
                // The stage keeps its last picture; the presenter is told.
                if let Err(error) = screen.draw(&mut self.playback, now) {
                    self.playback.error = Some(in_window(&format!("{error:#}")).0);
                }
                // Only a window that is on screen can be raised above the stage.
                if view == View::Presenter && std::mem::take(&mut self.must_raise) {
                    screen.window.focus_window();
                }
                // A command in one window changes both.
                if self.playback.asked() != before {
                    self.wants_frames();
                }
            }
            WindowEvent::CloseRequested if view == View::Presenter => {
                // The audience still watches.
                self.screens.retain(|screen| screen.view != view);
                self.raise();
            }
            WindowEvent::CloseRequested => self.is_closed = true,
            _ if answer.repaint => screen.wants_frame(Instant::now()),
            _ => {}
        }
        if self.is_over() {
            // The event loop reads it before it sleeps.
            (self.wake)(view, Instant::now());
        }
        true
    }

    /// Opens another device after the old one was lost; the presentation goes on from its present stop.
    fn recover(&mut self) -> anyhow::Result<()> {
        let gpu = self.playback.gpu().reopen()?;
        for screen in &mut self.screens {
            screen.rebuild(&gpu)?;
        }
        if let Some(stage) = self.screens.first() {
            self.playback.rebuild(gpu, stage.painter.clone());
        }
        self.wants_frames();
        Ok(())
    }

    /// Asks for the frames that are due; returns the time of the next ones.
    pub fn about_to_wait(&mut self) -> Option<Instant> {
        self.follow_displays();
        let now = Instant::now();
        for screen in &mut self.screens {
            if screen.next.is_some_and(|at| at <= now) {
                screen.next = None;
                screen.window.request_redraw();
            }
        }
        self.screens.iter().filter_map(|screen| screen.next).min()
    }

    /// Places the windows again after a display was connected or removed.
    fn follow_displays(&mut self) {
        let Some(stage) = self.screens.first() else { return };
        let now: Vec<MonitorHandle> = stage.window.available_monitors().collect();
        if !self.displays.changed(now) {
            return;
        }
        for screen in &self.screens {
            match screen.view {
                View::Stage => screen.fill(self.displays.stage()),
                View::Presenter => screen.fill(self.displays.other()),
            }
        }
        // On a single display the presenter's window may cover the stage only if the stage's own display was
        // disconnected (so that no audience sees it), or if the user asked for it.
        let covers = self.may_cover || !self.displays.is_at_home();
        if self.displays.other().is_none()
            && let Some(first) = self.screens.iter().find(|s| (s.view == View::Presenter) == covers)
        {
            let level = if covers { WindowLevel::AlwaysOnTop } else { WindowLevel::Normal };
            first.window.set_window_level(level);
            first.window.focus_window();
        }
        self.playback.display = self.displays.words();
        self.wants_frames();
    }
}

/// The number of the stage's display.
fn choose(
    wanted: Option<usize>,
    there: &[MonitorHandle],
    main: Option<&MonitorHandle>,
) -> anyhow::Result<usize> {
    let Some(number) = wanted else { return Ok(default_display(there, main)) };
    match there.len() {
        // Some platforms do not report displays.
        0 => Ok(number),
        count if number < count => Ok(number),
        1 => anyhow::bail!("display {number} does not exist: there is display 0 only"),
        count => {
            anyhow::bail!("display {number} does not exist: there are displays 0 to {}", count - 1)
        }
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
        let ctx = painting::new_context();
        ctx.set_theme(egui::Theme::Dark);
        let wake = Arc::clone(wake);
        ctx.set_request_repaint_callback(move |info| wake(view, Instant::now() + info.delay));
        let atlas = AtlasLimit::new(gpu);
        let input = egui_winit::State::new(
            ctx.clone(),
            egui::ViewportId::ROOT,
            event_loop,
            Some(window.scale_factor() as f32),
            Some(winit::window::Theme::Dark),
            Some(atlas.texture_side()),
        );
        let painter = WindowPainter::new(gpu, config.format);
        let next = Some(Instant::now());
        let canvas = Canvas::default();
        Ok(Self { view, window, surface, config, ctx, input, painter, canvas, atlas, next })
    }

    fn wants_frame(&mut self, at: Instant) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }

    /// Draws with another device.
    fn rebuild(&mut self, gpu: &Arc<Gpu>) -> anyhow::Result<()> {
        self.surface = gpu.instance.create_surface(Arc::clone(&self.window))?;
        self.surface.configure(&gpu.device, &self.config);
        self.painter = WindowPainter::new(gpu, self.config.format);
        self.canvas.forget();
        self.atlas.start_over(gpu);
        Ok(())
    }

    /// Fills a display; without one, shows a normal window.
    fn fill(&self, display: Option<&MonitorHandle>) {
        // A new request for full screen on the same display would change nothing, even if the window was moved.
        self.window.set_fullscreen(None);
        self.window.set_window_level(WindowLevel::Normal);
        let Some(display) = display else {
            let size = presenter_size(self.window.current_monitor().as_ref());
            let _ = self.window.request_inner_size(size);
            return;
        };
        if cfg!(target_os = "linux") {
            // For systems without a window manager to grant full screen.
            self.window.set_outer_position(display.position());
            let _ = self.window.request_inner_size(display.size());
        }
        self.window.set_fullscreen(Some(Fullscreen::Borderless(Some(display.clone()))));
    }

    fn draw(&mut self, playback: &mut Playback, now: f64) -> anyhow::Result<()> {
        let size = <[u32; 2]>::from(self.window.inner_size());
        self.input.set_max_texture_side(self.atlas.texture_side());
        let input = self.input.take_egui_input(&self.window);
        let output = self.ctx.run_ui(input, |ui| draw(playback, self.view, ui, size, now));
        self.atlas.check(&self.ctx);
        let frame = painting::Frame::new(&self.ctx, output);
        self.input.handle_platform_output(&self.window, frame.platform.clone());
        let gpu = Arc::clone(playback.gpu());
        if size.contains(&0) {
            self.canvas.skip(&gpu, &self.painter, frame);
            return Ok(());
        }
        if self.view == View::Stage {
            self.window.set_cursor_visible(playback.shows_pointer(now));
        }
        if [self.config.width, self.config.height] != size {
            [self.config.width, self.config.height] = size;
            self.surface.configure(&gpu.device, &self.config);
        }
        use wgpu::CurrentSurfaceTexture as Current;
        match self.surface.get_current_texture() {
            Current::Success(texture) | Current::Suboptimal(texture) => {
                let view = texture.texture.create_view(&wgpu::TextureViewDescriptor::default());
                self.canvas.paint(&gpu, &self.painter, frame, &view, size, egui::Color32::BLACK);
                self.window.pre_present_notify();
                gpu.queue.present(texture);
            }
            Current::Outdated | Current::Lost => {
                self.canvas.skip(&gpu, &self.painter, frame);
                self.surface.configure(&gpu.device, &self.config);
                self.window.request_redraw();
            }
            Current::Timeout | Current::Occluded => self.canvas.skip(&gpu, &self.painter, frame),
            Current::Validation => {
                self.canvas.skip(&gpu, &self.painter, frame);
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
        match PresentationWindows::open(event_loop, options, Arc::clone(&self.wake)) {
            Ok(open) => self.open = Some(open),
            Err(error) => {
                self.failure = Some(error);
                event_loop.exit();
            }
        }
    }

    fn user_event(&mut self, _event_loop: &ActiveEventLoop, Wakeup(view, at): Wakeup) {
        if let Some(open) = &mut self.open {
            open.wants_frame(view, at);
        }
    }

    fn window_event(&mut self, _event_loop: &ActiveEventLoop, id: WindowId, event: WindowEvent) {
        if let Some(open) = &mut self.open {
            open.window_event(id, &event);
        }
    }

    fn exiting(&mut self, _event_loop: &ActiveEventLoop) {
        // The window must be dropped before the event loop, which holds Wayland's connection.
        let open = self.open.take();
        self.unseen = open.as_ref().and_then(PresentationWindows::error).map(str::to_owned);
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
