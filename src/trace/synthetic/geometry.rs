//! Sizes of synthetic traces.

/// The factor that keeps small weights out of f16's subnormals.
pub(super) const SCALE: f32 = 4096.0;

/// Sizes of a model and of one question to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Name of the model.
    pub name: String,
    /// Decoder layers.
    pub layers: u32,
    /// Query heads.
    pub heads: u32,
    /// Rows of patches.
    pub rows: u32,
    /// Columns of patches.
    pub columns: u32,
    /// Side of a square patch in pixels.
    pub patch_px: u32,
    /// Positions before the picture, BOS included.
    pub system_len: u32,
    /// Positions after the picture.
    pub question_len: u32,
    /// Generated ids, the stop id included.
    pub answer_len: u32,
}

impl Geometry {
    /// The names that [`Self::named`] accepts.
    pub const NAMES: &[&str] = &["llava-1.5-7b", "llava-1.5-13b", "long-context", "small"];

    /// A model's geometry by name; T is 640 for the LLaVA models, 4096 for `long-context`.
    pub fn named(name: &str) -> Option<Self> {
        let (layers, heads, side, patch_px, texts) = match name {
            "llava-1.5-7b" => (32, 32, 24, 14, [35, 20, 10]),
            "llava-1.5-13b" => (40, 40, 24, 14, [35, 20, 10]),
            "long-context" => (32, 32, 60, 14, [35, 430, 32]),
            "small" => (4, 6, 8, 14, [4, 6, 5]),
            _ => return None,
        };
        let [system_len, question_len, answer_len] = texts;
        Some(Self {
            name: name.to_owned(),
            layers,
            heads,
            rows: side,
            columns: side,
            patch_px,
            system_len,
            question_len,
            answer_len,
        })
    }

    /// N, the number of patches.
    pub const fn patches(&self) -> u32 {
        self.rows * self.columns
    }

    /// P, the number of prompt positions.
    pub const fn prompt_len(&self) -> u32 {
        self.system_len + self.patches() + self.question_len
    }

    /// T, the number of attention positions.
    pub const fn positions(&self) -> u32 {
        (self.prompt_len() + self.answer_len).saturating_sub(1)
    }
}
