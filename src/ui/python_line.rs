//! Python lines for traces that the package `vlmscope` captured: the window runs ONNX bundles only, so it shows the line
//! that computes the same in Python.

use crate::trace::{PythonCall, TraceMeta};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The call of `vlmscope.capture` that answers the trace's question about its pictures, with the sampling of the trace
/// and the keywords of `more`, whose values are Python source. Comments above it name what the trace does not hold.
/// `None` if one of our bundles made the trace.
pub fn python_line(meta: &TraceMeta, more: &[(&str, String)]) -> Option<String> {
    if !meta.model.is_captured() {
        return None;
    }
    let call = meta.provenance.call.clone().unwrap_or_default();
    let is_given = |name: &str| more.iter().any(|(given, _)| *given == name);
    let mut line = notes(&call);
    if is_given("messages") && call.asked_as == "prompt" {
        line.push_str(
            "# The first question is a whole prompt: leave the words of its template out.\n",
        );
    }
    line.push_str("trace = vlmscope.capture(model, processor");
    let Media { images, videos } = media_of(meta);
    if !is_given("images") {
        push_list(&mut line, "images", images.values());
    }
    push_list(&mut line, "videos", videos.values());
    match (call.asked_as.as_str(), &call.messages) {
        _ if is_given("messages") => {}
        ("messages", Some(messages)) => {
            let _ = write!(line, ", messages={}", literal(messages));
        }
        ("prompt", _) => {
            let _ = write!(line, ", prompt={}", quoted(&meta.question));
        }
        _ => {
            let _ = write!(line, ", question={}", quoted(&meta.question));
        }
    }
    if !call.processor_options.is_empty() {
        let options = literal(&Value::Object(call.processor_options.clone()));
        let _ = write!(line, ", processor_options={options}");
    }
    let sampling = &meta.sampling;
    if !is_given("answer") {
        let _ = write!(line, ", max_new_tokens={}", sampling.max_new_tokens);
        if !sampling.is_greedy() {
            let _ =
                write!(line, ", temperature={}, top_p={}", sampling.temperature, sampling.top_p);
            if !is_given("seed") {
                let _ = write!(line, ", seed={}", sampling.seed);
            }
        }
    }
    if !is_given("answer") {
        for (name, value) in call.generate_options.iter().filter(|(name, _)| is_keyword(name)) {
            let _ = write!(line, ", {name}={}", literal(value));
        }
    }
    for (name, value) in more {
        let _ = write!(line, ", {name}={value}");
    }
    line.push(')');
    Some(line)
}

/// Files of pictures and videos by their number.
#[derive(Default)]
struct Media {
    images: BTreeMap<u32, String>,
    videos: BTreeMap<u32, String>,
}

/// The files of a trace's pictures and videos; one that has no name gets one by its number.
fn media_of(meta: &TraceMeta) -> Media {
    // A frame of a video is stored as a picture of its own.
    let video_of: BTreeMap<u32, u32> = meta
        .spans
        .iter()
        .filter_map(|span| Some((span.picture, span.frame.as_ref()?.video)))
        .collect();
    let mut media = Media::default();
    for canvas in &meta.preprocess {
        let named = |kind: &str, index: u32, ending: &str| match canvas.file_name.as_str() {
            "" => format!("{kind}-{}.{ending}", index + 1),
            name => name.to_owned(),
        };
        match video_of.get(&canvas.picture) {
            Some(&video) => {
                media.videos.entry(video).or_insert_with(|| named("video", video, "mp4"))
            }
            None => {
                let index = canvas.picture;
                media.images.entry(index).or_insert_with(|| named("picture", index, "png"))
            }
        };
    }
    media
}

/// The lines that score the answer of a captured trace again with its pictures masked, and, if it lacks relevancy, also
/// with relevancy on its own pictures. `None` if one of our bundles made the trace.
pub fn blank_lines(meta: &TraceMeta, lacks_relevancy: bool) -> Option<String> {
    let answer = ("answer", quoted(&meta.answer));
    let mut lines = Vec::new();
    if lacks_relevancy {
        let relevancy = ("relevancy", "(\"llm\",)".to_owned());
        lines.push(python_line(meta, &[answer.clone(), relevancy])?);
        lines.push("trace.save(\"relevancy.vlmtrace\")".into());
    }
    lines.push(python_line(meta, &[answer, ("blank", "True".to_owned())])?);
    lines.push("trace.save(\"blank.vlmtrace\")".into());
    Some(lines.join("\n"))
}

