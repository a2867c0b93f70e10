//! Any text as a tokenizer.json: loaded, and used on a text and on ids.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;
use std::sync::{LazyLock, Once};
use vlmscope::model::{Manifest, Tokenizer};

static MANIFEST: LazyLock<Manifest> = LazyLock::new(|| {
    let path = Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/fixtures/bundles/gqa/manifest.json"
    ));
    Manifest::parse(path, &std::fs::read(path).expect("the fixture is there")).expect("it is sound")
});

fuzz_target!(|bytes: &[u8]| {
    // A panic inside the library becomes an error; libFuzzer's hook would end the process first.
    static QUIET: Once = Once::new();
    QUIET.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    let Ok(tokenizer) = Tokenizer::from_bytes(Path::new("tokenizer.json"), bytes, &MANIFEST) else {
        return;
    };
    let text = tokenizer.neutralise("What is <image> this? ﷺ a\u{2060}b");
    if let Ok(encoded) = tokenizer.encode(&text, true) {
        assert!(encoded.len() < 100_000, "a short text became {} tokens", encoded.len());
        let ids: Vec<u32> = encoded.iter().map(|token| token.id).collect();
        let _ = tokenizer.decode(&ids);
        for id in ids {
            let _ = (tokenizer.piece(id), tokenizer.is_separator(id));
        }
    }
});
