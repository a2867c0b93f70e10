//! Targets of frames: an offscreen texture, or one of a window or the recorder.
//!
//! All of them take the same path. Colours are blended in linear light and stored as sRGB, so a
//! target always has an sRGB format; egui, which blends in gamma, gets a second view of the bytes.

use super::{Gpu, GpuError};

/// The format of offscreen targets.
pub const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba8UnormSrgb;

/// A texture to draw into.
#[derive(Debug)]
pub struct Target {
    size: [u32; 2],
    format: wgpu::TextureFormat,
    /// `None` while the size has a zero in it: a minimised window.
    texture: Option<(wgpu::Texture, wgpu::TextureView)>,
    /// A view without sRGB decoding, where the texture was made for one.
    gamma: Option<wgpu::TextureView>,
}

impl Target {
    /// An offscreen target of width × height pixels. A zero is allowed: then nothing is drawn.
    ///
    /// # Errors
    /// If it is larger than the adapter allows, or its memory is full.
    pub fn offscreen(gpu: &Gpu, size: [u32; 2]) -> Result<Self, GpuError> {
        Self::offscreen_in(gpu, size, FORMAT)
    }

    /// The same in an sRGB format: that of a window, so that the bytes can be copied to it.
    ///
    /// # Errors
    /// As [`Self::offscreen`].
    pub fn offscreen_in(
        gpu: &Gpu,
        size: [u32; 2],
        format: wgpu::TextureFormat,
    ) -> Result<Self, GpuError> {
        let texture = if size.contains(&0) { None } else { Some(create(gpu, size, format)?) };
        let mut target = Self { size, format, texture, gamma: None };
        target.gamma = target.gamma_view();
        Ok(target)
    }

    /// A texture that was made elsewhere (a surface's); its format should be sRGB.
    #[cfg(feature = "testing")]
    pub fn from_texture(texture: wgpu::Texture) -> Self {
        let format = texture.format().add_srgb_suffix();
        let view = texture.create_view(&wgpu::TextureViewDescriptor {
            format: Some(format),
            ..Default::default()
        });
        let size = [texture.width(), texture.height()];
        Self { size, format, texture: Some((texture, view)), gamma: None }
    }

    /// Width and height in pixels.
    pub const fn size(&self) -> [u32; 2] {
        self.size
    }

    /// The format that passes draw with.
    pub const fn format(&self) -> wgpu::TextureFormat {
        self.format
    }

    /// The view that passes draw into; `None` for an empty target.
    pub fn view(&self) -> Option<&wgpu::TextureView> {
        self.texture.as_ref().map(|(_, view)| view)
    }

    /// The view and format that text is drawn with: without sRGB decoding if that is possible.
    pub fn text_view(&self) -> Option<(&wgpu::TextureView, wgpu::TextureFormat)> {
        match &self.gamma {
            Some(view) => Some((view, self.format.remove_srgb_suffix())),
            None => self.view().map(|view| (view, self.format)),
        }
    }

    /// The texture; `None` for an empty target.
    pub fn texture(&self) -> Option<&wgpu::Texture> {
        self.texture.as_ref().map(|(texture, _)| texture)
    }

    /// A view of the stored bytes without sRGB decoding, as egui expects.
    pub fn gamma_view(&self) -> Option<wgpu::TextureView> {
        self.texture().map(|texture| {
            texture.create_view(&wgpu::TextureViewDescriptor {
                label: Some("target.gamma"),
                format: Some(self.format.remove_srgb_suffix()),
                ..Default::default()
            })
        })
    }

    /// Changes the size of an offscreen target; nothing happens if it is the same.
    ///
    /// # Errors
    /// As [`Self::offscreen`].
    pub fn resize(&mut self, gpu: &Gpu, size: [u32; 2]) -> Result<(), GpuError> {
        if size != self.size {
            *self = Self::offscreen_in(gpu, size, self.format)?;
        }
        Ok(())
    }

    /// Copies the frame back, RGBA, 8 bits sRGB. Waits for the device.
    ///
    /// # Errors
    /// If the device is lost or the copy fails.
    pub fn read(&self, gpu: &Gpu) -> Result<image::RgbaImage, GpuError> {
        let [width, height] = self.size;
        let Some(texture) = self.texture() else {
            return Ok(image::RgbaImage::new(width, height));
        };
        let stride = (width * 4).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT);
        let bytes = super::readback::read_texture(gpu, texture, stride)?;
        let swap = matches!(self.format, wgpu::TextureFormat::Bgra8UnormSrgb);
        let mut pixels = Vec::with_capacity(width as usize * height as usize * 4);
        for row in bytes.chunks_exact(stride as usize) {
            pixels.extend_from_slice(&row[..width as usize * 4]);
        }
        if swap {
            pixels.chunks_exact_mut(4).for_each(|pixel| pixel.swap(0, 2));
        }
        image::RgbaImage::from_raw(width, height, pixels).ok_or_else(|| GpuError::ReadBack {
            adapter: gpu.info().name.clone(),
            reason: "the copy is shorter than the picture".into(),
        })
    }
}

fn create(
    gpu: &Gpu,
    size: [u32; 2],
    format: wgpu::TextureFormat,
) -> Result<(wgpu::Texture, wgpu::TextureView), GpuError> {
    let [width, height] = size;
    let limit = gpu.limits().max_texture_dimension_2d;
    if width.max(height) > limit {
        return Err(GpuError::TooLarge {
            what: format!("a figure of {width} × {height} pixels"),
            needed: u64::from(width.max(height)),
            limit: u64::from(limit),
            adapter: gpu.info().name.clone(),
            advice: "Choose a smaller size.",
        });
    }
    gpu.scoped("target", |device| {
        let texture = device.create_texture(&wgpu::TextureDescriptor {
            label: Some("target"),
            size: wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT
                | wgpu::TextureUsages::COPY_SRC
                | wgpu::TextureUsages::TEXTURE_BINDING,
            view_formats: &[format.remove_srgb_suffix()],
        });
        let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
        (texture, view)
    })
}
