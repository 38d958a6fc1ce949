//! Tables, plain and in Markdown. What stands in a cell is escaped here.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use crate::model::printable;

/// A table without frames: a header, a rule, rows; numbers to the right.
pub fn plain_table(header: &[String], rows: &[Vec<String>], numeric: &[bool]) -> String {
    let shown = |cells: &[String]| cells.iter().map(|cell| printable(cell)).collect();
    let header: Vec<String> = shown(header);
    let rows: Vec<Vec<String>> = rows.iter().map(|row| shown(row)).collect();
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.clone());
    let rule: Vec<String> = (0..header.len())
        .map(|at| {
            let widest = rows.iter().filter_map(|row| row.get(at)).map(|cell| width(cell)).max();
            "─".repeat(widest.unwrap_or(0).max(width(&header[at])))
        })
        .collect();
    table.add_row(rule);
    for row in &rows {
        table.add_row(row.clone());
    }
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if at + 1 == header.len() { 0 } else { 2 }));
        if numeric.get(at).copied().unwrap_or(false) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let text = table.to_string();
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// A Markdown table. A cell shows its text: nothing in it is markup, a link or HTML.
pub fn markdown(header: &[String], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|cell| markdown_text(cell)).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let rule = vec!["---"; header.len()].join(" | ");
    let body: String = rows.iter().map(|row| line(row)).collect();
    format!("{}| {rule} |\n{body}", line(header))
}

/// Text that Markdown shows as it is, in one line: CommonMark, tables and formulas of GitHub.
///
/// `<`, `>` and `&` are entities, so that readers that take HTML before Markdown see none either.
/// Underscores within a word mark nothing, and names stay readable.
fn markdown_text(text: &str) -> String {
    let letters: Vec<char> = printable(text).chars().collect();
    let is_word = |at: Option<usize>| {
        at.and_then(|at| letters.get(at)).is_some_and(|letter| letter.is_alphanumeric())
    };
    let mut out = String::with_capacity(text.len());
    for (at, &letter) in letters.iter().enumerate() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '_' if is_word(at.checked_sub(1)) && is_word(Some(at + 1)) => out.push('_'),
            '\\' | '|' | '`' | '*' | '_' | '[' | ']' | '(' | ')' | '{' | '}' | '#' | '!' | '~'
            | '$' | '^' => out.extend(['\\', letter]),
            // Alone in a cell they would be the rule below a header; before a space, an item.
            '-' | '+' | ':' | '=' if at == 0 && !is_word(Some(1)) => out.extend(['\\', letter]),
            // An address becomes a link by itself.
            ':' if links(&letters[..at], &letters[at + 1..]) => out.push_str("&#58;"),
            letter => out.push(letter),
        }
    }
    out
}

/// Whether a colon between these makes a link of a scheme that runs something, or of any address.
fn links(before: &[char], after: &[char]) -> bool {
    const SCHEMES: [&str; 6] = ["javascript", "vbscript", "data", "file", "mailto", "xmpp"];
    let begin = before.iter().rposition(|letter| !letter.is_ascii_alphanumeric());
    let word = &before[begin.map_or(0, |at| at + 1)..];
    let word: String = word.iter().map(char::to_ascii_lowercase).collect();
    after.starts_with(&['/', '/']) || SCHEMES.contains(&word.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_and_has_no_trailing_space() {
        let header = ["name".to_owned(), "n".to_owned()];
        let rows =
            [vec!["a".to_owned(), "1".to_owned()], vec!["bcdef".to_owned(), "22".to_owned()]];
        let text = plain_table(&header, &rows, &[false, true]);
        assert_eq!(text, "name    n\n─────  ──\na       1\nbcdef  22\n");
        assert_eq!(
            markdown(&header, &[vec!["a|b".into(), "1".into()]]),
            "| name | n |\n| --- | --- |\n| a\\|b | 1 |\n"
        );
    }

    #[test]
    fn a_cell_of_markdown_shows_its_text_and_nothing_else() {
        let rows = [
            ("plain text, 12:30, é", "plain text, 12:30, é"),
            ("service_line_id", "service_line_id"),
            ("-1.5", "-1.5"),
            ("2026-01-10T12:00:00Z", "2026-01-10T12:00:00Z"),
            ("a|b", "a\\|b"),
            ("a\\|b", "a\\\\\\|b"),
            ("a\\", "a\\\\"),
            ("two\nlines", "two\\\\nlines"),
            ("\u{1b}[31m", "\\\\u\\{1b\\}\\[31m"),
            ("`code`", "\\`code\\`"),
            ("**bold** _it_ ~~no~~", "\\*\\*bold\\*\\* \\_it\\_ \\~\\~no\\~\\~"),
            ("[x](y)", "\\[x\\]\\(y\\)"),
            ("[x](javascript:alert(1))", "\\[x\\]\\(javascript&#58;alert\\(1\\)\\)"),
            ("![x](https://a.example)", "\\!\\[x\\]\\(https&#58;//a.example\\)"),
            ("<javascript:alert(1)>", "&lt;javascript&#58;alert\\(1\\)&gt;"),
            ("JavaScript:x", "JavaScript&#58;x"),
            ("https://a.example/?a=1&b", "https&#58;//a.example/?a=1&amp;b"),
            ("<script>x</script>", "&lt;script&gt;x&lt;/script&gt;"),
            ("<img src=x onerror=\"x\">", "&lt;img src=x onerror=\"x\"&gt;"),
            ("&lt;b&gt;", "&amp;lt;b&amp;gt;"),
            ("<!-- x", "&lt;\\!-- x"),
            ("# head", "\\# head"),
            ("> quote", "&gt; quote"),
            ("---", "\\---"),
            (":-:", "\\:-:"),
            ("- item", "\\- item"),
            ("$x$", "\\$x\\$"),
            ("[^1]", "\\[\\^1\\]"),
            ("", ""),
        ];
        for (text, cell) in rows {
            let table = markdown(&[text.to_owned()], &[vec![text.to_owned()]]);
            assert_eq!(table, format!("| {cell} |\n| --- |\n| {cell} |\n"), "{text:?}");
        }
    }
}
