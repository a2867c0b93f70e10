//! Whatever happens to the bytes of a trace or a manifest, reading them ends in data or in an
//! error: no panic, no endless loop, no allocation that the file did not ask for.

use crate::support::{Fixture, ask, picture, request};
use proptest::prelude::*;
use std::io::Write as _;
use std::path::Path;
use std::sync::LazyLock;
use vlmscope::model::Manifest;
use vlmscope::trace::{AnswerIndex, Head, Layer, Trace};

/// A real trace of a small model, as bytes.
static TRACE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut engine = Fixture::of("gqa").engine();
    let asked = request(Some(picture("pictures/small.png")), &["What is this?".to_owned()]);
    let trace = ask(&mut engine, &asked);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.vlmtrace");
    trace.write(&path).unwrap();
    std::fs::read(path).unwrap()
});

static MANIFEST: LazyLock<Vec<u8>> =
    LazyLock::new(|| std::fs::read(Fixture::of("gqa").bundle().join("manifest.json")).unwrap());

/// Opens the bytes as a trace and reads everything in it.
fn read_everything(bytes: &[u8]) -> Result<(), String> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let trace = Trace::open(file.path()).map_err(|error| error.to_string())?;
    let shape = trace.shape();
    for row in 0..shape.rows + 1 {
        let _ = (trace.page(row), trace.stats(row), trace.weights(row, 0, 0));
    }
    for layer in 0..shape.layers + 1 {
        let _ = (trace.head_mean(Layer(layer as u32)), trace.vision_attention(Layer(layer as u32)));
    }
    for head in 0..shape.heads + 1 {
        let _ = trace.last_layer(Head(head as u32));
    }
    let _ = (trace.answer_ids(), trace.answer_logprobs(), trace.answer_topk());
    let _ = (trace.picture_original(0), trace.canvas(0));
    for name in trace.map_names() {
        let _ = trace.map_row(name, AnswerIndex(0));
    }
    for span in &trace.meta().spans {
        let _ = (span.keys(), span.preprocessed_from_patch(0, 0));
    }
    Ok(())
}

/// One paragraph that names the file.
fn is_clear(error: &str) -> bool {
    !error.is_empty() && error.len() < 2000 && !error.contains('\n')
}

#[test]
fn the_whole_trace_reads() {
    read_everything(&TRACE).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_trace_that_was_cut_is_refused(share in 0.0_f64..1.0) {
        let length = (TRACE.len() as f64 * share) as usize;
        let error = read_everything(&TRACE[..length]).unwrap_err();
        prop_assert!(is_clear(&error), "{}", error);
    }

    #[test]
    fn flipped_bytes_of_a_trace_never_panic(
        // Half of the flips hit the header, where they can do something.
        flips in proptest::collection::vec((any::<bool>(), 0.0_f64..1.0, 1_u8..=255), 1..8),
    ) {
        let mut bytes = TRACE.clone();
        let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        for (in_header, share, mask) in flips {
            let length = if in_header { header } else { bytes.len() };
            bytes[(length as f64 * share) as usize] ^= mask;
        }
        if let Err(error) = read_everything(&bytes) {
            prop_assert!(is_clear(&error), "{}", error);
        }
    }

    #[test]
    fn numbers_in_a_header_never_panic(
        which in 0.0_f64..1.0,
        value in prop_oneof![
            Just("0".to_owned()), Just("-1".to_owned()), Just("4294967295".to_owned()),
            Just("18446744073709551615".to_owned()), Just("1e300".to_owned()),
            Just("99999999999999999999999".to_owned()), Just("null".to_owned()),
            (0_u64..5000).prop_map(|n| n.to_string()),
        ],
    ) {
        let header = u64::from_le_bytes(TRACE[..8].try_into().unwrap()) as usize;
        let text = String::from_utf8(TRACE[8..8 + header].to_vec()).unwrap();
        let text = with_number_replaced(&text, which, &value);
        let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(text.as_bytes());
        bytes.extend_from_slice(&TRACE[8 + header..]);
        if let Err(error) = read_everything(&bytes) {
            prop_assert!(is_clear(&error), "{}", error);
        }
    }

    #[test]
    fn a_spoilt_manifest_never_panics(
        cut in 0.0_f64..1.0,
        flips in proptest::collection::vec((0.0_f64..1.0, 1_u8..=255), 0..6),
        number in proptest::option::of((0.0_f64..1.0, prop_oneof![
            Just("0".to_owned()), Just("-1".to_owned()), Just("18446744073709551615".to_owned()),
            Just("16777216".to_owned()), Just("1e300".to_owned()), Just("\"x\"".to_owned()),
        ])),
    ) {
        let path = Path::new("manifest.json");
        let text = String::from_utf8(MANIFEST.clone()).unwrap();
        if let Some((which, value)) = number {
            let changed = with_number_replaced(&text, which, &value);
            if let Err(error) = Manifest::parse(path, changed.as_bytes()) {
                prop_assert!(is_clear(&error.to_string()), "{}", error);
            }
        }
        let mut bytes = MANIFEST.clone();
        for (share, mask) in flips {
            let index = (bytes.len() as f64 * share) as usize;
            bytes[index] ^= mask;
        }
        if let Err(error) = Manifest::parse(path, &bytes) {
            prop_assert!(is_clear(&error.to_string()), "{}", error);
        }
        let length = (text.trim_end().len() as f64 * cut) as usize;
        prop_assert!(Manifest::parse(path, &MANIFEST[..length]).is_err());
    }
}

/// `text` with one of its whole numbers replaced.
fn with_number_replaced(text: &str, which: f64, value: &str) -> String {
    let bytes = text.as_bytes();
    let starts: Vec<usize> = (1..bytes.len())
        .filter(|&i| bytes[i].is_ascii_digit() && matches!(bytes[i - 1], b':' | b'[' | b',' | b' '))
        .collect();
    let start = starts[(starts.len() as f64 * which) as usize];
    let end = start + bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    format!("{}{value}{}", &text[..start], &text[end..])
}
