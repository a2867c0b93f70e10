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

/// Pipelines of a kind that a device keeps. A frame needs about twenty; there are hundreds of combinations of modes and
/// formats, and each takes 1.5 MB of the process's memory on a software adapter.
fn most_pipelines(device_type: wgpu::DeviceType) -> usize {
    match device_type {
        wgpu::DeviceType::Cpu => 40,
        _ => 128,
    }
}

/// Pipelines by their key, with the time of their last use.
#[derive(Debug)]
struct Kept<Pipeline> {
    most: usize,
    built: HashMap<PipelineKey, (Pipeline, u64)>,
    uses: u64,
}

impl<Pipeline: Clone> Kept<Pipeline> {
    fn new(most: usize) -> Self {
        Self { most, built: HashMap::new(), uses: 0 }
    }

    fn get(&mut self, key: &PipelineKey) -> Option<Pipeline> {
        self.uses += 1;
        let (found, last_used) = self.built.get_mut(key)?;
        *last_used = self.uses;
        Some(found.clone())
    }

    /// Keeps a pipeline in place of the one that was not used for the longest time. One that another thread built
    /// meanwhile stays.
    fn insert(&mut self, key: PipelineKey, new: Pipeline) -> Pipeline {
        if let Some(found) = self.get(&key) {
            return found;
        }
        if self.built.len() >= self.most {
            let oldest = self.built.iter().min_by_key(|(_, (_, last_used))| *last_used);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.built.remove(&oldest);
            }
        }
        self.built.insert(key, (new.clone(), self.uses));
        new
    }
}

/// The pipelines of a device that were used last. Renderers share them: a window has several, and compiling every pass
/// again for each costs a software adapter tens of megabytes and tenths of a second.
#[derive(Debug)]
pub(super) struct Pipelines {
    drawing: Mutex<Kept<wgpu::RenderPipeline>>,
    compute: Mutex<Kept<wgpu::ComputePipeline>>,
}

impl Pipelines {
    pub fn new(device_type: wgpu::DeviceType) -> Self {
        let most = most_pipelines(device_type);
        Self { drawing: Mutex::new(Kept::new(most)), compute: Mutex::new(Kept::new(most)) }
    }

    /// The drawing pipeline of `key`, which `build` builds if it is not kept.
    pub fn drawing(
        &self,
        key: PipelineKey,
        build: impl FnOnce() -> Result<wgpu::RenderPipeline, GpuError>,
    ) -> Result<wgpu::RenderPipeline, GpuError> {
        shared(&self.drawing, key, build)
    }

    /// The compute pipeline of `key`, which `build` builds if it is not kept.
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
        lock(&self.drawing).built.len() + lock(&self.compute).built.len()
    }
}

/// Nothing is locked while a pipeline is built.
fn shared<Pipeline: Clone>(
    kept: &Mutex<Kept<Pipeline>>,
    key: PipelineKey,
    build: impl FnOnce() -> Result<Pipeline, GpuError>,
) -> Result<Pipeline, GpuError> {
    if let Some(found) = lock(kept).get(&key) {
        return Ok(found);
    }
    let new = build()?;
    Ok(lock(kept).insert(key, new))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pipelines_that_were_used_last_are_kept() {
        const MOST: usize = 64;
        let mut kept = Kept::new(MOST);
        let key = |mode: usize| PipelineKey::new("test", "fs", None, &[("mode", mode as f64)]);
        for mode in 0..10 * MOST {
            assert_eq!(kept.get(&key(mode)), None);
            assert_eq!(kept.insert(key(mode), mode), mode);
            // Used at every frame.
            assert_eq!(kept.get(&key(0)), Some(0));
        }
        assert_eq!(kept.built.len(), MOST);
        assert_eq!(kept.get(&key(10 * MOST - 1)), Some(10 * MOST - 1));
        assert_eq!(kept.get(&key(1)), None);
        assert_eq!(kept.insert(key(0), 7), 0, "the one that another thread built stays");
    }
}
