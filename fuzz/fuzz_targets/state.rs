//! Any text as a view state: what is read is written and read back the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vlmscope::view::ViewState;

fuzz_target!(|text: &str| {
    let Ok(state) = ViewState::from_toml(text) else { return };
    let Ok(written) = state.to_toml() else { return };
    let back = ViewState::from_toml(&written).expect("what was written is read");
    assert_eq!(back.to_toml().expect("it was written before"), written);
});
