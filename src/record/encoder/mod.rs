//! Frames to a film: MP4, GIF, PNG sequence.
//!
//! A film is written under the name of an unfinished one (NAME.part-RANDOM.mp4) and renamed when it is complete.
//! Cancelling or failing removes that file. A killed program leaves it: it can be played up to its last fragment, and
//! is removed when the same film is recorded again. An MP4 is therefore written in fragments, and rewritten as a
//! progressive file when it is complete.

mod ffmpeg;
mod format;
mod gif;
#[cfg(feature = "h264")]
mod mp4;
mod part;
mod png;
mod progressive;
mod yuv;

pub use ffmpeg::ffmpeg_version;
pub use format::{Container, Encoder, FilmFormat, Quality, VideoEncoder};
pub use part::EncodeError;

use std::path::Path;

impl FilmFormat {
    /// Checks the format and opens the file.
    ///
    /// # Errors
    /// If the container cannot hold such a film, the encoder is missing, or nothing can be written
    /// there.
    pub fn open(&self, out: &Path) -> Result<Box<dyn Encoder>, EncodeError> {
        match Container::from_path(out)? {
            Container::Gif => Ok(Box::new(gif::Gif::open(self, out)?)),
            Container::PngSequence => Ok(Box::new(png::PngSequence::open(self, out)?)),
            Container::Mp4 => {
                self.check_h264()?;
                self.mp4(out)
            }
        }
    }

    /// H.264 halves the resolution of colours, so sides must be even; levels end at 4K.
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
