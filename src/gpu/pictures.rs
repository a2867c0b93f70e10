//! Pictures as textures with mip levels: preprocessed for the model, or as in the original file.

use super::context::Context;
use super::passes::mip;
use super::{FORMAT, GpuError};
use crate::analysis::density::Frame;
use crate::trace::{Trace, TraceId};

/// Key of a picture on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PictureKey {
    pub trace: TraceId,
    pub frame: Frame,
}

/// A picture on the device.
#[derive(Clone, Debug)]
pub(super) struct Loaded {
    key: PictureKey,
    pub view: wgpu::TextureView,
    /// Width of the texture.
    pub texture_width: u32,
    bytes: u64,
}

/// The pictures that were shown most recently.
#[derive(Debug, Default)]
pub(super) struct Pictures {
    /// Least recently used first.
    loaded: Vec<Loaded>,
}

/// Pictures that are kept whatever their size: two traces in two forms.
const FEWEST: usize = 4;

/// Bytes of further pictures that are kept: the frames of a video. A software adapter keeps them in the memory of the
/// process.
fn most_bytes(context: &Context) -> u64 {
    match context.gpu.info().device_type {
        wgpu::DeviceType::Cpu => 32 << 20,
        _ => 256 << 20,
    }
}

impl Pictures {
    /// The picture; decoded and uploaded on first use.
    pub fn get(
        &mut self,
        context: &Context,
        trace: &Trace,
        frame: Frame,
    ) -> Result<Loaded, GpuError> {
        let key = PictureKey { trace: trace.id(), frame };
        let found = self.loaded.iter().position(|loaded| loaded.key == key);
        let loaded = match found {
            Some(at) => self.loaded.remove(at),
            None => load(context, trace, key)?,
        };
        self.loaded.push(loaded.clone());
        let most = most_bytes(context);
        let bytes = |loaded: &[Loaded]| loaded.iter().map(|one| one.bytes).sum::<u64>();
        while self.loaded.len() > FEWEST && bytes(&self.loaded) > most {
            self.loaded.remove(0);
        }
        Ok(loaded)
    }
}

fn load(context: &Context, trace: &Trace, key: PictureKey) -> Result<Loaded, GpuError> {
    let (index, advice) = match key.frame {
        Frame::Canvas(index) => {
            (index, "The original picture may still work (--original, or picture form `original`).")
        }
        Frame::Original(index) => (
            index,
            "What the model saw may still work (picture form `preprocessed`, without --original).",
        ),
    };
    let failed = |reason: String| GpuError::Picture { picture: index, reason, advice };
    let index = index as usize;
    let mut pixels = match key.frame {
        Frame::Canvas(_) => {
            let picture =
                trace.canvas(index).ok_or_else(|| failed("the trace does not hold it".into()))?;
            let rgb =
                image::RgbImage::from_raw(picture.width, picture.height, picture.rgb.to_vec())
                    .ok_or_else(|| failed("its pixels do not fill its size".into()))?;
            image::DynamicImage::from(rgb).into_rgba8()
        }
        Frame::Original(_) => {
            let bytes = trace
                .picture_original(index)
                .ok_or_else(|| failed("the trace does not hold the original file".into()))?;
            image::load_from_memory(bytes).map_err(|error| failed(error.to_string()))?.into_rgba8()
        }
    };
    let size = [pixels.width(), pixels.height()];
    let limit = context.gpu.limits().max_texture_dimension_2d;
    let longest = size[0].max(size[1]);
    if size.contains(&0) {
        return Err(failed("it has no pixels".into()));
    }
    if longest > limit {
        let shrunk = |side: u32| (u64::from(side) * u64::from(limit) / u64::from(longest)).max(1);
        let [width, height] = size.map(|side| shrunk(side) as u32);
        pixels = image::imageops::thumbnail(&pixels, width, height);
    }
    let (width, height) = pixels.dimensions();
    let texture = context.gpu.scoped("picture", |device| {
        let texture = device.create_texture(&wgpu::TextureDescriptor {
            label: Some("picture"),
            size: wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
            mip_level_count: width.max(height).ilog2() + 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: FORMAT,
            usage: wgpu::TextureUsages::TEXTURE_BINDING
                | wgpu::TextureUsages::COPY_DST
                | wgpu::TextureUsages::RENDER_ATTACHMENT,
            view_formats: &[],
        });
        context.gpu.queue.write_texture(
            texture.as_image_copy(),
            &pixels,
            wgpu::TexelCopyBufferLayout {
                offset: 0,
                bytes_per_row: Some(width * 4),
                rows_per_image: None,
            },
            wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
        );
        texture
    })?;
    mip::fill(context, &texture)?;
    let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
    // A third more for the smaller levels.
    let bytes = u64::from(width) * u64::from(height) * 16 / 3;
    Ok(Loaded { key, view, texture_width: width, bytes })
}
