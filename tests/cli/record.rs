//! `vlmscope record`, `walkthrough` and `pack` as a user runs them, judged by ffprobe and ffmpeg:
//! a film that only we can read is none.

use crate::support::{Folder, PROGRAM, stderr};
use serde_json::Value;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use vlmscope::trace::Trace;
use vlmscope::trace::synthetic::{Geometry, RowsKept, Synthetic};

const TOUR: &str = r#"
trace = "a.vlmtrace"

[title]
text = "A title"
seconds = 0.4

[view]
text-scale = 1.25

[[step]]
caption = "The **mean** of all layers"
seconds = 0.3
transition = 0.4

[[step]]
caption = "One layer, *one* head"
seconds = 0.2
transition = 0.5
view = { map = { layers = "2", heads = "1" } }

[[step]]
caption = "Every head"
seconds = 0.25
transition = 0.45
view = { view = "wall", map.queries = "answer 2" }

[end]
text = "The end"
seconds = 0.2
"#;

/// Seconds of the tour: 0.4 + 0.7 + 0.7 + 0.7 + (0.8 + 0.2).
const SECONDS: f64 = 3.5;
const FPS: u64 = 24;
const FRAMES: u64 = 84;

/// A folder with a small trace and a tour in it.
struct Fixture(Folder);

impl Deref for Fixture {
    type Target = Folder;

    fn deref(&self) -> &Folder {
        &self.0
    }
}

impl Fixture {
    fn new() -> Self {
        let folder = Folder::with_trace();
        folder.write("tour.toml", TOUR);
        Self(folder)
    }

    fn record(&self, out: &str) {
        self.ok(&format!("record tour.toml --size 320x240 --fps {FPS} --out {out}"));
    }

    /// Names of all files in the folder that are not inputs.
    fn leftovers(&self) -> Vec<String> {
        let mut names = self.names();
        names.retain(|name| name != "a.vlmtrace" && !name.ends_with(".toml"));
        names
    }
}

fn tool(name: &str, arguments: &[&str], input: &Path) -> Vec<u8> {
    let output = Command::new(name).args(arguments).arg(input).output().unwrap_or_else(|error| {
        panic!("{name} is needed by these tests (Debian: apt install ffmpeg): {error}")
    });
    assert!(output.status.success(), "{name} {}: {}", input.display(), stderr(&output));
    assert!(output.stderr.is_empty(), "{name} {}: {}", input.display(), stderr(&output));
    output.stdout
}

/// ffprobe's description of the only stream, with all frames decoded.
fn probe(path: &Path) -> Value {
    let arguments = ["-v", "warning", "-count_frames", "-show_streams", "-show_format"];
    let text = tool("ffprobe", &[&arguments[..], &["-of", "json"]].concat(), path);
    let probed: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(probed["streams"].as_array().unwrap().len(), 1);
    probed["streams"][0].clone()
}

fn check(stream: &Value, codec: &str) {
    assert_eq!(stream["codec_name"], codec);
    assert_eq!((&stream["width"], &stream["height"]), (&320.into(), &240.into()));
    assert_eq!(stream["nb_read_frames"], FRAMES.to_string(), "{codec}");
    let seconds: f64 = stream["duration"].as_str().unwrap().parse().unwrap();
    // A GIF counts hundredths.
    assert!((seconds - SECONDS).abs() < 0.006, "{codec} lasts {seconds} s");
}

fn check_mp4(stream: &Value) {
    check(stream, "h264");
    assert_eq!(stream["r_frame_rate"], format!("{FPS}/1"));
    assert_eq!(stream["avg_frame_rate"], format!("{FPS}/1"));
    assert_eq!((&stream["pix_fmt"], &stream["color_range"]), (&"yuv420p".into(), &"tv".into()));
    for tag in ["color_space", "color_transfer", "color_primaries"] {
        assert_eq!(stream[tag], "bt709", "{tag}");
    }
}

