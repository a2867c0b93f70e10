//! A folder of PNG files, one a frame: for editing programs, and for sizes that video codecs do not support.

use super::part::claim;
use super::{EncodeError, Encoder, FilmFormat};
use crate::files::Claim;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

pub(super) struct PngSequence {
    size: [u32; 2],
    out: PathBuf,
    /// The folder under its unfinished name.
    claim: Claim,
    digits: usize,
    written: u64,
    is_done: bool,
}

impl PngSequence {
    pub fn open(format: &FilmFormat, out: &Path) -> Result<Self, EncodeError> {
        let failed = |source| EncodeError::Write { path: out.to_owned(), source };
        if out.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(EncodeError::Unsuitable {
                reason: format!("{} is not empty; choose another name", out.display()),
            });
        }
        if out.exists() && !out.is_dir() {
            return Err(EncodeError::Unsuitable {
                reason: format!(
                    "{} is a file, but PNG files are written to a folder; choose another name, or \
                    one that ends in .mp4 or .gif",
                    out.display()
                ),
            });
        }
        let claim = claim(out)?;
        claim.create_folder().map_err(failed)?;
        let digits = format.frames.max(1).to_string().len().max(4);
        let (out, size) = (out.to_owned(), format.size);
        Ok(Self { size, out, claim, digits, written: 0, is_done: false })
    }

    fn name(&self, frame: u64) -> PathBuf {
        let digits = self.digits;
        self.claim.part().join(format!("{frame:0digits$}.png"))
    }

    fn failed(&self, source: io::Error) -> EncodeError {
        EncodeError::Write { path: self.out.clone(), source }
    }

    fn write(&self, rgba: &[u8], stride: usize) -> io::Result<()> {
        let [width, height] = self.size;
        let mut file = BufWriter::new(File::create(self.name(self.written))?);
        let mut encoder = png::Encoder::new(&mut file, width, height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::Fast);
        encoder.set_source_srgb(png::SrgbRenderingIntent::Perceptual);
        // Frames are opaque.
        let rgb: Vec<u8> = rgba
            .chunks_exact(stride)
            .flat_map(|row| row[..width as usize * 4].chunks_exact(4))
            .flat_map(|pixel| [pixel[0], pixel[1], pixel[2]])
            .collect();
        let mut writer = encoder.write_header().map_err(cause)?;
        writer.write_image_data(&rgb).map_err(cause)?;
        writer.finish().map_err(cause)?;
        file.flush()
    }
}

/// The system's error behind the encoder's error: its kind tells whether the disk is full.
fn cause(error: png::EncodingError) -> io::Error {
    match error {
        png::EncodingError::IoError(error) => error,
        other => io::Error::other(other),
    }
}

impl Encoder for PngSequence {
    fn frame(&mut self, rgba: &[u8], stride: usize) -> Result<(), EncodeError> {
        self.write(rgba, stride).map_err(|source| self.failed(source))?;
        self.written += 1;
        Ok(())
    }

    fn again(&mut self) -> Result<(), EncodeError> {
        let (from, to) = (self.name(self.written.saturating_sub(1)), self.name(self.written));
        // A hard link avoids storing equal bytes twice, if the file system supports links.
        std::fs::hard_link(&from, &to)
            .or_else(|_| std::fs::copy(&from, &to).map(|_| ()))
            .map_err(|source| self.failed(source))?;
        self.written += 1;
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), EncodeError> {
        let target = self.claim.target();
        if target.exists() {
            std::fs::remove_dir(target).map_err(|source| self.failed(source))?;
        }
        std::fs::rename(self.claim.part(), target).map_err(|source| self.failed(source))?;
        self.is_done = true;
        Ok(())
    }
}

impl Drop for PngSequence {
    fn drop(&mut self) {
        if !self.is_done {
            // Nothing more can be done about a folder that cannot be removed.
            let _ = std::fs::remove_dir_all(self.claim.part());
        }
    }
}
