//! The caption of a step: plain text in which `**…**` marks emphasised words.

use crate::view::figure::TextRun;

/// A caption as runs of text; an unpaired `**` stays as text.
pub fn caption_runs(caption: &str) -> Vec<TextRun> {
    let parts: Vec<&str> = caption.split("**").collect();
    let paired = parts.len() % 2 == 1;
    let mut runs: Vec<TextRun> = Vec::new();
    let last = parts.len() - 1;
    for (index, part) in parts.iter().enumerate() {
        let is_unpaired_tail = !paired && index == last;
        let text = if is_unpaired_tail { format!("**{part}") } else { (*part).to_owned() };
        if !text.is_empty() {
            runs.push(TextRun { text, strong: index % 2 == 1 && !is_unpaired_tail });
        }
    }
    runs
}

/// A caption without its marks.
pub fn caption_text(caption: &str) -> String {
    caption_runs(caption).into_iter().map(|run| run.text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_come_in_pairs() {
        let runs = caption_runs("the **red** fox");
        assert_eq!(runs, [TextRun::plain("the "), TextRun::strong("red"), TextRun::plain(" fox")]);
        assert_eq!(caption_text("2 ** 3"), "2 ** 3");
        assert_eq!(caption_text("**a** and ** b"), "a and ** b");
        assert!(caption_runs("").is_empty());
    }
}
