//! Playing through tokens, layers, heads or video frames.

use crate::ui::app::App;
use crate::ui::intent::TransportCommand;
use crate::ui::transport::PlayAxis;
use std::time::Duration;

/// Sets what is played.
pub fn apply(app: &mut App, command: TransportCommand) {
    match command {
        TransportCommand::Axis(axis) => app.transport.axis = axis,
        TransportCommand::Speed(speed) => app.transport.speed = speed,
    }
}

/// Plays, or pauses.
pub fn toggle(app: &mut App) {
    if app.doc().is_some() {
        app.transport.toggle();
    }
}

/// Plays through an axis. During playback another axis is taken over, and the same one stops it.
pub fn through(app: &mut App, axis: PlayAxis) {
    if app.doc().is_none() {
        return;
    }
    let switches = app.transport.playing && app.transport.axis != axis;
    app.transport.axis = axis;
    if !switches {
        app.transport.toggle();
    }
}

/// Takes the step that is due.
pub fn tick(app: &mut App, ctx: &egui::Context) {
    let (at, len) = app.doc().map_or((0, 0), |doc| app.transport.axis.position(doc));
    let now = app.now();
    if let Some(next) = app.transport.tick(now, at, len) {
        // Playback behaves like a scrub: it does not cross-fade.
        let axis = app.transport.axis;
        let failed = app.doc_mut().and_then(|doc| {
            let command = axis.command(doc, next);
            doc.apply(&command).err()
        });
        if let Some(error) = failed {
            app.notify(error.to_string(), true);
            app.transport.stop();
        }
        app.transition = None;
    }
    if let Some(wait) = app.transport.wait(now) {
        ctx.request_repaint_after(Duration::from_secs_f64(wait));
    }
}
