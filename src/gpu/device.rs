//! The graphics device: choice of the adapter, limits, errors, loss.
//!
//! The base is WebGPU's default limits without optional features. More is requested only if the adapter offers it and
//! the renderer can use it (larger pages, larger figures, timestamps).

use super::GpuError;
use super::shared_pipelines::Pipelines;
#[cfg(feature = "testing")]
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Sizes of the blocks that textures and buffers share, in bytes; a larger one gets a block of its own. On a software
/// adapter, the unused part of a block is memory of the process.
const BLOCK_BYTES: std::ops::Range<u64> = 8 << 20..16 << 20;

/// Options for opening a device.
#[derive(Clone, Debug, Default)]
pub struct GpuOptions {
    /// Part of the adapter's name, in any case; `None` takes the best.
    pub adapter: Option<String>,
    /// Exactly WebGPU's default limits and no optional feature, whatever the adapter offers.
    pub baseline: bool,
    /// Timestamps around every pass, where the adapter has them.
    pub timestamps: bool,
}

/// The adapter that was opened last, for reports of faults.
static OPENED: Mutex<Option<String>> = Mutex::new(None);

/// The name of the adapter that this process opened last.
pub fn opened_adapter() -> Option<String> {
    lock(&OPENED).clone()
}

/// Loss and errors that the device reported through its callbacks.
#[derive(Debug, Default)]
struct Reports {
    lost: Mutex<Option<String>>,
    errors: Mutex<Vec<(String, bool)>>,
}

/// An opened device and its queue. Shared by any number of renderers and targets.
#[derive(Debug)]
pub struct Gpu {
    /// The instance: a window makes its surface from it.
    pub instance: wgpu::Instance,
    /// The adapter.
    pub adapter: wgpu::Adapter,
    /// The device.
    pub device: wgpu::Device,
    /// The device's queue.
    pub queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
    limits: wgpu::Limits,
    options: GpuOptions,
    reports: Arc<Reports>,
    #[cfg(feature = "testing")]
    lose_at_submit: AtomicBool,
    /// Names of all passes: a frame's error message is searched for them.
    pass_names: OnceLock<&'static [&'static str]>,
    /// The compiled passes of all renderers.
    pub(super) pipelines: Pipelines,
}

impl Gpu {
    /// Opens the best adapter: discrete before integrated before software.
    ///
    /// # Errors
    /// If no adapter fits, or the device cannot be opened.
    pub fn open(options: &GpuOptions) -> Result<Arc<Self>, GpuError> {
        let descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
        Self::open_with(wgpu::Instance::new(descriptor), None, options)
    }

