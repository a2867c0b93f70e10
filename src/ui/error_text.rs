//! Errors as text for messages.

/// Characters of a line of an error.
const LONGEST_ERROR_LINE: usize = 2_000;

/// An error with its causes, less those that it has named already.
pub fn error_text(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{}: {cause}", text.trim_end_matches('.'));
        }
    }
    // Errors quote lines of files, which may have a megabyte.
    let lines: Vec<String> = text.lines().map(shortened).collect();
    lines.join("\n")
}

fn shortened(line: &str) -> String {
    match line.char_indices().nth(LONGEST_ERROR_LINE) {
        Some((end, _)) => format!("{} …", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_named_once() {
        let inner = std::io::Error::other("no room");
        let named = anyhow::Error::from(inner).context("cannot write a: no room. Make room.");
        assert_eq!(error_text(&named), "cannot write a: no room. Make room.");
        let other = anyhow::anyhow!("no room").context("cannot write a");
        assert_eq!(error_text(&other), "cannot write a: no room");
    }

    #[test]
    fn a_line_that_is_quoted_from_a_file_is_cut() {
        let error = anyhow::anyhow!("line 1:\nlayers = {}\nask again", "é".repeat(1_000_000));
        let text = error_text(&error);
        assert!(text.starts_with("line 1:\nlayers = é") && text.ends_with("é …\nask again"));
        assert!(text.chars().count() < LONGEST_ERROR_LINE + 40);
    }
}
