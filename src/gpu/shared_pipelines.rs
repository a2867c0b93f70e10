//! The compiled passes of a device, which all of its renderers share.

use super::GpuError;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The differences between the pipelines of a device.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct PipelineKey {
    /// Name of the pass; a pass has one layout.
    pub pass: &'static str,
    /// Entry point of the compute or the fragment shader.
    pub entry: &'static str,
    /// Format of the target, if it draws.
    pub format: Option<wgpu::TextureFormat>,
    /// Bits of the shader's constants by name.
    constants: Vec<(&'static str, u64)>,
}

impl PipelineKey {
    pub fn new(
        pass: &'static str,
        entry: &'static str,
        format: Option<wgpu::TextureFormat>,
        constants: &[(&'static str, f64)],
    ) -> Self {
        let constants = constants.iter().map(|&(name, value)| (name, value.to_bits())).collect();
        Self { pass, entry, format, constants }
    }
}

/// All pipelines of a device. Renderers share them: a window has several, and compiling every pass again for each costs
/// a software adapter tens of megabytes and tenths of a second.
#[derive(Debug, Default)]
pub(super) struct Pipelines {
    drawing: Mutex<HashMap<PipelineKey, wgpu::RenderPipeline>>,
    compute: Mutex<HashMap<PipelineKey, wgpu::ComputePipeline>>,
}

impl Pipelines {
    /// The drawing pipeline of `key`, which `build` builds on first use.
    pub fn drawing(
        &self,
        key: PipelineKey,
        build: impl FnOnce() -> Result<wgpu::RenderPipeline, GpuError>,
    ) -> Result<wgpu::RenderPipeline, GpuError> {
        shared(&self.drawing, key, build)
    }

    /// The compute pipeline of `key`, which `build` builds on first use.
    pub fn compute(
        &self,
        key: PipelineKey,
        build: impl FnOnce() -> Result<wgpu::ComputePipeline, GpuError>,
    ) -> Result<wgpu::ComputePipeline, GpuError> {
        shared(&self.compute, key, build)
    }

    /// Number of pipelines.
    #[cfg(feature = "testing")]
    pub fn len(&self) -> usize {
        lock(&self.drawing).len() + lock(&self.compute).len()
    }
}

/// The map is not locked while a pipeline is built; if two threads build the same one, the first stays.
fn shared<Pipeline: Clone>(
    built: &Mutex<HashMap<PipelineKey, Pipeline>>,
    key: PipelineKey,
    build: impl FnOnce() -> Result<Pipeline, GpuError>,
) -> Result<Pipeline, GpuError> {
    if let Some(found) = lock(built).get(&key) {
        return Ok(found.clone());
    }
    let new = build()?;
    Ok(lock(built).entry(key).or_insert(new).clone())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
