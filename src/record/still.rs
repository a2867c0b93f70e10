//! One frame as PNG.

use image::RgbaImage;
use std::borrow::Cow;

/// A frame could not be encoded.
#[derive(Debug, thiserror::Error)]
#[error("cannot encode the figure as PNG: {source}")]
pub struct StillError {
    /// Error of the encoder.
    #[from]
    source: png::EncodingError,
}

/// Provenance of a figure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// The command line that draws the figure.
    pub command: String,
    /// The view state as TOML.
    pub state: String,
    /// Caption of the figure.
    pub caption: String,
    /// Shares of the attention on the picture and on padding, see [`crate::view::figure::Readout::shares_as_lines`].
    pub shares: String,
}

/// An argument, quoted for a shell.
pub fn shell_quoted(argument: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !argument.is_empty() && argument.chars().all(is_plain) {
        argument.to_owned()
    } else {
        format!("'{}'", argument.replace('\'', r"'\''"))
    }
}

/// A frame as PNG, with its provenance as text that any viewer of metadata shows.
///
/// # Errors
/// If the encoder refuses (a size of 0).
pub fn png_bytes(frame: &RgbaImage, provenance: &Provenance) -> Result<Vec<u8>, StillError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, frame.width(), frame.height());
    // Figures are opaque; without alpha they are a quarter smaller and every program shows them.
    let opaque = frame.pixels().all(|pixel| pixel.0[3] == u8::MAX);
    encoder.set_color(if opaque { png::ColorType::Rgb } else { png::ColorType::Rgba });
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    encoder.set_source_srgb(png::SrgbRenderingIntent::Perceptual);
    encoder.add_itxt_chunk(
        "Software".into(),
        concat!("vlmscope ", env!("CARGO_PKG_VERSION")).into(),
    )?;
    for (key, text) in [
        ("Description", &provenance.caption),
        ("vlmscope command", &provenance.command),
        ("vlmscope state", &provenance.state),
        ("vlmscope shares", &provenance.shares),
    ] {
        if !text.is_empty() {
            encoder.add_itxt_chunk(key.into(), text.clone())?;
        }
    }
    let mut writer = encoder.write_header()?;
    let pixels: Cow<'_, [u8]> = if opaque {
        Cow::Owned(frame.pixels().flat_map(|pixel| [pixel.0[0], pixel.0[1], pixel.0[2]]).collect())
    } else {
        Cow::Borrowed(frame.as_raw())
    };
    writer.write_image_data(&pixels)?;
    writer.finish()?;
    Ok(bytes)
}
