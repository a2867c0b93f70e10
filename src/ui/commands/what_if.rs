//! Commands of the what-if panel: tools, comparisons, changes of the model.

use super::{edit_picture, interventions, patching};
use crate::model::Intervention;
use crate::trace::{Head, Layer};
use crate::ui::app::App;
use crate::ui::what_if::{Compare, WhatIfCommand};
use crate::view::figure::head_name;
use crate::view::{Command, MapSource};

/// Carries out a command.
pub fn apply(app: &mut App, command: WhatIfCommand) {
    match command {
        WhatIfCommand::Tool(tool) => edit_picture::take_up(app, tool),
        WhatIfCommand::Settings(settings) => app.what_if.settings = settings,
        WhatIfCommand::Live(live) => app.what_if.live = live,
        WhatIfCommand::Gesture(points) => app.what_if.gesture = points,
        WhatIfCommand::Swipe(share) => app.what_if.swipe = share,
        WhatIfCommand::From(from) => app.what_if.from = from,
        WhatIfCommand::Step(step) => edit_picture::step(app, step),
        WhatIfCommand::UndoStep => edit_picture::change(app, |edits| edits.undo()),
        WhatIfCommand::RedoStep => edit_picture::change(app, |edits| edits.redo()),
        WhatIfCommand::Reset => edit_picture::change(app, |edits| {
            let had = !edits.is_empty();
            while edits.undo() {}
            had
        }),
        WhatIfCommand::AskAgain => edit_picture::ask_again(app),
        WhatIfCommand::SavePicture => edit_picture::save_picture(app),
        WhatIfCommand::SaveEdits => edit_picture::save_steps(app),
        WhatIfCommand::Compare(how) => show_both(app, how),
        WhatIfCommand::CompareWith(other) => interventions::compare_with(app, other),
        WhatIfCommand::Steer(strength) => interventions::steer(app, strength),
        WhatIfCommand::Patch(ask) => patching::start(app, ask),
        WhatIfCommand::ShowPatched(site, layer) => patching::show_layer(app, site, layer),
    }
}

/// Switches off the heads that are chosen one by one.
pub fn shown_heads_off(app: &mut App) {
    let heads = app.doc().map(|doc| doc.state().map.chosen_heads()).unwrap_or_default();
    let what = match heads.as_slice() {
        [] => {
            return app
                .notify("Choose one layer and one head first, or several heads (Ctrl).", false);
        }
        few if few.len() <= 4 => {
            let names: Vec<String> = few.iter().map(|&[l, h]| head_name(l, h)).collect();
            format!("{} off", names.join(", "))
        }
        many => format!("{} heads off", many.len()),
    };
    let off = heads.iter().map(|&[layer, head]| (Layer(layer), Head(head))).collect();
    interventions::intervene(app, Intervention::AblateHeads(off), what);
}

/// Cuts the attention to the chosen patches, or to all others.
pub fn cut_patches(app: &mut App, keep: bool) {
    let Some(doc) = app.doc() else { return };
    let meta = doc.meta();
    let patches = &doc.state().selected;
    let keys: Vec<u32> =
        patches.iter().filter_map(|patch| Some(meta.key_of_patch(*patch)?.0)).collect();
    if keys.is_empty() {
        app.notify("Choose patches first: click or brush over the picture.", false);
        return;
    }
    let (from, layers, count) = (app.what_if.from, Vec::new(), keys.len());
    let patches = if count == 1 { "patch" } else { "patches" };
    let (change, what) = if keep {
        let what = format!("attention to {count} {patches} only");
        (Intervention::KeepPatches { keys, from, layers }, what)
    } else {
        let what = format!("attention to {count} {patches} blocked");
        (Intervention::Knock { keys, from, layers }, what)
    };
    interventions::intervene(app, change, what);
}

/// Whether the second answer lacks the map that is shown.
fn lacks_map(app: &App) -> Option<String> {
    let scored = &app.what_if.comparison.as_ref()?.scored;
    let MapSource::Named(name) = &app.doc()?.state().map.source else { return None };
    let is_there = |names: Vec<&str>| names.contains(&name.as_str());
    (!is_there(scored.map_names()) && !is_there(scored.page_names())).then(|| name.clone())
}

/// Shows one answer again, where the other has no map of the kind that was chosen.
pub fn leave_without_map(app: &mut App) {
    if app.what_if.seen_together(app.current).is_none() {
        return;
    }
    if let Some(name) = lacks_map(app) {
        app.what_if.compare = Compare::Off;
        let text = format!("The other answer has no map `{name}`, so this one is shown alone.");
        app.notify(text, false);
    }
}

/// Shows both answers, or only one again.
fn show_both(app: &mut App, how: Compare) {
    let Some(first) = app.what_if.comparison.as_ref().map(|comparison| comparison.first) else {
        app.what_if.compare = Compare::Off;
        return;
    };
    app.what_if.compare = how;
    // Tokens are those of the first answer: the second question was scored with it.
    if how != Compare::Off {
        app.show_document(first);
        edit_picture::take_up(app, None);
        if let Some(name) = lacks_map(app) {
            app.intents.command(Command::SetSource(MapSource::Attention));
            let text = format!("The other answer has no map `{name}`: both attentions are shown.");
            app.notify(text, false);
        }
    }
}
