//! Any text as a walkthrough: laid out in time, written and read back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vlmscope::view::timeline::{Timeline, Walkthrough, caption_text};

fuzz_target!(|text: &str| {
    let Ok(walkthrough) = Walkthrough::from_toml("tour.toml", text) else { return };
    let timeline = Timeline::new(&walkthrough);
    let seconds = timeline.seconds();
    assert!(seconds.is_finite());
    for (step, _) in timeline.captions().take(50) {
        let _ = caption_text(&step.caption);
    }
    for at in 0..20 {
        let _ = timeline.at(seconds * f64::from(at) / 19.0);
    }
    if let Ok(written) = walkthrough.to_toml() {
        let back =
            Walkthrough::from_toml("again.toml", &written).expect("what was written is read");
        assert_eq!(back.steps.len(), walkthrough.steps.len());
    }
});
