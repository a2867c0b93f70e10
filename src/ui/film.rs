//! Options of a film that is to be recorded.

use super::dialogs::{Dialog, Want};
use crate::record::encoder::{Container, Quality, VideoEncoder};
use std::path::{Path, PathBuf};

/// Place of the captions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CaptionPlace {
    /// In the picture.
    #[default]
    Picture,
    /// In an .srt file beside the film.
    Beside,
    /// Nowhere.
    Nowhere,
}

/// Options of a film.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilmOptions {
    /// File format.
    pub container: Container,
    /// Width and height in pixels.
    pub size: [u32; 2],
    /// Frames a second.
    pub fps: u32,
    /// Quality of the encoding.
    pub quality: Quality,
    /// Encoder of MP4 films.
    pub encoder: VideoEncoder,
    /// Place of the captions.
    pub captions: CaptionPlace,
}

impl Default for FilmOptions {
    fn default() -> Self {
        Self {
            container: Container::default(),
            size: [1920, 1080],
            fps: 30,
            quality: Quality::default(),
            encoder: VideoEncoder::default(),
            captions: CaptionPlace::default(),
        }
    }
}

/// A film that is about to be recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct FilmDialog {
    /// Name of the walkthrough.
    pub name: String,
    /// Its length in seconds.
    pub seconds: f64,
    /// Options in the dialog.
    pub options: FilmOptions,
}

/// Frame sizes that are offered, each with its name.
pub const SIZES: &[([u32; 2], &str)] = &[
    ([1280, 720], "720p"),
    ([1920, 1080], "1080p"),
    ([2560, 1440], "1440p"),
    ([3840, 2160], "4K"),
    ([1080, 1920], "portrait"),
    ([2160, 3840], "portrait 4K"),
    ([1080, 1080], "square"),
    ([800, 500], "for web pages"),
];

/// "1920 × 1080  1080p"
pub fn size_name(size: [u32; 2]) -> String {
    let [width, height] = size;
    let known = SIZES.iter().find(|(other, _)| *other == size);
    let what = known.map_or_else(String::new, |(_, what)| format!("  {what}"));
    format!("{width} × {height}{what}")
}

/// Frame rates that are offered.
pub const RATES: &[u32] = &[10, 12, 24, 25, 30, 50, 60];

impl FilmOptions {
    /// Asks where to record; `like` is a path whose name and folder are offered.
    pub fn dialog(&self, like: Option<&Path>) -> Dialog {
        let like = like.map_or_else(|| PathBuf::from("tour"), |path| path.with_extension(""));
        let (end, filters): (&str, &[(&str, &[&str])]) = match self.container {
            Container::Mp4 => (".mp4", &[("Film", &["mp4"])]),
            Container::Gif => (".gif", &[("Animated GIF", &["gif"])]),
            Container::PngSequence => ("-frames", &[]),
        };
        let place = PathBuf::from(format!("{}{end}", like.display()));
        Dialog { title: "Record a film", want: Want::Place(place), filters }
    }

    /// The path with the ending of the chosen container, which decides the format that is written.
    pub fn place(&self, path: &Path) -> PathBuf {
        match self.container {
            Container::Mp4 => path.with_extension("mp4"),
            Container::Gif => path.with_extension("gif"),
            // A folder's name has no ending.
            Container::PngSequence => {
                let path = match path.extension() {
                    Some(end) if end == "png" => path.with_extension(""),
                    _ => path.to_owned(),
                };
                let name = path.file_name().unwrap_or_default().to_string_lossy().replace('.', "-");
                path.with_file_name(name)
            }
        }
    }
}

/// A time in a film: "0:03.2".
pub fn clock(seconds: f64) -> String {
    let tenths = (seconds.max(0.0) * 10.0).round() as u64;
    format!("{}:{:02}.{}", tenths / 600, tenths / 10 % 60, tenths % 10)
}

/// "0:42" or "12:05".
pub fn duration(seconds: f64) -> String {
    let seconds = seconds.max(0.0).round() as u64;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_kind_of_file_wins_over_the_typed_ending() {
        let place = |container, path: &str| {
            FilmOptions { container, ..FilmOptions::default() }.place(Path::new(path))
        };
        assert_eq!(place(Container::Mp4, "a/tour.gif"), Path::new("a/tour.mp4"));
        assert_eq!(place(Container::Gif, "a/tour"), Path::new("a/tour.gif"));
        assert_eq!(place(Container::PngSequence, "a/tour.png"), Path::new("a/tour"));
        assert_eq!(
            place(Container::PngSequence, "a/tour.v2-frames"),
            Path::new("a/tour-v2-frames")
        );
        assert_eq!(duration(725.4), "12:05");
    }
}
