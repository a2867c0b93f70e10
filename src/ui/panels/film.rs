//! Dialog of film options.

use crate::record::encoder::{Container, Quality, VideoEncoder};
use crate::ui::film::{CaptionPlace, FilmDialog, FilmOptions, RATES, SIZES, duration, size_name};
use crate::ui::intent::{FilmCommand, Intent};
use crate::ui::pane::{PaneContext, PaneUi};
use crate::ui::theme;
use crate::ui::widgets::{list_in_question, muted, primary_button, question, segments};
use egui::{Align, Layout, Ui};

const WIDTH: f32 = 480.0;
const LABEL: f32 = 116.0;

/// Dialog of film options.
#[derive(Default)]
pub struct FilmPane;

impl PaneUi for FilmPane {
    fn ui(&mut self, cx: &PaneContext<'_>, ui: &mut Ui) {
        let Some(FilmDialog { name, seconds, options }) = cx.film_dialog else { return };
        let mut changed = options.clone();
        let (mut records, mut closes) = (false, false);
        let modal = question(ui, "film", WIDTH, |ui| {
            ui.label(theme::strong_text("Record a film", theme::TITLE));
            muted(ui, format!("{name}, {}", duration(*seconds)));
            ui.add_space(12.0);
            rows(ui, &mut changed);
            ui.add_space(12.0);
            let [width, height] = changed.size;
            let frames = (seconds * f64::from(changed.fps)).round() as u64;
            muted(
                ui,
                format!(
                    "{frames} frames of {width} × {height}. You can keep using the window \
                    during the recording."
                ),
            );
            ui.add_space(8.0);
            ui.horizontal(|ui| {
                records = primary_button(ui, "Record…", true).clicked();
                closes = ui.button("Cancel").clicked();
            });
        });
        if changed != *options {
            cx.intents.send(Intent::Film(FilmCommand::Options(changed)));
        }
        if records {
            cx.intents.send(Intent::Film(FilmCommand::Record));
        } else if closes || modal.should_close() {
            cx.intents.send(Intent::Film(FilmCommand::Cancel));
        }
    }
}

fn rows(ui: &mut Ui, options: &mut FilmOptions) {
    row(ui, "Format", |ui| {
        pick(
            ui,
            &mut options.container,
            &[
                (Container::Mp4, "MP4", "H.264: plays everywhere"),
                (Container::Gif, "GIF", "For web pages; large files, 256 colours"),
                (
                    Container::PngSequence,
                    "PNG files",
                    "A folder with one picture per frame: lossless, any size",
                ),
            ],
        );
    });
    row(ui, "Size", |ui| {
        list_in_question(ui, "Size", 176.0, size_name(options.size), |ui| {
            for (size, _) in SIZES {
                ui.selectable_value(&mut options.size, *size, size_name(*size));
            }
        });
        let [width, height] = &mut options.size;
        for (side, name) in [(width, "Width in pixels"), (height, "Height in pixels")] {
            let drag = egui::DragValue::new(side).range(64..=8192).speed(2.0);
            ui.add(drag).accessible_name(name);
        }
    });
    row(ui, "Frames per second", |ui| {
        list_in_question(ui, "Frames per second", 72.0, options.fps.to_string(), |ui| {
            for fps in RATES {
                ui.selectable_value(&mut options.fps, *fps, fps.to_string());
            }
        });
    });
    row(ui, "Captions", |ui| {
        pick(
            ui,
            &mut options.captions,
            &[
                (CaptionPlace::Picture, "In the picture", "Drawn below the figure"),
                (CaptionPlace::Beside, "As .srt", "Subtitles in a file beside the film"),
                (CaptionPlace::Nowhere, "None", "No captions"),
            ],
        );
    });
    if options.container == Container::Mp4 {
        row(ui, "Quality", |ui| {
            pick(
                ui,
                &mut options.quality,
                &[
                    (Quality::Draft, "Draft", "Small files, for previews"),
                    (Quality::Standard, "Standard", "No visible loss in motion"),
                    (Quality::High, "High", "No visible loss in single frames"),
                ],
            );
        });
        row(ui, "Encoder", |ui| {
            let built_in = if cfg!(feature = "h264") { "openh264" } else { "none built in" };
            pick(
                ui,
                &mut options.encoder,
                &[
                    (VideoEncoder::Auto, built_in, "The built-in encoder"),
                    (VideoEncoder::Ffmpeg, "ffmpeg", "An installed ffmpeg with libx264"),
                ],
            );
        });
    }
}

fn row(ui: &mut Ui, label: &str, add: impl FnOnce(&mut Ui)) {
    ui.horizontal(|ui| {
        ui.allocate_ui_with_layout(
            egui::vec2(LABEL, 28.0),
            Layout::left_to_right(Align::Center),
            |ui| {
                ui.set_min_width(LABEL);
                muted(ui, label);
            },
        );
        add(ui);
    });
}

fn pick<T: Copy + PartialEq>(ui: &mut Ui, value: &mut T, choices: &[(T, &str, &str)]) {
    let choices: Vec<(T, &str, String)> =
        choices.iter().map(|(value, name, hint)| (*value, *name, (*hint).to_owned())).collect();
    if let Some(chosen) = segments(ui, *value, &choices) {
        *value = chosen;
    }
}
