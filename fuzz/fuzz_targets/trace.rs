//! Any bytes as a trace: opened, read in every place, compared with itself, cut and written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vlmscope::analysis::diff::difference;
use vlmscope::analysis::relevancy::{Reliance, TextRelevancy, answer_words};
use vlmscope::trace::{AnswerIndex, Head, Layer, Trace};
use vlmscope::view::{Bounds, ViewState};

fuzz_target!(|bytes: &[u8]| {
    let path = std::env::temp_dir().join(format!("fuzz-{}.vlmtrace", std::process::id()));
    if std::fs::write(&path, bytes).is_err() {
        return;
    }
    if let Ok(trace) = Trace::open(&path) {
        read_everything(&trace);
        write_again(&trace);
    }
});

/// What was read is written, with one row and one map more, and read back.
fn write_again(trace: &Trace) {
    let path = std::env::temp_dir().join(format!("fuzz-{}.out.vlmtrace", std::process::id()));
    let shape = trace.shape();
    let size = [shape.generated, shape.positions];
    let Ok(cut) = trace.with_rows(&trace.rows()[..shape.rows.min(1)]) else { return };
    let Ok(more) = cut.with_map("relevancy.fuzz", &size, &vec![0.5; size[0] * size[1]]) else {
        return;
    };
    if more.write(&path).is_ok() {
        let back = Trace::open(&path).expect("what was written is read");
        assert_eq!(back.map_names(), more.map_names());
        // Bits: damaged weights are not equal to themselves.
        let bits = |trace: &Trace| {
            trace.page(0).map(|page| page.iter().map(|weight| weight.to_bits()).collect::<Vec<_>>())
        };
        assert_eq!(bits(&back), bits(&more));
    }
}

fn read_everything(trace: &Trace) {
    let shape = trace.shape();
    for row in 0..shape.rows.min(64) + 1 {
        let _ = (trace.page(row), trace.stats(row), trace.weights(row, 0, 0));
    }
    for layer in 0..shape.layers.min(64) as u32 + 1 {
        let _ = (trace.head_mean(Layer(layer)), trace.vision_attention(Layer(layer)));
    }
    for head in 0..shape.heads.min(64) as u32 + 1 {
        let _ = trace.last_layer(Head(head));
    }
    let _ = (trace.answer_ids(), trace.answer_logprobs(), trace.answer_topk());
    let _ = (trace.picture_original(0), trace.canvas(0));
    for name in trace.map_names() {
        for answer in 0..shape.generated.min(8) as u32 + 1 {
            if let Some(row) = trace.map_row(name, AnswerIndex(answer))
                && row.len() == shape.positions
            {
                let _ = (Reliance::from_row(&row, trace), TextRelevancy::from_row(&row, trace));
            }
        }
    }
    let _ = answer_words(trace);
    let _ = difference(trace, trace, false);
    let _ = Bounds::from_trace(trace).check(&ViewState::default(), None);
    for name in trace.page_names() {
        if let Some(pages) = trace.pages_as_attention(name) {
            let _ = (pages.page(0), pages.stats(0));
        }
    }
}
