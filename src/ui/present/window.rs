//! The windows of a presentation: the stage full screen on one display, the presenter's on another.

use super::theatre::{Theatre, View};
use crate::gpu::{Gpu, GpuOptions};
use crate::record::OpenTraces;
use crate::ui::host::{self, Frame};
use crate::ui::{stage, window::configuration};
use crate::view::timeline::Walkthrough;
use anyhow::Context as _;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};
use winit::application::ApplicationHandler;
use winit::event::WindowEvent;
use winit::event_loop::{ActiveEventLoop, ControlFlow, EventLoop, EventLoopProxy};
use winit::monitor::MonitorHandle;
use winit::window::{Fullscreen, Window, WindowId};

const PRESENTER_SIZE: [f64; 2] = [960.0, 640.0];

/// What to present, and where.
pub struct PresentOptions {
    /// The walkthrough.
    pub walkthrough: Walkthrough,
    /// Its traces, open.
    pub traces: OpenTraces,
    /// The display of the stage, counted from 0; `None` takes the last where there are several.
    pub display: Option<usize>,
    /// Steps follow each other, over and over.
    pub loops: bool,
    /// Whether the presenter has a window even where there is one display only.
    pub presenter: bool,
    /// The graphics adapter.
    pub gpu: GpuOptions,
}

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
    let mut program = Program {
        proxy,
        options: Some(options),
        theatre: None,
        screens: Vec::new(),
        next: None,
        began: Instant::now(),
        failure: None,
    };
    event_loop.run_app(&mut program)?;
    if let Some(error) = program.theatre.as_ref().and_then(|theatre| theatre.error.as_ref()) {
        writeln!(std::io::stderr(), "vlmscope: {error}")?;
    }
    program.failure.map_or(Ok(()), Err)
}

struct Program {
    proxy: EventLoopProxy<Wakeup>,
    options: Option<PresentOptions>,
    theatre: Option<Theatre>,
    screens: Vec<Screen>,
    next: Option<Instant>,
    began: Instant,
    failure: Option<anyhow::Error>,
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

impl Program {
    fn open(&mut self, event_loop: &ActiveEventLoop) -> anyhow::Result<()> {
        let Some(options) = self.options.take() else { return Ok(()) };
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
        let on_stage = Window::default_attributes()
            .with_title("vlmscope")
            .with_fullscreen(Some(Fullscreen::Borderless(displays.get(chosen).cloned())));
        let window = Arc::new(event_loop.create_window(on_stage)?);
        let instance =
            wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
        let surface = instance.create_surface(Arc::clone(&window)).context(
            "the window cannot be drawn to: install a Vulkan driver (on Debian: mesa-vulkan-drivers)",
        )?;
        let gpu = Gpu::open_with(instance, Some(&surface), &options.gpu)?;
        let stage = self.screen(&gpu, event_loop, View::Stage, window, surface)?;
        let painter = Arc::clone(&stage.painter);
        self.screens.push(stage);
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
            let screen = self.screen(&gpu, event_loop, View::Presenter, window, surface)?;
            self.screens.push(screen);
        }
        let PresentOptions { walkthrough, traces, loops, .. } = options;
        let mut theatre = Theatre::new(walkthrough, traces, gpu, painter, loops);
        let name = displays.get(chosen).and_then(MonitorHandle::name).unwrap_or_default();
        theatre.display = format!("stage on display {chosen} {name}");
        self.theatre = Some(theatre);
        self.began = Instant::now();
        self.next = Some(Instant::now());
        Ok(())
    }

    fn screen(
        &self,
        gpu: &Arc<Gpu>,
        event_loop: &ActiveEventLoop,
        view: View,
        window: Arc<Window>,
        surface: wgpu::Surface<'static>,
    ) -> anyhow::Result<Screen> {
        let config = configuration(gpu, &surface, &window)?;
        surface.configure(&gpu.device, &config);
        let ctx = host::new_context();
        ctx.set_theme(egui::Theme::Dark);
        let proxy = self.proxy.clone();
        ctx.set_request_repaint_callback(move |info| {
            // A loop that has ended needs no frames.
            let _ = proxy.send_event(Wakeup(Instant::now() + info.delay));
        });
        let input = egui_winit::State::new(
            ctx.clone(),
            egui::ViewportId::ROOT,
            event_loop,
            Some(window.scale_factor() as f32),
            Some(winit::window::Theme::Dark),
            Some(gpu.limits().max_texture_dimension_2d as usize),
        );
        let painter = host::painter(gpu, config.format);
        Ok(Screen { view, window, surface, config, ctx, input, painter })
    }

    fn wants_frame(&mut self, at: Instant) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }

    fn draw(&mut self, event_loop: &ActiveEventLoop, id: WindowId) {
        let Some(theatre) = &mut self.theatre else { return };
        let Some(screen) = self.screens.iter_mut().find(|screen| screen.window.id() == id) else {
            return;
        };
        // The stage keeps its last picture; the presenter is told.
        if let Err(error) = screen.draw(theatre, self.began.elapsed().as_secs_f64()) {
            theatre.error = Some(format!("{error:#}"));
        }
        if theatre.is_over {
            event_loop.exit();
        }
    }
}

impl Screen {
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
                host::paint(&gpu, &self.painter, frame, &view, size);
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
        if let Err(error) = self.open(event_loop) {
            self.failure = Some(error);
            event_loop.exit();
        }
    }

    fn user_event(&mut self, _event_loop: &ActiveEventLoop, Wakeup(at): Wakeup) {
        self.wants_frame(at);
    }

    fn window_event(&mut self, event_loop: &ActiveEventLoop, id: WindowId, event: WindowEvent) {
        let screen = self.screens.iter_mut().find(|screen| screen.window.id() == id);
        let Some(screen) = screen else { return };
        let answer = screen.input.on_window_event(&screen.window, &event);
        match event {
            WindowEvent::RedrawRequested => self.draw(event_loop, id),
            WindowEvent::CloseRequested => event_loop.exit(),
            // What is asked for in one window shows in both.
            _ if answer.repaint => self.wants_frame(Instant::now()),
            _ => {}
        }
    }

    fn about_to_wait(&mut self, event_loop: &ActiveEventLoop) {
        let flow = match self.next {
            Some(at) if at <= Instant::now() => {
                self.next = None;
                for screen in &self.screens {
                    screen.window.request_redraw();
                }
                ControlFlow::WaitUntil(Instant::now() + Duration::from_millis(250))
            }
            Some(at) => ControlFlow::WaitUntil(at),
            None => ControlFlow::Wait,
        };
        event_loop.set_control_flow(flow);
    }
}
