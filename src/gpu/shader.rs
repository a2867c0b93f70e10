//! The shaders, put together from a pass and the shared parts that it names.
//!
//! Everything is compiled in: a missing part is a compile error, never an empty shader.

use super::{Gpu, GpuError};

/// A shader: its pass and its parts in order.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// The pass: also the file's stem and the label of everything that it makes.
    pub name: &'static str,
    parts: &'static [&'static str],
}

impl Source {
    /// The whole WGSL text.
    pub fn wgsl(&self) -> String {
        self.parts.join("\n")
    }

    /// Compiles it.
    ///
    /// # Errors
    /// What the compiler says, naming the pass.
    pub(super) fn module(&self, gpu: &Gpu) -> Result<wgpu::ShaderModule, GpuError> {
        gpu.scoped(self.name, |device| {
            device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: Some(self.name),
                source: wgpu::ShaderSource::Wgsl(self.wgsl().into()),
            })
        })
    }
}

const GLOBALS: &str = include_str!("../../shaders/shared/globals.wgsl");
const NORMALISED: &str = include_str!("../../shaders/shared/normalised.wgsl");

macro_rules! sources {
    ($($constant:ident = $name:literal $([$($part:ident),*])?;)+) => {
        $(
            #[doc = concat!("`shaders/", $name, ".wgsl`.")]
            pub const $constant: Source = Source {
                name: $name,
                parts: &[
                    $($($part,)*)?
                    include_str!(concat!("../../shaders/", $name, ".wgsl")),
                ],
            };
        )+
        /// Every shader.
        pub const ALL: &[Source] = &[$($constant),+];
    };
}

sources! {
    REDUCE = "reduce";
    DIFFERENCE = "difference";
    NORMALISE = "normalise" [NORMALISED];
    SPREAD = "fill_atlas" [NORMALISED];
    PICTURE = "picture" [GLOBALS];
    COMPOSITE = "composite" [GLOBALS];
    WALL = "wall" [GLOBALS];
    MATRIX = "matrix" [GLOBALS];
    TOKEN_MATRIX = "token_matrix" [GLOBALS, NORMALISED];
    RECTS = "rects" [GLOBALS];
    MIP = "mip";
    CROSS_FADE = "cross_fade" [GLOBALS];
}
