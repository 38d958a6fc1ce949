//! Text that a spreadsheet takes for text.

use std::borrow::Cow;

use crate::definition::is_unsafe_letter;

/// What a formula begins with; spreadsheets of East Asia take the wide forms too.
const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];
/// Where a spreadsheet may begin a cell: some split at semicolons or tabs, whatever the file says,
/// and then take no notice of the quotes that hold the lines of a text together.
const ENDS: [char; 4] = [';', '\t', '\n', '\r'];

/// The text with `'` before each place at which a spreadsheet could see a formula: at its
/// beginning, and behind a semicolon, a tab or the end of a line. Spaces, quotes and letters that
/// cannot be seen, which a spreadsheet leaves out, do not hide a formula. A number with a sign is
/// none.
///
/// A text that begins with a tab or the end of a line gets a `'` as well: both are left out before
/// what follows is looked at.
pub fn without_formulas(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut taken = 0;
    let starts = text.match_indices(ENDS).map(|(at, end)| at + end.len());
    for start in std::iter::once(0).chain(starts) {
        let cell = text[start..].split(ENDS).next().unwrap_or_default();
        let ends_at_once = start == 0 && text.starts_with(['\t', '\n', '\r']);
        if ends_at_once || begins_formula(cell) {
            out.push_str(&text[taken..start]);
            out.push('\'');
            taken = start;
        }
    }
    if out.is_empty() {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[taken..]);
    Cow::Owned(out)
}

fn begins_formula(cell: &str) -> bool {
    let left_out = |letter: char| {
        letter.is_whitespace() || is_unsafe_letter(letter) || matches!(letter, '"' | '“' | '”')
    };
    cell.trim_start_matches(left_out).starts_with(FORMULA) && !is_plain_number(cell)
}

/// `-1`, `+1.5`, `-.5e-7`: digits with a sign, a point and an exponent, and nothing around them.
fn is_plain_number(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (number, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    digits(whole)
        && digits(fraction)
        && whole.len() + fraction.len() > 0
        && digits(exponent)
        && !exponent.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_spreadsheet_would_run_begins_with_an_apostrophe() {
        for formula in [
            "=1+1",
            "=cmd|' /C calc'!A0",
            "+1+1",
            "+cmd|x",
            "-1+1",
            "-",
            "--1",
            "-1e",
            "-1.2.3",
            "-A1",
            "@SUM(A1)",
            "\tplain",
            "\nplain",
            "\r\nplain",
            " =1",
            "\u{a0}=1",
            "\u{3000}=1",
            "\u{feff}=1",
            "\u{200b}=1",
            "\u{1}=1",
            "\"=1",
            "\"\" =1",
            "＝1",
            "＋1",
            "－1",
            "＠SUM",
            " -1",
        ] {
            assert_eq!(without_formulas(formula), format!("'{formula}"), "{formula:?}");
        }
    }

    #[test]
    fn a_cell_that_begins_inside_of_a_text_is_seen() {
        let rows = [
            ("\t=1", "'\t'=1"),
            ("\r=1", "'\r'=1"),
            ("\n=1", "'\n'=1"),
            ("a;=1", "a;'=1"),
            ("a\n=1\n@x", "a\n'=1\n'@x"),
            ("a\r\n=1", "a\r\n'=1"),
            ("a\t \"=1", "a\t' \"=1"),
            ("=1;=2", "'=1;'=2"),
            ("a;-5;+6", "a;-5;+6"),
            ("x; y = 1", "x; y = 1"),
        ];
        for (text, safe) in rows {
            assert_eq!(without_formulas(text), safe, "{text:?}");
        }
    }

    #[test]
    fn other_text_stays_as_it_is() {
        for text in [
            "",
            "a",
            "a=1",
            "1+1",
            "x@example.com",
            "-1",
            "+1",
            "-1.5",
            "+49",
            "-.5",
            "-5.",
            "-1e-7",
            "+1E+9",
            "'=1",
            "(=1)",
            "a - b",
            "é",
            "漢",
            "#1",
            "|x",
        ] {
            assert!(matches!(without_formulas(text), Cow::Borrowed(_)), "{text:?}");
        }
    }
}
