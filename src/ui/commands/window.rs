//! Actions of the window itself.

use crate::ui::app::{App, HostRequest, Overlay};
use crate::ui::layout::{Layout, Pane};
use crate::ui::shortcuts::UiCommand;
use crate::ui::walkthrough;
use crate::view::Theme;

const MAX_FONT_SCALE: f32 = 3.0;
const MIN_FONT_SCALE: f32 = 0.5;

/// What an action of the window does.
pub fn run(app: &mut App, ctx: &egui::Context, act: UiCommand) {
    // Theme, type size and layout are applied where the next frame begins.
    ctx.request_repaint();
    let settings = &mut app.settings;
    match act {
        UiCommand::Palette => app.palette.toggle(),
        UiCommand::Help => app.help_open = !app.help_open,
        UiCommand::FullScreen => app.host.push(HostRequest::ToggleFullScreen),
        UiCommand::ToggleChat => settings.show_chat = !settings.show_chat,
        UiCommand::ToggleInspector => settings.show_inspector = !settings.show_inspector,
        UiCommand::ToggleTokens => settings.show_tokens = !settings.show_tokens,
        UiCommand::ToggleTheme => {
            let dark = ctx.theme() == egui::Theme::Dark;
            settings.theme = Some(if dark { Theme::Light } else { Theme::Dark });
        }
        UiCommand::LargerType => {
            settings.font_scale = (settings.font_scale + 0.1).min(MAX_FONT_SCALE);
        }
        UiCommand::SmallerType => {
            settings.font_scale = (settings.font_scale - 0.1).max(MIN_FONT_SCALE);
        }
        UiCommand::ToggleAnimation => {
            settings.animate = !settings.animate;
            let on = settings.animate;
            app.notify(if on { "Jumps cross-fade." } else { "Jumps no longer cross-fade." }, false);
        }
        UiCommand::ResetLayout => {
            settings.layout = None;
            settings.show_chat = true;
            settings.show_inspector = true;
            settings.show_tokens = true;
            settings.font_scale = 1.0;
            app.layout = Some(Layout::default());
        }
        UiCommand::Quit => {
            walkthrough::unless_unsaved(app, |app| {
                walkthrough::unless_recording(app, |app| app.host.push(HostRequest::Quit));
            });
        }
        _ => {}
    }
}

/// Brings a panel to the front, and opens the side that it stands on.
pub fn show_panel(app: &mut App, pane: Pane) {
    match pane {
        Pane::Chat => app.settings.show_chat = true,
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

/// Escape takes back the topmost thing.
pub fn escape(app: &mut App) {
    if app.palette.is_open() {
        app.palette.toggle();
    } else if app.prompt.take().is_some()
        || app.confirm.take().is_some()
        || app.film_dialog.take().is_some()
    {
    } else if app.help_open {
        app.help_open = false;
    } else if app.overlay.is_some() {
        app.overlay = None;
    } else if app.chat.asking.is_some() {
        super::ask::stop(app);
    } else if app.tasks.cancel_newest() {
    } else if app.transport.playing {
        app.transport.stop();
    } else if walkthrough::put_down(app) || app.what_if.put_down() {
    } else if !app.notices.is_empty() {
        app.notices.clear();
    } else {
        app.act(UiCommand::ResetSelection);
    }
}
