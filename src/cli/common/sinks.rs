//! Tokens that are removed as attention sinks, in reports.

use crate::analysis::methods::Sink;
use crate::trace::{TokenKind, Trace};
use serde_json::{Value, json};

/// A removed token, for `--json`.
pub(crate) fn sink_json(trace: &Trace, sink: &Sink) -> Value {
    json!({
        "position": sink.position,
        "text": trace.meta().tokens[sink.position as usize].text,
        "patch": sink.patch,
        "received": sink.received,
    })
}

/// "BOS (34 ×), patch row 3 column 7 (12 ×)".
pub(crate) fn sinks_text(trace: &Trace, sinks: &[Sink]) -> String {
    let name = |sink: &Sink| {
        let mut rest = sink.patch.unwrap_or(0);
        let place = trace.meta().spans.iter().find_map(|span| {
            let patches = span.patches() as u32;
            if rest < patches {
                return Some((rest / span.columns, rest % span.columns));
            }
            rest -= patches;
            None
        });
        let token = &trace.meta().tokens[sink.position as usize];
        match (sink.patch, place) {
            (Some(_), Some((row, column))) => format!("patch in row {row}, column {column}"),
            _ if token.kind == TokenKind::Special => format!("{} at {}", token.text, sink.position),
            _ => format!("position {}", sink.position),
        }
    };
    let each = sinks.iter().map(|sink| format!("{} ({:.0} ×)", name(sink), sink.received));
    each.collect::<Vec<_>>().join("; ")
}
