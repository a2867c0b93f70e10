//! Named sets of heads, which are kept in the settings.

use crate::settings::NamedHeads;
use crate::ui::app::App;
use crate::ui::intent::{HeadsCommand, Intent};
use crate::ui::layout::Pane;
use crate::view::HeadSet;

/// Keeps the chosen heads under a name that can be changed.
pub fn keep(app: &mut App) {
    let Some(doc) = app.doc() else { return };
    let model = doc.model_key();
    let Some(heads) = HeadSet::new(doc.state().map.chosen_heads()) else {
        return app.notify("Choose heads first: click one, then others with Ctrl or Shift.", false);
    };
    let is_free = |name: &String| app.settings.head_sets.iter().all(|set| set.name != *name);
    let names = (app.settings.head_sets.len() + 1..).map(|number| format!("set {number}"));
    let name = names.take(1000).find(is_free).unwrap_or_default();
    app.settings.head_sets.push(NamedHeads { name, model, heads });
    app.shows_answers = false;
    app.intents.send(Intent::ShowPanel(Pane::Ranking));
}

/// Shows the chosen head in every open answer.
pub fn in_answers(app: &mut App) {
    app.shows_answers = true;
    app.intents.send(Intent::ShowPanel(Pane::Ranking));
}

/// Carries out a command; sets are counted from 0.
pub fn apply(app: &mut App, command: HeadsCommand) {
    let sets = &mut app.settings.head_sets;
    match command {
        HeadsCommand::Remove(index) if index < sets.len() => {
            sets.remove(index);
        }
        HeadsCommand::Remove(_) => {}
        HeadsCommand::Rename(index, name) => {
            if let Some(set) = sets.get_mut(index) {
                set.name = name;
            }
        }
    }
}
