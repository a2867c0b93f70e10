//! A device, traces of any shape, and short ways to draw them.

use half::f16;
use std::sync::{Arc, OnceLock};
use vlmscope::gpu::{FrameStats, Gpu, GpuOptions, Renderer, RendererOptions, Scene, Target};
use vlmscope::trace::{
    Affine, AnswerToken, ImageSpan, ModelInfo, PreprocessInfo, PreprocessMode, Query, Rect,
    Sampling, Timings, TokenInfo, TokenKind, Trace, TraceBuilder, TraceMeta,
};
use vlmscope::view::{AxisSet, Caption, MapChoice, MapSource, PatchGrid, Queries, ViewState};

/// One device for all tests, with default limits; its name is printed so that a log shows what ran.
pub fn gpu() -> Arc<Gpu> {
    static GPU: OnceLock<Arc<Gpu>> = OnceLock::new();
    Arc::clone(GPU.get_or_init(|| {
        let options = GpuOptions { baseline: true, ..GpuOptions::default() };
        let gpu = Gpu::open(&options)
            .expect("the tests need a Vulkan adapter: apt install mesa-vulkan-drivers");
        assert!(!gpu.info().name.is_empty(), "an adapter without a name");
        assert_eq!(gpu.limits(), &wgpu::Limits::defaults());
        assert_eq!(gpu.device.features(), wgpu::Features::empty());
        eprintln!("adapter: {} ({})", gpu.info().name, gpu.info().driver_info);
        gpu
    }))
}

pub fn renderer() -> Renderer {
    Renderer::new(gpu(), RendererOptions::offscreen()).unwrap()
}

/// A repeatable stream of numbers (xorshift64*).
pub struct Random(pub u64);

impl Random {
    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1 << 24) as f32
    }
}

/// The shape of a trace under test.
#[derive(Clone, Debug)]
pub struct Shape {
    pub layers: u32,
    pub heads: u32,
    /// Text positions before the first picture.
    pub before: u32,
    /// Rows and columns of patches of every span.
    pub grids: Vec<[u32; 2]>,
    /// Text positions after the last picture.
    pub after: u32,
    /// Generated ids.
    pub answer: u32,
    pub mode: PreprocessMode,
    pub original: [u32; 2],
    /// Side of the preprocessed picture.
    pub side: [u32; 2],
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            layers: 3,
            heads: 4,
            before: 3,
            grids: vec![[4, 4]],
            after: 5,
            answer: 4,
            mode: PreprocessMode::Resize,
            original: [64, 64],
            side: [64, 64],
        }
    }
}

pub const SCALE: f32 = 4096.0;

impl Shape {
    pub fn patches(&self) -> u32 {
        self.grids.iter().map(|[rows, columns]| rows * columns).sum()
    }

    pub fn prompt(&self) -> u32 {
        self.before + self.patches() + self.after
    }

    pub fn positions(&self) -> u32 {
        self.prompt() + self.answer - 1
    }

    /// From pixels of the preprocessed picture to pixels of the original.
    pub fn affine(&self) -> Affine {
        let [w, h] = self.original.map(f64::from);
        let [sw, sh] = self.side.map(f64::from);
        match self.mode {
            PreprocessMode::Resize => Affine::scale_offset([w / sw, h / sh], [0.0, 0.0]),
            PreprocessMode::Default => {
                let scale = (w / sw).min(h / sh);
                let offset = [(w - sw * scale) / 2.0, (h - sh * scale) / 2.0];
                Affine::scale_offset([scale, scale], offset)
            }
            PreprocessMode::Pad => {
                let scale = (w / sw).max(h / sh);
                let offset = [(w - sw * scale) / 2.0, (h - sh * scale) / 2.0];
                Affine::scale_offset([scale, scale], offset)
            }
        }
    }

    fn meta(&self) -> TraceMeta {
        let token =
            |id, text: &str, kind| TokenInfo { id, text: text.into(), kind, turn: 0, word: None };
        let mut tokens = vec![token(1, "<s>", TokenKind::Special)];
        tokens.extend((1..self.before).map(|i| token(i, "▁system", TokenKind::System)));
        tokens.truncate(self.before as usize);
        tokens.extend((0..self.patches()).map(|_| token(2, "<image>", TokenKind::Image)));
        tokens.extend((0..self.after).map(|i| token(i, "▁word", TokenKind::Question)));
        let mut first = self.before;
        let count = self.grids.len() as f64;
        let spans = self.grids.iter().enumerate().map(|(at, &[rows, columns])| {
            // Several spans lie side by side on one picture.
            let width = f64::from(self.side[0]) / count;
            let rect =
                Rect { x: width * at as f64, y: 0.0, width, height: f64::from(self.side[1]) };
            let span = ImageSpan {
                picture: 0,
                first,
                rows,
                columns,
                preprocessed_rect: rect,
                original_from_preprocessed: self.affine(),
                ..ImageSpan::default()
            };
            first += rows * columns;
            span
        });
        TraceMeta {
            format_version: "1.0".into(),
            model: ModelInfo {
                name: "test".into(),
                layers: self.layers,
                heads: self.heads,
                kv_heads: self.heads,
                ..ModelInfo::default()
            },
            question: "what is this?".into(),
            answer: String::new(),
            sampling: Sampling::default(),
            prompt_len: self.prompt(),
            spans: spans.collect(),
            tokens,
            preprocess: vec![PreprocessInfo {
                mode: self.mode.into(),
                original_size: self.original,
                preprocessed_size: self.side,
                file_name: "test.png".into(),
                ..PreprocessInfo::default()
            }],
            attention_scale: SCALE,
            timings: Timings::default(),
            ..TraceMeta::default()
        }
    }