/// The conversation of a captured trace with its answer and a question after it, as Python source for `messages=`.
pub fn follow_up_messages(meta: &TraceMeta, question: &str) -> String {
    let call = meta.provenance.call.clone().unwrap_or_default();
    let message = |role: &str, content: Value| json!({"role": role, "content": content});
    let text = |text: &str| json!([{"type": "text", "text": text}]);
    let mut messages = match call.messages {
        Some(Value::Array(messages)) if call.asked_as == "messages" => messages,
        _ => {
            let media = media_of(meta);
            let images = media.images.values().map(|_| json!({"type": "image"}));
            let videos = media.videos.values().map(|_| json!({"type": "video"}));
            let asked = json!({"type": "text", "text": meta.question});
            vec![message("user", images.chain(videos).chain([asked]).collect())]
        }
    };
    messages.push(message("assistant", text(&meta.answer)));
    messages.push(message("user", text(question)));
    literal(&Value::Array(messages))
}

/// Comments that say why the line may give another answer; each ends with a line break.
fn notes(call: &PythonCall) -> String {
    let mut notes = String::new();
    if call.is_recorded {
        notes.push_str("# The answer was recorded in other code: put its prompt into this line.\n");
    }
    // The names come from the file: one that is no keyword could end the comment.
    for name in call.left_out.iter().filter(|name| is_keyword(name)) {
        let _ = writeln!(notes, "# The trace does not hold {name}=: add it as it was.");
    }
    notes
}

/// Whether a name can stand before the `=` of a Python keyword argument.
fn is_keyword(name: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.chars().all(is_word) && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

/// A JSON value as a Python literal.
fn literal(value: &Value) -> String {
    match value {
        Value::Null => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(literal).collect();
            format!("[{}]", values.join(", "))
        }
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("{}: {}", quoted(name), literal(value)))
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
    }
}