    /// As [`Self::open`], on an instance that the caller made, able to present to `surface`.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(
        instance: wgpu::Instance,
        surface: Option<&wgpu::Surface<'_>>,
        options: &GpuOptions,
    ) -> Result<Arc<Self>, GpuError> {
        let adapter = choose(&instance, surface, options.adapter.as_deref())?;
        let info = adapter.get_info();
        *lock(&OPENED) = Some(format!("{} ({:?}, {})", info.name, info.device_type, info.backend));
        let limits = if options.baseline {
            wgpu::Limits::defaults()
        } else {
            wanted_limits(&adapter.limits())
        };
        let mut features = wgpu::Features::empty();
        if options.timestamps && !options.baseline {
            features |= adapter.features() & wgpu::Features::TIMESTAMP_QUERY;
        }
        let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
            label: Some("vlmscope"),
            required_features: features,
            required_limits: limits.clone(),
            memory_hints: wgpu::MemoryHints::Manual {
                suballocated_device_memory_block_size: BLOCK_BYTES,
            },
            ..Default::default()
        }))
        .map_err(|error| GpuError::Device {
            adapter: info.name.clone(),
            reason: error.to_string(),
        })?;
        let reports = Arc::new(Reports::default());
        let lost = Arc::clone(&reports);
        device.set_device_lost_callback(move |reason, message| {
            let text = if message.is_empty() { format!("{reason:?}") } else { message };
            log::info!("the graphics device was lost ({reason:?}): {text}");
            lock(&lost.lost).get_or_insert(text);
        });
        let errors = Arc::clone(&reports);
        device.on_uncaptured_error(Arc::new(move |error| {
            let memory = matches!(error, wgpu::Error::OutOfMemory { .. });
            log::info!("graphics error: {error}");
            lock(&errors.errors).push((error.to_string(), memory));
        }));
        log::info!(
            "graphics: {} ({:?}, {:?}, {} {})",
            info.name,
            info.device_type,
            info.backend,
            info.driver,
            info.driver_info
        );
        let options = options.clone();
        let pipelines = Pipelines::new(info.device_type);
        Ok(Arc::new(Self {
            instance,
            adapter,
            device,
            queue,
            info,
            limits,
            options,
            reports,
            #[cfg(feature = "testing")]
            lose_at_submit: AtomicBool::new(false),
            pass_names: OnceLock::new(),
            pipelines,
        }))
    }

    /// Sets the names of all passes, so that an error of a whole frame names its pass.
    pub(super) fn name_passes(&self, names: &'static [&'static str]) {
        self.pass_names.get_or_init(|| names);
    }

    /// A fresh device with the same options, after this one was lost.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn reopen(&self) -> Result<Arc<Self>, GpuError> {
        Self::open_with(self.instance.clone(), None, &self.options)
    }

    /// The adapters of the system, best first, each with whether [`Self::open`] could choose it.
    pub fn adapters() -> Vec<(wgpu::AdapterInfo, bool)> {
        let descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
        let mut found: Vec<_> = enumerate(&wgpu::Instance::new(descriptor))
            .into_iter()
            .map(|adapter| (adapter.get_info(), is_usable(&adapter)))
            .collect();
        found.sort_by_key(|(info, is_usable)| (!is_usable, rank(info)));
        found
    }

    /// The adapter.
    pub fn info(&self) -> &wgpu::AdapterInfo {
        &self.info
    }

    /// The limits that were asked for and granted.
    pub fn limits(&self) -> &wgpu::Limits {
        &self.limits
    }

    /// Whether the adapter is a software renderer.
    pub fn is_software(&self) -> bool {
        self.info.device_type == wgpu::DeviceType::Cpu
    }

    /// Whether passes can be timed.
    pub fn has_timestamps(&self) -> bool {
        self.device.features().contains(wgpu::Features::TIMESTAMP_QUERY)
    }

    /// Whether the device was lost.
    pub fn is_lost(&self) -> bool {
        lock(&self.reports.lost).is_some()
    }

    /// Number of pipelines that were compiled.
    #[cfg(feature = "testing")]
    pub fn compiled_pipelines(&self) -> usize {
        self.pipelines.len()
    }

    /// Loses the device, as a driver reset would: for tests of the recovery.
    #[cfg(feature = "testing")]
    pub fn simulate_loss(&self) {
        self.device.destroy();
        // The callback runs while polling.
        let _ = self.device.poll(wgpu::PollType::Poll);
        lock(&self.reports.lost).get_or_insert_with(|| "it was given up on purpose".into());
    }

    /// Loses the device in the middle of the next frame, after its commands were recorded and before they are
    /// submitted: for tests of the recovery.
    #[cfg(feature = "testing")]
    pub fn simulate_loss_in_mid_frame(&self) {
        self.lose_at_submit.store(true, Ordering::Relaxed);
    }

    /// Submits recorded commands.
    pub(super) fn submit(&self, commands: wgpu::CommandBuffer) {
        #[cfg(feature = "testing")]
        if self.lose_at_submit.swap(false, Ordering::Relaxed) {
            self.simulate_loss();
        }
        self.queue.submit([commands]);
    }

    /// Waits until everything that was submitted is done.
    ///
    /// # Errors
    /// If the device was lost meanwhile.
    pub fn wait(&self) -> Result<(), GpuError> {
        // An error here means that the device was lost, which the check below reports.
        let _ = self.device.poll(wgpu::PollType::wait_indefinitely());
        self.check()
    }

    /// Errors that the device reported outside of any scope since the last call.
    ///
    /// # Errors
    /// The first of them, or that the device was lost.
    pub fn check(&self) -> Result<(), GpuError> {
        let adapter = || self.info.name.clone();
        if let Some(reason) = lock(&self.reports.lost).clone() {
            return Err(GpuError::Lost { adapter: adapter(), reason });
        }
        let first = lock(&self.reports.errors).drain(..).next();
        match first {
            None => Ok(()),
            Some((reason, memory)) => Err(self.error("frame", reason, memory)),
        }
    }

    /// Runs `build` in an error scope, so that its error names the pass.
    ///
    /// # Errors
    /// The error of the validation or of the driver.
    pub(super) fn scoped<T>(
        &self,
        pass: &str,
        build: impl FnOnce(&wgpu::Device) -> T,
    ) -> Result<T, GpuError> {
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let built = build(&self.device);
        let validation = pollster::block_on(validation.pop());
        let memory = pollster::block_on(memory.pop());
        if self.is_lost() {
            self.check()?;
        }
        match (memory, validation) {
            (None, None) => Ok(built),
            (Some(error), _) => Err(self.error(pass, error.to_string(), true)),
            (None, Some(error)) => Err(self.error(pass, error.to_string(), false)),
        }
    }

    fn error(&self, pass: &str, reason: String, memory: bool) -> GpuError {
        // A whole frame is one scope: its message names an object, and the object's label names the pass.
        let pass = if pass == "frame" {
            pass_in(&reason, self.pass_names.get().copied().unwrap_or_default())
        } else {
            pass.to_owned()
        };
        let adapter = self.info.name.clone();
        // Validation messages are a tree over many lines; an error is one paragraph.
        let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
        if memory {
            GpuError::OutOfMemory { pass, adapter, reason }
        } else {
            GpuError::Pass { pass, adapter, reason }
        }
    }
}

