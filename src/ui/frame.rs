//! One pass of one frame of the window: events in, panels drawn, intents carried out, stage
//! rendered.
//!
//! Intents are carried out when all panels are drawn. Where that changes what is seen, the pass is
//! discarded and drawn again at once, so that every panel shows a change in the very frame in which
//! it was made.

use super::app::App;
use super::commands;
use super::intent::Intent;
use super::layout::{NARROW, Overlay, Pane, PanePlacement, Seen};
use super::pane::{PaneContext, PaneUi, PassOutput};
use super::panels::{FILM_STRIP_HEIGHT, Panes};
use super::shortcuts::{self, Focus, UiCommand};
use super::stage::StageTraces;
use super::walkthrough::editor::Editor;
use super::{theme, widgets};
use crate::gpu::Beside;
use crate::view::{Quantity, Theme, ViewState};
use egui::{Frame, Margin, Rect, Ui, pos2, vec2};
use std::sync::Arc;
use std::time::Duration;

const TITLE_HEIGHT: f32 = 44.0;
/// Space around the panels, in points.
const PANEL_MARGIN: f32 = 3.0 * theme::GRID;

/// One pass of one frame.
pub fn pass(app: &mut App, panes: &mut Panes, ui: &mut Ui) {
    let ctx = ui.ctx().clone();
    app.clock = ctx.input(|input| input.time);
    begin(app, &ctx);
    let output = PassOutput::default();
    draw(app, panes, &output, ui);
    take(app, &output, &ctx);
    let marked = output.marked();
    if marked != app.marked {
        app.marked = marked;
        ctx.request_discard("other words are marked");
    }
    app.preview = output.preview().filter(|_| !app.is_preview_over);
    commands::apply_all(app, &ctx);
    let seen = app.seen();
    if seen != app.shown {
        app.shown = seen;
        ctx.request_discard("the view changed");
    }
    app.had_text_focus = ctx.text_edit_focused();
    if !ctx.will_discard() {
        finish(app, &ctx);
        commands::note(app);
    }
}

/// Reads input since the last frame: results of the model, files and tasks, keys, playback.
fn begin(app: &mut App, ctx: &egui::Context) {
    apply_theme(app, ctx);
    app.is_narrow = ctx.content_rect().width() < NARROW;
    if !app.is_narrow {
        app.overlay = None;
    }
    commands::read_news(app, ctx);
    read_keys(app, ctx);
    let released = ctx.input(|input| {
        input.pointer.any_released()
            || input
                .events
                .iter()
                .any(|event| matches!(event, egui::Event::Key { pressed: false, .. }))
    });
    commands::read_input(app, ctx);
    commands::tick(app, ctx);
    commands::apply_all(app, ctx);
    if released && let Some(doc) = app.doc_mut() {
        doc.settle();
    }
    let clock = app.clock;
    app.notices.retain(|notice| !notice.is_over(clock));
    if app.notices.iter().any(|notice| notice.seconds.is_some()) {
        ctx.request_repaint_after(Duration::from_millis(500));
    }
    commands::draw_pictures(app, ctx);
    app.shown = app.seen();
}

/// Sends the commands of pressed keys. What a key or a click changes must be seen, so it ends the preview of what is
/// under a pointer that rests.
fn read_keys(app: &mut App, ctx: &egui::Context) {
    if ctx.input(|input| input.pointer.delta() != egui::Vec2::ZERO) {
        app.is_preview_over = false;
    } else if ctx.input(|input| input.pointer.primary_clicked()) {
        app.is_preview_over = true;
        app.preview = None;
    }
    let focus = match (ctx.text_edit_focused(), ctx.egui_wants_keyboard_input()) {
        (true, _) => Focus::Text,
        (false, true) => Focus::Widget,
        (false, false) => Focus::None,
    };
    let pressed = ctx.input(|input| shortcuts::pressed(&input.events, focus));
    // The palette reads its own keys, a menu that is open closes by itself.
    if app.palette_open || egui::Popup::is_any_open(ctx) {
        return;
    }
    let meant: Vec<UiCommand> =
        pressed.into_iter().filter(|command| is_meant(app, *command, focus)).collect();
    for command in meant {
        app.intents.act(command);
        app.is_preview_over = true;
        app.preview = None;
    }
}

