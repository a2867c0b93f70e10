//! Captions as SubRip (.srt), for players that show them over the film.

use crate::terminal;
use crate::view::timeline::{Timeline, caption_runs};
use std::fmt::Write as _;

/// The captions of a walkthrough as SubRip; neighbouring equal captions are joined.
pub fn subtitles(timeline: &Timeline<'_>) -> String {
    let mut cues: Vec<(String, [f64; 2])> = Vec::new();
    for (step, [start, end]) in timeline.captions() {
        match cues.last_mut() {
            Some((text, times)) if *text == step.caption && times[1] == start => times[1] = end,
            _ => cues.push((step.caption.clone(), [start, end])),
        }
    }
    let mut out = String::new();
    let said = cues.iter().filter(|(text, _)| !text.is_empty());
    for (number, (text, [start, end])) in (1..).zip(said) {
        let text: String = caption_runs(text)
            .into_iter()
            .map(|run| if run.strong { format!("<b>{}</b>", run.text) } else { run.text })
            .collect();
        let text = terminal::plain(&text);
        // Writing to a string cannot fail. An empty line would end the cue.
        let text = text.lines().filter(|line| !line.trim().is_empty()).collect::<Vec<_>>();
        let _ = write!(out, "{number}\n{} --> {}\n", clock(*start), clock(*end));
        let _ = write!(out, "{}\n\n", text.join("\n"));
    }
    out
}

/// HH:MM:SS,mmm
fn clock(seconds: f64) -> String {
    let ms = (seconds * 1e3).round() as u64;
    let (s, ms) = (ms / 1000, ms % 1000);
    format!("{:02}:{:02}:{:02},{ms:03}", s / 3600, s / 60 % 60, s % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::ViewState;
    use crate::view::timeline::{Card, Step, Walkthrough};

    #[test]
    fn cues_follow_the_timeline() {
        let step = |caption: &str| Step {
            seconds: Some(2.0),
            transition_secs: 0.5,
            ..Step::new(ViewState::default(), caption)
        };
        let walkthrough = Walkthrough {
            title: Some(Card { text: "t".into(), subtitle: String::new(), seconds: 1.0 }),
            steps: vec![step("a **b**"), step(""), step("c"), step("c")],
            end: None,
        };
        let text = subtitles(&Timeline::new(&walkthrough));
        assert_eq!(
            text,
            "1\n00:00:01,000 --> 00:00:03,500\na <b>b</b>\n\n2\n00:00:06,000 --> 00:00:11,000\nc\n\n"
        );
        assert_eq!(clock(3725.0405), "01:02:05,041");
    }

    #[test]
    fn control_characters_are_written_by_their_number() {
        let step =
            Step { seconds: Some(2.0), ..Step::new(ViewState::default(), "a\u{1b}[31m\u{9b}b") };
        let walkthrough = Walkthrough { title: None, steps: vec![step], end: None };
        let text = subtitles(&Timeline::new(&walkthrough));
        assert!(text.ends_with("\na<U+001B>[31m<U+009B>b\n\n"), "{text:?}");
    }
}
