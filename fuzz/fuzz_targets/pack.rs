//! Any bytes as a pack: unpacked into a temporary folder, and nothing outside it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vlmscope::record::unpack;
use vlmscope::view::timeline::Walkthrough;

fuzz_target!(|bytes: &[u8]| {
    let path = std::env::temp_dir().join(format!("fuzz-{}.zip", std::process::id()));
    if std::fs::write(&path, bytes).is_err() {
        return;
    }
    if let Ok(unpacked) = unpack(&path) {
        let _ = Walkthrough::open(&unpacked.walkthrough);
    }
});