/// Whether a key is for the window: not behind a question, and not where Escape only leaves a text.
fn is_meant(app: &App, command: UiCommand, focus: Focus) -> bool {
    if app.is_asked() || app.help_open {
        return command == UiCommand::Stop || (command == UiCommand::Help && !app.is_asked());
    }
    // egui has already taken the focus away at this point.
    let leaves_text = focus == Focus::Text || app.had_text_focus;
    command != UiCommand::Stop || !leaves_text || app.chat.asking.is_some()
}

fn apply_theme(app: &App, ctx: &egui::Context) {
    let preference = match app.settings.theme {
        None => egui::ThemePreference::System,
        Some(Theme::Dark) => egui::ThemePreference::Dark,
        Some(Theme::Light) => egui::ThemePreference::Light,
    };
    if ctx.options(|options| options.theme_preference) != preference {
        ctx.set_theme(preference);
    }
    let text = theme::text_scale(ctx, app.settings.font_scale);
    let zoom = text * theme::screen_scale(ctx);
    if (ctx.zoom_factor() - zoom).abs() > 0.01 {
        ctx.set_zoom_factor(zoom);
    }
}

/// The context of the panels for one pass.
fn context<'a>(app: &'a App, output: &'a PassOutput) -> PaneContext<'a> {
    PaneContext {
        docs: &app.docs,
        data_sets: &app.data_sets,
        current: app.doc(),
        shown: &app.shown,
        look: &app.look,
        values: &app.value_cache,
        chat: &app.chat,
        tasks: app.tasks.running(),
        is_busy: app.exports.is_busy(),
        settings: &app.settings,
        transport: &app.transport,
        what_if: &app.what_if,
        marking: &app.marking,
        editor: app.editor.as_ref(),
        recorder: app.take.as_ref(),
        scores: app.scores.as_ref(),
        samples: app.samples.as_deref(),
        captured_samples: &app.captured_samples,
        thumbnails: &app.thumbnails,
        picture_strips: &app.picture_strips,
        stage: &app.stage,
        // Messages lie over the middle of a table as they do over that of a stage.
        stage_rect: match (output.stage_rect.get(), app.data_sets.shown()) {
            (Some(rect), _) => rect,
            (None, Some(_)) => app.data_set_rect,
            (None, None) => app.stage_rect,
        },
        notices: &app.notices,
        film_dialog: app.film_dialog.as_ref(),
        film_options: &app.film_options,
        confirm: app.confirm.as_ref().map(|confirm| confirm.of),
        prompt: app.prompt.as_ref(),
        help_open: app.help_open,
        palette_open: app.palette_open,
        overlay: app.overlay,
        rank_over_all: app.rank_over_all,
        shows_answers: app.shows_answers,
        marked: &app.marked,
        now: app.clock,
        intents: &app.intents,
        output,
    }
}

