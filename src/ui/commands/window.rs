//! The window itself: theme, size of text, layout, and the Escape key.

use super::{ask, data_set, dialogs, walkthrough};
use crate::ui::app::App;
use crate::ui::layout::{Layout, Overlay, Pane};
use crate::ui::shortcuts::UiCommand;
use crate::ui::theme;
use crate::view::Theme;

const MAX_FONT_SCALE: f32 = 3.0;
const MIN_FONT_SCALE: f32 = 0.5;

/// Switches between the dark and the light theme.
pub fn toggle_theme(app: &mut App, ctx: &egui::Context) {
    let dark = ctx.theme() == egui::Theme::Dark;
    app.settings.theme = Some(if dark { Theme::Light } else { Theme::Dark });
}

/// Makes text larger or smaller by a share of the usual size, as far as the window allows.
pub fn scale_text(app: &mut App, ctx: &egui::Context, by: f32) {
    let shown = theme::text_scale(ctx, app.settings.font_scale);
    let wanted = (shown + by).clamp(MIN_FONT_SCALE, MAX_FONT_SCALE);
    app.settings.font_scale = theme::text_scale(ctx, wanted);
    if app.settings.font_scale < wanted {
        app.notify("Larger text needs a larger window.", false);
    }
}

/// Gives text its usual size.
pub fn reset_text(app: &mut App) {
    app.settings.font_scale = 1.0;
}

/// Whether jumps cross-fade.
pub fn toggle_animation(app: &mut App) {
    app.settings.animate ^= true;
    let on = app.settings.animate;
    app.notify(
        if on {
            "Cross-fade between views is on."
        } else {
            "Cross-fade between views is \
        off."
        },
        false,
    );
}

/// Resets the layout.
pub fn reset_layout(app: &mut App) {
    reset_text(app);
    let settings = &mut app.settings;
    settings.layout = None;
    settings.show_chat = true;
    settings.show_inspector = true;
    settings.show_tokens = true;
    app.layout = Some(Layout::default());
}

/// Shows or hides the chat: on a narrow window it stands over the stage.
pub fn toggle_chat(app: &mut App) {
    match app.is_narrow {
        true => toggle_overlay(app, Overlay::Chat),
        false => app.settings.show_chat ^= true,
    }
}

/// Shows or hides the inspector: on a narrow window it stands over the stage.
pub fn toggle_inspector(app: &mut App) {
    match app.is_narrow {
        true => toggle_overlay(app, Overlay::Inspector),
        false => app.settings.show_inspector ^= true,
    }
}

fn toggle_overlay(app: &mut App, overlay: Overlay) {
    app.overlay = (app.overlay != Some(overlay)).then_some(overlay);
}

/// Brings a panel to the front, and shows the part of the window that holds it.
pub fn show_panel(app: &mut App, pane: Pane) {
    match pane {
        Pane::Chat => app.show_chat(),
        Pane::Tokens => app.settings.show_tokens = true,
        Pane::Stage => {}
        _ => {
            app.settings.show_inspector = true;
            app.overlay = app.is_narrow.then_some(Overlay::Inspector);
        }
    }
    if let Some(layout) = &mut app.layout {
        layout.bring_to_front(pane);
    }
}

/// Escape closes or stops the topmost thing.
pub fn escape(app: &mut App) {
    if app.palette_open {
        app.palette_open = false;
    } else if dialogs::cancel(app)
        || app.confirm.take().is_some()
        || app.film_dialog.take().is_some()
    {
    } else if app.help_open {
        app.help_open = false;
    } else if app.overlay.is_some() {
        app.overlay = None;
    } else if app.chat.asking.is_some() {
        ask::stop(app);
    } else if app.tasks.cancel_newest() {
    } else if app.transport.playing {
        app.transport.stop();
    } else if walkthrough::put_down(app) || app.marking.put_down() || app.what_if.put_down() {
    } else if !app.notices.is_empty() {
        app.notices.clear();
    } else if data_set::goes_back(app) {
        app.data_sets.is_shown = true;
    } else {
        app.intents.act(UiCommand::ResetSelection);
    }
}
