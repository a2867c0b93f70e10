//! Python lines for traces that the package `vlmscope` captured: the window runs ONNX bundles only, so it shows the line
//! that computes the same in Python.

use crate::trace::TraceMeta;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The call of `vlmscope.capture` that answers the trace's question about its pictures, with the sampling of the trace
/// and the keywords of `more`, whose values are Python source. `None` if one of our bundles made the trace.
pub fn python_line(meta: &TraceMeta, more: &[(&str, String)]) -> Option<String> {
    if !meta.model.is_captured() {
        return None;
    }
    let mut line = "trace = vlmscope.capture(model, processor".to_owned();
    // A frame of a video is stored as a picture of its own.
    let video_of: BTreeMap<u32, u32> = meta
        .spans
        .iter()
        .filter_map(|span| Some((span.picture, span.frame.as_ref()?.video)))
        .collect();
    let (mut images, mut videos) = (BTreeMap::new(), BTreeMap::new());
    for canvas in &meta.preprocess {
        let named = |kind: &str, index: u32, ending: &str| match canvas.file_name.as_str() {
            "" => format!("{kind}-{}.{ending}", index + 1),
            name => name.to_owned(),
        };
        match video_of.get(&canvas.picture) {
            Some(&video) => videos.entry(video).or_insert_with(|| named("video", video, "mp4")),
            None => {
                let index = canvas.picture;
                images.entry(index).or_insert_with(|| named("picture", index, "png"))
            }
        };
    }
    let is_given = |name: &str| more.iter().any(|(given, _)| *given == name);
    if !is_given("images") {
        push_list(&mut line, "images", images.values());
    }
    push_list(&mut line, "videos", videos.values());
    let _ = write!(line, ", question={}", quoted(&meta.question));
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
    for (name, value) in more {
        let _ = write!(line, ", {name}={value}");
    }
    line.push(')');
    Some(line)
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

/// A text as a Python literal; every JSON string is one.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
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