/// Draws the title bar, the docked panels (or overlays on a narrow window), and what stands over
/// them.
fn draw(app: &mut App, panes: &mut Panes, output: &PassOutput, ui: &mut Ui) {
    let ink = widgets::ink(ui);
    let mut layout = app.layout.take().unwrap_or_default();
    let cx = context(app, output);
    egui::Panel::top("title")
        .exact_size(TITLE_HEIGHT)
        .frame(Frame::new().fill(ink.panel).inner_margin(Margin::symmetric(12, 6)))
        .show(ui, |ui| panes.title.ui(&cx, ui));
    if cx.editor.is_some() && cx.data_set().is_none() {
        egui::Panel::bottom("film strip")
            .exact_size(FILM_STRIP_HEIGHT)
            .frame(Frame::new().fill(ink.panel).inner_margin(Margin::symmetric(12, 4)))
            .show(ui, |ui| panes.film_strip.ui(&cx, ui));
    }
    // The lines between panels are the colour that the window was cleared with: a fill of the whole
    // window costs a software renderer a third of a frame.
    egui::CentralPanel::default().frame(Frame::new()).show(ui, |ui| {
        ui.spacing_mut().item_spacing = egui::Vec2::ZERO;
        if cx.data_set().is_some() {
            panes.data_set.ui(&cx, ui);
        } else if app.is_narrow {
            narrow_panels(&cx, panes, ui, app.tokens_height);
        } else {
            let seen = Seen {
                chat: cx.settings.show_chat,
                inspector: cx.settings.show_inspector,
                tokens: cx.settings.show_tokens,
                tokens_height: app.tokens_height + 2.0 * PANEL_MARGIN,
                is_view: cx.is_view(),
                layers: cx.current.map_or(0, |doc| doc.extent.layers as usize),
            };
            layout.show(ui, seen, &mut |pane, ui| tile(&cx, panes, pane, ui));
        }
    });
    if let Some(overlay) = cx.overlay.filter(|_| cx.data_set().is_none()) {
        show_overlay(&cx, panes, ui, overlay);
    }
    drop_hint(ui);
    // The stage has its rectangle now, over which messages are placed.
    let cx = context(app, output);
    for pane in panes.over() {
        pane.ui(&cx, ui);
    }
    if !app.is_narrow && ui.input(|input| input.pointer.any_released()) {
        app.settings.layout = layout.to_text();
    }
    app.layout = Some(layout);
}

/// Draws the surface of a panel; the stage's picture has its own.
fn fill(cx: &PaneContext<'_>, pane: Pane, ui: &Ui, rect: Rect) {
    let ink = widgets::ink(ui);
    if pane != Pane::Stage {
        ui.painter().rect_filled(rect, 0.0, ink.panel);
    } else if cx.current.is_none() || cx.stage.texture().is_none() {
        ui.painter().rect_filled(rect, 0.0, ink.stage);
    }
}

/// Draws a panel into its tile of the layout.
fn tile(cx: &PaneContext<'_>, panes: &mut Panes, pane: Pane, ui: &mut Ui) {
    let rect = ui.max_rect();
    fill(cx, pane, ui, rect);
    let margin = if pane == Pane::Stage { 0.0 } else { PANEL_MARGIN };
    let inner = rect.shrink(margin);
    let builder =
        egui::UiBuilder::new().max_rect(inner).layout(egui::Layout::top_down(egui::Align::Min));
    let mut child = ui.new_child(builder);
    child.set_clip_rect(rect.intersect(ui.clip_rect()));
    panes.docked(pane).ui(cx, &mut child);
}

/// A narrow window: the stage with the token strip below it.
fn narrow_panels(cx: &PaneContext<'_>, panes: &mut Panes, ui: &mut Ui, tokens_height: f32) {
    let whole = ui.max_rect();
    let shows_tokens = cx.settings.show_tokens && cx.is_view();
    let wanted = tokens_height + 16.0;
    let tokens = if shows_tokens { wanted.min(whole.height() * 0.4) } else { 0.0 };
    let split = whole.bottom() - tokens;
    let parts = [
        (Pane::Stage, Rect::from_min_max(whole.min, pos2(whole.right(), split - 1.0)), 0.0),
        (Pane::Tokens, Rect::from_min_max(pos2(whole.left(), split), whole.max), 8.0),
    ];
    for (pane, rect, margin) in parts {
        if rect.height() < 8.0 {
            continue;
        }
        fill(cx, pane, ui, rect);
        let layout = egui::Layout::top_down(egui::Align::Min);
        let builder = egui::UiBuilder::new().max_rect(rect.shrink(margin)).layout(layout);
        let mut child = ui.new_child(builder);
        child.spacing_mut().item_spacing = vec2(8.0, 4.0);
        child.set_clip_rect(rect);
        panes.docked(pane).ui(cx, &mut child);
    }
}

