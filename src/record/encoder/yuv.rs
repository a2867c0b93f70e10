//! RGBA → planar 4:2:0 in BT.709, limited range, as every player expects in an MP4.

use super::EncodeError;
use yuv::{
    YuvChromaSubsampling, YuvConversionMode, YuvPlanarImageMut, YuvRange, YuvStandardMatrix,
    rgba_to_yuv420,
};

/// The three planes of a frame.
pub(super) struct Planes {
    image: YuvPlanarImageMut<'static, u8>,
}

impl Planes {
    pub fn new([width, height]: [u32; 2]) -> Self {
        Self { image: YuvPlanarImageMut::alloc(width, height, YuvChromaSubsampling::Yuv420) }
    }

    /// Converts a frame whose rows are `stride` bytes apart.
    pub fn fill(&mut self, rgba: &[u8], stride: usize) -> Result<(), EncodeError> {
        rgba_to_yuv420(
            &mut self.image,
            rgba,
            stride as u32,
            YuvRange::Limited,
            YuvStandardMatrix::Bt709,
            YuvConversionMode::Balanced,
        )
        .map_err(|error| EncodeError::Codec { name: "the conversion", reason: error.to_string() })
    }

    /// Y, U, V.
    pub fn planes(&self) -> [&[u8]; 3] {
        [self.image.y_plane.borrow(), self.image.u_plane.borrow(), self.image.v_plane.borrow()]
    }

    /// Bytes from one row to the next in each plane.
    #[cfg(feature = "h264")]
    pub fn strides(&self) -> [usize; 3] {
        [self.image.y_stride, self.image.u_stride, self.image.v_stride].map(|side| side as usize)
    }
}
