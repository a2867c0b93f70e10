//! MP4 by openh264, in fragments.
//!
//! Every two seconds a fragment with its own index is written: memory stays flat, and a film
//! whose recording was killed plays up to its last fragment. A complete film is rewritten without
//! fragments.

use super::part::Part;
use super::yuv::Planes;
use super::{EncodeError, Encoder, FilmFormat, Quality};
use muxide::fragmented::{FragmentConfig, FragmentedMuxer};
use openh264::OpenH264API;
use openh264::encoder::{
    BitRate, EncoderConfig, FrameRate, FrameType, IntraFramePeriod, QpRange, RateControlMode,
    VuiConfig,
};
use openh264::formats::YUVSlices;
use std::path::Path;

/// Seconds between sync frames: the step of seeking, and the most that is lost if the program is killed.
const FRAGMENT_SECONDS: u64 = 2;
/// Ticks of a frame: a whole number at any frame rate.
const TICKS_A_FRAME: u64 = 512;
/// NAL unit types (H.264, table 7-1).
const SPS: u8 = 7;
const PPS: u8 = 8;

pub(super) struct Mp4 {
    format: FilmFormat,
    part: Part,
    codec: openh264::encoder::Encoder,
    planes: Planes,
    muxer: Option<FragmentedMuxer>,
    written: u64,
    in_fragment: u64,
}

impl Mp4 {
    pub fn open(format: &FilmFormat, out: &Path) -> Result<Self, EncodeError> {
        let fps = format.fps as f32;
        let period = format.fps * FRAGMENT_SECONDS as u32;
        let [width, height] = format.size;
        // Upper limit that the constant quantiser below never reaches, but that the encoder may choose the level by.
        let bits = f64::from(width) * f64::from(height) * f64::from(format.fps) * 0.25;
        let config = EncoderConfig::new()
            .bitrate(BitRate::from_bps(bits.clamp(1e6, 2.0e8) as u32))
            .max_frame_rate(FrameRate::from_hz(fps))
            .rate_control_mode(RateControlMode::Off)
            .skip_frames(false)
            .qp(quantiser(format.quality))
            .adaptive_quantization(false)
            .background_detection(false)
            .scene_change_detect(false)
            .intra_frame_period(IntraFramePeriod::from_num_frames(period))
            .num_threads(1)
            .vui(VuiConfig::bt709());
        let codec = openh264::encoder::Encoder::with_api_config(OpenH264API::from_source(), config)
            .map_err(failed)?;
        Ok(Self {
            format: format.clone(),
            part: Part::create(out)?,
            codec,
            planes: Planes::new(format.size),
            muxer: None,
            written: 0,
            in_fragment: 0,
        })
    }

    fn encode(&mut self) -> Result<(), EncodeError> {
        let [y, u, v] = self.planes.planes();
        let [ys, us, vs] = self.planes.strides();
        let [width, height] = self.format.size.map(|side| side as usize);
        let source = YUVSlices::new((y, u, v), (width, height), (ys, us, vs));
        let at = openh264::Timestamp::from_millis(self.written * 1000 / u64::from(self.format.fps));
        let stream = self.codec.encode_at(&source, at).map_err(failed)?;
        let is_key = matches!(stream.frame_type(), FrameType::IDR | FrameType::I);
        let (mut sample, mut sps, mut pps) = (Vec::new(), Vec::new(), Vec::new());
        for layer in (0..stream.num_layers()).filter_map(|at| stream.layer(at)) {
            for unit in (0..layer.nal_count()).filter_map(|at| layer.nal_unit(at)) {
                let unit = without_start_code(unit);
                match unit.first().map(|byte| byte & 31) {
                    None => {}
                    // Parameter sets are written to the header of the film.
                    Some(SPS) => sps = unit.to_vec(),
                    Some(PPS) => pps = unit.to_vec(),
                    Some(_) => {
                        sample.extend_from_slice(&(unit.len() as u32).to_be_bytes());
                        sample.extend_from_slice(unit);
                    }
                }
            }
        }
        if sample.is_empty() {
            return Err(failed("it skipped a frame"));
        }
        self.write(&sample, is_key, sps, pps)
    }

    fn write(
        &mut self,
        sample: &[u8],
        is_key: bool,
        sps: Vec<u8>,
        pps: Vec<u8>,
    ) -> Result<(), EncodeError> {
        let mux = |error: muxide::fragmented::FragmentedError| EncodeError::Codec {
            name: "muxide",
            reason: error.to_string(),
        };
        if self.muxer.is_none() {
            let [width, height] = self.format.size;
            let timescale = self.format.fps * TICKS_A_FRAME as u32;
            let config =
                FragmentConfig { sps, pps, ..FragmentConfig::new(width, height, timescale) };
            let mut muxer = FragmentedMuxer::new(config).map_err(mux)?;
            let head = muxer.init_segment();
            self.part.append(&head)?;
            self.muxer = Some(muxer);
        }
        // The muxer guesses the duration of a fragment's last frame from the one before it: the film's last frame
        // must not be alone in a fragment.
        let is_last = self.written + 1 == self.format.frames;
        if is_key && self.in_fragment > 1 && !is_last {
            self.flush()?;
        }
        let at = self.written * TICKS_A_FRAME;
        if let Some(muxer) = &mut self.muxer {
            muxer.write_video(at, at, sample, is_key).map_err(mux)?;
        }
        self.written += 1;
        self.in_fragment += 1;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), EncodeError> {
        let segment = self.muxer.as_mut().and_then(FragmentedMuxer::flush_segment);
        self.in_fragment = 0;
        segment.map_or(Ok(()), |bytes| self.part.append(&bytes))
    }
}

impl Encoder for Mp4 {
    fn frame(&mut self, rgba: &[u8], stride: usize) -> Result<(), EncodeError> {
        self.planes.fill(rgba, stride)?;
        self.encode()
    }

    fn again(&mut self) -> Result<(), EncodeError> {
        self.encode()
    }

    fn finish(mut self: Box<Self>) -> Result<(), EncodeError> {
        self.flush()?;
        self.part.finish_progressive(self.format.fps)
    }
}

/// The quantiser is constant: still scenes stay sharp, and the size of the file depends on motion.
const fn quantiser(quality: Quality) -> QpRange {
    match quality {
        Quality::Draft => QpRange::new(33, 33),
        Quality::Standard => QpRange::new(24, 24),
        Quality::High => QpRange::new(17, 17),
    }
}

fn failed(reason: impl ToString) -> EncodeError {
    EncodeError::Codec { name: "openh264", reason: reason.to_string() }
}

/// A NAL unit without the 00 00 (00) 01 before it.
fn without_start_code(unit: &[u8]) -> &[u8] {
    let unit = unit.strip_prefix(&[0]).unwrap_or(unit);
    unit.strip_prefix(&[0, 0, 1]).or_else(|| unit.strip_prefix(&[0, 1])).unwrap_or(unit)
}
