//! The look of the window in a few small pictures: run with UPDATE_SNAPSHOTS=1 to take them again, then look at them.

use crate::support::{open, settle, until};
use egui_kittest::SnapshotOptions;
use vlmscope::ui::Start;
use vlmscope::ui::shortcuts::UiCommand;

/// Pixels that may differ: the edges of letters on another version of the software renderer.
const MAY_DIFFER: usize = 60;

#[test]
fn the_window_looks_as_it_did() {
    let mut window = open([1280.0, 720.0], 1.0, Start::BuiltIn, None);
    until(&mut window, |app| {
        assert!(app.chat.error.is_none(), "{:?}", app.chat.error);
        app.chat.asking.is_none() && app.doc().is_some_and(|doc| !doc.live)
    });
    let options =
        SnapshotOptions::new().output_path("tests/snapshots").max_failed_pixels(MAY_DIFFER);
    for (name, act) in [("stage", UiCommand::ShowStage), ("wall", UiCommand::ShowWall)] {
        window.state().intents.act(act);
        settle(&mut window);
        settle(&mut window);
        window.snapshot_options(name, &options);
    }
}