/// Every object has its pass as its label, and messages contain the label in quotation marks.
fn pass_in(message: &str, passes: &[&str]) -> String {
    let mut quoted = message.split(['\'', '`']).skip(1).step_by(2);
    let known = |label: &&str| passes.iter().any(|name| label.starts_with(name));
    quoted.find(known).unwrap_or("frame").to_owned()
}

fn enumerate(instance: &wgpu::Instance) -> Vec<wgpu::Adapter> {
    pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()))
}

/// An adapter below WebGPU's base cannot run the passes; it must rank below those that can.
fn is_usable(adapter: &wgpu::Adapter) -> bool {
    let base = wgpu::Limits::defaults().check_limits(&adapter.limits());
    base && adapter.get_downlevel_capabilities().is_webgpu_compliant()
}

/// Rank by type of device and backend; smaller is better.
fn rank(info: &wgpu::AdapterInfo) -> (u8, u8) {
    let kind = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    };
    (kind, u8::from(info.backend == wgpu::Backend::Gl))
}

fn choose(
    instance: &wgpu::Instance,
    surface: Option<&wgpu::Surface<'_>>,
    wanted: Option<&str>,
) -> Result<wgpu::Adapter, GpuError> {
    let all = enumerate(instance);
    let names: Vec<String> = all
        .iter()
        .map(|adapter| {
            let info = adapter.get_info();
            format!("{} ({:?}, {})", info.name, info.device_type, info.backend)
        })
        .collect();
    let found = if names.is_empty() { "none".to_owned() } else { names.join("; ") };
    let wanted_lower = wanted.map(str::to_lowercase);
    let best = all
        .into_iter()
        .filter(|adapter| surface.is_none_or(|surface| adapter.is_surface_supported(surface)))
        .filter(|adapter| {
            let name = adapter.get_info().name.to_lowercase();
            wanted_lower.as_ref().is_none_or(|wanted| name.contains(wanted.as_str()))
        })
        .filter(is_usable)
        .min_by_key(|adapter| rank(&adapter.get_info()));
    best.ok_or_else(|| GpuError::NoAdapter {
        reason: match wanted {
            Some(wanted) => {
                format!("no name contains `{wanted}`, or that adapter lacks basic WebGPU features")
            }
            None => "none has the basic WebGPU features (OpenGL alone often lacks them)".to_owned(),
        },
        found,
    })
}

/// The base, raised where the adapter offers more and the renderer can use it.
fn wanted_limits(offered: &wgpu::Limits) -> wgpu::Limits {
    let base = wgpu::Limits::defaults();
    wgpu::Limits {
        max_texture_dimension_2d: base
            .max_texture_dimension_2d
            .max(offered.max_texture_dimension_2d),
        max_storage_buffer_binding_size: base
            .max_storage_buffer_binding_size
            .max(offered.max_storage_buffer_binding_size),
        max_buffer_size: base.max_buffer_size.max(offered.max_buffer_size),
        ..base
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {

    #[test]
    fn a_message_names_its_pass() {
        let message = "In a CommandEncoder, label = 'frame'\n  In a set_bind_group command\n    \
                       BindGroup with 'composite' label is invalid";
        let pass_in = |message| super::pass_in(message, &["reduce", "composite"]);
        assert_eq!(pass_in(message), "composite");
        assert_eq!(pass_in("Buffer with 'reduce.planes' label is destroyed"), "reduce.planes");
        assert_eq!(pass_in("no label at all"), "frame");
    }
}