/// A side panel that stands over the stage.
fn show_overlay(cx: &PaneContext<'_>, panes: &mut Panes, ui: &Ui, overlay: Overlay) {
    let ink = widgets::ink(ui);
    let screen = ui.ctx().content_rect();
    let width = (screen.width() - 48.0).min(360.0);
    let top = screen.top() + TITLE_HEIGHT;
    let height = screen.bottom() - top;
    let left = match overlay {
        Overlay::Chat => screen.left(),
        Overlay::Inspector => screen.right() - width,
    };
    egui::Area::new(egui::Id::unique("overlay"))
        .order(egui::Order::Middle)
        .fixed_pos(pos2(left, top))
        .show(ui.ctx(), |ui| {
            let frame = Frame::new()
                .fill(ink.panel)
                .stroke(egui::Stroke::new(1.0, ink.hairline))
                .shadow(ui.visuals().popup_shadow)
                .inner_margin(12);
            frame.show(ui, |ui| {
                ui.set_min_size(vec2(width - 26.0, height - 26.0));
                ui.set_max_size(vec2(width - 26.0, height - 26.0));
                match overlay {
                    Overlay::Chat => panes.docked(Pane::Chat).ui(cx, ui),
                    Overlay::Inspector => inspector(cx, panes, ui),
                }
            });
        });
}

/// The panels of the inspector, one below the other.
fn inspector(cx: &PaneContext<'_>, panes: &mut Panes, ui: &mut Ui) {
    egui::ScrollArea::vertical().id_salt("inspector").show(ui, |ui| {
        for &pane in Pane::ALL.iter().filter(|pane| pane.place() != PanePlacement::Bare) {
            widgets::heading(ui, pane.title(), |_| ());
            ui.scope(|ui| {
                ui.set_max_height(320.0);
                panes.docked(pane).ui(cx, ui);
            });
            widgets::hairline(ui);
        }
    });
}

/// The hint over the window while files are dragged over it.
fn drop_hint(ui: &Ui) {
    if ui.input(|input| input.raw.hovered_files.is_empty()) {
        return;
    }
    let ink = widgets::ink(ui);
    let layer = egui::LayerId::new(egui::Order::Foreground, egui::Id::unique("drop hint"));
    let painter = ui.ctx().layer_painter(layer);
    let rect = ui.ctx().content_rect();
    painter.rect_filled(rect, 0.0, ink.stage.gamma_multiply(0.85));
    painter.rect_stroke(
        rect.shrink(16.0),
        8.0,
        egui::Stroke::new(2.0, ink.accent),
        egui::StrokeKind::Inside,
    );
    let font = theme::strong(theme::TITLE);
    let text = "Drop to open: a picture, a trace, a folder of traces, a table, a walkthrough or a model folder";
    painter.text(rect.center(), egui::Align2::CENTER_CENTER, text, font, ink.text);
}