/// Names of the boxes of an MP4, and the durations that its three heads say, in seconds.
fn heads_of_mp4(path: &Path) -> (Vec<String>, Vec<f64>) {
    let bytes = std::fs::read(path).unwrap();
    let long = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
    let short = |at: usize| u64::from(u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()));
    let (mut names, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        names.push(String::from_utf8_lossy(&bytes[at + 4..at + 8]).into_owned());
        at += short(at) as usize;
    }
    let body = |name: &[u8]| bytes.windows(4).position(|four| four == name).unwrap() + 4;
    // A version of 1 makes times 64 bits wide; a track counts in the movie's time scale.
    let times = |name: &[u8]| {
        let at = body(name);
        let is_long = bytes[at] == 1;
        let after = at + 4 + if is_long { 16 } else { 8 };
        let duration = if is_long { long(after + 4) } else { short(after + 4) };
        (short(after) as f64, duration as f64)
    };
    let (movie, media) = (times(b"mvhd"), times(b"mdhd"));
    let track = {
        let at = body(b"tkhd");
        if bytes[at] == 1 { long(at + 28) as f64 } else { short(at + 20) as f64 }
    };
    (names, vec![movie.1 / movie.0, track / movie.0, media.1 / media.0])
}

/// The luma planes of a film.
fn decoded_luma(path: &Path) -> Vec<Vec<u8>> {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(path)
        .args(["-f", "rawvideo", "-pix_fmt", "yuv420p", "-"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    output.stdout.chunks_exact(320 * 240 * 3 / 2).map(|f| f[..320 * 240].to_vec()).collect()
}

fn frames(folder: &Path) -> Vec<image::RgbImage> {
    let mut names: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names.iter().map(|name| image::open(name).unwrap().into_rgb8()).collect()
}

/// ITU-R BT.709, limited range, of a rendered pixel.
fn luma(pixel: &image::Rgb<u8>) -> f64 {
    let [r, g, b] = pixel.0.map(f64::from);
    16.0 + (0.2126 * r + 0.7152 * g + 0.0722 * b) * 219.0 / 255.0
}

/// Of one frame, in dB.
fn psnr(rendered: &image::RgbImage, decoded: &[u8]) -> f64 {
    let squares: f64 = rendered
        .pixels()
        .zip(decoded)
        .map(|(pixel, &luma_byte)| (luma(pixel) - f64::from(luma_byte)).powi(2))
        .sum();
    10.0 * (255.0 * 255.0 * decoded.len() as f64 / squares.max(1e-9)).log10()
}

#[test]
fn every_container_is_what_it_says_and_shows_what_was_rendered() {
    let fixture = Fixture::new();
    fixture.record("frames");
    let rendered = frames(&fixture.path("frames"));
    assert_eq!(rendered.len() as u64, FRAMES);
    let mut films = vec!["x264.mp4 --encoder ffmpeg"];
    if cfg!(feature = "h264") {
        films.push("open.mp4 --encoder openh264");
    }
    for film in films {
        fixture.record(film);
        let path = fixture.path(film.split(' ').next().unwrap());
        check_mp4(&probe(&path));
        let (boxes, seconds) = heads_of_mp4(&path);
        assert_eq!(boxes, ["ftyp", "moov", "mdat"], "{film}");
        assert_eq!(seconds, [SECONDS; 3], "{film}");
        let decoded = decoded_luma(&path);
        assert_eq!(decoded.len(), rendered.len());
        for (index, (rendered, decoded)) in rendered.iter().zip(&decoded).enumerate() {
            let psnr = psnr(rendered, decoded);
            assert!(psnr >= 35.0, "{film}, frame {index}: {psnr:.1} dB");
        }
    }
    fixture.record("film.gif");
    check(&probe(&fixture.path("film.gif")), "gif");
    assert!(fixture.leftovers().iter().all(|name| !name.contains("part")));
}

#[test]
fn two_runs_give_the_same_frames() {
    let fixture = Fixture::new();
    fixture.record("one");
    fixture.record("two");
    let bytes = |folder: &str| -> Vec<Vec<u8>> {
        (0..FRAMES)
            .map(|frame| {
                std::fs::read(fixture.path(folder).join(format!("{frame:04}.png"))).unwrap()
            })
            .collect()
    };
    let (one, two) = (bytes("one"), bytes("two"));
    assert!(one == two, "frames differ");
    assert!(one.windows(2).any(|pair| pair[0] != pair[1]), "nothing moves");
    let error = fixture.fails("record tour.toml --size 320x240 --out one");
    assert!(error.contains("one is not empty"), "{error}");
}

/// A tour that takes long enough to be interrupted.
fn long(fixture: &Fixture) {
    let text = TOUR.replace("seconds = 0.3", "seconds = 40");
    fixture.write("long.toml", text);
}

/// The unfinished film.
fn part(fixture: &Fixture) -> Option<PathBuf> {
    let mut names = fixture.leftovers().into_iter();
    names.find(|name| name.starts_with("film.part-")).map(|name| fixture.path(&name))
}

/// Starts a recording and waits until its first fragments are written.
fn started(fixture: &Fixture) -> std::process::Child {
    long(fixture);
    let child = fixture
        .command("record long.toml --size 320x240 --fps 30 --out film.mp4")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for_part(fixture);
    child
}

fn wait_for_part(fixture: &Fixture) {
    let start = Instant::now();
    let size = |part: PathBuf| std::fs::metadata(part).map_or(0, |metadata| metadata.len());
    while part(fixture).map_or(0, size) < 4096 {
        assert!(start.elapsed() < Duration::from_secs(120), "no fragment was written");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(feature = "h264")]
#[test]
fn a_killed_recording_leaves_a_part_that_plays() {
    let fixture = Fixture::new();
    let mut child = started(&fixture);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!fixture.path("film.mp4").exists());
    let text = tool(
        "ffprobe",
        &["-v", "error", "-count_frames", "-show_streams", "-of", "json"],
        &part(&fixture).unwrap(),
    );
    let probed: Value = serde_json::from_slice(&text).unwrap();
    let read: u64 = probed["streams"][0]["nb_read_frames"].as_str().unwrap().parse().unwrap();
    assert!(read >= 30, "only {read} frames can be played");
    // The next recording removes the part of the killed one, and no other file.
    fixture.write("film.part.mp4", "precious");
    fixture.record("film.mp4");
    assert_eq!(fixture.leftovers(), ["film.mp4", "film.part.mp4"]);
}

#[cfg(all(unix, feature = "h264"))]
#[test]
fn the_second_recorder_of_a_film_is_told_who_the_first_is() {
    let fixture = Fixture::new();
    let mut first = started(&fixture);
    let error = fixture.fails("record tour.toml --size 320x240 --out film.mp4");
    assert!(error.contains(&format!("process {}", first.id())), "{error}");
    assert!(part(&fixture).is_some(), "the first one's part is gone");
    // The first Ctrl-C asks, the second ends; neither leaves anything.
    for _ in 0..2 {
        let id = first.id().to_string();
        Command::new("kill").args(["-INT", &id]).stderr(Stdio::null()).status().unwrap();
    }
    let code = first.wait().unwrap().code();
    assert!(matches!(code, Some(1 | 130)), "{code:?}");
    assert_eq!(fixture.leftovers(), Vec::<String>::new());
}

#[cfg(unix)]
#[test]
fn a_recording_touches_nothing_of_others() {
    let fixture = Fixture::new();
    // Names that earlier versions wrote to.
    std::fs::create_dir(fixture.path("frames.part")).unwrap();
    fixture.write("frames.part/thesis.txt", "precious");
    fixture.write("precious.txt", "precious");
    std::os::unix::fs::symlink("precious.txt", fixture.path("film.part.mp4")).unwrap();
    fixture.ok("record tour.toml --size 320x240 --fps 2 --out frames");
    fixture.ok("record tour.toml --size 320x240 --fps 2 --out film.mp4");
    for file in ["frames.part/thesis.txt", "precious.txt"] {
        assert_eq!(std::fs::read_to_string(fixture.path(file)).unwrap(), "precious", "{file}");
    }
    // A file that a folder of frames would replace is seen before anything is drawn.
    fixture.write("taken", "precious");
    let error = fixture.fails("record tour.toml --size 320x240 --adapter none --out taken");
    assert!(error.contains("taken is a file"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_signal_while_a_pack_is_open_leaves_nothing_in_the_temporary_folder() {
    let fixture = Fixture::new();
    long(&fixture);
    fixture.ok("pack long.toml --out long.zip");
    let scratch = tempfile::tempdir().unwrap();
    let count = || scratch.path().read_dir().unwrap().count();
    let until_unpacked = || {
        let start = Instant::now();
        while count() == 0 {
            assert!(start.elapsed() < Duration::from_secs(60), "nothing was unpacked");
            std::thread::sleep(Duration::from_millis(2));
        }
    };
    for signal in ["-INT", "-TERM"] {
        let mut child = fixture
            .command("record long.zip --size 320x240 --fps 30 --out film.gif")
            .env("TMPDIR", scratch.path())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        until_unpacked();
        Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(!child.wait().unwrap().success());
        assert_eq!(count(), 0, "{signal}");
    }
    // After a kill, the next one cleans up.
    let mut child = fixture
        .command("record long.zip --size 320x240 --fps 30 --out film.gif")
        .env("TMPDIR", scratch.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until_unpacked();
    child.kill().unwrap();
    child.wait().unwrap();
    let mut check = fixture.command("walkthrough check long.zip");
    assert!(check.env("TMPDIR", scratch.path()).output().unwrap().status.success());
    assert_eq!(count(), 0);
}

#[test]
fn a_small_pack_that_would_fill_the_disk_is_refused() {
    use std::io::Write as _;
    let fixture = Fixture::new();
    let file = std::fs::File::create(fixture.path("bomb.zip")).unwrap();
    let mut zip = zip::ZipWriter::new(file);
    let options = zip::write::SimpleFileOptions::default().large_file(true);
    zip.start_file("walkthrough.toml", options).unwrap();
    zip.start_file("traces/a.vlmtrace", options).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..300 {
        zip.write_all(&zeros).unwrap();
    }
    zip.finish().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let output = fixture
        .command("walkthrough check bomb.zip")
        .env("TMPDIR", scratch.path())
        .output()
        .unwrap();
    let error = stderr(&output);
    assert!(error.contains("bomb.zip") && error.contains("the limit is"), "{error}");
    assert_eq!(scratch.path().read_dir().unwrap().count(), 0);
}

#[cfg(all(unix, feature = "h264"))]
#[test]
fn an_interrupted_recording_leaves_nothing() {
    let fixture = Fixture::new();
    let mut child = started(&fixture);
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(fixture.leftovers(), Vec::<String>::new());
}

/// A limit on the size of files lets a write fail half-way, as a full disk does.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_said_and_leaves_nothing() {
    for out in ["film.mp4", "film.gif", "frames"] {
        let fixture = Fixture::new();
        let script = "trap '' XFSZ; ulimit -f 4; exec \"$@\"";
        let output = Command::new("bash")
            .args(["-c", script, "bash", PROGRAM])
            .args(["record", "tour.toml", "--size", "320x240", "--out", out])
            .current_dir(fixture.root())
            .output()
            .unwrap();
        let error = stderr(&output);
        assert!(!output.status.success() && !error.contains("panicked"), "{error}");
        assert!(error.contains("The disk is full") && error.contains(out), "{error}");
        assert_eq!(fixture.leftovers(), Vec::<String>::new());
    }
}

#[test]
fn what_cannot_be_recorded_is_said_before_anything_is_drawn() {
    let fixture = Fixture::new();
    let fails = |arguments: &str, says: &str| {
        let error = fixture.fails(arguments);
        assert!(error.contains(says), "{arguments}: {error}");
    };
    fails("record tour.toml --size 321x240 --out a.mp4", "even width and height");
    fails("record tour.toml --size 7680x4320 --out a.mp4", "PNG sequence");
    fails("record tour.toml --out a.webm", "neither .mp4 nor .gif");
    fails("record tour.toml --fps 60 --out a.gif", "at most 50");
    fails("record tour.toml --out nowhere/a.mp4", "folder does not exist");
    std::fs::write(fixture.path("film"), "mine").unwrap();
    fails("record tour.toml --out film", "film is a file, but PNG files are written to a folder");
    std::fs::remove_file(fixture.path("film")).unwrap();
    fails("record a.png --out a.mp4", "is not a trace");
    fails("record missing.toml --out a.mp4", "missing.toml");
    fails("record a.zip --out a.mp4", "cannot open the pack");
    let before = fixture.read("a.vlmtrace");
    fails("pack tour.toml --out a.vlmtrace", "does not end in .zip");
    fails("walkthrough new a.vlmtrace --out a.vlmtrace --force", "does not end in .toml");
    std::fs::copy(fixture.path("a.vlmtrace"), fixture.path("own.zip")).unwrap();
    fails("pack own.zip --out own.zip", "choose another name");
    std::fs::remove_file(fixture.path("own.zip")).unwrap();
    assert!(fixture.read("a.vlmtrace") == before);
    fixture.write("layer.toml", TOUR.replace("\"2\"", "\"9\""));
    fails("record layer.toml --out a.mp4", "layer.toml, line 16: step 2: layer 9 does not exist");
    fixture.write("gone.toml", TOUR.replace("a.vlm", "b.vlm"));
    fails("walkthrough check gone.toml", "b.vlmtrace");
    assert_eq!(fixture.leftovers(), Vec::<String>::new());
}

/// A walkthrough with one step for each of so many traces.
fn of_traces(fixture: &Fixture, count: usize) -> String {
    (0..count)
        .map(|number| {
            let name = format!("{number}.vlmtrace");
            if !fixture.path(&name).exists() {
                std::fs::hard_link(fixture.path("a.vlmtrace"), fixture.path(&name)).unwrap();
            }
            format!("[[step]]\ntrace = \"{name}\"\ncaption = \"{number}\"\n")
        })
        .collect()
}

#[test]
fn a_walkthrough_shows_five_hundred_traces_and_not_one_more() {
    let fixture = Fixture::new();
    fixture.write("most.toml", of_traces(&fixture, 500));
    fixture.ok("walkthrough check most.toml");
    fixture.write("more.toml", of_traces(&fixture, 501));
    let words = ["more.toml", "step 501", "at most 500 traces", "Split the walkthrough"];
    fixture.refused("walkthrough check more.toml", 1, &words);
}

#[test]
fn a_trace_that_is_cut_while_it_is_recorded_is_an_error_that_leaves_nothing() {
    for geometry in ["small", "llava-1.5-7b"] {
        let fixture = Fixture::new();
        let path = fixture.path("a.vlmtrace");
        let geometry = Geometry::named(geometry).unwrap();
        Synthetic::new(geometry, RowsKept::All, 1).unwrap().write_sparse(&path).unwrap();
        long(&fixture);
        let child = fixture
            .command("record long.toml --size 320x240 --fps 30 --out film.mp4")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        wait_for_part(&fixture);
        std::fs::File::options().write(true).open(&path).unwrap().set_len(1000).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let error = stderr(&output);
        assert!(error.contains("a.vlmtrace was changed or cut by another program"), "{error}");
        assert_eq!(fixture.leftovers(), Vec::<String>::new());
    }
}

#[test]
fn captions_stand_in_the_picture_or_beside_it() {
    let fixture = Fixture::new();
    fixture.ok("record tour.toml --size 320x240 --fps 4 --out burnt");
    fixture.ok("record tour.toml --size 320x240 --fps 4 --srt --out film.gif");
    let text = std::fs::read_to_string(fixture.path("film.srt")).unwrap();
    assert!(
        text.starts_with("1\n00:00:00,400 --> 00:00:01,100\nThe <b>mean</b> of all layers\n\n")
    );
    assert!(text.contains("\n2\n00:00:01,100 --> 00:00:01,800\nOne layer, *one* head\n"), "{text}");
    // The last line of pixels that is not background belongs to a caption, or to the figure.
    let lowest = |image: &image::RgbImage| {
        let background = *image.get_pixel(0, 0);
        let drawn = image.enumerate_pixels().filter(|(_, _, pixel)| **pixel != background);
        drawn.map(|(_, y, _)| y).max().unwrap()
    };
    let burnt = frames(&fixture.path("burnt"));
    assert!(lowest(&burnt[4]) > 210, "the caption is missing: {}", lowest(&burnt[4]));
}

#[test]
fn a_tour_and_its_pack_show_the_same() {
    let fixture = Fixture::new();
    fixture.ok("walkthrough new a.vlmtrace --out auto.toml");
    let error = fixture.fails("walkthrough new a.vlmtrace --out auto.toml");
    assert!(error.contains("--force"), "{error}");
    let listed = fixture.ok("walkthrough check auto.toml");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    for view in ["overlay", "heads", "wall"] {
        assert!(listed.contains(view), "{listed}");
    }
    fixture.ok("pack auto.toml --out auto.zip");
    let archive = std::fs::File::open(fixture.path("auto.zip")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    zip::ZipArchive::new(archive).unwrap().extract(folder.path()).unwrap();
    let (whole, packed) = (
        Trace::open(&fixture.path("a.vlmtrace")).unwrap(),
        Trace::open(&folder.path().join("traces/a.vlmtrace")).unwrap(),
    );
    assert!(packed.rows().len() < whole.rows().len(), "{:?}", packed.rows());
    for (index, row) in packed.rows().iter().enumerate() {
        let from = whole.rows().binary_search(row).unwrap();
        assert_eq!(packed.page_bytes(index), whole.page_bytes(from));
        assert_eq!(packed.stats(index), whole.stats(from));
    }
    for show in ["auto.toml", "auto.zip", "a.vlmtrace"] {
        let out = show.replace('.', "-");
        fixture.ok(&format!("record {show} --size 240x320 --fps 1 --out {out}"));
    }
    let expected = frames(&fixture.path("auto-toml"));
    assert!(expected == frames(&fixture.path("auto-zip")), "the pack shows something else");
    assert!(expected == frames(&fixture.path("a-vlmtrace")), "the trace's tour is another one");
}
