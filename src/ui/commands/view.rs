//! Actions that change what is seen.

use crate::settings::Bookmark;
use crate::ui::app::{App, Intent};
use crate::ui::document::Document;
use crate::ui::shortcuts::UiCommand;
use crate::ui::transition::Transition;
use crate::ui::transport::Axis;
use crate::view::{
    AxisSet, Blend, Camera, ColorMap, Command, HeadOrder, ImageForm, Interpolation, MapSource, Mix,
    Normalise, PatchGrid, Quantity, Queries, QueryKind, Range, Scale, Second, ViewKind, ViewState,
};
use std::time::Duration;

/// Applies a command to the document that is looked at.
pub fn command(app: &mut App, command: &Command) {
    let now = app.now();
    let animate = app.settings.animate;
    let Some(doc) = app.doc_mut() else { return };
    let before = doc.state().clone();
    match doc.apply(command) {
        Ok(false) => {}
        Ok(true) => {
            let after = doc.state().clone();
            let on_stage = after.view == ViewKind::Overlay && after.second.is_none();
            if animate && on_stage && is_jump(command) && before.map != after.map {
                app.fade = Some(Transition::new(before.map, now));
            } else if before.map != after.map || before.view != after.view {
                app.fade = None;
            }
            keep_look(app, &after);
        }
        Err(error) => app.notify(error.to_string(), true),
    }
}

/// Only a click far away is a jump; a scrub follows the hand.
const fn is_jump(command: &Command) -> bool {
    matches!(
        command,
        Command::SetLayers(_)
            | Command::SetHeads(_)
            | Command::SetLayerHead(..)
            | Command::SetSource(_)
    )
}

/// New documents start in the look that is in use.
fn keep_look(app: &mut App, state: &ViewState) {
    app.look = ViewState { hovered: None, selected: Vec::new(), ..state.clone() };
}

/// What an action of the view does.
pub fn run(app: &mut App, act: UiCommand) {
    if matches!(act, UiCommand::Undo | UiCommand::Redo) {
        if let Some(doc) = app.doc_mut() {
            let _ = if act == UiCommand::Undo { doc.undo() } else { doc.redo() };
        }
        app.fade = None;
        return;
    }
    if play(app, act) {
        return;
    }
    if matches!(act, UiCommand::BestHead | UiCommand::NextBestHead) {
        best_head(app, act == UiCommand::NextBestHead);
        return;
    }
    let Some(doc) = app.doc() else { return };
    // At once: the next key of the same frame starts from here.
    if let Some(change) = scrub(doc.state(), doc, act).or_else(|| look(doc.state(), act)) {
        command(app, &change);
    }
}

fn scrub(state: &ViewState, doc: &Document, act: UiCommand) -> Option<Command> {
    let view = |view: ViewKind| Some(Command::SetView(view));
    match act {
        UiCommand::ShowStage => view(ViewKind::Overlay),
        UiCommand::ShowHeads => view(ViewKind::Heads),
        // The same key again goes back to the stage.
        UiCommand::ShowWall if state.view == ViewKind::Wall => view(ViewKind::Overlay),
        UiCommand::ShowWall => view(ViewKind::Wall),
        UiCommand::ShowMatrix => view(ViewKind::LayerHead),
        UiCommand::ShowTokenMatrix => view(ViewKind::TokenMatrix),
        UiCommand::ShowRelevancy => {
            let mut next = state.clone();
            next.view = ViewKind::Relevancy;
            let first = doc.extent.maps.iter().find(|map| map.starts_with("relevancy."));
            let name = first.cloned().unwrap_or_else(|| "relevancy.llm".into());
            if matches!(next.map.source, MapSource::Attention) {
                next.map.source = MapSource::Named(name);
            }
            Some(Command::Replace(Box::new(next)))
        }
        UiCommand::NextToken => Some(Command::StepQuery(1)),
        UiCommand::PreviousToken => Some(Command::StepQuery(-1)),
        UiCommand::FirstToken => Some(Command::SetQueries(Queries::answer(0))),
        UiCommand::LastToken => {
            Some(Command::SetQueries(Queries::answer(doc.extent.answers.saturating_sub(1))))
        }
        UiCommand::AllTokens => {
            Some(Command::SetQueries(Queries { kind: QueryKind::Answer, set: AxisSet::MEAN }))
        }
        UiCommand::NextLayer => Some(Command::StepLayer(1)),
        UiCommand::PreviousLayer => Some(Command::StepLayer(-1)),
        UiCommand::NextHead => Some(Command::StepHead(1)),
        UiCommand::PreviousHead => Some(Command::StepHead(-1)),
        UiCommand::Mean => Some(with_axes(state, AxisSet::MEAN, AxisSet::MEAN)),
        UiCommand::Max => Some(with_axes(state, AxisSet::MAX, AxisSet::MAX)),
        UiCommand::MeanLayers => Some(Command::SetLayers(AxisSet::MEAN)),
        UiCommand::MeanHeads => Some(Command::SetHeads(AxisSet::MEAN)),
        UiCommand::ResetSelection => Some(Command::SelectPatches(Vec::new())),
        UiCommand::ZoomIn => Some(Command::ZoomBy { factor: 1.25, about: state.camera.centre }),
        UiCommand::ZoomOut => Some(Command::ZoomBy { factor: 0.8, about: state.camera.centre }),
        UiCommand::ZoomFit => Some(Command::SetCamera(Camera::default())),
        _ => None,
    }
}

