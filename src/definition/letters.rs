//! Which letters a terminal obeys, or shows as something other than what they are.

/// Whether a letter steers a terminal, turns the direction of what follows, or cannot be seen.
///
/// These are the controls (C0, DEL, C1), the marks, overrides and isolates of writing direction,
/// the separators of lines, letters of no width, fillers that look like a space, and tags. The
/// variation selectors U+FE00 to U+FE0F are none: they choose between two pictures of one letter.
pub fn is_unsafe_letter(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{feff}'
            | '\u{115f}'..='\u{1160}' | '\u{3164}' | '\u{ffa0}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_seen_and_steers_nothing_is_safe() {
        for letter in "aZ09 é ü 漢 ع א 😀 \u{fe0f} \u{301} = < ' \" \\ \u{a0}".chars() {
            assert!(!is_unsafe_letter(letter), "{letter:?}");
        }
        for letter in "\0\u{7}\t\n\r\u{1b}\u{7f}\u{80}\u{85}\u{9b}\u{9d}\u{9f}".chars() {
            assert!(is_unsafe_letter(letter), "{letter:?}");
        }
        let hidden = "\u{ad}\u{61c}\u{200b}\u{200d}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\
                      \u{2060}\u{2066}\u{2069}\u{feff}\u{fff9}\u{3164}\u{e0001}\u{e0041}\u{e0100}";
        for letter in hidden.chars() {
            assert!(is_unsafe_letter(letter), "{letter:?}");
        }
    }
}