/// Takes the results of the panels: rectangles of the stages, size of the preview.
fn take(app: &mut App, output: &PassOutput, ctx: &egui::Context) {
    let scale = ctx.pixels_per_point();
    if let Some(rect) = output.stage_rect.get() {
        app.stage_rect = rect;
    }
    if let Some(columns) = output.sheet_columns.get() {
        app.sheet_columns = columns;
    }
    if let Some(rect) = output.data_set_rect.get() {
        app.data_set_rect = rect;
    }
    if let Some(height) = output.tokens_height.get()
        && (height - app.tokens_height).abs() > 0.5
    {
        app.tokens_height = height;
        ctx.request_discard("the token strip needs another height");
    }
    let stages = [
        (Some(&mut app.stage), &output.first_stage),
        (app.what_if.second_stage.as_mut(), &output.second_stage),
    ];
    for (stage, place) in stages {
        if let (Some(stage), Some(rect)) = (stage, place.get()) {
            let was_there = stage.texture().is_some();
            stage.place(rect, scale);
            if !was_there && stage.texture().is_some() {
                ctx.request_discard("a stage has got its texture");
            }
        }
    }
    if let (Some(editor), Some(pixels)) = (&mut app.editor, output.walkthrough_preview.get()) {
        editor.place_preview(app.film_options.size, pixels);
    }
}

/// After the last pass of the frame: renders the stage and keeps the settings.
fn finish(app: &mut App, ctx: &egui::Context) {
    app.counters.frames += 1;
    let dark = ctx.theme() == egui::Theme::Dark;
    let theme = if dark { Theme::Dark } else { Theme::Light };
    let mut state = ViewState { theme, ..app.shown.clone() };
    if let Some(transition) = &app.transition {
        match transition.at(app.clock) {
            Some(second) => {
                state.second = Some(second);
                ctx.request_repaint();
            }
            None => app.transition = None,
        }
    }
    if let Some(editor) = &mut app.editor {
        let (more, error) = editor.draw();
        if more {
            ctx.request_repaint();
        }
        if let Some(error) = error {
            app.notify(error, true);
        }
    }
    draw_stages(app, ctx, &mut state);
    tell_missing_glyphs(app);
    app.keep_settings(false);
    commands::keep_session(app, ctx);
}

/// Says once which characters of the stage, or of the walkthrough's preview, are drawn as boxes. A
/// list with more characters takes the place of the shorter one.
fn tell_missing_glyphs(app: &mut App) {
    let of_preview = app.editor.as_ref().and_then(Editor::missing_glyphs);
    for text in [app.stage.missing_glyphs(), of_preview].into_iter().flatten() {
        if !app.told_glyphs.contains(&text) {
            app.notices.retain(|notice| !app.told_glyphs.contains(&notice.text));
            let copy = Intent::Copy(text.clone(), "Message");
            app.offer(text.clone(), vec![("Copy", copy)]);
            app.told_glyphs.push(text);
        }
    }
}

fn draw_stages(app: &mut App, ctx: &egui::Context, state: &mut ViewState) {
    let trace = app.doc().map(|doc| Arc::clone(&doc.trace));
    let scale = ctx.pixels_per_point();
    let mut subtracted = app.what_if.subtract_second(app.current, state);
    if let Some(current) = app.current.filter(|_| subtracted.is_none()) {
        subtracted = app.what_if.second_of_matrix(current, state);
    }
    if state.quantity == Quantity::Change && state.second.is_none() {
        // The comparison was closed.
        state.set_quantity(Quantity::ImageShare);
    }
    let readouts = match &trace {
        Some(trace) => app.what_if.readouts_of_both(app.current, state, &mut app.stage, trace),
        None => None,
    };
    let [first_beside, second_beside] = match readouts {
        Some([first, second]) => [Some(Beside::Second(second)), Some(Beside::First(first))],
        None => [None, None],
    };
    let second = app.what_if.draw_second(app.current, state, &app.stage, second_beside, scale);
    let traces = StageTraces { second: subtracted.as_ref(), beside: first_beside };
    let drawn = app.stage.draw(state, trace.as_ref(), traces, scale);
    if let Some(trace) = &trace {
        commands::tell_shown(app, state, trace);
    }
    if second.pending || drawn.pending {
        ctx.request_repaint();
    }
    app.counters.stage_draws += u64::from(drawn.drew);
    app.counters.page_uploads += u64::from(drawn.page_uploads);
    for error in [second.error, drawn.error].into_iter().flatten() {
        app.notify(error, true);
    }
}
