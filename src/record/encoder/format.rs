//! The format of a film, and the trait of its encoders.

use super::part::EncodeError;
use std::path::Path;

/// Takes frames of one size one after the other. Dropping it unfinished removes what it wrote.
pub trait Encoder: Send {
    /// The next frame: RGBA, 8 bits sRGB, `stride` bytes from one row to the next.
    ///
    /// # Errors
    /// If the codec refuses it or it cannot be written.
    fn frame(&mut self, rgba: &[u8], stride: usize) -> Result<(), EncodeError>;

    /// Repeats the last frame.
    ///
    /// # Errors
    /// As [`Self::frame`].
    fn again(&mut self) -> Result<(), EncodeError>;

    /// Writes the rest and renames the file to the film's name.
    ///
    /// # Errors
    /// If it cannot be written.
    fn finish(self: Box<Self>) -> Result<(), EncodeError>;
}

/// Trade-off between picture quality and file size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Quality {
    /// Small files: a preview.
    Draft,
    /// No visible loss in motion.
    #[default]
    Standard,
    /// No visible loss in single frames.
    High,
}

/// Encoder of MP4 films.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum VideoEncoder {
    /// openh264 where it was built in, else ffmpeg.
    #[default]
    Auto,
    /// The openh264 that is built in.
    Openh264,
    /// An installed ffmpeg with libx264.
    Ffmpeg,
}

/// Parameters of a film.
#[derive(Clone, Debug)]
pub struct FilmFormat {
    /// Width and height in pixels.
    pub size: [u32; 2],
    /// Frames a second.
    pub fps: u32,
    /// Number of all frames.
    pub frames: u64,
    /// Picture quality.
    pub quality: Quality,
    /// Encoder of MP4 films.
    pub encoder: VideoEncoder,
}

/// Kind of film, by the ending of its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Container {
    /// .mp4
    #[default]
    Mp4,
    /// .gif
    Gif,
    /// A folder of PNG files: a name without an ending.
    PngSequence,
}

impl Container {
    /// Chooses by the ending of a name.
    ///
    /// # Errors
    /// If the ending is none of these.
    pub fn from_path(out: &Path) -> Result<Self, EncodeError> {
        let extension = out.extension().map(|ext| ext.to_string_lossy().to_lowercase());
        match extension.as_deref() {
            Some("mp4") => Ok(Self::Mp4),
            Some("gif") => Ok(Self::Gif),
            None => Ok(Self::PngSequence),
            Some(_) => Err(EncodeError::Unsuitable {
                reason: format!(
                    "{} ends in neither .mp4 nor .gif, and the name of a folder of PNG files must \
                    have no ending",
                    out.display()
                ),
            }),
        }
    }
}
