//! One pass, one file here and one `shaders/*.wgsl` of the same stem.
//!
//! In each file: the source of the shader, its structs, the pipelines, the instances of a frame. A
//! new pass is registered here: a module and a line of `passes!`.

pub mod composite;
pub mod crop;
pub mod cross_fade;
pub mod density;
pub mod difference;
pub mod fill_atlas;
pub mod lines;
pub mod matrix;
pub(super) mod mip;
pub mod normalise;
pub mod picture;
pub mod rects;
pub mod reduce;
pub mod text;
pub mod token_matrix;
pub mod wall;

use super::GpuError;
use super::context::Context;
use super::shader::Source;

macro_rules! passes {
    ($($name:ident: $pass:ident),+ $(,)?) => {
        /// All passes with their state between frames.
        #[derive(Debug)]
        pub(in crate::gpu) struct Passes {
            $(pub $name: $name::$pass,)+
            pub text: text::Text,
        }

        impl Passes {
            /// The layouts of all passes; pipelines are built on first use.
            pub fn new(context: &Context) -> Result<Self, GpuError> {
                Ok(Self {
                    $($name: $name::$pass::new(context)?,)+
                    text: text::Text::new(&context.gpu.device),
                })
            }
        }

        /// Every shader.
        pub const SOURCES: &[Source] = &[$($name::SOURCE,)+ mip::SOURCE];

        /// Names of all passes in labels, errors and timings. `figure` is the pass onto the target, which includes
        /// the draws of all quads.
        pub const NAMES: &[&str] = &[$(stringify!($name),)+ "mip", "text", "figure"];
    };
}

passes! {
    reduce: Reduce,
    difference: Difference,
    density: Density,
    normalise: Normalise,
    fill_atlas: FillAtlas,
    picture: Picture,
    composite: Composite,
    wall: Wall,
    matrix: Matrix,
    token_matrix: TokenMatrix,
    crop: Crop,
    lines: Lines,
    rects: Rects,
    cross_fade: CrossFade,
}
