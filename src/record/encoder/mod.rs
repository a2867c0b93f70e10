//! Frames to a film: MP4, GIF, PNG sequence.
//!
//! The decision here: a film is written under a name that says it is not whole (NAME.part.mp4)
//! and renamed when it is. Cancelling or failing removes it; a killed program leaves a part that
//! can be played as far as it goes.

mod ffmpeg;
mod gif;
#[cfg(feature = "h264")]
mod mp4;
mod part;
mod png;
mod yuv;

pub use ffmpeg::ffmpeg_version;
pub use part::EncodeError;

use std::path::{Path, PathBuf};

/// Takes frames of one size one after the other. Dropping it unfinished removes what it wrote.
pub trait Encoder: Send {
    /// The next frame: RGBA, 8 bits sRGB, `stride` bytes from one row to the next.
    ///
    /// # Errors
    /// If the codec refuses it or it cannot be written.
    fn frame(&mut self, rgba: &[u8], stride: usize) -> Result<(), EncodeError>;

    /// The same frame once more.
    ///
    /// # Errors
    /// As [`Self::frame`].
    fn again(&mut self) -> Result<(), EncodeError>;

    /// Writes what is left and gives the film its name.
    ///
    /// # Errors
    /// If it cannot be written.
    fn finish(self: Box<Self>) -> Result<(), EncodeError>;
}

/// How good a film looks, and how large it becomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Quality {
    /// Small files: a preview.
    Draft,
    /// No loss that is seen in motion.
    #[default]
    Standard,
    /// No loss that is seen in a still.
    High,
}

/// Who encodes MP4.
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

/// What a film is.
#[derive(Clone, Debug)]
pub struct FilmFormat {
    /// Width and height in pixels.
    pub size: [u32; 2],
    /// Frames a second.
    pub fps: u32,
    /// Frames in all.
    pub frames: u64,
    /// How good it looks.
    pub quality: Quality,
    /// Who encodes MP4.
    pub encoder: VideoEncoder,
}

/// The kind of film that a name asks for.
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
    pub fn of(out: &Path) -> Result<Self, EncodeError> {
        let extension = out.extension().map(|ext| ext.to_string_lossy().to_lowercase());
        match extension.as_deref() {
            Some("mp4") => Ok(Self::Mp4),
            Some("gif") => Ok(Self::Gif),
            None => Ok(Self::PngSequence),
            Some(_) => Err(EncodeError::Unsuitable {
                reason: format!(
                    "{} ends in none of .mp4 and .gif, and a folder of PNG files has no ending",
                    out.display()
                ),
            }),
        }
    }
}

impl FilmFormat {
    /// Checks the format and opens the file.
    ///
    /// # Errors
    /// If the container cannot hold such a film, the encoder is missing, or nothing can be written
    /// there.
    pub fn open(&self, out: &Path) -> Result<Box<dyn Encoder>, EncodeError> {
        match Container::of(out)? {
            Container::Gif => Ok(Box::new(gif::Gif::open(self, out)?)),
            Container::PngSequence => Ok(Box::new(png::PngSequence::open(self, out)?)),
            Container::Mp4 => {
                self.check_h264()?;
                self.mp4(out)
            }
        }
    }

    /// Colours are halved in both directions; levels end at 4K.
    fn check_h264(&self) -> Result<(), EncodeError> {
        let [width, height] = self.size;
        let refuse = |reason: String| Err(EncodeError::Unsuitable { reason });
        if width % 2 != 0 || height % 2 != 0 {
            return refuse(format!(
                "H.264 needs an even width and height, not {width} × {height}; try {} × {}",
                width.next_multiple_of(2),
                height.next_multiple_of(2)
            ));
        }
        if width.max(height) > 3840 || width.min(height) > 2160 {
            return refuse(format!(
                "{width} × {height} is larger than H.264's 3840 × 2160; record a PNG sequence \
                 (a folder), or choose a smaller size"
            ));
        }
        Ok(())
    }

    #[cfg(feature = "h264")]
    fn mp4(&self, out: &Path) -> Result<Box<dyn Encoder>, EncodeError> {
        match self.encoder {
            VideoEncoder::Ffmpeg => Ok(Box::new(ffmpeg::Ffmpeg::open(self, out)?)),
            VideoEncoder::Auto | VideoEncoder::Openh264 => Ok(Box::new(mp4::Mp4::open(self, out)?)),
        }
    }

    #[cfg(not(feature = "h264"))]
    fn mp4(&self, out: &Path) -> Result<Box<dyn Encoder>, EncodeError> {
        match self.encoder {
            VideoEncoder::Auto | VideoEncoder::Ffmpeg => {
                Ok(Box::new(ffmpeg::Ffmpeg::open(self, out)?))
            }
            VideoEncoder::Openh264 => Err(EncodeError::Unsuitable {
                reason: "this vlmscope was built without openh264 (cargo feature `h264`); choose \
                         --encoder ffmpeg, a GIF or a PNG sequence"
                    .into(),
            }),
        }
    }
}

/// NAME.part.EXT beside NAME.EXT.
fn part_path(out: &Path) -> PathBuf {
    let mut name = out.file_stem().unwrap_or_default().to_owned();
    name.push(".part");
    if let Some(extension) = out.extension() {
        name.push(".");
        name.push(extension);
    }
    out.with_file_name(name)
}
