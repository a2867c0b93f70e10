//! Line breaks in scripts that write no spaces between words: Chinese and Japanese, and emoji.
//!
//! The rules are those of UAX #14 for ideographs, opening and closing punctuation and non-starters, with small kana
//! kept with the letter before them. Korean breaks at its spaces.

/// Whether a line may end after `before` if `after` follows at once, without a space.
pub(super) fn may_break(before: char, after: char) -> bool {
    (is_wide(before) || is_wide(after)) && !stays_with_next(before) && !stays_with_previous(after)
}

/// Ideographs, kana, full-width letters and punctuation, pictographs.
fn is_wide(character: char) -> bool {
    matches!(character,
        '\u{2e80}'..='\u{312f}' // radicals, CJK punctuation, kana, Bopomofo
        | '\u{3190}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{a4cf}' // unified ideographs, Yi
        | '\u{f900}'..='\u{faff}'
        | '\u{ff01}'..='\u{ff9f}' // full-width forms, half-width kana
        | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3ffff}')
}

/// Opening punctuation, prefixes of numbers, and characters that join their neighbours.
fn stays_with_next(character: char) -> bool {
    matches!(
        character,
        '(' | '['
            | '{'
            | '¿'
            | '¡'
            | '$'
            | '£'
            | '¥'
            | '€'
            | '#'
            | '+'
            | '−'
            | '"'
            | '\''
            | '«'
            | '‘'
            | '“'
            | '\u{a0}'
            | '\u{200d}'
            | '\u{202f}'
            | '\u{2060}'
            | '〈'
            | '《'
            | '「'
            | '『'
            | '【'
            | '〔'
            | '〖'
            | '〘'
            | '〚'
            | '〝'
            | '（'
            | '［'
            | '｛'
            | '｟'
            | '｢'
            | '＄'
            | '￡'
            | '￥'
    )
}

/// Closing punctuation, non-starters, suffixes of numbers, combining marks, and characters that join their neighbours.
fn stays_with_previous(character: char) -> bool {
    matches!(
        character,
        '!' | '%' | ')' | ',' | '-' | '.' | '/' | ':' | ';' | '?' | ']' | '}' | '"' | '\'' | '»'
            | '’' | '”' | '·' | '…' | '‥' | '‰' | '°' | '′' | '″' | '℃' | '–' | '‐' | '\u{a0}'
            | '\u{300}'..='\u{36f}' | '\u{200d}' | '\u{202f}' | '\u{2060}' | '\u{20e3}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}' | '\u{e0020}'..='\u{e007f}'
    ) || matches!(
        character,
        '、' | '。' | '々' | '〉' | '》' | '」' | '』' | '】' | '〕' | '〗' | '〙' | '〛' | '〜'
            | '〞' | '〟' | '〻' | '\u{302a}'..='\u{302f}' | '\u{3099}'..='\u{309c}' | '゠' | '・'
            | 'ー' | 'ゝ' | 'ゞ' | 'ヽ' | 'ヾ' | '！' | '％' | '）' | '，' | '．' | '／' | '：'
            | '；' | '？' | '］' | '｝' | '｠' | '｡' | '｣' | '､' | '･' | 'ﾞ' | 'ﾟ' | '￠'
    ) || is_small_kana(character)
}

fn is_small_kana(character: char) -> bool {
    "ぁぃぅぇぉっゃゅょゎゕゖァィゥェォッャュョヮヵヶㇰㇱㇲㇳㇴㇵㇶㇷㇸㇹㇺㇻㇼㇽㇾㇿｧｨｩｪｫｬｭｮｯｰ"
        .contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text with a bar at each place where a line may end.
    fn marked(text: &str) -> String {
        let mut out = String::new();
        let mut before = None;
        for after in text.chars() {
            if before.is_some_and(|before| may_break(before, after)) {
                out.push('|');
            }
            out.push(after);
            before = Some(after);
        }
        out
    }

    #[test]
    fn lines_break_between_ideographs_and_beside_no_punctuation() {
        for (text, expected) in [
            ("狐狸在左边吗？", "狐|狸|在|左|边|吗？"),
            ("看，「红色」的……", "看，|「红|色」|的……"),
            ("第3层（最多）占43%。", "第|3|层|（最|多）|占|43%。"),
            ("キャットっぽい", "キャッ|トっ|ぽ|い"),
            ("サーバー", "サー|バー"),
            ("在L4H1看“狐狸”吗", "在|L4H1|看|“狐|狸”|吗"),
            (
                "\u{1f468}\u{200d}\u{1f469}\u{1f44d}\u{1f3fd}",
                "\u{1f468}\u{200d}\u{1f469}|\u{1f44d}\u{1f3fd}",
            ),
            ("❤\u{fe0f}狐", "❤\u{fe0f}|狐"),
            ("the fox-hunt, 3.5%", "the fox-hunt, 3.5%"),
            ("여우가", "여우가"),
            ("الثعلب", "الثعلب"),
        ] {
            assert_eq!(marked(text), expected);
        }
    }
}
