//! Texts of the other side, for a reader.

/// Characters of a text that are shown.
pub const MOST_CHARACTERS: usize = 2000;

/// A text on one line, without control characters and marks that change the direction of writing, and cut.
pub fn shown(text: &str) -> String {
    cut(text, MOST_CHARACTERS)
}

/// As [`shown`], with another limit.
pub fn cut(text: &str, most: usize) -> String {
    let mut out = String::new();
    for character in text.trim().chars().take(most) {
        match character {
            '\n' | '\r' | '\t' => out.push(' '),
            _ if character.is_control() || is_direction(character) => {
                out.extend(character.escape_unicode());
            }
            _ => out.push(character),
        }
    }
    if text.trim().chars().nth(most).is_some() {
        let all = text.trim().chars().count();
        out.push_str(&format!("… ({all} characters, cut after {most})"));
    }
    out
}

const fn is_direction(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_and_harmless() {
        assert_eq!(shown("cannot read “a b”: no such file\n"), "cannot read “a b”: no such file");
        assert_eq!(shown("a\n\u{1b}[31mb\u{9b}c\u{202e}d"), "a \\u{1b}[31mb\\u{9b}c\\u{202e}d");
        let long = shown(&"ä".repeat(900_000));
        assert!(long.chars().count() < MOST_CHARACTERS + 60, "{}", long.len());
        assert!(long.ends_with("ä… (900000 characters, cut after 2000)"));
        assert_eq!(cut("abc", 3), "abc");
    }
}
