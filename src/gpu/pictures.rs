//! Pictures as textures with mip levels: preprocessed for the model, or as in the original file.

use super::context::Context;
use super::passes::mip;
use super::{FORMAT, GpuError};
use crate::analysis::density::Frame;
use crate::trace::{Trace, TraceId};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Key of a picture on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PictureKey {
    pub trace: TraceId,
    pub frame: Frame,
}

/// A picture on the device.
#[derive(Clone, Debug)]
pub(super) struct Loaded {
    pub view: wgpu::TextureView,
    /// Width of the texture.
    pub texture_width: u32,
    bytes: u64,
}

/// A picture that is kept.
#[derive(Debug)]
struct Kept {
    /// The traces that have it: several questions about a picture share its texture.
    keys: Vec<PictureKey>,
    /// Hash of its pixels.
    content: u64,
    loaded: Loaded,
}

/// The pictures that were shown most recently.
#[derive(Debug, Default)]
pub(super) struct Pictures {
    /// Least recently used first.
    kept: Vec<Kept>,
}

/// Traces of a picture that are remembered; those before are decoded again.
const MOST_KEYS: usize = 256;

/// Pictures that are kept whatever their size: two traces in two forms.
const FEWEST: usize = 4;

/// Bytes of further pictures that are kept: the frames of a video. A software adapter keeps them in the memory of the
/// process.
fn most_bytes(context: &Context) -> u64 {
    match context.gpu.info().device_type {
        wgpu::DeviceType::Cpu => 24 << 20,
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
        let found = self.kept.iter().position(|kept| kept.keys.contains(&key));
        let kept = match found {
            Some(at) => self.kept.remove(at),
            None => self.load(context, trace, key)?,
        };
        let loaded = kept.loaded.clone();
        self.kept.push(kept);
        let most = most_bytes(context);
        let bytes = |kept: &[Kept]| kept.iter().map(|one| one.loaded.bytes).sum::<u64>();
        while self.kept.len() > FEWEST && bytes(&self.kept) > most {
            self.kept.remove(0);
        }
        Ok(loaded)
    }

    /// The picture of a trace that was not asked for before; an equal one of another trace stands for it.
    fn load(
        &mut self,
        context: &Context,
        trace: &Trace,
        key: PictureKey,
    ) -> Result<Kept, GpuError> {
        let pixels = decode(context, trace, key)?;
        let mut hasher = DefaultHasher::new();
        (pixels.dimensions(), pixels.as_raw()).hash(&mut hasher);
        let content = hasher.finish();
        let Some(at) = self.kept.iter().position(|kept| kept.content == content) else {
            return Ok(Kept { keys: vec![key], content, loaded: upload(context, &pixels)? });
        };
        let mut kept = self.kept.remove(at);
        if kept.keys.len() == MOST_KEYS {
            kept.keys.remove(0);
        }
        kept.keys.push(key);
        Ok(kept)
    }
}

/// The pixels of a picture, no larger than a texture can be.
fn decode(context: &Context, trace: &Trace, key: PictureKey) -> Result<image::RgbaImage, GpuError> {
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
    Ok(pixels)
}

/// The texture of a picture with all mip levels.
fn upload(context: &Context, pixels: &image::RgbaImage) -> Result<Loaded, GpuError> {
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
            pixels,
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
    Ok(Loaded { view, texture_width: width, bytes })
}
