//! Animated GIF: each frame holds only changed pixels, on a palette of its own.

use super::part::Part;
use super::{EncodeError, Encoder, FilmFormat, Quality};
use std::borrow::Cow;
use std::io::BufWriter;
use std::path::Path;

/// Time is counted in hundredths of a second, and browsers slow down what is shorter than two.
const MOST_FPS: u32 = 50;

pub(super) struct Gif {
    format: FilmFormat,
    encoder: gif::Encoder<BufWriter<Part>>,
    /// RGBA of the previous frame.
    shown: Vec<u8>,
    written: u64,
}

impl Gif {
    pub fn open(format: &FilmFormat, out: &Path) -> Result<Self, EncodeError> {
        let refuse = |reason: String| EncodeError::Unsuitable { reason };
        if format.fps > MOST_FPS {
            let fps = format.fps;
            return Err(refuse(format!(
                "a GIF shows at most {MOST_FPS} frames a second, not {fps}; choose a smaller --fps"
            )));
        }
        let side = |side: u32| {
            u16::try_from(side)
                .map_err(|_| refuse(format!("{side} pixels are more than a GIF's 65535 a side")))
        };
        let (width, height) = (side(format.size[0])?, side(format.size[1])?);
        let writer = BufWriter::with_capacity(1 << 16, Part::create(out)?);
        let mut encoder = gif::Encoder::new(writer, width, height, &[]).map_err(failed)?;
        encoder.set_repeat(gif::Repeat::Infinite).map_err(failed)?;
        Ok(Self { format: format.clone(), encoder, shown: Vec::new(), written: 0 })
    }

    /// Frames last so many hundredths that their sum never drifts from the film's clock.
    fn delay(&mut self) -> u16 {
        let at = |frame: u64| (frame * 200 / u64::from(self.format.fps)).div_ceil(2);
        let delay = at(self.written + 1) - at(self.written);
        self.written += 1;
        delay as u16
    }

    fn write(&mut self, mut frame: gif::Frame<'_>) -> Result<(), EncodeError> {
        frame.delay = self.delay();
        frame.dispose = gif::DisposalMethod::Keep;
        self.encoder.write_frame(&frame).map_err(|error| match error {
            gif::EncodingError::Io(source) => self.encoder.get_ref().get_ref().failed(source),
            other => failed(other),
        })
    }

    /// NeuQuant looks at every n-th pixel.
    const fn speed(&self) -> i32 {
        match self.format.quality {
            Quality::Draft => 20,
            Quality::Standard => 8,
            Quality::High => 1,
        }
    }

    /// The rectangle (left, top, right, bottom) outside of which nothing changed.
    fn changed(&self, now: &[u8]) -> Option<[usize; 4]> {
        let [width, height] = self.format.size.map(|side| side as usize);
        if self.shown.is_empty() {
            return Some([0, 0, width, height]);
        }
        let mut rect: Option<[usize; 4]> = None;
        let rows = now.chunks_exact(width * 4).zip(self.shown.chunks_exact(width * 4));
        for (y, (new, old)) in rows.enumerate() {
            if new == old {
                continue;
            }
            let differs = |x: &usize| new[x * 4..x * 4 + 3] != old[x * 4..x * 4 + 3];
            let (Some(first), Some(last)) = ((0..width).find(differs), (0..width).rfind(differs))
            else {
                continue;
            };
            let [left, top, right, _] = rect.unwrap_or([first, y, last + 1, y]);
            rect = Some([left.min(first), top, right.max(last + 1), y + 1]);
        }
        rect
    }
}

impl Encoder for Gif {
    fn frame(&mut self, rgba: &[u8], stride: usize) -> Result<(), EncodeError> {
        let width = self.format.size[0] as usize;
        let now: Vec<u8> =
            rgba.chunks_exact(stride).flat_map(|row| &row[..width * 4]).copied().collect();
        let Some([left, top, right, bottom]) = self.changed(&now) else { return self.again() };
        let mut part = Vec::with_capacity((right - left) * (bottom - top) * 4);
        for y in top..bottom {
            for x in left..right {
                let at = (y * width + x) * 4;
                let new = &now[at..at + 3];
                let same = self.shown.get(at..at + 3) == Some(new);
                // Unchanged pixels are transparent and show the previous frame: they give long runs of one index.
                part.extend_from_slice(if same { &[0; 4] } else { &now[at..at + 4] });
            }
        }
        let side = |side: usize| side as u16;
        let (w, h) = (side(right - left), side(bottom - top));
        let mut frame = gif::Frame::from_rgba_speed(w, h, &mut part, self.speed());
        (frame.left, frame.top) = (side(left), side(top));
        self.write(frame)?;
        self.shown = now;
        Ok(())
    }

    fn again(&mut self) -> Result<(), EncodeError> {
        // One transparent pixel.
        self.write(gif::Frame {
            width: 1,
            height: 1,
            buffer: Cow::Borrowed(&[0]),
            palette: Some(vec![0; 6]),
            transparent: Some(0),
            ..gif::Frame::default()
        })
    }

    fn finish(self: Box<Self>) -> Result<(), EncodeError> {
        let writer = self.encoder.into_inner().map_err(failed)?;
        let mut part = writer.into_inner().map_err(|error| EncodeError::Codec {
            name: "GIF",
            reason: error.error().to_string(),
        })?;
        part.finish()
    }
}

fn failed(error: impl ToString) -> EncodeError {
    EncodeError::Codec { name: "GIF", reason: error.to_string() }
}
