//! Any text as a chat template, rendered in this process: what the template engine itself can take.
//! Bytes and depth are limited by the process that the program renders in (docs/security.md), so
//! templates that only ask for much of them are left out here.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::Once;
use vlmscope::model::answer_template_job;

/// A width or count of four digits is a request for memory.
const MOST_DIGITS: usize = 3;

fuzz_target!(|template: &str| {
    // A panic inside the engine becomes an answer; libFuzzer's hook would end the process first.
    static QUIET: Once = Once::new();
    QUIET.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    let digits = template.split(|character: char| !character.is_ascii_digit());
    if digits.map(str::len).max().unwrap_or(0) > MOST_DIGITS {
        return;
    }
    let context = serde_json::json!({
        "messages": [
            {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is this?"}]},
            {"role": "assistant", "content": "A fox."},
        ],
        "add_generation_prompt": true, "bos_token": "<s>", "eos_token": "</s>",
    });
    let job = serde_json::json!({ "template": template, "contexts": [context] });
    let _ = answer_template_job(&job.to_string());
});
