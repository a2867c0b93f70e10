//! The painter of a window, shared by the window and by everything that draws textures for it.

use crate::gpu::{Gpu, Target};
use egui::TextureId;
use egui::mutex::{Mutex, RwLock, RwLockWriteGuard};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// egui's renderer on a device, and the opaque textures that the program draws for the window.
#[derive(Clone)]
pub struct WindowPainter {
    renderer: Arc<RwLock<egui_wgpu::Renderer>>,
    format: wgpu::TextureFormat,
    textures: Arc<Mutex<Textures>>,
}

#[derive(Default)]
struct Textures {
    shown: HashMap<TextureId, wgpu::Texture>,
    /// Those with new content since the window was last painted.
    redrawn: HashSet<TextureId>,
}

impl WindowPainter {
    /// A painter of a device, for targets of a format without sRGB encoding.
    pub fn new(gpu: &Gpu, format: wgpu::TextureFormat) -> Self {
        let options = egui_wgpu::RendererOptions { dithering: false, ..Default::default() };
        let renderer = egui_wgpu::Renderer::new(&gpu.device, format, options);
        Self { renderer: Arc::new(RwLock::new(renderer)), format, textures: Arc::default() }
    }

    /// The format of the window, without sRGB encoding.
    pub const fn format(&self) -> wgpu::TextureFormat {
        self.format
    }

    /// The format of targets whose bytes can be copied to the window, where the window has 8 bits a channel.
    pub fn target_format(&self) -> wgpu::TextureFormat {
        match self.format {
            wgpu::TextureFormat::Bgra8Unorm | wgpu::TextureFormat::Rgba8Unorm => {
                self.format.add_srgb_suffix()
            }
            _ => crate::gpu::FORMAT,
        }
    }

    /// egui's renderer, for itself.
    pub fn write(&self) -> RwLockWriteGuard<'_, egui_wgpu::Renderer> {
        self.renderer.write()
    }

    /// egui's renderer, for those who share it.
    pub fn renderer(&self) -> Arc<RwLock<egui_wgpu::Renderer>> {
        Arc::clone(&self.renderer)
    }

    /// Makes an opaque target a texture of egui; with `id`, in place of the one that the texture had before. `None` while
    /// the target is empty.
    pub fn show(
        &self,
        gpu: &Gpu,
        target: &Target,
        filter: wgpu::FilterMode,
        id: Option<TextureId>,
    ) -> Option<TextureId> {
        let (view, texture) = (target.gamma_view()?, target.texture()?.clone());
        let mut renderer = self.renderer.write();
        let id = match id {
            Some(id) => {
                renderer.update_egui_texture_from_wgpu_texture(&gpu.device, &view, filter, id);
                id
            }
            None => renderer.register_native_texture(&gpu.device, &view, filter),
        };
        let mut textures = self.textures.lock();
        textures.shown.insert(id, texture);
        textures.redrawn.insert(id);
        Some(id)
    }

    /// The content of a texture is new: whatever shows it is painted again.
    pub fn redrawn(&self, id: TextureId) {
        self.textures.lock().redrawn.insert(id);
    }

    /// Ends what [`Self::show`] began.
    pub fn free(&self, id: TextureId) {
        self.renderer.write().free_texture(&id);
        self.textures.lock().shown.remove(&id);
    }

    /// The textures with new content since the last call.
    pub(super) fn take_redrawn(&self) -> HashSet<TextureId> {
        std::mem::take(&mut self.textures.lock().redrawn)
    }

    /// The opaque textures that are shown.
    pub(super) fn shown(&self) -> HashMap<TextureId, wgpu::Texture> {
        self.textures.lock().shown.clone()
    }
}
