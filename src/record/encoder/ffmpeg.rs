//! MP4 by an installed ffmpeg: raw frames go into its standard input.

use super::part::Part;
use super::yuv::Planes;
use super::{EncodeError, Encoder, FilmFormat, Quality};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

pub(super) struct Ffmpeg {
    part: Part,
    fps: u32,
    planes: Planes,
    child: Child,
    input: Option<ChildStdin>,
}

/// The first line of `ffmpeg -version`; `None` if no ffmpeg is installed.
pub fn ffmpeg_version() -> Option<String> {
    let output = Command::new("ffmpeg").arg("-version").stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().next().map(str::to_owned)
}

impl Ffmpeg {
    pub fn open(format: &FilmFormat, out: &Path) -> Result<Self, EncodeError> {
        let part = Part::create(out)?;
        let [width, height] = format.size;
        let crf = match format.quality {
            Quality::Draft => "30",
            Quality::Standard => "20",
            Quality::High => "14",
        };
        let mut command = Command::new("ffmpeg");
        command
            .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-y"])
            .args(["-f", "rawvideo", "-pix_fmt", "yuv420p", "-color_range", "tv"])
            .args(["-s", &format!("{width}x{height}"), "-framerate", &format.fps.to_string()])
            .args(["-i", "-", "-an", "-c:v", "libx264", "-preset", "veryfast", "-crf", crf])
            .args(["-pix_fmt", "yuv420p", "-colorspace", "bt709", "-color_primaries", "bt709"])
            .args(["-color_trc", "bt709", "-color_range", "tv"])
            // Fragments, so that a killed recording can be played here too.
            .args(["-g", &(format.fps * 2).to_string()])
            .args(["-movflags", "+frag_keyframe+empty_moov+default_base_moof", "-f", "mp4"])
            .arg(part.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| {
            let reason = match error.kind() {
                std::io::ErrorKind::NotFound => {
                    "it is not installed (Debian: apt install ffmpeg), or not on the PATH".into()
                }
                _ => error.to_string(),
            };
            EncodeError::Codec { name: "ffmpeg", reason }
        })?;
        let input = child.stdin.take();
        Ok(Self { part, fps: format.fps, planes: Planes::new(format.size), child, input })
    }

    fn send(&mut self) -> Result<(), EncodeError> {
        let Some(input) = &mut self.input else { return Ok(()) };
        let sent = self.planes.planes().iter().try_for_each(|plane| input.write_all(plane));
        // If ffmpeg has stopped reading, its last output is the reason.
        sent.map_err(|_| self.last_words())
    }

    fn last_words(&mut self) -> EncodeError {
        self.input = None;
        let mut said = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            // Unreadable output counts as none.
            let _ = stderr.read_to_string(&mut said);
        }
        let _ = self.child.wait();
        if said.contains("No space left") {
            return self.part.failed(std::io::ErrorKind::StorageFull.into());
        }
        let reason = said.split_whitespace().collect::<Vec<_>>().join(" ");
        let reason =
            if reason.is_empty() { "it ended without an error message".into() } else { reason };
        EncodeError::Codec { name: "ffmpeg", reason }
    }
}

impl Encoder for Ffmpeg {
    fn frame(&mut self, rgba: &[u8], stride: usize) -> Result<(), EncodeError> {
        self.planes.fill(rgba, stride)?;
        self.send()
    }

    fn again(&mut self) -> Result<(), EncodeError> {
        self.send()
    }

    fn finish(mut self: Box<Self>) -> Result<(), EncodeError> {
        self.input = None;
        let done = self.child.wait().map_err(|error| self.part.failed(error))?;
        if !done.success() {
            return Err(self.last_words());
        }
        self.part.finish_progressive(self.fps)
    }
}

impl Drop for Ffmpeg {
    fn drop(&mut self) {
        self.input = None;
        // Already ended after `finish`.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
