//! The presenter's window: clock, picture of the stage, notes, next stop, buttons.

use super::playback::{Playback, PlaybackCommand};
use super::presentation::{PresenterCommand, stop_caption};
use crate::ui::theme::{self, Ink};
use crate::view::Theme;
use crate::view::timeline::{Timeline, caption_runs};
use egui::text::{LayoutJob, TextFormat};
use egui::{Align, Color32, FontId, Frame, Layout, Margin, RichText, Ui, vec2};
use std::time::Duration;

/// Reference size of the window for the sizes below: they scale with the window, because it is read from a
/// lectern, at a distance.
const MEANT_FOR: egui::Vec2 = vec2(960.0, 600.0);
const SCALES: std::ops::RangeInclusive<f32> = 0.6..=4.0;

/// Draws the window; a click on a button takes effect at once.
pub fn show(playback: &mut Playback, ui: &mut Ui, now: f64) {
    let ink = theme::ink(Theme::Dark);
    let size = ui.ctx().content_rect().size() / MEANT_FOR;
    let scale = size.x.min(size.y).clamp(*SCALES.start(), *SCALES.end());
    let margin = Margin::same((24.0 * scale) as i8);
    let frame = Frame::new().fill(ink.panel).inner_margin(margin);
    egui::Panel::bottom("presenter controls").resizable(false).frame(frame).show(ui, |ui| {
        next_stop(playback, ui, &ink, scale);
        ui.add_space(16.0 * scale);
        buttons(playback, ui, scale, now);
    });
    egui::CentralPanel::default().frame(frame).show(ui, |ui| stop(playback, ui, &ink, scale, now));
    // The clock changes at its next second.
    let rest = 1.0 - playback.presentation().clock_secs(now).max(0.0).fract();
    ui.ctx().request_repaint_after(Duration::from_secs_f64(rest));
}

fn stop(playback: &Playback, ui: &mut Ui, ink: &Ink, scale: f32, now: f64) {
    let (walkthrough, presentation) = (&playback.walkthrough, playback.presentation());
    let timeline = Timeline::new(walkthrough);
    let large = |text: &str, size: f32| RichText::new(text).font(theme::plain(size * scale));
    let step = timeline.step_of(presentation.at());
    let clock = presentation.clock_secs(now).max(0.0) as u64;
    ui.horizontal(|ui| {
        ui.label(large(&format!("{}:{:02}", clock / 60, clock % 60), 44.0).color(ink.text));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if let Some(step) = step {
                let place = format!("{} of {}", step + 1, walkthrough.steps.len());
                ui.label(large(&place, 28.0).color(ink.text));
            }
            if !presentation.typed().is_empty() {
                ui.add_space(16.0 * scale);
                let typed = format!("go to {} ⏎", presentation.typed());
                ui.label(large(&typed, 28.0).color(ink.accent));
            }
        });
    });
    ui.label(large(&playback.display, 14.0).color(ink.muted));
    if let Some(error) = &playback.error {
        ui.label(large(error, 16.0).color(ink.error));
    }
    ui.add_space(20.0 * scale);
    let explored = playback.explored_caption();
    let caption = explored.as_deref();
    let caption =
        caption.unwrap_or_else(|| stop_caption(walkthrough, &timeline, presentation.at()));
    ui.label(caption_job(caption, &theme::strong(28.0 * scale), ink.text, ink.accent));
    ui.add_space(12.0 * scale);
    let notes = step.and_then(|step| walkthrough.steps.get(step)).map_or("", |step| &step.notes);
    // The notes are about the step, not about the explored view.
    let notes = if explored.is_some() { "Explore: E or Escape returns to the step" } else { notes };
    egui::ScrollArea::vertical()
        .id_salt(presentation.at())
        .auto_shrink(false)
        .show(ui, |ui| ui.label(large(notes, 24.0).color(ink.text)));
}

/// Draws the next stop always in the same place, however long the notes are.
fn next_stop(playback: &Playback, ui: &mut Ui, ink: &Ink, scale: f32) {
    let timeline = Timeline::new(&playback.walkthrough);
    let font = theme::plain(20.0 * scale);
    let plain = |text: &str| RichText::new(text).font(font.clone()).color(ink.muted);
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing.x = 12.0 * scale;
        ui.label(plain("Up next"));
        match playback.presentation().next() {
            Some(next) => {
                let caption = stop_caption(&playback.walkthrough, &timeline, next);
                ui.label(caption_job(caption, &font, ink.text, ink.accent))
            }
            None => ui.label(plain("the end")),
        };
    });
}

/// A caption with its marked words emphasised: often they are all that changes from step to step.
fn caption_job(caption: &str, font: &FontId, color: Color32, marked: Color32) -> LayoutJob {
    let mut job = LayoutJob::default();
    for run in caption_runs(caption) {
        let color = if run.strong { marked } else { color };
        job.append(&run.text, 0.0, TextFormat::simple(font.clone(), color));
    }
    job
}

fn buttons(playback: &mut Playback, ui: &mut Ui, scale: f32, now: f64) {
    let (presentation, explores) = (playback.presentation(), playback.explored().is_some());
    let offered = [
        ("Back", "← or Page up", PlaybackCommand::Present(PresenterCommand::Previous), false),
        ("Next", "→, space or Page down", PlaybackCommand::Present(PresenterCommand::Next), false),
        ("Blank", "B", PlaybackCommand::Present(PresenterCommand::Blank), presentation.is_blank),
        (
            "Spotlight",
            "S",
            PlaybackCommand::Present(PresenterCommand::Spotlight),
            presentation.has_spotlight,
        ),
        ("Explore", "E", PlaybackCommand::Explore, explores),
        ("Play", "P", PlaybackCommand::Present(PresenterCommand::Run), presentation.runs),
        ("Reset clock", "T", PlaybackCommand::Present(PresenterCommand::ResetClock), false),
        ("End", "Escape", PlaybackCommand::Leave, false),
    ];
    ui.spacing_mut().button_padding = vec2(12.0, 4.0) * scale;
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing = vec2(8.0, 8.0) * scale;
        for (text, hint, ask, is_on) in offered {
            let text = RichText::new(text).font(theme::plain(16.0 * scale));
            let button = egui::Button::new(text).selected(is_on);
            let button = button.min_size(vec2(0.0, 40.0 * scale));
            if ui.add(button).on_hover_text(hint).clicked() {
                playback.ask(ask, now);
            }
        }
    });
    ui.add_space(8.0 * scale);
    let help = "Type a number and press Enter to go to that step.";
    let ink = theme::ink(Theme::Dark);
    ui.label(RichText::new(help).font(theme::plain(14.0 * scale)).color(ink.muted));
}
