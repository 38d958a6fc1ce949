//! Lines that fit a terminal, and commands that can be pasted from them.

/// The columns of the narrowest terminal that is reckoned with.
const COLUMNS: usize = 80;

/// Breaks a text at its spaces so that no line is wider than a terminal, where that can be; lines
/// after the first are indented by two more columns than the first. What stands in backquotes is a
/// command, and stays in one piece.
pub fn wrapped(indent: usize, text: &str) -> String {
    let mut out = " ".repeat(indent);
    let mut width = indent;
    let mut empty = true;
    for piece in pieces(text) {
        let length = piece.chars().count();
        if !empty && width + 1 + length > COLUMNS {
            out.push('\n');
            out.push_str(&" ".repeat(indent + 2));
            width = indent + 2;
        } else if !empty {
            out.push(' ');
            width += 1;
        }
        out.push_str(piece);
        width += length;
        empty = false;
    }
    out.push('\n');
    out
}

/// What stands between spaces outside backquotes.
fn pieces(text: &str) -> Vec<&str> {
    let mut inside = false;
    text.split(|letter| {
        inside ^= letter == '`';
        letter == ' ' && !inside
    })
    .collect()
}

/// A word as a POSIX shell takes it.
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-+=:,./@%".contains(c);
    // Nothing else would tell it from an option.
    let text = if text.starts_with('-') { format!("./{text}") } else { text.to_owned() };
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_and_commands_stay_in_one_piece() {
        let words = "word ".repeat(20);
        let text = wrapped(2, &format!("{words}`windrow verify {}`", "x".repeat(50)));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[0].starts_with("  word") && lines[1].starts_with("    word"), "{text}");
        assert!(lines[2].starts_with("    `windrow verify x"), "{text}");
        assert!(lines.iter().all(|line| line.chars().count() <= COLUMNS), "{text}");
        assert_eq!(wrapped(0, "short"), "short\n");
    }

    #[test]
    fn a_shell_takes_each_word_as_it_is_meant() {
        let cases = [
            ("out.db", "out.db"),
            ("my out.db", "'my out.db'"),
            ("it's", "'it'\\''s'"),
            ("-x", "./-x"),
            ("ünï", "'ünï'"),
            ("$HOME", "'$HOME'"),
            ("", "''"),
        ];
        for (text, word) in cases {
            assert_eq!(shell_word(text), word);
        }
    }
}
