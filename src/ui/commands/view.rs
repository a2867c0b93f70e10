//! Changes of the view that is looked at.

use crate::ui::app::App;
use crate::ui::document::Document;
use crate::ui::transition::Transition;
use crate::view::{
    Command, MapSource, Mix, Normalise, PictureChoice, Range, Scale, Second, ViewKind, ViewState,
};

/// Applies a command to the document that is looked at.
pub fn apply(app: &mut App, command: &Command) {
    let now = app.now();
    let animate = app.settings.animate;
    let Some(doc) = app.doc_mut() else { return };
    let before = doc.state().clone();
    match doc.apply(command) {
        Ok(false) => {}
        Ok(true) => {
            app.closed_last &= command.is_transient();
            let Some(doc) = app.doc() else { return };
            let after = doc.state().clone();
            let on_stage = after.view == ViewKind::Overlay && after.second.is_none();
            if animate && on_stage && is_jump(command) && before.map != after.map {
                app.transition = Some(Transition::new(before.map, now));
            } else if before.map != after.map || before.view != after.view {
                app.transition = None;
            }
            keep_look(app, &after);
        }
        Err(error) => app.notify(error.to_string(), true),
    }
}

/// Only commands that may lead to a very different map are jumps; scrubs are never cross-faded.
const fn is_jump(command: &Command) -> bool {
    matches!(
        command,
        Command::SetLayers(_)
            | Command::SetHeads(_)
            | Command::SetLayerHead(..)
            | Command::SetSource(_)
    )
}

/// New documents start with the look that was used last.
fn keep_look(app: &mut App, state: &ViewState) {
    app.look = ViewState { hovered: None, selected: Vec::new(), ..state.clone() };
    (app.look.object, app.look.objects) = (None, Vec::new());
}

/// Applies the change that follows from the view and its document. It is applied at once, so that the next key of the
/// same frame starts from it.
pub fn change(app: &mut App, change: impl FnOnce(&ViewState, &Document) -> Command) {
    if let Some(command) = app.doc().map(|doc| change(doc.state(), doc)) {
        apply(app, &command);
    }
}

/// Shows a kind of view.
pub fn show(app: &mut App, view: ViewKind) {
    apply(app, &Command::SetView(view));
}

/// The relevancy view of the first relevancy map in the trace.
pub fn relevancy(state: &ViewState, doc: &Document) -> Command {
    let mut next = state.clone();
    next.view = ViewKind::Relevancy;
    let first = doc.extent.maps.iter().find(|map| map.starts_with("relevancy."));
    let name = first.cloned().unwrap_or_else(|| "relevancy.llm".into());
    if !next.map.source.name().starts_with("relevancy.") {
        next.map.source = MapSource::Named(name);
    }
    Command::Replace(Box::new(next))
}

/// Pins the shown map for comparison with others; or removes the pinned one.
pub fn pin(state: &ViewState, _: &Document) -> Command {
    let pinned =
        || Second { trace: None, map: state.map.clone(), mix: Mix::Swipe { position: 0.5 } };
    Command::SetSecond(state.second.is_none().then(|| Box::new(pinned())))
}

/// Compares with the pinned map in the next way, if there is one.
pub fn next_mix(app: &mut App) {
    let mix = app.doc().and_then(|doc| doc.state().second.as_ref()).map(|second| second.mix);
    if let Some(mix) = mix {
        apply(app, &Command::SetMix(mix_after(mix)));
    }
}

/// The default look; the selection of data stays.
pub fn default_look(state: &ViewState, _: &Document) -> Command {
    let plain = ViewState::default();
    Command::Replace(Box::new(ViewState {
        colormap: plain.colormap,
        blend: plain.blend,
        opacity: plain.opacity,
        fade_below: plain.fade_below,
        interpolation: plain.interpolation,
        normalise: plain.normalise,
        grid: plain.grid,
        remove_bos: plain.remove_bos,
        picture: PictureChoice { form: plain.picture.form, ..state.picture },
        hovered: None,
        ..state.clone()
    }))
}

const fn mix_after(mix: Mix) -> Mix {
    match mix {
        Mix::Swipe { .. } => Mix::CrossFade { amount: 0.5 },
        Mix::CrossFade { .. } => Mix::Difference,
        Mix::Difference => Mix::Swipe { position: 0.5 },
    }
}

/// The normalisation after this one.
pub fn next_normalisation(now: Normalise) -> Normalise {
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

/// Jumps to the head that ranks first, or the one after the last that was jumped to.
pub fn best_head(app: &mut App, next: bool) {
    let Some(doc) = app.doc() else { return };
    let ranking = app.value_cache.ranking_in_use(&app.docs, doc, doc.state(), app.rank_over_all);
    app.rank = if next { (app.rank + 1) % ranking.len().max(1) } else { 0 };
    if let Some(best) = ranking.get(app.rank) {
        apply(app, &Command::SetLayerHead(best.layer, best.head));
    }
}