    /// A trace of the answer rows whose stored weight (times the scale) is
    /// `weight(query, layer, head, key)`; `picture` colours the pixels.
    pub fn trace_of(
        &self,
        weight: impl FnMut(u32, u32, u32, u32) -> f16,
        picture: impl Fn(u32, u32) -> [u8; 3],
    ) -> Trace {
        self.builder(self.answer, weight, picture).snapshot("an answer").unwrap()
    }

    /// As [`Self::trace_of`], with only the first `generated` ids of the answer.
    pub fn builder(
        &self,
        generated: u32,
        mut weight: impl FnMut(u32, u32, u32, u32) -> f16,
        picture: impl Fn(u32, u32) -> [u8; 3],
    ) -> TraceBuilder {
        let mut builder = TraceBuilder::new(self.meta());
        let [width, height] = self.side;
        let rgb: Vec<u8> = (0..height)
            .flat_map(|y| (0..width).map(move |x| (x, y)))
            .flat_map(|(x, y)| picture(x, y))
            .collect();
        let mut original = std::io::Cursor::new(Vec::new());
        image::RgbImage::from_fn(self.original[0], self.original[1], |x, y| {
            image::Rgb(picture(x, y))
        })
        .write_to(&mut original, image::ImageFormat::Png)
        .unwrap();
        builder.add_picture(0, original.get_ref(), self.side, &rgb).unwrap();
        for i in 0..generated {
            let query = self.prompt() - 1 + i;
            let keys = query + 1;
            let mut page = Vec::new();
            for layer in 0..self.layers {
                for head in 0..self.heads {
                    page.extend((0..keys).map(|key| weight(query, layer, head, key)));
                }
            }
            let stats = self.stats(&page, keys as usize);
            builder.push_page(Query(query), keys as usize, page.into(), stats.into()).unwrap();
            builder.push_token(AnswerToken {
                token: TokenInfo {
                    id: 7,
                    text: "▁fox".into(),
                    kind: TokenKind::Answer,
                    turn: 0,
                    word: Some(i),
                },
                logprob: -0.5,
                topk: vec![(7, -0.5)],
            });
        }
        builder
    }

    fn stats(&self, page: &[f16], keys: usize) -> Vec<f32> {
        let patches = self.before as usize..(self.before + self.patches()) as usize;
        page.chunks_exact(keys)
            .flat_map(|row| {
                let image = row[patches.clone()].iter().map(|w| w.to_f32() / SCALE);
                let sum: f32 = image.clone().sum();
                let max = image.clone().fold(0.0, f32::max);
                let argmax = image.clone().position(|w| w == max).unwrap_or(0) as f32;
                let entropy: f32 = image
                    .filter(|w| *w > 0.0 && sum > 0.0)
                    .map(|w| -(w / sum) * (w / sum).ln())
                    .sum();
                [sum, 0.25, max, entropy, argmax]
            })
            .collect()
    }

    /// Attention as a softmax gives it: BOS takes much, the rest falls where it may.
    pub fn random_trace(&self, seed: u64) -> Trace {
        let mut random = Random(seed | 1);
        self.trace_of(
            |_, _, _, key| {
                let share = if key == 0 { 0.4 } else { random.unit().powi(6) * 0.05 };
                f16::from_f32(share * SCALE)
            },
            gradient,
        )
    }
}

/// A picture whose every pixel differs from its neighbours.
pub fn gradient(x: u32, y: u32) -> [u8; 3] {
    [(x * 37 % 251) as u8, (y * 53 % 241) as u8, ((x + y) * 11 % 239) as u8]
}

/// A state without caption, legend and grid: the stage is the whole target.
pub fn plain_state() -> ViewState {
    ViewState {
        legend: false,
        caption: Caption { show: false, text: None },
        grid: PatchGrid::Off,
        map: MapChoice {
            source: MapSource::Attention,
            layers: AxisSet::single(1),
            heads: AxisSet::single(2),
            head_set: None,
            queries: Queries::answer(0),
        },
        ..ViewState::default()
    }
}

pub fn draw(
    renderer: &mut Renderer,
    state: &ViewState,
    trace: &Trace,
    size: [u32; 2],
) -> (image::RgbaImage, FrameStats) {
    let target = Target::offscreen(renderer.gpu(), size).unwrap();
    let stats = renderer.frame(&Scene::new(state, trace), &target).unwrap();
    assert!(stats.is_complete());
    (target.read(renderer.gpu()).unwrap(), stats)
}