/// Both axes in one step of the history.
pub fn with_axes(state: &ViewState, layers: AxisSet, heads: AxisSet) -> Command {
    let mut next = state.clone();
    next.map.layers = layers;
    next.map.heads = heads;
    next.map.source = MapSource::Attention;
    next.hovered = None;
    Command::Replace(Box::new(next))
}

fn next_of<T: Copy + PartialEq>(all: &[T], current: T) -> T {
    let at = all.iter().position(|&one| one == current).unwrap_or(0);
    all.get((at + 1) % all.len().max(1)).copied().unwrap_or(current)
}

fn look(state: &ViewState, act: UiCommand) -> Option<Command> {
    Some(match act {
        UiCommand::NextColormap => Command::SetColormap(next_of(ColorMap::ALL, state.colormap)),
        UiCommand::NextBlend => Command::SetBlend(next_of(Blend::ALL, state.blend)),
        UiCommand::NextInterpolation => {
            Command::SetInterpolation(next_of(Interpolation::ALL, state.interpolation))
        }
        UiCommand::NextNormalisation => Command::SetNormalise(next_normalisation(state.normalise)),
        UiCommand::NextQuantity => Command::SetQuantity(next_of(Quantity::ALL, state.quantity)),
        UiCommand::NextHeadOrder => {
            Command::SetHeadOrder(next_of(HeadOrder::ALL, state.head_order))
        }
        UiCommand::ToggleGrid => Command::SetGrid(next_of(PatchGrid::ALL, state.grid)),
        UiCommand::ToggleBos => Command::SetRemoveBos(!state.remove_bos),
        UiCommand::PinMap => Command::SetSecond(match state.second {
            Some(_) => None,
            None => Some(Box::new(pinned(state))),
        }),
        UiCommand::NextMix => Command::SetMix(next_mix(state.second.as_ref()?.mix)),
        UiCommand::TogglePicture => {
            Command::SetImageForm(next_of(ImageForm::ALL, state.picture.form))
        }
        UiCommand::LvlmInterpretLook => Command::LvlmInterpretLook,
        UiCommand::DefaultLook => {
            let plain = ViewState::default();
            Command::Replace(Box::new(ViewState {
                colormap: plain.colormap,
                blend: plain.blend,
                opacity: plain.opacity,
                interpolation: plain.interpolation,
                normalise: plain.normalise,
                grid: plain.grid,
                remove_bos: plain.remove_bos,
                picture: plain.picture,
                hovered: None,
                ..state.clone()
            }))
        }
        _ => return None,
    })
}

/// The map that is seen, to compare others with.
fn pinned(state: &ViewState) -> Second {
    Second { trace: None, map: state.map.clone(), mix: Mix::Swipe { position: 0.5 } }
}

const fn next_mix(mix: Mix) -> Mix {
    match mix {
        Mix::Swipe { .. } => Mix::CrossFade { amount: 0.5 },
        Mix::CrossFade { .. } => Mix::Difference,
        Mix::Difference => Mix::Swipe { position: 0.5 },
    }
}

fn next_normalisation(now: Normalise) -> Normalise {
    let linear = |range: Range| Normalise { range, scale: Scale::Linear };
    match (now.range, now.scale) {
        (Range::PerMap, Scale::Linear) => linear(Range::Shared),
        (Range::Shared, Scale::Linear) => linear(Range::Percentile { low: 1.0, high: 99.0 }),
        (Range::Percentile { .. }, Scale::Linear) => {
            Normalise { range: Range::PerMap, scale: Scale::Log }
        }
        _ => linear(Range::PerMap),
    }
}

