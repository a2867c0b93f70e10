//! Shaders: WGSL text of a pass after the shared parts that it names.
//!
//! Everything is compiled in: a missing part is a compile error, never an empty shader.

use super::{Gpu, GpuError};

/// A shader: the text of its pass and of its shared parts, in order.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// Name of the pass, which is also the file's stem and the label of its objects.
    pub name: &'static str,
    parts: &'static [&'static str],
}

impl Source {
    pub(super) const fn new(name: &'static str, parts: &'static [&'static str]) -> Self {
        Self { name, parts }
    }

    /// The whole WGSL text.
    pub fn wgsl(&self) -> String {
        self.parts.join("\n")
    }

    /// Compiles it.
    ///
    /// # Errors
    /// The compiler's error, naming the pass.
    pub(super) fn module(&self, gpu: &Gpu) -> Result<wgpu::ShaderModule, GpuError> {
        gpu.scoped(self.name, |device| {
            device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: Some(self.name),
                source: wgpu::ShaderSource::Wgsl(self.wgsl().into()),
            })
        })
    }
}

pub(super) const GLOBALS: &str = include_str!("../../shaders/shared/globals.wgsl");
pub(super) const NORMALISED: &str = include_str!("../../shaders/shared/normalised.wgsl");

/// The [`Source`] of `shaders/NAME.wgsl`, after the shared parts that it names.
macro_rules! source {
    ($name:literal $(, $part:ident)*) => {
        $crate::gpu::shader::Source::new($name, &[
            $($crate::gpu::shader::$part,)*
            include_str!(concat!("../../../shaders/", $name, ".wgsl")),
        ])
    };
}
pub(super) use source;