/// A text as a Python literal; every JSON string is one.
pub fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn push_list<'a>(line: &mut String, keyword: &str, names: impl Iterator<Item = &'a String>) {
    let names: Vec<String> = names.map(|name| quoted(name)).collect();
    if !names.is_empty() {
        let _ = write!(line, ", {keyword}=[{}]", names.join(", "));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::trace::Trace;

    fn meta(name: &str) -> TraceMeta {
        let path = format!("{}/tests/fixtures/traces2/{name}.vlmtrace", env!("CARGO_MANIFEST_DIR"));
        Trace::open(std::path::Path::new(&path)).unwrap().meta().clone()
    }

    #[test]
    fn an_answer_is_scored_again_on_masked_pictures() {
        let lines = blank_lines(&meta("two_pictures"), true).unwrap();
        let lines: Vec<&str> = lines.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(
            lines[0].contains("\"picture-2.png\"") && lines[0].contains("relevancy=(\"llm\",)")
        );
        assert!(lines[2].contains("\"picture-2.png\"") && lines[2].ends_with(", blank=True)"));
        assert!(lines[2].contains(", answer=\"") && !lines[2].contains("relevancy"));
        assert!(!lines[2].contains("max_new_tokens"), "{}", lines[2]);
        assert_eq!(blank_lines(&meta("frames"), false).unwrap().lines().count(), 2);
    }

    #[test]
    fn the_line_names_pictures_question_and_sampling() {
        let mut meta = meta("dynamic_grid");
        meta.question = "Is \"it\" a fox?".into();
        meta.preprocess[0].file_name = "two cats.jpg".into();
        let more = [("relevancy", "(\"llm\",)".to_owned())];
        assert_eq!(
            python_line(&meta, &more).unwrap(),
            "trace = vlmscope.capture(model, processor, images=[\"two cats.jpg\"], question=\"Is \\\"it\\\" a fox?\", \
                max_new_tokens=3, relevancy=(\"llm\",))"
        );
        meta.sampling.temperature = 0.5;
        assert!(python_line(&meta, &[]).unwrap().contains(", temperature=0.5, top_p=1, seed=0)"));
        let scored = python_line(&meta, &[("answer", quoted("Yes."))]).unwrap();
        assert!(
            scored.ends_with(", answer=\"Yes.\")") && !scored.contains("temperature"),
            "{scored}"
        );
    }

    #[test]
    fn a_follow_up_is_a_conversation_with_the_answer_in_it() {
        let mut meta = meta("frames");
        meta.answer = "A \"fox\".".into();
        let messages = follow_up_messages(&meta, "Is it red?");
        let line = python_line(&meta, &[("messages", messages)]).unwrap();
        assert!(line.contains("videos=[\"video-1.mp4\"]") && !line.contains("question="), "{line}");
        assert_eq!(line.matches("\"type\": \"video\"").count(), 1, "{line}");
        let parts = [&meta.question, r#""A \"fox\".""#, "Is it red?"];
        let places: Vec<usize> = parts.iter().map(|part| line.find(*part).unwrap()).collect();
        assert!(places.is_sorted(), "{line}");
        assert_eq!(line.matches("assistant").count(), 1, "{line}");
        // The messages of the call are kept, and nothing of a whole prompt is lost.
        let call = PythonCall {
            asked_as: "messages".into(),
            messages: Some(serde_json::json!([{"role": "system", "content": "Be brief."}])),
            ..PythonCall::default()
        };
        meta.provenance.call = Some(call);
        assert!(follow_up_messages(&meta, "Why?").contains("Be brief."));
        meta.provenance.call =
            Some(PythonCall { asked_as: "prompt".into(), ..PythonCall::default() });
        let messages = follow_up_messages(&meta, "Why?");
        let line = python_line(&meta, &[("messages", messages)]).unwrap();
        assert!(line.starts_with("# The first question is a whole prompt"), "{line}");
    }

    #[test]
    fn the_line_repeats_the_call_as_it_was_made() {
        let mut meta = meta("dynamic_grid");
        meta.question = "<image>What?".into();
        let call = serde_json::json!({"asked_as": "prompt", "processor_options": {"fps": 1, "do_pad": true}, "generate_options":
            {"repetition_penalty": 1.5, "x=print()": 1}, "left_out": ["stopping_criteria", "a\nprint()"]});
        meta.provenance.call = Some(serde_json::from_value(call).unwrap());
        let line = python_line(&meta, &[]).unwrap();
        assert!(line.contains(", prompt=\"<image>What?\", processor_options={"), "{line}");
        assert!(line.contains("\"fps\": 1") && line.contains("\"do_pad\": True"), "{line}");
        assert!(line.contains(", repetition_penalty=1.5)") && !line.contains("print()"), "{line}");
        assert!(line.starts_with("# The trace does not hold stopping_criteria="), "{line}");
        assert_eq!(line.lines().count(), 2);
        let messages = serde_json::json!([{"role": "user", "content": "Where?"}]);
        meta.provenance.call = Some(PythonCall {
            asked_as: "messages".into(),
            messages: Some(messages),
            ..PythonCall::default()
        });
        let line = python_line(&meta, &[("answer", quoted("There."))]).unwrap();
        assert!(line.contains(", messages=[{") && line.contains("\"role\": \"user\""), "{line}");
        assert!(!line.contains("question="), "{line}");
        meta.provenance.call = Some(PythonCall { is_recorded: true, ..PythonCall::default() });
        assert!(python_line(&meta, &[]).unwrap().starts_with("# The answer was recorded"));
    }

    #[test]
    fn frames_are_named_as_a_video_pictures_by_number_and_our_own_traces_have_no_line() {
        let line = python_line(&meta("frames"), &[]).unwrap();
        assert!(line.contains("processor, videos=[\"video-1.mp4\"], question"), "{line}");
        let line = python_line(&meta("two_pictures"), &[]).unwrap();
        assert!(line.contains("images=[\"picture-1.png\", \"picture-2.png\"]"), "{line}");
        let mut own = meta("frames");
        own.model.bundle_sha = "a1".into();
        assert_eq!(python_line(&own, &[]), None);
    }
}