/// Jumps to the most telling head, or the one after it.
fn best_head(app: &mut App, next: bool) {
    let Some(doc) = app.doc().cloned() else { return };
    let ranking = crate::ui::panels::ranking::ranking(app, &doc);
    app.rank = if next { (app.rank + 1) % ranking.len().max(1) } else { 0 };
    if let Some(best) = ranking.get(app.rank) {
        command(app, &Command::SetLayerHead(best.layer, best.head));
    }
}

fn play(app: &mut App, act: UiCommand) -> bool {
    let axis = match act {
        UiCommand::Play => None,
        UiCommand::PlayTokens => Some(Axis::Tokens),
        UiCommand::PlayLayers => Some(Axis::Layers),
        UiCommand::PlayHeads => Some(Axis::Heads),
        UiCommand::Faster | UiCommand::Slower => {
            app.transport.change_speed(if act == UiCommand::Faster { 1 } else { -1 });
            return true;
        }
        UiCommand::ToggleLoop => {
            app.transport.repeat = !app.transport.repeat;
            return true;
        }
        _ => return false,
    };
    if app.doc().is_none() {
        return true;
    }
    match axis {
        // Another axis while it plays changes the film, the same one stops it.
        Some(axis) if app.transport.playing && app.transport.axis != axis => {
            app.transport.axis = axis;
        }
        Some(axis) => {
            app.transport.axis = axis;
            app.transport.toggle();
        }
        None => app.transport.toggle(),
    }
    true
}

/// Where the film is and how long it is: index and length of its axis.
pub fn film(app: &App) -> (u32, u32) {
    let Some(doc) = app.doc() else { return (0, 0) };
    let map = &doc.state().map;
    let at = |set: &AxisSet| set.only().unwrap_or(0);
    match app.transport.axis {
        Axis::Tokens if map.queries.kind == QueryKind::Answer => {
            (at(&map.queries.set), doc.extent.answers)
        }
        Axis::Tokens => (0, doc.extent.answers),
        Axis::Layers => (at(&map.layers), doc.extent.layers),
        Axis::Heads => (at(&map.heads), doc.extent.heads),
    }
}

/// The command that shows a place of the film.
pub fn film_command(axis: Axis, at: u32) -> Command {
    match axis {
        Axis::Tokens => Command::SetQueries(Queries::answer(at)),
        Axis::Layers => Command::SetLayers(AxisSet::single(at)),
        Axis::Heads => Command::SetHeads(AxisSet::single(at)),
    }
}

/// Lets the film run.
pub fn tick(app: &mut App, ctx: &egui::Context) {
    let (at, len) = film(app);
    let now = app.now();
    if let Some(next) = app.transport.tick(now, at, len) {
        // A film follows like a scrub: it does not fade.
        let command = film_command(app.transport.axis, next);
        if let Some(doc) = app.doc_mut()
            && let Err(error) = doc.apply(&command)
        {
            app.notify(error.to_string(), true);
            app.transport.stop();
        }
        app.fade = None;
    }
    if let Some(wait) = app.transport.wait(now) {
        ctx.request_repaint_after(Duration::from_secs_f64(wait));
    }
}

/// What a view is called while nobody says anything else.
pub fn automatic_note(state: &ViewState, doc: &Document) -> String {
    let caption = crate::view::figure::caption(state, doc.meta(), None, None);
    crate::view::figure::text_of(&caption)
}

/// Keeps the view.
pub fn add_bookmark(app: &mut App) {
    let Some(doc) = app.doc() else { return };
    let state = ViewState { hovered: None, ..doc.state().clone() };
    let note = automatic_note(&state, doc);
    let trace = doc.path.clone();
    let document = Some(doc.id.number());
    app.settings.bookmarks.push(Bookmark { note, trace, state, document });
    app.notify("Bookmarked.", false);
}

/// Shows a kept view, with its trace where it is open or can be opened.
pub fn go_to_bookmark(app: &mut App, index: usize) {
    let Some(bookmark) = app.settings.bookmarks.get(index).cloned() else { return };
    let open = app.docs.iter().find(|doc| doc.is_of(&bookmark)).map(|doc| doc.id);
    match (open, &bookmark.trace) {
        (Some(id), _) => app.show_document(id),
        (None, Some(path)) => super::files::open(app, path),
        (None, None) => {}
    }
    app.send(Intent::Command(Command::Replace(Box::new(bookmark.state))));
}
